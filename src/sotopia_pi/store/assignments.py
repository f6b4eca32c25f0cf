"""What annotators are given and what they hand in: the queue of a study, in the database.

Giving out and handing in are transactions of a single writer, so two people who ask at the same moment cannot get one
person's place, and a submission is stored once with its ratings or not at all.
"""

from __future__ import annotations

from typing import Any

from sqlalchemy import (
    BigInteger,
    ColumnElement,
    Connection,
    RowMapping,
    Select,
    cast,
    func,
    insert,
    or_,
    select,
    update,
)

from sotopia_pi.errors import StoreError
from sotopia_pi.ratings.records import Rating
from sotopia_pi.records import derive_seed
from sotopia_pi.store.database import Database
from sotopia_pi.store.queries import replace
from sotopia_pi.store.rows import Row, rating_row
from sotopia_pi.store.schema import (
    EPISODES,
    RATINGS,
    STUDIES,
    STUDY_ANNOTATORS,
    STUDY_ASSIGNMENTS,
    STUDY_ITEMS,
    TASK_CHARACTERS,
)
from sotopia_pi.studies.records import Annotator, Answer, Assignment, Phase, Study, rater_of

_COLUMNS = STUDY_ASSIGNMENTS.c
#: 2³¹ − 1, a prime: products of two smaller numbers stay within 63 bits.
_PRIME = 2_147_483_647


