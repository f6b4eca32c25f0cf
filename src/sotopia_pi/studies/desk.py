"""What an annotator does next, and what becomes of what they hand in: a study as its annotators meet it.

Pages and tests go through this one door. A person is known by a session token, of which the store keeps a hash; what a
platform calls them is hashed with the study's salt and never stored.
"""

from __future__ import annotations

import hashlib
import hmac
import secrets
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Literal

from sotopia_pi.episodes.people import folded
from sotopia_pi.store import Store
from sotopia_pi.studies.answers import Marked, Read, draft_of, mark, read_answer
from sotopia_pi.studies.identity import is_placeholder, participant_of, spellings
from sotopia_pi.studies.names import completion_code, pseudonym
from sotopia_pi.studies.records import Annotator, Assignment, End, Phase, Reference, Study

Stop = Literal["done", "screened_out", "nothing_left", "closed"]


@dataclass(frozen=True, slots=True)
class Step:
    """What comes next for an annotator: an assignment to rate, or the end at which they are.

    `rated` episodes are handed in, of at most `total` that the annotator may get.
    """

    assignment: Assignment | None = None
    stop: Stop | None = None
    rated: int = 0
    total: int = 0

    @property
    def test(self) -> bool:
        """Whether it is part of the qualification."""
        return self.assignment is not None and self.assignment.attempt > 0


@dataclass(frozen=True, slots=True)
class Handed:
    """What became of a submission: not accepted yet (`read` has errors), or stored, or stored before (`again`)."""

    read: Read
    again: bool = False


@dataclass(frozen=True, slots=True)
class Feedback:
    """How an attempt of the qualification went. `left` attempts remain."""

    passed: bool
    marked: list[Marked]
    attempt: int
    left: int


