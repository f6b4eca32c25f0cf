"""`python -m sotopia_pi` is `sotopia-pi`."""

import os
import sys

from sotopia_pi.cli.interrupting import INTERRUPTED, SENTENCE, handle_interrupts


def program() -> int:
    """The whole program; the exit code is that of `main`. Once it was interrupted it waits for no thread."""
    try:
        handle_interrupts()
        from sotopia_pi.cli.main import main

        code = main()
    except KeyboardInterrupt:  # while it was being loaded
        print(f"\nsotopia-pi: {SENTENCE}", file=sys.stderr)
        code = INTERRUPTED
    if code == INTERRUPTED:
        os._exit(code)
    return code


if __name__ == "__main__":
    sys.exit(program())
