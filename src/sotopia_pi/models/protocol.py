"""What every model offers: it continues a chat. Local weights, an HTTP endpoint and the fake all look like this."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol, TypedDict


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
class Completion:
    """A model's reply and its tokens; `cached` of the prompt tokens were not computed again."""

    text: str
    prompt_tokens: int = 0
    cached_tokens: int = 0
    completion_tokens: int = 0


class ChatModel(Protocol):
    """A model that can be asked. Every method may be called from one event loop by many episodes at once."""

    @property
    def name(self) -> str:
        """How the model is called in the config and in reports."""
        ...

    async def complete(
        self, messages: Sequence[Message], sampling: Sampling, seed: int, conversation: str = ""
    ) -> Completion:
        """Continues the chat with one JSON object.

        `conversation` names the growing chat that these messages belong to, so that its cache can be used.
        Raises ModelError when the model cannot be reached.
        """
        ...

    async def release(self, conversation: str) -> None:
        """Says that a conversation is over, so that its cache can go."""
        ...

    def close(self) -> None:
        """Frees the model; it cannot be asked any more."""
        ...
