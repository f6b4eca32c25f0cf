"""What a stage is: done once, its facts stored; and which stages a run has."""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Iterable, Sequence
from typing import Any

from sotopia_pi import judging
from sotopia_pi.config import BASE, EXPERT, RoundConfig
from sotopia_pi.errors import ConfigError
from sotopia_pi.evaluation import matchups
from sotopia_pi.evaluation.causes import invalid_turns, pointed_out
from sotopia_pi.ratings.judge import JUDGE
from sotopia_pi.ratings.safety.judge import SAFETY
from sotopia_pi.rundir import Run

Facts = dict[str, Any]
#: How the names of the stages begin in which the run itself plays, and of those that are played beside it.
PLAYING, BENCHMARK = ("collect", "evaluate", "safety"), "benchmark"


def once(run: Run, name: str, work: Callable[[], Facts]) -> Facts:
    """Does a stage once; its facts and seconds are stored when it is finished."""
    done = run.store.stage(name)
    if done is not None:
        return done
    started = time.monotonic()
    facts = work()
    facts["seconds"] = round(time.monotonic() - started, 1)
    run.store.finish_stage(name, facts)
    return facts


def need(run: Run, stage: str) -> None:
    """ConfigError when a stage that must come first is not finished."""
    if run.store.stage(stage) is None:
        verb = stage.partition("/")[0]
        raise ConfigError(f"The stage {stage} is not finished; run `sotopia-pi {verb} {run.folder}` first.")


def policies(run: Run) -> list[str]:
    """The policies of the run in the order of the report: base, one per round, expert."""
    return [BASE, *(item.name for item in run.config.rounds), EXPERT]


def stage_of(item: RoundConfig) -> str:
    """The stage whose episodes a round selects from: its own, or that of imported ones."""
    return item.episodes or f"collect/{item.name}"


def own_stages(run: Run) -> list[str]:
    """The names of all stages in which the run itself plays episodes, or takes them from, whether or not it has yet."""
    harmful = [f"safety/{policy}" for policy in policies(run)] if run.config.world.safety else []
    played = (stage_of(item) for item in run.config.rounds)
    return [*dict.fromkeys(played), *(matchups.stage(p) for p in policies(run)), *harmful]


def forget_failures(run: Run, verbs: Sequence[str] = PLAYING) -> None:
    """Drops failed episodes and ratings of the stages of these verbs, which are then made again.

    Not those of a round that is already trained. Failures of stages that no verb of the run plays again are named.
    """
    trained = {f"collect/{item.name}" for item in run.config.rounds if run.store.stage(f"train/{item.name}")}
    own = set(own_stages(run)) - trained
    for stage in run.store.stages_played():
        first = stage.partition("/")[0]
        if stage in own and first in verbs:
            judges = list(judging.raters_of(run, run.config.judge) if run.config.judge else [])
            judges += [rater for rater in run.store.raters(stage) if rater.startswith(SAFETY + JUDGE)]
            if run.store.drop_failed(stage) + sum(run.store.drop_failed_ratings(stage, rater) for rater in judges):
                run.store.reopen_stage(stage)
                run.store.reopen_stage(stage.replace("collect/", "select/", 1))
        elif first == BENCHMARK and set(verbs) == set(PLAYING) and (failed := run.store.counts(stage)[1]):
            run.say(
                f"not again  {stage}: {failed} failed; `sotopia-pi evaluate {run.folder} --policy … --retry-failed`, "
                "with the options of then, plays them again"
            )


def say_judged(run: Run, stage: str, facts: Facts) -> None:
    """Tells how much of a stage a judge rated, if one did."""
    if facts.get("judged"):
        run.say(f"judge      {stage}: {facts['judged']} ratings of roles, {facts['judge_failed']} of them failed")
        say_failures(run, facts)


def say_failures(run: Run, judged: Facts) -> None:
    """Tells why many of a judge's ratings failed."""
    for why in judging.failures_said(judged):
        run.say(f"           {why}")


def invalid_in(run: Run, stages: Iterable[str]) -> list[Facts]:
    """The invalid turns of stages by player and cause, as `evaluation.invalid_turns` counts them."""
    with run.store.columns.reading() as reader:
        rows = [row for stage in stages for row in reader.causes(stage)]
    return invalid_turns((json.loads(players)[role], valid, cause, n) for players, role, valid, cause, n in rows)


def say_invalid(run: Run, stage: str) -> None:
    """Tells where many turns of a stage are invalid for a cause that lies in how a model is run."""
    for why in pointed_out(invalid_in(run, [stage])):
        run.say(f"invalid    {why}")
