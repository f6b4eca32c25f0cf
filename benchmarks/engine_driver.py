"""Plays the cases with this engine, with a judge's call per episode, results stored; the other half of peer_driver.py.

python -m benchmarks.engine_driver CASES.json URL CONCURRENCY RESULT.json
"""

from __future__ import annotations

import asyncio
import json
import resource
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

from benchmarks.cases import tasks_of
from sotopia_pi.config import EndpointConfig
from sotopia_pi.episodes.model_player import ModelPlayer
from sotopia_pi.episodes.play import Plan, play_all
from sotopia_pi.episodes.records import Episode
from sotopia_pi.models.protocol import ChatModel, JsonSchema, Message, Sampling
from sotopia_pi.models.remote.opening import Remotes
from sotopia_pi.ratings import DIMENSIONS, Rating
from sotopia_pi.store import Store, Writer
from sotopia_pi.world import SocialTask

_SCORES = {name: {"type": "integer", "minimum": low, "maximum": high} for name, (low, high) in DIMENSIONS.items()}
_ROLE = {"type": "object", "properties": _SCORES, "required": list(_SCORES), "additionalProperties": False}
_RATING = JsonSchema("rating", {"type": "object", "properties": {"0": _ROLE, "1": _ROLE}, "required": ["0", "1"]})


async def rate(model: ChatModel, task: SocialTask, episode: Episode) -> list[Rating]:
    """A judge's call of the usual size: the task, the transcript, scores of both roles in one reply."""
    names = [character.name for character in task.characters]
    lines = [f"{names[turn.role]}: {turn.action.argument}" for turn in episode.turns]
    goals = [f"Goal of {name}: {goal}" for name, goal in zip(names, task.scenario.goals, strict=True)]
    text = "\n".join([task.scenario.situation, *goals, *lines, "Rate both on each dimension."])
    asked = [Message(role="user", content=text)]
    reply = await model.complete(asked, Sampling(0.0, 1.0, 512), 0, f"judge/{episode.key}", schema=_RATING)
    scores = json.loads(reply.text)
    return [Rating(episode=episode.key, role=role, rater="judge", scores=scores[str(role)]) for role in task.roles]


def main(cases: list[dict[str, Any]], url: str, concurrency: int) -> dict[str, float]:
    """Seconds, CPU seconds, and how many episodes were played, rated and stored."""
    tasks = {task.id: task for task in tasks_of(cases)}
    model = Remotes(EndpointConfig(concurrency=max(concurrency, 1))).model(f"openai:mock@{url}")
    player = ModelPlayer("mock", model, Sampling(0.7, 1.0, 96))
    plans = [Plan(stage="evaluate/mock", task_id=id, players=("mock", "mock")) for id in tasks]
    with tempfile.TemporaryDirectory() as folder, Store.open(Path(folder) / "run.db") as store:
        store.add_tasks("test", tasks.values())
        writer = Writer(store)

        async def keep(episode: Episode) -> None:
            await writer.put(episode, await rate(model, tasks[episode.task_id], episode))

        began, cpu = time.monotonic(), _cpu()
        asyncio.run(play_all(plans, tasks, {"mock": player}, keep, concurrency))
        seconds, used = time.monotonic() - began, _cpu() - cpu
        done, rated = store.counts("evaluate/mock")[0], sum(1 for _ in store.ratings("evaluate/mock"))
    return {"seconds": seconds, "cpu": used, "episodes": min(done, rated // 2)}


def _cpu() -> float:
    used = resource.getrusage(resource.RUSAGE_SELF)
    return used.ru_utime + used.ru_stime


if __name__ == "__main__":
    given, at, most, out = sys.argv[1:5]
    result = main(json.loads(Path(given).read_text(encoding="utf-8")), at, int(most))
    Path(out).write_text(json.dumps(result), encoding="utf-8")
