"""The pieces that figures are drawn from: words, the <svg> that holds them, and axes of scores.

No figure has a style attribute: colours come from the classes of theme.py, so that a page can forbid inline styles.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from html import escape
from typing import Any

import numpy as np
import numpy.typing as npt

from sotopia_pi.printable import safe_text

Floats = npt.NDArray[np.float64]

#: Bins of an axis at most, and the largest number that is taken for a score.
MOST_BINS = 20
_LARGEST = 1e9
_NAME = 40
_TOLD = 8000


@dataclass(frozen=True, slots=True)
class Axis:
    """An axis of scores from `low` to `high`; `name` says what is scored. ValueError unless low < high."""

    name: str
    low: float
    high: float

    def __post_init__(self) -> None:
        """Refuses an axis without length."""
        if not (finite(self.low) and finite(self.high) and self.low < self.high):
            raise ValueError(f"an axis from {self.low} to {self.high} has no length")

    @property
    def whole(self) -> bool:
        """Whether each whole number on the axis gets a bin of its own."""
        ends_whole = self.low == round(self.low) and self.high == round(self.high)
        return ends_whole and self.high - self.low <= MOST_BINS

    def edges(self) -> Floats:
        """The bins' borders: around the whole numbers where there are few, else equal parts."""
        if self.whole:
            return np.arange(self.low - 0.5, self.high + 1.0, dtype=np.float64)
        return np.linspace(self.low, self.high, MOST_BINS + 1)

    def ticks(self) -> list[float]:
        """A few places for labels, both ends among them."""
        span = self.high - self.low
        steps = next((n for n in (5, 4, 2) if self.whole and span % n == 0), 4)
        return [self.low + span * place / steps for place in range(steps + 1)]

    def label(self, value: float) -> str:
        """A place on the axis in few characters, with a true minus sign."""
        written = f"{value:g}" if self.whole else f"{value:.1f}"
        return written.replace("-", "−")


def scores(values: Sequence[float] | npt.NDArray[Any]) -> tuple[Floats, int]:
    """The values that are scores, and how many are not (missing, or beyond any scale)."""
    numbers = np.asarray(values, dtype=np.float64).reshape(-1)
    known = numbers[np.abs(numbers) <= _LARGEST]  # False for NaN, too
    return known, len(numbers) - len(known)


def binned(values: Floats, edges: Floats) -> npt.NDArray[np.int64]:
    """How many values are in each bin; those beyond the axis count at its ends."""
    place = np.floor((np.clip(values, edges[0], edges[-1]) - edges[0]) / (edges[1] - edges[0]))
    counts: npt.NDArray[np.int64] = np.bincount(
        np.minimum(place, len(edges) - 2).astype(np.intp), minlength=len(edges) - 1
    )
    return counts


def short(name: str, most: int = _NAME) -> str:
    """A name cut to `most` characters."""
    return name if len(name) <= most else f"{name[: most - 1]}…"


def text(x: float, y: float, words: str, style: str, anchor: str = "middle") -> str:
    """Words at a place, in the look of a class."""
    return f'<text class="{style}" x="{x:.1f}" y="{y:.1f}" text-anchor="{anchor}">{escape(safe_text(words))}</text>'


def svg(title: str, told: str, size: tuple[float, float], body: str, numbers: str = "") -> str:
    """A figure of `size` pixels: `told` is its name for readers who cannot see it, `numbers` what else it shows."""
    label, (width, height) = escape(safe_text(told)), size
    more = f"<desc>{escape(safe_text(numbers, _TOLD))}</desc>" if numbers else ""
    return (
        f'<svg class="f" role="img" aria-label="{label}" width="{width:g}" height="{height:g}" '
        f'viewBox="0 0 {width:g} {height:g}"><title>{escape(safe_text(title))}</title>{more}'
        f"{text(16, 24, title, 't', 'start')}{body}</svg>"
    )


def finite(value: object) -> bool:
    """Whether `value` is a number that can be drawn."""
    return isinstance(value, int | float) and math.isfinite(value)
