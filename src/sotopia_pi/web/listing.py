"""The episodes that filters find, in the order that is asked for; and which come before and after one of them."""

from __future__ import annotations

import math
from collections import OrderedDict
from collections.abc import Mapping
from dataclasses import dataclass
from threading import Lock

import numpy as np

from sotopia_pi.web.filters import Filters, fitted, mask, parse
from sotopia_pi.web.search import text_index
from sotopia_pi.web.site import Site
from sotopia_pi.web.snapshot import Indices, Mask, Snapshot, snapshot

PAGE = 50
_KEPT = 24


@dataclass(frozen=True, slots=True, eq=False)
class Listing:
    """What filters find in a snapshot.

    `rows` are the roles that were asked for, `order` the episodes they belong to, sorted; `notes` are sentences about
    filters that were left out and about what cannot be searched yet.
    """

    snapshot: Snapshot
    filters: Filters
    rows: Indices
    order: Indices
    notes: tuple[str, ...]

    @property
    def failed(self) -> int:
        """How many of the episodes failed."""
        return int(np.count_nonzero(self.snapshot.column("failed")[self.snapshot.first[self.order]]))

    @property
    def pages(self) -> int:
        """How many pages there are, at least one."""
        return max(1, math.ceil(len(self.order) / PAGE))

    @property
    def page(self) -> int:
        """The page that is shown: the last one where a later one is asked for."""
        return min(self.filters.page, self.pages)

    def shown(self) -> Indices:
        """The episodes of the page."""
        return self.order[(self.page - 1) * PAGE : self.page * PAGE]

    def place(self, key: str) -> int | None:
        """The place of an episode in the list, from 0; None where it is not in it."""
        at = self.snapshot.place_of.get(key)
        found = np.flatnonzero(self.order == at)
        return int(found[0]) if at is not None and len(found) else None

    def key(self, place: int) -> str | None:
        """The key of the episode at a place; None beyond either end."""
        return self.snapshot.keys[int(self.order[place])] if 0 <= place < len(self.order) else None


def listing(site: Site, name: str, query: Mapping[str, str]) -> Listing:
    """What a URL query asks for in a place of the site."""
    found = snapshot(site, name)
    asked, unreadable = parse(query)
    filters, unknown = fitted(asked, found)
    notes = [*unreadable, *unknown]
    said: Mask | None = None
    if filters.text:
        heard = text_index(site, name).find(filters.text, found)
        said = heard.episodes
        if heard.indexed < found.episodes:
            notes.append(
                f"The words of {heard.indexed:,} of {found.episodes:,} episodes can be searched so far; the others are "
                "being read, reload the page in a moment."
            )
    rows, order = site.once(f"listing/{name}", _Cache).found(found, filters, said)
    return Listing(found, filters, rows, order, tuple(notes))


class _Cache:
    """The last lists of a place: who pages through one, or reads its episodes one by one, asks for it again."""

    def __init__(self) -> None:
        self._lock = Lock()
        self._kept: OrderedDict[tuple[int, int, str], tuple[Snapshot, Mask | None, Indices, Indices]] = OrderedDict()

    def found(self, snapshot: Snapshot, filters: Filters, said: Mask | None) -> tuple[Indices, Indices]:
        name = id(snapshot), id(said), filters.query(page=1)
        with self._lock:
            if name in self._kept:
                self._kept.move_to_end(name)
                _, _, rows, order = self._kept[name]
                return rows, order
        wanted = mask(filters, snapshot, said)
        rows, order = snapshot.rows(wanted), _sorted(snapshot, filters, wanted)
        with self._lock:
            # The snapshot and the mask are kept with it, so that their ids stay theirs.
            self._kept[name] = snapshot, said, rows, order
            while len(self._kept) > _KEPT:
                self._kept.popitem(last=False)
        return rows, order


def _sorted(snapshot: Snapshot, filters: Filters, wanted: Mask) -> Indices:
    """The episodes of rows, each once, sorted; equal ones as they are stored, those without a score last."""
    rows: Indices = snapshot.stored_rows[wanted[snapshot.stored_rows]]
    match filters.sort:
        case "highest" | "lowest":
            scores = snapshot.score(filters.rater, filters.dimension)[rows]
            rows = rows[np.argsort(-scores if filters.sort == "highest" else scores, kind="stable")]
        case "longest" | "shortest":
            turns = snapshot.column("turns")[rows].astype(np.int64)
            rows = rows[np.argsort(-turns if filters.sort == "longest" else turns, kind="stable")]
    episodes: Indices = snapshot.column("episode")[rows].astype(np.intp)
    places = np.arange(len(episodes))
    first = np.zeros(snapshot.episodes, dtype=np.intp)
    first[episodes[::-1]] = places[::-1]  # the last one written is the first in the list
    found: Indices = episodes[first[episodes] == places]
    return found
