"""CSV that a spreadsheet only shows: no text in it becomes a formula.

A text may be taken for a formula when its first character, after spaces and characters that cannot be seen, is one of
= + - @ or a full-width or small form of these, or when it begins with a tab or a carriage return. Such a text gets an
apostrophe before it, and so does one that looks as if it had got one, so that `unmarked` gives back every text as it
was. Numbers are written as numbers.
"""

from __future__ import annotations

import csv
import io
import re
from collections.abc import Iterable

_SKIPPED = r"\s\x00-\x1f\x7f-\x9f\u00ad\u200b-\u200f\u202a-\u202e\u2060-\u206f\ufeff"
_FORMULA = re.compile(rf"'*(?:[\t\r]|[{_SKIPPED}]*[=+\-@＝＋－＠﹦﹢﹣﹫])")


def cell(value: object) -> object:
    """What is written for a value: a text that might be run gets an apostrophe, all else stays."""
    return f"'{value}" if isinstance(value, str) and _FORMULA.match(value) else value


def unmarked(text: str) -> str:
    """A cell as it was before `cell`."""
    return text[1:] if text.startswith("'") and _FORMULA.match(text) else text


def line(values: Iterable[object]) -> str:
    """A line of CSV."""
    written = io.StringIO()
    csv.writer(written).writerow([cell(value) for value in values])  # its \r\n has cells with either quoted
    return written.getvalue().removesuffix("\r\n") + "\n"
