"""How a server wants to be asked: what it supports is found out from its refusals and remembered.

A JSON schema first, then "some JSON object", then the bare prompt, which asks for JSON in words. Parameters that a
model refuses (a temperature, a seed, `max_tokens` under that name) are left out or renamed from then on.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from typing import Any

from sotopia_pi.models.protocol import JsonSchema, Message, Sampling
from sotopia_pi.models.words import apart

SCHEMA, OBJECT, PLAIN = range(3)
_RENAMED = {"max_tokens": "max_completion_tokens"}
_OPTIONAL = ("temperature", "top_p", "seed", "max_tokens")
#: A refusal that no other way of asking would change.
_FINAL = re.compile(
    r"context.{0,20}length|maximum context|too long|too many tokens|max_model_len|content.?(filter|policy)", re.I
)


@dataclass(frozen=True, slots=True)
class Asking:
    """One way of asking: how strictly JSON is demanded, which parameters are left out, which are renamed."""

    level: int = SCHEMA
    dropped: frozenset[str] = frozenset()
    renamed: frozenset[str] = frozenset()


@dataclass(slots=True)
class Manner:
    """What is known to work with one server, per schema: a server may take one schema and refuse another."""

    known: dict[str, Asking] = field(default_factory=dict)

    def start(self, schema: JsonSchema | None) -> Asking:
        """The way to ask first."""
        if schema is None:
            return self.known.get("", Asking(PLAIN))
        return self.known.get(schema.name, Asking())

    def worked(self, schema: JsonSchema | None, asking: Asking) -> None:
        """Remembers what worked."""
        self.known[schema.name if schema else ""] = asking


def milder(asking: Asking, refusal: str) -> Asking | None:
    """Another way of asking after a refusal with status 400 or 422; None when nothing is left to try."""
    if _FINAL.search(refusal):
        return None
    for name in _OPTIONAL:
        if name in asking.dropped or not re.search(rf"\b{name}\b", refusal):
            continue
        if name in _RENAMED and name not in asking.renamed:
            return replace(asking, renamed=asking.renamed | {name})
        if name not in _RENAMED:
            return replace(asking, dropped=asking.dropped | {name})
    return replace(asking, level=asking.level + 1) if asking.level < PLAIN else None


def request(
    model: str,
    messages: Sequence[Message],
    sampling: Sampling,
    seed: int,
    schema: JsonSchema | None,
    asking: Asking,
) -> dict[str, Any]:
    """The body of a chat-completions request, in which no words can be taken for the border of a turn."""
    said = [Message(role=message["role"], content=apart(message["content"])) for message in messages]
    body: dict[str, Any] = {"model": model, "messages": said}
    parameters = {
        "temperature": sampling.temperature,
        "top_p": sampling.top_p,
        "max_tokens": sampling.max_tokens,
        "seed": seed & 0x7FFFFFFF,  # some servers take no more than 32 bits
    }
    for name, value in parameters.items():
        if name not in asking.dropped:
            body[_RENAMED[name] if name in asking.renamed else name] = value
    if schema is not None and asking.level == SCHEMA:
        wanted = {"name": schema.name, "schema": schema.schema, "strict": True}
        body["response_format"] = {"type": "json_schema", "json_schema": wanted}
    elif schema is not None and asking.level == OBJECT:
        body["response_format"] = {"type": "json_object"}
    return body
