"""Means and paired differences with 95 % intervals that know that episodes of one scenario resemble each other.

Scores of one scenario are not independent, so the standard error is cluster-robust with the scenario as cluster
(Liang & Zeger 1986; Cameron & Miller 2015, "A Practitioner's Guide to Cluster-Robust Inference", section II and
VI.B). For the mean m of N values in G clusters, with u_g the sum of (value - m) over cluster g:

    se² = G / (G - 1) · Σ_g u_g² / N²          (CR1: the factor is the small-sample correction for one regressor)
    interval = m ± t(0.975, G - 1) · se,  p = 2 · P(T(G - 1) > |m / se|)

With one value per cluster this is the ordinary t interval and one-sample t test.
"""

from __future__ import annotations

from collections.abc import Hashable, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
from scipy.special import stdtr, stdtrit  # Student's t without the slow import of scipy.stats

CONFIDENCE = 0.95
_ROUNDING = 1e-12

Floats = npt.NDArray[np.float64]
#: One label per value; an array of small whole numbers from 0 is counted without looking at each in Python.
Clusters = Sequence[Hashable] | npt.NDArray[np.integer]


@dataclass(frozen=True, slots=True)
class Estimate:
    """A mean with its 95 % interval. `mean` is None without values, the bounds are None below two clusters."""

    mean: float | None
    ci_low: float | None
    ci_high: float | None
    n: int
    n_clusters: int


@dataclass(frozen=True, slots=True)
class Comparison:
    """A mean paired difference with its 95 % interval and two-sided p; None as in Estimate."""

    delta: float | None
    ci_low: float | None
    ci_high: float | None
    p: float | None
    n: int
    n_clusters: int


def clustered_mean(values: Sequence[float] | Floats, clusters: Clusters) -> Estimate:
    """The mean of `values` with an interval that is robust to dependence within `clusters` (one label per value).

    Raises ValueError when the lengths differ or a value is not finite.
    """
    numbers = _numbers(values, clusters)
    mean, error, groups = _mean_and_error(numbers, clusters, _scale(numbers))
    low, high = _interval(mean, error, groups)
    return Estimate(mean, low, high, len(numbers), groups)


def paired(a: Sequence[float] | Floats, b: Sequence[float] | Floats, clusters: Clusters) -> Comparison:
    """The mean of a[i] - b[i], clustered as in `clustered_mean`, and the p of its being zero.

    When the differences do not vary between clusters, the interval has no width and p is the limit of the test:
    1.0 for a difference of zero, else 0.0; so p < 0.05 exactly when the interval excludes zero. p is None below
    two clusters. Raises ValueError as `clustered_mean` does.
    """
    first, second = _numbers(a, clusters), _numbers(b, clusters)
    scale = max(_scale(first), _scale(second))
    delta, error, groups = _mean_and_error(first - second, clusters, scale)
    low, high = _interval(delta, error, groups)
    return Comparison(delta, low, high, _p_value(delta, error, groups), len(first), groups)


def _numbers(values: Sequence[float] | Floats, clusters: Clusters) -> Floats:
    numbers = np.asarray(values, dtype=np.float64)
    if numbers.shape != (len(clusters),):
        raise ValueError(f"{len(values)} values for {len(clusters)} cluster labels")
    if not np.isfinite(numbers).all():
        raise ValueError("a value is not finite; failed ratings have no score and must be left out")
    return numbers


def _scale(numbers: Floats) -> float:
    return float(np.abs(numbers).max(initial=0.0))


def _mean_and_error(numbers: Floats, clusters: Clusters, scale: float) -> tuple[float | None, float, int]:
    """Mean, standard error and number of clusters; what is only rounding at this `scale` of values becomes zero."""
    if not len(numbers):
        return None, 0.0, 0
    index = _places(clusters)
    mean = float(numbers.mean())
    groups = int(np.count_nonzero(np.bincount(index)))
    if groups < 2:
        return mean, 0.0, groups
    sums = np.bincount(index, weights=numbers - mean)
    error = float(np.sqrt(groups / (groups - 1) * np.square(sums).sum())) / len(numbers)
    smallest = scale * _ROUNDING
    return (mean if abs(mean) > smallest else 0.0), (error if error > smallest else 0.0), groups


def _places(clusters: Clusters) -> npt.NDArray[np.integer]:
    if isinstance(clusters, np.ndarray):
        return clusters
    labels: dict[Hashable, int] = {}
    return np.array([labels.setdefault(cluster, len(labels)) for cluster in clusters], dtype=np.intp)


def _interval(mean: float | None, error: float, groups: int) -> tuple[float | None, float | None]:
    if mean is None or groups < 2:
        return None, None
    reach = float(stdtrit(groups - 1, (1 + CONFIDENCE) / 2)) * error
    return mean - reach, mean + reach


def _p_value(delta: float | None, error: float, groups: int) -> float | None:
    if delta is None or groups < 2:
        return None
    if error == 0:
        return 1.0 if delta == 0 else 0.0
    return float(2 * stdtr(groups - 1, -abs(delta) / error))
