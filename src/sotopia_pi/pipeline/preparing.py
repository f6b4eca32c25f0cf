"""From selected (episode, role) pairs to training sequences on disk, a page at a time."""

from __future__ import annotations

import hashlib
import shutil
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

from tqdm import tqdm

from sotopia_pi.garbage import rare_collections
from sotopia_pi.models.chat import chat_format
from sotopia_pi.pipeline.stages import Facts
from sotopia_pi.rundir import Run
from sotopia_pi.training.examples import Cut, Example, example, tokenize
from sotopia_pi.training.prepared import Writer

_PAGE = 256

Pair = tuple[str, int]


def prepare(run: Run, tokenizer: Any, pairs: Sequence[Pair], cutoff: int, folder: Path) -> Facts:
    """Writes the sequences of `pairs` to `folder`, and counts them.

    Memory does not grow with the number of pairs beyond the pairs themselves.
    """
    facts: Facts = {"sequences": 0, "tokens": 0, "trained_tokens": 0, "cut": 0, "turns_dropped": 0, "dropped": 0}
    shutil.rmtree(folder, ignore_errors=True)
    bar = tqdm(total=len(pairs), desc="prepare", unit="example", disable=run.quiet or len(pairs) < 10 * _PAGE)
    # The tokenizer works in threads of its own while the next page is read and rendered.
    with Writer(folder) as writer, ThreadPoolExecutor(1) as tokenizing, rare_collections(), bar:
        for page, cuts in _ahead(_pages(run, pairs), lambda page: tokenize(tokenizer, page, cutoff), tokenizing):
            for item, cut in zip(page, cuts, strict=True):
                if cut.items:
                    writer.add(item.episode, item.role, cut.items)
                facts["dropped"] += not cut.items
                facts["cut"] += cut.cut
                facts["turns_dropped"] += cut.turns_dropped
            bar.update(len(page))
    facts |= {"sequences": writer.sequences, "tokens": writer.tokens, "trained_tokens": writer.trained}
    notes = chat_format(tokenizer).notes()
    return {**facts, "notes": notes} if notes else facts


def _pages(run: Run, pairs: Sequence[Pair]) -> Iterator[list[Example]]:
    for start in range(0, len(pairs), _PAGE):
        page = pairs[start : start + _PAGE]
        episodes = {episode.key: episode for episode in run.store.episodes(keys={key for key, _ in page})}
        tasks = run.store.tasks_with(episodes[key].task_id for key, _ in page)
        yield [
            example(tasks[episodes[key].task_id], episodes[key], role, run.config.max_turns, run.prompts)
            for key, role in page
        ]


def _ahead(pages: Iterator[list[Example]], work: Any, pool: ThreadPoolExecutor) -> Iterator[tuple[Any, list[Cut]]]:
    """Each page with what `work` makes of it, while the next one is being read."""
    waiting = None
    for page in pages:
        begun = page, pool.submit(work, page)
        if waiting:
            yield waiting[0], waiting[1].result()
        waiting = begun
    if waiting:
        yield waiting[0], waiting[1].result()


def fingerprint(*parts: object) -> str:
    """A short name for what a training is made of."""
    return hashlib.sha256(repr(parts).encode()).hexdigest()[:16]