class Assignments:
    """What the annotators of a store's studies have in hand. Every method may raise StoreError."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def next(self, study: Study, annotator: Annotator, id: str, now: float) -> Assignment | None:
        """What the annotator rates now: what they have begun, else another episode under the new `id`.

        Episodes come in an order of the annotator's own, and each goes to as many people as it needs; an episode whose
        lease has run out counts as free. None when there is nothing for this annotator at the moment, when they have
        had all they may, or when the study is closed.
        """
        with self._database.reading() as connection:
            for own in self._unfinished(connection, annotator, tested=False):
                if own.until - now > 30 * study.settings.lease_minutes:  # half of it: no need to write
                    return own
        until = now + 60 * study.settings.lease_minutes
        with self._database.writing(alone=True) as connection:
            for own in self._unfinished(connection, annotator, tested=False):
                if own.until > now or own.draft or self._free(connection, study.name, now, own.episode):
                    connection.execute(update(STUDY_ASSIGNMENTS).where(_COLUMNS.id == own.id).values(until=until))
                    return own.model_copy(update={"until": until})  # what somebody began is never taken from them
            if not self._may_have_more(connection, study, annotator):
                return None
            free = _free_items(study.name, now).where(~_given_to(annotator)).order_by(_place_for(annotator))
            episode: str | None = connection.scalar(free.limit(1))
            if episode is None:
                return None
            return self._give(connection, annotator, episode, 0, id, now, until)

    def test(self, study: Study, annotator: Annotator, id: str, now: float) -> Assignment | None:
        """The qualification episode that the annotator rates now; None when they have used up their attempts, or
        when the study is closed."""
        query = select(STUDY_ITEMS.c.episode_key).where(
            STUDY_ITEMS.c.study == study.name, STUDY_ITEMS.c.reference.is_not(None)
        )
        until = now + 60 * study.settings.lease_minutes
        with self._database.writing(alone=True) as connection:
            for own in self._unfinished(connection, annotator, tested=True):
                return own
            episodes = list(connection.scalars(query.order_by(STUDY_ITEMS.c.position)))
            used = connection.execute(select(func.count()).where(*_of(annotator), _COLUMNS.attempt > 0)).scalar_one()
            if not self._is_open(connection, study) or not episodes or used >= study.settings.qualification.attempts:
                return None
            episode = episodes[used % len(episodes)]
            return self._give(connection, annotator, episode, used + 1, id, now, until)

    def get(self, annotator: Annotator, id: str) -> Assignment | None:
        """The annotator's assignment with this id; None for anybody else's."""
        with self._database.reading() as connection:
            row = connection.execute(select(STUDY_ASSIGNMENTS).where(*_of(annotator), _COLUMNS.id == id)).mappings()
            found = row.one_or_none()
            return None if found is None else _assignment(found)

    def save_draft(self, study: Study, annotator: Annotator, id: str, draft: dict[str, str], now: float) -> bool:
        """Keeps what has been filled in so far and renews the lease; False once it is submitted or not theirs."""
        until = now + 60 * study.settings.lease_minutes
        own = (*_of(annotator), _COLUMNS.id == id, _COLUMNS.submitted.is_(None))
        with self._database.writing() as connection:
            query = update(STUDY_ASSIGNMENTS).where(*own).values(draft=draft, until=until)
            return bool(connection.execute(query).rowcount)

    def submit(self, study: Study, annotator: Annotator, id: str, answer: Answer, now: float) -> bool:
        """Stores an answer and one rating per role, and asks for one more annotator where the study says so.

        Accepted also when the lease has run out. False, and nothing changed, if it was submitted before.
        """
        with self._database.writing(alone=True) as connection:
            own = self._hand_in(connection, annotator, id, answer, now)
            if own is None:
                return False
            rater = rater_of(study.name, annotator.pseudonym)
            ratings = [
                Rating(
                    episode=own.episode,
                    role=int(role),
                    rater=rater,
                    scores={name: float(score) for name, score in scores.items()},
                    reasons={name: reason for name, reason in answer.reasons.get(role, {}).items() if reason},
                )
                for role, scores in sorted(answer.scores.items())
            ]
            replace(connection, RATINGS, [rating_row(rating) for rating in ratings])
            needed = study.settings.needed(self._compared(connection, study, own.episode))
            item = (STUDY_ITEMS.c.study == study.name, STUDY_ITEMS.c.episode_key == own.episode)
            connection.execute(update(STUDY_ITEMS).where(*item).values(needed=needed))
        return True

    def submit_test(
        self, annotator: Annotator, id: str, answer: Answer, now: float, *, passed: bool, phase: Phase
    ) -> bool:
        """Stores an answer of the qualification, and where it leaves the annotator. False if submitted before."""
        people = STUDY_ANNOTATORS.c
        own = (people.study == annotator.study, people.pseudonym == annotator.pseudonym)
        with self._database.writing(alone=True) as connection:
            if self._hand_in(connection, annotator, id, answer, now, passed=passed) is None:
                return False
            connection.execute(update(STUDY_ANNOTATORS).where(*own, people.phase == "instructed").values(phase=phase))
        return True

    def rated(self, annotator: Annotator) -> int:
        """How many episodes an annotator has handed in."""
        query = select(func.count()).where(*_of(annotator), _COLUMNS.attempt == 0, _COLUMNS.submitted.is_not(None))
        with self._database.reading() as connection:
            return connection.execute(query).scalar_one()

    def of_study(self, study: str) -> list[Assignment]:
        """Every assignment of a study in the order in which they were given."""
        query = select(STUDY_ASSIGNMENTS).where(_COLUMNS.study == study).order_by(_COLUMNS.created, _COLUMNS.id)
        with self._database.reading() as connection:
            return [_assignment(row) for row in connection.execute(query).mappings()]

    # Parts of a transaction

    @staticmethod
    def _unfinished(connection: Connection, annotator: Annotator, *, tested: bool) -> list[Assignment]:
        query = select(STUDY_ASSIGNMENTS).where(
            *_of(annotator), _COLUMNS.submitted.is_(None), (_COLUMNS.attempt > 0) if tested else (_COLUMNS.attempt == 0)
        )
        rows = connection.execute(query.order_by(_COLUMNS.until.desc(), _COLUMNS.id)).mappings().all()
        return [_assignment(row) for row in rows]

    @staticmethod
    def _free(connection: Connection, study: str, now: float, episode: str) -> bool:
        """Whether fewer people than needed have rated an episode or have it in hand."""
        query = _free_items(study, now).where(STUDY_ITEMS.c.episode_key == episode)
        return connection.scalar(query) is not None

    @staticmethod
    def _is_open(connection: Connection, study: Study) -> bool:
        return bool(connection.scalar(select(STUDIES.c.open).where(STUDIES.c.name == study.name)))

    @staticmethod
    def _may_have_more(connection: Connection, study: Study, annotator: Annotator) -> bool:
        if not Assignments._is_open(connection, study):
            return False
        query = select(func.count()).where(*_of(annotator), _COLUMNS.attempt == 0, _COLUMNS.submitted.is_not(None))
        limit = study.settings.per_annotator
        return limit is None or connection.execute(query).scalar_one() < limit

    @staticmethod
    def _give(
        connection: Connection,
        annotator: Annotator,
        episode: str,
        attempt: int,
        id: str,
        now: float,
        until: float,
    ) -> Assignment:
        cast = select(TASK_CHARACTERS.c.role).join(EPISODES, EPISODES.c.task_id == TASK_CHARACTERS.c.task_id)
        roles = list(connection.scalars(cast.where(EPISODES.c.key == episode)))
        given = Assignment(
            id=id,
            study=annotator.study,
            pseudonym=annotator.pseudonym,
            episode=episode,
            attempt=attempt,
            roles=tuple(sorted(roles, key=lambda role: derive_seed(id, role))),  # the id is random
            created=now,
            until=until,
        )
        connection.execute(insert(STUDY_ASSIGNMENTS), [_row(given)])
        return given

    def _hand_in(
        self,
        connection: Connection,
        annotator: Annotator,
        id: str,
        answer: Answer,
        now: float,
        *,
        passed: bool | None = None,
    ) -> Assignment | None:
        """The assignment that is now submitted; None if it was before. StoreError if it is not the annotator's."""
        row = connection.execute(select(STUDY_ASSIGNMENTS).where(*_of(annotator), _COLUMNS.id == id)).mappings()
        own = row.one_or_none()
        if own is None:
            raise StoreError(f"{self._database.where} holds no such assignment of {annotator.pseudonym}: go back")
        if own["submitted"] is not None:
            return None
        values = {"answer": answer.model_dump(mode="json"), "submitted": now, "passed": passed, "draft": {}}
        connection.execute(update(STUDY_ASSIGNMENTS).where(_COLUMNS.id == id).values(values))
        return _assignment(own)

    @staticmethod
    def _compared(connection: Connection, study: Study, episode: str) -> list[dict[int, float]]:
        """The scores on the dimension that is compared: of each annotator of an episode, by role."""
        again = study.settings.reannotation
        query = select(_COLUMNS.answer).where(
            _COLUMNS.study == study.name,
            _COLUMNS.episode_key == episode,
            _COLUMNS.attempt == 0,
            _COLUMNS.submitted.is_not(None),
        )
        name = again.dimension if again else ""
        return [
            {int(role): float(scores[name]) for role, scores in answer["scores"].items() if name in scores}
            for answer in connection.scalars(query)
        ]