class Desk:
    """One study of one store. `clock` gives seconds since 1970. Every method may raise StoreError."""

    def __init__(self, store: Store, study: Study, clock: Callable[[], float] = time.time) -> None:
        self.store, self.study, self.clock = store, study, clock
        self._references: dict[str, Reference] | None = None

    @classmethod
    def of_link(cls, store: Store, link: str, clock: Callable[[], float] = time.time) -> Desk | None:
        """The study with this public link, if the store has it."""
        study = store.studies.by_link(link)
        return None if study is None else cls(store, study, clock)

    # Who somebody is

    def participant(self, parameters: Mapping[str, str]) -> str:
        """What the platform calls the participant, from the address; empty when it does not say. ConfigError."""
        return participant_of(self.study.settings.participant_parameters, parameters)

    def begin(self, participant: str = "", browser: str = "") -> tuple[Annotator, str] | None:
        """The annotator and the token of a new session; one who began before finds their place again.

        Who has no platform's id is known by a secret of their `browser`, so that beginning twice makes one annotator.

        None when the study is closed and the participant is new, when it asks for an id and there is none, or when what
        stands for the id is a placeholder.
        """
        settings = self.study.settings
        if (
            is_placeholder(participant, settings.participant_parameters)
            if participant
            else settings.participant_required
        ):
            return None
        token = secrets.token_urlsafe(32)
        if participant:
            own, earlier = self._sealed(folded(participant)), [self._sealed(one) for one in spellings(participant)]
        else:
            own, earlier = self._sealed(f"\n{browser or secrets.token_hex(16)}"), []  # a line break: no platform's id
        new = Annotator(
            study=self.study.name,
            pseudonym="",
            phase="instructed" if self._tests() else "qualified",
            code=completion_code(),
            seed=secrets.randbits(62),
            created=self.clock(),
        )
        found = self.store.studies.begin(new, own, _hashed(token), pseudonym, admit=self.study.open, earlier=earlier)
        return None if found is None else (found, token)

    def _sealed(self, known: str) -> str:
        return hmac.new(self.study.salt.encode(), known.encode("utf-8", "replace"), hashlib.sha256).hexdigest()

    def annotator(self, token: str) -> Annotator | None:
        """Whose session a token is."""
        return self.store.studies.annotator(self.study.name, _hashed(token)) if token else None

    # What comes next

    def step(self, annotator: Annotator) -> Step:
        """What the annotator does now; gives out an episode if they have none in hand."""
        if annotator.phase == "screened_out":
            return Step(stop="screened_out")
        if annotator.phase == "instructed":
            own = self.store.assignments.test(self.study, annotator, _new_id(), self.clock())
            return Step(own) if own is not None else Step(stop="screened_out" if self._is_open() else "closed")
        own = self.store.assignments.next(self.study, annotator, _new_id(), self.clock())
        rated, total = self.count(annotator)
        if own is not None:
            return Step(own, rated=rated, total=max(total, rated + 1))
        opened = self._is_open()
        asked = total if opened and self.study.settings.per_annotator else 1
        stop: Stop = "done" if rated >= asked else ("nothing_left" if opened else "closed")
        return Step(stop=stop, rated=rated, total=total)

    def count(self, annotator: Annotator) -> tuple[int, int]:
        """How many episodes the annotator has handed in, and of how many at most."""
        rated = self.store.assignments.rated(annotator)
        size, _ = self.store.studies.needed(self.study.name)
        return rated, max(min(self.study.settings.per_annotator or size, size), rated)

    def has_tests(self) -> bool:
        """Whether the study begins with a qualification."""
        return bool(self._tests())

    def end(self, stop: Stop, annotator: Annotator) -> End:
        """The code and link of an end. The annotator's own code is for who is done, where the study has none."""
        if stop == "closed":
            return End()
        if stop != "done":
            settings = self.study.settings
            return settings.screened_out if stop == "screened_out" else settings.nothing_left
        end = self.study.settings.done
        return end if end.code else end.model_copy(update={"code": annotator.code})

    # What is handed in

    def save(self, annotator: Annotator, assignment: Assignment, given: Mapping[str, str]) -> bool:
        """Keeps a form as a draft; False once it is submitted."""
        draft = draft_of(given, assignment.roles, self.study.settings)
        return self.store.assignments.save_draft(self.study, annotator, assignment.id, draft, self.clock())

    def submit(self, annotator: Annotator, assignment: Assignment, given: Mapping[str, str]) -> Handed:
        """Stores a whole form, or keeps it as a draft and says what is not right yet."""
        read = read_answer(given, assignment.roles, self.study.settings)
        if assignment.submitted is not None:
            return Handed(read, again=True)
        if read.answer is None:
            return Handed(read, again=not self.save(annotator, assignment, given))
        if not assignment.attempt:
            stored = self.store.assignments.submit(self.study, annotator, assignment.id, read.answer, self.clock())
            return Handed(read, again=not stored)
        _, passed = mark(read.answer, self._reference(assignment.episode), self.study.settings.qualification)
        last = assignment.attempt >= self.study.settings.qualification.attempts
        phase: Phase = "qualified" if passed else ("screened_out" if last else "instructed")
        stored = self.store.assignments.submit_test(
            annotator, assignment.id, read.answer, self.clock(), passed=passed, phase=phase
        )
        return Handed(read, again=not stored)

    def feedback(self, assignment: Assignment) -> Feedback | None:
        """How a submitted attempt of the qualification went."""
        if not assignment.attempt or assignment.answer is None:
            return None
        rule = self.study.settings.qualification
        marked, _ = mark(assignment.answer, self._reference(assignment.episode), rule)
        left = 0 if assignment.passed else max(0, rule.attempts - assignment.attempt)
        return Feedback(bool(assignment.passed), marked, assignment.attempt, left)

    def _tests(self) -> dict[str, Reference]:
        if self._references is None:
            items = self.store.studies.tests(self.study.name)
            self._references = {item.episode: item.reference or {} for item in items}
        return self._references

    def _reference(self, episode: str) -> Reference:
        return self._tests().get(episode, {})

    def _is_open(self) -> bool:
        now = self.store.studies.find(self.study.name)
        return now is not None and now.open


def _hashed(token: str) -> str:
    return hashlib.sha256(token.encode("utf-8", "replace")).hexdigest()


def _new_id() -> str:
    return secrets.token_urlsafe(16)
