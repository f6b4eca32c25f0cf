"""JSON as models write it: knowing when the object is complete, and reading one that is nearly right.

Only slips of writing are mended, with one possible meaning: a comma too many, Python's quotes, a brace that is missing
at the end. A text that was cut off inside a string stays unread: nobody knows how it would have gone on.
"""

from __future__ import annotations

import ast
import json
import re
from typing import Any

_DECODER = json.JSONDecoder(strict=False)
_COMMA = re.compile(r'("(?:\\.|[^"\\])*")|,(?=\s*[}\]])', re.DOTALL)
#: Longer texts are not mended; replies are short, and what is long may have been made to be slow to read.
_MENDABLE = 20_000


def mended_object(text: str) -> dict[str, Any] | None:
    """The first JSON object of `text`, for texts that strict JSON does not read; None when it cannot be mended."""
    start = text.find("{")
    if start < 0 or len(text) > _MENDABLE:
        return None
    body = text[start : json_object_end(text)]
    plain = _COMMA.sub(lambda match: match[1] or "", body)
    for candidate in (plain, f"{plain.rstrip()}}}"):
        try:
            value = _DECODER.raw_decode(candidate)[0]
        except (ValueError, RecursionError):
            continue
        if isinstance(value, dict):
            return value
    return _python_object(body)


def _python_object(body: str) -> dict[str, Any] | None:
    if "\\" in body:  # Python and JSON do not escape alike
        return None
    try:
        value = ast.literal_eval(body)
    except (ValueError, SyntaxError, MemoryError, RecursionError):
        return None
    return value if isinstance(value, dict) else None


def json_object_end(text: str) -> int | None:
    """The index just after the first balanced `{…}` of `text`, None while it is open or has not begun.

    Braces inside strings do not count; the object need not be valid JSON otherwise.
    """
    start = text.find("{")
    if start < 0:
        return None
    depth, in_string, escaped = 0, False, False
    for index in range(start, len(text)):
        char = text[index]
        if in_string:
            if escaped:
                escaped = False
            elif char == "\\":
                escaped = True
            elif char == '"':
                in_string = False
        elif char == '"':
            in_string = True
        elif char == "{":
            depth += 1
        elif char == "}":
            depth -= 1
            if depth == 0:
                return index + 1
    return None
