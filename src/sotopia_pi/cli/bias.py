"""`sotopia-pi bias` and `sotopia-pi bias-play`: does it matter to a judge, or to a policy, who somebody is?"""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import Any

from sotopia_pi.cli.console import print_json
from sotopia_pi.cli.numbers import seed, whole
from sotopia_pi.cli.run import add_budget

VERBS = {
    "bias": "whether a judge scores the same transcript otherwise when names, pronouns, ages or occupations change",
    "bias-play": "whether a policy plays the same task otherwise when names, pronouns, ages or occupations change",
}


def add(verbs: Any) -> None:
    """Adds the verbs to the command line."""
    for name, text in VERBS.items():
        verb = verbs.add_parser(name, help=text, description=text[0].upper() + text[1:] + ".")
        (_add_judge if name == "bias" else _add_policy)(verb)
        help_ = "any of name,pronouns,age,occupation, with commas (default: all)"
        verb.add_argument("--attributes", metavar="A,B", help=help_)
        verb.add_argument(
            "--seed", type=seed, default=1, metavar="N", help="draws what is taken (default: %(default)s)"
        )
        add_budget(verb)
        verb.add_argument("--json", action="store_true", help="print bias.json instead of the table")
        verb.add_argument("--quiet", action="store_true", help="print nothing but errors")
        verb.set_defaults(main=main)


def _add_judge(verb: argparse.ArgumentParser) -> None:
    help_ = "a local model, openai:MODEL@URL, or a simulated judge such as fake:judge-names"
    verb.add_argument("judge", metavar="JUDGE", help=help_)
    help_ = "take the episodes of this run (default: episodes of scripted players)"
    verb.add_argument("--run", type=Path, metavar="RUN", help=help_)
    verb.add_argument("--stage", metavar="STAGE", help="such as evaluate/base (default: the whole evaluation)")
    verb.add_argument("--n", type=whole(), default=60, metavar="N", help="how many episodes (default: %(default)s)")
    help_ = "the longest reply of the judge (default: 3000, or that of the run's judge)"
    verb.add_argument("--max-tokens", type=whole(), metavar="N", help=help_)
    verb.add_argument("--retry-failed", action="store_true", help="ask the judge again where its rating failed")
    verb.add_argument("--out", type=Path, metavar="DIR", help="where it is kept (default: runs/bias-NAME)")


def _add_policy(verb: argparse.ArgumentParser) -> None:
    verb.add_argument("run", type=Path, metavar="RUN", help="the run whose held-out tasks are played")
    help_ = "a policy of the run, or a model such as openai:MODEL@URL"
    verb.add_argument("--policy", required=True, metavar="NAME|SPEC", help=help_)
    verb.add_argument("--partner", metavar="SPEC", help="whom it plays against (default: the run's partner)")
    help_ = "whose character is recast (default: the partner's)"
    verb.add_argument("--whose", choices=("partner", "own"), default="partner", help=help_)
    verb.add_argument(
        "--n", type=whole(), default=60, metavar="N", help="tasks and roles to play (default: %(default)s)"
    )
    verb.add_argument("--out", type=Path, metavar="DIR", help="where it is kept (default: RUN/bias/NAME)")


def main(given: argparse.Namespace) -> None:
    """Audits, and prints the table or the JSON."""
    from sotopia_pi.auditing.bias import JudgeAsked, PolicyAsked, run_bias, run_bias_play
    from sotopia_pi.episodes.recasting import ATTRIBUTES

    attributes = ATTRIBUTES if given.attributes is None else tuple(part.strip() for part in given.attributes.split(","))
    shared: dict[str, Any] = {"attributes": attributes, "n": given.n, "seed": given.seed, "budget": given.budget}
    shared |= {"out": given.out, "quiet": given.quiet or given.json}
    if given.verb == "bias":
        content = run_bias(
            JudgeAsked(
                judge=given.judge,
                run=given.run,
                stage=given.stage,
                max_tokens=given.max_tokens,
                retry_failed=given.retry_failed,
                **shared,
            )
        )
    else:
        content = run_bias_play(
            PolicyAsked(run=given.run, policy=given.policy, partner=given.partner, whose=given.whose, **shared)
        )
    if given.json:
        print_json(content)
