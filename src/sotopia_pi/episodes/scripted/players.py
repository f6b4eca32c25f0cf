"""Scripted players: populations of styles, of which each seat draws one from its seed."""

from __future__ import annotations

from dataclasses import dataclass, replace
from random import Random

from sotopia_pi.episodes.agents import Agent, Player, Reply
from sotopia_pi.episodes.records import Action, ActionType
from sotopia_pi.episodes.scripted.expert_phrases import EXPERT_PHRASES
from sotopia_pi.episodes.scripted.facts import LEAVING, decide_fact
from sotopia_pi.episodes.scripted.negotiator import Move, decide, ladder_of
from sotopia_pi.episodes.scripted.partner_phrases import PARTNER_PHRASES
from sotopia_pi.episodes.scripted.phrasebook import Phrasebook
from sotopia_pi.episodes.scripted.styles import EXPERTS, PARTNERS, STYLES, Style
from sotopia_pi.episodes.views import View
from sotopia_pi.errors import ConfigError
from sotopia_pi.records import derive_seed
from sotopia_pi.world.checks import FactSide

_LEAVING = frozenset((Move.CLOSE, Move.GIVE_UP))


@dataclass(frozen=True, slots=True)
class ScriptedAgent:
    """A pure function of (view, seed, style)."""

    style: Style
    phrases: Phrasebook
    seed: int

    async def act(self, view: View) -> Reply:
        """The next action. Raises ConfigError in an open scenario, which a script cannot play."""
        action = self.choose(view)
        return Reply(action, raw=action.to_json())

    async def close(self) -> None:
        """Nothing to let go: a script holds nothing."""

    def choose(self, view: View) -> Action:
        """The next action, without waiting."""
        side = view.side
        rng = Random(derive_seed("sentence", self.seed, len(view.history)))
        if side is None:
            raise ConfigError("A scripted player can only play verified scenarios; give open ones to a model.")
        if isinstance(side, FactSide):
            steps = decide_fact(view, side, self.style)
            leaves = not LEAVING.isdisjoint(steps)
            words = self.phrases.say_fact(steps, side, rng)
        else:
            ladder = ladder_of(side, view.role, self.phrases.verb, plain=self.style.steady)
            decision = decide(view, side, self.style, ladder)
            leaves = decision.move in _LEAVING
            words = self.phrases.say(decision, side, ladder, self.style.chattiness, rng)
        return Action(type=ActionType.LEAVE if leaves else ActionType.SPEAK, argument=words)


@dataclass(frozen=True, slots=True)
class ScriptedPlayer:
    """A named mix of styles with their way of speaking."""

    name: str
    styles: tuple[Style, ...]
    phrases: Phrasebook

    def seat(self, role: int, seed: int) -> Agent:
        """An agent whose style, slightly varied, is drawn from the seed."""
        rng = Random(derive_seed("style", seed, role))
        style = rng.choice(self.styles)
        patience = max(2, style.patience + rng.choice((-1, 0, 0, 1)))
        return ScriptedAgent(replace(style, patience=patience), self.phrases, derive_seed("words", seed, role))


def expert_player() -> Player:
    """The player to imitate: a mix of styles, some better than others."""
    return ScriptedPlayer("expert", EXPERTS, EXPERT_PHRASES)


def partner_player() -> Player:
    """The fixed player to be tested against, with styles and sentences of its own."""
    return ScriptedPlayer("partner", PARTNERS, PARTNER_PHRASES)


def scripted_player(name: str) -> Player:
    """The player called "expert" or "partner", or of a single style. Raises ConfigError, which lists the names."""
    if name == "expert":
        return expert_player()
    if name == "partner":
        return partner_player()
    if name not in STYLES:
        known = ", ".join(("expert", "partner", *STYLES))
        raise ConfigError(f"there is no scripted player {name!r}; the names are {known}")
    phrases = EXPERT_PHRASES if STYLES[name] in EXPERTS else PARTNER_PHRASES
    return ScriptedPlayer(name, (STYLES[name],), phrases)
