"""Reading what a server sent: untrusted bytes become a text and its usage, or a reason why not."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Any

from sotopia_pi.models.protocol import Finish
from sotopia_pi.models.remote.complaints import (
    Said,
    error_in,
    is_nothing,
    json_object,
    one_line,
    page_name,
    said_by,
    status_carried,
    status_meant,
    tells,
)

_HALVES = re.compile("[\ud800-\udfff]")
_STREAM = re.compile(rb"\s*(data|event|id|retry)?:")
_STREAMS = ("text/event-stream", "application/x-ndjson", "application/jsonl", "application/stream+json")
#: No model reads or writes so many tokens in one call.
_TOO_MANY_TOKENS = 10_000_000

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
    value = json_object(body)
    if value is None:
        raise _unreadable(body, kind)
    if (error := value.get("error")) and not is_nothing(error):
        raise _trouble(value, error)
    choices = value.get("choices")
    choice = choices[0] if isinstance(choices, list) and choices else None
    if not isinstance(choice, dict):
        if not choices and tells(value):
            raise _trouble(value, error_in(value))
        raise BadReply("sent JSON that is not a chat completion")
    reason = _plain_word(choice.get("finish_reason"))
    finish = next((finish for pattern, finish in _FINISHES if re.fullmatch(pattern, reason)), None)
    if (finish is None and _BROKE.fullmatch(reason)) or not is_nothing(choice.get("error")):
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


def _plain_word(reason: Any) -> str:
    """A reason in small letters and underscores, without what stands before its last dot."""
    return re.sub(r"[^a-z]+", "_", reason.rpartition(".")[2].lower()).strip("_") if isinstance(reason, str) else ""


def _unreadable(body: bytes, kind: str) -> BadReply:
    """What a body is that is no JSON object."""
    if kind.startswith(_STREAMS) or _STREAM.match(body[:100]):
        named = f" ({kind})" if kind else ""
        return BadReply(f"streams its reply{named}, which nobody asked for and which is not read", other=True)
    if page := page_name(body, kind):
        return BadReply(f"sent {page} in place of a reply", other=True)
    if not body.strip():
        return BadReply("sent a reply without a body")
    if "json" in kind or not kind or body.lstrip()[:1] in (b"{", b"["):
        return BadReply("sent a reply that is not complete JSON")
    return BadReply(f"sent a reply that is not JSON but {kind}: {one_line(body[:200].decode('utf-8', 'replace'))!r}")


def _trouble(value: dict[str, Any], error: Any) -> Trouble:
    said = said_by(error)
    return Trouble(status_carried(error) or status_carried(value) or status_meant(said.code) or 502, said)
