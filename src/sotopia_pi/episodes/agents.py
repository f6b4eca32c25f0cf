"""Agents: anything that answers a view with an action.

A Player is a named source of agents (a policy, a scripted expert, a person): the runner asks it for a fresh agent
per episode and role. Agents may raise ModelError; the runner turns that into a failed episode.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol

from sotopia_pi.episodes.records import NO_USAGE, Action, Usage
from sotopia_pi.episodes.views import View
from sotopia_pi.models.answers import Cause


@dataclass(frozen=True, slots=True)
class Reply:
    """An agent's answer. `raw` is what a model wrote; an invalid reply carries the action none, and its cause."""

    action: Action
    raw: str = ""
    valid: bool = True
    reasked: bool = False
    usage: Usage = NO_USAGE
    cause: Cause | None = None


class Agent(Protocol):
    """Plays one role of one episode."""

    async def act(self, view: View) -> Reply:
        """The next action of the role that sees `view`."""
        ...

    async def close(self) -> None:
        """The episode is over; what the agent holds can go."""
        ...


class Player(Protocol):
    """A named source of agents."""

    @property
    def name(self) -> str:
        """How the player is called in plans, reports and the store."""
        ...

    def seat(self, role: int, seed: int) -> Agent:
        """An agent for one role of one episode; equal seeds give agents that behave equally."""
        ...
