"""Who plays what: Character, Scenario and SocialTask.

A scenario is open (only a judge can rate it) or verified (it carries a check, and a program decides the outcome).
"""

from __future__ import annotations

from collections.abc import Mapping
from enum import IntEnum
from typing import Any, Self

from pydantic import (
    ConfigDict,
    Field,
    SerializeAsAny,
    ValidationError,
    ValidationInfo,
    field_validator,
    model_validator,
)

from sotopia_pi.environments import AnyEnvironment, Check, environment
from sotopia_pi.errors import ConfigError
from sotopia_pi.records import Identified, Name, Record, Text


class Relationship(IntEnum):
    """How well two characters know each other; decides what each may see of the other (paper.md section 2)."""

    STRANGER = 0
    KNOWS_NAME = 1
    ACQUAINTANCE = 2
    FRIEND = 3
    ROMANTIC = 4
    FAMILY = 5


class Character(Identified):
    """A person that can be played. `secret` is known to nobody but the character."""

    name: Name
    age: int = Field(ge=18, le=120)
    gender: Text
    pronouns: Text
    occupation: Text
    public_info: Text
    big_five: Text
    moral_values: tuple[Text, ...]
    schwartz_values: tuple[Text, ...]
    personality: Text
    decision_style: Text
    secret: Text


class AgeRange(Record):
    """Inclusive bounds on a character's age, in years."""

    low: int = 18
    high: int = 120

    @model_validator(mode="after")
    def _ordered(self) -> Self:
        if self.low > self.high:
            raise ValueError(f"age range {self.low}–{self.high} is empty")
        return self


class Casting(Record):
    """What one role asks of the character that plays it; an empty `occupations` accepts everyone."""

    age: AgeRange = AgeRange()
    occupations: tuple[Text, ...] = ()

    def fits(self, character: Character) -> bool:
        """Whether the character is of the right age and, where occupations are listed, has one of them."""
        if not self.age.low <= character.age <= self.age.high:
            return False
        return not self.occupations or character.occupation.lower() in {o.lower() for o in self.occupations}


class RetiredCheck(Check):
    """A check from before outcomes were declared in terms: kept as it was stored; nothing is played or scored by it."""

    model_config = ConfigDict(extra="allow")


#: The context in which stored checks of that age are read.
RETIRED = {"retired": True}


class Scenario(Identified):
    """A situation with one goal per role.

    `kind` groups scenarios in reports ("price", "norms", …); `source` says where the scenario comes from.
    `casting` is empty (anybody) or has one entry per role. `check` makes the scenario verified: it belongs to the
    environment of its own `kind`, which two roles play.
    """

    situation: Text
    goals: tuple[Text, ...] = Field(min_length=2)
    relationship: Relationship = Relationship.STRANGER
    casting: tuple[Casting, ...] = ()
    kind: Text
    source: Text
    check: SerializeAsAny[Check] | None = None

    @field_validator("situation")
    @classmethod
    def _situation_is_given(cls, situation: str) -> str:
        if not situation.strip():
            raise ValueError("a scenario needs a situation")
        return situation

    @field_validator("goals")
    @classmethod
    def _goals_are_given(cls, goals: tuple[str, ...]) -> tuple[str, ...]:
        if not all(goal.strip() for goal in goals):
            raise ValueError("every role needs a goal")
        return goals

    @field_validator("check", mode="before")
    @classmethod
    def _check_is_of_a_kind(cls, value: Any, info: ValidationInfo) -> Any:
        if not isinstance(value, Mapping):
            return value
        if info.context == RETIRED:
            return RetiredCheck.model_validate(value)
        try:
            return environment(str(value.get("kind"))).check_type.model_validate(value)
        except ConfigError as error:
            raise ValueError(str(error)) from None
        except ValidationError as error:
            first = error.errors()[0]
            where = ".".join(str(part) for part in first["loc"])
            raise ValueError(": ".join(part for part in (where, first["msg"]) if part)) from None

    @model_validator(mode="after")
    def _two_negotiate(self) -> Self:
        if self.check is not None and len(self.goals) != 2:
            raise ValueError(f"a scenario with a check has two roles, not {len(self.goals)}")
        return self

    @model_validator(mode="after")
    def _one_casting_per_role(self) -> Self:
        if self.casting and len(self.casting) != len(self.goals):
            raise ValueError(f"{len(self.casting)} castings for {len(self.goals)} goals")
        return self

    @property
    def verified(self) -> bool:
        """Whether a program decides the outcome, or did so when it was played."""
        return self.check is not None

    @property
    def environment(self) -> AnyEnvironment | None:
        """What plays and scores it; None for open scenarios and retired checks."""
        return None if self.check is None or isinstance(self.check, RetiredCheck) else environment(self.check.kind)

    def casting_of(self, role: int) -> Casting:
        """What `role` asks of its character."""
        return self.casting[role] if self.casting else Casting()


class Tie(Record):
    """Two characters of a world, by name, and how well they know each other. Unlisted pairs are strangers."""

    names: tuple[Name, Name]
    relationship: Relationship
    background: Text = ""


class SocialTask(Identified):
    """A scenario cast with one character per role: what an episode is played on."""

    scenario: Scenario
    characters: tuple[Character, ...]

    @model_validator(mode="after")
    def _cast_fits(self) -> Self:
        if len(self.characters) != len(self.scenario.goals):
            raise ValueError(f"{len(self.characters)} characters for {len(self.scenario.goals)} roles")
        if len({character.name for character in self.characters}) != len(self.characters):
            raise ValueError("two roles are played by characters of the same name")
        for role, character in enumerate(self.characters):
            if not self.scenario.casting_of(role).fits(character):
                raise ValueError(f"{character.name} does not fit the constraints of role {role}")
        return self

    @property
    def roles(self) -> range:
        """Role indices, 0 first to act."""
        return range(len(self.characters))
