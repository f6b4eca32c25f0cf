"""Databases that were damaged or edited: every verb and page names what cannot be right, and none breaks."""

from __future__ import annotations

import random
import shutil
import sqlite3
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest
from starlette.testclient import TestClient
from support import LIGHT, settings

from sotopia_pi.cli.main import main
from sotopia_pi.errors import StoreError
from sotopia_pi.rundir import Run
from sotopia_pi.store import checking
from sotopia_pi.web.app import application
from sotopia_pi.web.places import close_places, open_places
from sotopia_pi.web.site import Site

#: A wrong value for a column, in the first row of its table, and how the row is named.
WRONG = [
    ("episodes", "stop_reason", "'bored'", "episodes "),
    ("episodes", "players", "'{}'", "episodes "),
    ("episodes", "players", "'[]'", "episodes "),
    ("episodes", "repeat", "-1", "episodes "),
    ("episodes", "repeat", "1e19", "episodes "),
    ("episodes", "seconds", "'long'", "episodes "),
    ("episodes", "task_id", "'nothing'", "episodes "),
    ("turns", "role", "7", "turns "),
    ("turns", "role", "'x'", "turns "),
    ("turns", "number", "99", "turns "),
    ("turns", "action_type", "'sing'", "turns "),
    ("turns", "prompt_tokens", "-5", "turns "),
    ("turns", "cost", "9e999", "turns "),
    ("turns", "argument", "x'ff'", "turns "),
    ("ratings", "scores", "'{\"goal\": NaN}'", "ratings "),
    ("ratings", "scores", "'{'", "ratings "),
    ("ratings", "scores", "'{\"goal\": 1e999}'", "ratings "),
    ("ratings", "outcome", '\'{"deal": "perhaps"}\'', "ratings "),
    ("ratings", "role", "-1", "ratings "),
    ("ratings", "sample", "0.5", "ratings "),
    ("scenarios", "record", "'[]'", "scenarios "),
    ("scenarios", "record", "replace(record, 'price', 'prise')", "scenarios "),
    ("characters", "record", "replace(record, 'a', 'o')", "characters "),
    ("tasks", "scenario_id", "'nothing'", "tasks "),
    ("task_characters", "character_id", "'nothing'", "task_characters "),
    ("task_groups", "name", "x'00'", "task_groups "),
    ("stages", "facts", "'[]'", "stages "),
    ("stages", "facts", '\'{"seconds": "long"}\'', "stages "),
    ("stages", "name", "NULL", "stages "),
    ("meta", "value", '\'{"x": {"calls": "many"}}\'', "meta spending"),
]


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = tmp_path_factory.mktemp("whole") / "run"
    scripted = settings(*LIGHT, 'models.policy="scripted:fair"', "world.test={price=1}")
    assert main(["run", "--quiet", "--out", str(out), *scripted]) == 0
    return out


@pytest.fixture
def run(whole: Path, tmp_path: Path) -> Path:
    return shutil.copytree(whole, tmp_path / "run")


def edit(run: Path, statement: str) -> None:
    with closing(sqlite3.connect(run / "run.db")) as connection, connection:
        connection.execute(statement)


def pages(run: Path) -> set[int]:
    """The status of every page of a run, all as StoreError's where it cannot even be opened."""
    try:
        places = open_places([str(run)])
    except StoreError:
        return {503}
    try:
        with TestClient(application(Site({place.name: place for place in places}))) as browser:
            with closing(sqlite3.connect(run / "run.db")) as connection:
                keys = [f"/episodes/{key}" for (key,) in connection.execute("SELECT key FROM episodes")]
            return {
                browser.get(f"/run/run{page}").status_code for page in ("", "/episodes", "/tasks", "/agreement", *keys)
            }
    finally:
        close_places(places)


@pytest.mark.parametrize(("table", "column", "value", "named"), WRONG)
@pytest.mark.parametrize("small", [True, False])
def test_a_row_that_cannot_be_right_is_named(
    table: str,
    column: str,
    value: str,
    named: str,
    small: bool,
    run: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    if not small:
        monkeypatch.setattr(checking, "SMALL", 0)
    which = "key = 'spending'" if table == "meta" else f"rowid = (SELECT min(rowid) FROM {table})"
    edit(run, f"UPDATE {table} SET {column} = {value} WHERE {which}")
    code = main(["report", str(run), "--quiet"])
    said = capsys.readouterr().err
    assert (code, said.count("\n")) == (4, 1)
    assert "run.db holds a record that cannot be" in said and f"({named}" in said
    assert pages(run) <= {200, 404, 503}


@pytest.mark.parametrize(
    "statement",
    [
        "UPDATE episodes SET stage = 'evaluate/base'",
        "UPDATE episodes SET players = '[\"partner\", \"partner\"]' WHERE stage = 'evaluate/base'",
        "UPDATE task_groups SET name = 'train'",
    ],
)
def test_episodes_that_no_evaluation_can_hold_are_named(
    statement: str, run: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    edit(run, statement)
    assert main(["report", str(run), "--quiet"]) == 4
    assert "are not of this evaluation" in capsys.readouterr().err
    assert pages(run) <= {200, 404, 503}


def test_damaged_pages_are_a_sentence(run: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Parts that are overwritten, and single bytes: never a traceback, and mostly noticed."""
    whole = (run / "run.db").read_bytes()
    used = [at for at, byte in enumerate(whole) if byte]
    draw = random.Random(5)
    noticed = 0
    for n in range(20):
        content = bytearray(whole)
        at = draw.choice(used)
        content[at : at + (1 if n % 2 else 300)] = draw.randbytes(1 if n % 2 else 300)
        (run / "run.db").write_bytes(content[: len(whole)])
        code = main(["report", str(run), "--quiet"])
        printed = capsys.readouterr()
        assert code in (0, 4) and printed.err.count("\n") == (code == 4)
        noticed += code == 4
        for ending in ("-wal", "-shm"):
            (run / f"run.db{ending}").unlink(missing_ok=True)
    assert noticed >= 12


def test_numbers_that_no_database_holds_are_a_sentence(run: Path) -> None:
    with Run.open(run, quiet=True) as working, pytest.raises(StoreError, match="cannot be"):
        working.store.set_selection("x", [("y", 2**70)])


def facts(**given: Any) -> dict[str, Any]:
    return {"completed": 2, "failed": 0, **given}


def test_what_is_no_number_is_read_as_nothing(run: Path) -> None:
    with Run.open(run, quiet=True) as working:
        working.store.finish_stage("train/x", facts(curve=[{"step": 1, "loss": float("nan")}]))
        assert working.store.stage("train/x") == facts(curve=[{"step": 1, "loss": None}])
