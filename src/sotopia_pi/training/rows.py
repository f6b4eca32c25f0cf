"""Several training sequences as one row: no padding, and a prompt that they share is computed once; in which order."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np

from sotopia_pi.training.examples import Tokens
from sotopia_pi.training.prepared import Integers

#: Stands where a token is not trained on (PyTorch's convention).
IGNORED = -100

#: Shorter common beginnings (the template's first words) are not worth a cut.
_WORTH_SHARING = 32


def pack(batch: Sequence[Tokens]) -> dict[str, list[Any]]:
    """Several sequences as one row: [1, tokens] ids, positions and labels, and [n, 4] segments.

    A segment is start and end in the row and start and end of the prompt it shares with an earlier sequence, 0 and 0
    where it shares none. The last shared token is one before the first trained one, so every sequence predicts all
    its trained tokens from positions of its own and the gradient is that of unshared sequences.
    """
    ids: list[int] = []
    positions: list[int] = []
    labels: list[int] = []
    segments: list[tuple[int, int, int, int]] = []
    head, at = None, 0  # the last sequence that stands whole in the row, and where
    for item in batch:
        shared = _shared(head, item) if head is not None else 0
        if shared == 0:
            head, at = item, len(ids)
        wanted = set(item.targets)
        start = len(ids)
        ids += item.ids[shared:]
        positions += range(shared, len(item.ids))
        labels += [item.ids[i] if i in wanted else IGNORED for i in range(shared, len(item.ids))]
        segments.append((start, len(ids), at if shared else 0, at + shared if shared else 0))
    return {"input_ids": [ids], "position_ids": [positions], "labels": [labels], "segments": segments}


def _shared(a: Tokens, b: Tokens) -> int:
    """How many tokens of the prompt two sequences have in common; 0 when too few to be worth it."""
    limit = min(a.targets[0], b.targets[0]) - 1
    common = next((i for i in range(limit) if a.ids[i] != b.ids[i]), max(limit, 0))
    return common if common >= _WORTH_SHARING else 0


class Order:
    """Which sequences are computed when: the micro-batches of one process, epoch by epoch.

    An update is `batch` sequences, those of one group side by side, in rows of `micro_batch`; `processes` share the
    rows of every update. Each process has equally many: an empty one where the sequences do not suffice. Every epoch
    has its own order, which depends on nothing but `seed` and the epoch.
    """

    def __init__(
        self, groups: Integers, seed: int, batch: int, micro_batch: int, process: int = 0, processes: int = 1
    ) -> None:
        self._groups = groups
        self._seed = seed
        self._batch, self._micro = batch, micro_batch
        self._process, self._processes = process, processes
        self._epoch = 0
        self.rows_per_update = math.ceil(batch / micro_batch / processes)

    def set_epoch(self, epoch: int) -> None:
        """Says which epoch the next iteration is."""
        self._epoch = epoch

    def __len__(self) -> int:
        return math.ceil(len(self._groups) / self._batch) * self.rows_per_update

    def __iter__(self) -> Iterator[list[int]]:
        order = self._shuffled()
        step = self._micro * self._processes
        for update in range(0, len(order), self._batch):
            own = order[update : update + self._batch]
            for row in range(self.rows_per_update):
                at = row * step + self._process * self._micro
                yield own[at : at + self._micro].tolist()

    def _shuffled(self) -> Integers:
        """All sequences in an order of this epoch: groups at random, their members at random within them."""
        dice = np.random.default_rng([self._seed, self._epoch])
        _, members = np.unique(self._groups, return_inverse=True)
        place = dice.permutation(members.max(initial=-1) + 1)[members]
        return np.lexsort((dice.random(len(members)), place))
