"""From stored ratings to the parts of an audit."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from sotopia_pi.auditing.alterations import ITSELF, Alterations
from sotopia_pi.auditing.material import Item
from sotopia_pi.environments import GOAL
from sotopia_pi.episodes.altering import FORMS, NEUTRAL
from sotopia_pi.episodes.records import ActionType, Episode
from sotopia_pi.evaluation.trust.calibrating import calibration
from sotopia_pi.evaluation.trust.records import Change, Judged, Pairing
from sotopia_pi.evaluation.trust.stability import altered, compared, repeated
from sotopia_pi.evaluation.trust.truth import against_truth
from sotopia_pi.ratings.records import Rating
from sotopia_pi.rundir import Run


@dataclass(slots=True)
class Ratings:
    """One rater's GOAL of stages of an audit, by (episode, role, sample), and its failures by cause."""

    goals: dict[tuple[str, int, int], float] = field(default_factory=dict)
    failures: Counter[str] = field(default_factory=Counter)
    first_failure: str | None = None
    asked: int = 0

    def goal(self, episode: str, role: int, sample: int = 0) -> float | None:
        """The GOAL that was given; None where there is none."""
        return self.goals.get((episode, role, sample))


def read_ratings(run: Run, rater: str, keys: set[str], stages: Sequence[str]) -> Ratings:
    """The ratings that a rater gave the episodes with these keys."""
    found = Ratings()
    for stage in stages:
        for rating in run.store.ratings(stage, rater):
            if rating.episode in keys:
                _enter(found, rating)
    return found


def _enter(found: Ratings, rating: Rating) -> None:
    found.asked += 1
    if rating.failure is None and GOAL in rating.scores:
        found.goals[rating.episode, rating.role, rating.sample] = rating.scores[GOAL]
        return
    failure = rating.failure or "no GOAL"
    found.failures[failure.split(":", 1)[0]] += 1
    found.first_failure = found.first_failure or failure


def judged_rows(items: Sequence[Item], ratings: Ratings) -> list[Judged]:
    """Every role that the judge rated, with its truth."""
    rows = []
    for item in items:
        for role in item.task.roles:
            given = ratings.goal(item.episode.key, role)
            if given is not None:
                rows.append(_row(item, role, given))
    return rows


def _row(item: Item, role: int, given: float) -> Judged:
    episode = item.episode
    return Judged(
        policy=episode.players[role],
        scenario=item.scenario,
        kind=item.task.scenario.kind,
        unit=f"{item.task.id}/{role}/{episode.repeat}",
        words=_words(episode, role),
        turns=len(episode.turns),
        truth=item.truth[role],
        given=given,
    )


def _words(episode: Episode, role: int) -> int:
    said = (ActionType.SPEAK, ActionType.LEAVE)
    return sum(len(t.action.argument.split()) for t in episode.turns if t.role == role and t.action.type in said)


def truth_part(items: Sequence[Item], ratings: Ratings, order: Sequence[str]) -> dict[str, Any]:
    """The judge beside the verifier."""
    return against_truth(judged_rows(items, ratings), order)


def calibration_part(items: Sequence[Item], ratings: Ratings) -> dict[str, Any]:
    """The map from the judge's GOAL to the true one."""
    rows = judged_rows(items, ratings)
    return calibration([r.given for r in rows], [r.truth for r in rows], [r.scenario for r in rows])


def itself_part(items: Sequence[Item], ratings: Ratings, alterations: Alterations) -> dict[str, Any]:
    """The judge beside itself."""
    pairs = []
    for item in items:
        for role in item.task.roles:
            first, second = (ratings.goal(item.episode.key, role, sample) for sample in (0, 1))
            if first is not None and second is not None:
                pairs.append(Pairing(item.scenario, (first, second)))
    found: dict[str, Any] = {"repeat": repeated(pairs)}
    for kind in ITSELF:
        rows = [change for row in alterations.made.get(kind, ()) for change in _changes(kind, row, ratings)]
        found[kind] = {**altered(rows), "n_left_out": alterations.dropped[kind]}
    return found


def _changes(kind: str, row: tuple[Item, Any, Episode], ratings: Ratings) -> list[Change]:
    item, _, episode = row
    found = []
    for role in item.task.roles:
        moved = 1 - role if kind == "swapped" else role
        before, after = ratings.goal(item.episode.key, role), ratings.goal(episode.key, moved)
        if before is not None and after is not None:
            sign = 1 if kind == "reworded" or role == 1 else -1  # role 1 is moved to the first place
            found.append(Change(item.scenario, before, after, sign, ratings.goal(item.episode.key, role, 1)))
    return found


def susceptibility_part(ratings: Ratings, alterations: Alterations) -> dict[str, Any]:
    """What each form of words for the judge does over neutral words."""
    neutral = {item.episode.key: episode.key for item, _, episode in alterations.made.get(NEUTRAL, ())}
    found = {}
    for form in FORMS:
        changes = []
        for item, _, episode in alterations.made.get(form, ()):
            key = item.episode.key
            role = alterations.treated[key]
            before, after = ratings.goal(neutral[key], role), ratings.goal(episode.key, role)
            if before is not None and after is not None:
                changes.append(Change(item.scenario, before, after))
        found[form] = {**altered(changes), "n_left_out": alterations.dropped[form]}
    return found


def others_part(items: Sequence[Item], ratings: Mapping[str, Ratings]) -> dict[str, Any]:
    """Judges beside each other."""
    rows = []
    for item in items:
        for role in item.task.roles:
            given = [found.goal(item.episode.key, role) for found in ratings.values()]
            scores = [score for score in given if score is not None]
            if len(scores) == len(given):
                rows.append(Pairing(item.scenario, tuple(scores)))
    failed = {name: sum(found.failures.values()) for name, found in ratings.items()}
    return {**compared(list(ratings), rows), "failed": failed}
