"""Styles: how a scripted player opens, concedes, accepts and gives up; populations that share none.

Everything a style says is a share of the role's own worth: 1 is what it dreams of, 0 the worst agreement worth having.
What a style does with it is in `negotiator`.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from random import Random


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
    resort   an offer worth this much is accepted rather than having none, when time or patience runs out
    test_from     the own turn on which it begins to hold, to see whether the partner gives way
    test_for      how many turns it holds
    care          chance that it checks before it agrees (for kinds in which agreeing can be a mistake)
    reserve       chance that it keeps what it cares for to itself until the partner finds it out
    moves         chance that it proposes what it has not proposed before, above its floor
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
    resort: float = 0.3
    test_from: float = 99
    test_for: float = 0
    care: float = 1.0
    reserve: float = 0.0
    moves: float = 0.0


@dataclass(frozen=True, slots=True)
class Temper:
    """A named family of styles: the ranges that fields of `Style` are drawn from."""

    name: str
    ranges: Mapping[str, tuple[float, float]]

    def draw(self, rng: Random) -> Style:
        """A style of this family."""
        drawn = {name: rng.uniform(*ends) for name, ends in self.ranges.items()}
        return Style(**drawn)


def _table(text: str) -> tuple[Temper, ...]:
    """Tempers from a table: a line of the names of the fields, then one line for each, with "low-high" for a range."""
    (_, *names), *rows = (line.split() for line in text.strip().splitlines())
    tempers = []
    for name, *cells in rows:
        ends = [[float(end) for end in cell.split("-")] for cell in cells]
        tempers.append(Temper(name, {field: (of[0], of[-1]) for field, of in zip(names, ends, strict=True)}))
    return tuple(tempers)


#: Whom a policy is trained against.
TRAIN_PARTNERS = _table("""
    name   opening floor   pace    reciprocity matching expects patience accept  resort test_from test_for care  reserve
    fair   .9-1.1  .1-.35  .22-.36 .5-.9       .7-1.1   .08-.16 .2-.6    .7-.95  .2-.45 99        0        .8-1  0-.7
    firm   .95-1.2 .3-.45  .18-.26 .3-.6       .6-1     .08-.16 .2-.55   .85-.95 .3-.5  99        0        .9-1  .3-1
    tester .9-1.1  .15-.35 .24-.36 .4-.7       .7-1.1   .08-.15 .25-.65  .75-.95 .2-.45 1-3       1-2      .9-1  0-1
    easy   .85-1   .1-.3   .22-.3  .2-.5       .7-1.1   .08-.16 .25-.65  .6-.8   .15-.4 99        0        .6-.9 0-.4
""")
#: Whom a policy is tested against; nothing is tuned on them.
TEST_PARTNERS = _table("""
    name   opening floor   pace    reciprocity matching expects patience accept  resort  test_from test_for care reserve
    stable .95-1   .2-.4   .22-.3  .4-.6       .8-1     .08-.13 .25-.55  .8-.9   .25-.45 99        0        .9-1 0-1
    warm   .8-.95  .15-.35 .26-.36 .6-.8       .9-1.2   .1-.15  .3-.65   .65-.8  .2-.4   99        0        .7-1 0-.3
    dealer 1.1-1.3 .25-.4  .26-.4  .5-.8       .6-.9    .08-.15 .2-.55   .85-.95 .3-.45  99        0        .9-1 .4-1
    wary   .9-1.1  .2-.4   .2-.3   .3-.7       .6-1     .1-.16  .2-.6    .75-.95 .25-.5  1-3       1-2      1    .5-1
""")
#: Kept for a last look at a policy that is finished.
LAST_PARTNERS = _table("""
    name  opening floor  pace   reciprocity matching expects patience accept  resort test_from test_for care reserve
    blunt .8-.95  .3-.45 .1-.18 .2-.5       .5-.8    .1-.16  .2-.45   .7-.9   .3-.5  99        0        .6-1 0
    quiet 1-1.15  .1-.4  .2-.35 .7-.9       .8-1.2   .08-.13 .3-.65   .8-.95  .2-.4  99        0        1    1
    moody .85-1.2 .1-.45 .1-.36 .2-.9       .5-1.2   .06-.16 .2-.65   .65-.95 .2-.5  1-4       0-3      .7-1 0-1
""")
#: Whom to imitate: found by `benchmarks/experts.py` on training tasks against training partners that were slower; the
#: last three were varied by hand against those of today. They never leave.
EXPERTS = _table("""
    name     opening floor   pace      reciprocity matching closing accept  resort patience moves
    haggler  1.1-1.2 .29-.35 .14-.155  0           .7       0       .6-.72  .1     99       0
    anchor   .7-.72  0-.25   0         .02-.08     .6       .046    .7-.84  .2     99       0
    listener 1-1.03  .4-.47  0-.014    .19         .25      .137    .85-.95 0      99       0
    quick    .8-.9   .3-.38  .165-.18  .39         .9       0       .43-.53 .1     99       0
    seeker   1-1.06  .11-.17 .072-.08  0           .7       0       .77-.82 .1     99       0
    trader   1       .14-.2  .065-.075 0           .7       0       .74-.8  .03    99       0
    modest   .67-.72 .2-.25  .055-.063 0           .8       0       .62-.71 .05    99       0
    swift    .88-.94 .45-.5  .18-.22   0           .7       0       .75-.85 .15    99       0
    steady   1-1.1   .2-.28  .12-.15   .1          .7       .08-.15 .5-.7   .1     99       1
    settler  .78-.88 .5-.6   .11-.15   .1          .5       .08-.12 .6-.7   .1     99       1
    lively   .8-.9   .3-.4   .2-.3     0           .7       0       .6-.7   .1     99       1
""")
#: Which of them play a kind, within 0.8 GOAL of the best style; other kinds are played by all. Three have one that
#: seldom says the same twice and agrees soon: small models copy what stands before them, and turns cost.
BEST: dict[str, tuple[str, ...]] = {
    "division": ("settler",),
    "favour": ("listener", "seeker", "trader", "haggler"),
    "hiring": ("listener", "trader", "seeker"),
    "meeting": ("lively",),
    "price": ("steady",),
}
