"""Reading what was agreed out of what was said: used by scripted agents (to answer) and by the verifier (to rate).

Language is loose and a model's words are untrusted; where the words do not decide, the reading says so.
"""

from __future__ import annotations

from collections.abc import Sequence

from sotopia_pi.episodes.reading.division import read_division
from sotopia_pi.episodes.reading.fact import FactReading, read_fact, said_guarded
from sotopia_pi.episodes.reading.meeting import read_meeting
from sotopia_pi.episodes.reading.price import read_price
from sotopia_pi.episodes.reading.standing import Standing
from sotopia_pi.episodes.reading.terms import Division, Reading, Said, Terms
from sotopia_pi.episodes.records import ActionType
from sotopia_pi.episodes.views import Seen
from sotopia_pi.world.checks import DivisionSide, MeetingSide, PriceSide

__all__ = ["Division", "FactReading", "Reading", "Terms", "read_fact", "read_negotiation", "said_guarded"]


def read_negotiation(side: PriceSide | DivisionSide | MeetingSide, history: Sequence[Seen]) -> Reading:
    """Reads a bargain, a division or a meeting. Uses only what both roles know of `side`.

    Words count when spoken (speak), done (action, non-verbal communication: "nods", "shakes hands on it") or given
    on leaving. The first 4,000 characters of a turn are read.
    """
    standing = Standing(lasting=isinstance(side, MeetingSide))
    for seen in history:
        if seen.role not in (0, 1):
            continue
        if seen.action.type is ActionType.NONE or not seen.action.argument.strip():
            standing.silence()
        else:
            standing.hear(seen.role, _said(side, seen, standing))
    return standing.reading()


def _said(side: PriceSide | DivisionSide | MeetingSide, seen: Seen, standing: Standing) -> Said:
    text = seen.action.argument
    deed = seen.action.type in (ActionType.NON_VERBAL, ActionType.ACT)
    own, other = standing.offers(seen.role), standing.offers(1 - seen.role)
    match side:
        case PriceSide():
            return read_price(side, text, deed, own, other)
        case DivisionSide():
            return read_division(side, text, deed, seen.role)
        case _:
            return read_meeting(side, text, deed, own, other)
