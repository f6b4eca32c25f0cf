"""Reading what a server sent: untrusted bytes become a text and its usage, or a reason why not."""

from __future__ import annotations

import json
import re
import unicodedata
from dataclasses import dataclass
from html import unescape
from typing import Any

import orjson

from sotopia_pi.models.protocol import Finish
from sotopia_pi.redaction import without_secrets

_HALVES = re.compile("[\ud800-\udfff]")
_TITLE = re.compile(rb"<title[^>]*>(.{0,2000}?)</title", re.IGNORECASE | re.DOTALL)
_PAGE = re.compile(rb"\s*(<\?xml|<!doctype\s+html|<html|<head|<body)", re.IGNORECASE)
_STREAM = re.compile(rb"\s*(data|event|id|retry)?:")
_STREAMS = ("text/event-stream", "application/x-ndjson", "application/jsonl", "application/stream+json")
#: Under these names servers put into words what is wrong, in a body or in its error.
_WORDS = ("message", "detail", "msg", "error_msg", "status_msg", "error_description", "reason", "title")
_CODES = ("code", "status_code", "error_code", "type", "status")
#: Characters of what a server says that are shown.
_SHOWN = 300
#: No model reads or writes so many tokens in one call.
_TOO_MANY_TOKENS = 10_000_000

#: How a filter of contents words its refusals, which are about one call.
FILTERED = re.compile(
    r"content.?(filter|policy|management|moderation)|moderation|flagged|safety|responsible.?ai|jailbreak|prohibited",
    re.I,
)
#: How servers say that a reply ended otherwise than by itself.
_FINISHES: tuple[tuple[str, Finish], ...] = (
    (r".*length|max_(\w+_)?tokens|token_limit|.*context_window_exceeded|incomplete", "length"),
    (
        r"content_?(filter|policy)\w*|(\w+_)?safety|recitation|block(list|ed)|prohibited_content|spii|language|refusal"
        r"|guardrail\w*|sensitive|moderation|flagged|error_toxic",
        "filtered",
    ),
    (r"(\w+_)?(tool|function)_(calls?|use)", "tools"),
)
#: How they say that something broke on their side.
_BROKE = re.compile(
    r"(\w+_)?(error|failed|failure|timeout|abort|aborted|cancell?ed|overloaded|unavailable|system_resource)"
)


@dataclass(frozen=True, slots=True)
class Said:
    """What a server says of a failure: one short line without keys and control characters, the code of the error and
    the parameter that it names ("" where there is none); `plain` where that is no JSON, as a firewall's page is not."""

    words: str
    code: str = ""
    param: str = ""
    plain: bool = False


class BadReply(Exception):
    """A server said 200 and sent something that is not a chat completion; the message says what.

    `other` is True where something else than a server of models seems to answer.
    """

    def __init__(self, what: str, other: bool = False) -> None:
        super().__init__(what)
        self.other = other


class Trouble(Exception):
    """A server reports a failure, with the status of its reply or, under a 200, the one that its words stand for."""

    def __init__(self, status: int, said: Said) -> None:
        super().__init__(said.words)
        self.status, self.said = status, said


@dataclass(frozen=True, slots=True)
class Answer:
    """A reply's text, how it ended, and its tokens; `counted` is False where the server did not report them, or
    reported what cannot be."""

    text: str
    finish: Finish = "stop"
    prompt: int = 0
    cached: int = 0
    completion: int = 0
    counted: bool = False


def read_answer(body: bytes, kind: str = "") -> Answer:
    """The first choice of a chat completion, sent as the content type `kind`.

    The model's own refusal counts as its text, no content as an empty one, thoughts that come apart as nothing. Raises
    Trouble for a failure that is reported in place of an answer or beside it, BadReply for anything else.
    """
    value = _object(body)
    if value is None:
        raise _unreadable(body, kind)
    if (error := value.get("error")) and not _is_nothing(error):
        raise _trouble(value, error)
    choices = value.get("choices")
    choice = choices[0] if isinstance(choices, list) and choices else None
    if not isinstance(choice, dict):
        if not choices and _told(value):
            raise _trouble(value, _error_in(value))
        raise BadReply("sent JSON that is not a chat completion")
    reason = _plain_word(choice.get("finish_reason"))
    finish = next((finish for pattern, finish in _FINISHES if re.fullmatch(pattern, reason)), None)
    if (finish is None and _BROKE.fullmatch(reason)) or not _is_nothing(choice.get("error")):
        raise _trouble(choice, choice.get("error") or f"the reply ended with {reason!r}")
    message = choice.get("message")
    if message is None and finish is not None:
        message = {}
    if not isinstance(message, dict):
        raise BadReply("sent JSON that is not a chat completion")
    text = _text(message)
    if not text and (message.get("tool_calls") or message.get("function_call")):
        finish = "tools"
    return Answer(text, finish or "stop", *_usage(value.get("usage"), bool(text)))


