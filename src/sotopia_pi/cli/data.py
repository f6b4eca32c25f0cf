"""`sotopia-pi import` and `sotopia-pi export`: published data in and out."""

from __future__ import annotations

import argparse
import re
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from sotopia_pi.interop import Report
    from sotopia_pi.rundir import Run

FORMATS = ("sotopia", "episodes", "chat", "hf")
#: Formats of dialogues between people; those of `interop.dialogues`, without loading it.
DIALOGUES = ("transcript", "dealornodeal", "craigslist", "casino", "persuasion")
_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]*")


def add(verbs: Any) -> None:
    """Adds the verbs to the command line."""
    text = "read published SOTOPIA data into a run (and start the run)"
    what = verbs.add_parser("import", help=text, description=text[0].upper() + text[1:] + ".").add_subparsers(
        title="what", dest="what", required=True, metavar="WHAT"
    )
    profiles = what.add_parser("sotopia", help="characters, scenarios, relationships and castings")
    profiles.add_argument("folder", type=Path, metavar="DIR", help="the folder with SOTOPIA's profile files")
    episodes = what.add_parser("episodes", help="published episodes with their ratings")
    episodes.add_argument("files", type=Path, nargs="+", metavar="FILE.jsonl", help="one episode a line")
    episodes.add_argument("--name", metavar="NAME", help="what they are called: import/NAME (default: the file's name)")
    dialogues = what.add_parser("dialogues", help="dialogues between people, to learn from")
    dialogues.add_argument(
        "files", type=Path, nargs="+", metavar="FILE", help="the files, as their authors publish them"
    )
    dialogues.add_argument("--format", choices=DIALOGUES, required=True, help="whose files they are (transcript: ours)")
    dialogues.add_argument("--name", metavar="NAME", help="what they are called: import/NAME (default: the format)")
    for verb in (profiles, episodes, dialogues):
        verb.add_argument("--out", type=Path, required=True, metavar="RUN", help="the run directory")
        verb.add_argument("--config", type=Path, metavar="CONFIG.toml", help="the config of a new run (default: demo)")
        verb.add_argument("--quiet", action="store_true", help="print nothing but errors")
        verb.set_defaults(main=bring_in)
    text = "write a run's data in formats that other programs read"
    export = verbs.add_parser("export", help=text, description=text[0].upper() + text[1:] + ".")
    export.add_argument("dir", type=Path, metavar="RUN", help="the run directory")
    export.add_argument("--format", choices=FORMATS, required=True, help="profile files, episodes, chats, or a folder")
    export.add_argument("--out", type=Path, required=True, metavar="PATH", help="the file or folder to write")
    help_ = "episodes, hf: only these stages, such as import/NAME or collect/bc (default: all)"
    export.add_argument("--stage", action="append", default=[], metavar="STAGE", help=help_)
    help_ = "chat, hf: only what these rounds selected (default: all)"
    export.add_argument("--round", action="append", default=[], metavar="NAME", help=help_)
    export.add_argument("--completions", action="store_true", help="chat: a prompt and a completion per action")
    export.add_argument("--quiet", action="store_true", help="print nothing but errors")
    export.set_defaults(main=bring_out)


def bring_in(given: argparse.Namespace) -> None:
    """Imports; every record that is left out is named."""
    from sotopia_pi import config
    from sotopia_pi.errors import ConfigError, WorldError
    from sotopia_pi.interop.dialogues import import_dialogues
    from sotopia_pi.interop.episodes import import_episodes
    from sotopia_pi.interop.sotopia import import_profiles
    from sotopia_pi.rundir import Run, is_run

    paths = [given.folder] if given.what == "sotopia" else given.files
    for path in paths:
        if not (path.is_dir() if given.what == "sotopia" else path.is_file()):
            kind = "folder" if given.what == "sotopia" else "file"
            raise WorldError(f"{path} is not a {kind}; check the path.")
    name = "sotopia" if given.what == "sotopia" else given.name or _name(given)
    if not _NAME.fullmatch(name):
        raise ConfigError(f"{name!r} cannot be a name; give --name with letters, digits, '.', '_' and '-'.")
    new = not is_run(given.out)
    chosen = config.load(given.config) if new or given.config else None
    with Run.open(given.out, chosen, given.quiet) as run:
        if given.what == "sotopia":
            report, kept = import_profiles(run.store, given.folder), "import-sotopia.json"
        elif given.what == "dialogues":
            report = import_dialogues(run.store, given.files, given.format, name)
            kept = f"import-dialogues-{name}.json"
        else:
            report, kept = import_episodes(run.store, given.files, name), f"import-episodes-{name}.json"
        _tell(run, report, kept)


def _name(given: argparse.Namespace) -> str:
    from sotopia_pi.errors import ConfigError

    if given.what == "dialogues":
        return str(given.format)
    if len(given.files) > 1:
        raise ConfigError("Several files need a --name for their episodes.")
    return str(given.files[0].stem)


def _tell(run: Run, report: Report, kept: str) -> None:
    from sotopia_pi.errors import WorldError

    report.save(run.folder / kept)
    for line in report.lines():
        run.say(line)
    run.say(f"report: {run.folder / kept}")
    if not report.stored.total() and not report.known.total():
        if not report.left_out:
            raise WorldError("There are no records in what is to be imported; check the path.")
        raise WorldError(f"None of {report.left_out} records could be read; see {run.folder / kept}.")


def bring_out(given: argparse.Namespace) -> None:
    """Exports."""
    from sotopia_pi.interop.chats import export_chats
    from sotopia_pi.interop.export import export_episodes, export_profiles
    from sotopia_pi.interop.hub import export_hub
    from sotopia_pi.rundir import Run

    with Run.reading(given.dir, given.quiet) as run:
        rounds = [run.config.round(name).name for name in given.round] or [item.name for item in run.config.rounds]
        turns = run.config.max_turns
        if given.format == "sotopia":
            counts = export_profiles(run.store, given.out)
        elif given.format == "episodes":
            counts = {"episodes": export_episodes(run.store, given.out, given.stage)}
        elif given.format == "chat":
            lines = export_chats(run.store, given.out, rounds, turns, run.prompts, given.completions)
            counts = {"examples": lines}
        else:
            counts = export_hub(run.store, given.out, run.config.name, given.stage, rounds, turns, run.prompts)
        run.say(f"{given.out}: " + ", ".join(f"{number} {what}" for what, number in counts.items()))
