"""`sotopia-pi study`: human evaluations, from the choice of episodes to the table of ratings."""

from __future__ import annotations

import argparse
from contextlib import ExitStack
from pathlib import Path
from typing import TYPE_CHECKING, Any

from sotopia_pi.cli.console import print_data
from sotopia_pi.cli.numbers import seed, whole

if TYPE_CHECKING:
    from sotopia_pi.store import Store
    from sotopia_pi.studies.records import Reference, StudySettings
    from sotopia_pi.studies.status import Status


def add(verbs: Any) -> None:
    """Adds the verb to the command line."""
    text = "have people rate episodes: create, list, status, export, close, open"
    what = verbs.add_parser("study", help=text, description=text[0].upper() + text[1:] + ".").add_subparsers(
        title="what", dest="what", required=True, metavar="WHAT"
    )
    _add_create(what)
    for name, help_ in {
        "list": "the studies of a run and how far they are",
        "status": "who rated how much, and how far people agree",
        "export": "write the ratings as CSV or JSONL",
        "close": "give out no more episodes; what is in hand may still be submitted",
        "open": "give out episodes again",
    }.items():
        verb = what.add_parser(name, help=help_, description=help_[0].upper() + help_[1:] + ".")
        _add_place(verb)
        if name != "list":
            verb.add_argument("--name", required=True, metavar="NAME", help="the study")
        if name == "export":
            verb.add_argument("--out", type=Path, metavar="FILE", help="a .csv or .jsonl file (default: CSV, printed)")
            verb.add_argument("--qualification", action="store_true", help="the answers of the qualification instead")


def _add_place(verb: argparse.ArgumentParser) -> None:
    verb.add_argument("place", metavar="RUN", help="a run directory, or the URL of a database")
    verb.add_argument("--quiet", action="store_true", help="print nothing but errors")
    verb.set_defaults(main=main)


def _add_create(what: Any) -> None:
    verb = what.add_parser("create", help="begin a study", description="Begins a study and prints its link.")
    _add_place(verb)
    verb.add_argument("--name", required=True, metavar="NAME", help="small letters, digits and '-'")
    verb.add_argument("--config", type=Path, metavar="STUDY.toml", help="its settings (see docs/studies.md)")
    help_ = "episodes of this stage, such as evaluate/base; may be repeated (default: all)"
    verb.add_argument("--stage", action="append", default=[], metavar="STAGE", help=help_)
    verb.add_argument("--policies", default="", metavar="A,B", help="only episodes that one of these played")
    verb.add_argument("--n", type=whole(), metavar="N", help="how many episodes, drawn at random (default: all)")
    verb.add_argument("--seed", type=seed, default=1, metavar="SEED", help="for the draw (default: %(default)s)")
    verb.add_argument("--keys", type=Path, metavar="FILE", help="a file with episode keys, one a line, instead")
    verb.add_argument("--reference", type=Path, metavar="FILE", help="reference scores of a qualification, JSON or CSV")
    help_ = "take the reference scores from this rater's ratings"
    verb.add_argument("--reference-rater", metavar="RATER", help=help_)
    help_ = "of this episode; may be repeated (default: the first --reference-n that were rated)"
    verb.add_argument("--reference-episode", action="append", default=[], metavar="KEY", help=help_)
    verb.add_argument("--reference-n", type=whole(), default=1, metavar="N", help="(default: %(default)s)")
    help_ = "keep the study in this database, with copies of its episodes; the URL of a PostgreSQL database, or a file"
    verb.add_argument("--database", metavar="URL", help=help_)
    verb.add_argument("--with-ratings", action="store_true", help="copy the ratings that there are, too")


def main(given: argparse.Namespace) -> None:
    """Runs one of the verbs."""
    with ExitStack() as stack:
        store = stack.enter_context(opened(given.place, reading=given.what in ("list", "status", "export")))
        if given.what == "create":
            _create(given, store, stack)
        elif given.what == "list":
            _list(store)
        elif given.what == "status":
            _status(given, store)
        elif given.what == "export":
            _export(given, store)
        else:
            from sotopia_pi.studies.choosing import find

            store.studies.set_open(find(store, given.name).name, given.what == "open")
            if not given.quiet:
                print(f"{given.name} is {'open' if given.what == 'open' else 'closed'}")


def opened(place: str, reading: bool = True) -> Store:
    """The store of a run directory, a file or a database URL; for `reading` it need not be writable.

    ConfigError, StoreError.
    """
    from sotopia_pi.errors import ConfigError
    from sotopia_pi.files import within
    from sotopia_pi.rundir import DATABASE, store_to_read
    from sotopia_pi.store import Store

    if "://" in place:
        return Store.open(place, create=False)
    path = Path(place)
    if path.is_dir():
        if reading and (path / DATABASE).is_file():
            return store_to_read(path)
        path = within(path, DATABASE)
    if not path.is_file():
        raise ConfigError(
            f"{place} is no run directory or database; check the path, or start one with `sotopia-pi run`."
        )
    return Store.open(path, create=False, reading=reading)


