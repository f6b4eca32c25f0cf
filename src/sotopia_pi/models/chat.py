"""Chats as tokens: one encoding for generation and for training, so that both see the same tokens.

The template's text is cut at the borders of the assistant's messages and each piece is tokenized by itself. The
tokens before a reply are then the same whether the reply is still to be written or is being trained on.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

from jinja2 import TemplateError

from sotopia_pi.errors import ModelError
from sotopia_pi.models.protocol import Message


@dataclass(slots=True)
class EncodedChat:
    """Token ids, and for each assistant message the [start, end) of its tokens, end-of-turn token included."""

    ids: list[int] = field(default_factory=list)
    replies: list[tuple[int, int]] = field(default_factory=list)


def encode_chat(tokenizer: Any, messages: Sequence[Message], prompt: bool = False) -> EncodedChat:
    """Encodes a chat; with `prompt`, ends where the assistant's next reply begins.

    Raises ModelError when the template is not prefix-preserving: a message changes the text before it.
    """
    encoded = EncodedChat()
    done = ""
    for index, message in enumerate(messages):
        if message["role"] != "assistant":
            continue
        before = _render(tokenizer, messages[:index], prompt=True)
        after = _render(tokenizer, messages[: index + 1], prompt=False)
        if not before.startswith(done) or not after.startswith(before):
            raise ModelError(
                "This model's chat template rewrites earlier messages, so a conversation is not one growing text; "
                "use a model whose template preserves prefixes."
            )
        reply = after[len(before) :]
        tail = reply[len(reply.rstrip()) :]
        encoded.ids += _tokens(tokenizer, before[len(done) :])
        start = len(encoded.ids)
        encoded.ids += _tokens(tokenizer, reply.rstrip())
        encoded.replies.append((start, len(encoded.ids)))
        done = after[: len(after) - len(tail)]
    rest = _render(tokenizer, messages, prompt=prompt)
    if prompt or not encoded.replies:
        encoded.ids += _tokens(tokenizer, rest[len(done) :])
    return encoded


def _render(tokenizer: Any, messages: Sequence[Message], prompt: bool) -> str:
    try:
        return str(tokenizer.apply_chat_template(list(messages), tokenize=False, add_generation_prompt=prompt))
    except TemplateError as error:
        raise ModelError(f"This model's chat template refuses the conversation ({error}); use another model.") from None


def _tokens(tokenizer: Any, text: str) -> list[int]:
    return list(tokenizer(text, add_special_tokens=False)["input_ids"]) if text else []
