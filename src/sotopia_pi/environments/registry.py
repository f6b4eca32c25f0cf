"""From the name of a kind to its environment: this package's own, and those that other packages offer.

A package offers a kind by an entry point of the group "sotopia_pi.environments" whose name is the kind and whose value
is the `Environment` subclass (registered or not).
"""

from __future__ import annotations

import importlib
import pkgutil
import re
from collections.abc import Callable
from difflib import get_close_matches
from functools import cache
from importlib.metadata import entry_points
from pathlib import Path
from random import Random
from typing import Any, NamedTuple, TypeVar

from sotopia_pi.environments.base import SPLITS, AnyEnvironment, CheckOf, Environment
from sotopia_pi.errors import ConfigError
from sotopia_pi.records import derive_seed

GROUP = "sotopia_pi.environments"
_ATTEMPTS = 1000
_NAME = re.compile(r"[a-z][a-z0-9_-]{0,39}")
E = TypeVar("E", bound=type[AnyEnvironment])

_REGISTERED: dict[str, AnyEnvironment] = {}


def register(kind: str) -> Callable[[E], E]:
    """Registers an environment under the name of its kind. A name can be taken once."""

    def keep(made: E) -> E:
        if not _NAME.fullmatch(kind):
            raise ConfigError(f"an environment cannot be called {kind!r}; take small letters, digits, - and _")
        if kind in _REGISTERED:
            raise ConfigError(f"there are two environments called {kind!r}; rename one of them")
        made.kind = kind
        _REGISTERED[kind] = made()
        return made

    return keep


@cache
def _load() -> None:
    """Imports this package's own kinds, then those of other packages."""
    for module in pkgutil.iter_modules([str(Path(__file__).parent)]):
        importlib.import_module(f"sotopia_pi.environments.{module.name}")
    for point in entry_points(group=GROUP):
        try:
            made = point.load()
        except Exception as error:  # whatever a package of the user's does wrong
            raise ConfigError(f"the environment {point.name!r} of {point.value} cannot be loaded: {error}") from error
        if not (isinstance(made, type) and issubclass(made, Environment)):
            raise ConfigError(f"the entry point {point.name!r} must name an Environment class, not {point.value}")
        if not isinstance(_REGISTERED.get(point.name), made):
            register(point.name)(made)


def kinds() -> tuple[str, ...]:
    """The names of all kinds, sorted."""
    _load()
    return tuple(sorted(_REGISTERED))


def environment(kind: str) -> AnyEnvironment:
    """The environment of a kind. ConfigError, with the nearest names, where there is none."""
    _load()
    if kind not in _REGISTERED:
        near = get_close_matches(kind, kinds(), n=2, cutoff=0.5)
        hint = f"; did you mean {' or '.join(near)}? " if near else ". "
        raise ConfigError(f"there is no verified kind {kind!r}{hint}The kinds are {', '.join(kinds())}.")
    return _REGISTERED[kind]


class Drawn(NamedTuple):
    """A drawn scenario: its check, and what is told of it."""

    check: CheckOf[Any]
    situation: str
    goals: tuple[str, str]


def generate(kind: str, split: str, count: int, seed: int) -> tuple[Drawn, ...]:
    """`count` different scenarios of one kind; the first n of a larger count are the same scenarios.

    The entries of a split are gone through evenly in an order that depends on `seed`. ConfigError for an unknown kind
    or split, or a count that cannot be reached.
    """
    made_by = environment(kind)
    if split not in SPLITS:
        raise ConfigError(f"there is no split {split!r}; the splits are {', '.join(SPLITS)}")
    order = list(made_by.entries(split))
    Random(derive_seed("verified order", kind, split, seed)).shuffle(order)
    made: dict[tuple[str, tuple[str, str]], Drawn] = {}
    for index in range(count):
        for attempt in range(_ATTEMPTS):
            rng = Random(derive_seed("verified", kind, split, seed, index, attempt))
            check = made_by.draw(rng, split, order[index % len(order)])
            goals = (made_by.goal(check.side(0)), made_by.goal(check.side(1)))
            drawn = Drawn(check, made_by.situation(check), goals)
            if drawn[1:] not in made:
                break
        else:
            raise ConfigError(f"the {split} split has too few different {kind} scenarios; ask for {index}")
        made[drawn.situation, drawn.goals] = drawn
    return tuple(made.values())
