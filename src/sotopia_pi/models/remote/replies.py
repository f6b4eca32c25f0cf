"""Reading what a server sent: untrusted bytes become a text and its usage, or a reason why not."""

from __future__ import annotations

import json
import re
from dataclasses import dataclass
from typing import Any

import orjson

_UNSEEN = re.compile(r"[\x00-\x1f\x7f-\x9f\ud800-\udfff]+")
_HALVES = re.compile("[\ud800-\udfff]")


class BadReply(Exception):
    """A server said 200 and sent something that is not a chat completion; the message says what."""


@dataclass(frozen=True, slots=True)
class Answer:
    """A reply's text and its tokens; `counted` is False where the server did not report them."""

    text: str
    prompt: int = 0
    cached: int = 0
    completion: int = 0
    counted: bool = False


def read_answer(body: bytes) -> Answer:
    """The first choice of a chat completion; a refusal counts as its text, no content as an empty one. BadReply."""
    value = _object(body)
    if value is None:
        raise BadReply("sent a reply that is not complete JSON")
    try:
        message = value["choices"][0]["message"]
        text = message.get("content") or message.get("refusal") or ""
    except (KeyError, IndexError, TypeError, AttributeError):
        raise BadReply("sent JSON that is not a chat completion") from None
    if isinstance(text, list):  # content parts, as some servers send
        text = "".join(part["text"] for part in text if isinstance(part, dict) and isinstance(part.get("text"), str))
    if not isinstance(text, str):
        raise BadReply("sent a reply whose content is not a text")
    text = _HALVES.sub("\ufffd", text)
    usage = value.get("usage")
    if not isinstance(usage, dict) or "prompt_tokens" not in usage:
        return Answer(text)
    details = usage.get("prompt_tokens_details")
    prompt = _count(usage.get("prompt_tokens"))
    cached = _count(details.get("cached_tokens")) if isinstance(details, dict) else 0
    cached = cached or _count(usage.get("prompt_cache_hit_tokens"))
    return Answer(text, prompt, min(cached, prompt), _count(usage.get("completion_tokens")), True)


def read_refusal(body: bytes, key: str | None) -> tuple[str, str]:
    """What an error reply says, in one short line without the key, and the error's code ("" when it has none)."""
    value = _object(body)
    error: Any = value.get("error", value) if value is not None else body.decode("utf-8", "replace")
    if isinstance(error, dict):
        said = error.get("message") or error.get("detail") or error
        code = str(error.get("code") or error.get("type") or "")
    else:
        said, code = error, ""
    text = _UNSEEN.sub(" ", without_key(str(said), key)).strip()
    return (text[:300] + "…" if len(text) > 300 else text), without_key(code, key)[:60]


def without_key(text: str, key: str | None) -> str:
    """`text` with the key blotted out, should a server have echoed it."""
    return text.replace(key, "***") if key and key in text else text


def _object(body: bytes) -> dict[str, Any] | None:
    try:
        value = orjson.loads(body)
    except orjson.JSONDecodeError:
        try:  # orjson takes no halves of surrogate pairs, which models do write
            value = json.loads(body)
        except (ValueError, RecursionError):
            return None
    return value if isinstance(value, dict) else None


def _count(value: Any) -> int:
    return min(value, 2**31 - 1) if isinstance(value, int) and not isinstance(value, bool) and value > 0 else 0
