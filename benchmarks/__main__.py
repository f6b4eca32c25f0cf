"""What the hot paths cost on this machine, each against its plain alternative in the same run.

python -m benchmarks [NAME …]      startup, episodes, generation, training, peer, view;
                                   rating, scale, preparation, gpu, exploits, variety only when they are named
"""

from __future__ import annotations

import asyncio
import os
import platform
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

from benchmarks.exploits import exploits
from benchmarks.gpu import gpu
from benchmarks.peer import peer
from benchmarks.preparation import preparation
from benchmarks.rating import rating
from benchmarks.scale import scale
from benchmarks.training import training
from benchmarks.variety import variety
from benchmarks.view import view

WEIGHTS = "smollm2-135m"


def startup() -> list[tuple[str, str]]:
    """How long the command line and the package take to start, median of five."""

    def median(*command: str) -> float:
        seconds = []
        for _ in range(5):
            started = time.monotonic()
            subprocess.run([sys.executable, *command], check=True, capture_output=True)
            seconds.append(time.monotonic() - started)
        return sorted(seconds)[2]

    return [
        ("sotopia-pi --help", f"{median('-m', 'sotopia_pi', '--help'):.2f} s"),
        ("import sotopia_pi", f"{median('-c', 'import sotopia_pi'):.2f} s"),
    ]


def _chats(count: int, turns: int, label: str = "") -> list[list[dict[str, str]]]:
    """Chats of one long system message and `turns` exchanges, as the demo's; chats of other labels begin otherwise."""
    system = "You are Ann Lee, 33, a nurse who keeps bees and sings in a choir on weekends. " * 10
    chats = []
    for index in range(count):
        chat = [{"role": "system", "content": f"Conversation {label}{index}. {system}"}]  # in common but in a family
        for turn in range(turns):
            chat.append(
                {"role": "user", "content": f"Turn {2 * turn + 1}. The other person: I offer ${100 + 5 * turn}."}
            )
            argument = f"I can do ${300 - 5 * turn - index}."
            chat.append({"role": "assistant", "content": f'{{"action_type": "speak", "argument": "{argument}"}}'})
        chat.append({"role": "user", "content": "Turn 99. The other person: How about $180?"})
        chats.append(chat)
    return chats


def generation() -> list[tuple[str, str]]:
    """Replies per second of the engine: alone, batched, and with the conversation's cache.

    Every case has an engine of its own, so that none profits from what another has read or written.
    """
    from sotopia_pi.models.local import LocalModel
    from sotopia_pi.models.protocol import Sampling

    sampling = Sampling(temperature=0.0, max_tokens=24)
    rows = []

    async def ask(model: LocalModel, count: int, turns: int, label: str, together: bool) -> tuple[float, int]:
        chats = _chats(count, turns, label)
        started = time.monotonic()
        calls = [model.complete(chat, sampling, 0, f"{label}{i}") for i, chat in enumerate(chats)]  # type: ignore[arg-type]
        done = await asyncio.gather(*calls) if together else [await call for call in calls]
        return time.monotonic() - started, sum(c.completion_tokens for c in done)

    for label, count, turns, before, together in (
        ("8 first turns, one by one", 8, 1, 0, False),
        ("8 first turns, batched", 8, 1, 0, True),
        ("32 next turns, batched, not cached", 32, 2, 0, True),
        ("32 next turns, batched, cached", 32, 2, 1, True),
    ):
        model = LocalModel(WEIGHTS)
        asyncio.run(ask(model, 1, 1, "warm-up ", False))
        if before:
            asyncio.run(ask(model, count, before, "c", True))
        seconds, tokens = asyncio.run(ask(model, count, turns, "c", together))
        model.close()
        rows.append((label, f"{count / seconds:.2f} replies/s, {tokens / seconds:.0f} tokens/s"))
    return rows


def episodes() -> list[tuple[str, str]]:
    """Scripted episodes per second, played, rated and stored."""
    from sotopia_pi import pipeline
    from sotopia_pi.config import parse
    from sotopia_pi.rundir import Run

    round_ = {"name": "bc", "method": "bc", "repeats": 5}
    config = parse({"world": {"train": {"price": 40, "division": 40}}, "rounds": [round_]}, "benchmark")
    with tempfile.TemporaryDirectory() as folder, Run.open(Path(folder) / "run", config, quiet=True) as run:
        pipeline.prepare_tasks(run)
        started = time.monotonic()
        facts = pipeline.collect(run, config.rounds[0])
        seconds = time.monotonic() - started
    return [("scripted, stored and rated", f"{facts['completed'] / seconds:.0f} episodes/s")]


BENCHMARKS: dict[str, Callable[[], list[tuple[str, str]]]] = {
    "startup": startup,
    "episodes": episodes,
    "generation": generation,
    "training": training,
    "peer": peer,
    "view": view,
    "rating": rating,
    "scale": scale,
    "preparation": preparation,
    "gpu": gpu,
    "exploits": exploits,
    "variety": variety,
}
#: What takes too long to be done with all the others, or needs a GPU.
ON_REQUEST = ("rating", "scale", "preparation", "gpu", "exploits", "variety")


def main(names: list[str]) -> None:
    """Prints the figures of the named benchmarks, or of all that are quick."""
    print(
        f"{platform.machine()}, {os.cpu_count()} cores, Python {platform.python_version()}, {time.strftime('%Y-%m-%d')}"
    )
    for name in names or [name for name in BENCHMARKS if name not in ON_REQUEST]:
        for label, figure in BENCHMARKS[name]():
            print(f"{name:<12} {label:<38} {figure}", flush=True)


if __name__ == "__main__":
    main(sys.argv[1:])
