"""How far people who rated the same thing agree: per dimension, beside how high and how scattered the scores are.

A thing that is rated ("unit") is one role of one episode. Formulas and sources are in `reliability.py`.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from statistics import fmean, stdev

from sotopia_pi.evaluation.reliability import (
    Measure,
    intraclass_correlation,
    krippendorff_alpha,
    pairwise_agreement,
    randolph_kappa,
)

#: Pairwise agreement and kappa are given in five bins of equal width, which separate scores two points apart, and in
#: halves of the range: the paper's pair of figures for GOAL, 0.80 and a kappa of 0.60, is one of two bins.
BINNINGS: tuple[int, ...] = (5, 2)


@dataclass(frozen=True, slots=True)
class Agreement:
    """Agreement on one dimension.

    `units` were rated by two people or more; `ratings` counts all scores, `mean` and `spread` (their standard
    deviation) are over all of them. `pairwise` and `kappa` are by the number of bins.
    """

    dimension: str
    units: int
    ratings: int
    mean: float | None
    spread: float | None
    pairwise: Mapping[int, Measure]
    kappa: Mapping[int, Measure]
    alpha: Measure
    icc: Measure


def agreement(dimension: str, units: Sequence[Sequence[float]], low: float, high: float) -> Agreement:
    """Agreement on a dimension with the range `low` to `high`; each unit is the scores that it was given."""
    every = [score for unit in units for score in unit]
    return Agreement(
        dimension=dimension,
        units=sum(len(unit) > 1 for unit in units),
        ratings=len(every),
        mean=fmean(every) if every else None,
        spread=stdev(every) if len(every) > 1 else None,
        pairwise={bins: pairwise_agreement(units, (low, high), bins) for bins in BINNINGS},
        kappa={bins: randolph_kappa(units, (low, high), bins) for bins in BINNINGS},
        alpha=krippendorff_alpha(units),
        icc=intraclass_correlation(units),
    )
