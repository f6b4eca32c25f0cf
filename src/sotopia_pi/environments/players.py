"""Scripted players: populations of tempers, of which each seat draws one, and what a seat does and says.

A seat is a pure function of its seed, its side, what it hears (terms and nothing else) and who speaks to whom.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from random import Random
from typing import Any

from sotopia_pi.environments import styles
from sotopia_pi.environments.base import AnyEnvironment, Heard, Offer
from sotopia_pi.environments.negotiator import MAX_TURNS, decide
from sotopia_pi.environments.phrases import Speaker, say
from sotopia_pi.environments.styles import Style, Temper
from sotopia_pi.errors import ConfigError
from sotopia_pi.records import derive_seed


@dataclass(frozen=True, slots=True)
class Seat:
    """One scripted player in one role of one episode."""

    style: Style
    voice: int
    seed: int

    def act(
        self, env: AnyEnvironment, side: Any, heard: Heard[Any], speaker: Speaker, max_turns: int = MAX_TURNS
    ) -> tuple[Offer[Any], str]:
        """The next move with its terms, and the words beside them."""
        rng = Random(derive_seed("turn", self.seed, len(heard)))
        offer = decide(env, side, self.style, heard, rng, max_turns)
        return offer, say(env, side, offer, heard, speaker, self.voice, rng)


@dataclass(frozen=True, slots=True)
class Population:
    """A named mix of tempers with sentences of its own; `by_kind` narrows the mix for single kinds."""

    name: str
    tempers: tuple[Temper, ...]
    voice: int
    by_kind: Mapping[str, tuple[str, ...]] = field(default_factory=dict)

    def mix(self, kind: str) -> tuple[Temper, ...]:
        """The tempers that are drawn from in tasks of a kind."""
        names = self.by_kind.get(kind)
        return self.tempers if names is None else tuple(temper for temper in self.tempers if temper.name in names)

    def seat(self, kind: str, role: int, seed: int) -> Seat:
        """A seat whose style is drawn from the seed."""
        rng = Random(derive_seed("style", seed, role))
        return Seat(rng.choice(self.mix(kind)).draw(rng), self.voice, derive_seed("words", seed, role))


POPULATIONS = {
    population.name: population
    for population in (
        Population("expert", styles.EXPERTS, 0, styles.BEST),
        Population("partner-train", styles.TRAIN_PARTNERS, 1),
        Population("partner", styles.TEST_PARTNERS, 2),
        Population("partner-last", styles.LAST_PARTNERS, 3),
    )
}


def population(name: str) -> Population:
    """The population of this name, or a single temper by its own name. ConfigError, which lists the names."""
    singles = [Population(temper.name, (temper,), of.voice) for of in POPULATIONS.values() for temper in of.tempers]
    known = {**POPULATIONS, **{single.name: single for single in singles}}
    if name not in known:
        raise ConfigError(f"there is no scripted player {name!r}; the names are {', '.join(known)}")
    return known[name]
