"""Numbers on the command line, of a range that can be meant: a slip of the keyboard plans no billion of episodes."""

from __future__ import annotations

import argparse
import math
from collections.abc import Callable
from typing import TypeVar

#: The most of anything that is counted: episodes, tokens, tasks.
MANY = 10_000_000
_WIDE = 2**63


def whole(least: int = -_WIDE, most: int = MANY) -> Callable[[str], int]:
    """Reads a whole number from `least` to `most`; a seed is one of 64 bits."""

    def read(text: str) -> int:
        try:
            value = int(text) if len(text) < 40 else _WIDE
        except ValueError:
            raise argparse.ArgumentTypeError(f"{text!r} is not a whole number") from None
        return _within(value, text, least, most)

    return read


def decimal(least: float, most: float) -> Callable[[str], float]:
    """Reads a number from `least` to `most`."""

    def read(text: str) -> float:
        try:
            value = float(text)
        except ValueError:
            raise argparse.ArgumentTypeError(f"{text!r} is not a number") from None
        return _within(value if math.isfinite(value) else math.inf, text, least, most)

    return read


#: Any number of 64 bits, which decides what is drawn.
seed = whole(most=_WIDE - 1)


_N = TypeVar("_N", int, float)


def _within(value: _N, text: str, least: float, most: float) -> _N:
    if least <= value <= most:
        return value
    beyond = f"from {least:,} to {most:,}" if least > -_WIDE else f"of at most {most:,}"
    raise argparse.ArgumentTypeError(f"{text[:40]} is not a number {beyond}")
