"""What servers say of failures: untrusted bytes become one short line, a code and the status that they stand for."""

from __future__ import annotations

import json
import re
import unicodedata
from dataclasses import dataclass
from html import unescape
from typing import Any

import orjson

from sotopia_pi.redaction import without_secrets

_TITLE = re.compile(rb"<title[^>]*>(.{0,2000}?)</title", re.IGNORECASE | re.DOTALL)
_PAGE = re.compile(rb"\s*(<\?xml|<!doctype\s+html|<html|<head|<body)", re.IGNORECASE)
#: Under these names servers put into words what is wrong, in a body or in its error.
_WORDS = ("message", "detail", "msg", "error_msg", "status_msg", "error_description", "reason", "title")
_CODES = ("code", "status_code", "error_code", "type", "status")
#: Characters of what a server says that are shown.
_SHOWN = 300
#: How a filter of contents words its refusals, which are about one call.
FILTERED = re.compile(
    r"content.?(filter|policy|management|moderation)|moderation|flagged|safety|responsible.?ai|jailbreak|prohibited",
    re.I,
)


@dataclass(frozen=True, slots=True)
class Said:
    """What a server says of a failure: one short line without keys and control characters, the code of the error and
    the parameter that it names ("" where there is none); `plain` where that is no JSON, as a firewall's page is not."""

    words: str
    code: str = ""
    param: str = ""
    plain: bool = False


def of_a_filter(said: Said) -> bool:
    """Whether a filter of contents speaks, which looks at the words of one call."""
    return not said.plain and FILTERED.search(f"{said.code} {said.words}") is not None


def read_said(body: bytes, kind: str = "") -> Said:
    """What the body of an error reply says, sent as the content type `kind`."""
    value = json_object(body)
    if value is not None:
        return said_by(error_in(value))
    words = page_name(body, kind) or one_line(body[:4000].decode("utf-8", "replace"))
    return Said("bytes that are no text" if words.count("\ufffd") > 3 else words, plain=True)


def error_in(value: dict[str, Any]) -> Any:
    """The part of a body that says what is wrong; all of it where nothing is named so."""
    return next((value[name] for name in ("error", "errors", "base_resp") if not is_nothing(value.get(name))), value)


def said_by(error: Any) -> Said:
    """What an error says that was found in a body."""
    first = error[0] if isinstance(error, list) and error else error
    param = first.get("param") if isinstance(first, dict) else None
    try:
        words = _words(error)
    except RecursionError:
        words = "an error that is nested too deeply to be read"
    return Said(one_line(words), _code(first), one_line(param) if isinstance(param, str) else "")


def _words(error: Any) -> str:
    """The words of an error, which is a text, an object with a text, or a list of either."""
    if isinstance(error, list):
        return "; ".join(_words(part) for part in error[:5])
    if not isinstance(error, dict):
        return str(error)
    said = next((error[name] for name in _WORDS if error.get(name)), None)
    if said is None:
        return json.dumps(error, ensure_ascii=False)
    words = _words(said) if isinstance(said, str | list) else json.dumps(said, ensure_ascii=False)
    place = error.get("loc")  # what pydantic, and so FastAPI, complains of
    if isinstance(place, list | tuple):
        words = f"{'.'.join(map(str, place))}: {words}"
    more = error.get("metadata")  # where routers put what the provider behind them said
    raw = more.get("raw") if isinstance(more, dict) else None
    return f"{words}: {raw}" if isinstance(raw, str) and raw else words


def one_line(text: str) -> str:
    """`text` in one short line, without keys and without characters that are not seen."""
    kept = "".join(" " if _is_unseen(char) else char for char in without_secrets(text[: 20 * _SHOWN]))
    kept = " ".join(kept.split())
    return f"{kept[:_SHOWN]}…" if len(kept) > _SHOWN else kept


def _is_unseen(char: str) -> bool:
    category = unicodedata.category(char)
    return category[0] == "C" or category in ("Zl", "Zp")


def tells(value: dict[str, Any]) -> bool:
    """Whether an object without choices says what is wrong."""
    return any(value.get(name) for name in (*_WORDS, "errors", "base_resp"))


def is_nothing(error: Any) -> bool:
    """Whether an error says that there is none, as `{"code": 0, "message": ""}` does."""
    if isinstance(error, dict):
        return not any(error.get(name) for name in _WORDS) and error.get("code") in (None, 0, "0", "", 200, "200")
    return not error


def status_carried(error: Any) -> int | None:
    """The HTTP status that an error carries as one of its codes."""
    codes = [error.get(name) for name in _CODES] if isinstance(error, dict) else []
    for code in codes:
        number = int(code) if isinstance(code, str) and re.fullmatch(r"[45]\d\d", code) else code
        if isinstance(number, int) and not isinstance(number, bool) and 400 <= number < 600:
            return number
    return None


#: What the codes of errors have in their names, and the status that stands for it.
_MEANINGS = (
    (r"rate_?limit|too_many|throttl|exhausted|quota", 429),
    (r"context|content|json_validate|invalid_request|bad_request|invalid_argument|unprocessable", 400),
    (r"auth|api_key", 401),
    (r"permission|forbidden|denied", 403),
    (r"not_found|not_exist", 404),
)


def status_meant(code: str) -> int | None:
    """The HTTP status that the name of an error stands for."""
    return next((status for pattern, status in _MEANINGS if re.search(pattern, code.lower())), None)


def _code(error: Any) -> str:
    codes = [error.get(name) for name in ("code", "type", "status")] if isinstance(error, dict) else []
    return one_line(str(next((code for code in codes if isinstance(code, str | int) and code), "")))[:60]


def page_name(body: bytes, kind: str) -> str:
    """How to call a body that is an HTML page; "" where it is none."""
    if not kind.startswith("text/html") and not _PAGE.match(body[:500]):
        return ""
    found = _TITLE.search(body[:100_000])
    title = one_line(unescape(found[1].decode("utf-8", "replace"))) if found else ""
    return f'an HTML page ("{title[:100]}")' if title else "an HTML page without a title"


def json_object(body: bytes) -> dict[str, Any] | None:
    """The JSON object in a body; None where there is none."""
    try:
        value = orjson.loads(body)
    except orjson.JSONDecodeError:
        try:  # orjson takes no halves of surrogate pairs, which models do write
            value = json.loads(body)
        except (ValueError, RecursionError):
            return None
    if isinstance(value, list) and len(value) == 1:  # an error of Google's comes in a list
        value = value[0]
    return value if isinstance(value, dict) else None
