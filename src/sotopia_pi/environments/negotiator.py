"""The scripted negotiator: from one side, one style and the terms declared so far to the next offer.

It hears terms and nothing else. It opens high and gives way, partly of its own accord and partly in return for what
the partner gave, measured in its own worth: a step that is worth little to it counts little. It keeps a tab of how far
the partner falls behind the concessions it expects, and leaves when that exceeds its patience. It proposes, of what
satisfies itself, what the partner seems to like best. Everything is worked out anew from what was heard, so that it can
continue any episode.
"""

from __future__ import annotations

from collections.abc import Callable, Hashable
from dataclasses import dataclass, field
from functools import lru_cache
from random import Random
from typing import Any, Generic, TypeVar

from sotopia_pi.environments.base import Environment, Heard, Move, Offer
from sotopia_pi.environments.styles import Style

T = TypeVar("T", bound=Hashable)
MAX_TURNS = 20
_EPSILON = 1e-9
#: Concessions from below this worth to this worth count for nothing: nobody is thanked for an absurd demand taken back.
_UNREASONABLE = -0.4


@dataclass
class _Talk(Generic[T]):
    """What a role makes of the turns so far.

    demand   the worth below which it would not propose now
    tab      how far the partner has fallen behind what is expected of it, negative; a little credit is kept
    best     the best worth that the partner has offered, None before any offer
    """

    demand: float
    tab: float = 0.0
    best: float | None = None
    own: list[T] = field(default_factory=list)
    theirs: list[T] = field(default_factory=list)


def decide(
    env: Environment[Any, Any, T], side: Any, style: Style, heard: Heard[T], rng: Random, max_turns: int = MAX_TURNS
) -> Offer[T]:
    """The next turn of a scripted player. Never proposes or accepts what is outside the role's limit."""
    if (scripted := env.script(side, style, heard, rng)) is not None:
        return scripted
    talk = _listen(env, side, style, heard)
    offer = _proposal(env, side, style, heard, talk, rng)
    last = heard[-1][1] if heard and heard[-1][0] != side.role else None
    worth = env.worth(side, last) if last is not None and env.within(side, last) else -1.0
    ends = len(heard) + 1 >= max_turns - 1
    impatient = talk.tab < -style.patience
    enough = min(style.accept, env.worth(side, offer) if offer is not None else style.accept)
    if ends or impatient:
        enough = min(enough, style.resort)
    if last is not None and worth >= max(enough, 0) - _EPSILON:
        return Offer(Move.ACCEPT, last)
    if impatient or offer is None:
        return Offer(Move.LEAVE)
    if not talk.own:
        return Offer(Move.OPEN, offer)
    return Offer(Move.HOLD if offer == talk.own[-1] else Move.COUNTER, offer)


def _listen(env: Environment[Any, Any, T], side: Any, style: Style, heard: Heard[T]) -> _Talk[T]:
    talk: _Talk[T] = _Talk(style.opening)
    gained, turns = 0.0, 0
    for number, (speaker, terms) in enumerate(heard):
        if speaker != side.role:
            fresh = terms is not None and env.fresh(terms, talk.theirs)
            gained = _gained(talk, terms, lambda heard_terms: env.worth(side, heard_terms))
            if number > 1 and not fresh:
                talk.tab = min(talk.tab + gained - style.expects, 2 * style.expects)
            continue
        if turns:
            talk.demand -= _step(style, turns, gained, talk)
        turns += 1
        gained = 0.0
        if terms is not None:
            talk.own.append(terms)
    if turns:
        talk.demand -= _step(style, turns, gained, talk)
    talk.demand = max(talk.demand, min(style.floor, style.opening))
    return talk


def _step(style: Style, turn: int, gained: float, talk: _Talk[T]) -> float:
    """How much the demand falls on an own turn; not at all while the style tests the partner."""
    if style.test_from <= turn < style.test_from + style.test_for:
        return 0.0
    gap = max(0.0, talk.demand - max(0.0, talk.best or 0.0))
    return style.pace * (1 - style.reciprocity) + style.reciprocity * style.matching * gained + style.closing * gap


def _gained(talk: _Talk[T], terms: T | None, worth: Callable[[T], float]) -> float:
    """What the partner's turn is worth more than the best it offered before."""
    if terms is None:
        return 0.0
    talk.theirs.append(terms)
    now = max(worth(terms), _UNREASONABLE)
    gained = 0.0 if talk.best is None else max(0.0, now - talk.best)
    talk.best = now if talk.best is None else max(talk.best, now)
    return gained


def _proposal(
    env: Environment[Any, Any, T], side: Any, style: Style, heard: Heard[T], talk: _Talk[T], rng: Random
) -> T | None:
    """What to propose: the best that the partner ever offered if it is good enough, else what it may like best."""
    offered = [terms for terms in talk.theirs if env.within(side, terms)]
    best = max(offered, key=lambda terms: env.worth(side, terms), default=None)
    if best is not None and env.worth(side, best) >= talk.demand - _EPSILON:
        return best
    if (special := env.propose(side, style, heard, talk.demand)) is not None:
        return special
    worths: dict[T, float] = _worths(env, side)
    if not worths:
        return None
    others = [terms for terms, worth in worths.items() if terms not in talk.own and worth >= style.floor]
    left = others if others and style.moves and rng.random() < style.moves else list(worths)
    demand = min(talk.demand, max(worths[terms] for terms in left))
    enough = [terms for terms in left if worths[terms] >= demand - _EPSILON]
    liked = env.appeal(side, heard)
    return max(enough, key=lambda terms: (round(liked(terms), 6), rng.random()))


@lru_cache(maxsize=4096)
def _worths(env: Environment[Any, Any, T], side: Any) -> dict[T, float]:
    """What may be proposed and what it is worth; asked for on every turn."""
    return {terms: env.worth(side, terms) for terms in env.candidates(side)}
