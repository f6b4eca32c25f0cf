"""Rating stored episodes with a judge, and finding the ratings that a stage is selected and reported by.

Nothing is played here. What is planned (every completed episode, every sample) and not stored is rated, a few dozen at
a time, and each rating is stored when it arrives; so a killed rating goes on where it stopped.
"""

from __future__ import annotations

import asyncio
from collections.abc import Iterator, Sequence
from itertools import groupby

from tqdm import tqdm

from sotopia_pi.config import JudgeConfig
from sotopia_pi.episodes.records import Episode
from sotopia_pi.models.protocol import Sampling
from sotopia_pi.prompts import Prompts
from sotopia_pi.ratings.combine import combined
from sotopia_pi.ratings.dimensions import dimensions
from sotopia_pi.ratings.judge import JUDGE, Job, Judge, judge_prompts, rate_all, rater_name
from sotopia_pi.ratings.opening import judge_model
from sotopia_pi.ratings.records import Rating
from sotopia_pi.ratings.verifier import VERIFIER
from sotopia_pi.rundir import Run
from sotopia_pi.world.records import SocialTask


def texts(run: Run) -> Prompts:
    """The judge's prompt texts of a run."""
    folder = run.prompts.folder
    return judge_prompts(folder)


def rater_of(run: Run, settings: JudgeConfig) -> str:
    """How a judge with these settings is called in the ratings of a run."""
    return rater_name(settings.model, dimensions(settings.dimensions), texts(run))


def primary(run: Run, task: SocialTask) -> str:
    """Whose ratings count for a task: the verifier's where a program can tell, else those of the run's judge."""
    judge = run.config.judge
    return VERIFIER if task.scenario.verified or judge is None else rater_of(run, judge)


def judge_stage(run: Run, stage: str) -> dict[str, int]:
    """Rates the episodes of a stage that the run's own judge is to rate; nothing where there is no judge."""
    settings = run.config.judge
    if settings is None:
        return {}
    return judge_with(run, stage, settings, also_verified=settings.also_verified or _selects(run, stage))


def _selects(run: Run, stage: str) -> bool:
    """Whether a round asks for the judge's ratings of all its episodes."""
    return any(stage in (f"collect/{item.name}", item.episodes) and item.rater == "judge" for item in run.config.rounds)


def judge_with(
    run: Run, stage: str, settings: JudgeConfig, *, also_verified: bool = True, retry_failed: bool = False
) -> dict[str, int]:
    """Rates the completed episodes of a stage with any judge; ratings that are stored are not asked for again.

    Returns how many ratings of roles are stored then and how many of them failed. ModelError, ConfigError.
    """
    rater = rater_of(run, settings)
    if retry_failed:
        run.store.drop_failed_ratings(stage, rater)
    stored = {(rating.episode, rating.sample) for rating in run.store.ratings(stage, rater)}
    wanted = [
        (episode.key, episode.task_id)
        for episode in run.store.episodes(stage)
        if episode.completed and any((episode.key, sample) not in stored for sample in range(settings.samples))
    ]
    tasks = {task_id: run.store.task(task_id) for task_id in dict.fromkeys(task_id for _, task_id in wanted)}
    missing = [
        (key, sample)
        for key, task_id in wanted
        if also_verified or not tasks[task_id].scenario.verified
        for sample in range(settings.samples)
        if (key, sample) not in stored
    ]
    if missing:
        _rate(run, stage, settings, rater, tasks, missing)
    ratings = [rating.failure is not None for rating in run.store.ratings(stage, rater)]
    return {"judged": len(ratings), "judge_failed": sum(ratings)}


def _rate(
    run: Run,
    stage: str,
    settings: JudgeConfig,
    rater: str,
    tasks: dict[str, SocialTask],
    missing: Sequence[tuple[str, int]],
) -> None:
    drawn = settings.sampling
    sampling = Sampling(drawn.temperature, drawn.top_p, drawn.max_tokens)

    def jobs() -> Iterator[Job]:
        for key, sample in missing:  # read one by one: the episodes of a large stage need not fit into memory
            episode = run.store.episode(key)
            yield tasks[episode.task_id], episode, sample

    with (
        judge_model(settings.model, run.config.runtime, run.remotes) as model,
        tqdm(total=len(missing), desc=f"judge {stage}", unit="episode", disable=run.quiet) as bar,
    ):
        judge = Judge(rater, model, sampling, dimensions(settings.dimensions), texts(run))

        def keep(ratings: Sequence[Rating]) -> None:
            run.store.add_ratings(ratings)
            run.keep_spending()
            bar.update()

        asyncio.run(rate_all(judge, jobs(), keep, run.config.runtime.concurrency))


def rated_episodes(run: Run, stage: str) -> Iterator[tuple[Episode, dict[str, dict[int, Rating]]]]:
    """The episodes of a stage, each with its ratings by rater and role, samples as their mean.

    Episodes and ratings both come in the order of keys, so that only a few hundred are in memory at once.
    """
    groups = groupby(run.store.ratings(stage), key=lambda rating: rating.episode)
    key, ratings = next(groups, (None, iter(())))
    for episode in run.store.episodes(stage):
        if key != episode.key:
            yield episode, {}
            continue
        yield episode, combined(ratings)
        key, ratings = next(groups, (None, iter(())))


def rated_episode(run: Run, key: str, rater: str) -> tuple[Episode, dict[int, Rating]]:
    """An episode with a rater's ratings by role, samples as their mean."""
    return run.store.episode(key), combined(run.store.ratings(episode=key)).get(rater, {})


def judges_of(run: Run, stage: str) -> list[str]:
    """The judges that have rated episodes of a stage."""
    return [rater for rater in run.store.raters(stage) if rater.startswith(JUDGE)]
