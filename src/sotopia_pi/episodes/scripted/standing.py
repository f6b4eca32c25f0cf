"""Where a negotiation stands for one role: its own offers so far, how the partner moved, how often it made sense.

Everything is worked out anew from what the role has seen, so that an agent can continue any episode.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from functools import lru_cache

from sotopia_pi.episodes.reading import Reading, Terms, read_negotiation
from sotopia_pi.episodes.scripted.ladders import Ladder
from sotopia_pi.episodes.views import Seen
from sotopia_pi.world.checks import DivisionSide, MeetingSide, PriceSide

Negotiable = PriceSide | DivisionSide | MeetingSide
_EPSILON = 1e-9


@dataclass
class Standing:
    """What `role` makes of the turns so far.

    own, theirs    the offers made, in order; terms agreed on count as own offers
    moved, held    how many of the partner's turns brought a better price or division, or an option that it had
                   not named before, and how many did not
    stubborn       how many of the partner's turns, up to now, did not, without one in between that did
    nonsense       how many of the partner's turns in a row, up to now, said nothing about the matter
    settled        the turn since which the present agreement holds, None without one
    broken         what was agreed before the partner's last turn undid it, else None
    named          whether the partner's last turn named terms
    """

    role: int
    reading: Reading = field(default_factory=Reading)
    own: list[Terms] = field(default_factory=list)
    theirs: list[Terms] = field(default_factory=list)
    moved: int = 0
    held: int = 0
    stubborn: int = 0
    nonsense: int = 0
    settled: int | None = None
    broken: Terms | None = None
    named: bool = False
    last_own: int = -1

    @property
    def offered(self) -> Terms | None:
        """The partner's offer on the table."""
        return self.reading.offers.get(1 - self.role)


class _Key:
    """A side as a key: sides hold dicts, which have no hash."""

    def __init__(self, side: Negotiable) -> None:
        self.side = side
        self._text = repr(side)

    def __hash__(self) -> int:
        return hash(self._text)

    def __eq__(self, other: object) -> bool:
        return isinstance(other, _Key) and self._text == other._text


@lru_cache(maxsize=4096)
def _read(key: _Key, history: tuple[Seen, ...]) -> Reading:
    """Each turn reads every beginning of the history again; nearly all of them were read the turn before."""
    return read_negotiation(key.side, history)


def stand(role: int, side: Negotiable, ladder: Ladder, history: Sequence[Seen]) -> Standing:
    """Reads the whole history from the point of view of `role`."""
    now = Standing(role)
    for index, event in enumerate(history):
        before, now.reading, now.broken = now.reading, _read(_Key(side), tuple(history[: index + 1])), None
        if event.role == role:
            _own_turn(now, index)
        else:
            alone = _read(_Key(side), (event,))
            now.named = event.role in alone.offers
            _their_turn(now, before.offers.get(event.role), ladder)
        if now.reading.agreed is None:
            now.broken = before.agreed if event.role != role else None
            now.settled = None
        elif before.agreed != now.reading.agreed:
            now.settled = index
    return now


def _own_turn(now: Standing, index: int) -> None:
    now.last_own = index
    terms = now.reading.agreed if now.reading.agreed is not None else now.reading.offers.get(now.role)
    if terms is not None and (not now.own or now.own[-1] != terms):
        now.own.append(terms)


def _their_turn(now: Standing, earlier: Terms | None, ladder: Ladder) -> None:
    if now.reading.agreed is not None:
        now.nonsense = 0
        return
    terms = now.offered
    better = False
    if terms is not None and (now.named or terms != earlier):
        best = max(map(ladder.share, now.theirs), default=-float("inf"))
        moved = isinstance(terms, str) and terms not in now.theirs
        better = moved or ladder.share(terms) > best + _EPSILON
        now.theirs.append(terms)
    elif not now.reading.rejected:
        now.nonsense += 1
        return
    now.nonsense = 0
    if better:
        now.moved, now.stubborn = now.moved + 1, 0
    else:
        now.held, now.stubborn = now.held + 1, now.stubborn + 1
