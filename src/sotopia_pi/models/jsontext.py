"""JSON as models write it: knowing when the object is complete, and reading one that is nearly right.

Only slips of writing are mended, with one possible meaning: a comma too many, Python's quotes and constants, a key
without quotes, a plus before a number, comments, closing brackets that are missing at the end. A text that was cut off
inside a string, after a comma or in a number stays unread: nobody knows how it would have gone on.

Every text is read in time proportional to its length: what was looked at is not looked at again, but for a fixed number
of objects (`_OBJECTS`) and a fixed amount of mending (`_WORK`) a text.
"""

from __future__ import annotations

import json
import re
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

#: Objects that are looked for in one text.
_OBJECTS = 1_000
#: How much is mended in one text: characters, and this many more for each piece of an object.
_WORK, _PIECE = 1_000_000, 50

_STRING = r'"(?:[^"\\]++|\\.)*+(?P<double>"|\\?\Z)'
_BRACE_OR_STRING = re.compile(r"[{}]|" + _STRING, re.DOTALL)
_STRICT = re.compile(r"\{\s*+[\"}]")
_PIECES = re.compile(
    _STRING
    + r"|'(?:[^'\\]++|\\.)*+(?P<single>'|\\?\Z)"
    + r"|(?P<comment>//[^\n]*+|\#[^\n]*+|/\*.*?(?:\*/|\Z))|(?P<word>[A-Za-z_]\w*+)|(?P<sign>[][{},+])",
    re.DOTALL,
)
_CLOSERS = {"{": "}", "[": "]"}
_CONSTANTS = {"True": "true", "False": "false", "None": "null"}
_COLON, _DIGIT, _FENCE = re.compile(r"\s*+:"), re.compile(r"\d"), re.compile(r"\s*+`*+\s*+\Z")
#: Backslashes of Python's strings, and quotes that JSON's need a backslash for.
_ESCAPED = re.compile(r'\\(.)|"', re.DOTALL)


class JsonObject(dict[str, Any]):
    """A JSON object; `repeated` are the keys that stood in it more than once."""

    repeated: Sequence[str] = ()


def _remembering(pairs: list[tuple[str, Any]]) -> JsonObject:
    made = JsonObject(pairs)
    if len(made) < len(pairs):
        counted = Counter(key for key, _ in pairs)
        made.repeated = tuple(key for key, count in counted.items() if count > 1)
    return made


_DECODER = json.JSONDecoder(object_pairs_hook=_remembering, strict=False)


def only_object(text: str) -> JsonObject | None:
    """The object that is all of `text` but for white space; None for any other text."""
    start = 0 if text[:1] == "{" else len(text) - len(text.lstrip())
    if text[start : start + 1] != "{":
        return None
    try:
        value, end = _DECODER.raw_decode(text, start)
    except (ValueError, RecursionError):
        return None
    return value if end == len(text) or text[end:].isspace() else None


@dataclass(frozen=True, slots=True)
class Found:
    """What begins with a brace at `start`: an object, or None in place of one that cannot be read, and `why`.

    It ends at `end`; where there is no telling how far it reaches, that is where it can no longer be read.
    """

    start: int
    end: int
    value: JsonObject | None = None
    why: str = ""


