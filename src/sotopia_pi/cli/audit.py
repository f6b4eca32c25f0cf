"""`sotopia-pi audit`: what a judge can be used for."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import Any

from sotopia_pi.cli.console import print_json
from sotopia_pi.cli.numbers import seed, whole
from sotopia_pi.cli.run import add_budget


def add(verbs: Any) -> None:
    """Adds the verb to the command line."""
    text = "what a judge can be used for: held against the truth, itself, others, people, and tricks"
    verb = verbs.add_parser("audit", help=text, description=text[0].upper() + text[1:] + ".")
    help_ = "a local model, openai:MODEL@URL, or a simulated judge such as fake:judge-honest"
    verb.add_argument("judge", metavar="JUDGE", help=help_)
    help_ = "audit on the evaluation of this run (default: on episodes of scripted players)"
    verb.add_argument("--run", type=Path, metavar="RUN", help=help_)
    verb.add_argument("--n", type=whole(), default=60, metavar="N", help="how many episodes (default: %(default)s)")
    help_ = "any of truth itself susceptibility calibration others people (default: all that can be done)"
    verb.add_argument("--parts", nargs="+", metavar="PART", help=help_)
    verb.add_argument("--against", nargs="+", default=[], metavar="SPEC", help="judges that rate the same episodes")
    help_ = "annotations and episodes, as for human-eval"
    verb.add_argument("--people", type=Path, nargs=2, metavar=("CSV", "JSONL"), help=help_)
    help_ = "ratings of each unaltered episode (default: %(default)s, the second to see how steady the judge is)"
    verb.add_argument("--samples", type=whole(), default=2, metavar="N", help=help_)
    verb.add_argument("--seed", type=seed, default=1, metavar="N", help="draws the episodes (default: %(default)s)")
    help_ = "the longest reply of the judge (default: 3000, or that of the run's judge)"
    verb.add_argument("--max-tokens", type=whole(), metavar="N", help=help_)
    help_ = "how the judge rates: by its reply, or by the probabilities of a local model (default: reply, or the run's)"
    verb.add_argument("--method", choices=["reply", "likelihood"], help=help_)
    add_budget(verb)
    verb.add_argument("--out", type=Path, metavar="DIR", help="where it is kept (default: runs/audit-NAME)")
    verb.add_argument("--json", action="store_true", help="print audit.json instead of the table")
    verb.add_argument("--quiet", action="store_true", help="print nothing but errors")
    verb.set_defaults(main=main)


def main(given: argparse.Namespace) -> None:
    """Audits, and prints the table or the JSON."""
    from sotopia_pi.auditing import PARTS, Asked, run_audit
    from sotopia_pi.errors import ConfigError

    parts = tuple(given.parts or PARTS)
    if given.parts and "others" in parts and not given.against:
        raise ConfigError("The part others needs other judges; name them with --against.")
    if given.parts and "people" in parts and not given.people:
        raise ConfigError("The part people needs what people said; give --people ANNOTATIONS.csv EPISODES.jsonl.")
    content = run_audit(
        Asked(
            judge=given.judge,
            run=given.run,
            n=given.n,
            parts=parts,
            against=tuple(given.against),
            people=(given.people[0], given.people[1]) if given.people else None,
            samples=given.samples,
            seed=given.seed,
            max_tokens=given.max_tokens,
            method=given.method,
            budget=given.budget,
            out=given.out,
            quiet=given.quiet or given.json,
        )
    )
    if given.json:
        print_json(content)
