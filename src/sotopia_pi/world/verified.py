"""Verified scenarios, drawn by the environments: the same for the same (kind, split, seed), whatever the count."""

from __future__ import annotations

from random import Random

from sotopia_pi import environments
from sotopia_pi.records import derive_seed
from sotopia_pi.world.records import Relationship, Scenario

#: Of ten scenarios seven are between strangers.
_RELATIONSHIPS = (
    *[Relationship.STRANGER] * 7,
    *[Relationship.KNOWS_NAME] * 2,
    Relationship.ACQUAINTANCE,
)


def generate(kind: str, split: str, count: int, seed: int) -> tuple[Scenario, ...]:
    """`count` different scenarios of one kind; the first n of a larger count are the same scenarios.

    Scenarios of different splits are about different things. ConfigError for an unknown kind or split, or a count that
    cannot be reached.
    """
    return tuple(
        Scenario(
            situation=drawn.situation,
            goals=drawn.goals,
            relationship=Random(derive_seed("relationship", kind, split, seed, index)).choice(_RELATIONSHIPS),
            kind=kind,
            source="generated",
            check=drawn.check,
        )
        for index, drawn in enumerate(environments.generate(kind, split, count, seed))
    )
