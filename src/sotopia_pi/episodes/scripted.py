"""Scripted players: a population of styles, of which each seat draws one from its seed, as agents of an episode."""

from __future__ import annotations

from dataclasses import dataclass

from sotopia_pi.environments.phrases import Speaker
from sotopia_pi.environments.players import Population, Seat, population
from sotopia_pi.episodes.agents import Agent, Player, Reply
from sotopia_pi.episodes.records import Action, ActionType
from sotopia_pi.episodes.views import View
from sotopia_pi.errors import ConfigError


class ScriptedAgent:
    """A pure function of (view, population, role, seed)."""

    def __init__(self, players: Population, role: int, seed: int) -> None:
        self._players, self._role, self._seed = players, role, seed
        self._seat: Seat | None = None

    async def act(self, view: View) -> Reply:
        """The next action. Raises ConfigError in an open scenario, which a script cannot play."""
        action = self.choose(view)
        return Reply(action, raw=action.to_json())

    async def close(self) -> None:
        """Nothing to let go: a script holds nothing."""

    def choose(self, view: View) -> Action:
        """The next action, without waiting."""
        env = view.environment
        if env is None:
            raise ConfigError("A scripted player can only play verified scenarios; give open ones to a model.")
        if self._seat is None:
            self._seat = self._players.seat(env.kind, self._role, self._seed)
        offer, words = self._seat.act(env, view.side, view.heard, _speaker(view), view.max_turns)
        if offer.terms is None:
            return Action(type=ActionType.LEAVE, argument=words)
        return Action(type=ActionType.SPEAK, argument=words, terms=env.write(view.side, offer.terms))


def _speaker(view: View) -> Speaker:
    partner = view.partners[0]
    return Speaker(view.own.occupation, partner.name or "", view.relationship.value)


@dataclass(frozen=True, slots=True)
class ScriptedPlayer:
    """A named population."""

    name: str
    players: Population

    def seat(self, role: int, seed: int) -> Agent:
        """An agent whose style is drawn from the seed."""
        return ScriptedAgent(self.players, role, seed)


def scripted_player(name: str) -> Player:
    """The player called after a population ("expert", "partner") or a single style. ConfigError with the names."""
    return ScriptedPlayer(name, population(name))
