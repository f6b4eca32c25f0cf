"""SOTOPIA's marked-up texts as plain ones: hint tags in goals, parts that only some may see.

`<extra_info>`, `<clarification_hint>` and `<strategy_hint>` mark parts of a goal that its role reads as part of it:
the marks go, the words stay. `<p viewer="agent_0">` is for one role only and `<p viewer="environment">` for none.
"""

from __future__ import annotations

import re

_HINT = re.compile(r"</?\s*\w+_(?:info|hint)\s*>")
_PRIVATE = re.compile(r"<p\s+viewer\s*=\s*[\"']([^\"'>]*)[\"']\s*>(.*?)</p\s*>", re.DOTALL)
_LABEL = re.compile(r"(?<=[^\W_]) (?=(?:Hint|Extra information):)")


def plain(text: str, role: int | None = None) -> str:
    """The text without marks, with what only `role` may see, and without what only others may."""

    def seen(match: re.Match[str]) -> str:
        return match[2] if role is not None and match[1] == f"agent_{role}" else " "

    return _tidy(_HINT.sub(" ", _PRIVATE.sub(seen, text)))


def private(text: str, role: int) -> str:
    """What only `role` may see of a text; mostly nothing."""
    return _tidy(_HINT.sub(" ", " ".join(m[2] for m in _PRIVATE.finditer(text) if m[1] == f"agent_{role}")))


def _tidy(text: str) -> str:
    text = re.sub(r"[ \t\r]+", " ", text)
    text = re.sub(r" ?\n(?: ?\n)* ?", "\n", text).strip()  # a list keeps its lines
    text = text.replace("( ", "(").replace(" )", ")")
    return _LABEL.sub(". ", text)


def same_words(one: str, other: str) -> bool:
    """Whether two texts differ in nothing but marks, spaces and punctuation."""
    return _words(one) == _words(other)


def _words(text: str) -> str:
    return re.sub(r"[\W_]+", "", _HINT.sub("", text)).casefold()
