"""Playing with a run's models: whom a person can play with, on which tasks, and what becomes of the episode.

The terminal and the browser both use this. An episode that a person played is stored under the stage `play` with the
person's pseudonym as a player, rated by the verifier where a program can tell, and by the run's judge where there is
one; so it can be read, rated again and trained on like any other.
"""

from __future__ import annotations

import asyncio
import random
import secrets
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path

from sotopia_pi import judging
from sotopia_pi.config import BASE, EXPERT, PARTNER, PLAYED, JudgeConfig
from sotopia_pi.episodes.agents import Player
from sotopia_pi.episodes.people import Sitting, folded, human, is_human
from sotopia_pi.episodes.play import Plan
from sotopia_pi.episodes.players import FAKE, SCRIPTED, check_player, opened
from sotopia_pi.episodes.records import Episode
from sotopia_pi.errors import ConfigError
from sotopia_pi.models.remote.spec import is_remote
from sotopia_pi.ratings.opening import open_judge
from sotopia_pi.ratings.records import Rating
from sotopia_pi.ratings.verifier import verify
from sotopia_pi.rundir import Run
from sotopia_pi.world.records import SocialTask

#: The held-out tasks, which are played unless another group is asked for.
HELD_OUT = "test"
_BEFORE_TERMS = "are from before outcomes were declared in terms, and can only be read"
#: Conversations that local weights hold at once while people play.
_SLOTS = 8


@dataclass(frozen=True, slots=True)
class Opponent:
    """Whom a person plays with: how it is called in episodes, its model spec, and a policy's adapter."""

    name: str
    spec: str
    adapter: Path | None = None

    @property
    def scripted(self) -> bool:
        """Whether it can only play verified scenarios."""
        return self.spec.startswith(SCRIPTED)


def known(run: Run) -> list[str]:
    """The names of those whom a run can put opposite a person: its policies that are there, expert and partner."""
    stages = run.store.stages()
    trained = [item.name for item in run.config.rounds if f"train/{item.name}" in stages]
    return [PARTNER, EXPERT, BASE, *trained]


def opponent(run: Run, given: str) -> Opponent:
    """The opponent that a name of the run or a model spec stands for. ConfigError, ModelError when there is none."""
    models = run.config.models
    named = {EXPERT: models.expert, PARTNER: models.partner, BASE: models.policy}
    if given in named:
        found = Opponent(given, named[given])
    elif given in {item.name for item in run.config.rounds}:
        found = Opponent(given, models.policy, run.policy_folder(given))
    else:
        found = Opponent(_called(given), given)
    if given == found.spec and given.isidentifier() and not Path(given).exists():  # no hub name, and no download
        raise ConfigError(
            f"There is no policy {given!r} here; those of the run are: {', '.join(known(run))}. A model is named as "
            "openai:MODEL@URL, scripted:NAME, or by the folder of its weights."
        )
    check_player(found.spec)
    return found


def _called(spec: str) -> str:
    """A spec without the folders of this machine."""
    return spec if is_remote(spec) or spec.startswith((SCRIPTED, FAKE)) else Path(spec).name or spec


@contextmanager
def opened_opponent(run: Run, given: Opponent) -> Iterator[Player]:
    """The opponent, its model loaded; closed again at the end. ModelError, ConfigError."""
    runtime = run.config.runtime.model_copy(update={"slots": min(_SLOTS, run.config.runtime.slots)})
    sampling = run.config.evaluation_sampling()
    with opened(given.name, given.spec, sampling, runtime, run.prompts, given.adapter, run.remotes) as player:
        yield player


def draw_task(run: Run, group: str | None, given: Opponent, seed: int | None) -> SocialTask:
    """A task of a group (None: the held-out ones), drawn with the seed, that the opponent can play. ConfigError."""
    return random.Random(seed).choice(playable(run, group, [given]))


