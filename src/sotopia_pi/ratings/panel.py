"""A panel: several judges rate, each under its own name, and what they say together is a rating of its own.

median         the middle score of the judges, the mean of the two middle ones where their number is even.
trimmed_mean   the mean without the highest and the lowest fifth of the scores, at least one of each from three on.

A panel's rating exists where more than half of its judges gave one; else it failed, with the first judge's reason.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from statistics import fmean, median

from sotopia_pi.ratings.judge import JUDGE
from sotopia_pi.ratings.records import Rating
from sotopia_pi.records import content_hash

PANEL = "panel:"


def panel_name(raters: Sequence[str], combine: str) -> str:
    """How a panel is called in ratings; the order of its judges does not matter."""
    return f"{PANEL}{combine} of {len(raters)}:{content_hash(sorted(raters))[:8]}"


def is_judge(rater: str) -> bool:
    """Whether a rater is a judge or a panel of judges, and not a program."""
    return rater.startswith((JUDGE, PANEL))


def panel_ratings(
    episode: str, found: Mapping[str, Mapping[int, Rating]], raters: Sequence[str], combine: str
) -> list[Rating]:
    """The panel's rating of every role of an episode, from its judges' ratings by rater and role."""
    name = panel_name(raters, combine)
    roles = sorted({role for rater in raters for role in found.get(rater, {})})
    return [
        _together(
            name, episode, role, [found[r][role] for r in raters if role in found.get(r, {})], len(raters), combine
        )
        for role in roles
    ]


def _together(name: str, episode: str, role: int, ratings: Sequence[Rating], judges: int, combine: str) -> Rating:
    given = [rating for rating in ratings if rating.failure is None]
    if 2 * len(given) <= judges:
        first = next((f" ({rating.failure})" for rating in ratings if rating.failure), "")
        why = f"panel: {len(given)} of {judges} judges gave a rating{first}"
        return Rating(episode=episode, role=role, rater=name, failure=why)
    names = [dimension for dimension in given[0].scores if all(dimension in rating.scores for rating in given)]
    scores = {dimension: combined_score([r.scores[dimension] for r in given], combine) for dimension in names}
    reasons = {dimension: _reason(dimension, given) for dimension in names}
    return Rating(episode=episode, role=role, rater=name, scores=scores, reasons=reasons)


def combined_score(scores: Sequence[float], combine: str) -> float:
    """The median or the trimmed mean of at least one score."""
    if combine == "median":
        return float(median(scores))
    cut = 0 if len(scores) < 3 else max(1, len(scores) // 5)
    return fmean(sorted(scores)[cut : len(scores) - cut])


def _reason(dimension: str, given: Sequence[Rating]) -> str:
    """Who gave what, for readers."""
    return ", ".join(f"{rating.rater.removeprefix(JUDGE)}: {rating.scores[dimension]:g}" for rating in given)
