"""How far a judge agrees with the verifier, where both gave a GOAL score: per judge and policy.

A judge that is used to train a policy can come to over-rate it, so the agreement is given for each policy by itself.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from sotopia_pi.evaluation.statistics import paired

#: Scores up to this size and with at most four decimals are ranked by counting.
_LARGEST, _DECIMALS = 20.0, 1e4

_SAMPLE = 1024


@dataclass(frozen=True, slots=True)
class Audited:
    """One role's GOAL by the verifier and by a judge."""

    policy: str
    judge: str
    scenario_id: str
    verified: float
    judged: float


def audit(rows: Sequence[Audited]) -> list[dict[str, Any]]:
    """One entry per judge and policy, in the order of `rows`.

    "n" pairs; "pearson" and "spearman", None below three pairs or where either rater gave one value only; "delta", the
    judge's mean GOAL minus the verifier's, with a 95 % interval clustered by scenario.
    """
    found = []
    for judge, policy in dict.fromkeys((row.judge, row.policy) for row in rows):
        own = [row for row in rows if (row.judge, row.policy) == (judge, policy)]
        judged, verified = [row.judged for row in own], [row.verified for row in own]
        difference = paired(judged, verified, [row.scenario_id for row in own])
        found.append(
            {
                "judge": judge,
                "policy": policy,
                "n": len(own),
                "pearson": correlation(judged, verified),
                "spearman": correlation(ranks(judged), ranks(verified)),
                "verified": sum(verified) / len(own),
                "judged": sum(judged) / len(own),
                "delta": difference.delta,
                "ci_low": difference.ci_low,
                "ci_high": difference.ci_high,
            }
        )
    return found


def correlation(a: Sequence[float] | npt.NDArray[Any], b: Sequence[float] | npt.NDArray[Any]) -> float | None:
    """Pearson's correlation; None below three pairs or where one side does not vary."""
    x, y = np.asarray(a, dtype=float), np.asarray(b, dtype=float)
    if len(x) < 3 or np.ptp(x) == 0 or np.ptp(y) == 0:
        return None
    x, y = x - x.mean(), y - y.mean()
    x, y = x / np.abs(x).max(), y / np.abs(y).max()  # the squares of tiny numbers would be zero
    # Sums, not `@`: a linear algebra library would start threads for it, which other requests' threads wait for.
    together = float((x * y).sum()) / np.sqrt(float((x * x).sum()) * float((y * y).sum()))
    return float(np.clip(together, -1.0, 1.0))


def ranks(values: Sequence[float] | npt.NDArray[Any]) -> npt.NDArray[Any]:
    """Ranks from 1; equal values share the mean of their ranks."""
    numbers = np.asarray(values, dtype=float)
    inverse, counts = _few(numbers) or _any(numbers)
    last = np.cumsum(counts)
    shared: npt.NDArray[Any] = (last - (counts - 1) / 2)[inverse]
    return shared


def _any(numbers: npt.NDArray[Any]) -> tuple[npt.NDArray[Any], npt.NDArray[Any]]:
    """Which of the distinct values, in order, each number is, and how often each occurs."""
    _, inverse, counts = np.unique(numbers, return_inverse=True, return_counts=True)
    return inverse.reshape(-1), counts


def _few(numbers: npt.NDArray[Any]) -> tuple[npt.NDArray[Any], npt.NDArray[Any]] | None:
    """As `_any`, without sorting all of many numbers; None where a sample does not hold all values.

    Scores take few values, and 200,000 of them are looked up ten times as fast as sorted.
    """
    if len(numbers) < 4 * _SAMPLE:
        return None
    distinct = np.unique(numbers[:: len(numbers) // _SAMPLE])
    inverse = np.minimum(np.searchsorted(distinct, numbers), len(distinct) - 1)
    if not np.array_equal(distinct[inverse], numbers):
        return None
    return inverse, np.bincount(inverse, minlength=len(distinct))
