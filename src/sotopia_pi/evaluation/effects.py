"""Effects with 95 % intervals that know that roles and episodes of one scenario resemble each other.

shift   The mean of differences, clustered by scenario (statistics.py: CR1, t with G − 1 degrees of freedom).

slope   Least squares b = Σ (x − mean x)(y − mean y) / Σ (x − mean x)². Its error is the jackknife over scenarios: with
        b_(g) the slope without scenario g, se² = (G − 1)/G · Σ_g (b_(g) − b)², and t has G − 1 degrees of freedom
        (MacKinnon, Nielsen & Webb 2023, "Fast and reliable jackknife and bootstrap methods for cluster-robust
        inference": CV3J, the one that does not find too much where a few scenarios decide).

Limits: an interval needs two scenarios to exist and ten to be worth much; below ten no flag is raised.
"""

from __future__ import annotations

from collections.abc import Hashable, Sequence
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
from scipy.special import stdtr, stdtrit

from sotopia_pi.evaluation.statistics import CONFIDENCE, paired

#: Scenarios that a flag or a "yes" needs.
ENOUGH = 10


@dataclass(frozen=True, slots=True)
class Effect:
    """An estimate with its interval and two-sided p, over `n` values of `n_scenarios`; `why` says what is missing."""

    estimate: float | None
    ci_low: float | None = None
    ci_high: float | None = None
    p: float | None = None
    n: int = 0
    n_scenarios: int = 0
    why: str | None = None

    def facts(self) -> dict[str, Any]:
        """As JSON-able data; `why` only where there is one."""
        return {key: value for key, value in asdict(self).items() if key != "why" or value is not None}


def missing(because: str, n: int = 0, n_scenarios: int = 0) -> Effect:
    """An effect that does not exist here."""
    return Effect(None, n=n, n_scenarios=n_scenarios, why=f"not computable, because {because}")


def shift(values: Sequence[float], scenarios: Sequence[Hashable]) -> Effect:
    """The mean of `values`, which are differences, and the p of its being zero. ValueError for lengths that differ."""
    if not values:
        return missing("nothing was rated on both sides")
    found = paired(values, [0.0] * len(values), scenarios)
    few = "no interval is computable, because there is only one scenario" if found.n_clusters < 2 else None
    return Effect(found.delta, found.ci_low, found.ci_high, found.p, found.n, found.n_clusters, few)


def slope(x: Sequence[float], y: Sequence[float], scenarios: Sequence[Hashable]) -> Effect:
    """How much y rises when x rises by one. ValueError for lengths that differ."""
    if not len(x) == len(y) == len(scenarios):
        raise ValueError(f"{len(x)} and {len(y)} values for {len(scenarios)} scenario labels")
    labels = list(dict.fromkeys(scenarios))
    if len(labels) < 3:
        return missing(f"there are {len(labels)} scenarios, and a slope needs three", len(x), len(labels))
    xs, ys = np.asarray(x, dtype=np.float64), np.asarray(y, dtype=np.float64)
    if np.ptp(xs) == 0:
        return missing("what it depends on is the same everywhere", len(x), len(labels))
    places = {label: at for at, label in enumerate(labels)}
    index = np.array([places[label] for label in scenarios], dtype=np.intp)
    whole, without = _slopes(xs, ys, index, len(labels))
    if not np.isfinite(without).all():
        return missing("it rests on a single scenario", len(x), len(labels))
    groups = len(labels)
    error = float(np.sqrt((groups - 1) / groups * np.square(without - whole).sum()))
    error = error if error > 1e-12 * max(1.0, abs(whole)) else 0.0
    whole = whole if abs(whole) > 1e-12 else 0.0
    reach = float(stdtrit(groups - 1, (1 + CONFIDENCE) / 2)) * error
    exact = 1.0 if whole == 0 else 0.0
    p = float(2 * stdtr(groups - 1, -abs(whole) / error)) if error else exact
    return Effect(whole, whole - reach, whole + reach, p, len(x), groups)


_Floats = np.ndarray[Any, np.dtype[np.float64]]


def _slopes(x: _Floats, y: _Floats, index: np.ndarray[Any, np.dtype[np.intp]], groups: int) -> tuple[float, _Floats]:
    """The slope over all values, and those without each group in turn; not finite where x then does not vary."""
    x, y = x - x.mean(), y - y.mean()
    sums = [np.bincount(index, weights=w, minlength=groups) for w in (np.ones_like(x), x, y, x * y, x * x)]
    n, sx, sy, sxy, sxx = ([float(part.sum()), *(part.sum() - part)] for part in sums)
    count, mx, my, mxy, mxx = (np.array(part) for part in (n, sx, sy, sxy, sxx))
    with np.errstate(divide="ignore", invalid="ignore"):
        spread = mxx - mx * mx / count
        found = (mxy - mx * my / count) / np.where(spread > 1e-12 * max(float(mxx[0]), 1e-300), spread, np.nan)
    return float(found[0]), found[1:]
