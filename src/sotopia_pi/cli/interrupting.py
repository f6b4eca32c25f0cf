"""Ctrl-C, however often and whenever: a sentence and exit code 130, and never a traceback.

The first one raises KeyboardInterrupt, so that what is open is closed in order. Those of the next second change nothing.
Whoever presses it after that does not want to wait for what still runs, and the program ends at once: what is stored is
as safe as from `kill -9`.
"""

from __future__ import annotations

import os
import signal
import sys
import time
from types import FrameType
from typing import Any

#: The exit code of a program that was interrupted from the keyboard, as shells know it.
INTERRUPTED = 130
SENTENCE = "interrupted; what was stored is kept. Run the same command to continue."
_PATIENCE = 1.0
_first: list[float] = []


def handle_interrupts() -> None:
    """Handles SIGINT from here on, for the whole program."""
    if signal.getsignal(signal.SIGINT) is not signal.default_int_handler:
        return  # done already, or ignored on purpose as by nohup
    signal.signal(signal.SIGINT, _interrupt)
    told = sys.unraisablehook

    def unraisable(what: Any) -> None:
        if not isinstance(what.exc_value, KeyboardInterrupt):
            told(what)

    sys.unraisablehook = unraisable


def was_interrupted() -> bool:
    """Whether Ctrl-C was pressed; libraries in whose code it arrives make all kinds of errors of it."""
    return bool(_first)


def _interrupt(_number: int, _frame: FrameType | None) -> None:
    if not _first:
        _first.append(time.monotonic())
        if "logging" in sys.modules:
            sys.modules["logging"].getLogger("asyncio").disabled = True  # which would tell of every task that ends
        raise KeyboardInterrupt
    if time.monotonic() - _first[0] > _PATIENCE:
        os._exit(INTERRUPTED)
