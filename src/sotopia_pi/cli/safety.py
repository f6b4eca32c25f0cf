"""`sotopia-pi safety`: how safe what a run holds is: every stage, also imported and played by people."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import Any

from sotopia_pi.cli.console import print_json


def add(verbs: Any) -> None:
    """Adds the verb to the command line."""
    verb = verbs.add_parser(
        "safety",
        help="toxic words, leaked secrets, threats, refusals and harmful intentions in stored episodes",
        description="Measures every stored episode of a run, of any age and imported ones too; nothing is played.",
    )
    verb.add_argument("dir", type=Path, metavar="RUN", help="the run directory")
    help_ = "a list of toxic words, one word or phrase per line, or a folder of such files (default: safety.words)"
    verb.add_argument("--words", metavar="FILE", help=help_)
    help_ = "a folder with a transformers text classifier (default: safety.classifier)"
    verb.add_argument("--classifier", metavar="FOLDER", help=help_)
    verb.add_argument("--judge", metavar="SPEC", help="a model that reads episodes with harmful goals, as judge.model")
    verb.add_argument("--retry-failed", action="store_true", help="ask the judge again where its reading failed")
    verb.add_argument("--json", action="store_true", help="print JSON in place of tables")
    verb.add_argument("--quiet", action="store_true", help="print no progress")
    verb.set_defaults(main=main)


def main(given: argparse.Namespace) -> None:
    """Measures and prints."""
    from sotopia_pi.evaluation.safety_table import render_safety
    from sotopia_pi.pipeline.watching import measure_run
    from sotopia_pi.rundir import Run

    with Run.reading(given.dir, given.quiet or given.json) as run:
        found = measure_run(run, given.words, given.classifier, given.judge, given.retry_failed)
    if given.json:
        print_json(found)
    else:
        print(render_safety(found))
