"""What a reading speaks of: the terms of an offer, where a negotiation stands, and what one turn contributes."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field

#: How many of each item goes to each role: one dict per role, together the counts of the check.
Division = tuple[dict[str, int], dict[str, int]]

#: What can be agreed: a price in dollars, a division, or an option (a time or a place).
Terms = float | Division | str


@dataclass(frozen=True)
class Reading:
    """Where a negotiation stands after the turns that were read.

    `offers` has each role's latest offer that still stands (not withdrawn). `agreed` is what both last agreed on,
    None without an agreement. `undecided` says in a few words why the agreement cannot be told, else None.
    `rejected` tells whether the last turn turned the other's standing offer down in words ("too much", "no deal");
    a mere counter-offer leaves it False. `also` has all standing offers of a role whose last turn made several.
    """

    offers: dict[int, Terms] = field(default_factory=dict)
    agreed: Terms | None = None
    undecided: str | None = None
    rejected: bool = False
    also: dict[int, tuple[Terms, ...]] = field(default_factory=dict)


@dataclass(frozen=True)
class Said:
    """What one turn says about the negotiation.

    `offers` are what it proposes (several: any of them), `named` what it refers to of the partner's proposals.
    `vague` says why a proposal it makes is not a definite offer; `reopens` that this proposal asks for other terms
    than before. `fits` tells whether terms match what the words name only in part. `weak` is a mere "okay".
    An `echo` mentions terms without proposing them: the other's own are not agreed to by it. `ends` are words that
    end an agreement. `gone` are the terms withdrawn; `withdraws` with none of them withdraws the standing offer.
    `settles` says that the words choose an offer made before ("Friday then"). `asks_assent` tells whether the turn
    asks for a yes to the standing offer, `asks_else` whether it ends with a question about something else.
    """

    offers: tuple[Terms, ...] = ()
    named: tuple[Terms, ...] = ()
    gone: tuple[Terms, ...] = ()
    vague: str | None = None
    reopens: bool = False
    fits: Callable[[Terms], bool] | None = None
    accepts: bool = False
    weak: bool = False
    conditional: bool = False
    refuses: bool = False
    withdraws: bool = False
    ends: bool = False
    echo: bool = False
    settles: bool = False
    asks_assent: bool = False
    asks_else: bool = False
