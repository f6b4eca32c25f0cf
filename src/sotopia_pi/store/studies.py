"""Human evaluations in the store: studies, the episodes they are about, and the people who rate.

What an annotator is given and hands in is in assignments.py. Participants' ids and session tokens come here as hashes.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Sequence
from typing import Any, NamedTuple

from sqlalchemy import Connection, RowMapping, Select, func, insert, select, update

from sotopia_pi.errors import StoreError
from sotopia_pi.store.database import Database
from sotopia_pi.store.schema import EPISODES, STUDIES, STUDY_ANNOTATORS, STUDY_ITEMS, TURNS
from sotopia_pi.studies.records import Annotator, Item, Study

#: Values per query, below SQLite's limit.
PAGE = 500


class Candidate(NamedTuple):
    """A completed episode that a study may be about, without its turns."""

    key: str
    task_id: str
    stage: str
    players: tuple[str, ...]
    repeat: int


class Sat(NamedTuple):
    """An episode that was played or broke off; of one that broke off, the roles that had acted."""

    task_id: str
    players: tuple[str, ...]
    failure: str | None
    acted: frozenset[int]


class Studies:
    """The studies of a store. Every method may raise StoreError."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def candidates(self, stage: str | None = None, *, keys: Collection[str] | None = None) -> list[Candidate]:
        """The completed episodes of a stage, or with one of `keys`, or all, by key."""
        columns = (EPISODES.c.key, EPISODES.c.task_id, EPISODES.c.stage, EPISODES.c.players, EPISODES.c.repeat)
        query = select(*columns).where(EPISODES.c.failure.is_(None)).order_by(EPISODES.c.key)
        if stage is not None:
            query = query.where(EPISODES.c.stage == stage)
        pages: list[Select[Any]] = [query]
        if keys is not None:
            ordered = sorted(set(keys))
            pages = [query.where(EPISODES.c.key.in_(ordered[at : at + PAGE])) for at in range(0, len(ordered), PAGE)]
        with self._database.reading() as connection:
            rows = [row for page in pages for row in connection.execute(page)]
        return [Candidate(row.key, row.task_id, row.stage, tuple(row.players), row.repeat) for row in rows]

    def stages(self) -> list[str]:
        """The stages that have completed episodes, by name."""
        query = select(EPISODES.c.stage).where(EPISODES.c.failure.is_(None)).distinct().order_by(EPISODES.c.stage)
        with self._database.reading() as connection:
            return list(connection.scalars(query))

    def played(self, stage: str) -> list[Sat]:
        """Every episode of a stage, by key."""
        columns = (EPISODES.c.key, EPISODES.c.task_id, EPISODES.c.players, EPISODES.c.failure)
        query = select(*columns).where(EPISODES.c.stage == stage).order_by(EPISODES.c.key)
        failed = (
            select(TURNS.c.episode_key, TURNS.c.role).distinct().join(EPISODES, EPISODES.c.key == TURNS.c.episode_key)
        )
        with self._database.reading() as connection:
            acted: dict[str, set[int]] = {}
            for row in connection.execute(failed):
                acted.setdefault(row.episode_key, set()).add(row.role)
            return [
                Sat(row.task_id, tuple(row.players), row.failure, frozenset(acted.get(row.key, ())))
                for row in connection.execute(query)
            ]

    def create(self, study: Study, items: Sequence[Item]) -> None:
        """Stores a study with its episodes, which must be stored already. StoreError if the name is taken."""
        with self._database.writing(alone=True) as connection:
            if connection.scalar(select(STUDIES.c.name).where(STUDIES.c.name == study.name)) is not None:
                raise StoreError(
                    f"{self._database.where} has a study {study.name!r} already: choose another name, or continue it"
                )
            connection.execute(insert(STUDIES), [study.model_dump(mode="json")])
            rows = [
                {"study": study.name, "episode_key": item.episode, "position": at, **_kept(item)}
                for at, item in enumerate(items)
            ]
            if rows:
                connection.execute(insert(STUDY_ITEMS), rows)

    def all(self) -> list[Study]:
        """The studies in the order in which they were created."""
        with self._database.reading() as connection:
            rows = connection.execute(select(STUDIES).order_by(STUDIES.c.created, STUDIES.c.name)).mappings()
            return [Study.model_validate(dict(row)) for row in rows]

    def find(self, name: str) -> Study | None:
        """The study of this name."""
        return self._one(select(STUDIES).where(STUDIES.c.name == name))

    def by_link(self, link: str) -> Study | None:
        """The study with this public link."""
        return self._one(select(STUDIES).where(STUDIES.c.link == link))

    def _one(self, query: Select[Any]) -> Study | None:
        with self._database.reading() as connection:
            row = connection.execute(query).mappings().one_or_none()
            return None if row is None else Study.model_validate(dict(row))

    def set_open(self, name: str, open: bool) -> None:
        """Opens or closes a study. A closed one gives out no more episodes and still takes what is in hand."""
        with self._database.writing() as connection:
            if not connection.execute(update(STUDIES).where(STUDIES.c.name == name).values(open=open)).rowcount:
                raise StoreError(f"{self._database.where} has no study {name!r}: check the name")

    def items(self, name: str, *, keys: Collection[str] | None = None, limit: int | None = None) -> list[Item]:
        """The episodes of a study in their order, without those of the qualification: all, `keys`, or the first."""
        query = select(STUDY_ITEMS).where(STUDY_ITEMS.c.study == name, STUDY_ITEMS.c.reference.is_(None))
        query = query.order_by(STUDY_ITEMS.c.position).limit(limit)
        if keys is None:
            return self._items([query])
        ordered = sorted(set(keys))
        columns = STUDY_ITEMS.c.episode_key
        return self._items([query.where(columns.in_(ordered[at : at + PAGE])) for at in range(0, len(ordered), PAGE)])

    def tests(self, name: str) -> list[Item]:
        """The qualification episodes of a study in their order."""
        query = select(STUDY_ITEMS).where(STUDY_ITEMS.c.study == name, STUDY_ITEMS.c.reference.is_not(None))
        return self._items([query.order_by(STUDY_ITEMS.c.position)])

    def _items(self, queries: Sequence[Select[Any]]) -> list[Item]:
        with self._database.reading() as connection:
            rows = [row for query in queries for row in connection.execute(query)]
            return [Item(episode=row.episode_key, reference=row.reference, needed=row.needed) for row in rows]

    def needed(self, name: str) -> tuple[int, int]:
        """How many episodes a study has and how many ratings they need in all, without the qualification."""
        query = select(func.count(), func.coalesce(func.sum(STUDY_ITEMS.c.needed), 0))
        of_study = (STUDY_ITEMS.c.study == name, STUDY_ITEMS.c.reference.is_(None))
        with self._database.reading() as connection:
            episodes, needed = connection.execute(query.where(*of_study)).one()
        return int(episodes), int(needed)

    # People

    def begin(
        self,
        new: Annotator,
        participant: str,
        session: str,
        pseudonym: Callable[[], str],
        *,
        admit: bool = True,
        earlier: Sequence[str] = (),
    ) -> Annotator | None:
        """The annotator with this participant hash, with a new session; the first time `new` under a free pseudonym.

        A participant is one annotator however often they begin, also at the same moment. `earlier` are hashes under
        which a participant may have been stored before, the likeliest first. Without `admit` only those who have begun
        before are let in, and others get None.
        """
        columns = STUDY_ANNOTATORS.c
        with self._database.writing(alone=True) as connection:
            of_study = columns.study == new.study
            hashes = [*earlier, participant]
            held = connection.execute(select(STUDY_ANNOTATORS).where(of_study, columns.participant.in_(hashes)))
            row = min(held.mappings(), key=lambda one: hashes.index(one["participant"]), default=None)
            if row is not None:
                connection.execute(
                    update(STUDY_ANNOTATORS)
                    .where(of_study, columns.pseudonym == row["pseudonym"])
                    .values(session=session)
                )
                return _annotator(row)
            if not admit:
                return None
            name = self._free(connection, new.study, pseudonym)
            annotator = new.model_copy(update={"pseudonym": name})
            values = {**annotator.model_dump(), "participant": participant, "session": session}
            connection.execute(insert(STUDY_ANNOTATORS), [values])
            return annotator

    @staticmethod
    def _free(connection: Connection, study: str, pseudonym: Callable[[], str]) -> str:
        query = select(STUDY_ANNOTATORS.c.pseudonym).where(STUDY_ANNOTATORS.c.study == study)
        while True:
            name = pseudonym()
            if connection.scalar(query.where(STUDY_ANNOTATORS.c.pseudonym == name)) is None:
                return name

    def annotator(self, study: str, session: str) -> Annotator | None:
        """The annotator of a study whose session has this hash."""
        columns = STUDY_ANNOTATORS.c
        query = select(STUDY_ANNOTATORS).where(columns.study == study, columns.session == session)
        with self._database.reading() as connection:
            row = connection.execute(query).mappings().one_or_none()
            return None if row is None else _annotator(row)

    def annotators(self, study: str) -> list[Annotator]:
        """Everybody who began, in the order in which they did."""
        query = select(STUDY_ANNOTATORS).where(STUDY_ANNOTATORS.c.study == study)
        with self._database.reading() as connection:
            rows = connection.execute(
                query.order_by(STUDY_ANNOTATORS.c.created, STUDY_ANNOTATORS.c.pseudonym)
            ).mappings()
            return [_annotator(row) for row in rows]

    def sizes(self) -> dict[str, int]:
        """How many episodes each study has, by name, without the qualification."""
        query = (
            select(STUDY_ITEMS.c.study, func.count().label("items"))
            .where(STUDY_ITEMS.c.reference.is_(None))
            .group_by(STUDY_ITEMS.c.study)
        )
        with self._database.reading() as connection:
            return {row.study: row.items for row in connection.execute(query)}


def _kept(item: Item) -> dict[str, Any]:
    return {"reference": item.reference, "needed": item.needed}


def _annotator(row: RowMapping) -> Annotator:
    return Annotator.model_validate({name: row[name] for name in Annotator.model_fields})
