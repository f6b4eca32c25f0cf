"""`sotopia-pi run`: the whole method, from tasks to report; continues a run that exists."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import Any


def add(verbs: Any) -> None:
    """Adds the verb to the command line."""
    verb = verbs.add_parser(
        "run",
        help="the whole method: tasks, rounds of collect, select, train, then evaluation and report",
        description="Runs the whole method and continues it where it stopped. Without CONFIG: the bundled demo.",
    )
    help_ = "the config, or a run directory to continue (default: the demo)"
    verb.add_argument("config", nargs="?", type=Path, metavar="CONFIG.toml", help=help_)
    verb.add_argument("--out", type=Path, metavar="DIR", help="the run directory (default: runs/NAME)")
    verb.add_argument(
        "--set", action="append", default=[], metavar="KEY=VALUE", help="override a setting, e.g. training.epochs=1"
    )
    verb.add_argument("--quiet", action="store_true", help="print nothing but errors")
    verb.add_argument("--retry-failed", action="store_true", help="play episodes again that failed")
    add_budget(verb)
    verb.set_defaults(main=main)


def add_budget(verb: argparse.ArgumentParser) -> None:
    """Adds `--budget` to a verb that asks models."""
    help_ = "stop before the run has spent more than this on remote models, earlier sessions included"
    verb.add_argument("--budget", type=_dollars, metavar="USD", help=help_)


def _dollars(text: str) -> float:
    value = float(text)
    if not 0 < value < float("inf"):
        raise argparse.ArgumentTypeError(f"{text} is no amount of US dollars")
    return value


def main(given: argparse.Namespace) -> None:
    """Runs the pipeline."""
    from sotopia_pi import config, pipeline
    from sotopia_pi.rundir import Run, config_of, is_run

    out: Path | None = given.out
    if given.config is not None and is_run(given.config):
        out, given.config = out or given.config, None  # a run directory: continue it
    own = config_of(out, given.set) if out is not None and given.config is None else None
    chosen = own or config.load(given.config, given.set)
    folder = out or Path("runs") / chosen.name
    with Run.open(folder, chosen, given.quiet, given.budget) as run:
        if given.retry_failed:
            pipeline.forget_failures(run)
        pipeline.run_all(run)
