"""Keys that were sent to servers and must not come back: they are blotted out of every text that is kept or shown.

A server can echo a key, by mistake or on purpose, and a run directory is made to be passed on. So a key is found as it
is and as texts carry it: in small or capital letters; escaped for JSON, Python, URLs or HTML, each character for
itself; with invisible characters between; in base64 and in hexadecimal. Texts pass twice: when they arrive, escapes
and all, and when they are stored, after whatever read them has taken their escapes off. A key that was cut in pieces,
reversed or enciphered is not found: who does that has the key already and need not hide it here.

What has fewer than 8 characters is no key but a filler ("none", "x", "EMPTY"): it is never blotted out, because it
would take ordinary words with it.
"""

from __future__ import annotations

import re
from base64 import b64encode
from bisect import bisect_right
from html import unescape

BLOT = "***"
#: Characters of a key at least.
SHORTEST = 8
#: Characters of base64 that can be no accident.
_SURE = 10
#: A character that stands for itself in no text: escaped, or without a picture.
_SPELLED = re.compile(
    r"\\{1,4}+(?:u00(?P<json>[0-9a-f]{2})|u\{0{0,4}(?P<brace>[0-9a-f]{2})\}|U000000(?P<long>[0-9a-f]{2})"
    r"|x(?P<hex>[0-9a-f]{2})|0?(?P<octal>[0-7]{2,3})(?![0-7])"
    r"|u(?:061c|200[b-f]|202[89a-e]|206[0-9a-f]|feff)|(?=[^\w\s\\]))"
    r"|%(?:25){0,2}(?P<url>[0-9a-f]{2})|(?P<html>&(?:#x?[0-9a-f]{1,8}|amp|lt|gt|quot|apos|plus|sol|equals);?)"
    r"|[\x00-\x1f\x7f-\x9f\u00ad\u061c\u200b-\u200f\u2028-\u202e\u2060-\u206f\ufeff]+",
    re.IGNORECASE,
)
_patterns: dict[str, re.Pattern[str]] = {}


def keep_secret(key: str) -> None:
    """From now on `without_secrets` knows the key; a filler is passed over."""
    if len(key) >= SHORTEST and key not in _patterns:
        forms = [re.escape(key), key.encode().hex(), *(f"(?-i:{form})" for form in _in_base64(key.encode()))]
        _patterns[key] = re.compile("|".join(forms), re.IGNORECASE)


def without_secrets(text: str) -> str:
    """`text` with every key in it blotted out; almost always unchanged."""
    for pattern in _patterns.values():
        text = pattern.sub(BLOT, text)
    if _patterns and _SPELLED.search(text):
        return _without_spelled(text)
    return text


def _without_spelled(text: str) -> str:
    """`text` without the keys that stand in what it spells."""
    plain, places = _read(text)
    kept, end = [], 0
    for first, last in sorted(found.span() for pattern in _patterns.values() for found in pattern.finditer(plain)):
        start, stop = _place(places, first)[0], _place(places, last - 1)[1]
        if start >= end:
            kept += [text[end:start], BLOT]
        end = max(end, stop)
    return "".join([*kept, text[end:]])


def _read(text: str) -> tuple[str, list[tuple[int, int, int]]]:
    """What a text spells; for each piece of it where it begins there and in `text`, and how wide its characters are."""
    pieces: list[str] = []
    places: list[tuple[int, int, int]] = []
    length = at = 0
    for found in _SPELLED.finditer(text):
        start, end = found.span()
        for piece, begin, width in ((text[at:start], at, 1), (_meant(found), start, end - start)):
            if piece:
                pieces.append(piece)
                places.append((length, begin, width))
                length += len(piece)
        at = end
    return "".join([*pieces, text[at:]]), [*places, (length, at, 1)]


def _place(places: list[tuple[int, int, int]], at: int) -> tuple[int, int]:
    """Where in the text a character of what it spells begins and ends."""
    here, begin, width = places[bisect_right(places, at, key=lambda place: place[0]) - 1]
    start = begin + (at - here) * width
    return start, start + width


def _meant(found: re.Match[str]) -> str:
    """The character that is spelled; nothing for one without a picture."""
    kind, value = found.lastgroup, found[found.lastgroup or 0]
    if kind is None:
        return ""
    char = unescape(f"{value.rstrip(';')};") if kind == "html" else chr(int(value, 8 if kind == "octal" else 16))
    return char if char.isprintable() else ""


def _in_base64(key: bytes) -> set[str]:
    """What base64 makes of the key behind any other text: one form for each of three places to begin."""
    forms = set()
    for before in range(3):
        bits = 8 * before, 8 * (before + len(key))
        whole = b64encode(b"\0" * before + key + b"\0\0").decode()[-(-bits[0] // 6) : bits[1] // 6]
        if len(whole) >= _SURE:
            forms.add(re.escape(whole).replace(r"\+", "[-+]").replace("/", "[_/]"))
    return forms
