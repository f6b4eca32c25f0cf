"""Everything about all episodes but their words, in a few large queries: what tables over many episodes are made from.

JSON is handed out as the text that is stored, because parsing half a million records one by one takes seconds.
"""

from __future__ import annotations

from collections.abc import Hashable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any, cast

from sqlalchemy import Connection, Select, Text, case, func, select, text, type_coerce

from sotopia_pi.store.database import Database
from sotopia_pi.store.schema import EPISODES, RATINGS, SCENARIOS, TASK_GROUPS, TASKS, TURNS

Fields = tuple[Any, ...]

_BATCH = 5_000
#: PostgreSQL counts what was written to a table; the numbers are a few seconds late.
_WRITTEN = text("SELECT relname, n_tup_ins + n_tup_upd + n_tup_del FROM pg_stat_user_tables ORDER BY relid")


class Columns:
    """Large reads of one database. Every method may raise StoreError."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def version(self) -> Hashable:
        """Something that is another thing after the database changed."""
        if self._database.engine.dialect.name == "sqlite":
            file = self._database.engine.url.database or ""
            return tuple(_stamp(Path(file + ending)) for ending in ("", "-wal"))
        with self._database.reading() as connection:
            return tuple(tuple(row) for row in connection.execute(_WRITTEN))

    @contextmanager
    def reading(self) -> Iterator[Reader]:
        """All reads inside see one state of the database."""
        with self._database.reading() as connection:
            if connection.dialect.name == "postgresql":  # where each statement would see what others stored meanwhile
                connection.execute(text("SET TRANSACTION ISOLATION LEVEL REPEATABLE READ"))
            yield Reader(connection)


class Reader:
    """The tables, one row at a time, each in the order of its keys."""

    def __init__(self, connection: Connection) -> None:
        self._connection = connection

    def episodes(self) -> Iterator[Fields]:
        """key, task, stage, players (JSON), repeat, stop reason, failure, seconds."""
        table = EPISODES.c
        columns = (table.key, table.task_id, table.stage, type_coerce(table.players, Text), table.repeat)
        return self._rows(select(*columns, table.stop_reason, table.failure, table.seconds).order_by(table.key))

    def turns(self) -> Iterator[Fields]:
        """Per episode with turns its key, and for each role its turns, its invalid turns and all it said as one text.

        The text is None for a role that said nothing; `roles` is how many there are of these groups of three.
        """
        table = TURNS.c
        columns: list[Any] = [table.episode_key]
        for role in range(self.roles()):
            own = table.role == role
            said = case((own & (table.action_type == "speak"), table.argument))
            columns += [
                func.count(case((own, 1))),
                func.count(case((own & ~table.valid, 1))),
                func.aggregate_strings(said, " "),
            ]
        return self._rows(select(*columns).group_by(table.episode_key).order_by(table.episode_key))

    def causes(self, stage: str) -> Iterator[Fields]:
        """Players (JSON), role, whether valid, cause, and how many turns of a stage's episodes are like that."""
        table = TURNS.c
        columns = (type_coerce(EPISODES.c.players, Text), table.role, table.valid, table.cause)
        query = select(*columns, func.count()).join(EPISODES, EPISODES.c.key == table.episode_key)
        return self._rows(query.where(EPISODES.c.stage == stage).group_by(*columns).order_by(*columns))

    def roles(self) -> int:
        """The most roles that have a turn in any episode."""
        last = self._connection.scalar(select(func.max(TURNS.c.role)))
        return 0 if last is None else int(last) + 1

    def ratings(self) -> Iterator[Fields]:
        """Episode key, role, rater, scores (JSON), outcome (JSON or None), failure, of every sample."""
        table = RATINGS.c
        columns = (type_coerce(table.scores, Text), type_coerce(table.outcome, Text), table.failure)
        return self._rows(select(table.episode_key, table.role, table.rater, *columns))

    def tasks(self) -> Iterator[Fields]:
        """Task id, scenario id."""
        return self._rows(select(TASKS.c.id, TASKS.c.scenario_id).order_by(TASKS.c.id))

    def scenarios(self) -> Iterator[Fields]:
        """Scenario id, record (JSON)."""
        return self._rows(select(SCENARIOS.c.id, type_coerce(SCENARIOS.c.record, Text)))

    def groups(self) -> Iterator[Fields]:
        """Group name, task id, in the order of the groups."""
        table = TASK_GROUPS.c
        return self._rows(select(table.name, table.task_id).order_by(table.name, table.position))

    def said(self, keys: Sequence[str]) -> dict[str, str]:
        """All that was said and done in each of some episodes, by key; nothing for those without turns."""
        table = TURNS.c
        query = select(table.episode_key, func.aggregate_strings(table.argument, "\n"))
        return {
            row[0]: row[1] for row in self._rows(query.where(table.episode_key.in_(keys)).group_by(table.episode_key))
        }

    def _rows(self, query: Select[Any]) -> Iterator[Fields]:
        rows = self._connection.execution_options(yield_per=_BATCH).execute(query)
        return cast(Iterator[Fields], iter(rows))


def _stamp(path: Path) -> tuple[int, int, int]:
    try:
        status = path.stat()
    except OSError:
        return 0, 0, 0
    return status.st_ino, status.st_size, status.st_mtime_ns
