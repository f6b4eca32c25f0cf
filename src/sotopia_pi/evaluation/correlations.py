"""How two raters' scores of the same roles move together, and why that cannot be said where it cannot."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import numpy.typing as npt

from sotopia_pi.evaluation.audit import correlation, ranks
from sotopia_pi.evaluation.wording import number

LEAST = 3
_LARGEST = 1e9

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

    @property
    def sentence(self) -> str:
        """The numbers, or why there are none; n belongs beside it."""
        if self.why is not None:
            return f"no correlation: {self.why}"
        return f"Pearson {number(self.pearson)}, Spearman {number(self.spearman)}"


def correlated(x: Sequence[float] | npt.NDArray[Any], y: Sequence[float] | npt.NDArray[Any]) -> Correlated:
    """The correlations of x[i] with y[i] over the pairs where neither is missing (NaN, or beyond any scale).

    Raises ValueError when the lengths differ.
    """
    first, second = np.asarray(x, dtype=np.float64).reshape(-1), np.asarray(y, dtype=np.float64).reshape(-1)
    if len(first) != len(second):
        raise ValueError(f"{len(first)} scores for {len(second)}")
    both = (np.abs(first) <= _LARGEST) & (np.abs(second) <= _LARGEST)
    first, second = first[both], second[both]
    why = _why(first, second)
    if why is None:
        # Spearman first: ranks are well scaled, scores that differ by next to nothing may not be.
        spearman, pearson = correlation(ranks(first), ranks(second)), correlation(first, second)
        if pearson is not None and np.isfinite(pearson):
            return Correlated(len(first), pearson, spearman, None, first, second)
        why = "the scores hardly vary"
    return Correlated(len(first), None, None, why, first, second)


def _why(x: Floats, y: Floats) -> str | None:
    if len(x) < LEAST:
        return f"fewer than {LEAST} pairs"
    constant = [name for name, values in (("across", x), ("up", y)) if np.ptp(values) == 0]
    if len(constant) == 2:
        return "neither side varies"
    return f"the side going {constant[0]} does not vary" if constant else None
