"""From what an annotator filled in to an answer, or to one sentence per field that is not right yet.

A form has a score and a reason per role and dimension. Fields are named by the place in which a role is shown, never
by the role itself: "score-1-goal" is the goal of the person shown first.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from sotopia_pi.episodes.people import plain
from sotopia_pi.ratings.dimensions import Dimension
from sotopia_pi.studies.records import LONGEST_REASON, Answer, Qualification, Reference, StudySettings

_WHOLE = re.compile(r"[+-]?[0-9]{1,6}")


def score_field(place: int, dimension: str) -> str:
    """The form field of a score; `place` counts from 1 in the order in which roles are shown."""
    return f"score-{place}-{dimension}"


def reason_field(place: int, dimension: str) -> str:
    """The form field of a reason."""
    return f"reason-{place}-{dimension}"


def fields_of(roles: Sequence[int], settings: StudySettings) -> list[str]:
    """Every field of a form in the order in which it is filled in."""
    return [
        name
        for place in range(1, len(roles) + 1)
        for dimension in settings.dimensions
        for name in (score_field(place, dimension.name), reason_field(place, dimension.name))
    ]


def draft_of(given: Mapping[str, str], roles: Sequence[int], settings: StudySettings) -> dict[str, str]:
    """What of a form is kept as a draft: its own fields that hold something, cut to the longest reason."""
    kept = ((name, plain(given.get(name, ""))[:LONGEST_REASON]) for name in fields_of(roles, settings))
    return {name: value for name, value in kept if value.strip()}


@dataclass(slots=True)
class Read:
    """A form as it was read: an answer, or `errors` by field in the order of the form."""

    answer: Answer | None = None
    errors: dict[str, str] = field(default_factory=dict)


def read_answer(given: Mapping[str, str], roles: Sequence[int], settings: StudySettings) -> Read:
    """Reads a whole form. Every score must be a whole number in its range, every reason as long as the study asks."""
    read = Read()
    scores: dict[str, dict[str, int]] = {}
    reasons: dict[str, dict[str, str]] = {}
    for place, role in enumerate(roles, 1):
        for dimension in settings.dimensions:
            score = _score(given.get(score_field(place, dimension.name), ""), dimension)
            if isinstance(score, str):
                read.errors[score_field(place, dimension.name)] = score
            else:
                scores.setdefault(str(role), {})[dimension.name] = score
            reason = plain(given.get(reason_field(place, dimension.name), "")).strip()
            if wrong := _reason_error(reason, settings.reason_characters):
                read.errors[reason_field(place, dimension.name)] = wrong
            reasons.setdefault(str(role), {})[dimension.name] = reason
    if not read.errors:
        read.answer = Answer(scores=scores, reasons=reasons)
    return read


def _score(text: str, dimension: Dimension) -> int | str:
    text = text.strip().replace("\N{MINUS SIGN}", "-")
    if not text:
        return f"Choose a score from {dimension.range}."
    if not _WHOLE.fullmatch(text) or not dimension.low <= int(text) <= dimension.high:
        return f"The score must be a whole number from {dimension.range}."
    return int(text)


def _reason_error(reason: str, characters: int) -> str | None:
    if len(reason) > LONGEST_REASON:
        return f"The reason is longer than {LONGEST_REASON} characters; shorten it."
    if len(reason) < characters:
        return "Write a reason for the score." if not reason else f"Write at least {characters} characters as a reason."
    return None


@dataclass(frozen=True, slots=True)
class Marked:
    """One score of a qualification beside its reference."""

    role: int
    dimension: str
    score: int
    reference: float
    within: bool


def mark(answer: Answer, reference: Reference, rule: Qualification) -> tuple[list[Marked], bool]:
    """Every score that has a reference, and whether enough of them are within the tolerance."""
    marked = [
        Marked(int(role), name, scores[name], value, abs(scores[name] - value) <= rule.tolerance)
        for role, scores in sorted(answer.scores.items())
        for name, value in reference.get(role, {}).items()
        if name in scores
    ]
    within = sum(one.within for one in marked)
    return marked, within >= rule.share * len(marked) - 1e-9