def _create(given: argparse.Namespace, source: Store, stack: ExitStack) -> None:
    from sotopia_pi.errors import ConfigError
    from sotopia_pi.store import Store
    from sotopia_pi.studies import choosing

    settings = choosing.load_settings(given.config)
    if given.n is not None and given.n < 1:
        raise ConfigError(f"--n is {given.n}; give a number of episodes.")
    references = _references(given, source, settings)
    if given.keys:
        keys = choosing.check_keys(source, _lines(given.keys))
    else:
        policies = [name.strip() for name in given.policies.split(",") if name.strip()]
        keys = choosing.choose(source, given.stage, policies, given.n, given.seed, references)
    target = source
    if given.database:
        target = stack.enter_context(Store.open(given.database))
        if target.studies.find(given.name) is None:
            choosing.copy_episodes(source, target, given.name, [*keys, *references], ratings=given.with_ratings)
    study = choosing.create(target, given.name, settings, keys, references)
    if not given.quiet:
        place = given.place if target is source else target.where
        print(f"study      {study.name}: {len(keys)} episodes, {len(references)} for the qualification")
        print(f"in         {place}")
        print(f"link       /rate/{study.link}  (behind the address that `sotopia-pi view` prints)")


def _references(given: argparse.Namespace, store: Store, settings: StudySettings) -> dict[str, Reference]:
    from sotopia_pi.errors import ConfigError
    from sotopia_pi.studies.choosing import read_references, references_of

    if given.reference and given.reference_rater:
        raise ConfigError("Give --reference or --reference-rater, not both.")
    if given.reference:
        return read_references(given.reference, settings)
    if given.reference_rater:
        return references_of(store, given.reference_rater, given.reference_episode, given.reference_n)
    if given.reference_episode:
        raise ConfigError("--reference-episode needs --reference-rater, whose scores are the reference.")
    return {}


def _lines(path: Path) -> list[str]:
    from sotopia_pi.errors import ConfigError
    from sotopia_pi.inputs import read_text

    try:
        return read_text(path).split()
    except OSError as error:
        raise ConfigError(f"The file of keys {path} cannot be read ({error.strerror}); give one key a line.") from error


def _list(store: Store) -> None:
    from sotopia_pi.studies.status import status

    for study in store.studies.all():
        now = status(store, study)
        state = "open" if study.open else "closed"
        print(f"{study.name}  {state}  {now.complete} of {now.total} episodes  /rate/{study.link}")


def _status(given: argparse.Namespace, store: Store) -> None:
    from sotopia_pi.studies.choosing import find
    from sotopia_pi.studies.status import status

    now = status(store, find(store, given.name))
    state = "open" if now.study.open else "closed"
    print(f"study      {now.study.name} ({state})  /rate/{now.study.link}")
    print(f"episodes   {now.complete} of {now.total} complete; {now.again} went to one more annotator")
    print(f"ratings    {now.rated} of {now.needed}; {len(now.leases)} in hand")
    for person in now.people:
        told = f"{person.annotator.phase.replace('_', ' ')}, {person.rated} rated, {person.in_hand} in hand"
        minutes = "" if person.minutes is None else f", {person.minutes:.1f} minutes each"
        print(f"  {person.annotator.pseudonym:24} {told}{minutes}")
    _print_agreement(now)


def _print_agreement(now: Status) -> None:
    from sotopia_pi.evaluation.agreement import BINNINGS
    from sotopia_pi.evaluation.table import align
    from sotopia_pi.evaluation.wording import number

    bins = [head for n in BINNINGS for head in (f"pairwise, {n} bins", "κ")]
    rows = [["dimension", "roles", "scores", "mean", "spread", *bins, "α", "ICC(1)"]]
    for one in now.agreement:
        pairs = [number(found[n].value) for n in BINNINGS for found in (one.pairwise, one.kappa)]
        counts = [str(one.units), str(one.ratings), number(one.mean), number(one.spread)]
        rows.append([one.dimension, *counts, *pairs, number(one.alpha.value), number(one.icc.value)])
    print("\n" + "\n".join(align(rows)))


def _export(given: argparse.Namespace, store: Store) -> None:
    from sotopia_pi.errors import StoreError
    from sotopia_pi.studies.choosing import find
    from sotopia_pi.studies.export import export_csv, export_jsonl

    study = find(store, given.name)
    jsonl = given.out is not None and given.out.suffix.lower() in (".jsonl", ".json")
    lines = (export_jsonl if jsonl else export_csv)(store, study, tests=given.qualification)
    if given.out is None:
        print_data(lines)
        return
    try:
        with given.out.open("w", encoding="utf-8", newline="") as file:
            written = sum(1 for line in lines if file.write(line))
    except OSError as error:
        raise StoreError(f"{given.out} cannot be written ({error.strerror}); give another --out.") from error
    if not given.quiet:
        print(f"{given.out}: {written - (0 if jsonl else 1)} submissions")
