"""`sotopia-pi human-eval`: what people said of episodes, how far they agree, and a judge held against them."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import TYPE_CHECKING, Any

from sotopia_pi.cli.console import print_json

if TYPE_CHECKING:
    from sotopia_pi.evaluation.people import Annotated


def add(verbs: Any) -> None:
    """Adds the verb to the command line."""
    text = "scores that people gave: means, agreement, and judges held against them"
    verb = verbs.add_parser("human-eval", help=text, description=text[0].upper() + text[1:] + ".")
    help_ = "one row per person and episode; or a run directory or database with studies of your own"
    verb.add_argument("annotations", metavar="ANNOTATIONS.csv|RUN", help=help_)
    verb.add_argument("episodes", nargs="?", type=Path, metavar="EPISODES.jsonl", help="the episodes that were rated")
    help_ = "the annotations and episodes of another condition, to be compared by scenario"
    verb.add_argument("--against", type=Path, nargs=2, metavar=("CSV", "JSONL"), help=help_)
    verb.add_argument("--study", metavar="NAME", help="RUN: only this study (default: all)")
    help_ = "RUN: the policy under test; given twice, the second is what the first is compared with"
    verb.add_argument("--policy", action="append", default=[], metavar="NAME", help=help_)
    verb.add_argument("--target", metavar="MODEL", help="the model under test (default: the episodes' target_model)")
    verb.add_argument("--json", action="store_true", help="print JSON")
    verb.add_argument("--quiet", action="store_true", help="print no notes")
    verb.set_defaults(main=main)


def main(given: argparse.Namespace) -> None:
    """Prints the summary; rows that were left out are named on standard error."""
    from sotopia_pi.evaluation.people import compare, summary
    from sotopia_pi.evaluation.people_table import render

    conditions = _of_files(given) if given.episodes else _of_run(given)
    content = summary(conditions[0])
    if len(conditions) > 1:
        content["comparison"] = compare(*conditions)
    if given.json:
        print_json(content)
    else:
        print(render(content))


def _of_files(given: argparse.Namespace) -> list[list[Annotated]]:
    import sys

    from sotopia_pi.errors import ConfigError
    from sotopia_pi.interop.annotations import read_annotated

    if given.study or given.policy:
        raise ConfigError("--study and --policy are for a run; files name the model under test, or --target does.")
    conditions = []
    for rows, records in [(Path(given.annotations), given.episodes), *([given.against] if given.against else [])]:
        rated, report = read_annotated(rows, records, given.target)
        conditions.append(rated)
        if (report.left_out or report.noted) and not given.quiet:
            print("\n".join(report.lines()), file=sys.stderr)
    return conditions


def _of_run(given: argparse.Namespace) -> list[list[Annotated]]:
    from sotopia_pi.cli.study import opened
    from sotopia_pi.errors import ConfigError
    from sotopia_pi.studies.annotated import annotated

    if Path(given.annotations).suffix.lower() == ".csv":
        raise ConfigError(
            f"Give the episodes that were rated, too: sotopia-pi human-eval {given.annotations} FILE.jsonl."
        )
    if given.against or given.target:
        raise ConfigError("--against and --target are for files; in a run, name policies with --policy.")
    with opened(given.annotations) as store:
        found = annotated(store, given.study)
    policies = given.policy or list(found)
    if len(policies) > 2 or (len(policies) == 2 and not given.policy):
        raise ConfigError(f"People rated several policies; name one or two with --policy: {', '.join(found)}.")
    if unknown := [name for name in policies if name not in found]:
        raise ConfigError(f"People rated no episode of {unknown[0]!r}; they did of {', '.join(found)}.")
    return [found[name] for name in policies]