def playable(run: Run, group: str | None, given: Sequence[Opponent]) -> list[SocialTask]:
    """The tasks of a group (None: the held-out ones) that all of the opponents can play. ConfigError for none."""
    groups = run.store.task_groups()
    if not groups:
        raise ConfigError(f"{run.folder} has no tasks yet; run `sotopia-pi tasks {run.folder}` first.")
    if group is not None and group not in groups:
        raise ConfigError(f"There is no group of tasks {group!r}; the groups are: {', '.join(groups)}.")
    chosen = group or (HELD_OUT if HELD_OUT in groups else next(iter(groups)))
    scripts = [one.name for one in given if one.scripted]
    current = [task for task in run.store.tasks(chosen) if not _retired(task)]
    if not current:
        raise ConfigError(f"The tasks of {chosen} {_BEFORE_TERMS}; play in a new run.")
    tasks = [task for task in current if task.scenario.verified or not scripts]
    if not tasks:
        raise ConfigError(
            f"{scripts[0]} is a script, and no task of {chosen} has a check, without which scripts cannot play; "
            "play with a model, or on another group of tasks."
        )
    return tasks


def _retired(task: SocialTask) -> bool:
    return task.scenario.verified and task.scenario.environment is None


def check_pair(task: SocialTask, given: Opponent) -> None:
    """Refuses a task that the opponent, or nobody any more, can play. ConfigError."""
    if _retired(task):
        raise ConfigError(f"Tasks such as this {_BEFORE_TERMS}; play in a new run.")
    if given.scripted and not task.scenario.verified:
        raise ConfigError(f"{given.name} is a script and cannot play a task without a check; play it with a model.")


def sit(
    run: Run,
    task: SocialTask,
    role: int,
    name: str,
    given: Opponent,
    player: Player,
    seed: int | None = None,
    idle: float | None = None,
    stage: str = PLAYED,
    first: float | None = None,
) -> Sitting:
    """A sitting of the person `name` in `role` of a task. ConfigError when the three do not go together.

    Every sitting is an episode of its own, however often the same is played.
    """
    if role not in task.roles:
        raise ConfigError(f"This task has no role {role}; its roles are {', '.join(map(str, task.roles))}.")
    check_pair(task, given)
    sampling = run.config.evaluation_sampling()
    plan = Plan(
        stage=stage,
        task_id=task.id,
        players=tuple(_person(run, stage, name) if seat == role else given.name for seat in task.roles),
        max_turns=run.config.max_turns,
        conditions={**run.conditions(sampling), "opponent": given.spec, "sitting": secrets.token_hex(16)},
    )
    return Sitting(plan, task, role, player, seed, idle, first)


def _person(run: Run, stage: str, name: str) -> str:
    """The player that a person of this name is; as it was written first, if they have played before. ConfigError."""
    player = human(name)
    earlier = {one for sat in run.store.studies.played(stage) for one in sat.players if is_human(one)}
    spelled = (one for one in sorted(earlier) if folded(one) == folded(player))
    return player if player in earlier else next(spelled, player)


def keep(run: Run, task: SocialTask, episode: Episode) -> tuple[Rating, ...]:
    """Stores what was played, with the verifier's ratings where there are any, which are returned. StoreError."""
    ratings = verify(task, episode) if episode.completed and task.scenario.verified else ()
    run.store.add_episode(episode, ratings)
    run.keep_spending()
    return ratings


def to_be_judged(run: Run, task: SocialTask, episode: Episode) -> bool:
    """Whether the run's judge rates such an episode."""
    settings = run.config.judge
    return episode.completed and settings is not None and (settings.also_verified or not task.scenario.verified)


async def judge(run: Run, task: SocialTask, episode: Episode) -> tuple[Rating, ...]:
    """The ratings of the run's judge, stored; none where there is no judge. ModelError, ConfigError, ServiceError."""
    settings = run.config.judge
    if settings is None or not to_be_judged(run, task, episode):
        return ()
    ratings: list[Rating] = []
    for spec in settings.models:
        ratings += await _judged_by(run, spec, settings, task, episode)
    ratings += judging.together(run, settings, episode.key, ratings)
    await asyncio.to_thread(run.store.add_ratings, ratings)
    await asyncio.to_thread(run.keep_spending)
    return tuple(ratings)


async def _judged_by(run: Run, spec: str, settings: JudgeConfig, task: SocialTask, episode: Episode) -> list[Rating]:
    """The ratings of one model, all samples."""
    with ExitStack() as stack:
        opening = open_judge(spec, settings, run.prompts.folder, run.config.runtime, run.remotes)
        asked = await asyncio.to_thread(stack.enter_context, opening)  # weights take a while
        return [rating for n in range(settings.samples) for rating in await asked.rate(task, episode, n)]