def _text(message: dict[str, Any]) -> str:
    content = message.get("content")
    if isinstance(content, list):  # content parts, as some servers send; those of other types are thoughts
        content = "".join(_part(part) for part in content)
    text = content or message.get("refusal") or ""
    if not isinstance(text, str):
        raise BadReply("sent a reply whose content is not a text")
    return _HALVES.sub("\ufffd", text)


def _part(part: Any) -> str:
    if isinstance(part, str):
        return part
    if not isinstance(part, dict) or part.get("type", "text") not in ("text", "output_text"):
        return ""
    text = part.get("text")
    return text if isinstance(text, str) else ""


def _usage(usage: Any, replied: bool) -> tuple[int, int, int, bool]:
    """Prompt, cached and reply tokens, and whether they were counted.

    No call has an empty prompt, and no reply of some words has no tokens. What is no whole number from 0 to ten
    million was not counted either; 10.0 is a whole number, "10" is a text.
    """
    if not isinstance(usage, dict):
        return 0, 0, 0, False
    prompt, completion = _count(usage.get("prompt_tokens")), _count(usage.get("completion_tokens"))
    if not prompt or completion is None or (replied and not completion):
        return 0, 0, 0, False
    details = usage.get("prompt_tokens_details")
    cached = _count(details.get("cached_tokens")) if isinstance(details, dict) else None
    cached = cached or _count(usage.get("prompt_cache_hit_tokens")) or 0
    return prompt, cached if cached <= prompt else 0, completion, True


def _count(value: Any) -> int | None:
    """A number of tokens; None for what cannot be one."""
    if isinstance(value, bool) or not isinstance(value, int | float):
        return None
    return int(value) if 0 <= value <= _TOO_MANY_TOKENS and value == int(value) else None


# Failures


def read_said(body: bytes, kind: str = "") -> Said:
    """What the body of an error reply says, sent as the content type `kind`."""
    value = _object(body)
    if value is not None:
        return _said(_error_in(value))
    words = _page(body, kind) or one_line(body[:4000].decode("utf-8", "replace"))
    return Said("bytes that are no text" if words.count("\ufffd") > 3 else words, plain=True)


def _error_in(value: dict[str, Any]) -> Any:
    """The part of a body that says what is wrong; all of it where nothing is named so."""
    return next((value[name] for name in ("error", "errors", "base_resp") if not _is_nothing(value.get(name))), value)


def _said(error: Any) -> Said:
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


def _told(value: dict[str, Any]) -> bool:
    """Whether an object without choices says what is wrong."""
    return any(value.get(name) for name in (*_WORDS, "errors", "base_resp"))


def _trouble(value: dict[str, Any], error: Any) -> Trouble:
    said = _said(error)
    return Trouble(_status(error) or _status(value) or _status_of(said.code) or 502, said)


def _is_nothing(error: Any) -> bool:
    """Whether an error says that there is none, as `{"code": 0, "message": ""}` does."""
    if isinstance(error, dict):
        return not any(error.get(name) for name in _WORDS) and error.get("code") in (None, 0, "0", "", 200, "200")
    return not error


def _status(error: Any) -> int | None:
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


def _status_of(code: str) -> int | None:
    return next((status for pattern, status in _MEANINGS if re.search(pattern, code.lower())), None)


def _code(error: Any) -> str:
    codes = [error.get(name) for name in ("code", "type", "status")] if isinstance(error, dict) else []
    return one_line(str(next((code for code in codes if isinstance(code, str | int) and code), "")))[:60]


def _plain_word(reason: Any) -> str:
    """A reason in small letters and underscores, without what stands before its last dot."""
    return re.sub(r"[^a-z]+", "_", reason.rpartition(".")[2].lower()).strip("_") if isinstance(reason, str) else ""


def _unreadable(body: bytes, kind: str) -> BadReply:
    """What a body is that is no JSON object."""
    if kind.startswith(_STREAMS) or _STREAM.match(body[:100]):
        named = f" ({kind})" if kind else ""
        return BadReply(f"streams its reply{named}, which nobody asked for and which is not read", other=True)
    if page := _page(body, kind):
        return BadReply(f"sent {page} in place of a reply", other=True)
    if not body.strip():
        return BadReply("sent a reply without a body")
    if "json" in kind or not kind or body.lstrip()[:1] in (b"{", b"["):
        return BadReply("sent a reply that is not complete JSON")
    return BadReply(f"sent a reply that is not JSON but {kind}: {one_line(body[:200].decode('utf-8', 'replace'))!r}")


def _page(body: bytes, kind: str) -> str:
    """How to call a body that is an HTML page; "" where it is none."""
    if not kind.startswith("text/html") and not _PAGE.match(body[:500]):
        return ""
    found = _TITLE.search(body[:100_000])
    title = one_line(unescape(found[1].decode("utf-8", "replace"))) if found else ""
    return f'an HTML page ("{title[:100]}")' if title else "an HTML page without a title"


def _object(body: bytes) -> dict[str, Any] | None:
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
