"""Reading the body of a chat-completions request, which may come from anybody, and saying what is wrong with it."""

from __future__ import annotations

import secrets
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import orjson

from sotopia_pi.models.protocol import Message, Sampling

_ROLES = {"system": "system", "developer": "system", "user": "user", "assistant": "assistant"}
#: Parameters that would change the reply and that the local model does not have, with the values that ask for nothing.
_UNSUPPORTED: Mapping[str, tuple[Any, ...]] = {
    "n": (None, 1),
    "stop": (None, "", []),
    "tools": (None, []),
    "functions": (None, []),
    "logprobs": (None, False),
    "logit_bias": (None, {}),
    "presence_penalty": (None, 0),
    "frequency_penalty": (None, 0),
    "audio": (None,),
}
_FORMATS = ("text", "json_object", "json_schema")
#: No token of ordinary text is longer than this on average, so longer chats are refused before they are tokenized.
_CHARACTERS = 40


class BadRequest(Exception):
    """The request cannot be answered, as OpenAI's servers say it: a sentence, the parameter, a code and a status."""

    def __init__(self, message: str, param: str | None = None, code: str | None = None, status: int = 400) -> None:
        super().__init__(message)
        self.param, self.code, self.status = param, code, status


@dataclass(frozen=True, slots=True)
class Asked:
    """A request. `max_tokens` is None where the client leaves it open; `free` replies are any text."""

    model: str
    messages: list[Message]
    temperature: float
    top_p: float
    seed: int
    max_tokens: int | None
    free: bool
    stream: bool
    usage_in_stream: bool

    def sampling(self, prompt: int, context: int) -> Sampling:
        """How to draw the reply to a prompt of so many tokens. BadRequest when they do not fit the context."""
        wanted = self.max_tokens if self.max_tokens is not None else max(1, context - prompt)
        if prompt + wanted > context:
            raise too_long(f"{prompt} tokens and a reply of up to {wanted}", context)
        return Sampling(self.temperature, self.top_p, wanted)


def too_long(what: str, context: int) -> BadRequest:
    """A conversation that does not fit, in words that clients know."""
    sentence = f"This model's maximum context length is {context} tokens, and the request has {what}; shorten it."
    return BadRequest(sentence, "messages", "context_length_exceeded")


def read_request(body: bytes, context: int) -> Asked:
    """The request in a body, for a model of a context of so many tokens. BadRequest."""
    try:
        value = orjson.loads(body)
    except orjson.JSONDecodeError:
        raise BadRequest("The body is not JSON in UTF-8.") from None
    if not isinstance(value, dict):
        raise BadRequest("The body is not a JSON object.")
    for name, nothing in _UNSUPPORTED.items():
        if value.get(name) not in nothing:
            raise BadRequest(f"{name} is not supported by this server; leave it out.", name, "unsupported_parameter")
    limit = "max_completion_tokens" if value.get("max_completion_tokens") is not None else "max_tokens"
    seed = _number(value, "seed", -(2**63), 2**63 - 1, whole=True)
    most = _number(value, limit, 1, 2**31, whole=True)
    options = value.get("stream_options")
    return Asked(
        model=_text(value.get("model"), "model"),
        messages=_messages(value.get("messages"), context),
        temperature=_number(value, "temperature", 0, 2, 1.0),
        top_p=_number(value, "top_p", 1e-6, 1, 1.0),
        seed=secrets.randbits(31) if seed is None else int(seed),
        max_tokens=None if most is None else int(most),
        free=_is_free(value.get("response_format")),
        stream=_flag(value, "stream"),
        usage_in_stream=isinstance(options, dict) and _flag(options, "include_usage"),
    )


def _messages(value: Any, context: int) -> list[Message]:
    if not isinstance(value, list) or not value:
        raise BadRequest("messages must be a list of at least one message.", "messages")
    if len(value) > context:
        raise too_long(f"{len(value)} messages", context)
    messages = [_message(item, f"messages[{index}]") for index, item in enumerate(value)]
    characters = sum(len(message["content"]) for message in messages)
    if characters > _CHARACTERS * context:
        raise too_long(f"{characters} characters", context)
    return messages


def _message(value: Any, where: str) -> Message:
    if not isinstance(value, dict):
        raise BadRequest(f"{where} must be an object with role and content.", where)
    role = value.get("role")
    if not isinstance(role, str) or role not in _ROLES:
        raise BadRequest(f"{where}.role must be one of {', '.join(_ROLES)}.", f"{where}.role")
    return Message(role=_ROLES[role], content=_content(value.get("content"), f"{where}.content"))


def _content(value: Any, where: str) -> str:
    if isinstance(value, list):
        parts = [part.get("text") if isinstance(part, dict) and part.get("type") == "text" else None for part in value]
        return "".join(_text(part, where, "text, or a list of parts of type text") for part in parts)
    return _text(value, where, "text, or a list of parts of type text")


def _text(value: Any, where: str, what: str = "text") -> str:
    if not isinstance(value, str):
        raise BadRequest(f"{where} must be {what}.", where)
    return value


def _flag(value: Mapping[str, Any], name: str) -> bool:
    given = value.get(name)
    if given is not None and not isinstance(given, bool):
        raise BadRequest(f"{name} must be true or false.", name)
    return bool(given)


def _number(
    value: Mapping[str, Any], name: str, least: float, most: float, default: Any = None, whole: bool = False
) -> Any:
    """A number within bounds, or `default` where there is none."""
    given = value.get(name)
    if given is None:
        return default
    kind = (int,) if whole else (int, float)
    if isinstance(given, bool) or not isinstance(given, kind) or not least <= given <= most:
        what = "a whole number" if whole else "a number"
        raise BadRequest(f"{name} must be {what} from {least:g} to {most:g}.", name)
    return given


def _is_free(value: Any) -> bool:
    """Whether the reply may be any text: no JSON is asked for."""
    if value is None:
        return True
    kind = value.get("type") if isinstance(value, dict) else None
    if not isinstance(kind, str) or kind not in _FORMATS:
        raise BadRequest(f"response_format.type must be one of {', '.join(_FORMATS)}.", "response_format")
    return kind == "text"
