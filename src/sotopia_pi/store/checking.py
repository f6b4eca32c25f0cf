"""Looking for rows that cannot be right, in SQL, so that a sentence can name the table and the row.

SQLite stores any value in any column, and a damaged or edited file can hold all of them. A small database is looked
through whenever it is opened. Of a large one the turns and ratings, most of its rows, are looked through only where
reading met something it cannot use.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from enum import StrEnum
from itertools import chain
from pathlib import Path

from sqlalchemy import Connection, Table

from sotopia_pi.episodes.records import ActionType, StopReason
from sotopia_pi.models.answers import Cause
from sotopia_pi.store import schema

#: Bytes of a database that is looked through at every opening; it takes about 30 ms per MB.
SMALL = 8_000_000

_Condition = Callable[[str], str]


def _text(column: str) -> str:
    return f"typeof({column}) = 'text'"


def _truth(column: str) -> str:
    return f"(typeof({column}) = 'integer' AND {column} IN (0, 1))"


def _count(column: str) -> str:
    """Not more than a float can count to, as other programs read numbers."""
    return f"(typeof({column}) = 'integer' AND {column} BETWEEN 0 AND {2**53})"


def _whole(column: str) -> str:
    return f"typeof({column}) = 'integer'"


def _amount(column: str) -> str:
    return f"(typeof({column}) IN ('integer', 'real') AND {column} BETWEEN 0 AND 1e300)"


def _optional(condition: _Condition) -> _Condition:
    return lambda column: f"({column} IS NULL OR {condition(column)})"


def _json(kind: str) -> _Condition:
    return lambda column: (
        f"(typeof({column}) = 'text' AND CASE WHEN json_valid({column}) THEN json_type({column}) = '{kind}' ELSE 0 END)"
    )


def _one_of(values: type[StrEnum]) -> _Condition:
    listed = ", ".join(f"'{value.value}'" for value in values)
    return lambda column: f"({_text(column)} AND {column} IN ({listed}))"


_OBJECT, _ARRAY = _json("object"), _json("array")
#: What must hold of each column; columns that are not named hold text.
_RULES: Mapping[Table, Mapping[str, _Condition]] = {
    schema.META: {"value": _optional(_text)},
    schema.CHARACTERS: {"record": _OBJECT},
    schema.SCENARIOS: {"record": _OBJECT, "retired": _truth},
    schema.TASKS: {},
    schema.TASK_CHARACTERS: {"role": _count},
    schema.TASK_GROUPS: {"position": _count},
    schema.EPISODES: {
        "players": _ARRAY,
        "repeat": _count,
        "seed": _whole,
        "stop_reason": _optional(_one_of(StopReason)),
        "failure": _optional(_text),
        "seconds": _amount,
    },
    schema.TURNS: {
        **dict.fromkeys(("number", "role", "prompt_tokens", "cached_tokens", "completion_tokens"), _count),
        **dict.fromkeys(("valid", "reasked"), _truth),
        "action_type": _one_of(ActionType),
        "raw": _optional(_text),
        "terms": _optional(_text),
        "cause": _optional(_one_of(Cause)),
        "cost": _optional(_amount),
    },
    schema.RATINGS: {
        **dict.fromkeys(("role", "sample"), _count),
        **dict.fromkeys(("scores", "reasons"), _OBJECT),
        "outcome": _optional(_OBJECT),
        "failure": _optional(_text),
    },
    schema.SELECTIONS: dict.fromkeys(("position", "role"), _count),
    schema.STAGES: {"position": _count},
    schema.IMPORTS: {"position": _count},
    schema.STUDIES: {"settings": _OBJECT, "open": _truth, "created": _amount},
    schema.STUDY_ITEMS: {"position": _count, "reference": _optional(_OBJECT), "needed": _count},
    schema.STUDY_ANNOTATORS: {"seed": _whole, "created": _amount},
    schema.STUDY_ASSIGNMENTS: {
        "attempt": _count,
        "roles": _ARRAY,
        **dict.fromkeys(("created", "until"), _amount),
        "draft": _OBJECT,
        "answer": _optional(_OBJECT),
        "submitted": _optional(_amount),
        "passed": _optional(_truth),
    },
}
_LARGEST = (schema.TURNS, schema.RATINGS)


def is_small(file: Path) -> bool:
    """Whether a database can be looked through without anybody waiting for it."""
    return file.stat().st_size <= SMALL


def damage(connection: Connection) -> str | None:
    """What is wrong with the pages of a SQLite file; None where nothing is."""
    (found,) = connection.exec_driver_sql("PRAGMA integrity_check(1)").one()
    return None if found == "ok" else str(found).strip().splitlines()[-1]


def wrong_row(connection: Connection, *, thorough: bool = True) -> str | None:
    """The first row of a SQLite file that cannot be right, by table, key and column; None where there is none.

    Without `thorough` the largest tables and what rows refer to are left out.
    """
    found = _wrong_rows(connection, [table for table in _RULES if thorough or table not in _LARGEST])
    return next(chain(found, _orphans(connection)) if thorough else found, None)


def _wrong_rows(connection: Connection, tables: Iterable[Table]) -> Iterator[str]:
    for table in tables:
        rules = _RULES[table]
        conditions = {column.name: rules.get(column.name, _text)(column.name) for column in table.c}
        held = " AND ".join(conditions.values())
        which = " ".join(f"WHEN ({condition}) IS NOT 1 THEN '{name}'" for name, condition in conditions.items())
        keys = ", ".join(column.name for column in table.primary_key)
        query = f"SELECT CASE {which} END, {keys} FROM {table.name} WHERE ({held}) IS NOT 1 LIMIT 1"
        for column, *key in connection.exec_driver_sql(query):
            yield f"{named(table.name, key)}: {column}"


def _orphans(connection: Connection) -> Iterator[str]:
    """Rows that refer to rows that are not there."""
    for name, row, other, _ in connection.exec_driver_sql("PRAGMA foreign_key_check"):
        keys = ", ".join(column.name for column in schema.METADATA.tables[name].primary_key)
        for key in connection.exec_driver_sql(f"SELECT {keys} FROM {name} WHERE rowid = ?", (row,)):
            yield f"{named(name, tuple(key))}: there are no such {other}"


def named(table: str, key: Sequence[object]) -> str:
    """How a sentence names a row."""
    return f"{table} {'/'.join(_printable(part) for part in key)}"


def _printable(value: object) -> str:
    text = value if isinstance(value, str) else repr(value)
    return text if text.isprintable() and len(text) <= 100 else ascii(text[:100])
