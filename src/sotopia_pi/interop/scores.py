"""Published scores and reasons as ratings, one per role."""

from __future__ import annotations

import math
import re
from collections.abc import Mapping, Sequence
from typing import Any

from sotopia_pi.interop.problems import RecordError
from sotopia_pi.ratings.records import DIMENSIONS, Rating

#: The rater of published scores whose judge is not named.
PUBLISHED = "published"
_FAILED = "the published rating failed"
_OVERALL = ("overall_score", "overall")
#: Names that other files use for a dimension.
_OTHER_NAMES = {
    "bel": "believability", "rel": "relationship", "kno": "knowledge", "sec": "secret", "soc": "social_rules",
    "fin": "financial_and_material_benefits", "financial": "financial_and_material_benefits",
    "secrets": "secret", "goal_completion": "goal",
}  # fmt: skip
_NUMBER = re.compile(r"[+-]?\d{1,9}(?:\.\d{0,18})?")
_SECTION = re.compile(r"^Agent (\d+) comments:[ \t]*$", re.MULTILINE)
_REASON = re.compile(r"^(\w+): ", re.MULTILINE)


def find_rewards(record: Mapping[str, Any], names: Sequence[str]) -> Any:
    """The rewards of a record, one entry per role where they are by name; None where there are none.

    A single 0 stands for a rating that failed for everybody.
    """
    found = next((record[key] for key in ("raw_rewards", "rewards") if record.get(key) not in (None, [], {})), None)
    if isinstance(found, dict):
        if set(found) != set(names):
            raise RecordError(f"the rewards are for {', '.join(found)[:80]!r} and not for the participants")
        return [found[name] for name in names]
    if isinstance(found, list) and all(isinstance(item, list) and item and item[0] in names for item in found):
        by_name = {item[0]: item[1:] for item in found}
        if len(by_name) != len(found) or set(by_name) != set(names):
            raise RecordError("the rewards name other roles than the participants")
        return [by_name[name][0] if len(by_name[name]) == 1 else by_name[name] for name in names]
    return [found] * len(names) if _is_zero(found) else found


def _is_zero(value: Any) -> bool:
    return not isinstance(value, bool) and isinstance(value, int | float) and value == 0


def read_ratings(key: str, rater: str, rewards: Any, reasoning: str, roles: int) -> tuple[Rating, ...]:
    """One rating per role; none where the record has no rewards. RecordError for scores that cannot be.

    A role's entry is `[overall, {dimension: score}]`, the scores alone, or the number 0 where rating failed.
    """
    if rewards is None or rewards == []:
        return ()
    if not isinstance(rewards, list) or len(rewards) != roles:
        found = f"{len(rewards)} entries" if isinstance(rewards, list) else "no list"
        raise RecordError(f"the rewards are {found} for {roles} roles")
    reasons = read_reasons(reasoning)
    return tuple(_rating(key, role, rater, entry, reasons.get(role, {})) for role, entry in enumerate(rewards))


def _rating(key: str, role: int, rater: str, entry: Any, reasons: dict[str, str]) -> Rating:
    if _is_zero(entry):
        return Rating(episode=key, role=role, rater=rater, failure=f"{_FAILED} (0.0)")
    if entry is None:
        return Rating(episode=key, role=role, rater=rater, failure=f"{_FAILED} (none is given)")
    if isinstance(entry, list) and len(entry) == 2 and isinstance(entry[1], dict | None):
        if entry[0] is not None:
            _number(entry[0], "overall", role)
        entry = entry[1] or {}
    if not isinstance(entry, dict):
        raise RecordError(f"the reward of role {role} is neither [overall, scores] nor 0.0")
    scores = _scores(entry, role)
    if not scores:
        return Rating(episode=key, role=role, rater=rater, failure=f"{_FAILED} (no scores)")
    kept = {name: text for name, text in reasons.items() if name in scores}
    return Rating(episode=key, role=role, rater=rater, scores=scores, reasons=kept)


def check_scores(entry: Mapping[str, Any], role: int) -> dict[str, float]:
    """The scores under the names of our dimensions. RecordError for a score out of its dimension's range."""
    return _scores(entry, role)


def _scores(entry: Mapping[str, Any], role: int) -> dict[str, float]:
    scores: dict[str, float] = {}
    for name, value in entry.items():
        if value is None:
            continue
        if name in _OVERALL:
            _number(value, name, role)
            continue
        dimension = _dimension(name)
        number = _number(value, name, role)
        low, high = DIMENSIONS.get(dimension, (-math.inf, math.inf))
        if not low <= number <= high:
            raise RecordError(f"the {name} of role {role} is {number:g}; it goes from {low} to {high}")
        if dimension in scores:
            raise RecordError(f"role {role} has two scores for {dimension}")
        scores[dimension] = number
    return scores


def _dimension(name: str) -> str:
    plain = name.strip().lower().replace(" ", "_")
    return _OTHER_NAMES.get(plain, plain)


def _number(value: Any, name: str, role: int) -> float:
    if isinstance(value, str) and _NUMBER.fullmatch(value.strip()):
        value = float(value)
    if isinstance(value, bool) or not isinstance(value, int | float) or not abs(value) <= 1e6:
        raise RecordError(f"the {name} of role {role} is no number that a score can be")
    return float(value)


def read_reasons(text: str) -> dict[int, dict[str, str]]:
    """A judge's reasons by role and dimension, from SOTOPIA's printed comments; empty where there are none."""
    marks = list(_SECTION.finditer(text))
    ends = [*(mark.start() for mark in marks), len(text)][1:]
    found: dict[int, dict[str, str]] = {}
    for mark, end in zip(marks, ends, strict=True):
        section = text[mark.end() : end]
        heads = [head for head in _REASON.finditer(section) if _dimension(head[1]) in DIMENSIONS]
        stops = [*(head.start() for head in heads), len(section)][1:]
        found[int(mark[1]) - 1] = {
            _dimension(head[1]): section[head.end() : stop].strip() for head, stop in zip(heads, stops, strict=True)
        }
    return found
