"""Training sequences on disk: written one by one, read one by one, so that memory does not grow with their number.

A folder holds token ids (`ids.bin`), the spans of trained tokens (`spans.bin`), one row per sequence (`index.bin`:
where its ids and spans begin and end, the keys of its group and task, and its example), and `examples.jsonl`, whose
lines are the examples.
"""

from __future__ import annotations

import json
from array import array
from collections.abc import Iterator, Sequence
from hashlib import blake2b
from itertools import chain
from pathlib import Path
from typing import Any, Self, overload

import numpy as np

from sotopia_pi.training.examples import Tokens
from sotopia_pi.training.lineage import EXAMPLES

_IDS, _SPANS, _INDEX = "ids.bin", "spans.bin", "index.bin"
_COLUMNS = 7
Integers = np.ndarray[tuple[int], np.dtype[np.int64]]


class Writer:
    """Writes sequences to `folder`; use as a context manager. Nothing is readable before it is closed."""

    def __init__(self, folder: Path) -> None:
        folder.mkdir(parents=True, exist_ok=True)
        self._files = {name: (folder / name).open("wb", buffering=1 << 20) for name in (_IDS, _SPANS, _INDEX, EXAMPLES)}
        self._ids = self._spans = self._example = 0
        self.sequences = self.trained = 0

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        for file in self._files.values():
            file.close()

    @property
    def tokens(self) -> int:
        """How many tokens have been written."""
        return self._ids

    def add(self, episode: str, role: int, items: Sequence[Tokens]) -> None:
        """Adds the sequences of one example."""
        for item in items:
            spans = _spans(item.targets)
            ends = self._ids + len(item.ids), self._spans + len(spans)
            row = (self._ids, ends[0], self._spans, ends[1], *_keys(item), self._example)
            self._files[_IDS].write(array("i", item.ids).tobytes())
            self._files[_SPANS].write(array("i", chain.from_iterable(spans)).tobytes())
            self._files[_INDEX].write(array("q", row).tobytes())
            self._ids, self._spans = ends
            self.sequences += 1
            self.trained += len(item.targets)
        self._files[EXAMPLES].write(json.dumps({"episode": episode, "role": role}).encode() + b"\n")
        self._example += 1


class Prepared(Sequence[Tokens]):
    """The sequences in `folder`, read when they are asked for."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self._index = _mapped(folder / _INDEX, np.int64).reshape(-1, _COLUMNS)
        self._ids = _mapped(folder / _IDS, np.int32)
        self._spans = _mapped(folder / _SPANS, np.int32).reshape(-1, 2)

    def __len__(self) -> int:
        return len(self._index)

    @overload
    def __getitem__(self, at: int) -> Tokens: ...
    @overload
    def __getitem__(self, at: slice) -> list[Tokens]: ...
    def __getitem__(self, at: int | slice) -> Tokens | list[Tokens]:
        if isinstance(at, slice):
            return [self[index] for index in range(*at.indices(len(self)))]
        start, end, first, last, group, *_ = (int(value) for value in self._index[at])
        targets = [place for a, b in self._spans[first:last].tolist() for place in range(a, b)]
        return Tokens(self._ids[start:end].tolist(), targets, str(group))

    def keys(self) -> tuple[Integers, Integers]:
        """Of each sequence the number that stands for its group, and the one for its task."""
        return self._index[:, 4], self._index[:, 5]

    def example(self, at: int) -> tuple[str, int]:
        """The episode and role that a sequence is of."""
        wanted = int(self._index[at][6])
        for number, pair in enumerate(self.examples()):
            if number == wanted:
                return pair
        raise IndexError(at)

    def examples(self) -> Iterator[tuple[str, int]]:
        """The episode and role of every example, in order."""
        with (self.folder / EXAMPLES).open(encoding="utf-8") as file:
            for line in file:
                item = json.loads(line)
                yield item["episode"], item["role"]


def keys(items: Sequence[Tokens]) -> tuple[Integers, Integers]:
    """Of each sequence the number that stands for its group, and the one for its task."""
    if isinstance(items, Prepared):
        return items.keys()
    pairs = np.asarray([_keys(item) for item in items], dtype=np.int64).reshape(-1, 2)
    return pairs[:, 0], pairs[:, 1]


def _keys(item: Tokens) -> tuple[int, int]:
    """A group's name is that of its task and the role."""
    return _number(item.group), _number(item.group.rpartition("/")[0] or item.group)


def _number(name: str) -> int:
    return int.from_bytes(blake2b(name.encode(), digest_size=8).digest(), "big") >> 1


def _mapped(path: Path, kind: Any) -> Any:
    if path.stat().st_size == 0:  # which cannot be mapped
        return np.zeros(0, dtype=kind)
    return np.memmap(path, dtype=kind, mode="r")


def _spans(targets: Sequence[int]) -> list[tuple[int, int]]:
    """Ascending positions as [start, end) spans."""
    if not targets:
        return []
    places = np.asarray(targets)
    breaks = np.flatnonzero(np.diff(places) != 1) + 1
    starts, ends = places[[0, *breaks]], places[[*(breaks - 1), -1]] + 1
    return list(zip(starts.tolist(), ends.tolist(), strict=True))
