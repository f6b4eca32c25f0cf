"""p-values corrected for there being several of them; None stays None and is not counted.

holm                Holm (1979): the m p-values in rising order are multiplied by m, m − 1, … 1 and kept from falling.
                    The chance of even one false alarm among all is then at most the level, whatever their dependence.
benjamini_hochberg  Benjamini & Hochberg (1995): p_(i) · m / i, kept from falling: the share of false ones among those
                    found is then at most the level on average (independent or positively dependent tests;
                    Benjamini & Yekutieli 2001).
"""

from __future__ import annotations

from collections.abc import Sequence


def holm(values: Sequence[float | None]) -> list[float | None]:
    """The p-values corrected so that even one false alarm is as rare as the level says."""
    given = sorted((p, at) for at, p in enumerate(values) if p is not None)
    found: list[float | None] = [None] * len(values)
    highest = 0.0
    for rank, (p, at) in enumerate(given):
        highest = max(highest, min(1.0, p * (len(given) - rank)))
        found[at] = highest
    return found


def benjamini_hochberg(values: Sequence[float | None]) -> list[float | None]:
    """The p-values corrected for the share of false ones among those found."""
    given = sorted(((p, at) for at, p in enumerate(values) if p is not None), reverse=True)
    found: list[float | None] = [None] * len(values)
    lowest = 1.0
    for rank, (p, at) in enumerate(given):
        lowest = min(lowest, p * len(given) / (len(given) - rank))
        found[at] = lowest
    return found
