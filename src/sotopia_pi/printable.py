"""Untrusted text made fit to be shown, on a page or a terminal: nothing in it is a command, and nothing is hidden."""

from __future__ import annotations

import unicodedata

TEXT_LIMIT = 2000
_HARMLESS = "\n\t\u200c\u200d"  # the joiners: emoji and several scripts are unreadable without them


def safe_text(text: str, limit: int | None = TEXT_LIMIT) -> str:
    """Untrusted text with invisible and direction-changing characters spelled out as [U+…], cut after `limit`.

    Right-to-left overrides, invisible and control characters and lone surrogates could make a page or a terminal show
    something else than what was written, or break a file. Escaping for HTML is the template's business.
    """
    kept = text[:limit]
    if len(text) > len(kept):
        kept += f" … [{len(text) - len(kept):,} more characters]"
    if kept.isascii() and kept.isprintable():  # most of what a page prints; ten times as fast
        return kept
    return "".join(f"[U+{ord(char):04X}]" if is_hidden(char) else char for char in kept.replace("\r\n", "\n"))


def one_line(text: str, width: int | None = None) -> str:
    """Untrusted text as `safe_text`, on one line, so that it cannot pass for lines of ours, and cut to `width`."""
    line = " ".join(safe_text(text).split())
    return line if width is None or len(line) <= width else f"{line[: width - 1]}…"


def flat(text: str) -> str:
    """A line of ours with untrusted text in it, without any breaks that came with that."""
    return " ".join(text.splitlines())


def is_hidden(char: str) -> bool:
    """Whether a character shows nothing of itself: a control, a format, a separator of lines, or without a glyph."""
    # Cc control, Cf format (bidi controls, invisible), Cs surrogates, Zl/Zp separators; Co/Cn have no glyph.
    category = unicodedata.category(char)
    return char not in _HARMLESS and (category[0] == "C" or category in ("Zl", "Zp"))
