"""All episodes of one run as columns of numbers: what lists, filters, tables and figures over many episodes read.

One row per role of an episode. Building it takes some seconds for 100,000 episodes, using it some milliseconds. It is
built when it is first asked for and again in the background when the database has changed, so seldom that this costs
a few percent of the time; `Live` holds the newest one.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Collection, Hashable
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
import numpy.typing as npt

from sotopia_pi.errors import StoreError
from sotopia_pi.store import Store
from sotopia_pi.web.columns import Labels, TaskColumns
from sotopia_pi.web.loading import Loaded, load
from sotopia_pi.web.site import Site

Floats = npt.NDArray[np.float64]
Indices = npt.NDArray[np.intp]
Mask = npt.NDArray[np.bool_]

#: A load may take this share of the time; one of under `_SHORT` seconds is done while the page waits.
_SHARE = 0.04
_SHORT = 0.05


class Snapshot:
    """Columns of one state of a store; none of them is ever changed.

    `columns` are by row, that is by (episode, role), in the order of episode keys and roles. `keys` and `first` (the
    row of role 0) are by episode; `column("episode")` is the episode that a row belongs to.
    """

    def __init__(self, loaded: Loaded, version: Hashable = None) -> None:
        self.version = version
        self.keys = loaded.keys
        self.place_of = loaded.place_of
        self.first = loaded.first
        self.tasks: TaskColumns = loaded.tasks
        self._columns, self._labels, self._ratings = loaded.columns, loaded.labels, loaded.ratings

    def __len__(self) -> int:
        """The number of rows."""
        return len(self._columns["episode"])

    @property
    def episodes(self) -> int:
        """The number of episodes."""
        return len(self.keys)

    def labels(self, name: str) -> Labels:
        """A column of texts by row, as names and codes.

        task, scenario, kind, group (of tasks), stage, verb and part (the stage before and after its first "/"),
        player, partner (the others' players), stop_reason ("" where there is none), failure ("" likewise).
        """
        return self._labels[name]

    def column(self, name: str) -> npt.NDArray[Any]:
        """A column by row: one of `labels` as texts, or a column of numbers.

        episode, role, repeat, seconds, turns (of the episode), actions (turns of the role), invalid (those that were
        no readable action), words (that the role said), failed (the episode), human (a person played in it).
        """
        return self._columns[name] if name in self._columns else self._labels[name].values()

    def rows(self, mask: Mask) -> Indices:
        """The rows of a mask."""
        return np.flatnonzero(mask)

    def where(self, name: str, values: Collection[str]) -> Mask:
        """The rows whose text in a column is one of `values`."""
        return self._labels[name].among(values)

    def key(self, row: int) -> str:
        """The episode key of a row."""
        return self.keys[int(self._columns["episode"][row])]

    def names(self, column: str) -> list[str]:
        """The texts that occur in a column, in order of first appearance, without the empty one."""
        return [name for name in self._labels[column].names if name]

    def policies(self) -> list[str]:
        """Who has played, by name."""
        return sorted(self.names("player"))

    def raters(self) -> list[str]:
        """Who has rated: the verifier, judges and people, in this order, each by name."""
        rank = {"verifier": 0, "judge": 1, "human": 3}
        return sorted(self._ratings, key=lambda name: (rank.get(name.split(":")[0], 2), name))

    def dimensions(self, rater: str) -> list[str]:
        """The dimensions that a rater has scored, and "overall" where it gave all seven; GOAL first."""
        return list(self._ratings[rater].scores) if rater in self._ratings else []

    def score(self, rater: str, dimension: str) -> Floats:
        """Scores by row, the mean over samples; NaN where there is none."""
        found = self._ratings[rater].scores.get(dimension) if rater in self._ratings else None
        return np.full(len(self), np.nan) if found is None else found

    def rating_failed(self, rater: str) -> Mask:
        """The rows where a rater was asked and gave no rating."""
        found = self._ratings.get(rater)
        return np.zeros(len(self), dtype=bool) if found is None else found.failed

    def deal(self, rater: str) -> Floats:
        """1 where a rater found a deal, 0 where it found none, NaN where it did not say."""
        found = self._ratings.get(rater)
        return np.full(len(self), np.nan) if found is None else found.deals

    @cached_property
    def stored_rows(self) -> Indices:
        """All rows in the order of stages, tasks, repeats, keys and roles."""
        stages, tasks = self._labels["stage"].ranks(), self._labels["task"].codes
        found: Indices = np.lexsort((self._columns["repeat"], tasks, stages))
        return found


@dataclass(slots=True)
class _Timing:
    took: float = 0.0
    ended: float = 0.0


class Live:
    """The newest snapshot of a store. Threads may share it."""

    def __init__(self, store: Store) -> None:
        self._store = store
        self._lock = threading.Lock()
        self._now: Snapshot | None = None
        self._timing = _Timing()
        self._loading: threading.Thread | None = None

    def current(self) -> Snapshot:
        """The newest snapshot there is; waits only for the first. StoreError."""
        found = self._now
        if found is None:
            with self._lock:
                return self._now or self._load()
        if self._stale(found) and self._lock.acquire(blocking=False):
            if self._timing.took < _SHORT:
                try:
                    return self._load()
                finally:
                    self._lock.release()
            self._loading = threading.Thread(target=self._reload, name="snapshot", daemon=True)
            self._loading.start()
        return self._now or found

    @property
    def took(self) -> float:
        """Seconds that the last load took."""
        return self._timing.took

    def close(self) -> None:
        """Waits for a load in the background."""
        if self._loading is not None:
            self._loading.join()

    def _stale(self, found: Snapshot) -> bool:
        took, ended = self._timing.took, self._timing.ended
        rested = took < _SHORT or time.monotonic() - ended > took / _SHARE
        return rested and found.version != self._store.columns.version()

    def _load(self) -> Snapshot:
        began = time.monotonic()
        version = self._store.columns.version()
        self._now = Snapshot(load(self._store), version)
        ended = time.monotonic()
        self._timing = _Timing(ended - began, ended)
        return self._now

    def _reload(self) -> None:
        try:
            self._load()
        except StoreError:  # the next request tries again and, where it has to, says so
            self._timing = _Timing(self._timing.took, time.monotonic())
        finally:
            self._lock.release()


def live(site: Site, name: str) -> Live:
    """The newest snapshots of a place of the site, made once."""
    return site.once(f"snapshot/{name}", lambda: Live(site.places[name].store))


def snapshot(site: Site, name: str) -> Snapshot:
    """The newest snapshot of a place of the site. StoreError."""
    return live(site, name).current()
