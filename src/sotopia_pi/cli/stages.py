"""One verb per stage, each working on a run directory: tasks, collect, rate, select, train, evaluate, report."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import TYPE_CHECKING, Any

from sotopia_pi.cli.numbers import whole
from sotopia_pi.cli.run import add_budget

if TYPE_CHECKING:
    from sotopia_pi.config import JudgeConfig, RoundConfig
    from sotopia_pi.rundir import Run

VERBS = {
    "tasks": "draw the social tasks of a run (and start the run)",
    "collect": "play the training episodes of a round",
    "rate": "rate stored episodes, again with the verifier or with any judge, without playing them",
    "select": "choose what a round imitates",
    "train": "fine-tune the policy of a round",
    "evaluate": "play every policy against the partner on the held-out tasks",
    "report": "write report.json and report.html and print the table",
}
_OF_A_ROUND = ("collect", "select", "train")
_ASKING = ("collect", "evaluate")


def add(verbs: Any) -> None:
    """Adds the verbs to the command line."""
    for name, text in VERBS.items():
        verb = verbs.add_parser(name, help=text, description=text[0].upper() + text[1:] + ".")
        verb.add_argument("dir", type=Path, metavar="DIR", help="the run directory")
        verb.add_argument("--quiet", action="store_true", help="print nothing but errors")
        if name == "tasks":
            verb.add_argument("--config", type=Path, metavar="CONFIG.toml", help="the config (default: the demo)")
            verb.add_argument("--set", action="append", default=[], metavar="KEY=VALUE", help="override a setting")
        if name in _OF_A_ROUND:
            verb.add_argument("--round", metavar="NAME", help="the round (default: all, in order)")
        if name == "rate":
            verb.add_argument("--stage", metavar="STAGE", help="such as collect/bc or evaluate/base (default: all)")
            verb.add_argument("--judge", metavar="SPEC", help="a model that rates all dimensions, as in judge.model")
            help_ = "by its reply, or by the probabilities of a local model (default: reply, or the config's)"
            verb.add_argument("--method", choices=["reply", "likelihood"], help=help_)
            verb.add_argument(
                "--samples", type=whole(), metavar="N", help="ratings per episode by the judge (default: 1)"
            )
            verb.add_argument("--retry-failed", action="store_true", help="ask the judge again where its rating failed")
        if name == "evaluate":
            _add_benchmark(verb)
        if name in _ASKING:
            verb.add_argument("--retry-failed", action="store_true", help="play episodes again that failed")
            add_budget(verb)
        verb.set_defaults(main=main)


def _add_benchmark(verb: argparse.ArgumentParser) -> None:
    group = verb.add_argument_group("one policy on a task set, beside the paper's rows")
    group.add_argument("--policy", metavar="NAME|SPEC", help="a policy of the run, or a model such as openai:MODEL@URL")
    group.add_argument("--partner", metavar="SPEC", help="whom it plays against (default: the config's partner)")
    group.add_argument("--judge", metavar="SPEC", help="who rates open tasks (default: the config's judge)")
    help_ = "test: the run's own; hard and all: SOTOPIA's, imported (140 and 180 episodes; all-900: every casting)"
    help_ += "; safety: harmful goals"
    group.add_argument("--tasks", choices=("test", "hard", "all", "all-900", "safety"), help=help_)


def _is_benchmark(given: argparse.Namespace) -> bool:
    """Whether `evaluate` is about one policy on a task set."""
    return any(getattr(given, name, None) for name in ("policy", "partner", "judge", "tasks"))


def _rate(run: Run, given: argparse.Namespace) -> None:
    """Rates one stage, or all that have episodes."""
    from sotopia_pi import pipeline

    if given.stage:
        run.store.check_stage(given.stage)
    judge = _judge(run, given.judge, given.samples, given.method)
    stages = [given.stage] if given.stage else run.store.stages_played()
    for stage in stages:
        pipeline.rate(run, stage, judge, given.retry_failed)
    if not stages:
        run.say(f"rate       nothing: {run.folder} holds no episodes yet")


def _benchmark(run: Run, given: argparse.Namespace) -> None:
    from sotopia_pi.benchmark import Benchmark, run_benchmark
    from sotopia_pi.errors import ConfigError

    if given.policy is None:
        raise ConfigError("--partner, --judge and --tasks are for one policy; name it with --policy.")
    judge = _judge(run, given.judge, None) or run.config.judge
    partner = given.partner or run.config.models.partner
    asked = Benchmark(given.policy, partner, given.tasks or "test", judge)
    run.say("\n" + run_benchmark(run, asked, given.retry_failed))


def main(given: argparse.Namespace) -> None:
    """Runs one stage."""
    from sotopia_pi import config, pipeline
    from sotopia_pi.errors import ConfigError
    from sotopia_pi.rundir import Run, config_of

    chosen = None
    retries = given.verb in _ASKING and given.retry_failed
    if given.verb == "tasks":
        own = None if given.config else config_of(given.dir, given.set)
        chosen = own or config.load(given.config, given.set)
    playing = given.verb not in ("rate", "report")
    with Run.open(given.dir, chosen, given.quiet, getattr(given, "budget", None), playing=playing) as run:
        if retries and not _is_benchmark(given):
            pipeline.forget_failures(run, ("collect",) if given.verb == "collect" else ("evaluate", "safety"))
        if given.verb in _OF_A_ROUND:
            for item in _rounds(run, given.round):
                getattr(pipeline, given.verb)(run, item)
        elif given.verb == "rate":
            _rate(run, given)
        elif given.verb == "evaluate" and _is_benchmark(given):
            _benchmark(run, given)
        elif given.verb == "report" and not run.store.stages_played():
            raise ConfigError(f"{run.folder} holds no episodes to report on; run `sotopia-pi run {run.folder}` first.")
        else:
            {"tasks": pipeline.prepare_tasks, "evaluate": pipeline.evaluate, "report": pipeline.report}[given.verb](run)


def _judge(run: Run, spec: str | None, samples: int | None, method: str | None = None) -> JudgeConfig | None:
    """The run's judge settings with another model, method or number of samples; None when nothing is asked for."""
    from sotopia_pi.config import JudgeConfig
    from sotopia_pi.errors import ConfigError
    from sotopia_pi.ratings.opening import check_judge, has_weights

    if spec is None and samples is None and method is None:
        return None
    own = run.config.judge
    if spec is None and own is None:
        raise ConfigError(f"--{'method' if samples is None else 'samples'} needs a judge; name one with --judge.")
    if samples is not None and not 1 <= samples <= 100:
        raise ConfigError(f"--samples is {samples}; give a number from 1 to 100.")
    settings = own or JudgeConfig(model=str(spec))
    changes: dict[str, Any] = {"samples": samples or settings.samples}
    if spec is not None:
        changes |= {"model": spec, "panel": (), "calibration": None}
    if method is not None or (spec is not None and not has_weights(spec)):
        changes["method"] = method or "reply"
    chosen = settings.model_copy(update=changes)
    for model in chosen.models:
        check_judge(model, chosen.method)
    return chosen


def _rounds(run: Run, name: str | None) -> tuple[RoundConfig, ...]:
    return (run.config.round(name),) if name else run.config.rounds
