"""What the owner of a study wants to know: how far it is, who is at it, and how far people agree."""

from __future__ import annotations

import time
from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass, field
from statistics import median

from sotopia_pi.evaluation.agreement import Agreement, agreement
from sotopia_pi.store import Store
from sotopia_pi.studies.records import Annotator, Assignment, Item, Study


@dataclass(frozen=True, slots=True)
class PersonProgress:
    """How far an annotator is. `minutes` is the median time per episode; None before the first."""

    annotator: Annotator
    rated: int
    in_hand: int
    attempts: int
    minutes: float | None


@dataclass(frozen=True, slots=True)
class EpisodeProgress:
    """How far an episode is: `rated` of `needed`, and `leased` to people who have not submitted it."""

    episode: str
    needed: int
    rated: int
    leased: int

    @property
    def complete(self) -> bool:
        """Whether everybody who is needed has rated it."""
        return self.rated >= self.needed


@dataclass(frozen=True, slots=True)
class Lease:
    """An episode in somebody's hands, for `minutes` more (negative: the lease has run out)."""

    pseudonym: str
    episode: str
    minutes: float
    begun: bool
    test: bool


@dataclass(slots=True)
class Status:
    """A study at a moment.

    `total` episodes need `needed` ratings as far as is known, `rated` were submitted; `complete` episodes have all they
    need, and for `again` one more annotator was asked than usual. `tests` are episodes of the qualification.
    """

    study: Study
    people: list[PersonProgress] = field(default_factory=list)
    episodes: list[EpisodeProgress] = field(default_factory=list)
    leases: list[Lease] = field(default_factory=list)
    agreement: list[Agreement] = field(default_factory=list)
    tests: int = 0

    total: int = 0
    rated: int = 0
    needed: int = 0
    complete: int = 0
    again: int = 0


def status(store: Store, study: Study, now: float | None = None, rows: int | None = None) -> Status:
    """How far a study is; with the first `rows` episodes (None: all). StoreError."""
    now = time.time() if now is None else now
    given = store.assignments.of_study(study.name)
    rated = [one for one in given if one.attempt == 0]
    found = Status(study, tests=len(store.studies.tests(study.name)))
    found.people = _people(store.studies.annotators(study.name), given)
    found.episodes = _episodes(store.studies.items(study.name, limit=rows), rated, now)
    found.total, found.needed = store.studies.needed(study.name)
    touched = _episodes(store.studies.items(study.name, keys={one.episode for one in rated}), rated, now)
    found.rated = sum(one.rated for one in touched)
    found.complete = sum(one.complete for one in touched)
    found.again = sum(one.needed > study.settings.annotators for one in touched)
    found.leases = [
        Lease(one.pseudonym, one.episode, (one.until - now) / 60, bool(one.draft), one.attempt > 0)
        for one in given
        if one.submitted is None
    ]
    found.agreement = agreements(study, rated)
    return found


def agreements(study: Study, assignments: Sequence[Assignment]) -> list[Agreement]:
    """Agreement per dimension over what was submitted."""
    units: dict[str, dict[tuple[str, str], list[float]]] = defaultdict(lambda: defaultdict(list))
    for one in assignments:
        if one.answer is not None:
            for role, scores in one.answer.scores.items():
                for name, score in scores.items():
                    units[name][one.episode, role].append(float(score))
    return [agreement(d.name, list(units[d.name].values()), d.low, d.high) for d in study.settings.dimensions]


def _people(annotators: Sequence[Annotator], given: Sequence[Assignment]) -> list[PersonProgress]:
    by_person: dict[str, list[Assignment]] = defaultdict(list)
    for one in given:
        by_person[one.pseudonym].append(one)
    people = []
    for annotator in annotators:
        own = by_person[annotator.pseudonym]
        rated = [one for one in own if one.attempt == 0 and one.submitted is not None]
        took = [(one.submitted - one.created) / 60 for one in rated if one.submitted is not None]
        people.append(
            PersonProgress(
                annotator,
                rated=len(rated),
                in_hand=sum(one.submitted is None for one in own),
                attempts=sum(one.attempt > 0 and one.submitted is not None for one in own),
                minutes=median(took) if took else None,
            )
        )
    return people


def _episodes(items: Sequence[Item], rated: Sequence[Assignment], now: float) -> list[EpisodeProgress]:
    done: dict[str, int] = defaultdict(int)
    leased: dict[str, int] = defaultdict(int)
    for one in rated:
        if one.submitted is not None:
            done[one.episode] += 1
        elif one.until > now:
            leased[one.episode] += 1
    return [EpisodeProgress(item.episode, item.needed, done[item.episode], leased[item.episode]) for item in items]
