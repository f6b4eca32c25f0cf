"""Bias of a judge: the same transcript with one attribute of one role exchanged must get the same scores.

Everything is stored in the audit's own folder, so a stopped audit goes on where it stopped and no rating is paid for
twice.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Collection, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from sotopia_pi import judging
from sotopia_pi.auditing import material as scripted
from sotopia_pi.auditing import opening
from sotopia_pi.auditing.bias import material, results
from sotopia_pi.environments import GOAL
from sotopia_pi.episodes.recasting import ATTRIBUTES, Contrast
from sotopia_pi.errors import ConfigError
from sotopia_pi.evaluation.bias import Shown, bias_page, bias_table, noise
from sotopia_pi.ratings.opening import check_judge
from sotopia_pi.ratings.records import DIMENSIONS, Rating
from sotopia_pi.rundir import Run

OVERALL, PARTNER_GOAL = "overall", "partner_goal"


@dataclass(frozen=True, slots=True)
class JudgeAsked:
    """What is audited and how: the judge's spec, how many episodes and of which attributes.

    `run` is a run directory whose episodes are taken (those of `stage`, or the evaluation's) in place of scripted
    ones. `max_tokens` bounds the judge's reply.
    """

    judge: str
    run: Path | None = None
    stage: str | None = None
    attributes: tuple[str, ...] = ATTRIBUTES
    n: int = 60
    seed: int = 1
    max_tokens: int | None = None
    retry_failed: bool = False
    budget: float | None = None
    out: Path | None = None
    quiet: bool = False

    @property
    def folder(self) -> Path:
        """Where everything is kept."""
        if self.out is not None:
            return self.out
        return Path("runs") / f"bias-{opening.folder_name(self.judge)}"


def run_bias(asked: JudgeAsked) -> dict[str, Any]:
    """Recasts, rates, measures and writes; returns what bias.json holds. ConfigError, ModelError, StoreError, …"""
    contrasts = results.chosen(asked.attributes)
    _check(asked)
    with ExitStack() as stack:
        source = None if asked.run is None else opening.source_run(asked.run, stack)
        config = opening.audit_config("bias", asked.judge, source, asked.seed, asked.max_tokens)
        run = stack.enter_context(Run.open(asked.folder, config, asked.quiet, asked.budget))
        what = f"{asked.stage or 'the evaluation'} of {source.config.name!r}" if source else opening.SCRIPTED_PLAYERS
        opening.keep_source(run, what)
        made = _audit(run, source, asked, contrasts)
        opening.write_result(run.folder, "bias", made, bias_page(made))
        opening.say_result(run, bias_table(made), "bias.html")
    return made


def _check(asked: JudgeAsked) -> None:
    check_judge(asked.judge)
    if asked.n < 1:
        raise ConfigError(f"--n is {asked.n}; give at least one episode.")
    opening.check_tokens(asked.max_tokens)
    if asked.stage is not None and asked.run is None:
        raise ConfigError("--stage names episodes of a run; give the run with --run.")


def _audit(run: Run, source: Run | None, asked: JudgeAsked, contrasts: Sequence[Contrast]) -> dict[str, Any]:
    settings = run.config.judge
    if settings is None:
        raise ConfigError(f"{asked.folder} holds a run and no audit; give another --out.")
    if source is None:
        played = [(item.task, item.episode) for item in scripted.scripted(run, asked.n, asked.seed)]
    else:
        played = material.taken(source, asked.n, asked.seed, asked.stage)
    shown = material.recast_all(played, contrasts)
    material.store(run, played, shown)
    judge = judging.rater_of(run, settings)
    twice = settings.model_copy(update={"samples": 2})
    judging.judge_with(run, material.ORIGINAL, twice, retry_failed=asked.retry_failed)
    if shown.units:
        judging.judge_with(run, material.RECAST, settings, retry_failed=asked.retry_failed)
    keys = {v.episode.key for unit in shown.units for v in unit.versions.values() if v.episode is not None}
    originals = {episode.key for _, episode in played}
    failures: Counter[str] = Counter()
    recast = _ratings(run, material.RECAST, judge, keys, failures)
    again = _ratings(run, material.ORIGINAL, judge, originals, failures)
    measures = [*DIMENSIONS, *(own.name for own in settings.dimensions), OVERALL, PARTNER_GOAL]
    facts = [
        f"{len(played)} episodes on {len({task.scenario.id for task, _ in played})} scenarios, from "
        f"{run.store.meta(opening.SOURCE)}; {len(keys)} recast versions.",
        f"{len(recast) + len(again)} ratings of roles, and {sum(failures.values())} that failed.",
    ]
    return results.content(
        judge, facts, contrasts, _rows(shown, recast), measures, shown, failures, _noise(again, measures)
    ) | {"judge": judge, "n_episodes": len(played)}


Ratings = Mapping[tuple[str, int, int], Rating]


def _ratings(run: Run, stage: str, rater: str, keys: Collection[str], failures: Counter[str]) -> Ratings:
    """The ratings of a stage that were given, by (episode, role, sample); those that failed are counted by cause."""
    found = {}
    for rating in run.store.ratings(stage, rater):
        if rating.episode not in keys:
            continue
        if rating.failure is None:
            found[rating.episode, rating.role, rating.sample] = rating
        else:
            failures[rating.failure.split(":", 1)[0]] += 1
    return found


def _scores(own: Rating, others: Sequence[Rating]) -> dict[str, float]:
    scores = dict(own.scores)
    if own.overall is not None:
        scores[OVERALL] = own.overall
    goals = [rating.scores[GOAL] for rating in others if GOAL in rating.scores]
    if goals:
        scores[PARTNER_GOAL] = sum(goals) / len(goals)
    return scores


def _rows(shown: material.Material, ratings: Ratings) -> list[Shown]:
    """What every version was given: the recast role's scores, and the GOAL of the partner."""
    rows = []
    for unit in shown.units:
        for group, version in unit.versions.items():
            key = "" if version.episode is None else version.episode.key
            own = ratings.get((key, version.role, 0))
            others = [ratings.get((key, role, 0)) for role in version.task.roles if role != version.role]
            if own is not None:
                scores = _scores(own, [rating for rating in others if rating is not None])
                rows.append(Shown(unit.contrast, group, unit.name, unit.scenario, scores))
    return rows


def _noise(ratings: Ratings, measures: Sequence[str]) -> dict[str, dict[str, Any]]:
    """What a second rating of the unaltered episodes changes."""
    pairs: dict[str, list[tuple[float, float]]] = defaultdict(list)
    for (key, role, sample), first in ratings.items():
        second = ratings.get((key, role, 1))
        if sample == 0 and second is not None:
            one, two = _scores(first, ()), _scores(second, ())
            for measure in one.keys() & two.keys():
                pairs[measure].append((one[measure], two[measure]))
    return noise({measure: pairs[measure] for measure in measures if measure != PARTNER_GOAL})
