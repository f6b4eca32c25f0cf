"""Files that users give, read by one set of rules.

A file is a regular file: a pipe, a device or a folder is refused before anything is read, so that nothing waits for a
writer who never comes. Text is UTF-8, with or without a byte order mark; a text in UTF-16 or UTF-32 is called that.
JSON is one value without anything that a reader could take in two ways: a key that stands twice is refused.

What cannot be read is an `Unreadable`, an OSError whose `strerror` says why, for the sentence of whoever asked.
"""

from __future__ import annotations

import errno
import io
import json
import stat
import tomllib
from collections import Counter
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any, BinaryIO, TextIO

#: Bytes of a file that is read as a whole at most.
LARGEST = 1 << 28
_MARK = b"\xef\xbb\xbf"
_WIDE = {b"\xff\xfe": "UTF-16", b"\xfe\xff": "UTF-16", b"\xff\xfe\x00\x00": "UTF-32", b"\x00\x00\xfe\xff": "UTF-32"}
_KINDS: tuple[tuple[Callable[[int], bool], str], ...] = (
    (stat.S_ISDIR, "it is a folder"),
    (stat.S_ISFIFO, "it is a pipe; save what comes out of it to a file first"),
    (stat.S_ISSOCK, "it is a socket"),
    (lambda _: True, "it is a device"),
)


class Unreadable(OSError):
    """A file is there and cannot be read as what it should be; `strerror` says why."""

    def __init__(self, why: str) -> None:
        super().__init__(errno.EINVAL, why)

    def __str__(self) -> str:
        return str(self.strerror)


def open_file(path: Path) -> BinaryIO:
    """A regular file, opened for its bytes and placed behind a byte order mark. OSError for anything else."""
    try:
        mode = path.stat().st_mode
    except ValueError:
        raise Unreadable("no file can have this name") from None
    if not stat.S_ISREG(mode):
        raise Unreadable(next(why for is_kind, why in _KINDS if is_kind(mode)))
    file = path.open("rb")
    try:
        head = file.read(256)
        for mark in sorted(_WIDE, key=len, reverse=True):
            if head.startswith(mark) and b"\x00" in head:
                raise Unreadable(f"it is {_WIDE[mark]} text; save it as UTF-8")
        file.seek(len(_MARK) if head.startswith(_MARK) else 0)
    except OSError:
        file.close()
        raise
    return file


def open_text(path: Path, errors: str = "strict", newline: str | None = None) -> TextIO:
    """A regular file, opened as UTF-8 text behind a byte order mark. OSError as `open_file`."""
    return io.TextIOWrapper(open_file(path), encoding="utf-8", errors=errors, newline=newline)


def read_text(path: Path) -> str:
    """The whole text of a file, without a byte order mark and with plain line ends. OSError as `open_file`."""
    with open_file(path) as file:
        raw = file.read(LARGEST + 1)
    if len(raw) > LARGEST:
        raise Unreadable(f"it has more than {LARGEST >> 20} MiB")
    try:
        text = raw.decode("utf-8")
    except UnicodeDecodeError as error:
        line = raw.count(b"\n", 0, error.start) + 1
        raise Unreadable(
            f"it is not UTF-8 text (line {line}, byte {error.start + 1}); save it as UTF-8, or unpack it"
        ) from None
    return text.replace("\r\n", "\n").replace("\r", "\n")


def read_json(text: str, constant: Callable[[str], Any] | None = None) -> Any:
    """The value of a JSON text. ValueError says what is wrong, also where a key stands twice in one object.

    `constant` is what becomes of NaN and Infinity, which Python writes and JSON does not have; else they are refused.
    """
    try:
        return json.loads(text, object_pairs_hook=_object, parse_constant=constant or _no_constant)
    except RecursionError:
        raise ValueError("it is nested too deeply") from None
    except ValueError as error:
        if "set_int_max_str_digits" in str(error):
            raise ValueError("a number in it is too long") from None
        raise


def read_toml(text: str) -> dict[str, Any]:
    """The values of a TOML text. ValueError says what is wrong."""
    try:
        return tomllib.loads(text)
    except RecursionError:
        raise ValueError("it is nested too deeply") from None
    except tomllib.TOMLDecodeError:
        raise
    except ValueError:
        raise ValueError("a number in it is too long") from None


def check_columns(names: Iterable[str]) -> None:
    """ValueError where a column of a table stands twice: of two readings of a row one would be lost unsaid."""
    twice = [name for name, count in Counter(names).items() if count > 1 and name]
    if twice:
        raise ValueError(f"the column {twice[0][:80]!r} stands twice; remove one")


def _no_constant(name: str) -> Any:
    raise ValueError(f"{name} is no number of JSON")


def _object(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    made = dict(pairs)
    if len(made) < len(pairs):
        twice = next(key for key, count in Counter(key for key, _ in pairs).items() if count > 1)
        raise ValueError(f"the key {twice[:80]!r} stands twice in one object; remove one")
    return made
