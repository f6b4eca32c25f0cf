"""The rules of an episode, and playing many at once.

Roles take turns, 0 first. An episode ends when two consecutive turns declare equal terms, when someone leaves, after
more than two stale turns (a turn is stale when nothing is done), or at the turn limit. A model that cannot be reached
fails the episode.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable, Iterable, Iterator, Mapping, Sequence, Sized
from contextlib import AbstractAsyncContextManager, nullcontext

from pydantic import Field

from sotopia_pi.environments import agreement
from sotopia_pi.episodes.agents import Agent, Player
from sotopia_pi.episodes.records import ActionType, Episode, StopReason, Turn
from sotopia_pi.episodes.views import MAX_TURNS, Seen, event, later, view
from sotopia_pi.errors import ModelError
from sotopia_pi.garbage import rare_collections
from sotopia_pi.records import Identified, derive_seed
from sotopia_pi.world.records import SocialTask

#: Consecutive stale turns that an episode survives.
STALE_TURNS = 2


class Plan(Identified):
    """An episode to be played; its `id` is the episode's key.

    `conditions` holds what else would change the episode (the run's seed, sampling, prompt version).
    """

    stage: str
    task_id: str
    players: tuple[str, ...]
    repeat: int = 0
    max_turns: int = Field(default=MAX_TURNS, ge=1)
    conditions: dict[str, str | int | float] = Field(default_factory=dict)

    def seed(self, role: int) -> int:
        """The seed of the agent in `role`; depends on nothing but the plan."""
        return derive_seed(self.id, role)


async def play(plan: Plan, task: SocialTask, agents: Mapping[int, Agent]) -> Episode:
    """Plays one episode. A ModelError of an agent ends it as failed, with the turns played so far."""
    turns: list[Turn] = []
    history: list[Seen] = []
    seen = {role: view(task, role, turns, plan.max_turns) for role in task.roles}
    started = time.monotonic()
    stop: StopReason | None = None
    failure: str | None = None
    try:
        while stop is None:
            role = len(turns) % len(task.roles)
            seen[role] = later(seen[role], history)
            reply = await agents[role].act(seen[role])
            turns.append(
                Turn(
                    role=role,
                    action=reply.action,
                    raw=reply.raw,
                    valid=reply.valid,
                    reasked=reply.reasked,
                    usage=reply.usage,
                    cause=reply.cause,
                )
            )
            history.append(event(task.scenario, role, reply.action))
            stop = stop_reason(history, plan.max_turns)
    except ModelError as error:
        failure = str(error)
    finally:
        for agent in agents.values():
            await agent.close()
    return Episode(
        key=plan.id,
        task_id=task.id,
        stage=plan.stage,
        players=plan.players,
        repeat=plan.repeat,
        seed=plan.seed(0),
        turns=tuple(turns),
        stop_reason=stop,
        failure=failure,
        seconds=time.monotonic() - started,
    )


def stop_reason(history: Sequence[Seen], max_turns: int = MAX_TURNS) -> StopReason | None:
    """Why an episode ends after what happened; None when it goes on."""
    if agreement([(seen.role, seen.terms) for seen in history[-2:]]):
        return StopReason.AGREED
    if history and history[-1].action.type is ActionType.LEAVE:
        return StopReason.LEFT
    recent = history[-(STALE_TURNS + 1) :]
    if len(recent) > STALE_TURNS and all(seen.action.type is ActionType.NONE for seen in recent):
        return StopReason.STALE
    return StopReason.LIMIT if len(history) >= max_turns else None


async def play_all(
    plans: Iterable[Plan],
    tasks: Mapping[str, SocialTask],
    players: Mapping[str, Player],
    keep: Callable[[Episode], Awaitable[None] | None],
    concurrency: int = 32,
    room: Callable[[], AbstractAsyncContextManager[None]] = nullcontext,
) -> None:
    """Plays all plans, up to `concurrency` at once, and hands each finished episode to `keep`.

    An episode is begun and kept inside `room()`, which may make it wait. An error of `keep` (a full disk) or of
    `room` (a budget), or a server that answers nobody, stops everything; what was kept before stays kept.
    """
    waiting: Iterator[Plan] = iter(plans)

    async def worker() -> None:
        for plan in waiting:
            seats = {role: players[name].seat(role, plan.seed(role)) for role, name in enumerate(plan.players)}
            async with room():
                kept = keep(await play(plan, tasks[plan.task_id], seats))
                if kept is not None:
                    await kept
            await asyncio.sleep(0)  # scripts never wait for anything, and Ctrl-C needs its turn

    count = min(concurrency, len(plans)) if isinstance(plans, Sized) else concurrency
    with rare_collections():
        workers = [asyncio.ensure_future(worker()) for _ in range(count)]
        try:
            await asyncio.gather(*workers)
        finally:
            for task in workers:
                task.cancel()
            await asyncio.gather(*workers, return_exceptions=True)
