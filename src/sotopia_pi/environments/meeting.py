"""Meeting: one of five times or places is to be agreed on; each role values each of them, 10 the best, 0 impossible.

GOAL = what the agreed option is worth to the role; an impossible one is outside its limit. FIN does not follow. Terms
are one option, as it is listed ("at", "on" and "the" may stand before a part of it). Words name an option when they
contain all its words; they may not contain all the words of another option that nobody has proposed.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from random import Random
from typing import Literal, Self

from pydantic import Field, model_validator

from sotopia_pi.environments import base
from sotopia_pi.environments.registry import register

_WORD = re.compile(r"[^\W_]+(?::[0-9]+)?")
_BETWEEN = frozenset(("at", "on", "the"))

#: What two people want to do together.
OCCASIONS: dict[base.Split, tuple[str, ...]] = {
    "train": base.listed("""
        walk the dogs, practise a duet, plan a street party, repair a fence, study for a test, play table tennis,
        cook a soup, paint a mural, sort old photos, plan a trip, record a song, rehearse a play, clean the cellar,
        bake bread, test a recipe, trade stamps"""),
    "dev": base.listed("""
        plant a tree, fly a kite, practise a speech, build a shelf, play chess, plan a book club, wash the van, go
        running, practise Spanish, mend a roof, pick berries, review a budget, film a dance, plan a picnic"""),
    "test": base.listed("""
        go swimming, plan a quiz night, sand the floor, hike the ridge, practise Italian, tune the engine, press
        cider, check the accounts, edit a podcast, plan a bazaar"""),
}

#: Where to meet; no word occurs in two names.
PLACES: dict[base.Split, tuple[str, ...]] = {
    "train": base.listed("""
        Rose Cafe, City Library, North Gate, Harbour Hall, Green Park, Old Mill, Market Square, Lake House, River
        Bridge, Tower Museum, Sunny Corner"""),
    "dev": base.listed("""
        Maple Inn, West Pier, Stone Garden, Royal Theatre, Central Station, Pine Lodge, Blue Diner, South Dock,
        Hill School, Castle Court, Beach Kiosk, Forest Cabin, Opera Steps, Grand Arcade"""),
    "test": base.listed("""
        Red Bakery, East Ferry, Valley College, Abbey Cloister, Dune Shelter, Meadow Barn, Ballet Foyer, Union
        Plaza"""),
}
DAYS = ("Monday", "Tuesday", "Wednesday", "Thursday", "Friday", "Saturday", "Sunday")
HOURS = ("8:00", "9:00", "10:00", "11:00", "13:00", "14:00", "15:00", "16:00", "17:00", "18:00", "19:00")


@dataclass(frozen=True, slots=True)
class MeetingSide:
    """One side of a choice: what each option is worth to this role, 0 to 10; 0 is impossible."""

    role: int
    occasion: str
    what: str
    options: tuple[str, ...]
    values: tuple[float, ...]

    def value(self, option: str) -> float:
        """What an option is worth."""
        return self.values[self.options.index(option)]


class MeetingCheck(base.CheckOf[MeetingSide]):
    """One of `options` (times or places, `what`) is to be agreed on; `values` per role."""

    kind: Literal["meeting"] = "meeting"
    occasion: str = Field(min_length=1)
    what: Literal["time", "place"]
    options: tuple[str, ...] = Field(min_length=2)
    values: tuple[dict[str, float], dict[str, float]]

    @model_validator(mode="after")
    def _complete(self) -> Self:
        for values in self.values:
            if set(values) != set(self.options) or min(values.values()) < 0 or max(values.values()) != 10:
                raise ValueError("every option needs a value from 0 to 10 for each role, the best one 10")
        if not any(all(values[option] > 0 for values in self.values) for option in self.options):
            raise ValueError("no option is possible for both roles")
        words = [_content(option) for option in self.options]
        if any(one <= other for i, one in enumerate(words) for j, other in enumerate(words) if i != j):
            raise ValueError("no option may have all the words of another")
        return self

    def side(self, role: int) -> MeetingSide:
        """What `role` may know of this check."""
        values = tuple(self.values[role][option] for option in self.options)
        return MeetingSide(role, self.occasion, self.what, self.options, values)


@register("meeting")
class Meeting(base.Environment[MeetingCheck, MeetingSide, str]):
    """The choice of a time or place. Terms are the option as listed."""

    check_type = MeetingCheck

    def entries(self, split: base.Split) -> Sequence[str]:
        """The occasions."""
        return OCCASIONS[split]

    def draw(self, rng: Random, split: base.Split, entry: str) -> MeetingCheck:
        """Five times or places; the favourites conflict, and a compromise is worth at least 4 to both."""
        times = rng.random() < 0.6
        if times:
            days = sorted(rng.sample(range(len(DAYS)), 5))
            options = tuple(f"{DAYS[day]} {hour}" for day, hour in zip(days, rng.sample(HOURS, 5), strict=True))
        else:
            options = tuple(rng.sample(PLACES[split], 5))
        while True:
            first, second = _values(rng), _values(rng)
            conflict = second[first.index(10)] <= 5 and first[second.index(10)] <= 5
            if conflict and max(map(min, zip(first, second, strict=True))) >= 4:
                break
        values = (dict(zip(options, first, strict=True)), dict(zip(options, second, strict=True)))
        return MeetingCheck(occasion=entry, what="time" if times else "place", options=options, values=values)

    def situation(self, check: MeetingCheck) -> str:
        """What the meeting is for, and the options."""
        return f"You want to {check.occasion} together. Possible {check.what}s: {', '.join(check.options)}."

    def goal(self, side: MeetingSide) -> str:
        """The options from best to worst, and the impossible ones."""
        ranked = sorted(side.options, key=lambda option: -side.value(option))
        possible = [f"{option} ({side.value(option):g})" for option in ranked if side.value(option) > 0]
        text = f"Agree on a {side.what}. Best for you: {', then '.join((possible[0], ', '.join(possible[1:])))}."
        impossible = [option for option in ranked if side.value(option) == 0]
        return f"{text} Impossible: {base.joined(impossible)}." if impossible else text

    def notation(self, side: MeetingSide) -> str:
        """One of the options."""
        return f'one of the possible {side.what}s, such as "{side.options[0]}"'

    def read(self, side: MeetingSide, text: str) -> str:
        """An option, whatever the case of its letters."""
        wanted = _in_order(text)
        for option in side.options:
            if _in_order(option) == wanted:
                return option
        raise base.TermsError(f"name one of the possible {side.what}s: {base.joined(side.options, 'or')}")

    def write(self, side: MeetingSide, terms: str) -> str:
        """The option."""
        return terms

    def claims(self, side: MeetingSide, terms: str) -> tuple[frozenset[base.Claim], ...]:
        """The option."""
        return (frozenset({("option", terms)}),)

    def mentions(self, side: MeetingSide, words: str) -> base.Mentions:
        """Every option all of whose words occur."""
        found = _content(words)
        return base.Mentions(frozenset(("option", option) for option in side.options if _content(option) <= found))

    def form(self, side: MeetingSide) -> tuple[base.ChoiceField, ...]:
        """A choice."""
        return (base.ChoiceField(side.what, side.what.capitalize(), side.options),)

    def within(self, side: MeetingSide, terms: str) -> bool:
        """An option that is possible for the role."""
        return side.value(terms) > 0

    def points(self, check: MeetingCheck, role: int, terms: str) -> float:
        """What the option is worth."""
        return float(check.values[role][terms])

    def outcomes(self, check: MeetingCheck) -> Iterable[str]:
        """The options."""
        return check.options

    def worth(self, side: MeetingSide, terms: str) -> float:
        """A tenth of its value; an impossible option is outside the limit."""
        return side.value(terms) / 10 or -1.0

    def candidates(self, side: MeetingSide) -> tuple[str, ...]:
        """The possible options."""
        return tuple(option for option in side.options if side.value(option) > 0)

    def gains(self, side: MeetingSide, terms: str) -> tuple[float, ...]:
        """Which option it is."""
        return tuple(float(option == terms) for option in side.options)

    def fresh(self, terms: str, before: Sequence[str]) -> bool:
        """An option that it has not named before."""
        return terms not in before

    def fills(self, side: MeetingSide) -> dict[str, str]:
        """What the meeting is for."""
        return {"part": side.what, "item": side.occasion}


def _values(rng: Random) -> list[float]:
    values: list[float] = [10, rng.randint(7, 8), rng.randint(4, 6), rng.randint(1, 3), 0]
    rng.shuffle(values)
    return values


def _in_order(text: str) -> list[str]:
    return [word for word in _WORD.findall(text.lower()) if word not in _BETWEEN]


def _content(text: str) -> frozenset[str]:
    return frozenset(_in_order(text))
