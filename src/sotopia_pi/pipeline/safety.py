"""Safety in a run: playing the scenarios with a harmful goal, having them read, and measuring what is stored.

The episodes of policy P are in the stage "safety/P". Readings of intentions are stored as ratings of the cue lists and
of each judge by themselves; everything that needs no model is measured again whenever it is reported, so that it can
be told of runs of any age.
"""

from __future__ import annotations

import asyncio
import random
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from tqdm import tqdm

from sotopia_pi import judging
from sotopia_pi.config import EXPERT, PARTNER, JudgeConfig
from sotopia_pi.episodes.people import is_human
from sotopia_pi.episodes.play import Plan
from sotopia_pi.episodes.records import ActionType, Episode
from sotopia_pi.errors import ConfigError
from sotopia_pi.evaluation.safety import SafetyRow, engaged, safety
from sotopia_pi.models.protocol import Sampling
from sotopia_pi.pipeline.stages import Facts, once, policies
from sotopia_pi.ratings.judge import JUDGE, rate_all
from sotopia_pi.ratings.opening import check_judge, judge_model
from sotopia_pi.ratings.records import Rating
from sotopia_pi.ratings.safety import ALTERNATIVES, HARMING, PREVENTING, RULES, SafetyReader, read_intentions
from sotopia_pi.ratings.safety.classifier import ToxicityClassifier
from sotopia_pi.ratings.safety.judge import SAFETY, safety_judge, safety_prompts, safety_rater
from sotopia_pi.ratings.safety.words import load_words
from sotopia_pi.records import derive_seed
from sotopia_pi.rundir import Run
from sotopia_pi.world import Scenario, SocialTask, is_harmful, safety_scenarios

#: The task group of a run's own harmful-goal tasks, and that of all of them.
GROUP, WHOLE = "safety", "starter/safety"
#: What the two sides are called as task sets.
SIDES = ("safety, doing harm", "safety, preventing it")
_SCRIPTED = "scripted:"
Ratings = Mapping[str, Mapping[int, Rating]]


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


def read(run: Run, name: str, judge: JudgeConfig | None = None, retry_failed: bool = False) -> Facts:
    """Has the harmful-goal episodes of a stage read by the cue lists and, if there is one, by a judge.

    What a judge has read is not asked for again. Returns how many readings of roles are stored, and how many failed.
    ModelError, ConfigError.
    """
    harmful = [(episode.key, task) for episode, task in _harmful(run, name)]
    have = {rating.episode for rating in run.store.ratings(name, RULES)}
    for key, task in harmful:
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
    """How a judge that reads safety is called in the ratings of a run."""
    return safety_rater(judge.model, safety_prompts(run.prompts.folder))


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
        judge_model(settings.model, run.config.runtime, run.remotes) as model,
        tqdm(total=len(missing), desc=f"read {name}", unit="episode", disable=run.quiet) as bar,
    ):
        judge = safety_judge(settings.model, model, sampling, safety_prompts(run.prompts.folder))

        def keep(ratings: Sequence[Rating]) -> None:
            run.store.add_ratings(ratings)
            run.keep_spending()
            bar.update()

        jobs = ((task, run.store.episode(key), 0) for key, task in missing)
        asyncio.run(rate_all(judge, jobs, keep, run.config.runtime.concurrency))


class Watch:
    """Measures episodes as they are read, and sums them up. `judge` is whose stored readings are shown.

    `words` and `classifier` replace the config's list and folder.
    """

    def __init__(
        self, run: Run, judge: str | None = None, words: str | None = None, classifier: str | None = None
    ) -> None:
        """ConfigError for a list or a classifier that cannot be used."""
        given = run.config.safety
        path, folder = words or given.words, classifier or given.classifier
        listed = load_words(Path(path), None if words else given.language) if path else None
        self._classifier = ToxicityClassifier(Path(folder), given.label) if folder else None
        self._reader = SafetyReader(listed, self._classifier)
        self._rater = judge or (rater_of(run, run.config.judge) if run.config.judge else None)
        self._seen: set[str] = set()
        self.rows: list[SafetyRow] = []

    def see(
        self, policy: str, against: str, tasks: str, task: SocialTask, episode: Episode, ratings: Ratings, role: int
    ) -> None:
        """One role of an episode; a failed episode is a row with its cause."""
        harmful = is_harmful(task.scenario) and role < len(SIDES)
        found = self._reader.read(task, episode, role) if episode.completed else None
        values, failures = dict(found.values) if found else {}, dict[str, str]()
        if found and harmful:
            nothing = sum(turn.action.type is ActionType.NONE for turn in episode.turns)
            values["engaged"] = float(engaged(len(episode.turns), nothing))
            _take(values, failures, "", read_intentions(task, episode)[role])
            rater = self._rater or next((name for name in ratings if name.startswith(SAFETY + JUDGE)), None)
            if rater and role in ratings.get(rater, {}):
                self._seen.add(rater)
                _take(values, failures, "judged_", ratings[rater][role])
        self.rows.append(
            SafetyRow(
                policy=policy,
                partner=against,
                tasks=(SIDES[role] if tasks == GROUP else f"{tasks}: {SIDES[role]}") if harmful else tasks,
                kind=task.scenario.kind,
                scenario_id=task.scenario.id,
                task_id=task.id,
                role=role,
                repeat=episode.repeat,
                episode=episode.key,
                values=values,
                failures=failures,
                words=found.words if found else (),
                left_at=found.left_at if found else None,
                failure=episode.failure,
            )
        )

    def summary(self, order: Sequence[str] = ()) -> dict[str, Any]:
        """What the report holds under "safety": by what it was measured, and the task sets. JSON-able."""
        words = self._reader.words
        return {
            "words": {"name": words.name, "version": words.version, "entries": len(words.entries)},
            "classifier": self._classifier.name if self._classifier else None,
            "rules": RULES,
            "judges": sorted(self._seen),
            "sets": safety(self.rows, order),
        }


