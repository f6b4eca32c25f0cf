"""How two raters' scores of the same roles move together, and why that cannot be said where it cannot."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import numpy.typing as npt

from sotopia_pi.evaluation.wording import number

LEAST = 3
_LARGEST = 1e9
_SAMPLE = 1024

_FLAT = ("the side going across does not vary", "the side going up does not vary")

Floats = npt.NDArray[np.float64]


@dataclass(frozen=True, slots=True)
class Correlated:
    """Pearson's and Spearman's correlation of `n` pairs; both None, and `why` says it, where they do not exist.

    `x` and `y` are the pairs that count: those with both scores.
    """

    n: int
    pearson: float | None
    spearman: float | None
    why: str | None
    x: Floats = field(repr=False, compare=False)
    y: Floats = field(repr=False, compare=False)

    def facts(self) -> dict[str, Any]:
        """Both correlations as JSON-able data, with "why" where they do not exist."""
        told: dict[str, Any] = {"pearson": self.pearson, "spearman": self.spearman}
        return told if self.why is None else {**told, "why": f"no correlation is computable, because {self.why}"}

    @property
    def sentence(self) -> str:
        """The numbers, or why there are none; n belongs beside it."""
        if self.why is not None:
            return f"no correlation: {self.why}"
        return f"Pearson {number(self.pearson)}, Spearman {number(self.spearman)}"


def correlated(
    x: Sequence[float] | npt.NDArray[Any], y: Sequence[float] | npt.NDArray[Any], flat: tuple[str, str] = _FLAT
) -> Correlated:
    """The correlations of x[i] with y[i] over the pairs where neither is missing (NaN, or beyond any scale).

    `flat` says of each side that it does not vary. Raises ValueError when the lengths differ.
    """
    first, second = np.asarray(x, dtype=np.float64).reshape(-1), np.asarray(y, dtype=np.float64).reshape(-1)
    if len(first) != len(second):
        raise ValueError(f"{len(first)} scores for {len(second)}")
    both = (np.abs(first) <= _LARGEST) & (np.abs(second) <= _LARGEST)
    first, second = first[both], second[both]
    why = _why(first, second, flat)
    if why is None:
        # Spearman first: ranks are well scaled, scores that differ by next to nothing may not be.
        spearman, pearson = correlation(ranks(first), ranks(second)), correlation(first, second)
        if pearson is not None and np.isfinite(pearson):
            return Correlated(len(first), pearson, spearman, None, first, second)
        why = "the scores hardly vary"
    return Correlated(len(first), None, None, why, first, second)


def _why(x: Floats, y: Floats, flat: tuple[str, str]) -> str | None:
    if len(x) < LEAST:
        return f"there are fewer than {LEAST} pairs"
    constant = [said for said, values in zip(flat, (x, y), strict=True) if np.ptp(values) == 0]
    return "neither side varies" if len(constant) == 2 else next(iter(constant), None)


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
