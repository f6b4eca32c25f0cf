"""Many annotators at once against the real server: nothing is lost or doubled, and nothing fails."""

from __future__ import annotations

import os
import uuid
from pathlib import Path

import pytest
from sqlalchemy import create_engine, make_url, text

pytest.importorskip("uvicorn")
from benchmarks.rating import POSTGRES, stress


def seconds() -> float:
    """How long it goes on; SOTOPIA_PI_STRESS_SECONDS=60 for the whole minute."""
    return float(os.environ.get("SOTOPIA_PI_STRESS_SECONDS", "8"))


def hold(database: str) -> None:
    seen, kept = stress(database, annotators=32, seconds=seconds())
    assert kept.faults == []
    assert kept.pairs == seen.accepted > 32
    assert kept.ratings == 2 * kept.pairs
    assert seen.repeated > 0


@pytest.mark.slow
def test_32_annotators_on_sqlite(tmp_path: Path) -> None:
    hold(f"sqlite:///{tmp_path / 'run.db'}")


@pytest.mark.slow
def test_32_annotators_on_postgresql() -> None:
    if not os.environ.get(POSTGRES):
        pytest.skip(f"set {POSTGRES} to the URL of a PostgreSQL database to test there too")
    schema = f"test_{uuid.uuid4().hex}"
    engine = create_engine(os.environ[POSTGRES])
    with engine.begin() as connection:
        connection.execute(text(f"CREATE SCHEMA {schema}"))
    try:
        url = make_url(os.environ[POSTGRES]).update_query_dict({"options": f"-csearch_path={schema}"})
        hold(url.render_as_string(hide_password=False))
    finally:
        with engine.begin() as connection:
            connection.execute(text(f"DROP SCHEMA {schema} CASCADE"))
        engine.dispose()
