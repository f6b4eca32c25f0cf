"""Reading what was agreed out of what was said: used by scripted agents (to answer) and by the verifier (to rate).

Language is loose and a model's words are untrusted; where the words do not decide, the reading says so.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

from sotopia_pi.episodes.views import Seen
from sotopia_pi.world.checks import DivisionSide, MeetingSide, PriceSide

#: How many of each item goes to each role: one dict per role, together the counts of the check.
Division = tuple[dict[str, int], dict[str, int]]

#: What can be agreed: a price in dollars, a division, or an option (a time or a place).
Terms = float | Division | str


@dataclass(frozen=True)
class Reading:
    """Where a negotiation stands after the turns that were read.

    `offers` has each role's latest offer that still stands (not withdrawn). `agreed` is what both last agreed on,
    None without an agreement. `undecided` says in a few words why the agreement cannot be told, else None.
    `rejected` tells whether the last turn turned the other's standing offer down.
    """

    offers: dict[int, Terms] = field(default_factory=dict)
    agreed: Terms | None = None
    undecided: str | None = None
    rejected: bool = False


def read_negotiation(side: PriceSide | DivisionSide | MeetingSide, history: Sequence[Seen]) -> Reading:
    """Reads a bargain, a division or a meeting. Uses only what both roles know of `side`: item, counts, options.

    Words count when spoken (speak), done (action, non-verbal communication: "nods", "shakes hands on it") or given
    on leaving.
    """
    raise NotImplementedError
