"""Standard output and standard error, as every verb writes to them.

Whatever is printed passes a `Console`, whoever prints it:

- Control characters, escape sequences and what turns the direction of writing are spelled out (`safe_text`), so that
  no name or text of a model moves the cursor or passes for something else. What the program itself does to a line is a
  write that begins with a carriage return, as progress bars do, or that is nothing but moves.
- Characters that the console's encoding lacks are replaced: by plain ones where there are such, else by "?".
- An output that takes no more ends the program in order. What is stored is kept; nobody gets a traceback.

Data for other programs are no text for a person: `print_json` and `print_data` change nothing in them.
"""

from __future__ import annotations

import errno
import io
import json
import os
import re
import sys
from collections.abc import Iterable, Iterator
from contextlib import contextmanager, suppress
from typing import Any, TextIO, cast

from sotopia_pi.printable import is_hidden, safe_text

#: The exit codes of a program whose output nobody reads any more, as shells know it, and of one that could not write.
PIPE_CLOSED, OUTPUT_LOST = 141, 1
_PLAIN = {
    **dict.fromkeys("─━═", "-"), **dict.fromkeys("│┃", "|"), **dict.fromkeys("−–—‐‑", "-"), "…": "...", "→": "->",
    "←": "<-", "×": "x", "·": ".", "•": "*", "★": "*", "≤": "<=", "≥": ">=", "≈": "~", "±": "+/-", "π": "pi",
    "κ": "kappa", "α": "alpha", "“": '"', "”": '"', "„": '"', "‘": "'", "’": "'",
}  # fmt: skip
_MOVES = re.compile(r"(?:\r|\n|\x1b\[[AK])*")


class OutputLost(SystemExit):
    """Standard output takes no more: `why`, None where its reader has seen enough. No OSError, so nobody takes it for
    one of a file, and it reaches `main` from anywhere.
    """

    def __init__(self, why: str | None) -> None:
        super().__init__(PIPE_CLOSED if why is None else OUTPUT_LOST)
        self.why = why


class Console:
    """A stream for people. `vital`: what cannot be written to it is an `OutputLost`, else it is passed over."""

    def __init__(self, stream: TextIO | None, vital: bool) -> None:
        self._stream = stream
        self._vital = vital
        self._missed = False

    def write(self, text: str) -> int:
        """Writes a text as this console can show it."""
        self._do(self._shown(text))
        return len(text)

    def writelines(self, lines: Iterable[str]) -> None:
        """Writes some texts."""
        for line in lines:
            self.write(line)

    def data(self, text: str) -> None:
        """Writes a text as it is, in UTF-8; on a terminal as `write`."""
        raw = getattr(self._stream, "buffer", None)
        if raw is None or self.isatty():
            self.write(text)
            return
        self.flush()
        self._do(text.encode("utf-8"), raw)

    def flush(self) -> None:
        """Writes what is held back."""
        if self._stream is not None:
            self._do(None)

    def finish(self) -> None:
        """Flushes. OutputLost too where something was to be printed and the output had been closed from the start."""
        self.flush()
        if self._missed and self._vital:
            raise OutputLost("it is closed")

    def can_show(self, char: str) -> bool:
        """Whether the console's encoding has a character."""
        try:
            char.encode(self.encoding)
        except UnicodeEncodeError:
            return False
        except LookupError:
            return True
        return True

    @property
    def encoding(self) -> str:
        """The encoding of the stream below."""
        return getattr(self._stream, "encoding", None) or "utf-8"

    def isatty(self) -> bool:
        """Whether a person watches."""
        return self._stream is not None and self._stream.isatty()

    def fileno(self) -> int:
        """The descriptor of the stream below. OSError where there is none."""
        if self._stream is None:
            raise io.UnsupportedOperation("fileno")
        return self._stream.fileno()

    def __getattr__(self, name: str) -> Any:
        return getattr(self._stream, name)

    def _do(self, what: str | bytes | None, stream: Any = None) -> None:
        """Writes to the stream, or flushes it."""
        if self._stream is None:
            self._missed = True
            return
        try:
            if what is None:
                self._stream.flush()
            else:
                target: Any = stream or self._stream
                target.write(what)
        except (OSError, ValueError) as error:
            broken, self._stream = self._stream, None
            with suppress(OSError, ValueError, AttributeError):  # or Python complains once more when it ends
                os.dup2(os.open(os.devnull, os.O_WRONLY), broken.fileno())
            if self._vital:
                closed = getattr(error, "errno", None) == errno.EPIPE
                raise OutputLost(None if closed else getattr(error, "strerror", None) or str(error)) from None

    def _shown(self, text: str) -> str:
        moves = _MOVES.match(text)
        own = moves[0] if moves and (moves[0] == text or text.startswith("\r")) else ""
        safe = own + safe_text(text[len(own) :], None)
        if safe.isascii():
            return safe
        try:
            safe.encode(self.encoding)
        except UnicodeEncodeError:
            return "".join(char if self.can_show(char) else _PLAIN.get(char, "?") for char in safe)
        except LookupError:
            return safe
        return safe


@contextmanager
def console() -> Iterator[Console]:
    """Standard output and standard error as Consoles while the block runs; the first of them.

    A descriptor that is closed is held open on nothing, so that no file of a run gets its number.
    """
    inner = sys.stdin, sys.stdout, sys.stderr
    if None in inner:
        for number in range(3):
            try:
                os.fstat(number)
            except OSError:
                os.open(os.devnull, os.O_RDWR)
    if sys.stdin is None:
        sys.stdin = io.StringIO()
    out = Console(sys.stdout, vital=True)
    sys.stdout, sys.stderr = cast(TextIO, out), cast(TextIO, Console(sys.stderr, vital=False))
    try:
        yield out
    finally:
        with suppress(OSError, ValueError):
            sys.stderr.flush()
        sys.stdin, sys.stdout, sys.stderr = inner


def print_json(content: Any) -> None:
    """Prints a value as JSON that a terminal shows as it is: what it could not show is written as JSON escapes."""
    text = json.dumps(content, ensure_ascii=False, indent=1, allow_nan=False)
    print("".join(char if _is_shown(char) else _escape(char) for char in text))


def _is_shown(char: str) -> bool:
    can_show = getattr(sys.stdout, "can_show", None)
    return (char.isascii() or can_show is None or can_show(char)) and not is_hidden(char)


def _escape(char: str) -> str:
    return json.dumps(char)[1:-1] if char != "\x7f" else "\\u007f"  # which JSON may hold as it is


def print_data(lines: Iterable[str]) -> None:
    """Prints lines of a file as they are; on a terminal as any text."""
    for line in lines:
        if isinstance(sys.stdout, Console):
            sys.stdout.data(line)
        else:
            sys.stdout.write(line)
