"""Several training sequences as one row: no padding, and a prompt that they share is computed once."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from sotopia_pi.training.examples import Tokens

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


def families(items: Sequence[Tokens]) -> list[list[int]]:
    """Indices of the sequences, those of one group (which begin with the same prompt) together."""
    found: dict[object, list[int]] = {}
    for index, item in enumerate(items):
        found.setdefault(item.group or index, []).append(index)
    return list(found.values())
