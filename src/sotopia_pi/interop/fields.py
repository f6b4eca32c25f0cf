"""Fields of untrusted records, each of its type or a RecordError that names it.

Published files exist under two sets of names: those of the released data sets and those of SOTOPIA's own database.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

from sotopia_pi.interop.problems import RecordError

_MISSING = object()
_WHOLE = re.compile(r"\s*(\d{1,9})(?:\.0*)?\s*")


def _find(record: Mapping[str, Any], names: tuple[str, ...]) -> Any:
    return next((record[name] for name in names if record.get(name) is not None), _MISSING)


def text(record: Mapping[str, Any], *names: str, default: str | None = None) -> str:
    """The text under the first of `names` that is there; without a default it must be there."""
    value = _find(record, names)
    if value is _MISSING and default is not None:
        return default
    if value is _MISSING:
        raise RecordError(f"{names[0]!r} is missing")
    return _text(value, f"{names[0]!r} is not a text")


def _text(value: Any, otherwise: str) -> str:
    """A text, or a number as one: some writers leave the quotes out where a text looks like a number."""
    if isinstance(value, bool) or not isinstance(value, str | int | float):
        raise RecordError(otherwise)
    return str(value)


def identity(record: Mapping[str, Any], *names: str) -> str:
    """An id: a text that is not empty."""
    value = text(record, *names).strip()
    if not value:
        raise RecordError(f"{names[0]!r} is empty")
    return value


def texts(record: Mapping[str, Any], *names: str, default: tuple[str, ...] | None = None) -> tuple[str, ...]:
    """A list of texts."""
    value = _find(record, names)
    if value is _MISSING and default is not None:
        return default
    if value is _MISSING:
        raise RecordError(f"{names[0]!r} is missing")
    otherwise = f"{names[0]!r} is not a list of texts"
    if not isinstance(value, list):
        raise RecordError(otherwise)
    return tuple(_text(item, otherwise) for item in value)


def whole(record: Mapping[str, Any], *names: str) -> int:
    """A whole number, written as a number or as digits."""
    value = _find(record, names)
    if value is _MISSING:
        raise RecordError(f"{names[0]!r} is missing")
    if isinstance(value, str) and (digits := _WHOLE.fullmatch(value)):
        return int(digits[1])
    if isinstance(value, bool) or not isinstance(value, int | float) or not abs(value) < 1e9 or value != int(value):
        raise RecordError(f"{names[0]!r} is not a whole number")
    return int(value)
