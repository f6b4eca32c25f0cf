"""Empty databases for tests of the store, SQLite's and PostgreSQL's, and what is stored in them."""

from __future__ import annotations

import os
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import create_engine, make_url, text

from sotopia_pi.environments.price import PriceCheck
from sotopia_pi.episodes.records import NOTHING, Action, ActionType, Episode, StopReason, Turn, Usage
from sotopia_pi.ratings.records import Rating
from sotopia_pi.world.records import Character, Relationship, Scenario, SocialTask

POSTGRES = os.environ.get("SOTOPIA_PI_TEST_POSTGRES")


def _character(name: str, age: int = 30) -> Character:
    return Character(
        name=name,
        age=age,
        gender="woman",
        pronouns="she/her",
        occupation="baker",
        public_info="Keeps a small shop – “Zur Mühle”.",
        big_five="open",
        moral_values=("care",),
        schwartz_values=("benevolence", "hedonism"),
        personality="Patient.",
        decision_style="slow",
        secret="Buys her bread elsewhere.",
    )


def task(number: int = 0) -> SocialTask:
    """A task of the odd letters that a store must keep; each number is another one."""
    scenario = Scenario(
        situation=f"Stall {number} at a market.",
        goals=("Sell the lamp.", "Buy the lamp."),
        relationship=Relationship.ACQUAINTANCE,
        kind="price",
        source="test",
        check=PriceCheck(item="lamp", seller=0, limits=(10, 20), targets=(18, 12), listed=19),
    )
    return SocialTask(scenario=scenario, characters=(_character("Ada"), _character("Bo")))


TASK = task()


def episode(key: str, *, stage: str = "collect", turns: tuple[Turn, ...] | None = None, **fields: Any) -> Episode:
    """An episode of `TASK`; one of its turns is no valid reply, another says nothing."""
    said = Action(type=ActionType.SPEAK, argument="15?", terms="$15")
    if turns is None:
        turns = (
            Turn(role=0, action=said, raw=said.to_json(), usage=Usage(prompt=90, cached=80, completion=12)),
            Turn(role=1, action=NOTHING, raw="{oops", valid=False, reasked=True),
            Turn(role=0, action=Action(type=ActionType.LEAVE)),
        )
    if "failure" not in fields:
        fields.setdefault("stop_reason", StopReason.LEFT)
    return Episode(
        key=key, task_id=TASK.id, stage=stage, players=("expert", "base"), turns=turns, seconds=1.5, **fields
    )


def rating(key: str, role: int = 0, rater: str = "verifier", goal: float = 7.0) -> Rating:
    """A rating of the episode `key`."""
    return Rating(episode=key, role=role, rater=rater, scores={"goal": goal}, outcome={"deal": True})


@contextmanager
def empty_database(kind: str, folder: Path) -> Iterator[str]:
    """Where an empty database is; PostgreSQL gets a schema of its own in the database that the variable names."""
    if kind == "sqlite":
        yield str(folder / "run.db")
        return
    if not POSTGRES:
        pytest.skip("set SOTOPIA_PI_TEST_POSTGRES to the URL of a PostgreSQL database to test there too")
    schema = f"test_{uuid.uuid4().hex}"
    engine = create_engine(POSTGRES)
    with engine.begin() as connection:
        connection.execute(text(f"CREATE SCHEMA {schema}"))
    yield (
        make_url(POSTGRES)
        .update_query_dict({"options": f"-csearch_path={schema}"})
        .render_as_string(hide_password=False)
    )
    with engine.begin() as connection:
        connection.execute(text(f"DROP SCHEMA {schema} CASCADE"))
    engine.dispose()
