"""The world: who can be played, in what situations, and on which tasks.

Records (`Character`, `Scenario`, `Tie`, `SocialTask`), the starter world, loaders for files of users, and casting.
Verified scenarios are drawn by `sotopia_pi.world.verified`.
"""

from sotopia_pi.world.casting import cast
from sotopia_pi.world.library import (
    World,
    is_harmful,
    load_characters,
    load_scenarios,
    load_tasks,
    load_ties,
    safety_scenarios,
    starter_world,
)
from sotopia_pi.world.records import AgeRange, Casting, Character, Relationship, Scenario, SocialTask, Tie

__all__ = [
    "AgeRange",
    "Casting",
    "Character",
    "Relationship",
    "Scenario",
    "SocialTask",
    "Tie",
    "World",
    "cast",
    "is_harmful",
    "load_characters",
    "load_scenarios",
    "load_tasks",
    "load_ties",
    "safety_scenarios",
    "starter_world",
]
