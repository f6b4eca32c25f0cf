"""Several samples of one rater as one rating."""

from __future__ import annotations

from collections.abc import Iterable

from sotopia_pi.ratings.records import Rating


def combined(ratings: Iterable[Rating]) -> dict[str, dict[int, Rating]]:
    """One rating per rater and role, from the ratings of one episode.

    Scores are means over the samples that were given, and reasons those of the first. Where every sample failed, it is
    the first failure.
    """
    groups: dict[tuple[str, int], list[Rating]] = {}
    for rating in ratings:
        groups.setdefault((rating.rater, rating.role), []).append(rating)
    found: dict[str, dict[int, Rating]] = {}
    for (rater, role), group in groups.items():
        found.setdefault(rater, {})[role] = _mean(group)
    return found


def _mean(group: list[Rating]) -> Rating:
    given = [rating for rating in group if rating.failure is None]
    if len(given) <= 1:
        return given[0] if given else group[0]
    names = [name for name in given[0].scores if all(name in rating.scores for rating in given)]
    means = {name: sum(rating.scores[name] for rating in given) / len(given) for name in names}
    return given[0].model_copy(update={"scores": means})
