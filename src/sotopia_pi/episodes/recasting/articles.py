"""a or an: which of the two a word takes."""

from __future__ import annotations

import re

_U = r"u(?!ni(?!n|m)|s[aeiu]|ten|til|r[aeiou])"
_AN = re.compile(rf"(?:[aeio]|{_U}|hones|hono|hour|heir|8|11(?!\d)|18(?!\d))", re.IGNORECASE)
_NOT_AN = re.compile(r"(?:eu|one\b|once\b|ewe)", re.IGNORECASE)
_ENDS = re.compile(r"\b(an?)(\s+)$", re.IGNORECASE)


def article(word: str) -> str:
    """The indefinite article before a word or a number in digits."""
    return "an" if _AN.match(word) and not _NOT_AN.match(word) else "a"


def fitted(before: str, word: str) -> str:
    """`before` and then `word`; an article at the end of `before` is made to fit."""
    found = _ENDS.search(before)
    if not found:
        return before + word
    made = article(word)
    made = made.upper() if found.group(1).isupper() and len(found.group(1)) > 1 else made
    made = made[0].upper() + made[1:] if found.group(1)[0].isupper() else made
    return f"{before[: found.start()]}{made}{found.group(2)}{word}"
