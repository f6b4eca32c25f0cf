"""Drawing checks: private numbers with room for a deal, drawn so that no side's numbers give the other's away."""

from __future__ import annotations

from functools import cache
from itertools import product
from random import Random

from sotopia_pi.world.checks import DivisionCheck, FactCheck, MeetingCheck, PriceCheck
from sotopia_pi.world.verified.catalogue import DAYS, FACTS, HOURS, PLACES, THINGS, Split

#: The room for a deal, as a share of the price in the middle of it.
ROOM = (0.30, 0.60)


def _rounded(dollars: float, step: int) -> int:
    return max(step, round(dollars / step) * step)


def price(rng: Random, item: str, band: tuple[int, int]) -> PriceCheck:
    """A bargain. All amounts are multiples of 5 dollars, of 10 where the listed price is 100 or more.

    Every private number is drawn as a share of the listed price, which both know, independently of the other role's.
    """
    listed = _rounded(rng.uniform(*band), 5)
    step = 5 if listed < 100 else 10
    listed = _rounded(listed, step)
    while True:
        lowest, highest = (
            _rounded(listed * rng.uniform(0.46, 0.64), step),
            _rounded(listed * rng.uniform(0.76, 0.96), step),
        )
        room = (highest - lowest) / ((highest + lowest) / 2)
        if ROOM[0] <= room <= ROOM[1]:
            break
    ask, bid = _rounded(listed * rng.uniform(0.90, 1.0), step), _rounded(listed * rng.uniform(0.46, 0.56), step)
    ask, bid = max(ask, lowest + step), min(bid, highest - step)
    seller = rng.randrange(2)
    limits, targets = ((lowest, highest), (ask, bid)) if seller == 0 else ((highest, lowest), (bid, ask))
    return PriceCheck(item=item, seller=1 if seller else 0, limits=limits, targets=targets, listed=listed)


@cache
def _worth_ten(amounts: tuple[int, ...]) -> list[tuple[int, ...]]:
    """Values of one of each sort that make everything together worth 10, at least two sorts worth something."""
    return [
        values
        for values in product(range(8), repeat=len(amounts))
        if sum(value * amount for value, amount in zip(values, amounts, strict=True)) == 10
        and sum(value > 0 for value in values) >= 2
    ]


def division(rng: Random, split: Split, thing: str) -> DivisionCheck:
    """Five or six things of three sorts, `thing` one of them, whose values differ enough for trading to pay."""
    others = rng.sample([other for other in THINGS[split] if other != thing], 2)
    names = [thing, *others]
    rng.shuffle(names)
    while True:
        amounts = [rng.randint(1, 3) for _ in names]
        choices = _worth_ten(tuple(amounts))
        if sum(amounts) not in (5, 6) or len(choices) < 2:
            continue
        first, second = rng.sample(choices, 2)
        together = sum(max(a, b) * amount for a, b, amount in zip(first, second, amounts, strict=True))
        if 13 <= together <= 17:
            break
    return DivisionCheck(
        counts=dict(zip(names, amounts, strict=True)),
        values=(dict(zip(names, first, strict=True)), dict(zip(names, second, strict=True))),
    )


def meeting(rng: Random, split: Split) -> MeetingCheck:
    """Five times or places; the favourites conflict, and a compromise is worth at least 4 to both."""
    times = rng.random() < 0.6
    if times:
        days = sorted(rng.sample(range(len(DAYS)), 5))
        options = tuple(f"{DAYS[day]} {hour}" for day, hour in zip(days, rng.sample(HOURS, 5), strict=True))
    else:
        options = tuple(rng.sample(PLACES[split], 5))
    while True:
        first, second = _worths(rng), _worths(rng)
        conflict = second[first.index(10)] <= 5 and first[second.index(10)] <= 5
        if conflict and max(map(min, zip(first, second, strict=True))) >= 4:
            break
    return MeetingCheck(
        what="time" if times else "place",
        options=options,
        values=(dict(zip(options, first, strict=True)), dict(zip(options, second, strict=True))),
    )


def _worths(rng: Random) -> list[int]:
    worths = [10, rng.randint(7, 8), rng.randint(4, 6), rng.randint(1, 3), 0]
    rng.shuffle(worths)
    return worths


def fact(rng: Random, split: Split, subject: str) -> FactCheck:
    """Two facts to exchange and two to guard, about four subjects that share no answer."""
    facts = FACTS[split]
    while True:
        subjects = [subject, *rng.sample([other for other in facts if other != subject], 3)]
        if len({answer for name in subjects for answer in facts[name]}) == 16:
            break
    options = [tuple(rng.sample(facts[name], 4)) for name in subjects]
    if rng.random() < 0.5:
        subjects[:2], options[:2] = subjects[1::-1], options[1::-1]
    return FactCheck(
        subjects=(subjects[0], subjects[1]),
        answers=(rng.choice(options[0]), rng.choice(options[1])),
        options=(options[0], options[1]),
        guarded_subjects=(subjects[2], subjects[3]),
        guarded=(rng.choice(options[2]), rng.choice(options[3])),
    )
