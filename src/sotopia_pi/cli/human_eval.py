"""`sotopia-pi human-eval`: what people said of episodes, how far they agree, and a judge held against them."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import Any


def add(verbs: Any) -> None:
    """Adds the verb to the command line."""
    text = "scores that people gave: means, agreement, and judges held against them"
    verb = verbs.add_parser("human-eval", help=text, description=text[0].upper() + text[1:] + ".")
    verb.add_argument("annotations", type=Path, metavar="ANNOTATIONS.csv", help="one row per person and episode")
    verb.add_argument("episodes", type=Path, metavar="EPISODES.jsonl", help="the episodes that were rated")
    help_ = "the annotations and episodes of another condition, to be compared by scenario"
    verb.add_argument("--against", type=Path, nargs=2, metavar=("CSV", "JSONL"), help=help_)
    verb.add_argument("--target", metavar="MODEL", help="the model under test (default: the episodes' target_model)")
    verb.add_argument("--json", action="store_true", help="print JSON")
    verb.add_argument("--quiet", action="store_true", help="print no notes")
    verb.set_defaults(main=main)


def main(given: argparse.Namespace) -> None:
    """Prints the summary; rows that were left out are named on standard error."""
    import json
    import sys

    from sotopia_pi.evaluation.people import compare, summary
    from sotopia_pi.evaluation.people_table import render
    from sotopia_pi.interop.annotations import read_annotated

    conditions = []
    for rows, records in [(given.annotations, given.episodes), *([given.against] if given.against else [])]:
        rated, report = read_annotated(rows, records, given.target)
        conditions.append(rated)
        if (report.left_out or report.noted) and not given.quiet:
            print("\n".join(report.lines()), file=sys.stderr)
    content = summary(conditions[0])
    if given.against:
        content["comparison"] = compare(*conditions)
    print(json.dumps(content, ensure_ascii=False, indent=1, allow_nan=False) if given.json else render(content))
