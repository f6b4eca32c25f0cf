"""`sotopia-pi invite`: have people play with a run's policies, by a link and without knowing with whom."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import TYPE_CHECKING, Any

from sotopia_pi.cli.console import print_json
from sotopia_pi.cli.numbers import seed, whole

if TYPE_CHECKING:
    from sotopia_pi.rundir import Run
    from sotopia_pi.studies.invitations import Invitation


def add(verbs: Any) -> None:
    """Adds the verb to the command line."""
    text = "have people play with policies they cannot tell apart: create, list, status, close, open"
    what = verbs.add_parser("invite", help=text, description=text[0].upper() + text[1:] + ".").add_subparsers(
        title="what", dest="what", required=True, metavar="WHAT"
    )
    _add_create(what)
    for name, help_ in {
        "list": "the invitations of a run",
        "status": "who played how much, and how it went",
        "close": "let nobody new begin",
        "open": "let people begin again",
    }.items():
        verb = what.add_parser(name, help=help_, description=help_[0].upper() + help_[1:] + ".")
        _add_run(verb)
        if name != "list":
            verb.add_argument("--name", required=True, metavar="NAME", help="the invitation")
        if name == "status":
            verb.add_argument("--json", action="store_true", help="print JSON")


def _add_run(verb: argparse.ArgumentParser) -> None:
    verb.add_argument("run", type=Path, metavar="RUN", help="a run directory")
    verb.add_argument("--quiet", action="store_true", help="print nothing but errors")
    verb.set_defaults(main=main)


def _add_create(what: Any) -> None:
    text = "make an invitation and print its link"
    verb = what.add_parser("create", help=text, description=text[0].upper() + text[1:] + ".")
    _add_run(verb)
    option = verb.add_argument
    option("--name", required=True, metavar="NAME", help="small letters, digits and '-'")
    help_ = "whom people play with: a policy of the run, base, expert, partner, or a model; may be repeated"
    option("--with", dest="opponents", action="append", required=True, metavar="NAME|SPEC", help=help_)
    option("--group", metavar="NAME", help="the tasks (default: test, the held-out ones)")
    option("--games", type=whole(), default=4, metavar="N", help="conversations of each person (default: %(default)s)")
    option(
        "--people", type=whole(), default=20, metavar="N", help="how many people can take part (default: %(default)s)"
    )
    help_ = "how many may begin from one address in an hour, as in a lab (default: a quarter of the people, or two)"
    option("--per-address", type=whole(), metavar="N", help=help_)
    option("--title", metavar="TEXT", help="what the page is headed")
    option("--instructions", type=Path, metavar="FILE", help="text that is shown before the first conversation")
    option("--code", metavar="CODE", help="the completion code (default: each person gets one of their own)")
    option("--url", metavar="URL", help="where the last page leads, such as back to the platform")
    option("--participant-required", action="store_true", help="refuse visitors whose address has no participant id")
    option("--seed", type=seed, default=1, metavar="SEED", help="for the order (default: %(default)s)")


def main(given: argparse.Namespace) -> None:
    """Runs one of the verbs."""
    from sotopia_pi.rundir import Run
    from sotopia_pi.studies import invitations

    looking = given.what in ("list", "status")
    with Run.reading(given.run, given.quiet) if looking else Run.open(given.run, None, given.quiet, alone=False) as run:
        if given.what == "create":
            _create(given, run)
            return
        if given.what == "list":
            for one in invitations.invitations(run.store):
                people, through = invitations.progress(run.store, one)
                state = "open" if one.open else "closed"
                told = f"{people} of {one.people} people, {through} conversations"
                print(f"{one.name}  {state}  {told}  /sit/{one.link}")
            return
        found = invitations.find(run.store, given.name)
        if given.what == "status":
            _status(given, run, found)
            return
        invitations.keep(run.store, found.model_copy(update={"open": given.what == "open"}))
        run.say(f"{given.name} is {'open' if given.what == 'open' else 'closed'}")


def _create(given: argparse.Namespace, run: Run) -> None:
    from sotopia_pi import playing
    from sotopia_pi.errors import ConfigError
    from sotopia_pi.inputs import read_text
    from sotopia_pi.studies import invitations

    values: dict[str, Any] = {"games": given.games, "people": given.people, "seed": given.seed}
    if given.per_address is not None:
        values["per_address"] = given.per_address
    if given.title:
        values["title"] = given.title
    if given.instructions:
        try:
            values["instructions"] = read_text(given.instructions)
        except OSError as error:
            raise ConfigError(
                f"The instructions {given.instructions} cannot be read ({error.strerror}); give a text file."
            ) from error
    values["done"] = {"code": given.code, "url": given.url}
    values["participant_required"] = given.participant_required
    opponents = [playing.opponent(run, name) for name in given.opponents]
    values["opponents"] = {one.name: name for one, name in zip(opponents, given.opponents, strict=True)}
    if len(values["opponents"]) < len(opponents):
        raise ConfigError("Two of those to play with have the same name; give each once.")
    values["seats"] = [(task.id, role) for task in playing.playable(run, given.group, opponents) for role in task.roles]
    made = invitations.create(run.store, given.name, values)
    run.say(f"invitation {made.name}: {made.games} conversations each for {made.people} people")
    run.say(f"with       {', '.join(made.opponents)}, on {len({seat.task for seat in made.seats})} tasks")
    run.say(f"link       /sit/{made.link}  (behind the address that `sotopia-pi view` prints)")


def _status(given: argparse.Namespace, run: Run, invitation: Invitation) -> None:
    from sotopia_pi.evaluation.table import align
    from sotopia_pi.evaluation.wording import interval, number
    from sotopia_pi.studies.played import outcome

    found = outcome(run, invitation)
    if given.json:
        print_json(found)
        return
    state = "open" if invitation.open else "closed"
    print(f"invitation {invitation.name} ({state})  /sit/{invitation.link}")
    print(f"people     {found['people']} of {invitation.people}, {invitation.games} conversations each\n")
    rows = [["with", "people", "completed", "failed", "GOAL", "[95 % CI]", "n", "GOAL of people", "[95 % CI]"]]
    for name, one in found["opponents"].items():
        counts = [str(one[key]) for key in ("people", "completed", "failed")]
        goal, theirs = one["goal"], one["goal_of_people"]
        sides = [number(goal["mean"]), interval(goal), str(goal["n"]), number(theirs["mean"]), interval(theirs)]
        rows.append([name, *counts, *sides])
    print("\n".join(align(rows)))
