"""Styles: how a scripted negotiator opens, concedes, accepts and gives up; two populations that share none.

Aspirations are shares: 1 is the role's dream (its target, nearly everything, its favourite option), 0 the worst
agreement worth having. What a style does with them is in `negotiator`.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

Telling = Literal["asked", "told", "second"]


@dataclass(frozen=True, slots=True)
class Style:
    """The parameters of one way to negotiate.

    opening         aspiration of the first offer
    floor           aspiration that its own offers never fall below
    patience        how many concessions lead from opening to floor
    exponent        shape of the way down: above 1 late (Boulware), 1 in equal steps, below 1 early (conceder)
    reciprocity     0 concedes whatever the partner does, 1 only when the partner concedes (tit for tat)
    accept          an offer worth this much is accepted at once
    last_resort     an offer worth this much is accepted rather than leaving without an agreement
    margin          accepts an offer that is this much below its own next offer
    leave_after     leaves when the partner has not moved for this many turns
    nonsense_limit  leaves after this many turns in a row that say nothing about the matter
    steady          every offer gives way a little, whatever the partner does, and in divisions in a plain order
    chattiness      share of its sentences with small talk, 0 to 1
    telling         facts: told when asked, only after being told, or when asked a second time
    curious         facts: asks for the partner's secret
    """

    name: str
    opening: float = 1.0
    floor: float = 0.2
    patience: int = 6
    exponent: float = 1.0
    reciprocity: float = 0.3
    accept: float = 0.8
    last_resort: float = 0.1
    margin: float = 0.0
    leave_after: int = 5
    nonsense_limit: int = 5
    steady: bool = False
    chattiness: float = 0.2
    telling: Telling = "asked"
    curious: bool = False


#: Whom to imitate: varied on purpose, so that selecting the best episodes picks out what works.
EXPERTS = (
    Style("tough", floor=0.4, patience=6, accept=0.9, last_resort=0.25, steady=True, chattiness=0.0,
          telling="told"),
    Style("firm", floor=0.3, patience=6, accept=0.8, last_resort=0.1, steady=True, telling="told"),
    Style("fair", floor=0.25, patience=5, accept=0.6, last_resort=0.05, margin=0.05, steady=True),
    Style("quick", opening=0.9, floor=0.15, patience=4, accept=0.5, last_resort=0.0, margin=0.05, steady=True,
          chattiness=0.0),
    Style("conceder", opening=0.85, floor=0.05, patience=4, exponent=0.7, accept=0.3, last_resort=0.0, steady=True,
          chattiness=0.3),
    Style("late", floor=0.2, patience=6, exponent=1.5, accept=0.7, last_resort=0.1, steady=True, telling="second"),
)  # fmt: skip

#: Whom to be tested against: fixed, and never trained on.
PARTNERS = (
    Style("steady", floor=0.1, patience=5, accept=0.7, reciprocity=0.1),
    Style("warm", opening=0.95, floor=0.1, patience=5, exponent=0.8, accept=0.65, last_resort=0.0, margin=0.05,
          reciprocity=0.0, chattiness=0.5),
    Style("dealer", opening=1.05, floor=0.15, patience=6, exponent=1.3, accept=0.8, reciprocity=0.1,
          telling="second"),
    Style("wary", floor=0.15, patience=6, accept=0.75, reciprocity=0.3, chattiness=0.1, telling="told"),
    Style("prying", opening=0.95, floor=0.1, patience=5, exponent=0.9, accept=0.7, reciprocity=0.2, curious=True),
)  # fmt: skip

STYLES: dict[str, Style] = {style.name: style for style in (*EXPERTS, *PARTNERS)}
