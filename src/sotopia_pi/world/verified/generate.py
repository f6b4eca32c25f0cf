"""`generate`: the same scenarios for the same (kind, split, seed), in the same order, whatever the count."""

from __future__ import annotations

from collections.abc import Callable, Container, Sequence
from random import Random

from sotopia_pi.errors import ConfigError
from sotopia_pi.records import derive_seed
from sotopia_pi.world.checks import Check
from sotopia_pi.world.records import Relationship, Scenario
from sotopia_pi.world.verified import drawing, wording
from sotopia_pi.world.verified.catalogue import FACTS, OCCASIONS, PRICES, SPLITS, THINGS, Split

#: Of ten scenarios seven are between strangers.
_RELATIONSHIPS = (
    *[Relationship.STRANGER] * 7,
    *[Relationship.KNOWS_NAME] * 2,
    Relationship.ACQUAINTANCE,
)
_ATTEMPTS = 1000

_Draw = Callable[[Random, Split, str], tuple[Check, str]]


def _price(rng: Random, split: Split, item: str) -> tuple[Check, str]:
    check = drawing.price(rng, item, PRICES[split][item])
    return check, wording.price_situation(check)


def _division(rng: Random, split: Split, thing: str) -> tuple[Check, str]:
    check = drawing.division(rng, split, thing)
    return check, wording.division_situation(check)


def _meeting(rng: Random, split: Split, occasion: str) -> tuple[Check, str]:
    check = drawing.meeting(rng, split)
    return check, wording.meeting_situation(check, occasion)


def _fact(rng: Random, split: Split, subject: str) -> tuple[Check, str]:
    check = drawing.fact(rng, split, subject)
    return check, wording.fact_situation(check)


_DRAWS: dict[str, _Draw] = {"price": _price, "division": _division, "meeting": _meeting, "fact": _fact}

#: The kinds of verified scenarios.
KINDS: tuple[str, ...] = tuple(_DRAWS)


def _entries(kind: str, split: Split) -> Sequence[str]:
    match kind:
        case "price":
            return list(PRICES[split])
        case "division":
            return THINGS[split]
        case "meeting":
            return OCCASIONS[split]
        case _:
            return list(FACTS[split])


def _split(name: str) -> Split:
    for split in SPLITS:
        if split == name:
            return split
    raise ConfigError(f"there is no split {name!r}; the splits are {', '.join(SPLITS)}")


def generate(kind: str, split: str, count: int, seed: int) -> tuple[Scenario, ...]:
    """`count` different scenarios of one kind; the first n of a larger count are the same scenarios.

    The catalogue of a split is gone through evenly in an order that depends on `seed`. Scenarios of different splits
    never share a catalogue entry. Raises ConfigError for an unknown kind or split, or a count that cannot be reached.
    """
    if kind not in _DRAWS:
        raise ConfigError(f"there is no verified kind {kind!r}; the kinds are {', '.join(KINDS)}")
    part = _split(split)
    order = list(_entries(kind, part))
    Random(derive_seed("verified order", kind, split, seed)).shuffle(order)
    made: dict[tuple[str, ...], Scenario] = {}
    for index in range(count):
        scenario = _another(kind, part, order[index % len(order)], (seed, index), made)
        made[_text(scenario)] = scenario
    return tuple(made.values())


def _another(kind: str, split: Split, entry: str, place: tuple[int, int], made: Container[tuple[str, ...]]) -> Scenario:
    for attempt in range(_ATTEMPTS):
        rng = Random(derive_seed("verified", kind, split, *place, attempt))
        check, situation = _DRAWS[kind](rng, split, entry)
        scenario = Scenario(
            situation=situation,
            goals=tuple(wording.goal(check.side(role)) for role in (0, 1)),
            relationship=rng.choice(_RELATIONSHIPS),
            kind=kind,
            source="generated",
            check=check,
        )
        if _text(scenario) not in made:
            return scenario
    raise ConfigError(f"the {split} split has too few different {kind} scenarios; ask for {place[1]}")


def _text(scenario: Scenario) -> tuple[str, ...]:
    return (scenario.situation, *scenario.goals)
