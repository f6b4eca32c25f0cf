"""How far people who rated the same thing agree: per dimension, beside how high and how scattered the scores are.

A thing that is rated ("unit") is one role of one episode. Scores are put into bins of equal width over the dimension's
range before they are compared, because people who write 7 and 8 agree on what happened. With `bins` None only equal
scores agree.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from math import floor

import numpy as np

#: SOTOPIA compares human scores in five bins of equal width; with two bins, agreement means "the same half".
BINS = 5


@dataclass(frozen=True, slots=True)
class Agreement:
    """Agreement on one dimension.

    `units` were rated by two people or more; `ratings` counts all scores, `mean` and `spread` (their standard
    deviation) are over all of them. `pairwise` and `kappa` are None where nothing was rated twice.
    """

    dimension: str
    units: int
    ratings: int
    bins: int | None
    pairwise: float | None
    kappa: float | None
    mean: float | None
    spread: float | None


def agreement(
    dimension: str, units: Sequence[Sequence[float]], low: float, high: float, bins: int | None = BINS
) -> Agreement:
    """Agreement on a dimension with the range `low` to `high`; each unit is the scores that it was given.

    Pairwise agreement is the share of pairs of raters of a unit whose scores fall into the same bin, averaged over
    units: P = 1/N · Σ_i Σ_j n_ij (n_ij − 1) / (n_i (n_i − 1)), n_ij of the n_i raters of unit i having chosen bin j.
    Kappa is Randolph's free-marginal one, (P − 1/q) / (1 − 1/q) with q the number of bins (or of scores there are, for
    `bins` None): 0 is what blind choice among the bins would give, 1 is full agreement. It does not fall when nearly
    everything gets the same score, as Fleiss' and Cohen's do. Source: J. J. Randolph, "Free-marginal multirater
    kappa", 2005; used for SOTOPIA's and SOTOPIA-π's human ratings.
    """
    every = [score for unit in units for score in unit]
    shares = [_share(unit, low, high, bins) for unit in units if len(unit) >= 2]
    pairwise = sum(shares) / len(shares) if shares else None
    chance = 1 / (bins if bins is not None else round(high - low) + 1)
    return Agreement(
        dimension=dimension,
        units=len(shares),
        ratings=len(every),
        bins=bins,
        pairwise=pairwise,
        kappa=None if pairwise is None else (pairwise - chance) / (1 - chance),
        mean=float(np.mean(every)) if every else None,
        spread=float(np.std(every, ddof=1)) if len(every) > 1 else None,
    )


def binned(score: float, low: float, high: float, bins: int | None) -> float:
    """The bin of a score, from 0; the score itself without bins. The top of the range belongs to the last bin."""
    if bins is None:
        return score
    return min(bins - 1, max(0, floor((score - low) / (high - low) * bins)))


def _share(unit: Sequence[float], low: float, high: float, bins: int | None) -> float:
    """The share of pairs within a unit that agree."""
    counts = Counter(binned(score, low, high, bins) for score in unit)
    pairs = len(unit) * (len(unit) - 1)
    return sum(count * (count - 1) for count in counts.values()) / pairs
