"""The exchange of facts: asks for what it wants to know, tells what it may, keeps what it guards, and leaves."""

from __future__ import annotations

import re
from dataclasses import dataclass
from enum import StrEnum

from sotopia_pi.episodes.scripted.styles import Style
from sotopia_pi.episodes.views import View
from sotopia_pi.world.checks import FactSide

_GIVE_UP_AFTER = 6
_SMALL_WORDS = frozenset(("the", "a", "an", "of", "in", "and", "to"))


class Step(StrEnum):
    """What is said on a turn; a turn may take several steps, in this order."""

    GREET = "greet"
    REFUSE = "refuse"
    TELL = "tell"
    PROMISE = "promise"
    ASK = "ask"
    ASK_AGAIN = "ask again"
    PRY = "pry"
    THANK = "thank"
    INVITE = "invite"
    BYE = "bye"
    GIVE_UP = "give up"


#: Steps that end the conversation.
LEAVING = frozenset((Step.BYE, Step.GIVE_UP))


@dataclass
class _Talk:
    """What has been said so far, as far as it matters."""

    learnt: bool = False
    told: bool = False
    asked_me: int = 0
    asked_just_now: bool = False
    pried_just_now: bool = False
    own_turns: int = 0
    since_learnt: int = 0


def decide_fact(seen: View, side: FactSide, style: Style) -> tuple[Step, ...]:
    """The steps of the next turn. Never tells the guarded word."""
    talk = _listen(seen, side)
    tell = not talk.told and talk.asked_me > 0 and _willing(style, talk)
    steps = [Step.REFUSE] if talk.pried_just_now else []
    if talk.learnt:
        if tell:
            return (*steps, Step.TELL, Step.THANK)
        if talk.told or talk.since_learnt > 0:
            return (*steps, Step.BYE)
        return (*steps, Step.INVITE)
    if talk.own_turns >= _GIVE_UP_AFTER:
        return (Step.GIVE_UP,)
    if tell:
        steps.append(Step.TELL)
    elif talk.asked_just_now and not talk.told:
        steps.append(Step.PROMISE)
    if style.curious and talk.own_turns == 1 and not steps:
        return (Step.PRY, Step.ASK)
    steps.append(Step.ASK if talk.own_turns == 0 or tell else Step.ASK_AGAIN)
    return tuple(steps)


def _willing(style: Style, talk: _Talk) -> bool:
    if talk.learnt or style.telling == "asked":
        return True
    return talk.asked_me >= (2 if style.telling == "second" else 3)


def _listen(seen: View, side: FactSide) -> _Talk:
    talk = _Talk()
    for event in seen.history:
        words = _words(event.action.argument)
        if event.role == seen.role:
            talk.own_turns += 1
            talk.since_learnt += talk.learnt
            talk.told = talk.told or side.own_answer.lower() in words
            continue
        talk.asked_just_now = _about(side.own_subject, words)
        talk.pried_just_now = "secret" in words or _about(side.guarded_subject, words)
        talk.asked_me += talk.asked_just_now
        talk.learnt = talk.learnt or len({option for option in side.wanted_options if option.lower() in words}) == 1
    return talk


def _about(subject: str, words: set[str]) -> bool:
    """Whether at least half of the subject's words are among `words`."""
    content = _words(subject) - _SMALL_WORDS
    return 2 * len(content & words) >= len(content)


def _words(text: str) -> set[str]:
    return set(re.findall(r"[^\W_]+", text.lower()))
