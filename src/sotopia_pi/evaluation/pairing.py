"""Pairing what two policies played, on columns: the same task, role and repeat, as `comparisons` pairs result rows.

It is for tables of hundreds of thousands of roles, so nothing here looks at one role at a time.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

Whole = npt.NDArray[np.integer]
Floats = npt.NDArray[np.float64]
Places = npt.NDArray[np.intp]


@dataclass(frozen=True, slots=True, eq=False)
class Played:
    """The roles that one policy played, as columns of equal length; tasks and partners are codes from 0.

    Two sides that are paired must use the same codes. `score` is NaN where there is none.
    """

    task: Whole
    role: Whole
    repeat: Whole
    partner: Whole
    score: Floats

    def __len__(self) -> int:
        """The number of roles."""
        return len(self.task)


@dataclass(frozen=True, slots=True, eq=False)
class Pairs:
    """Which role of the first side goes with which of the second; `scored` of them have both scores.

    `again` counts the roles that share task, role, repeat and partner with another of their side: the n-th of one side
    goes with the n-th of the other, in the order of the columns.
    """

    first: Places
    second: Places
    scored: npt.NDArray[np.bool_]
    again: int


def pair(first: Played, second: Played) -> Pairs:
    """Pairs roles by task, role, repeat and partner."""
    one, two = _keys(first, second)
    nth_one, nth_two = _nth(one), _nth(two)
    most = int(max(nth_one.max(initial=0), nth_two.max(initial=0))) + 1
    _, in_first, in_second = np.intersect1d(
        one * most + nth_one, two * most + nth_two, assume_unique=True, return_indices=True
    )
    scored = ~(np.isnan(first.score[in_first]) | np.isnan(second.score[in_second]))
    again = int(np.count_nonzero(nth_one) + np.count_nonzero(nth_two))
    return Pairs(in_first, in_second, scored, again)


def _keys(first: Played, second: Played) -> tuple[Whole, Whole]:
    """One number per role that is the same exactly where task, role, repeat and partner are."""
    one = first.task.astype(np.int64)
    two = second.task.astype(np.int64)
    for name in ("role", "repeat", "partner"):
        left, right = getattr(first, name), getattr(second, name)
        # Ranks, not the numbers themselves: repeats of imported data may be as large as they like.
        known, places = np.unique(np.concatenate((left, right)), return_inverse=True)
        size = max(len(known), 1)
        one, two = one * size + places[: len(left)], two * size + places[len(left) :]
    return one, two


def _nth(keys: Whole) -> Whole:
    """0 for the first of equal keys, 1 for the second, and so on."""
    order = np.argsort(keys, kind="stable")
    ordered = keys[order]
    starts = np.flatnonzero(np.concatenate(([True], ordered[1:] != ordered[:-1]))) if len(keys) else np.zeros(0, int)
    sizes = np.diff(np.append(starts, len(keys)))
    place = np.empty(len(keys), dtype=np.int64)
    place[order] = np.arange(len(keys)) - np.repeat(starts, sizes)
    return place
