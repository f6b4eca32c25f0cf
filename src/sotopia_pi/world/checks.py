"""Checks: what makes a scenario verified, and the side of a check that one role may know.

A check holds both roles' private numbers. A `Side` holds one role's own numbers and what is common knowledge;
it is the only part of a check that a view may carry.

| kind     | outcome                                            | private                       |
|----------|----------------------------------------------------|-------------------------------|
| price    | the price agreed for an item                       | the highest / lowest price    |
| division | who takes how many of each item                    | what each item is worth       |
| meeting  | the option (a time or a place) agreed on           | what each option is worth     |
| fact     | who learnt the other's fact, who kept their secret | the fact, the secret          |
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated, Literal, Self

from pydantic import Field, model_validator

from sotopia_pi.records import Record, Text

Money = Annotated[float, Field(gt=0)]


@dataclass(frozen=True, slots=True)
class PriceSide:
    """One side of a bargain. A seller's `limit` is the lowest price worth taking, a buyer's the highest."""

    item: str
    sells: bool
    limit: float
    target: float
    listed: float


@dataclass(frozen=True, slots=True)
class DivisionSide:
    """One side of a division: how many of each item there are, and what one of each is worth to this role."""

    counts: dict[str, int]
    values: dict[str, float]


@dataclass(frozen=True, slots=True)
class MeetingSide:
    """One side of a choice: what each option is worth to this role, 0 to 10; 0 is impossible."""

    what: str
    options: tuple[str, ...]
    values: dict[str, float]


@dataclass(frozen=True, slots=True)
class FactSide:
    """One side of an exchange of facts.

    `wanted` names what this role wants to find out, `wanted_options` the possible answers. `own_subject` and
    `own_answer` are what the partner wants to find out from this role, and may be told. `guarded` is the word
    that this role must not say, about `guarded_subject`.
    """

    wanted: str
    wanted_options: tuple[str, ...]
    own_subject: str
    own_answer: str
    guarded_subject: str
    guarded: str


Side = PriceSide | DivisionSide | MeetingSide | FactSide


class PriceCheck(Record):
    """Role `seller` sells `item` to the other role. `limits` and `targets` are per role, in dollars.

    The limits leave room for a deal: the seller's is below the buyer's.
    """

    kind: Literal["price"] = "price"
    item: Text
    seller: Literal[0, 1]
    limits: tuple[Money, Money]
    targets: tuple[Money, Money]
    listed: Money

    @model_validator(mode="after")
    def _room_for_a_deal(self) -> Self:
        if self.limits[self.seller] >= self.limits[1 - self.seller]:
            raise ValueError("the seller's limit must be below the buyer's")
        return self

    def side(self, role: int) -> PriceSide:
        """What `role` may know of this check."""
        return PriceSide(self.item, role == self.seller, self.limits[role], self.targets[role], self.listed)


class DivisionCheck(Record):
    """`counts` items are to be divided; `values` says what one of each is worth to each role.

    All items together are worth 10 to each role, so a role's share of the value is its score.
    """

    kind: Literal["division"] = "division"
    counts: dict[Text, Annotated[int, Field(ge=1)]]
    values: tuple[dict[Text, float], dict[Text, float]]

    @model_validator(mode="after")
    def _worth_ten(self) -> Self:
        for values in self.values:
            if set(values) != set(self.counts) or min(values.values()) < 0:
                raise ValueError("every item needs a value of at least 0 for each role")
            total = sum(values[item] * count for item, count in self.counts.items())
            if abs(total - 10) > 1e-6:
                raise ValueError(f"all items together must be worth 10 to each role, not {total:g}")
        return self

    def side(self, role: int) -> DivisionSide:
        """What `role` may know of this check."""
        return DivisionSide(dict(self.counts), dict(self.values[role]))


class MeetingCheck(Record):
    """One of `options` (times or places, `what`) is to be agreed on; `values` per role, 10 the best, 0 impossible."""

    kind: Literal["meeting"] = "meeting"
    what: Literal["time", "place"]
    options: tuple[Text, ...] = Field(min_length=2)
    values: tuple[dict[Text, float], dict[Text, float]]

    @model_validator(mode="after")
    def _complete(self) -> Self:
        for values in self.values:
            if set(values) != set(self.options) or min(values.values()) < 0 or max(values.values()) != 10:
                raise ValueError("every option needs a value from 0 to 10 for each role, the best one 10")
        if not any(all(values[option] > 0 for values in self.values) for option in self.options):
            raise ValueError("no option is possible for both roles")
        return self

    def side(self, role: int) -> MeetingSide:
        """What `role` may know of this check."""
        return MeetingSide(self.what, self.options, dict(self.values[role]))


class FactCheck(Record):
    """Each role knows a fact that the other wants, and a guarded word that it must not say. All per role."""

    kind: Literal["fact"] = "fact"
    subjects: tuple[Text, Text]
    answers: tuple[Text, Text]
    options: tuple[tuple[Text, ...], tuple[Text, ...]]
    guarded_subjects: tuple[Text, Text]
    guarded: tuple[Text, Text]

    @model_validator(mode="after")
    def _answers_are_options(self) -> Self:
        for answer, options in zip(self.answers, self.options, strict=True):
            if answer not in options:
                raise ValueError(f"the answer {answer!r} is not among its options")
        return self

    def side(self, role: int) -> FactSide:
        """What `role` may know of this check."""
        other = 1 - role
        return FactSide(
            wanted=self.subjects[other],
            wanted_options=self.options[other],
            own_subject=self.subjects[role],
            own_answer=self.answers[role],
            guarded_subject=self.guarded_subjects[role],
            guarded=self.guarded[role],
        )


Check = PriceCheck | DivisionCheck | MeetingCheck | FactCheck
