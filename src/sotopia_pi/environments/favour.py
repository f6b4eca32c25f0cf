"""The favour: one role collects for a cause and asks the other for a gift; what moves the other is hidden.

A gift is an amount for one of the cause's purposes. The giver would give much for the one it cares for, some for
another, little for the rest; the asker does not know which is which, and can find out by asking or by naming purposes
and seeing what is offered. GOAL of the asker = 10 x the amount / the most the giver would give; GOAL of the giver =
10 x (the most it would give for this purpose - the amount) / the most it would give: it is glad of a gift for what it
cares for, and of what it keeps. More than it would give for the purpose is outside its limit. FIN = 5 x the amount /
the most the giver would give, negative for the giver. Because the money is bound to the purpose, finding the hidden
lever decides by itself what can be had, and nobody has to judge how well somebody was persuaded.

Terms are "$20 for the roof". Words name a gift by the amount and all words of the purpose; they may not mention other
amounts or purposes unless they were declared before.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from random import Random
from typing import Annotated, Literal, NamedTuple, Self

from pydantic import Field, model_validator

from sotopia_pi.environments import base
from sotopia_pi.environments.money import amounts, read_amount, write_amount
from sotopia_pi.environments.registry import register
from sotopia_pi.environments.styles import Style

Money = Annotated[float, Field(gt=0, le=1000)]
#: No gift may be larger.
MOST = 1000

#: Causes and what they collect for; within a cause no word occurs in two purposes.
CAUSES: dict[base.Split, dict[str, tuple[str, ...]]] = {
    "train": {
        "the animal shelter": ("kennels", "vet bills", "cat food", "a van"),
        "the village school": ("books", "computers", "a playground", "trips"),
        "the choir": ("robes", "sheet music", "a concert tour", "a piano"),
        "the fire brigade": ("hoses", "a ladder", "youth training", "uniforms"),
        "the food bank": ("rice", "fresh fruit", "baby milk", "a cold store"),
        "the river club": ("clean water", "canoes", "a boathouse", "swimming lessons"),
        "the library": ("audio tapes", "reading evenings", "a lift", "story hours"),
        "the hospice": ("night nurses", "garden chairs", "quiet rooms", "art materials"),
        "the football club": ("shirts", "floodlights", "girls' teams", "a new pitch"),
        "the museum": ("frames", "free entry", "a dinosaur", "guided walks"),
        "the park": ("oak trees", "benches", "bird boxes", "a pond"),
        "the theatre": ("costumes", "student tickets", "a stage", "lamps"),
    },
    "dev": {
        "the orphanage": ("beds", "language lessons", "winter coats", "a garden"),
        "the lifeboat crew": ("radios", "life jackets", "an engine", "first aid"),
        "the mountain hut": ("solar panels", "blankets", "path repairs", "a stove"),
        "the music school": ("violins", "free lessons", "a recital", "sound panels"),
        "the bee society": ("hives", "wild meadows", "a honey press", "workshops"),
        "the senior centre": ("bus rides", "a kitchen", "board games", "phone lines"),
        "the science fair": ("prizes", "microscopes", "travel money", "a telescope"),
        "the soup kitchen": ("vegetables", "pots", "warm socks", "a freezer"),
    },
    "test": {
        "the toy library": ("puzzles", "wheelchair ramps", "opening hours", "paint"),
        "the bicycle kitchen": ("tools", "helmets", "repair courses", "spare tyres"),
        "the heritage railway": ("coal", "signals", "an old carriage", "apprentices"),
        "the reef project": ("divers", "coral frames", "beach cleaning", "school talks"),
        "the night shelter": ("mattresses", "hot meals", "job advice", "lockers"),
        "the chess circle": ("clocks", "a tournament", "beginners", "boards"),
        "the refugee centre": ("translators", "prams", "legal help", "a sewing room"),
        "the brass band": ("trumpets", "a bandstand", "child scholarships", "marching shoes"),
    },
}
_SMALL = frozenset(("a", "an", "the", "of", "and"))
_WORD = re.compile(r"[^\W_']+")


class Gift(NamedTuple):
    """An amount in dollars and what it is for."""

    amount: float
    purpose: str


@dataclass(frozen=True, slots=True)
class FavourSide:
    """One side of a favour. A giver has `limits`, the most it gives for each purpose; an asker has a `hope`."""

    role: int
    asks: bool
    cause: str
    purposes: tuple[str, ...]
    limits: tuple[float, ...]
    hope: float

    def limit(self, purpose: str) -> float:
        """The most this giver gives for a purpose."""
        return self.limits[self.purposes.index(purpose)]


class FavourCheck(base.CheckOf[FavourSide]):
    """Role `asker` collects for `cause`; `limits` are the other's, one for each purpose."""

    kind: Literal["favour"] = "favour"
    cause: str = Field(min_length=1)
    asker: base.Role
    purposes: tuple[str, ...] = Field(min_length=2, max_length=8)
    limits: tuple[Money, ...]
    hope: Money

    @model_validator(mode="after")
    def _one_lever(self) -> Self:
        if len(self.limits) != len(self.purposes):
            raise ValueError("every purpose needs a limit")
        first, second = sorted(self.limits, reverse=True)[:2]
        if first < 1.25 * second:
            raise ValueError("the giver must care for one purpose clearly more than for any other")
        words = [_content(purpose) for purpose in self.purposes]
        if not all(words) or any(one & other for i, one in enumerate(words) for other in words[:i]):
            raise ValueError("no word may occur in two purposes")
        return self

    def side(self, role: int) -> FavourSide:
        """What `role` may know of this check."""
        asks = role == self.asker
        return FavourSide(role, asks, self.cause, self.purposes, () if asks else self.limits, self.hope if asks else 0)


