"""Bargaining: one role sells an item to the other; each has a private limit.

GOAL = 10 x the role's share of the room between the two limits; FIN = 5 x its surplus / room. Inside the room both
GOALs add up to 10. Terms are one amount, "$230". Words name it as an amount ("$230", "230 dollars" or a bare 230);
they may also mention the listed price and amounts declared before, and no others.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from math import ceil, floor
from random import Random
from typing import Annotated, Literal, Self

from pydantic import Field, model_validator

from sotopia_pi.environments import base
from sotopia_pi.environments.money import amounts, read_amount, write_amount
from sotopia_pi.environments.registry import register

Money = Annotated[float, Field(gt=0, lt=1e9)]
#: No amount may be more than this many times the listed price.
MOST = 10
#: The room for a deal, as a share of the price in the middle of it.
ROOM = (0.30, 0.60)

_TEXT: dict[base.Split, str] = {
    "train": """mountain bike 220 480, guitar 120 360, sofa 200 600, dining table 180 520, globe 40 80,
        bookshelf 60 160, camera 160 520, tent 80 240, sewing machine 110 300, coffee machine 90 280,
        office chair 80 220, lawn mower 140 380, microwave 50 120, record player 110 320, carpet 90 320,
        wardrobe 140 420, keyboard 50 140, telescope 150 460, skateboard 45 120, backpack 45 130, drum kit 300 720,
        washing machine 180 480, cargo bike 500 950, stroller 100 320, violin 260 760, toolbox 50 150, mirror 45 140,
        garden bench 80 240, tablet 140 380, printer 60 180, heater 50 140, fridge 180 520, canoe 320 800,
        hammock 50 150, armchair 110 320, projector 180 480, rowing machine 220 560, wool coat 70 220,
        oil painting 150 560, chess set 45 130""",
    "dev": """electric scooter 220 520, bunk bed 160 420, accordion 260 700, toaster 40 80, snowboard 120 340,
        greenhouse 280 680, radio 45 140, leather jacket 90 280, racing bike 280 700, piano 480 950, kayak 280 700,
        monitor 90 280, dishwasher 180 440, chest of drawers 90 300, surfboard 150 420, laptop 260 680,
        cello 420 900, treadmill 220 600, vacuum cleaner 60 180, wall clock 45 130, barbecue grill 90 280,
        trumpet 140 400, snow sled 45 120, microphone 60 200, rain barrel 45 110, drawing board 80 240,
        trailer 240 620, suitcase 50 150""",
    "test": """folding bike 200 520, harp 480 960, sailing dinghy 400 950, hi-fi amplifier 110 360, freezer 150 420,
        writing desk 90 300, ski set 120 380, game console 140 420, saxophone 300 800, exercise bench 60 200,
        food processor 50 160, floor lamp 45 120, patio heater 90 260, clarinet 140 420, rocking horse 45 130,
        film scanner 80 260, compost bin 40 90, easel 45 140, roof rack 90 260, travel trunk 60 220""",
}
#: Items on sale and the band of their listed price, in dollars.
ITEMS: dict[base.Split, dict[str, tuple[int, int]]] = {
    split: {
        name: (int(low), int(high)) for name, low, high in (line.strip().rsplit(" ", 2) for line in text.split(","))
    }
    for split, text in _TEXT.items()
}


@dataclass(frozen=True, slots=True)
class PriceSide:
    """One side of a bargain. A seller's `limit` is the lowest price worth taking, a buyer's the highest."""

    role: int
    item: str
    sells: bool
    limit: float
    target: float
    listed: float


class PriceCheck(base.CheckOf[PriceSide]):
    """Role `seller` sells `item` to the other. `limits` and `targets` are per role, in dollars."""

    kind: Literal["price"] = "price"
    item: str
    seller: base.Role
    limits: tuple[Money, Money]
    targets: tuple[Money, Money]
    listed: Money

    @model_validator(mode="after")
    def _room_for_a_deal(self) -> Self:
        lowest, highest = self.limits[self.seller], self.limits[1 - self.seller]
        if lowest >= highest:
            raise ValueError("the seller's limit must be below the buyer's")
        if self.targets[self.seller] < lowest or self.targets[1 - self.seller] > highest:
            raise ValueError("a target must not be worse than the limit")
        if max(*self.limits, *self.targets) > MOST * self.listed:
            raise ValueError(f"no amount may be more than {MOST} times the listed price")
        return self

    def side(self, role: int) -> PriceSide:
        """What `role` may know of this check."""
        return PriceSide(role, self.item, role == self.seller, self.limits[role], self.targets[role], self.listed)


@register("price")
class Price(base.Environment[PriceCheck, PriceSide, float]):
    """The bargain. Terms are the amount in dollars."""

    check_type = PriceCheck
    numbers = True
    material = True

    def entries(self, split: base.Split) -> Sequence[str]:
        """The items on sale."""
        return tuple(ITEMS[split])

    def draw(self, rng: Random, split: base.Split, entry: str) -> PriceCheck:
        """Every private number is a share of the listed price, drawn independently of the other role's."""
        listed = _rounded(rng.uniform(*ITEMS[split][entry]), 5)
        step = 5 if listed < 100 else 10
        listed = _rounded(listed, step)
        while True:
            lowest = _rounded(listed * rng.uniform(0.46, 0.64), step)
            highest = _rounded(listed * rng.uniform(0.76, 0.96), step)
            if ROOM[0] <= (highest - lowest) / ((highest + lowest) / 2) <= ROOM[1]:
                break
        ask = max(_rounded(listed * rng.uniform(0.90, 1.0), step), lowest + step)
        bid = min(_rounded(listed * rng.uniform(0.46, 0.56), step), highest - step)
        seller = rng.randrange(2)
        limits, targets = ((lowest, highest), (ask, bid)) if seller == 0 else ((highest, lowest), (bid, ask))
        return PriceCheck(item=entry, seller=1 if seller else 0, limits=limits, targets=targets, listed=listed)

    def situation(self, check: PriceCheck) -> str:
        """The item and its listed price."""
        return f"A used {check.item} is for sale, listed at {write_amount(check.listed)}."

    def goal(self, side: PriceSide) -> str:
        """Target and limit."""
        target, limit = write_amount(side.target), write_amount(side.limit)
        if side.sells:
            return f"Sell the {side.item}. Aim for {target}. Never go below {limit}."
        return f"Buy the {side.item}. Aim for {target}. Never pay more than {limit}."

    def notation(self, side: PriceSide) -> str:
        """One amount."""
        return f'one amount in dollars, such as "{write_amount(side.listed)}"'

    def read(self, side: PriceSide, text: str) -> float:
        """One amount, above 0 and at most `MOST` times the listed price."""
        return read_amount(text, 0.01, MOST * side.listed, write_amount(side.listed))

    def write(self, side: PriceSide, terms: float) -> str:
        """The amount."""
        return write_amount(terms)

    def claims(self, side: PriceSide, terms: float) -> tuple[frozenset[base.Claim], ...]:
        """The amount."""
        return (frozenset({("price", terms)}),)

    def mentions(self, side: PriceSide, words: str) -> base.Mentions:
        """All amounts."""
        return amounts("price", words)

    def known(self, side: PriceSide) -> frozenset[base.Claim]:
        """The listed price."""
        return frozenset({("price", side.listed)})

    def form(self, side: PriceSide) -> tuple[base.NumberField, ...]:
        """An amount."""
        return (base.NumberField("price", f"Price for the {side.item} in $", 1, MOST * side.listed),)

    def within(self, side: PriceSide, terms: float) -> bool:
        """Not below a seller's limit, not above a buyer's."""
        return terms >= side.limit if side.sells else terms <= side.limit

    def points(self, check: PriceCheck, role: int, terms: float) -> float:
        """10 x the share of the room; below 0 outside the limit, as FIN then is."""
        lowest, highest = check.limits[check.seller], check.limits[1 - check.seller]
        return 10 * (terms - lowest if role == check.seller else highest - terms) / (highest - lowest)

    def outcomes(self, check: PriceCheck) -> Iterable[float]:
        """Every price in the room is as good as another for both together."""
        return (check.limits[check.seller],)

    def worth(self, side: PriceSide, terms: float) -> float:
        """From the own limit (0) to the own target (1)."""
        distance = terms - side.limit if side.sells else side.limit - terms
        return distance / (abs(side.target - side.limit) or 1.0)

    def candidates(self, side: PriceSide) -> tuple[float, ...]:
        """Round amounts from the limit to the target, and a little beyond."""
        beyond = side.target + 0.25 * (side.target - side.limit)
        low, high = sorted((side.limit, beyond))
        step = 5 if side.listed < 100 else 10
        first, last = max(1, ceil(low / step)), floor(high / step)
        return tuple(float(step * n) for n in range(first, last + 1)) or (side.limit,)

    def fills(self, side: PriceSide) -> dict[str, str]:
        """The item."""
        return {"part": "seller" if side.sells else "buyer", "item": side.item}


def _rounded(dollars: float, step: int) -> int:
    return max(step, round(dollars / step) * step)
