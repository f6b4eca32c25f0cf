"""Harmful goals in a run: playing the scenarios that have one, and having the episodes read.

The episodes of policy P are in the stage "safety/P". Readings of intentions are stored as ratings of the cue lists and
of each judge by themselves. Measuring what is stored is in watching.py.
"""

from __future__ import annotations

import asyncio
import random
from collections.abc import Iterator, Sequence

from tqdm import tqdm

from sotopia_pi.config import EXPERT, PARTNER, JudgeConfig
from sotopia_pi.episodes.play import Plan
from sotopia_pi.episodes.records import Episode
from sotopia_pi.errors import ConfigError
from sotopia_pi.models.protocol import Sampling
from sotopia_pi.pipeline.stages import Facts, once, policies, say_invalid
from sotopia_pi.ratings.judge import rate_all
from sotopia_pi.ratings.opening import judge_model
from sotopia_pi.ratings.records import Rating
from sotopia_pi.ratings.safety import RULES, read_intentions
from sotopia_pi.ratings.safety.judge import safety_judge, safety_prompts, safety_rater
from sotopia_pi.records import derive_seed
from sotopia_pi.rundir import Run
from sotopia_pi.world import Scenario, SocialTask, is_harmful, safety_scenarios

#: The task group of a run's own harmful-goal tasks, and that of all of them.
GROUP, WHOLE = "safety", "starter/safety"
_SCRIPTED = "scripted:"


def stage(policy: str) -> str:
    """The name under which a policy's harmful-goal episodes are stored."""
    return f"safety/{policy}"


def drawn_scenarios(count: int, seed: int) -> list[Scenario]:
    """`count` scenarios with a harmful goal, drawn so that every kind comes before one comes twice. ConfigError."""
    kinds: dict[str, list[Scenario]] = {}
    for scenario in safety_scenarios():
        kinds.setdefault(scenario.kind, []).append(scenario)
    if count > len(safety_scenarios()):
        raise ConfigError(f"world.safety is {count}, and there are {len(safety_scenarios())} such scenarios.")
    draw = random.Random(derive_seed(seed, GROUP))
    shuffled = [draw.sample(group, len(group)) for group in kinds.values()]
    rounds = [[group[n] for group in shuffled if n < len(group)] for n in range(max(map(len, shuffled)))]
    return [scenario for each in rounds for scenario in draw.sample(each, len(each))][:count]


def partner(run: Run) -> str:
    """Whom policies play against where a goal is harmful: a model, because scripts play only verified scenarios."""
    models = run.config.models
    given = run.config.safety.partner or models.partner
    return models.policy if given.startswith(_SCRIPTED) else given


def evaluate_safety(run: Run) -> None:
    """Plays every policy against the partner in both roles of the run's harmful-goal tasks; nothing without any."""
    tasks = run.store.tasks(GROUP)
    sampling = run.config.evaluation_sampling()
    for policy in policies(run) if tasks else ():
        if policy == EXPERT and run.config.models.expert.startswith(_SCRIPTED):
            continue

        def work(policy: str = policy) -> Facts:
            plans = [
                Plan(
                    stage=stage(policy),
                    task_id=task.id,
                    players=tuple(policy if seat == role else PARTNER for seat in task.roles),
                    repeat=repeat,
                    max_turns=run.config.max_turns,
                    conditions={**run.conditions(sampling), "partner": partner(run)},
                )
                for task in tasks
                for role in task.roles
                for repeat in range(run.config.evaluation.repeats)
            ]
            played = run.play(f"safety {policy}", plans, sampling, {PARTNER: partner(run)})
            return {**played, **read(run, stage(policy), run.config.judge)}

        facts = once(run, stage(policy), work)
        run.say(f"safety     {policy}: {facts['completed']} episodes with a harmful goal, {facts['failed']} failed")
        say_invalid(run, stage(policy))


def read(run: Run, name: str, judge: JudgeConfig | None = None, retry_failed: bool = False) -> Facts:
    """Has the harmful-goal episodes of a stage read by the cue lists and, if there is one, by a judge.

    What a judge has read is not asked for again. Returns how many readings of roles are stored, and how many failed.
    ModelError, ConfigError.
    """
    harmful = [(episode.key, task) for episode, task in _harmful(run, name)]
    have = {rating.episode for rating in run.store.ratings(name, RULES)}
    for key, task in () if run.store.read_only else harmful:  # they are read again wherever they are reported
        if key not in have:
            run.store.add_ratings(read_intentions(task, run.store.episode(key)))
    if judge is None or not harmful:
        return {}
    rater = rater_of(run, judge)
    if retry_failed:
        run.store.drop_failed_ratings(name, rater)
    have = {rating.episode for rating in run.store.ratings(name, rater)}
    missing = [(key, task) for key, task in harmful if key not in have]
    if missing:
        _judge(run, name, judge, missing)
    ratings = [rating.failure is not None for rating in run.store.ratings(name, rater)]
    return {"read": len(ratings), "read_failed": sum(ratings)}


def rater_of(run: Run, judge: JudgeConfig) -> str:
    """How a judge that reads safety is called in the ratings of a run; of a panel the first judge reads."""
    return safety_rater(judge.models[0], safety_prompts(run.prompts.folder))


def _harmful(run: Run, name: str) -> Iterator[tuple[Episode, SocialTask]]:
    """The completed episodes of a stage that were played on a harmful goal."""
    known: dict[str, SocialTask] = {}
    for episode in run.store.episodes(name):
        if episode.task_id not in known:
            known[episode.task_id] = run.store.task(episode.task_id)
        if episode.completed and is_harmful(known[episode.task_id].scenario):
            yield episode, known[episode.task_id]


def _judge(run: Run, name: str, settings: JudgeConfig, missing: Sequence[tuple[str, SocialTask]]) -> None:
    drawn = settings.sampling
    sampling = Sampling(drawn.temperature, drawn.top_p, drawn.max_tokens)
    with (
        judge_model(settings.models[0], run.config.runtime, run.remotes) as model,
        tqdm(total=len(missing), desc=f"read {name}", unit="episode", disable=run.quiet) as bar,
    ):
        judge = safety_judge(settings.models[0], model, sampling, safety_prompts(run.prompts.folder))

        def keep(ratings: Sequence[Rating]) -> None:
            run.store.add_ratings(ratings)
            run.keep_spending()
            bar.update()

        jobs = ((task, run.store.episode(key), 0) for key, task in missing)
        asyncio.run(rate_all(judge, jobs, keep, run.config.runtime.concurrency))
