"""Which prompts are tried, in which order: a seeded draw that neither the order nor the size of a file changes.

Every prompt has its place by a hash of the seed and what it says. Of each source only as many as can be needed are in
memory, and sources take turns, so that every part of the order is balanced among them.
"""

from __future__ import annotations

import heapq
from collections.abc import Callable, Iterable
from itertools import zip_longest

from sotopia_pi.records import derive_seed
from sotopia_pi.world.generation.sources import Prompt


def draw(sources: Iterable[Iterable[Prompt]], seed: int, usable: Callable[[str], bool], most: int) -> list[Prompt]:
    """At most `most` prompts of each source in the order in which they are tried; no id twice.

    Raising `most` only appends to each source's part. `usable` says of a prompt's id whether it may be used.
    """
    parts = [_first(source, seed, usable, most) for source in sources]
    order = (prompt for rank in zip_longest(*parts) for prompt in rank if prompt is not None)
    return list({prompt.id: prompt for prompt in order}.values())


def _first(source: Iterable[Prompt], seed: int, usable: Callable[[str], bool], most: int) -> list[Prompt]:
    heap: list[tuple[int, str]] = []
    kept: dict[str, Prompt] = {}
    for prompt in source:
        key = derive_seed("prompt", seed, prompt.id)
        if prompt.id in kept or (len(heap) >= most and -key < heap[0][0]) or not usable(prompt.id):
            continue
        heapq.heappush(heap, (-key, prompt.id))
        kept[prompt.id] = prompt
        if len(heap) > most:
            del kept[heapq.heappop(heap)[1]]
    return [kept[prompt_id] for _, prompt_id in sorted(heap, reverse=True)]