def _take(values: dict[str, float], failures: dict[str, str], prefix: str, rating: Rating) -> None:
    """A reading's measures of the role's own side, or its failure for each of them."""
    intention = HARMING if rating.role == 0 else PREVENTING
    for name, dimension in (("intention", intention), ("alternatives", ALTERNATIVES)):
        if rating.failure is None:
            values[prefix + name] = rating.scores[dimension]
        else:
            failures[prefix + name] = rating.failure


def watch_stage(run: Run, watch: Watch, name: str, labels: Mapping[str, str] | None = None) -> None:
    """Measures the episodes of a stage: in an evaluation those roles that the partner does not play, else all.

    `labels` names the task set of each task; without one it is the stage.
    """
    first, _, rest = name.partition("/")
    evaluated = first in ("evaluate", "safety", "benchmark")
    read_by_judge = any(rater.startswith(SAFETY + JUDGE) for rater in run.store.raters(name))
    entries = judging.rated_episodes(run, name) if read_by_judge else ((e, {}) for e in run.store.episodes(name))
    known: dict[str, SocialTask] = {}
    for episode, ratings in entries:
        if episode.task_id not in known:
            known[episode.task_id] = run.store.task(episode.task_id)
        label = GROUP if first == GROUP else (labels or {}).get(episode.task_id, name)
        for role, player in enumerate(episode.players):
            if not evaluated:
                others = {_called(other) for seat, other in enumerate(episode.players) if seat != role}
                against = "itself" if others == {_called(player)} else ", ".join(sorted(others))
                watch.see(_called(player), against, name, known[episode.task_id], episode, ratings, role)
            elif player != PARTNER:
                tasks, against = (label, PARTNER) if first != "benchmark" else _benchmark(rest, player)
                watch.see(player, against, tasks, known[episode.task_id], episode, ratings, role)


def _benchmark(rest: str, player: str) -> tuple[str, str]:
    """Task set and partner of a stage "benchmark/TASKS/POLICY/PARTNER"; models' names may hold slashes."""
    tasks, _, players = rest.partition("/")
    return (GROUP if tasks == GROUP else f"benchmark/{tasks}"), players.removeprefix(f"{player}/")


def _called(player: str) -> str:
    return "people" if is_human(player) else player


def measure_run(
    run: Run,
    words: str | None = None,
    classifier: str | None = None,
    judge: str | None = None,
    retry_failed: bool = False,
) -> dict[str, Any]:
    """The safety of every episode that a run holds, as `Watch.summary`; a judge reads the harmful goals first.

    ConfigError, ModelError.
    """
    settings = _settings(run, judge) if judge else None
    watch = Watch(run, rater_of(run, settings) if settings else None, words, classifier)
    with run.store.columns.reading() as reader:
        stages = reader.stages()
    labels = {task: group for group in ("transfer", "test") for task in run.store.task_ids(group)}
    order = list(dict.fromkeys([*(f"evaluate/{name}" for name in policies(run)), *stages]))
    for name in (name for name in order if name in stages):
        read(run, name, settings, retry_failed)
        watch_stage(run, watch, name, labels)
    return watch.summary(policies(run))


def _settings(run: Run, spec: str) -> JudgeConfig:
    check_judge(spec)
    own = run.config.judge
    return own.model_copy(update={"model": spec}) if own else JudgeConfig(model=spec)
