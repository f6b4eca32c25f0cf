"""What the mock server says, and what it notices: actions, values that satisfy a JSON schema, prefixes of prompts."""

from __future__ import annotations

import re
from collections import OrderedDict
from collections.abc import Sequence
from typing import Any

import orjson

#: Conversations whose last prompt is remembered; older ones are forgotten, so that memory stays flat.
_REMEMBERED = 4096
_DEPTH = 20

_LINES = (
    "I see what you mean. Could we find something that works for both of us?",
    "That is a fair point, and I would like to hear more about what matters to you.",
    "Let me suggest a middle way: each of us gives up a little and keeps what counts.",
    "I have thought about it, and I believe we are closer than it seemed at first.",
    "Thank you for telling me. Here is how it looks from my side of the table.",
)


def action(prompt: str) -> str:
    """A valid action; which words it has depends on the prompt only."""
    return orjson.dumps({"action_type": "speak", "argument": _LINES[len(prompt) % len(_LINES)]}).decode()


def follow(schema: Any, root: Any = None, depth: int = _DEPTH) -> Any:
    """A value that satisfies a JSON schema, as far as servers with structured output support them."""
    root = schema if root is None else root
    if not isinstance(schema, dict) or depth == 0:
        return None
    choices = schema.get("anyOf") or schema.get("oneOf") or schema.get("allOf")
    if "$ref" in schema or choices:
        return follow(choices[0] if choices else _resolve(root, str(schema["$ref"])), root, depth - 1)
    if "const" in schema or schema.get("enum"):
        return schema["const"] if "const" in schema else schema["enum"][0]
    kind = schema.get("type", "object")
    kind = kind[0] if isinstance(kind, list) else kind
    if kind == "object":
        return {name: follow(part, root, depth - 1) for name, part in schema.get("properties", {}).items()}
    if kind == "array":
        parts = schema.get("prefixItems") or [schema.get("items", {})] * max(1, schema.get("minItems", 1))
        return [follow(part, root, depth - 1) for part in parts]
    middle = _middle(schema)
    return {"string": "A short reason.", "integer": middle, "number": middle, "boolean": True}.get(kind)


def _middle(schema: dict[str, Any]) -> int:
    low, high = schema.get("minimum", 0), schema.get("maximum", schema.get("minimum", 0) + 10)
    return int((low + high) // 2)


def _resolve(root: Any, ref: str) -> Any:
    at = root
    for part in ref.removeprefix("#/").split("/"):
        at = at.get(part, {}) if isinstance(at, dict) else {}
    return at


#: Asks for a rating in the words of the package sotopia, which describes its format in the prompt.
PEER_JUDGE = re.compile(r"use exactly these keys: \[(?P<agents>[^\]]*)\]")
_PEER_SCORES = {
    "believability": 9,
    "relationship": 2,
    "knowledge": 3,
    "secret": 0,
    "social_rules": 0,
    "financial_and_material_benefits": 1,
    "goal": 6,
}


def peer_rating(agents: str) -> str:
    """A rating as the package sotopia wants it, for agents as its prompt lists them (`"agent_1", "agent_2"`)."""
    one = {name: ["A short reason.", score] for name, score in _PEER_SCORES.items()}
    return orjson.dumps({"evaluations": dict.fromkeys(re.findall(r"\w+", agents), one)}).decode()


class PrefixCounter:
    """Counts characters of prompts, and those that stood at the start of the same conversation's previous prompt.

    A conversation is named by what `pattern` finds in the prompt, else by its first message.
    """

    def __init__(self, pattern: str | None = None) -> None:
        self._pattern = re.compile(pattern) if pattern else None
        self._last: OrderedDict[str, str] = OrderedDict()
        self.calls = 0
        self.characters = 0
        self.known = 0

    def count(self, messages: Sequence[dict[str, Any]]) -> tuple[int, int]:
        """Characters of a prompt, and how many of them were known; remembers the prompt."""
        contents = [str(message["content"]) for message in messages]
        text = "".join(contents)
        name = contents[0]
        if self._pattern is not None and (found := self._pattern.search(text)):
            name = found[0]
        known = common_prefix(self._last.pop(name, ""), text)
        self._last[name] = text
        if len(self._last) > _REMEMBERED:
            self._last.popitem(last=False)
        self.calls += 1
        self.characters += len(text)
        self.known += known
        return len(text), known

    def facts(self) -> dict[str, int]:
        """The sums."""
        return {"prompt_characters": self.characters, "new_characters": self.characters - self.known}


def common_prefix(a: str, b: str) -> int:
    """How many characters two texts have in common at their start."""
    low, high = 0, min(len(a), len(b))
    if a[:high] == b[:high]:
        return high
    while low < high - 1:  # a[:low] == b[:low] and a[:high] != b[:high]
        middle = (low + high) // 2
        if a[low:middle] == b[low:middle]:
            low = middle
        else:
            high = middle
    return low
