"""Dividing: things go to one role or the other; each values them differently, everything together is worth 10.

GOAL = what the things that a role gets are worth to it; FIN = GOAL / 2. Both can gain by trading. Terms are what the
role itself would get, "2 coins, 1 pen" (things left out go to the partner; "nothing" and "everything" are allowed);
the partner's complement is equal. Words name a division by the number of each thing that one of the two would get;
a number may be a digit or a word up to ten, and "a", "an" and "the" before a single thing count as one. They may also
mention how many there are in all and what was declared before, and no other numbers of things.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from itertools import product
from random import Random
from typing import Annotated, Any, Literal, Self

from pydantic import Field, model_validator

from sotopia_pi.environments import base
from sotopia_pi.environments.registry import register

Share = tuple[int, ...]
"""How many of each thing role 0 gets, in the order of the check's things."""

_WORDS = ("zero", "one", "two", "three", "four", "five", "six", "seven", "eight", "nine", "ten")
_NUMBERS = {word: number for number, word in enumerate(_WORDS)} | {"a": 1, "an": 1, "no": 0}
_ITEM = re.compile(r"(\S+) (.+)")
_BETWEEN = re.compile(r" ?(?:[,;&]| and )(?: and )? ?", re.IGNORECASE)

#: Things to divide; the plural adds an s.
THINGS: dict[base.Split, tuple[str, ...]] = {
    "train": base.listed("""
        book, hat, ball, cup, lamp, shell, candle, basket, poster, blanket, puzzle, mug, spool, kite, plate, bell,
        pillow, marble, pencil, jar, spoon, apple, drum, ticket"""),
    "dev": base.listed("""
        vase, magnet, stamp, whistle, pear, rug, bowl, ring, lantern, flute, postcard, melon, kettle, doll, cushion,
        pot, button, map"""),
    "test": base.listed("scarf, coin, anchor, mask, sticker, orange, teapot, puppet, towel, glove, thimble, pen"),
}


@dataclass(frozen=True, slots=True)
class DivisionSide:
    """One side of a division: how many of each thing there are, and what one of each is worth to this role."""

    role: int
    things: tuple[str, ...]
    counts: tuple[int, ...]
    values: tuple[float, ...]

    def mine(self, terms: Share) -> Share:
        """What this role gets."""
        return terms if self.role == 0 else self.rest(terms)

    def rest(self, share: Share) -> Share:
        """What is left of everything."""
        return tuple(count - taken for count, taken in zip(self.counts, share, strict=True))


class DivisionCheck(base.CheckOf[DivisionSide]):
    """`counts` things are to be divided; `values` says what one of each is worth to each role, 10 for everything."""

    kind: Literal["division"] = "division"
    counts: dict[str, Annotated[int, Field(ge=1, le=20)]] = Field(min_length=2, max_length=6)
    values: tuple[dict[str, float], dict[str, float]]

    @model_validator(mode="after")
    def _worth_ten(self) -> Self:
        for values in self.values:
            if set(values) != set(self.counts) or min(values.values()) < 0:
                raise ValueError("every thing needs a value of at least 0 for each role")
            total = sum(values[thing] * count for thing, count in self.counts.items())
            if not abs(total - 10) <= 1e-6:
                raise ValueError(f"everything together must be worth 10 to each role, not {total:g}")
        if any(thing != thing.strip().lower() or not thing for thing in self.counts):
            raise ValueError("things are named in lower case")
        return self

    def side(self, role: int) -> DivisionSide:
        """What `role` may know of this check."""
        things = tuple(self.counts)
        return DivisionSide(
            role, things, tuple(self.counts.values()), tuple(self.values[role][thing] for thing in things)
        )


