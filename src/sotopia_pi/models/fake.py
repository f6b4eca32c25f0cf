"""A model without weights, for tests and for trying out a set-up: it answers from a function or a list of replies.

It keeps the protocol of the real ones, counts what it is asked and can be told to be unreachable.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from itertools import cycle

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
        text = self._answer(messages, seed)
        words = sum(len(m["content"].split()) for m in messages)
        return Completion(text, prompt_tokens=words, completion_tokens=len(text.split()))

    async def release(self, conversation: str) -> None:
        """Remembers that the conversation was released."""
        self.released.append(conversation)

    def close(self) -> None:
        """Nothing to free."""
