"""How far raters agree: pairwise agreement, Randolph's kappa, Krippendorff's alpha, the intraclass correlation.

Both take one list of scores per item (what was rated), a score per rater who rated it; items with one score say nothing
about agreement and are left out. Raters may differ from item to item.

pairs   The scale is cut into `bins` equal parts, and P is the share of pairs of ratings of one item that fall into
        the same part, each item counting once. SOTOPIA-π reports .80 with a kappa of .60 for GOAL, which is only
        possible with two parts, so two is the default.

kappa   Randolph (2005), "Free-marginal multirater kappa": (P − 1/bins) / (1 − 1/bins), where 1/bins is the agreement
        of people who answer at random.

alpha   Krippendorff (2011), "Computing Krippendorff's Alpha-Reliability", interval metric. With n values in items of
        m_u ≥ 2 values, D_o = 1/n · Σ_u Σ_{i≠j in u} (x_i − x_j)² / (m_u − 1) is the disagreement seen,
        D_e = Σ_{i≠j} (x_i − x_j)² / (n (n − 1)) the one expected by chance, and alpha = 1 − D_o / D_e.
        1 is perfect agreement, 0 chance, below 0 systematic disagreement.

ICC     Shrout & Fleiss (1979), case 1: every item is rated by other people, so raters are not separated from error.
        ICC(1) = (MSB − MSW) / (MSB + (k − 1) MSW) is the reliability of one rating, ICC(1,k) = (MSB − MSW) / MSB that
        of an item's mean. MSB and MSW are the mean squares between and within items; for items of unequal size
        k = (n − Σ m_u² / n) / (items − 1).

Where all scores are equal there is nothing to tell apart, and neither exists; that is said, not written as 1 or 0.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

Items = Sequence[Sequence[float]]


@dataclass(frozen=True, slots=True)
class Measure:
    """A statistic, or why there is none ("not computable, because …"); `n` is how many items it is over."""

    value: float | None
    n: int
    why: str | None = None


def not_computable(because: str, n: int) -> Measure:
    """A statistic that does not exist here."""
    return Measure(None, n, f"not computable, because {because}")


def pairwise_agreement(items: Items, limits: tuple[float, float], bins: int = 2) -> Measure:
    """The share of pairs of ratings of one item that fall into the same of `bins` equal parts of the scale."""
    rated = _comparable(items)
    if not rated:
        return not_computable("nothing was rated by two people", 0)
    low, high = limits
    shares = []
    for item in rated:
        parts = np.clip(((item - low) * bins / (high - low)).astype(int), 0, bins - 1)
        counts = np.bincount(parts)
        shares.append(float((counts * (counts - 1)).sum()) / (len(item) * (len(item) - 1)))
    return Measure(sum(shares) / len(shares), len(rated))


def randolph_kappa(items: Items, limits: tuple[float, float], bins: int = 2) -> Measure:
    """Pairwise agreement beyond that of people who answer at random."""
    agreed = pairwise_agreement(items, limits, bins)
    if agreed.value is None:
        return agreed
    return Measure((agreed.value - 1 / bins) / (1 - 1 / bins), agreed.n)


def krippendorff_alpha(items: Items) -> Measure:
    """Krippendorff's alpha with the interval metric."""
    rated = _comparable(items)
    if why := _reason(rated):
        return not_computable(why, len(rated))
    values = np.concatenate(rated)
    seen = sum(_spread(item) / (len(item) - 1) for item in rated) / len(values)
    expected = _spread(values) / (len(values) * (len(values) - 1))
    return Measure(float(1 - seen / expected), len(rated))


def intraclass_correlation(items: Items, of_means: bool = False) -> Measure:
    """ICC(1), the reliability of one rating, or with `of_means` ICC(1,k), that of the mean of an item's ratings."""
    rated = _comparable(items)
    if why := _reason(rated):
        return not_computable(why, len(rated))
    sizes = np.array([len(item) for item in rated])
    values, n = np.concatenate(rated), int(sizes.sum())
    means = np.array([item.mean() for item in rated])
    between = float((sizes * np.square(means - values.mean())).sum()) / (len(rated) - 1)
    within = sum(float(np.square(item - item.mean()).sum()) for item in rated) / (n - len(rated))
    each = (n - float(np.square(sizes).sum()) / n) / (len(rated) - 1)
    if of_means and between == 0:
        return not_computable("the items do not differ in their means", len(rated))
    below = between if of_means else between + (each - 1) * within
    return Measure((between - within) / below, len(rated))


def _comparable(items: Items) -> list[np.ndarray[tuple[int], np.dtype[np.float64]]]:
    return [np.asarray(item, dtype=np.float64) for item in items if len(item) > 1]


def _reason(rated: Sequence[np.ndarray[tuple[int], np.dtype[np.float64]]]) -> str | None:
    if not rated:
        return "nothing was rated by two people"
    if len(rated) == 1:
        return "only one item was rated by two people"
    values = np.concatenate(rated)
    return "all ratings are equal" if np.ptp(values) == 0 else None


def _spread(values: np.ndarray[tuple[int], np.dtype[np.float64]]) -> float:
    """The sum of (x_i - x_j)² over all ordered pairs; centred first, or large equal values would cancel badly."""
    centred = values - values.mean()
    return float(2 * len(centred) * np.square(centred).sum() - 2 * np.square(centred.sum()))
