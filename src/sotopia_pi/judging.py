"""Rating stored episodes with a judge, and finding the ratings that a stage is selected and reported by.

Nothing is played here. What is planned (every completed episode, every sample) and not stored is rated, a few dozen at
a time, and each rating is stored when it arrives; so a killed rating goes on where it stopped.
"""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from itertools import groupby
from pathlib import Path
from typing import Any

from tqdm import tqdm

from sotopia_pi.config import JudgeConfig
from sotopia_pi.episodes.records import Episode
from sotopia_pi.errors import ConfigError
from sotopia_pi.models.answers import advice
from sotopia_pi.printable import one_line
from sotopia_pi.ratings.calibration import read_calibration
from sotopia_pi.ratings.combine import combined
from sotopia_pi.ratings.judge import Job, rate_all, unusable
from sotopia_pi.ratings.opening import judge_name, open_judge
from sotopia_pi.ratings.panel import is_judge, panel_name, panel_ratings
from sotopia_pi.ratings.records import Rating
from sotopia_pi.ratings.verifier import VERIFIER
from sotopia_pi.rundir import Run
from sotopia_pi.world.records import SocialTask

#: Ratings of a panel that are stored in one transaction.
_AT_ONCE = 200
#: From this share of failed ratings on it is said why they failed, by so many causes, with so much of a reason each.
_MANY_FAILED, _CAUSES, _REASON = 0.05, 3, 200


def rater_of(run: Run, settings: JudgeConfig) -> str:
    """How a judge with these settings is called in the ratings of a run."""
    names = raters_of(run, settings)
    return panel_name(names, settings.combine) if settings.panel else names[0]


def raters_of(run: Run, settings: JudgeConfig) -> list[str]:
    """The names of everybody who rates with these settings: the judge, or all judges of the panel."""
    return [judge_name(model, settings, run.prompts.folder) for model in settings.models]


def primary(run: Run, task: SocialTask) -> str:
    """Whose ratings count for a task: the verifier's where a program can tell, else those of the run's judge."""
    judge = run.config.judge
    return VERIFIER if task.scenario.verified or judge is None else rater_of(run, judge)


def judge_stage(run: Run, stage: str) -> dict[str, Any]:
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
) -> dict[str, Any]:
    """Rates the completed episodes of a stage with any judge; ratings that are stored are not asked for again.

    Returns how many ratings of roles are stored then and how many of them failed, and why. ModelError, ConfigError.
    """
    if settings.panel:
        return _judge_as_panel(run, stage, settings, also_verified, retry_failed)
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
        _rate(run, stage, settings, tasks, missing)
    return _facts(run.store.ratings(stage, rater))


def _facts(ratings: Iterable[Rating]) -> dict[str, Any]:
    """How many ratings of roles there are and how many failed, by what begins their reasons, with one reason each."""
    found = [rating.failure for rating in ratings]
    failures = [why for why in found if why is not None]
    causes = Counter(why.partition(":")[0] for why in failures).most_common()
    reasons = {why.partition(":")[0]: why for why in reversed(failures)}
    facts: dict[str, Any] = {"judged": len(found), "judge_failed": len(failures)}
    return facts | ({"judge_failures": [[count, reasons[cause]] for cause, count in causes]} if failures else {})


def failures_said(facts: Mapping[str, Any]) -> list[str]:
    """Why many of a judge's ratings failed, a sentence for each of the most frequent causes; none where few failed."""
    if facts["judge_failed"] < _MANY_FAILED * facts["judged"]:
        return []
    said = []
    for count, why in facts.get("judge_failures", [])[:_CAUSES]:
        help_ = advice(why.partition(":")[0].removeprefix(unusable("")), "judge")
        said.append(f"{count} × {one_line(why, _REASON)}" + (f" ({help_})" if help_ else ""))
    return said


def _judge_as_panel(
    run: Run, stage: str, settings: JudgeConfig, also_verified: bool, retry_failed: bool
) -> dict[str, Any]:
    """Every judge of a panel rates, and what they say together is stored as the panel's rating."""
    for model in settings.panel:
        alone = settings.model_copy(update={"model": model, "panel": ()})
        judge_with(run, stage, alone, also_verified=also_verified, retry_failed=retry_failed)
    raters = raters_of(run, settings)
    made = [
        rating
        for episode, found in rated_episodes(run, stage)
        for rating in panel_ratings(episode.key, found, raters, settings.combine)
    ]
    for start in range(0, len(made), _AT_ONCE):
        run.store.add_ratings(made[start : start + _AT_ONCE])
    return _facts(made)


def together(run: Run, settings: JudgeConfig, episode: str, ratings: Sequence[Rating]) -> list[Rating]:
    """The panel's ratings of an episode from those of its judges; none where there is no panel."""
    if not settings.panel:
        return []
    return panel_ratings(episode, combined(ratings), raters_of(run, settings), settings.combine)


def calibration_of(run: Run) -> Callable[[Rating], Rating]:
    """What `judge.calibration` makes of a rating before it is selected by; ConfigError where it is another judge's."""
    judge = run.config.judge
    if judge is None or judge.calibration is None:
        return lambda rating: rating
    found = read_calibration(Path(judge.calibration))
    own = rater_of(run, judge)
    if found.rater != own:
        raise ConfigError(
            f"judge.calibration is that of {found.rater}, and the judge of this run is {own}; audit this judge "
            "with the same prompts and dimensions, or remove the calibration."
        )
    return found.applied


def _rate(
    run: Run,
    stage: str,
    settings: JudgeConfig,
    tasks: dict[str, SocialTask],
    missing: Sequence[tuple[str, int]],
) -> None:
    def jobs() -> Iterator[Job]:
        for key, sample in missing:  # read one by one: the episodes of a large stage need not fit into memory
            episode = run.store.episode(key)
            yield tasks[episode.task_id], episode, sample

    with (
        open_judge(settings.model, settings, run.prompts.folder, run.config.runtime, run.remotes) as judge,
        tqdm(total=len(missing), desc=f"judge {stage}", unit="episode", disable=run.quiet) as bar,
    ):

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
    return [rater for rater in run.store.raters(stage) if is_judge(rater)]
