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
        drawn = {name: value if isinstance(value, int | float) else rng.uniform(*value) for name, value in self.ranges.items()}
        return Style(**drawn)


def _temper(name: str, **ranges: float | Range) -> Temper:
    unknown = ranges.keys() - {field.name for field in fields(Style)}
    if unknown:
        raise TypeError(f"a style has no {', '.join(sorted(unknown))}")
    return Temper(name, ranges)
