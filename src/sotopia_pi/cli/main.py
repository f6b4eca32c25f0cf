"""The command line: `sotopia-pi VERB …`. Every verb is a file in this package with `add` and `main`."""

from __future__ import annotations

import argparse
import logging
import sys
from collections.abc import Sequence

from sotopia_pi import __version__
from sotopia_pi.cli import (
    ability,
    audit,
    bias,
    data,
    generate,
    human_eval,
    invite,
    overlap,
    play,
    policy,
    run,
    safety,
    serve,
    stages,
    study,
    view,
)
from sotopia_pi.cli.console import OutputLost, console
from sotopia_pi.cli.interrupting import INTERRUPTED, SENTENCE, handle_interrupts, was_interrupted
from sotopia_pi.errors import ServiceError, SotopiaError, StoreError
from sotopia_pi.printable import flat

#: In the order in which they are listed.
VERBS = (
    run,
    stages,
    generate,
    overlap,
    data,
    policy,
    serve,
    view,
    play,
    invite,
    study,
    human_eval,
    audit,
    bias,
    safety,
    ability,
)


def parser() -> argparse.ArgumentParser:
    """The whole command line."""
    top = argparse.ArgumentParser(
        prog="sotopia-pi",
        description="SOTOPIA-π: language agents learn social skill by interaction.",
        epilog="A run is a directory; every verb continues it where it stopped.",
    )
    top.add_argument("--version", action="version", version=f"sotopia-pi {__version__}")
    verbs = top.add_subparsers(title="verbs", dest="verb", required=True, metavar="VERB")
    for verb in VERBS:
        verb.add(verbs)
    return top


def main(arguments: Sequence[str] | None = None) -> int:
    """Runs a verb; the exit code is 0, that of the error (see errors.py), 2 for bad usage or 130 after Ctrl-C.

    It is 141 where the reader of the output has gone, and 1 where the output cannot be written for another reason.
    """
    if arguments is None:
        handle_interrupts()
    with console() as out:
        try:
            try:
                return _run(parser().parse_args(arguments))
            except BaseException as error:
                if not (isinstance(error, KeyboardInterrupt) or was_interrupted()):
                    raise
                print(file=sys.stderr)  # a line of its own, below the "^C" of the terminal
                _complain(SENTENCE)
                return INTERRUPTED
            finally:
                out.finish()
        except OutputLost as lost:
            if lost.why is not None:
                _complain(f"the output cannot be written ({lost.why}); what was stored is kept.")
            return int(str(lost.code))


def _run(given: argparse.Namespace) -> int:
    """Runs the verb; the exit code. What a user can act on is told in a sentence."""
    logging.basicConfig(format="%(message)s")
    logging.getLogger("sotopia_pi").setLevel(logging.WARNING if given.quiet else logging.INFO)
    try:
        given.main(given)
    except SotopiaError as error:
        resumed = " What was played is kept; run the same command again to continue."
        _complain(f"{error}{resumed if isinstance(error, ServiceError) else ''}")
        return error.exit_code
    except OSError as error:
        where = f"{error.filename}: " if error.filename else ""
        _complain(f"{where}{error.strerror or error}; what was stored is kept.")
        return StoreError.exit_code
    return 0


def _complain(sentence: str) -> None:
    """Prints a sentence, on one line whatever is in it."""
    print(f"sotopia-pi: {flat(sentence)}", file=sys.stderr)


if __name__ == "__main__":
    sys.exit(main())
