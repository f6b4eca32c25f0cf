"""What a judge is audited on: completed episodes of verified tasks, with the verifier's GOAL for both roles.

Without a run they are played by scripted players of all styles on tasks of all kinds, some cut short, so that outcomes
spread over the whole scale. With a run they are those of its evaluation, as many of each policy, on the same tasks.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from random import Random

from sotopia_pi.auditing.opening import in_turns
from sotopia_pi.config import EXPERT
from sotopia_pi.environments import GOAL, kinds
from sotopia_pi.environments.players import POPULATIONS
from sotopia_pi.episodes.play import Plan
from sotopia_pi.episodes.records import Episode
from sotopia_pi.errors import ConfigError
from sotopia_pi.evaluation import matchups
from sotopia_pi.ratings.verifier import verify
from sotopia_pi.records import derive_seed
from sotopia_pi.rundir import Run
from sotopia_pi.world import SocialTask, cast, starter_world
from sotopia_pi.world.verified import generate

ORIGINAL, ALTERED, PEOPLE = "audit/original", "audit/altered", "audit/people"
_GROUP = "audit"
#: After how many turns an episode is cut; most end before the longest.
_LENGTHS = (3, 5, 8, 14, 20)

#: A task, a role of it and a repeat: what every policy of a run plays.
_Unit = tuple[str, int, int]


@dataclass(frozen=True, slots=True)
class Item:
    """A completed episode of a verified task. `truth` is the verifier's GOAL by role."""

    task: SocialTask
    episode: Episode
    truth: tuple[float, float]

    @property
    def scenario(self) -> str:
        """What clusters."""
        return self.task.scenario.id


def true_goals(task: SocialTask, episode: Episode) -> tuple[float, float]:
    """The verifier's GOAL by role."""
    first, second = (rating.scores[GOAL] for rating in verify(task, episode))
    return first, second


def scripted(run: Run, count: int, seed: int) -> list[Item]:
    """`count` episodes, each on a scenario of its own, played by scripted players of drawn styles."""
    world = starter_world()
    each = -(-count // len(kinds()))
    by_kind = [generate(kind, "dev", each, derive_seed("audit", kind, seed)) for kind in kinds()]
    scenarios = [scenario for row in zip(*by_kind, strict=True) for scenario in row][:count]
    tasks = [cast(scenario, world.characters, world.ties, seed)[0] for scenario in scenarios]
    run.store.add_tasks(_GROUP, tasks)
    styles = [temper.name for population in POPULATIONS.values() for temper in population.tempers]
    plans = []
    for number, task in enumerate(tasks):
        drawn = Random(derive_seed("audit plan", seed, number))
        players = (drawn.choice(styles), drawn.choice(styles))
        length = drawn.choice(_LENGTHS)
        plans.append(
            Plan(stage=ORIGINAL, task_id=task.id, players=players, max_turns=length, conditions={"seed": seed})
        )
    run.play("play", plans, run.config.sampling, {style: f"scripted:{style}" for style in styles})
    found = {episode.key: episode for episode in run.store.episodes(keys=[plan.id for plan in plans])}
    pairs = [(task, found[plan.id]) for task, plan in zip(tasks, plans, strict=True)]
    return _items([(task, episode) for task, episode in pairs if episode.completed])


def taken(run: Run, source: Run, count: int, seed: int) -> tuple[list[Item], list[str]]:
    """Up to `count` episodes of the evaluation of another run, and its policies in order of training.

    The same tasks, roles and repeats of every policy come first, so that policies can be paired. ConfigError when
    there are none.
    """
    names = [policy for policy in _policies(source) if source.store.counts(matchups.stage(policy))[0]]
    tasks = _tasks(source)
    units: dict[_Unit, dict[str, Episode]] = defaultdict(dict)
    for policy in names:
        for episode in source.store.episodes(matchups.stage(policy)):
            if episode.completed and episode.task_id in tasks:
                units[episode.task_id, episode.players.index(policy), episode.repeat][policy] = episode
    order = _spread(units, seed)
    chosen: list[Item] = []
    for unit in order:
        if len(chosen) >= count:
            break
        chosen += _items([(tasks[unit[0]], units[unit][policy]) for policy in names if policy in units[unit]])
    if not chosen:
        raise ConfigError(
            f"{source.folder} has no evaluated episode of a verified task whose outcome was declared in terms; run its "
            "evaluation first, or audit without --run."
        )
    chosen = chosen[: max(count, len(names))]
    run.store.add_tasks(_GROUP, list({item.task.id: item.task for item in chosen}.values()))
    run.store.add_episodes([(item.episode.model_copy(update={"stage": ORIGINAL}), ()) for item in chosen])
    return chosen, [name for name in names if name != EXPERT]


def _spread(units: Mapping[_Unit, Mapping[str, Episode]], seed: int) -> list[_Unit]:
    """The units that most policies played first, and of those one per task before the second of any."""
    drawn = sorted(units, key=lambda unit: derive_seed("audit", seed, *unit))
    return sorted(in_turns(drawn, lambda unit: unit[0]), key=lambda unit: -len(units[unit]))


def _policies(source: Run) -> list[str]:
    return ["base", *(item.name for item in source.config.rounds), EXPERT]


def _tasks(source: Run) -> dict[str, SocialTask]:
    tasks = [*source.store.tasks("test"), *source.store.tasks("transfer")]
    return {task.id: task for task in tasks if task.scenario.environment is not None}


def _items(pairs: Sequence[tuple[SocialTask, Episode]]) -> list[Item]:
    return [Item(task, episode, true_goals(task, episode)) for task, episode in pairs]
