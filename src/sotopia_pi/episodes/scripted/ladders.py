"""What can be agreed, seen from one side: how good terms are, which terms to offer at an aspiration, how to say them.

A ladder has one share per terms: 1 is a dream, 0 the worst agreement worth having, below 0 what must be refused.
Nothing here knows more than one side of a check.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from itertools import product
from typing import Protocol

from sotopia_pi.episodes.reading import Division, Terms
from sotopia_pi.world.checks import DivisionSide, MeetingSide, PriceSide

_EPSILON = 1e-9
#: Options lie far apart; one that falls short of the aspiration by this share is near enough.
_NEAR = 0.1


class Ladder(Protocol):
    """The terms of one kind of negotiation, from one side."""

    def share(self, terms: Terms) -> float:
        """How good `terms` are for this side."""
        ...

    def offer(self, aspiration: float, own: Sequence[Terms], theirs: Sequence[Terms]) -> Terms:
        """What to offer at `aspiration`, after the `own` and `theirs` offers so far; never worse than share 0.

        Never better for this side than one of its own earlier offers.
        """
        ...

    def words(self, terms: Terms) -> str:
        """The terms in words, to stand in a sentence."""
        ...

    def absurd(self, terms: Terms) -> bool:
        """Whether nobody could mean these terms."""
        ...


class PriceLadder:
    """Amounts between the own target (1) and the own limit (0)."""

    def __init__(self, side: PriceSide) -> None:
        self._side = side
        self._sign = 1 if side.sells else -1
        self._span = abs(side.target - side.limit) or 1.0

    def share(self, terms: Terms) -> float:
        """How far `terms` are from the own limit, in steps to the own target."""
        return self._sign * (_amount(terms) - self._side.limit) / self._span

    def offer(self, aspiration: float, own: Sequence[Terms], theirs: Sequence[Terms]) -> Terms:
        """The amount at `aspiration`, rounded to 5 dollars, to 10 where the listed price is 100 or more."""
        step = 5 if self._side.listed < 100 else 10
        exact = self._side.limit + self._sign * aspiration * self._span
        rounded = round(exact / step) * step
        earlier = [_amount(terms) for terms in own]
        if self._side.sells:
            return float(max(min((rounded, *earlier)), self._side.limit))
        return float(min(max((rounded, *earlier, step)), self._side.limit))

    def words(self, terms: Terms) -> str:
        """The amount as $210."""
        amount = _amount(terms)
        return f"${amount:.0f}" if amount == int(amount) else f"${amount:.2f}"

    def absurd(self, terms: Terms) -> bool:
        """Whether the amount is nowhere near the listed price."""
        return not self._side.listed / 5 <= _amount(terms) <= self._side.listed * 2


class DivisionLadder:
    """Divisions, of which an own value of 9 is a dream (1) and 2 the worst worth having (0)."""

    def __init__(self, side: DivisionSide, role: int, verb: str) -> None:
        self._side = side
        self._role = role
        self._verb = verb
        self._items = list(side.counts)

    def share(self, terms: Terms) -> float:
        """The own value of what this role would get."""
        mine = _division(terms)[self._role]
        value = sum(self._side.values[item] * mine.get(item, 0) for item in self._items)
        return (value - 2) / 7

    def offer(self, aspiration: float, own: Sequence[Terms], theirs: Sequence[Terms]) -> Terms:
        """Of the divisions worth `aspiration` the one that gives the partner most of what it has asked for."""
        ceiling = min((share for terms in own if (share := self.share(terms)) >= 0), default=math.inf)
        open_ = [terms for terms in self._all() if self.share(terms) <= ceiling + _EPSILON]
        enough = [terms for terms in open_ if self.share(terms) >= max(aspiration, 0) - _EPSILON]
        weights = self._weights(theirs)
        best = max(enough, key=lambda terms: (self._given(terms, weights), self.share(terms)), default=None)
        return best or max(open_, key=self.share)

    def _all(self) -> list[Division]:
        """Every division that leaves each role something."""
        counts = self._side.counts
        divisions: list[Division] = []
        for mine in product(*(range(counts[item] + 1) for item in self._items)):
            if 0 < sum(mine) < sum(counts.values()):
                own = dict(zip(self._items, mine, strict=True))
                rest = {item: counts[item] - own[item] for item in self._items}
                divisions.append((own, rest) if self._role == 0 else (rest, own))
        return divisions

    def _weights(self, theirs: Sequence[Terms]) -> dict[str, float]:
        """How much the partner seems to want one of each item: 1, up to 4 for what it has always claimed in full."""
        weights = dict.fromkeys(self._items, 1.0)
        for terms in theirs:
            claimed = _division(terms)[1 - self._role]
            for item in self._items:
                weights[item] += 3 * claimed.get(item, 0) / self._side.counts[item] / len(theirs)
        return weights

    def _given(self, terms: Division, weights: dict[str, float]) -> float:
        return sum(weights[item] * count for item, count in terms[1 - self._role].items())

    def words(self, terms: Terms) -> str:
        """What I take; the partner takes the rest, which needs no sums of whoever imitates it."""
        return f"I {self._verb} {self._things(_division(terms)[self._role])}, you {self._verb} the rest"

    def _things(self, counts: dict[str, int]) -> str:
        parts = [f"{n} {item}{'s' if n > 1 else ''}" for item in self._items if (n := counts.get(item, 0))]
        if not parts:
            return "nothing"
        return parts[0] if len(parts) == 1 else f"{', '.join(parts[:-1])} and {parts[-1]}"

    def absurd(self, terms: Terms) -> bool:
        """Whether the partner would take everything."""
        return not any(_division(terms)[self._role].values())


class PlainDivisionLadder(DivisionLadder):
    """Divisions in an order that is easy to imitate: everything of value, then one piece less each time, the least
    valuable first. What the partner seems to want plays no part."""

    def __init__(self, side: DivisionSide, role: int, verb: str) -> None:
        super().__init__(side, role, verb)
        self._items = sorted(side.values, key=lambda item: -side.values[item])  # as the goal lists them

    def offer(self, aspiration: float, own: Sequence[Terms], theirs: Sequence[Terms]) -> Terms:
        """The next division of the order; the last one again where the next is worth less than `aspiration`."""
        made = [terms for terms in own if self.share(terms) >= 0]
        lowest = min(map(self.share, made), default=math.inf)
        for terms in self._steps():
            if self.share(terms) < lowest - _EPSILON and (not made or self.share(terms) >= aspiration - _EPSILON):
                return terms
        return min(made, key=self.share) if made else next(iter(self._steps()))

    def _steps(self) -> list[Division]:
        mine = {item: self._side.counts[item] for item in self._items if self._side.values[item] > 0}
        steps: list[Division] = []
        while mine:
            rest = {item: count - mine.get(item, 0) for item, count in self._side.counts.items()}
            if any(rest.values()):
                own = {item: mine.get(item, 0) for item in self._items}
                division = (own, rest) if self._role == 0 else (rest, own)
                if self.share(division) >= 0:
                    steps.append(division)
            last = next(reversed(mine))
            mine[last] -= 1
            if not mine[last]:
                del mine[last]
        return steps


class MeetingLadder:
    """Options, of which one worth 10 is a dream (1) and one worth 1 the worst worth having (0)."""

    def __init__(self, side: MeetingSide) -> None:
        self._side = side
        self._ranked = sorted(side.options, key=lambda option: -side.values[option])

    def share(self, terms: Terms) -> float:
        """The own value of the option."""
        return (self._side.values.get(str(terms), 0) - 1) / 9

    def offer(self, aspiration: float, own: Sequence[Terms], theirs: Sequence[Terms]) -> Terms:
        """The next option on the own list if it is worth nearly `aspiration`, else the last one again."""
        lowest = max((self._ranked.index(str(terms)) for terms in own if terms in self._ranked), default=-1)
        least = max(aspiration - _NEAR, 0) - _EPSILON
        fair = [rank for rank, option in enumerate(self._ranked) if self.share(option) >= least]
        highest_rank = max((rank for rank in fair if rank <= lowest + 1), default=0)
        return self._ranked[max(highest_rank, lowest)] if self._usable(lowest) else self._ranked[highest_rank]

    def _usable(self, rank: int) -> bool:
        return rank >= 0 and self.share(self._ranked[rank]) >= 0

    def words(self, terms: Terms) -> str:
        """The option's own name."""
        return str(terms)

    def absurd(self, terms: Terms) -> bool:
        """No option is absurd."""
        return False


def _amount(terms: Terms) -> float:
    if not isinstance(terms, int | float):
        raise TypeError(f"not an amount: {terms!r}")
    return float(terms)


def _division(terms: Terms) -> Division:
    if not isinstance(terms, tuple):
        raise TypeError(f"not a division: {terms!r}")
    return terms
