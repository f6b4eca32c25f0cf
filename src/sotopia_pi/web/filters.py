"""Which episodes a page shows, as it stands in the URL: whoever gets the link sees the same list.

A value that cannot be read, or names nothing there is, is left out and a sentence on the page says so.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, fields, replace
from typing import Any, get_args
from typing import Literal as Choice
from urllib.parse import urlencode

import numpy as np

from sotopia_pi.web.snapshot import Mask, Snapshot

Failed = Choice["", "episode", "rating", "none"]
Either = Choice["", "yes", "no"]
Sort = Choice["", "highest", "lowest", "longest", "shortest"]

_CHOICES: dict[str, tuple[str, ...]] = {
    "failed": get_args(Failed),
    "invalid": get_args(Either),
    "human": get_args(Either),
    "sort": get_args(Sort),
}
#: Filters that name something in a column of the snapshot.
_NAMES = {
    "policy": "player",
    "stage": "stage",
    "task": "task",
    "group": "group",
    "kind": "kind",
    "stop": "stop_reason",
}
_LONGEST = 300
_LAST_PAGE = 1_000_000


@dataclass(frozen=True, slots=True)
class Filters:
    """What is asked for; "" and None stand for anything.

    `policy`, `role`, `low` to `high` (scores of `rater` in `dimension`) and `invalid` are of one and the same role of
    an episode. `failed` asks for failed episodes, for roles whose rating failed, or for neither. `page` is from 1.
    """

    policy: str = ""
    role: int | None = None
    stage: str = ""
    task: str = ""
    group: str = ""
    kind: str = ""
    rater: str = ""
    dimension: str = ""
    low: float | None = None
    high: float | None = None
    stop: str = ""
    failed: Failed = ""
    invalid: Either = ""
    human: Either = ""
    text: str = ""
    sort: Sort = ""
    page: int = 1

    def query(self, **changes: Any) -> str:
        """The URL query of these filters with some changed; empty where nothing is filtered."""
        changed = replace(self, **changes)
        given = {
            field.name: _written(value)
            for field in fields(changed)
            if (value := getattr(changed, field.name)) != field.default
        }
        return urlencode(given)

    def link(self, path: str, **changes: Any) -> str:
        """A path with the query of these filters."""
        query = self.query(**changes)
        return f"{path}?{query}" if query else path


def _written(value: str | float) -> str:
    return value if isinstance(value, str) else repr(value)


def parse(query: Mapping[str, str]) -> tuple[Filters, list[str]]:
    """The filters of a URL query, and a sentence for each value that was left out; names it does not know are."""
    found: dict[str, Any] = {}
    problems = []
    for field in fields(Filters):
        text = query.get(field.name, "")
        if not text.strip():
            continue
        value = _read(field.name, text)
        if value is None:
            problems.append(f"The filter {field.name} cannot be {_shown(text)} and was left out.")
        else:
            found[field.name] = value
    return Filters(**found), problems


def _read(name: str, text: str) -> Any:
    """The value of a filter; None where it has no such value."""
    if name in ("role", "page"):
        lowest, highest = (1, _LAST_PAGE) if name == "page" else (0, 99)
        plain = text.strip()
        number = int(plain) if plain.isascii() and plain.isdigit() and len(plain) < 9 else -1
        return number if lowest <= number <= highest else None
    if name in ("low", "high"):
        return _number(text)
    if name in _CHOICES:
        return text if text in _CHOICES[name] else None
    return text if len(text) <= _LONGEST else None


def _number(text: str) -> float | None:
    try:
        value = float(text) if len(text) < 40 else math.nan
    except ValueError:
        return None
    return value if math.isfinite(value) else None


def _shown(text: str) -> str:
    return repr(text if len(text) <= 40 else f"{text[:40]}…")


def fitted(filters: Filters, snapshot: Snapshot) -> tuple[Filters, list[str]]:
    """The filters without what the snapshot does not know, and a sentence about each; rater and dimension filled in.

    Where scores matter and no rater is named it is the first of `Snapshot.raters`, and the dimension its first.
    """
    problems = []
    for name, column in _NAMES.items():
        value = getattr(filters, name)
        if value and value not in snapshot.labels(column).names:
            problems.append(f"There is no {name} {_shown(value)} here; this filter was left out.")
            changed: dict[str, Any] = {name: ""}
            filters = replace(filters, **changed)
    raters = snapshot.raters()
    if filters.rater and filters.rater not in raters:
        problems.append(f"Nobody called {_shown(filters.rater)} has rated here; this filter was left out.")
        filters = replace(filters, rater="")
    rater = filters.rater or next((rater for rater in raters if filters.dimension in snapshot.dimensions(rater)), "")
    rater = rater or next(iter(raters), "")
    if filters.dimension and filters.dimension not in snapshot.dimensions(rater):
        problems.append(f"{rater or 'Nobody'} has not rated {_shown(filters.dimension)}; this filter was left out.")
        filters = replace(filters, dimension="")
    if _by_score(filters):
        dimension = filters.dimension or next(iter(snapshot.dimensions(rater)), "")
        filters = replace(filters, rater=rater, dimension=dimension)
    return filters, problems


def _by_score(filters: Filters) -> bool:
    scored = filters.low is not None or filters.high is not None or filters.sort in ("highest", "lowest")
    return scored or bool(filters.dimension)


def mask(filters: Filters, snapshot: Snapshot, said: Mask | None = None) -> Mask:
    """The rows that `fitted` filters ask for; `said` are the episodes in which the text was found."""
    found = np.ones(len(snapshot), dtype=bool)
    for name, column in _NAMES.items():
        if value := getattr(filters, name):
            found &= snapshot.where(column, [value])
    if filters.role is not None:
        found &= snapshot.column("role") == filters.role
    if filters.invalid:
        found &= (snapshot.column("invalid") > 0) == (filters.invalid == "yes")
    if filters.human:
        found &= snapshot.column("human") == (filters.human == "yes")
    found &= _failing(filters, snapshot)
    if filters.rater and filters.dimension:
        found &= _scored(filters, snapshot)
    if filters.text:
        found &= said[snapshot.column("episode")] if said is not None else False
    return found


def _failing(filters: Filters, snapshot: Snapshot) -> Mask:
    failed = np.asarray(snapshot.column("failed"), dtype=bool)
    if filters.failed == "episode":
        return failed
    if filters.failed in ("rating", "none"):
        raters = [filters.rater] if filters.rater else snapshot.raters()
        unrated = np.zeros(len(snapshot), dtype=bool)
        for rater in raters:
            unrated |= snapshot.rating_failed(rater)
        return unrated if filters.failed == "rating" else ~(failed | unrated)
    return np.ones(len(snapshot), dtype=bool)


def _scored(filters: Filters, snapshot: Snapshot) -> Mask:
    """The rows with a score in range; any score, or none, where no range is asked for."""
    scores = snapshot.score(filters.rater, filters.dimension)
    found = np.ones(len(snapshot), dtype=bool)
    if filters.low is not None:
        found &= scores >= filters.low
    if filters.high is not None:
        found &= scores <= filters.high
    return found
