"""A model without weights, for tests and for trying out a set-up: it answers from a function or a list of replies.

It keeps the protocol of the real ones, counts what it is asked and can be told to be unreachable.
"""

from __future__ import annotations

import asyncio
import json
from collections.abc import Callable, Mapping, Sequence
from itertools import cycle
from typing import Any

from sotopia_pi.errors import ModelError
from sotopia_pi.models.protocol import Completion, JsonSchema, Message, Sampling

Answer = Callable[[Sequence[Message], int], str]

_SMALL_TALK = (
    '{"action_type": "speak", "argument": "Let us find something that works for both of us."}',
    '{"action_type": "speak", "argument": "What would you like?"}',
    '{"action_type": "leave", "argument": "I have to go."}',
)


class FakeModel:
    """Answers with `answer(messages, seed)`, or with `replies` in turn; ModelError where `reachable` is False."""

    def __init__(
        self,
        answer: Answer | None = None,
        replies: Sequence[str] = _SMALL_TALK,
        name: str = "fake",
        reachable: bool = True,
    ) -> None:
        self._name = name
        self._replies = cycle(replies)
        self._answer: Answer = answer or (lambda messages, seed: next(self._replies))
        self.reachable = reachable
        self.asked: list[list[Message]] = []
        self.released: list[str] = []

    @property
    def name(self) -> str:
        """The name it was given."""
        return self._name

    async def complete(
        self,
        messages: Sequence[Message],
        sampling: Sampling,
        seed: int,
        conversation: str = "",
        *,
        schema: JsonSchema | None = None,
    ) -> Completion:
        """The next answer."""
        await asyncio.sleep(0)
        if not self.reachable:
            raise ModelError(f"The model {self._name} cannot be reached; check that it is running.")
        self.asked.append([Message(role=m["role"], content=m["content"]) for m in messages])
        text = self._text(messages, seed, schema)
        words = sum(len(m["content"].split()) for m in messages)
        return Completion(text, prompt_tokens=words, completion_tokens=len(text.split()))

    def _text(self, messages: Sequence[Message], seed: int, schema: JsonSchema | None) -> str:
        return self._answer(messages, seed)

    async def release(self, conversation: str) -> None:
        """Remembers that the conversation was released."""
        self.released.append(conversation)

    def close(self) -> None:
        """Nothing to free."""


class FakeJudge(FakeModel):
    """Gives a valid rating to every case file; scores follow from the seed and are spread over each range."""

    def __init__(self, name: str = "judge") -> None:
        super().__init__(name=name)

    def _text(self, messages: Sequence[Message], seed: int, schema: JsonSchema | None) -> str:
        return rating_reply(messages, seed, schema) if schema else super()._text(messages, seed, schema)


def rating_reply(messages: Sequence[Message], seed: int, schema: JsonSchema) -> str:
    """A valid reply to a judge's case file: the token and names from its last line, scores drawn with `seed`."""
    case = next(m["content"] for m in messages if m["role"] == "user")
    given: dict[str, Any] = json.loads(case.splitlines()[-1])
    answer: dict[str, Any] = {"token": given["token"]}
    for place, (key, each) in enumerate(schema.schema["properties"].items()):
        if key != "token":
            answer[key] = {"name": given[key]["name"], **_scores(each["properties"], seed + place)}
    return json.dumps(answer, ensure_ascii=False)


def _scores(dimensions: Mapping[str, Any], seed: int) -> dict[str, Any]:
    drawn: dict[str, Any] = {}
    for place, (name, part) in enumerate(dimensions.items()):
        if name != "name":
            score = part["properties"]["score"]
            width = score["maximum"] - score["minimum"] + 1
            value = score["minimum"] + (seed // (place + 1)) % width
            drawn[name] = {"reasoning": f"Drawn from the seed: {value}.", "score": value}
    return drawn
