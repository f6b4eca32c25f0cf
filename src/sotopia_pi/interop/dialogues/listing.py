"""The objects of a JSON list, one at a time, so that a file of any size needs the memory of its largest record."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from sotopia_pi.errors import StoreError
from sotopia_pi.inputs import open_text, read_json
from sotopia_pi.interop.lines import LONGEST, storable_value

_CHUNK = 1 << 20
_MARKS = re.compile(r'["\\{}\[\]]')
#: What a string holds up to its end, and its end.
_STRING = re.compile(r'[^"\\]*(?:\\.[^"\\]*)*"', re.DOTALL)


@dataclass(frozen=True, slots=True)
class Item:
    """The place of an object in the list, from 1, and the object or what is wrong with it."""

    number: int
    record: dict[str, Any] | None = None
    problem: str = ""


@dataclass(slots=True)
class _Scan:
    """Where the reading of a file stands: the text of the record that is being read, and how deep in it we are."""

    text: str = ""
    at: int = 0
    start: int = -1
    depth: int = 0
    number: int = 0
    ended: bool = False


def read_list(path: Path) -> Iterator[Item]:
    """The objects of the JSON list in a file. StoreError when the file cannot be read or does not begin as a list."""
    try:
        with open_text(path, errors="surrogateescape") as file:
            head = file.read(_CHUNK).lstrip()
            if not head.startswith("["):
                raise StoreError(f"{path} is not a JSON list of dialogues; check the file and --format.")
            scan = _Scan(head, 1)
            while True:
                yield from _records(scan)
                more = "" if scan.ended else file.read(_CHUNK)
                if not more:
                    break
                scan.text += more
                if len(scan.text) > LONGEST:
                    yield Item(scan.number + 1, problem=f"the record is longer than {LONGEST // 2**20} MiB")
                    return
            if not scan.ended:
                yield Item(scan.number + 1, problem="the file ends before the list does")
    except OSError as error:
        raise StoreError(f"{path} cannot be read ({error.strerror}); check the path.") from error


def _records(scan: _Scan) -> Iterator[Item]:
    """The records that end in the text so far; the text before the one that does not is dropped."""
    while mark := _MARKS.search(scan.text, scan.at):
        sign = mark[0]
        if sign == '"':
            rest = _STRING.match(scan.text, mark.end())
            if rest is None:
                break  # the string goes on in what is not read yet
            scan.at = rest.end()
            continue
        scan.at = mark.end()
        if sign in "{[":
            if scan.depth == 0:
                scan.start = mark.start()
            scan.depth += 1
        elif sign == "]" and scan.depth == 0:
            scan.ended = True
            return
        elif sign in "}]" and scan.depth > 0:  # a stray one belongs to a record that was bad already
            scan.depth -= 1
            if scan.depth == 0:
                scan.number += 1
                yield _item(scan.number, scan.text[scan.start : scan.at])
                scan.start = -1
    keep = scan.start if scan.start >= 0 else scan.at
    if keep > 0:
        scan.text, scan.at, scan.start = scan.text[keep:], max(scan.at - keep, 0), 0 if scan.start >= 0 else -1


def _item(number: int, text: str) -> Item:
    try:
        value = storable_value(read_json(text, lambda _: None))
    except ValueError as error:
        reason = error.msg if isinstance(error, json.JSONDecodeError) else str(error)
        return Item(number, problem=f"the record is not valid JSON ({reason})")
    if not isinstance(value, dict):
        return Item(number, problem="the record is not a JSON object")
    return Item(number, value)