@register("division")
class Division(base.Environment[DivisionCheck, DivisionSide, Share]):
    """The division. Terms are what role 0 gets, in the order of the things."""

    check_type = DivisionCheck
    material = True

    def entries(self, split: base.Split) -> Sequence[str]:
        """The things."""
        return THINGS[split]

    def draw(self, rng: Random, split: base.Split, entry: str) -> DivisionCheck:
        """Five or six things of three sorts, `entry` one of them, whose values differ enough for trading to pay."""
        things = [entry, *rng.sample([other for other in THINGS[split] if other != entry], 2)]
        rng.shuffle(things)
        while True:
            counts = [rng.randint(1, 3) for _ in things]
            choices = _worth_ten(tuple(counts))
            if sum(counts) not in (5, 6) or len(choices) < 2:
                continue
            first, second = rng.sample(choices, 2)
            together = sum(max(a, b) * count for a, b, count in zip(first, second, counts, strict=True))
            if 13 <= together <= 17:
                break
        values = (dict(zip(things, first, strict=True)), dict(zip(things, second, strict=True)))
        return DivisionCheck(counts=dict(zip(things, counts, strict=True)), values=values)

    def situation(self, check: DivisionCheck) -> str:
        """What there is to divide."""
        side = check.side(0)
        return f"You divide {_things(side, side.counts)} between you. Without an agreement nobody gets anything."

    def goal(self, side: DivisionSide) -> str:
        """What one of each is worth."""
        ranked = sorted(range(len(side.things)), key=lambda i: -side.values[i])
        worth = [
            f"{_count(side.counts[i], side.things[i])} worth {side.values[i]:g}{' each' * (side.counts[i] > 1)}"
            for i in ranked
        ]
        return f"Get as much value as you can. To you: {', '.join(worth)}."

    def notation(self, side: DivisionSide) -> str:
        """Numbers of things."""
        return f'what you would get, such as "{self.write(side, _example(side))}"; the rest goes to the other'

    def read(self, side: DivisionSide, text: str) -> Share:
        """ "2 coins, 1 pen", "nothing" or "everything"."""
        plain = text.lower()
        if plain in ("nothing", "everything"):
            return self._of(side, {} if plain == "nothing" else dict(zip(side.things, side.counts, strict=True)))
        found: dict[str, int] = {}
        for part in _BETWEEN.split(plain):
            item = _ITEM.fullmatch(part)
            number = _number(item[1]) if item else None
            if item is None or number is None:
                raise base.TermsError(f"write a number before each thing: {self.notation(side)}")
            thing = self._thing(side, item[2])
            if thing in found:
                raise base.TermsError(f"you name the {thing}s twice; write {self.notation(side)}")
            found[thing] = number
        return self._of(side, found)

    def read_object(self, side: DivisionSide, value: Mapping[str, Any]) -> Share:
        """{"coins": 2, "pen": 1}; what is left out goes to the partner."""
        found: dict[str, int] = {}
        for name, number in value.items():
            thing = self._thing(side, str(name).lower())
            whole = _number(re.sub(r"\.0+$", "", str(number)))
            if whole is None or thing in found:
                raise base.TermsError(f"give one whole number for each thing: {self.notation(side)}")
            found[thing] = whole
        return self.read(side, ", ".join(f"{number} {thing}" for thing, number in found.items()))

    def _thing(self, side: DivisionSide, name: str) -> str:
        for thing in side.things:
            if name in (thing, f"{thing}s"):
                return thing
        raise base.TermsError(f"there are no {name[:40]} here, only {_things(side, side.counts)}")

    def _of(self, side: DivisionSide, found: Mapping[str, int]) -> Share:
        mine = tuple(found.get(thing, 0) for thing in side.things)
        if any(number < 0 or number > count for number, count in zip(mine, side.counts, strict=True)):
            raise base.TermsError(f"there are only {_things(side, side.counts)}, and no number may be below 0")
        return mine if side.role == 0 else side.rest(mine)

    def write(self, side: DivisionSide, terms: Share) -> str:
        """What this role would get."""
        mine = side.mine(terms)
        parts = [_count(number, thing) for number, thing in zip(mine, side.things, strict=True) if number]
        return ", ".join(parts) or "nothing"

    def words(self, side: DivisionSide, terms: Share) -> str:
        """What I get; that the partner gets the rest is known to both."""
        mine = side.mine(terms)
        if not any(mine):
            return f"{_things(side, side.counts)} for you"
        if not any(side.rest(mine)):
            return f"everything for me, {_things(side, mine)}"
        return f"{_things(side, mine)} for me"

    def claims(self, side: DivisionSide, terms: Share) -> tuple[frozenset[base.Claim], ...]:
        """Either what role 0 gets or what role 1 gets."""
        shares = (terms, side.rest(terms))
        named = [frozenset((thing, n) for thing, n in zip(side.things, share, strict=True) if n) for share in shares]
        return tuple(claims for claims in named if claims)

    def mentions(self, side: DivisionSide, words: str) -> base.Mentions:
        """All numbers of things."""
        found = [(thing, number) for number, thing in _pattern(side.things).findall(words.lower())]
        single = {thing for thing, count in zip(side.things, side.counts, strict=True) if count == 1}
        sure = {(thing, _number(number)) for thing, number in found if number != "the"}
        return base.Mentions(frozenset(sure), frozenset((thing, 1) for thing, _ in found if thing in single))

    def known(self, side: DivisionSide) -> frozenset[base.Claim]:
        """How many there are of each."""
        return frozenset(zip(side.things, side.counts, strict=True)) | {(thing, 0) for thing in side.things}

    def form(self, side: DivisionSide) -> tuple[base.NumberField, ...]:
        """A number for each thing."""
        return tuple(
            base.NumberField(thing, f"{thing}s for you, of {count}", 0, count)
            for thing, count in zip(side.things, side.counts, strict=True)
        )

    def points(self, check: DivisionCheck, role: int, terms: Share) -> float:
        """What the role's things are worth to it."""
        side = check.side(role)
        return float(sum(value * n for value, n in zip(side.values, side.mine(terms), strict=True)))

    def outcomes(self, check: DivisionCheck) -> Iterable[Share]:
        """Every division."""
        return product(*(range(count + 1) for count in check.counts.values()))

    def worth(self, side: DivisionSide, terms: Share) -> float:
        """Everything is worth 1."""
        return sum(value * n for value, n in zip(side.values, side.mine(terms), strict=True)) / 10

    def candidates(self, side: DivisionSide) -> tuple[Share, ...]:
        """Every division that leaves each role something."""
        shares = product(*(range(count + 1) for count in side.counts))
        return tuple(share for share in shares if any(share) and share != side.counts)

    def gains(self, side: DivisionSide, terms: Share) -> tuple[float, ...]:
        """The share of each sort that the partner gets."""
        theirs = side.rest(side.mine(terms))
        return tuple(n / count for n, count in zip(theirs, side.counts, strict=True))

    def fills(self, side: DivisionSide) -> dict[str, str]:
        """The thing that is worth most to the role."""
        best = max(range(len(side.things)), key=lambda i: side.values[i])
        return {"part": "divider", "item": side.things[best]}