class ObjectReader:
    """Reads objects of one text, in any order of places that only goes forward.

    `foreign` says whether something stands in a comment that is no part of an object.
    """

    def __init__(self, text: str, foreign: Callable[[str], bool]) -> None:
        self._text = text
        self._foreign = foreign
        self._objects = _OBJECTS
        self._work = _WORK

    def at(self, start: int) -> Found:
        """What begins with the brace at `start`."""
        if not self._objects:
            return Found(start, len(self._text), why="too many braces")
        self._objects -= 1
        stopped, why = start + 1, "Expecting a key"
        try:
            if _STRICT.match(self._text, start):
                value, end = _DECODER.raw_decode(self._text, start)
                return Found(start, end, value)
        except json.JSONDecodeError as error:
            stopped, why = max(error.pos, start + 1), error.msg
        except (ValueError, RecursionError):
            return Found(start, len(self._text), why="too deep, or a number too long")
        mended, closed = self._mended(start)
        near = self._text[max(start, stopped - 10) : stopped + 10]
        return Found(start, closed or stopped, mended, f"{why} at character {stopped + 1}, near {near!r}")

    def _mended(self, start: int) -> tuple[JsonObject | None, int | None]:
        """The object at `start` without its slips, if that makes one, and where its brackets close, if they do."""
        mending, last, end = _Mending(self._text), start, None
        for match in _PIECES.finditer(self._text, start):
            self._work -= _PIECE + match.end() - last
            if self._work < 0 or not mending.add(self._text[last : match.start()], match):
                return None, None
            if match.lastgroup == "comment" and self._foreign(match[0]):
                return None, None
            last = match.end()
            if not mending.open:
                end = last
                break
        if end is None and not (mending.whole and _FENCE.match(self._text, last)):
            return None, None
        try:
            value, read = _DECODER.raw_decode(made := mending.made)
        except (ValueError, RecursionError):
            return None, end
        return (value, end or len(self._text)) if read == len(made) else (None, end)


class _Mending:
    """An object that is written anew piece by piece, without slips. `open` are the brackets that it has to close."""

    def __init__(self, text: str) -> None:
        self._text = text
        self._parts: list[str] = []
        self._comma: int | None = None
        self._before = ""
        self.open: list[str] = []

    @property
    def made(self) -> str:
        """What was written, with all that is open closed."""
        return "".join([*self._parts, *reversed(self.open)])

    @property
    def whole(self) -> bool:
        """Whether it may end here: after a string, a constant or a bracket."""
        return self._before in ("string", "word", "}", "]")

    def add(self, gap: str, match: re.Match[str]) -> bool:
        """Adds the next piece and what stands before it; False where no slip explains it."""
        self._parts.append(gap)
        piece, kind = match[0], match.lastgroup
        if between := gap.strip():
            self._comma, self._before = None, between
        if kind == "comment":
            return True
        if kind in ("double", "single") and match[kind] not in ('"', "'"):
            return False  # a string without an end
        if kind == "sign" and piece in "}]":
            if not self.open or self.open.pop() != piece:
                return False
            if self._comma is not None:
                self._parts[self._comma] = ""
        self._comma = len(self._parts) if piece == "," else None
        written = self._written(piece, kind, match.end())
        if kind == "sign" and piece in _CLOSERS:
            self.open.append(_CLOSERS[piece])
        self._before = piece if kind == "sign" else "word" if kind == "word" else "string"
        self._parts.append(written or "")
        return written is not None

    def _written(self, piece: str, kind: str | None, end: int) -> str | None:
        """A piece as JSON writes it; None where nobody knows."""
        if kind == "single":
            return _double_quoted(piece)
        if kind == "word" and self._before in ("{", ",") and _COLON.match(self._text, end):
            return f'"{piece}"'
        if kind == "word":
            return _CONSTANTS.get(piece, piece)
        if piece == "+" and self._before.endswith((":", "[", ",")) and _DIGIT.match(self._text, end):
            return ""
        return piece


def _double_quoted(piece: str) -> str | None:
    """A string in Python's single quotes as JSON has it; None where the two do not escape alike."""
    if any(match[1] and match[1] not in "\\'\"nrtbfu" for match in _ESCAPED.finditer(piece)):
        return None
    return f'"{_ESCAPED.sub(_escaped, piece[1:-1])}"'


def _escaped(match: re.Match[str]) -> str:
    return '\\"' if match[0] == '"' else "'" if match[1] == "'" else match[0]


def json_object_end(text: str, start: int = 0) -> int | None:
    """The index just after the first balanced `{…}` of `text` from `start` on, None while it is open or to come.

    Braces inside strings do not count; the object need not be valid JSON otherwise.
    """
    start = text.find("{", start)
    if start < 0:
        return None
    depth = 0
    for match in _BRACE_OR_STRING.finditer(text, start):
        if match[0] == "{":
            depth += 1
        elif match[0] == "}":
            depth -= 1
            if depth == 0:
                return match.end()
    return None
