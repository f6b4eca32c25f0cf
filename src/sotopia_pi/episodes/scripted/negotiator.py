"""The negotiator: decides, from one side and one style, what to do next in a bargain, a division or a meeting.

It opens at its aspiration, comes down a step whenever the partner moves (and, unless its style is tit for tat, when
the partner only speaks to the matter), accepts what is as good as its own next offer, says what was agreed, and
leaves. Talk that says nothing about the matter never makes it concede.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum

from sotopia_pi.episodes.reading import Terms
from sotopia_pi.episodes.scripted.ladders import (
    DivisionLadder,
    Ladder,
    MeetingLadder,
    PlainDivisionLadder,
    PriceLadder,
)
from sotopia_pi.episodes.scripted.standing import Negotiable, Standing, stand
from sotopia_pi.episodes.scripted.styles import Style
from sotopia_pi.episodes.views import View
from sotopia_pi.world.checks import DivisionSide, PriceSide

_EPSILON = 1e-9
_STEP = 0.05


class Move(StrEnum):
    """What a negotiator does on its turn; each move has its own sentences."""

    OPEN = "open"
    COUNTER = "counter"
    HOLD = "hold"
    CLARIFY = "clarify"
    ABSURD = "absurd"
    INSIST = "insist"
    ACCEPT = "accept"
    CONFIRM = "confirm"
    CLOSE = "close"
    GIVE_UP = "give up"


@dataclass(frozen=True, slots=True)
class Decision:
    """A move, and the terms it names; CLOSE and GIVE_UP leave and name none."""

    move: Move
    terms: Terms | None = None


def ladder_of(side: Negotiable, role: int, verb: str, plain: bool = False) -> Ladder:
    """The terms of a negotiation as `role` sees them; `verb` is how divisions are put into words.

    `plain`: divisions in an order that is easy to imitate.
    """
    if isinstance(side, PriceSide):
        return PriceLadder(side)
    if isinstance(side, DivisionSide):
        return (PlainDivisionLadder if plain else DivisionLadder)(side, role, verb)
    return MeetingLadder(side)


def decide(seen: View, side: Negotiable, style: Style, ladder: Ladder) -> Decision:
    """The next move of a role with this style. Never offers or accepts terms below share 0."""
    now = stand(seen.role, side, ladder, seen.history)
    agreed = now.reading.agreed
    if agreed is not None and ladder.share(agreed) >= 0:
        return _after_agreement(now, agreed)
    next_offer = _next_offer(style, now, ladder)
    accepted = _accepted(style, now, ladder, next_offer, last_chance=seen.max_turns - seen.turn_number < 2)
    if accepted is not None:
        return Decision(Move.ACCEPT, accepted)
    if now.broken is not None and ladder.share(now.broken) >= 0:
        return Decision(Move.INSIST, now.broken)
    stuck = bool(now.own) and next_offer == now.own[-1]
    if _hopeless(style, now, stuck):
        return Decision(Move.GIVE_UP)
    return Decision(_manner(now, ladder, stuck), next_offer)


def _after_agreement(now: Standing, agreed: Terms) -> Decision:
    """Leaves once both have heard the terms; says them first where the partner agreed without naming them."""
    said = now.settled is not None and now.last_own >= now.settled
    return Decision(Move.CLOSE) if said or now.named else Decision(Move.CONFIRM, agreed)


def _next_offer(style: Style, now: Standing, ladder: Ladder) -> Terms:
    """What to offer next. A steady style goes on down until it has something to offer that it did not say last."""
    aspiration = _aspiration(style, now)
    if style.steady and now.nonsense and now.own:
        return now.own[-1]
    offer = ladder.offer(aspiration, now.own, now.theirs)
    while style.steady and now.own and offer == now.own[-1] and aspiration > style.floor:
        aspiration = max(aspiration - _STEP, style.floor)
        offer = ladder.offer(aspiration, now.own, now.theirs)
    return offer


def _aspiration(style: Style, now: Standing) -> float:
    steps = len(now.own) if style.steady else now.moved + (1 - style.reciprocity) * now.held
    gone: float = min(1.0, steps / style.patience) ** style.exponent
    return style.opening - gone * (style.opening - style.floor)


def _accepted(style: Style, now: Standing, ladder: Ladder, next_offer: Terms, last_chance: bool) -> Terms | None:
    """The partner's terms to be accepted now, if any: good terms at once, poorer ones rather than leave without."""
    if next_offer in now.theirs:
        return next_offer
    offered = now.offered
    if offered is None or ladder.share(offered) < -_EPSILON:
        return None
    enough = min(style.accept, ladder.share(next_offer) - style.margin)
    if last_chance or _hopeless(style, now, bool(now.own) and next_offer == now.own[-1]):
        enough = min(enough, style.last_resort)
    return offered if ladder.share(offered) >= enough - _EPSILON else None


def _hopeless(style: Style, now: Standing, stuck: bool) -> bool:
    """Whether the partner has talked nonsense, or both have stood still, for too long."""
    return now.nonsense >= style.nonsense_limit or (stuck and now.stubborn >= style.leave_after)


def _manner(now: Standing, ladder: Ladder, stuck: bool) -> Move:
    if now.nonsense:
        return Move.CLARIFY if now.own else Move.OPEN
    if now.offered is not None and ladder.absurd(now.offered):
        return Move.ABSURD
    if not now.own:
        return Move.OPEN
    return Move.HOLD if stuck else Move.COUNTER