def _free_items(study: str, now: float) -> Select[Any]:
    """The episodes of a study that fewer people than needed have rated or have in hand."""
    people = (
        select(func.count())
        .where(_COLUMNS.study == STUDY_ITEMS.c.study, _COLUMNS.episode_key == STUDY_ITEMS.c.episode_key)
        .where(_COLUMNS.attempt == 0, or_(_COLUMNS.submitted.is_not(None), _COLUMNS.until > now))
        .scalar_subquery()
    )
    query = select(STUDY_ITEMS.c.episode_key).where(STUDY_ITEMS.c.study == study, STUDY_ITEMS.c.reference.is_(None))
    return query.where(people < STUDY_ITEMS.c.needed)


def _given_to(annotator: Annotator) -> ColumnElement[bool]:
    return (
        select(_COLUMNS.id)
        .where(*_of(annotator), _COLUMNS.episode_key == STUDY_ITEMS.c.episode_key, _COLUMNS.attempt == 0)
        .exists()
    )


def _place_for(annotator: Annotator) -> ColumnElement[int]:
    """Where an episode stands in an annotator's own order: a random polynomial of its position, modulo a prime.

    Of degree two, so that any three episodes come in any order equally often (3-wise independence; Wegman & Carter
    1981). The database can sort by it, so that giving out an episode of many thousands takes a few milliseconds.
    """
    square, factor, start = (derive_seed(annotator.seed, power) % _PRIME for power in (2, 1, 0))
    position = cast(STUDY_ITEMS.c.position, BigInteger)
    return (position * position % _PRIME * square % _PRIME + position * factor % _PRIME + start) % _PRIME


def _of(annotator: Annotator) -> tuple[ColumnElement[bool], ...]:
    return _COLUMNS.study == annotator.study, _COLUMNS.pseudonym == annotator.pseudonym


def _row(assignment: Assignment) -> Row:
    row = assignment.model_dump(mode="json")
    return {"episode_key": row.pop("episode"), **row}


def _assignment(row: RowMapping) -> Assignment:
    fields = dict(row)
    return Assignment.model_validate({"episode": fields.pop("episode_key"), **fields})
