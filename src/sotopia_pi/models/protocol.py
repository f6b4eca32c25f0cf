"""What every model offers: it continues a chat. Local weights, an HTTP endpoint and the fake all look like this."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal, Protocol, TypedDict


class Message(TypedDict):
    """One message of the OpenAI chat format."""

    role: str
    content: str


@dataclass(frozen=True, slots=True)
class Sampling:
    """How a reply is drawn. Temperature 0 is greedy; `max_tokens` bounds the reply."""

    temperature: float = 1.0
    top_p: float = 1.0
    max_tokens: int = 96


@dataclass(frozen=True, slots=True)
class JsonSchema:
    """What a reply must look like, for servers that can hold a model to it: a JSON schema and its name."""

    name: str
    schema: Mapping[str, Any]


#: How a reply ended: by itself; at `max_tokens`; by the provider's content filter; in a call of a tool nobody offered.
Finish = Literal["stop", "length", "filtered", "tools"]


@dataclass(frozen=True, slots=True)
class Completion:
    """A model's reply and its tokens; `cached` of the prompt tokens were not computed again.

    `text` is what the model answered, without thoughts that its server sends apart. `cost` is in US dollars: 0 where
    nothing is paid, None where the price is not known.
    """

    text: str
    prompt_tokens: int = 0
    cached_tokens: int = 0
    completion_tokens: int = 0
    cost: float | None = 0.0
    finish: Finish = "stop"


class ChatModel(Protocol):
    """A model that can be asked. Every method may be called from one event loop by many episodes at once."""

    @property
    def name(self) -> str:
        """How the model is called in the config and in reports."""
        ...

    async def complete(
        self,
        messages: Sequence[Message],
        sampling: Sampling,
        seed: int,
        conversation: str = "",
        *,
        schema: JsonSchema | None = None,
    ) -> Completion:
        """Continues the chat with one JSON object.

        `conversation` names the growing chat that these messages belong to, so that its cache can be used. `schema`
        is what the object should look like; it is a request, not a promise: the caller still checks the reply.
        Raises ModelError when the model cannot be reached.
        """
        ...

    async def release(self, conversation: str) -> None:
        """Says that a conversation is over, so that its cache can go."""
        ...

    def close(self) -> None:
        """Frees the model; it cannot be asked any more."""
        ...


@dataclass(frozen=True, slots=True)
class NumberQuestion:
    """A chat that is to be answered with one of `numbers`; the reply begins with `answer`, as in "Score:"."""

    chat: Sequence[Message]
    answer: str
    numbers: Sequence[int]


class ReadsNumbers(Protocol):
    """A model whose probabilities can be read: local weights, or a fake."""

    async def log_probabilities(self, questions: Sequence[NumberQuestion]) -> list[list[float]]:
        """For each question the logarithm of the probability of each of its numbers. ModelError."""
        ...
