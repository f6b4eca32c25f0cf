"""Store: everything a run keeps, as records in and records out."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from difflib import get_close_matches
from pathlib import Path
from types import TracebackType
from typing import Any, Self

from sqlalchemy import Select, delete, func, insert, select, tuple_

from sotopia_pi.episodes.records import Episode
from sotopia_pi.errors import ConfigError, StoreError
from sotopia_pi.ratings.records import Rating
from sotopia_pi.store.assignments import Assignments
from sotopia_pi.store.columns import Columns
from sotopia_pi.store.database import STORED, Database
from sotopia_pi.store.imports import Imports, add_tasks
from sotopia_pi.store.migrations import VERSION_KEY
from sotopia_pi.store.opening import open_database
from sotopia_pi.store.queries import insert_all, read_tasks, replace
from sotopia_pi.store.rows import Row, episode_row, rating_row, read_episode, read_facts, read_rating, turn_rows
from sotopia_pi.store.schema import (
    EPISODES,
    META,
    RATINGS,
    SELECTIONS,
    STAGES,
    TASK_GROUPS,
    TASKS,
    TURNS,
)
from sotopia_pi.store.session import Session
from sotopia_pi.store.studies import Studies
from sotopia_pi.world.records import SocialTask

#: How many episodes or ratings are in memory at a time when they are streamed; far below SQLite's limit of 32,766
#: values per query.
PAGE = 256


class Store:
    """The database of one run. Every method may raise StoreError.

    A method that writes is one transaction: it has stored everything when it returns and nothing when it raises.
    Threads and processes may share a database; an asyncio program may call the methods directly, they are short.
    """

    def __init__(self, database: Database) -> None:
        """Over a database whose schema is up to date; use `open`."""
        self._database = database

    @classmethod
    def open(cls, where: Path | str, *, create: bool = True, wait: float = 30.0, reading: bool = False) -> Store:
        """Opens the SQLite file `where` or the database at a URL; an older schema is brought up to date.

        A missing file is created, or refused when `create` is False; its folder must exist. `wait` is how many
        seconds a write waits for another process that writes. StoreError when the database is damaged, of another
        program, of a newer version of this one, locked, or may not be written. With `reading`, one that may not be
        written is opened as it is, and only methods that write raise.
        """
        return cls(open_database(where, create=create and not reading, wait=wait, reading=reading))

    @property
    def where(self) -> str:
        """The file or the URL, without its password."""
        return self._database.where

    @property
    def read_only(self) -> bool:
        """Whether nothing can be stored here."""
        return self._database.read_only

    def count_for(self, session: Session) -> None:
        """Counts from now on what is stored, for a session on the run's folder. StoreError where something is lost."""
        self._database.count_for(session)

    def check_complete(self, stored: int) -> None:
        """StoreError where the database holds fewer than `stored` transactions."""
        self._database.check_complete(stored)

    def check_place(self) -> None:
        """StoreError when the file was moved, deleted or replaced since it was opened."""
        self._database.check_place()

    def close(self) -> None:
        """Closes every connection; a SQLite file is complete then, also while others have it open."""
        self._database.checkpoint()
        self._database.engine.dispose()

    def __enter__(self) -> Self:
        """The store itself."""
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        """Closes every connection."""
        self.close()

    @property
    def imports(self) -> Imports:
        """What was imported, as it was published."""
        return Imports(self._database)

    @property
    def columns(self) -> Columns:
        """What tables over many episodes are made from."""
        return Columns(self._database)

    @property
    def studies(self) -> Studies:
        """Human evaluations: their episodes and their annotators."""
        return Studies(self._database)

    @property
    def assignments(self) -> Assignments:
        """What annotators are given and hand in."""
        return Assignments(self._database)

    # Facts about the run

    def meta(self, key: str) -> Any | None:
        """The JSON value stored under `key`, None if there is none."""
        with self._database.reading() as connection:
            return connection.scalar(select(META.c.value).where(META.c.key == key))

    def set_meta(self, key: str, value: Any) -> None:
        """Stores a JSON value under `key`, in place of an earlier one."""
        if key in (VERSION_KEY, STORED):
            raise ValueError(f"{key!r} belongs to the store")
        with self._database.writing() as connection:
            replace(connection, META, [{"key": key, "value": value}])

    def finish_stage(self, name: str, facts: dict[str, Any]) -> None:
        """Records that a stage is finished, with JSON-able facts about it, in place of earlier ones."""
        with self._database.writing(alone=True) as connection:
            position = connection.scalar(select(STAGES.c.position).where(STAGES.c.name == name))
            if position is None:
                position = connection.scalar(select(func.count()).select_from(STAGES))
            replace(connection, STAGES, [{"name": name, "position": position, "facts": facts}])
        self._database.checkpoint()  # so that a copy of the file alone has everything up to here

    def reopen_stage(self, name: str) -> None:
        """Forgets that a stage is finished; what it stored stays."""
        with self._database.writing() as connection:
            connection.execute(delete(STAGES).where(STAGES.c.name == name))

    def stage(self, name: str) -> dict[str, Any] | None:
        """The facts of a finished stage; None while it is not finished."""
        return self.stages().get(name)

    def stages(self) -> dict[str, dict[str, Any]]:
        """The finished stages with their facts, in the order in which they were finished."""
        with self._database.reading() as connection:
            rows = connection.execute(select(STAGES.c.name, STAGES.c.facts).order_by(STAGES.c.position, STAGES.c.name))
            return {row.name: read_facts(row.name, row.facts) for row in rows}

    # Tasks

    def add_tasks(self, group: str, tasks: Iterable[SocialTask]) -> None:
        """Appends tasks to a group in their order; those that the group holds keep their place."""
        with self._database.writing(alone=True) as connection:
            add_tasks(connection, group, list(tasks))

    def tasks(self, group: str) -> list[SocialTask]:
        """The tasks of a group in their order; empty if there is no such group."""
        members = select(TASK_GROUPS.c.task_id).where(TASK_GROUPS.c.name == group)
        with self._database.reading() as connection:
            held = read_tasks(connection, members)
            return [held[id] for id in connection.scalars(members.order_by(TASK_GROUPS.c.position))]

    def task_ids(self, group: str) -> list[str]:
        """The ids of a group's tasks in their order."""
        members = select(TASK_GROUPS.c.task_id).where(TASK_GROUPS.c.name == group)
        with self._database.reading() as connection:
            return list(connection.scalars(members.order_by(TASK_GROUPS.c.position)))

    def task(self, task_id: str) -> SocialTask:
        """The task with this id. StoreError if it is not stored."""
        return self.tasks_with([task_id])[task_id]

    def tasks_with(self, ids: Iterable[str]) -> dict[str, SocialTask]:
        """The tasks with these ids, by id. StoreError if one is not stored."""
        wanted = list(dict.fromkeys(ids))
        held: dict[str, SocialTask] = {}
        with self._database.reading() as connection:
            for start in range(0, len(wanted), PAGE):
                page = wanted[start : start + PAGE]
                held |= read_tasks(connection, select(TASKS.c.id).where(TASKS.c.id.in_(page)))
        if missing := [id for id in wanted if id not in held]:
            raise StoreError(f"{self.where} holds no task {missing[0]!r}: check the id")
        return held

    def task_groups(self) -> dict[str, int]:
        """The groups by name and how many tasks each has."""
        query = (
            select(TASK_GROUPS.c.name, func.count().label("tasks"))
            .group_by(TASK_GROUPS.c.name)
            .order_by(TASK_GROUPS.c.name)
        )
        with self._database.reading() as connection:
            return {row.name: row.tasks for row in connection.execute(query)}

    # Episodes

    def stages_played(self) -> list[str]:
        """The stages that have episodes, failed ones included, by name."""
        with self._database.reading() as connection:
            return list(connection.scalars(select(EPISODES.c.stage).distinct().order_by(EPISODES.c.stage)))

    def check_stage(self, name: str) -> None:
        """ConfigError, with the names that are most like it, where no episode of a stage is stored."""
        known = self.stages_played()
        if name in known:
            return
        if not known:
            raise ConfigError(f"There is no stage {name!r}: {self.where} holds no episodes yet.")
        like = get_close_matches(name, known, 3, 0.6)
        listed = f"did you mean {' or '.join(map(repr, like))}?" if like else f"the stages are: {', '.join(known)}."
        raise ConfigError(f"There is no stage {name!r} in {self.where}; {listed}")

    def episode_keys(self, stage: str) -> set[str]:
        """The keys of every stored episode of a stage, failed ones included."""
        with self._database.reading() as connection:
            return set(connection.scalars(select(EPISODES.c.key).where(EPISODES.c.stage == stage)))

    def add_episode(self, episode: Episode, ratings: Sequence[Rating] = ()) -> bool:
        """Stores an episode and its ratings; False, and nothing changed, if its key is stored already.

        Its task must be stored before it.
        """
        return self.add_episodes([(episode, ratings)]) == 1

    def add_episodes(
        self, entries: Sequence[tuple[Episode, Sequence[Rating]]], facts: Mapping[str, Any] | None = None
    ) -> int:
        """Stores episodes with their ratings, and `facts` as `set_meta` does; how many were not stored before."""
        for episode, ratings in entries:
            if any(rating.episode != episode.key for rating in ratings):
                raise ValueError(f"a rating is not of the episode {episode.key!r} that it comes with")
        given = {episode.key: (episode, ratings) for episode, ratings in entries}
        with self._database.writing(alone=True) as connection:
            held = set(connection.scalars(select(EPISODES.c.key).where(EPISODES.c.key.in_(given))))
            new = [entry for key, entry in given.items() if key not in held]
            insert_all(connection, EPISODES, [episode_row(episode) for episode, _ in new])
            insert_all(connection, TURNS, [row for episode, _ in new for row in turn_rows(episode)])
            replace(connection, RATINGS, [rating_row(rating) for _, ratings in new for rating in ratings])
            replace(connection, META, [{"key": key, "value": value} for key, value in (facts or {}).items()])
        return len(new)

    def episodes(self, stage: str | None = None, *, keys: Collection[str] | None = None) -> Iterator[Episode]:
        """Episodes by key, those of a stage or with one of `keys` if given.

        They are read a few hundred at a time, each batch in a transaction of its own, so that the database is free
        while the caller works on them; the caller may write to it meanwhile.
        """
        query = select(EPISODES).order_by(EPISODES.c.key)
        if stage is not None:
            query = query.where(EPISODES.c.stage == stage)
        if keys is not None:
            ordered = sorted(set(keys))
            for start in range(0, len(ordered), PAGE):
                yield from self._episodes(query.where(EPISODES.c.key.in_(ordered[start : start + PAGE])))
            return
        page = self._episodes(query.limit(PAGE))
        while page:
            yield from page
            page = self._episodes(query.where(EPISODES.c.key > page[-1].key).limit(PAGE))

    def _episodes(self, query: Select[Any]) -> list[Episode]:
        with self._database.reading() as connection:
            rows = connection.execute(query).mappings().all()
            turns = select(TURNS).where(TURNS.c.episode_key.in_([row["key"] for row in rows]))
            by_episode = defaultdict(list)
            for turn in connection.execute(turns.order_by(TURNS.c.episode_key, TURNS.c.number)).mappings():
                by_episode[turn["episode_key"]].append(turn)
            return [read_episode(row, by_episode[row["key"]]) for row in rows]

    def episode(self, key: str) -> Episode:
        """The episode with this key. StoreError if it is not stored."""
        found = self._episodes(select(EPISODES).where(EPISODES.c.key == key))
        if not found:
            raise StoreError(f"{self.where} holds no episode {key!r}: check the key")
        return found[0]

    def counts(self, stage: str) -> tuple[int, int]:
        """How many episodes of a stage are completed and how many failed."""
        query = select(func.count(), func.count(EPISODES.c.failure)).where(EPISODES.c.stage == stage)
        with self._database.reading() as connection:
            stored, failed = connection.execute(query).one()
        return stored - failed, failed

    def drop_failed(self, stage: str) -> int:
        """Removes the failed episodes of a stage, so that they are played again; how many there were."""
        with self._database.writing() as connection:
            query = delete(EPISODES).where(EPISODES.c.stage == stage, EPISODES.c.failure.is_not(None))
            return connection.execute(query).rowcount

    # Ratings and selections

    def add_ratings(self, ratings: Sequence[Rating]) -> None:
        """Stores ratings, each in place of the same rater's earlier one of the same episode, role and sample."""
        # Writers that go through the rows in the same order cannot block each other.
        rows = sorted((rating_row(rating) for rating in ratings), key=_identity)
        with self._database.writing() as connection:
            replace(connection, RATINGS, rows)

    def ratings(
        self, stage: str | None = None, rater: str | None = None, *, episode: str | None = None
    ) -> Iterator[Rating]:
        """Ratings by episode, role, rater and sample, of a stage, a rater, an episode if given; streamed."""
        identity = (RATINGS.c.episode_key, RATINGS.c.role, RATINGS.c.rater, RATINGS.c.sample)
        query = _of_stage(select(RATINGS).order_by(*identity).limit(PAGE), stage)
        if rater is not None:
            query = query.where(RATINGS.c.rater == rater)
        if episode is not None:
            query = query.where(RATINGS.c.episode_key == episode)
        page = self._ratings(query)
        while page:
            yield from page
            last = page[-1]
            page = self._ratings(query.where(tuple_(*identity) > (last.episode, last.role, last.rater, last.sample)))

    def _ratings(self, query: Select[Any]) -> list[Rating]:
        with self._database.reading() as connection:
            return [read_rating(row) for row in connection.execute(query).mappings()]

    def raters(self, stage: str | None = None) -> list[str]:
        """Who has rated episodes, of a stage if given, by name."""
        query = _of_stage(select(RATINGS.c.rater).distinct().order_by(RATINGS.c.rater), stage)
        with self._database.reading() as connection:
            return list(connection.scalars(query))

    def drop_failed_ratings(self, stage: str, rater: str) -> int:
        """Removes a rater's failed ratings of a stage, so that they are asked for again; how many there were."""
        of_stage = select(EPISODES.c.key).where(EPISODES.c.stage == stage)
        query = delete(RATINGS).where(
            RATINGS.c.rater == rater, RATINGS.c.failure.is_not(None), RATINGS.c.episode_key.in_(of_stage)
        )
        with self._database.writing() as connection:
            return connection.execute(query).rowcount

    def set_selection(self, name: str, chosen: Sequence[tuple[str, int]]) -> None:
        """Stores which (episode key, role) pairs were selected, in order, in place of an earlier selection."""
        rows = [{"name": name, "position": n, "episode_key": key, "role": role} for n, (key, role) in enumerate(chosen)]
        with self._database.writing(alone=True) as connection:
            connection.execute(delete(SELECTIONS).where(SELECTIONS.c.name == name))
            if rows:
                connection.execute(insert(SELECTIONS), rows)

    def selection(self, name: str) -> list[tuple[str, int]]:
        """The selected (episode key, role) pairs in order; empty if nothing was selected under this name."""
        query = select(SELECTIONS.c.episode_key, SELECTIONS.c.role).where(SELECTIONS.c.name == name)
        with self._database.reading() as connection:
            return [(key, role) for key, role in connection.execute(query.order_by(SELECTIONS.c.position))]


def _of_stage(ratings: Select[Any], stage: str | None) -> Select[Any]:
    """A query of ratings, with a stage given only of its episodes."""
    if stage is None:
        return ratings
    return ratings.join(EPISODES, EPISODES.c.key == RATINGS.c.episode_key).where(EPISODES.c.stage == stage)


def _identity(row: Row) -> tuple[str, int, str, int]:
    return row["episode_key"], row["role"], row["rater"], row["sample"]