def _example(side: DivisionSide) -> Share:
    """About half of everything, whatever it is worth."""
    mine = tuple((count + index % 2) // 2 for index, count in enumerate(side.counts))
    return mine if side.role == 0 else side.rest(mine)


def _number(text: str) -> int | None:
    if re.fullmatch(r"-?[0-9]{1,6}", text):
        return int(text)
    return _NUMBERS.get(text)


def _count(number: int, thing: str) -> str:
    return f"{number} {thing}{'s' if number != 1 else ''}"


def _things(side: DivisionSide, share: Share) -> str:
    return base.joined([_count(number, thing) for number, thing in zip(share, side.things, strict=True) if number])


@lru_cache(maxsize=1024)
def _pattern(things: tuple[str, ...]) -> re.Pattern[str]:
    numbers = "|".join((*_NUMBERS, "the", "[0-9]+"))
    names = "|".join(re.escape(thing) for thing in sorted(things, key=len, reverse=True))
    return re.compile(rf"(?<![\w.,$-])({numbers}) ({names})s?\b")


@lru_cache
def _worth_ten(counts: tuple[int, ...]) -> list[tuple[float, ...]]:
    """Values of one of each sort that make everything together worth 10, at least two sorts worth something."""
    return [
        values
        for values in product(range(8), repeat=len(counts))
        if sum(value * count for value, count in zip(values, counts, strict=True)) == 10
        and sum(value > 0 for value in values) >= 2
    ]
