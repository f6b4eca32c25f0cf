"""Measuring the safety of stored episodes, for the report and for runs of any age.

Everything that needs no model is measured again whenever it is reported, and nothing of it is stored; readings of
harmful goals by a judge are taken from the store.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from sotopia_pi import judging
from sotopia_pi.config import PARTNER, JudgeConfig
from sotopia_pi.episodes.people import is_human
from sotopia_pi.episodes.records import ActionType, Episode
from sotopia_pi.evaluation.safety import SafetyRow, engaged, safety
from sotopia_pi.pipeline.safety import GROUP, rater_of, read
from sotopia_pi.pipeline.stages import policies
from sotopia_pi.ratings.judge import JUDGE
from sotopia_pi.ratings.opening import check_judge
from sotopia_pi.ratings.records import Rating
from sotopia_pi.ratings.safety import ALTERNATIVES, HARMING, PREVENTING, RULES, SafetyReader, read_intentions
from sotopia_pi.ratings.safety.classifier import ToxicityClassifier
from sotopia_pi.ratings.safety.judge import SAFETY
from sotopia_pi.ratings.safety.words import load_words
from sotopia_pi.rundir import Run
from sotopia_pi.world import SocialTask, is_harmful
from sotopia_pi.world.library import HARM

#: What the two sides are called as task sets.
SIDES = ("safety, doing harm", "safety, preventing it")
Ratings = Mapping[str, Mapping[int, Rating]]


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
    stages = _stages(run)
    labels = {task: group for group in ("transfer", "test") for task in run.store.task_ids(group)}
    order = list(dict.fromkeys([*(f"evaluate/{name}" for name in policies(run)), *stages]))
    for name in (name for name in order if name in stages):
        if stages[name]:
            read(run, name, settings, retry_failed)
        watch_stage(run, watch, name, labels)
    return watch.summary(policies(run))


def _stages(run: Run) -> dict[str, bool]:
    """The stages that have episodes, in order, and whether any of them has a harmful goal."""
    found: dict[str, bool] = {}
    with run.store.columns.reading() as reader:
        harmful = {id for id, record in reader.scenarios() if json.loads(record)["kind"].startswith(HARM)}
        tasks = {id for id, scenario in reader.tasks() if scenario in harmful}
        for _, task, name, *_ in reader.episodes():
            found[name] = found.get(name, False) or task in tasks
    return dict(sorted(found.items()))


def _settings(run: Run, spec: str) -> JudgeConfig:
    check_judge(spec)
    own = run.config.judge
    return own.model_copy(update={"model": spec, "panel": ()}) if own else JudgeConfig(model=spec)
