"""JSON lines from a file of any size, one at a time, each good or with what is wrong with it."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from sotopia_pi.errors import StoreError
from sotopia_pi.inputs import open_file, read_json
from sotopia_pi.store.schema import storable

#: Bytes of one record at most; a longer line is refused without being held in memory.
LONGEST = 32 * 1024 * 1024
_DEEPEST = 60


@dataclass(frozen=True, slots=True)
class Line:
    """A line of a file: its number from 1, its text, and the JSON object in it or what is wrong with it."""

    number: int
    text: str = ""
    record: dict[str, Any] | None = None
    problem: str = ""


def read_lines(path: Path) -> Iterator[Line]:
    """The lines of a JSONL file that are not empty. StoreError when the file cannot be read."""
    try:
        with open_file(path) as file:
            number = 0
            while raw := file.readline(LONGEST + 1):
                number += 1
                if len(raw) > LONGEST:
                    while raw and not raw.endswith(b"\n"):
                        raw = file.readline(LONGEST)
                    yield Line(number, problem=f"the line is longer than {LONGEST // 2**20} MiB")
                    continue
                line = _read(number, raw)
                if line is not None:
                    yield line
    except OSError as error:
        raise StoreError(f"{path} cannot be read ({error.strerror}); check the path.") from error


def _read(number: int, raw: bytes) -> Line | None:
    try:
        text = raw.decode("utf-8").strip(" \t\r\n\ufeff")  # a mark stands within where files were put together
    except UnicodeDecodeError as error:
        return Line(number, problem=f"the line is not UTF-8 (byte {error.start + 1})")
    if not text:
        return None
    try:
        record = _read_json(text)
    except ValueError as error:
        reason = f"{error.msg}, column {error.colno}" if isinstance(error, json.JSONDecodeError) else str(error)
        return Line(number, problem=f"the line is not valid JSON ({reason})")
    if not isinstance(record, dict):
        return Line(number, problem="the line is not a JSON object")
    return Line(number, text, record)


def storable_value(value: Any, depth: int = 0) -> Any:
    """The value with what no database can hold replaced in its texts; the line itself keeps it."""
    if depth > _DEEPEST:
        raise ValueError("it is nested too deeply")
    if isinstance(value, str):
        return storable(value)
    if isinstance(value, list):
        return [storable_value(item, depth + 1) for item in value]
    if isinstance(value, dict):
        return {storable(key): storable_value(item, depth + 1) for key, item in value.items()}
    return value


def _read_json(text: str) -> Any:
    """The value; NaN, which Python writes for what is missing and JSON does not have, is null."""
    return storable_value(read_json(text, lambda _: None))


def same_record(stored: str, line: Line) -> bool:
    """Whether a stored text is the record of the line, however it is spaced."""
    return stored == line.text or bool(_read_json(stored) == line.record)
