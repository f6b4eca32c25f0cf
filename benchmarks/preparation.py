"""100,000 examples out of a stored run: how long it takes to prepare them for training, and in how much memory.

A run database gets 50,000 made episodes of 20 turns on 40 tasks, each with words of its own, and two selections of
both roles: 10,000 and 100,000 examples. A process of its own prepares each selection. Takes some minutes, so it runs
only when it is named.

python -m benchmarks.preparation RUN ROUND      prepares one selection and prints what it took, as JSON
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tempfile
import time
from itertools import islice
from pathlib import Path
from typing import Any

from benchmarks.scale import resident
from benchmarks.selected import made_episode, open_tasks

EPISODES = 50_000
TURNS = 20
TASKS = 40
_BATCH = 500
FEW, MANY = "few", "many"


def preparation() -> list[tuple[str, str]]:
    """Seconds, examples per second and peak memory for few and for many examples."""
    with tempfile.TemporaryDirectory() as folder:
        return prepared(Path(folder) / "run", EPISODES)


def prepared(run: Path, episodes: int) -> list[tuple[str, str]]:
    """The rows for a new run in the folder `run`, with so many episodes."""
    began = time.monotonic()
    build(run, episodes)
    built = time.monotonic() - began
    few, many = measured(run, FEW), measured(run, MANY)
    return [
        ("stored run", f"{episodes:,} made episodes of {TURNS} turns on {TASKS} tasks, built in {built:.0f} s"),
        *[
            (
                f"{facts['examples']:,} examples",
                f"{facts['seconds']:.1f} s, {facts['examples'] / facts['seconds']:,.0f} examples/s, "
                f"{facts['tokens']:,} tokens, peak memory {facts['peak'] / 2**20:.0f} MB",
            )
            for facts in (few, many)
        ],
        ("memory, ten times the examples", f"{many['peak'] / few['peak']:.2f} times"),
    ]


def build(folder: Path, episodes: int) -> None:
    """A run with tasks, episodes and two selections, written in large batches and without playing."""
    from sotopia_pi.config import parse
    from sotopia_pi.rundir import Run
    from sotopia_pi.store.imports import Batch

    rounds = [{"name": name, "method": "bc"} for name in (FEW, MANY)]
    tasks = open_tasks(TASKS)
    with Run.open(folder, parse({"rounds": rounds}, "benchmark"), quiet=True) as run:
        run.store.add_tasks("train", tasks)
        keys = (f"episode {number:07d}" for number in range(episodes))
        for start in range(0, episodes, _BATCH):
            batch = [
                made_episode(tasks[number % TASKS], TURNS, key, number // TASKS)
                for number, key in enumerate(islice(keys, _BATCH), start)
            ]
            run.store.imports.add(Batch(episodes=[(episode, ()) for episode in batch]))
        pairs = [(f"episode {number:07d}", role) for number in range(episodes) for role in (0, 1)]
        run.store.set_selection(MANY, pairs)
        run.store.set_selection(FEW, pairs[: len(pairs) // 10])


def measured(run: Path, name: str) -> dict[str, Any]:
    """What preparing a selection took, in a process of its own."""
    command = [sys.executable, "-m", "benchmarks.preparation", str(run), name]
    return dict(json.loads(subprocess.run(command, check=True, capture_output=True, text=True).stdout))


def prepare(folder: Path, name: str) -> dict[str, int]:
    """Prepares the examples of a round as training does; how many examples and tokens there were."""
    from sotopia_pi import pipeline
    from sotopia_pi.models.weights import load_tokenizer
    from sotopia_pi.rundir import Run

    with Run.open(folder, None, quiet=True) as run:
        pairs = run.store.selection(name)
        facts = pipeline.prepare(run, load_tokenizer("smollm2-135m"), pairs, 4096, folder / name)
    return {"examples": len(pairs), "tokens": facts["tokens"]}


def main(folder: str, name: str) -> None:
    """Prepares one selection and prints what it took."""
    began = time.monotonic()
    facts = prepare(Path(folder), name)
    print(json.dumps({**facts, "seconds": time.monotonic() - began, "peak": resident(os.getpid())}))


if __name__ == "__main__":
    main(*sys.argv[1:])
