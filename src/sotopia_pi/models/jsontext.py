"""Knowing when a reply is complete: the first JSON object in it has closed."""

from __future__ import annotations


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
