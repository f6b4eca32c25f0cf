"""The kinds of columns that a snapshot has: texts as codes, one rater's scores, and facts about tasks."""

from __future__ import annotations

from collections.abc import Collection, Iterable
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

Codes = npt.NDArray[np.int32]


@dataclass(frozen=True, slots=True, eq=False)
class Labels:
    """A column of texts: `codes` are places in `names`."""

    names: tuple[str, ...]
    codes: Codes

    @classmethod
    def of(cls, texts: Iterable[str]) -> Labels:
        """A column of these texts; names are in the order of their first appearance."""
        places: dict[str, int] = {}
        codes = np.fromiter((places.setdefault(text, len(places)) for text in texts), dtype=np.int32)
        return cls(tuple(places), codes)

    def at(self, places: npt.NDArray[np.integer]) -> Labels:
        """The column of the rows at `places`."""
        return Labels(self.names, self.codes[places])

    def among(self, values: Collection[str]) -> npt.NDArray[np.bool_]:
        """Where the text is one of `values`."""
        wanted = np.array([name in values for name in self.names], dtype=bool)
        return wanted[self.codes] if len(self.names) else np.zeros(0, dtype=bool)

    def values(self) -> npt.NDArray[np.object_]:
        """The texts themselves."""
        names = np.empty(len(self.names), dtype=object)
        names[:] = self.names
        return names[self.codes]

    def ranks(self) -> Codes:
        """Codes that sort as the texts do."""
        rank = np.empty(len(self.names), dtype=np.int32)
        rank[np.argsort(np.array(self.names, dtype=object))] = np.arange(len(self.names), dtype=np.int32)
        return rank[self.codes]

    def counts(self, mask: npt.NDArray[np.bool_] | None = None) -> npt.NDArray[np.intp]:
        """How often each name occurs, in `mask` if given."""
        return np.bincount(self.codes if mask is None else self.codes[mask], minlength=len(self.names))


@dataclass(frozen=True, slots=True, eq=False)
class RatingColumns:
    """One rater: scores by dimension and row, where it failed, and where it found a deal (1), none (0) or neither."""

    scores: dict[str, npt.NDArray[np.float64]]
    failed: npt.NDArray[np.bool_]
    deals: npt.NDArray[np.float64]


@dataclass(frozen=True, slots=True, eq=False)
class TaskColumns:
    """The tasks, by task: `ids`, `place_of` an id, and the scenario's facts.

    `groups` are the names of the groups that hold a task, `group` is the first of them that says most.
    """

    ids: list[str]
    place_of: dict[str, int]
    scenario: Labels
    kind: Labels
    group: Labels
    groups: list[tuple[str, ...]]
    situations: list[str]
    verified: npt.NDArray[np.bool_]
