"""Styles: how a scripted player opens, concedes, accepts and gives up; populations that share none.

Everything a style says is a share of the role's own worth: 1 is what it dreams of, 0 the worst agreement worth having.
What a style does with it is in `negotiator`.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, fields
from random import Random

Range = tuple[float, float]


@dataclass(frozen=True, slots=True)
class Style:
    """One way to negotiate, as drawn for one seat of one episode.

    opening       worth of the first offer
    floor         worth that the own offers never fall below
    pace          what it gives way on a turn of its own accord
    reciprocity   0 gives way at its own pace, 1 only in return for what the partner gave
    matching      how much it gives in return for a concession of 1
    closing       which share of the gap to the partner's best offer it gives way besides
    expects       the concession it expects on each of the partner's turns
    patience      how far the partner may fall behind that in all before it leaves
    accept        an offer worth this much is accepted at once
    last_resort   an offer worth this much is accepted rather than having none, when time or patience runs out
    test_from     the own turn on which it begins to hold, to see whether the partner gives way
    test_length   how many turns it holds
    care          chance that it checks before it agrees (for kinds in which agreeing can be a mistake)
    reserve       chance that it keeps what it cares for to itself until the partner finds it out
    """

    opening: float = 1.0
    floor: float = 0.2
    pace: float = 0.08
    reciprocity: float = 0.5
    matching: float = 0.7
    closing: float = 0.0
    expects: float = 0.05
    patience: float = 0.3
    accept: float = 0.9
    last_resort: float = 0.3
    test_from: float = 99
    test_length: float = 0
    care: float = 1.0
    reserve: float = 0.0


@dataclass(frozen=True, slots=True)
class Temper:
    """A named family of styles: for every field of `Style` a number, or the range that it is drawn from."""

    name: str
    ranges: Mapping[str, float | Range]

    def draw(self, rng: Random) -> Style:
        """A style of this family."""
        drawn = {
            name: value if isinstance(value, int | float) else rng.uniform(*value)
            for name, value in self.ranges.items()
        }
        return Style(**drawn)


def _temper(name: str, **ranges: float | Range) -> Temper:
    unknown = ranges.keys() - {field.name for field in fields(Style)}
    if unknown:
        raise TypeError(f"a style has no {', '.join(sorted(unknown))}")
    return Temper(name, ranges)


#: Whom a policy is trained against.
TRAIN_PARTNERS = (
    _temper("fair", opening=(0.9, 1.1), floor=(0.1, 0.4), pace=(0.08, 0.16), reciprocity=(0.5, 0.9),
            matching=(0.7, 1.1), expects=(0.05, 0.1), patience=(0.1, 0.45), accept=(0.7, 0.95),
            last_resort=(0.2, 0.45), care=(0.8, 1.0), reserve=(0.0, 0.7)),
    _temper("firm", opening=(0.95, 1.2), floor=(0.35, 0.55), pace=(0.06, 0.1), reciprocity=(0.3, 0.6),
            matching=(0.6, 1.0), expects=(0.05, 0.1), patience=(0.1, 0.4), accept=(0.85, 0.95),
            last_resort=(0.3, 0.5), care=(0.9, 1.0), reserve=(0.3, 1.0)),
    _temper("tester", opening=(0.9, 1.1), floor=(0.15, 0.4), pace=(0.1, 0.18), reciprocity=(0.4, 0.7),
            matching=(0.7, 1.1), expects=(0.05, 0.09), patience=(0.15, 0.5), accept=(0.75, 0.95),
            last_resort=(0.2, 0.45), test_from=(1, 4), test_length=(2, 4), care=(0.9, 1.0), reserve=(0.0, 1.0)),
    _temper("easy", opening=(0.85, 1.0), floor=(0.1, 0.3), pace=(0.1, 0.15), reciprocity=(0.2, 0.5),
            matching=(0.7, 1.1), expects=(0.05, 0.1), patience=(0.15, 0.5), accept=(0.6, 0.8),
            last_resort=(0.15, 0.4), care=(0.6, 0.9), reserve=(0.0, 0.4)),
)  # fmt: skip

#: Whom a policy is tested against; nothing is tuned on them.
TEST_PARTNERS = (
    _temper("steady", opening=(0.95, 1.05), floor=(0.2, 0.45), pace=(0.09, 0.13), reciprocity=(0.4, 0.6),
            matching=(0.8, 1.0), expects=(0.05, 0.08), patience=(0.15, 0.4), accept=(0.8, 0.9),
            last_resort=(0.25, 0.45), care=(0.9, 1.0), reserve=(0.0, 1.0)),
    _temper("warm", opening=(0.85, 0.95), floor=(0.15, 0.35), pace=(0.1, 0.16), reciprocity=(0.6, 0.8),
            matching=(0.9, 1.2), expects=(0.06, 0.09), patience=(0.2, 0.5), accept=(0.65, 0.8),
            last_resort=(0.2, 0.4), care=(0.7, 1.0), reserve=(0.0, 0.3)),
    _temper("dealer", opening=(1.1, 1.25), floor=(0.3, 0.5), pace=(0.12, 0.2), reciprocity=(0.5, 0.8),
            matching=(0.6, 0.9), expects=(0.05, 0.09), patience=(0.1, 0.4), accept=(0.85, 0.95),
            last_resort=(0.3, 0.45), care=(0.9, 1.0), reserve=(0.4, 1.0)),
    _temper("wary", opening=(0.9, 1.1), floor=(0.2, 0.5), pace=(0.08, 0.14), reciprocity=(0.3, 0.7),
            matching=(0.6, 1.0), expects=(0.06, 0.1), patience=(0.1, 0.45), accept=(0.75, 0.95),
            last_resort=(0.25, 0.5), test_from=(1, 5), test_length=(1, 3), care=1.0, reserve=(0.5, 1.0)),
)  # fmt: skip

#: Kept for a last look at a policy that is finished.
LAST_PARTNERS = (
    _temper("blunt", opening=(0.8, 0.95), floor=(0.4, 0.55), pace=(0.05, 0.1), reciprocity=(0.2, 0.5),
            matching=(0.5, 0.8), expects=(0.06, 0.1), patience=(0.1, 0.3), accept=(0.7, 0.9),
            last_resort=(0.3, 0.5), care=(0.6, 1.0), reserve=0.0),
    _temper("quiet", opening=(1.0, 1.15), floor=(0.1, 0.4), pace=(0.12, 0.2), reciprocity=(0.7, 0.9),
            matching=(0.8, 1.2), expects=(0.05, 0.08), patience=(0.2, 0.5), accept=(0.8, 0.95),
            last_resort=(0.2, 0.4), care=1.0, reserve=1.0),
    _temper("moody", opening=(0.85, 1.2), floor=(0.1, 0.5), pace=(0.06, 0.2), reciprocity=(0.2, 0.9),
            matching=(0.5, 1.2), expects=(0.04, 0.1), patience=(0.1, 0.5), accept=(0.65, 0.95),
            last_resort=(0.2, 0.5), test_from=(1, 6), test_length=(0, 4), care=(0.7, 1.0), reserve=(0.0, 1.0)),
)  # fmt: skip

#: Whom to imitate: found by `benchmarks/experts.py` on training tasks against the training partners. They never leave.
EXPERTS = (
    _temper("haggler", opening=(1.1, 1.2), floor=(0.29, 0.35), pace=(0.14, 0.155), reciprocity=0.0,
            accept=(0.6, 0.72), last_resort=0.1, patience=99),
    _temper("claimer", opening=0.8, floor=(0.66, 0.7), pace=(0.14, 0.17), reciprocity=(0.5, 0.56), matching=0.8,
            accept=(0.85, 0.95), last_resort=0.08, patience=99),
    _temper("quick", opening=(0.8, 0.9), floor=(0.3, 0.38), pace=(0.165, 0.18), reciprocity=0.39, matching=0.9,
            accept=(0.43, 0.53), last_resort=0.1, patience=99),
    _temper("seeker", opening=(1.0, 1.06), floor=(0.11, 0.17), pace=(0.072, 0.08), reciprocity=0.0,
            accept=(0.77, 0.82), last_resort=0.1, patience=99),
    _temper("trader", opening=1.0, floor=(0.14, 0.2), pace=(0.065, 0.075), reciprocity=0.0, accept=(0.74, 0.8),
            last_resort=0.03, patience=99),
    _temper("even", opening=1.0, floor=(0.33, 0.39), pace=(0.11, 0.12), reciprocity=0.2, matching=0.73,
            accept=(0.6, 0.66), last_resort=0.2, patience=99),
    _temper("modest", opening=(0.7, 0.75), floor=(0.62, 0.68), pace=(0.12, 0.16), reciprocity=0.2, matching=0.8,
            accept=(0.6, 0.7), last_resort=0.1, patience=99),
    _temper("swift", opening=(0.88, 0.94), floor=(0.45, 0.5), pace=(0.18, 0.22), reciprocity=0.0,
            accept=(0.75, 0.85), last_resort=0.15, patience=99),
)  # fmt: skip
#: Which of them are within 0.3 GOAL of the best in a kind; other kinds are played by all.
BEST: dict[str, tuple[str, ...]] = {}
