"""Imported records: what was published, letter for letter, beside what it became here.

A batch of them is stored in one transaction with its tasks, episodes and ratings: nothing is half-imported.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator, Sequence
from dataclasses import dataclass, field

from sqlalchemy import Connection, func, select

from sotopia_pi.episodes.records import Episode
from sotopia_pi.ratings.records import Rating
from sotopia_pi.store.database import Database
from sotopia_pi.store.queries import add, read_record, read_scenario, read_tasks
from sotopia_pi.store.rows import Row, episode_row, rating_row, turn_rows
from sotopia_pi.store.schema import (
    CHARACTERS,
    EPISODES,
    IMPORTS,
    RATINGS,
    SCENARIOS,
    TASK_CHARACTERS,
    TASK_GROUPS,
    TASKS,
    TURNS,
)
from sotopia_pi.world.records import Character, RetiredCheck, Scenario, SocialTask

#: Originals that are in memory at a time when they are streamed.
PAGE = 256


@dataclass(frozen=True, slots=True)
class Original:
    """A published record: its `kind`, its own id, the id of what it became here, and its text."""

    kind: str
    source_id: str
    our_id: str
    text: str


@dataclass(slots=True)
class Batch:
    """Records that are stored together. `tasks` are appended to their groups in order."""

    originals: list[Original] = field(default_factory=list)
    tasks: dict[str, list[SocialTask]] = field(default_factory=dict)
    episodes: list[tuple[Episode, Sequence[Rating]]] = field(default_factory=list)
    characters: list[Character] = field(default_factory=list)
    scenarios: list[Scenario] = field(default_factory=list)


def add_tasks(connection: Connection, group: str, tasks: Sequence[SocialTask]) -> None:
    """Appends tasks to a group in their order; those that the group holds keep their place."""
    _add_records(connection, tasks)
    ids = list(dict.fromkeys(task.id for task in tasks))
    members = select(TASK_GROUPS.c.task_id).where(TASK_GROUPS.c.name == group)
    held: set[str] = set()
    for start in range(0, len(ids), PAGE):
        held |= set(connection.scalars(members.where(TASK_GROUPS.c.task_id.in_(ids[start : start + PAGE]))))
    last = select(func.coalesce(func.max(TASK_GROUPS.c.position), -1)).where(TASK_GROUPS.c.name == group)
    first = connection.execute(last).scalar_one() + 1
    new = (id for id in ids if id not in held)
    add(connection, TASK_GROUPS, [{"name": group, "position": first + n, "task_id": id} for n, id in enumerate(new)])


def _add_records(connection: Connection, tasks: Sequence[SocialTask]) -> None:
    characters = {character.id: character for task in tasks for character in task.characters}
    scenarios = {task.scenario.id: task.scenario for task in tasks}
    add(connection, CHARACTERS, [_character_row(character) for character in characters.values()])
    add(connection, SCENARIOS, [_scenario_row(scenario) for scenario in scenarios.values()])
    add(connection, TASKS, [{"id": task.id, "scenario_id": task.scenario.id} for task in tasks])
    cast = [
        {"task_id": task.id, "role": role, "character_id": character.id}
        for task in tasks
        for role, character in enumerate(task.characters)
    ]
    add(connection, TASK_CHARACTERS, cast)


def _character_row(character: Character) -> Row:
    return {"id": character.id, "record": character.model_dump(mode="json")}


def _scenario_row(scenario: Scenario) -> Row:
    retired = isinstance(scenario.check, RetiredCheck)
    return {"id": scenario.id, "record": scenario.model_dump(mode="json"), "retired": retired}


class Imports:
    """The imported records of a run. Every method may raise StoreError."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def add(self, batch: Batch) -> None:
        """Stores a batch whole or not at all; what is stored already stays as it is."""
        with self._database.writing(alone=True) as connection:
            add(connection, CHARACTERS, [_character_row(character) for character in batch.characters])
            add(connection, SCENARIOS, [_scenario_row(scenario) for scenario in batch.scenarios])
            for group, tasks in batch.tasks.items():
                add_tasks(connection, group, tasks)
            add(connection, EPISODES, [episode_row(episode) for episode, _ in batch.episodes])
            add(connection, TURNS, [row for episode, _ in batch.episodes for row in turn_rows(episode)])
            add(connection, RATINGS, [rating_row(rating) for _, ratings in batch.episodes for rating in ratings])
            for kind in dict.fromkeys(item.kind for item in batch.originals):
                self._add_originals(connection, [item for item in batch.originals if item.kind == kind])

    @staticmethod
    def _add_originals(connection: Connection, items: Sequence[Original]) -> None:
        query = select(func.coalesce(func.max(IMPORTS.c.position), -1)).where(IMPORTS.c.kind == items[0].kind)
        first = connection.execute(query).scalar_one() + 1
        rows: list[Row] = [
            {
                "kind": item.kind,
                "source_id": item.source_id,
                "position": first + n,
                "our_id": item.our_id,
                "original": item.text,
            }
            for n, item in enumerate(items)
        ]
        add(connection, IMPORTS, rows)

    def counts(self) -> dict[str, int]:
        """How many records there are of each kind."""
        query = select(IMPORTS.c.kind, func.count().label("records")).group_by(IMPORTS.c.kind).order_by(IMPORTS.c.kind)
        with self._database.reading() as connection:
            return {row.kind: row.records for row in connection.execute(query)}

    def all(self, kind: str) -> Iterator[Original]:
        """The records of a kind in the order in which they were imported, a page at a time."""
        query = select(IMPORTS).where(IMPORTS.c.kind == kind).order_by(IMPORTS.c.position).limit(PAGE)
        last = -1
        while True:
            with self._database.reading() as connection:
                rows = connection.execute(query.where(IMPORTS.c.position > last)).all()
            if not rows:
                return
            yield from (Original(row.kind, row.source_id, row.our_id, row.original) for row in rows)
            last = rows[-1].position

    def find(self, kind: str, source_ids: Iterable[str]) -> dict[str, Original]:
        """Those records of a kind that have one of these ids, by id."""
        wanted = sorted(set(source_ids))
        found: dict[str, Original] = {}
        with self._database.reading() as connection:
            for start in range(0, len(wanted), PAGE):
                page = IMPORTS.c.source_id.in_(wanted[start : start + PAGE])
                for row in connection.execute(select(IMPORTS).where(IMPORTS.c.kind == kind, page)):
                    found[row.source_id] = Original(row.kind, row.source_id, row.our_id, row.original)
        return found

    def of(self, kind: str, our_ids: Collection[str]) -> dict[str, str]:
        """The published texts of those of our records that were imported as `kind`, by our id."""
        wanted = sorted(set(our_ids))
        found: dict[str, str] = {}
        with self._database.reading() as connection:
            for start in range(0, len(wanted), PAGE):
                page = IMPORTS.c.our_id.in_(wanted[start : start + PAGE])
                rows = connection.execute(select(IMPORTS).where(IMPORTS.c.kind == kind, page))
                found |= {row.our_id: row.original for row in rows}
        return found

    def characters(self) -> dict[str, Character]:
        """The imported characters by their published id."""
        query = select(IMPORTS.c.source_id, *CHARACTERS.c).join(CHARACTERS, CHARACTERS.c.id == IMPORTS.c.our_id)
        with self._database.reading() as connection:
            rows = connection.execute(query.where(IMPORTS.c.kind == "agent").order_by(IMPORTS.c.position))
            return {source_id: read_record(Character, "characters", id, record) for source_id, id, record in rows}

    def scenarios(self) -> dict[str, Scenario]:
        """The imported scenarios by their published id."""
        query = select(IMPORTS.c.source_id, *SCENARIOS.c).join(SCENARIOS, SCENARIOS.c.id == IMPORTS.c.our_id)
        with self._database.reading() as connection:
            rows = connection.execute(query.where(IMPORTS.c.kind == "environment").order_by(IMPORTS.c.position))
            return {source_id: read_scenario(id, record, retired) for source_id, id, record, retired in rows}

    def tasks(self) -> dict[str, SocialTask]:
        """The tasks of imported castings by the casting's published id."""
        ids = select(IMPORTS.c.our_id).where(IMPORTS.c.kind == "casting")
        query = select(IMPORTS.c.source_id, IMPORTS.c.our_id).where(IMPORTS.c.kind == "casting")
        with self._database.reading() as connection:
            held = read_tasks(connection, ids)
            rows = connection.execute(query.order_by(IMPORTS.c.position))
            return {source_id: held[our_id] for source_id, our_id in rows}
