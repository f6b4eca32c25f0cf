"""Casting: which characters may play a scenario, and a seeded draw among them.

Characters fit when each is of the age and occupation that its role asks for and when all of them know each other
exactly as the scenario says. Pairs that no tie names are strangers.
"""

from __future__ import annotations

import random
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from textwrap import shorten

from sotopia_pi.errors import WorldError
from sotopia_pi.records import derive_seed
from sotopia_pi.world.records import Casting, Character, Relationship, Scenario, SocialTask, Tie

_Levels = Mapping[frozenset[str], Relationship]


def cast(
    scenario: Scenario, characters: Iterable[Character], ties: Iterable[Tie], seed: int, count: int = 1
) -> tuple[SocialTask, ...]:
    """Up to `count` social tasks of `scenario`, each with a different ordered tuple of characters that fit it.

    Both orders of a pair count. All tuples that fit are shuffled by a generator seeded with (`seed`, scenario id), so
    the draw depends neither on the order of `characters` and `ties` nor on other scenarios, and a larger `count` only
    appends to a smaller one. Where fewer tuples fit, all are returned. Raises WorldError when none fits, naming the
    constraint (age or occupation of a role, or relationship) that nobody meets.
    """
    if count < 1:
        raise ValueError(f"count must be at least 1, not {count}")
    fitting = list(_fitting(scenario, characters, ties))
    random.Random(derive_seed("cast", seed, scenario.id)).shuffle(fitting)
    return tuple(SocialTask(scenario=scenario, characters=chosen) for chosen in fitting[:count])


def check_castable(scenario: Scenario, characters: Iterable[Character], ties: Iterable[Tie]) -> None:
    """Whether anybody fits the scenario; WorldError as of `cast`."""
    next(_fitting(scenario, characters, ties))


def _fitting(
    scenario: Scenario, characters: Iterable[Character], ties: Iterable[Tie]
) -> Iterator[tuple[Character, ...]]:
    """All tuples of characters that fit, in a fixed order. WorldError instead of none."""
    people = sorted(characters, key=lambda character: (character.name, character.id))
    pools = [[c for c in people if scenario.casting_of(role).fits(c)] for role in range(len(scenario.goals))]
    for role, pool in enumerate(pools):
        if not pool:
            raise _nobody(scenario, _unmet(role, scenario.casting_of(role), people))
    levels = {frozenset(tie.names): tie.relationship for tie in ties}
    found = False
    for chosen in _tuples(pools, scenario.relationship, levels):
        found = True
        yield chosen
    if not found:
        level = scenario.relationship
        raise _nobody(
            scenario,
            f"relationship: no characters who fit the {len(pools)} roles have level {level.value} "
            f"({level.name.lower().replace('_', ' ')}) with each other; add such a tie",
        )


def _tuples(
    pools: Sequence[Sequence[Character]], level: Relationship, levels: _Levels, chosen: tuple[Character, ...] = ()
) -> Iterator[tuple[Character, ...]]:
    """All ways to continue `chosen` with one character per further role, in the order of the pools."""
    if len(chosen) == len(pools):
        yield chosen
        return
    for character in pools[len(chosen)]:
        if all(_level(character, other, levels) == level for other in chosen):
            yield from _tuples(pools, level, levels, (*chosen, character))


def _level(one: Character, other: Character, levels: _Levels) -> Relationship | None:
    """How well the two know each other; None for a character and itself."""
    if one.name == other.name:
        return None
    return levels.get(frozenset((one.name, other.name)), Relationship.STRANGER)


def _unmet(role: int, wanted: Casting, people: Collection[Character]) -> str:
    """The constraint of `role` that leaves nobody, in words, with what to do."""
    ages = f"{wanted.age.low} to {wanted.age.high}"
    if not any(wanted.age.low <= character.age <= wanted.age.high for character in people):
        return f"age of role {role}: nobody is {ages} years old; widen the range or add such a character"
    listed = ", ".join(wanted.occupations)
    return (
        f"occupation of role {role}: nobody aged {ages} is one of: {listed}; "
        "list more occupations or add such a character"
    )


def _nobody(scenario: Scenario, why: str) -> WorldError:
    situation = shorten(scenario.situation, width=60, placeholder=" …")
    return WorldError(f'Nobody fits the scenario "{situation}": {why}, or leave this scenario out.')
