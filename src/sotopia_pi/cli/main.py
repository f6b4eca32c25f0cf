"""The command line: `sotopia-pi VERB …`. Every verb is a file in this package with `add` and `main`."""

from __future__ import annotations

import argparse
import logging
import os
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
from sotopia_pi.errors import ServiceError, SotopiaError

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
#: The exit code of a program that was interrupted from the keyboard, as shells know it.
INTERRUPTED = 130
#: That of a program whose output nobody reads any more.
PIPE_CLOSED = 141


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
    """Runs a verb; the exit code is 0, that of the error (see errors.py), 2 for bad usage or 130 after Ctrl-C."""
    given = parser().parse_args(arguments)
    logging.basicConfig(format="%(message)s")
    logging.getLogger("sotopia_pi").setLevel(logging.WARNING if given.quiet else logging.INFO)
    try:
        given.main(given)
        sys.stdout.flush()
    except SotopiaError as error:
        resumed = " What was played is kept; run the same command again to continue."
        print(f"sotopia-pi: {error}{resumed if isinstance(error, ServiceError) else ''}", file=sys.stderr)
        return error.exit_code
    except BrokenPipeError:  # whoever read what is printed, such as `head`, has seen enough
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return PIPE_CLOSED
    except KeyboardInterrupt:
        print("\nsotopia-pi: interrupted; what was stored is kept. Run the same command to continue.", file=sys.stderr)
        return INTERRUPTED
    return 0


if __name__ == "__main__":
    sys.exit(main())
