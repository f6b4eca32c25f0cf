"""Statements that several methods of the store share."""

from __future__ import annotations

import json
from collections import defaultdict
from collections.abc import Callable, Sequence
from functools import cache
from typing import Any, TypeVar

from pydantic import ValidationError
from sqlalchemy import Connection, Insert, Select, Table, insert, select
from sqlalchemy.dialects import postgresql, sqlite

from sotopia_pi.records import content_hash
from sotopia_pi.store.rows import Row, UnreadableRow, why
from sotopia_pi.store.schema import CHARACTERS, SCENARIOS, TASK_CHARACTERS, TASKS, was_altered
from sotopia_pi.world.records import RETIRED, Character, Scenario, SocialTask

_Record = TypeVar("_Record", Character, Scenario)


@cache
def _insert(table: Table) -> Insert:
    return insert(table)


@cache
def _ignoring(dialect: str, table: Table) -> Insert:
    return _of(dialect)(table).on_conflict_do_nothing()


@cache
def _replacing(dialect: str, table: Table) -> Insert:
    statement = _of(dialect)(table)
    values = {column.name: statement.excluded[column.name] for column in table.c if not column.primary_key}
    return statement.on_conflict_do_update(index_elements=table.primary_key, set_=values)


def _of(dialect: str) -> Callable[[Table], sqlite.Insert | postgresql.Insert]:
    return postgresql.insert if dialect == "postgresql" else sqlite.insert


def add(connection: Connection, table: Table, rows: list[Row]) -> None:
    """Inserts the rows that are not stored yet."""
    if rows:
        connection.execute(_ignoring(connection.dialect.name, table), rows)


def insert_all(connection: Connection, table: Table, rows: list[Row]) -> None:
    """Inserts rows that are not stored yet."""
    if rows:
        connection.execute(_insert(table), rows)


def replace(connection: Connection, table: Table, rows: list[Row]) -> None:
    """Inserts rows, in place of those with the same primary key."""
    if rows:
        connection.execute(_replacing(connection.dialect.name, table), rows)


def read_tasks(connection: Connection, ids: Select[tuple[str]]) -> dict[str, SocialTask]:
    """Tasks by id; those that share a character or a scenario share the record."""
    casts: dict[str, list[str]] = defaultdict(list)
    cast = select(TASK_CHARACTERS.c.task_id, TASK_CHARACTERS.c.character_id).where(TASK_CHARACTERS.c.task_id.in_(ids))
    for task_id, character_id in connection.execute(cast.order_by(TASK_CHARACTERS.c.task_id, TASK_CHARACTERS.c.role)):
        casts[task_id].append(character_id)
    tasks = connection.execute(select(TASKS.c.id, TASKS.c.scenario_id).where(TASKS.c.id.in_(ids)))
    played = select(TASK_CHARACTERS.c.character_id).where(TASK_CHARACTERS.c.task_id.in_(ids))
    set_in = select(TASKS.c.scenario_id).where(TASKS.c.id.in_(ids))
    people = connection.execute(select(CHARACTERS).where(CHARACTERS.c.id.in_(played)))
    characters = {id: read_record(Character, "characters", id, record) for id, record in people}
    situations = connection.execute(select(SCENARIOS).where(SCENARIOS.c.id.in_(set_in)))
    scenarios = {id: read_scenario(id, record, retired) for id, record, retired in situations}
    return {id: _task(id, scenarios.get(scenario), [characters.get(c) for c in casts[id]]) for id, scenario in tasks}


def read_scenario(id: str, record: Any, retired: bool) -> Scenario:
    """A stored scenario. UnreadableRow where it is not what was stored."""
    return read_record(Scenario, "scenarios", id, record, RETIRED if retired else None)


def read_record(
    kind: type[_Record], table: str, id: str, record: Any, context: dict[str, bool] | None = None
) -> _Record:
    """A record that is stored under the hash of its content. UnreadableRow where it is not what was stored."""
    if content_hash(record) != id and not was_altered(json.dumps(record, ensure_ascii=False)):
        raise UnreadableRow(table, [id], "not what was stored under this id")
    try:
        return kind.model_validate(record, context=context)
    except ValidationError as error:
        raise UnreadableRow(table, [id], why(error)) from None


def _task(id: str, scenario: Scenario | None, characters: Sequence[Character | None]) -> SocialTask:
    cast = tuple(who for who in characters if who is not None)
    if scenario is None or len(cast) < len(characters):
        raise UnreadableRow("tasks", [id], "its scenario or a character is missing")
    try:
        return SocialTask(scenario=scenario, characters=cast)
    except ValidationError as error:
        raise UnreadableRow("tasks", [id], why(error)) from None