@register("favour")
class Favour(base.Environment[FavourCheck, FavourSide, Gift]):
    """The gift for a purpose."""

    check_type = FavourCheck

    def entries(self, split: base.Split) -> Sequence[str]:
        """The causes."""
        return tuple(CAUSES[split])

    def draw(self, rng: Random, split: base.Split, entry: str) -> FavourCheck:
        """One purpose moves the giver, one half as much, the others little."""
        purposes = rng.sample(CAUSES[split][entry], 4)
        most = rng.randrange(40, 125, 5)
        shares = [1.0, rng.uniform(0.35, 0.6), rng.uniform(0.1, 0.25), rng.uniform(0.1, 0.25)]
        rng.shuffle(shares)
        return FavourCheck(
            cause=entry,
            asker=1 if rng.random() < 0.5 else 0,
            purposes=tuple(purposes),
            limits=tuple(float(max(2, round(most * share))) for share in shares),
            hope=float(rng.randrange(50, 125, 5)),
        )

    def situation(self, check: FavourCheck) -> str:
        """The cause and its purposes."""
        return (
            f"One of you collects for {check.cause} and asks the other for a gift. "
            f"A gift is for one of: {base.joined(check.purposes, 'or')}."
        )

    def goal(self, side: FavourSide) -> str:
        """The hope, or the limits."""
        if side.asks:
            hope = f"Get as large a gift as you can for {side.cause}; you hope for {write_amount(side.hope)}."
            return f"{hope} Find out what the other cares for."
        ranked = sorted(side.purposes, key=lambda purpose: -side.limit(purpose))
        most = [f"{write_amount(side.limit(purpose))} for {purpose}" for purpose in ranked]
        return f"You care for {ranked[0]}. You would give at most {base.joined(most)}. Give only as much as you must."

    def notation(self, side: FavourSide) -> str:
        """An amount and a purpose."""
        return f'an amount and what it is for, such as "$10 for {side.purposes[0]}"'

    def read(self, side: FavourSide, text: str) -> Gift:
        """ "$20 for the roof"."""
        parts = re.split(r" for |, ", text, maxsplit=1)
        if len(parts) < 2:
            raise base.TermsError(f"write {self.notation(side)}")
        return Gift(read_amount(parts[0], 0.01, MOST, "$10"), self._purpose(side, parts[1]))

    def _purpose(self, side: FavourSide, text: str) -> str:
        for purpose in side.purposes:
            if _content(purpose) == _content(text):
                return purpose
        raise base.TermsError(f"a gift is for {base.joined(side.purposes, 'or')}")

    def write(self, side: FavourSide, terms: Gift) -> str:
        """Amount and purpose."""
        return f"{write_amount(terms.amount)} for {terms.purpose}"

    def claims(self, side: FavourSide, terms: Gift) -> tuple[frozenset[base.Claim], ...]:
        """Amount and purpose."""
        return (frozenset({("amount", terms.amount), ("purpose", terms.purpose)}),)

    def mentions(self, side: FavourSide, words: str) -> base.Mentions:
        """All amounts, and every purpose all of whose words occur."""
        money, said = amounts("amount", words), _content(words)
        purposes = frozenset(("purpose", purpose) for purpose in side.purposes if _content(purpose) <= said)
        return base.Mentions(money.sure | purposes, money.maybe)

    def form(self, side: FavourSide) -> tuple[base.Field, ...]:
        """An amount and a choice."""
        return (base.NumberField("amount", "Gift in $", 1, MOST), base.ChoiceField("purpose", "For", side.purposes))

    def within(self, side: FavourSide, terms: Gift) -> bool:
        """Not more than the giver would give for the purpose."""
        return side.asks or terms.amount <= side.limit(terms.purpose)

    def points(self, check: FavourCheck, role: int, terms: Gift) -> float:
        """The asker's amount, or what the giver has of it, against the most that could be given."""
        most = max(check.limits)
        if role == check.asker:
            return 10 * terms.amount / most
        return 10 * (check.side(role).limit(terms.purpose) - terms.amount) / most

    def benefits(self, check: FavourCheck, role: int, terms: Gift) -> float:
        """Money got or given."""
        return 5 * terms.amount / max(check.limits) * (1 if role == check.asker else -1)

    def outcomes(self, check: FavourCheck) -> Iterable[Gift]:
        """Any gift for what the giver cares for."""
        most = max(check.limits)
        return (Gift(most, check.purposes[check.limits.index(most)]),)

    def worth(self, side: FavourSide, terms: Gift) -> float:
        """The amount against what is hoped for; for the giver what it has of the gift, as in GOAL."""
        if side.asks:
            return terms.amount / side.hope
        return (side.limit(terms.purpose) - terms.amount) / max(side.limits)

    def candidates(self, side: FavourSide) -> tuple[Gift, ...]:
        """Whole amounts, in steps of 5 above 20."""
        sums = (*range(1, 5), *range(5, 20, 3), *range(20, 160, 5))
        gifts = (Gift(float(amount), purpose) for purpose in side.purposes for amount in sums)
        return tuple(
            gift for gift in gifts if self.within(side, gift) and (not side.asks or gift.amount <= 1.3 * side.hope)
        )

    def gains(self, side: FavourSide, terms: Gift) -> tuple[float, ...]:
        """The giver sees the amount; what the asker makes of a giver's offers is `appeal`."""
        return (-terms.amount / side.hope if side.asks else terms.amount / max(side.limits),)

    def appeal(self, side: FavourSide, heard: base.Heard[Gift]) -> Callable[[Gift], float]:
        """The asker favours the purpose that the giver named by itself or offered most for, after trying others."""
        if not side.asks:
            return super().appeal(side, heard)
        asked: set[str] = set()
        liking = dict.fromkeys(side.purposes, 0.12)
        for role, terms in heard:
            if terms is None:
                continue
            if role == side.role:
                asked.add(terms.purpose)
            else:
                own_wish = 1.0 if terms.purpose not in asked else 0.0
                liking[terms.purpose] = max(own_wish, terms.amount / side.hope)
        return lambda terms: 2 * liking[terms.purpose] - terms.amount / side.hope

    def propose(self, side: FavourSide, style: Style, heard: base.Heard[Gift], demand: float) -> Gift | None:
        """A reserved giver stays with the purpose it was asked for, and gives a share of what it would give for it."""
        asked = [terms.purpose for role, terms in heard if role != side.role and terms is not None]
        if side.asks or not asked or style.reserve < 0.5:
            return None
        limit = side.limit(asked[-1])
        return Gift(float(max(1, int(limit * min(max(1 - demand, 0), 1)))), asked[-1])

    def fresh(self, terms: Gift, before: Sequence[Gift]) -> bool:
        """A purpose that it has not named before."""
        return all(terms.purpose != earlier.purpose for earlier in before)

    def fills(self, side: FavourSide) -> dict[str, str]:
        """The cause."""
        return {"part": "asker" if side.asks else "giver", "item": side.cause}


def _content(text: str) -> frozenset[str]:
    return frozenset(_WORD.findall(text.lower())) - _SMALL
