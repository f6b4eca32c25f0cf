"""Chats as tokens: one encoding for generation and for training, so that both see the same tokens.

Most templates only append: a conversation is one growing text. Its pieces, cut at the borders of the assistant's
messages, are tokenized one by one, and the tokens before a reply are the same whether the reply is still to be written
or is being trained on. A template that rewrites earlier messages gives one text per reply instead. A template without
a system message, or one that only appends without it, gets it at the beginning of the first user message.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from typing import Any
from weakref import WeakKeyDictionary

from jinja2 import TemplateError

from sotopia_pi.errors import ModelError
from sotopia_pi.models.protocol import Message
from sotopia_pi.models.tokens import token_ids

_REWRITES = (
    "This model's chat template rewrites earlier messages, so a conversation is not one growing text; "
    "encode it with one text per reply."
)
_MARK = re.compile("⟪([0-9]+)⟫")


@dataclass(slots=True)
class EncodedChat:
    """Token ids, and for each assistant message the [start, end) of its tokens, end-of-turn token included.

    `turns` are the indices of these messages among the chat's assistant messages.
    """

    ids: list[int] = field(default_factory=list)
    replies: list[tuple[int, int]] = field(default_factory=list)
    turns: list[int] = field(default_factory=list)


def encode_chat(tokenizer: Any, messages: Sequence[Message], prompt: bool = False) -> EncodedChat:
    """Encodes a chat as one growing text; with `prompt`, ends where the assistant's next reply begins.

    A prompt can always be encoded. Without `prompt`, ModelError when the template rewrites earlier messages.
    """
    form = chat_format(tokenizer)
    pieces = form.pieces(messages, prompt)
    if pieces is None:
        if not prompt:
            raise ModelError(_REWRITES)
        pieces = [form.render(messages, prompt=True)]
    return _joined(pieces, iter(token_ids(tokenizer, pieces)))


def encode_chats(tokenizer: Any, chats: Iterable[Sequence[Message]]) -> list[list[EncodedChat]]:
    """Each chat as one text, or where its template rewrites earlier messages, as one text per reply."""
    form = chat_format(tokenizer)
    cut = [form.texts(chat) for chat in chats]
    tokens = iter(token_ids(tokenizer, [piece for texts in cut for _, pieces in texts for piece in pieces]))
    return [[_joined(pieces, tokens, first) for first, pieces in texts] for texts in cut]


def _joined(pieces: Sequence[str], tokens: Any, first: int = 0) -> EncodedChat:
    """The tokens of pieces that are context and reply in turn."""
    made = EncodedChat()
    for number, _ in enumerate(pieces):
        start = len(made.ids)
        made.ids += next(tokens)
        if number % 2:
            made.replies.append((start, len(made.ids)))
            made.turns.append(first + number // 2)
    return made


class ChatFormat:
    """How a tokenizer's chat template lays out a conversation.

    `grows`: it only appends. `folds`: the system message stands at the beginning of the first user message.
    """

    def __init__(self, tokenizer: Any) -> None:
        self.template = tokenizer.chat_template
        self._apply = tokenizer.apply_chat_template
        self._layouts: dict[tuple[bool, tuple[str, ...]], list[list[str]] | None] = {}
        self.folds, self.grows = self._probe()

    def _probe(self) -> tuple[bool, bool]:
        roles = ("system", "user", "assistant", "user", "assistant")
        chat = [Message(role=role, content=f"Message {number}.") for number, role in enumerate(roles)]
        self.folds = False
        try:
            if self._cut(chat, prompt=False) is not None:
                return False, True
            refuses = False
        except ModelError:
            refuses = True
        try:
            grows = self._cut(_folded(chat), prompt=False) is not None
        except ModelError:
            if refuses:
                raise
            grows = False
        return refuses or grows, grows

    def notes(self) -> list[str]:
        """What a user should know of this template."""
        found = []
        if self.folds:
            found.append("this model's chat template has no place for a system message; the first user message has it")
        if not self.grows:
            found.append("this model's chat template rewrites earlier messages: one example per turn")
        return found

    def texts(self, messages: Sequence[Message]) -> list[tuple[int, list[str]]]:
        """The chat as pieces to train on: one list, or one per reply with the reply's number; none without a reply."""
        if not any(message["role"] == "assistant" for message in messages):
            return []
        pieces = self.pieces(messages, prompt=False)
        if pieces is not None:
            return [(0, pieces)]
        shown = self._shown(messages)
        found: list[tuple[int, list[str]]] = []
        for index, message in enumerate(shown):
            if message["role"] == "assistant":
                before = self._text(shown[:index], prompt=True)
                after = self._text(shown[: index + 1], prompt=False)
                if not after.startswith(before):
                    raise ModelError(
                        "This model's chat template writes a reply otherwise than it asks for one, so what is trained "
                        "would not be what is played; use another model."
                    )
                found.append((len(found), [before, after[len(before) :].rstrip()]))
        return found

    def pieces(self, messages: Sequence[Message], prompt: bool) -> list[str] | None:
        """Context and reply in turn, which together are the chat's text; None where the template rewrites it.

        With `prompt` they end with the context in which the next reply is written, else with the last reply.
        """
        if not self.grows:
            return None
        shown = self._shown(messages)
        while not prompt and shown and shown[-1]["role"] != "assistant":
            shown.pop()
        key = (prompt, tuple(message["role"] for message in shown))
        if key not in self._layouts:
            marked = [Message(role=item["role"], content=f"⟪{number}⟫") for number, item in enumerate(shown)]
            cut = self._cut(marked, prompt)
            self._layouts[key] = None if cut is None else [_MARK.split(piece) for piece in cut]
        layout = self._layouts[key]
        if layout is not None:
            # Between the marks of a split piece stand the numbers of the messages.
            made = [
                "".join(shown[int(part)]["content"] if odd % 2 else part for odd, part in enumerate(piece))
                for piece in layout
            ]
            joined, whole = "".join(made), self._text(shown, prompt)
            if whole.startswith(joined) and not whole[len(joined) :].strip():
                return made
        return self._cut(shown, prompt)  # the template depends on what the messages say

    def render(self, messages: Sequence[Message], prompt: bool) -> str:
        """The whole text of a chat."""
        return self._text(self._shown(messages), prompt)

    def _shown(self, messages: Sequence[Message]) -> list[Message]:
        return _folded(messages) if self.folds else list(messages)

    def _cut(self, messages: Sequence[Message], prompt: bool) -> list[str] | None:
        pieces: list[str] = []
        done = ""
        for index, message in enumerate(messages):
            if message["role"] != "assistant":
                continue
            before = self._text(messages[:index], prompt=True)
            after = self._text(messages[: index + 1], prompt=False)
            if not before.startswith(done) or not after.startswith(before):
                return None
            reply = after[len(before) :].rstrip()
            pieces += [before[len(done) :], reply]
            done = before + reply
        if prompt or not pieces:
            rest = self._text(messages, prompt)
            if not rest.startswith(done):
                return None
            pieces.append(rest[len(done) :])
        return pieces

    def _text(self, messages: Sequence[Message], prompt: bool) -> str:
        try:
            # Templates of models that reason leave that out when told so; all others ignore the setting.
            return str(self._apply(list(messages), tokenize=False, add_generation_prompt=prompt, enable_thinking=False))
        except TemplateError as error:
            raise ModelError(
                f"This model's chat template refuses the conversation ({error}); use another model."
            ) from None


_FORMATS: WeakKeyDictionary[Any, ChatFormat] = WeakKeyDictionary()


def chat_format(tokenizer: Any) -> ChatFormat:
    """The format of a tokenizer's present chat template. ModelError when it can render no conversation."""
    known = _FORMATS.get(tokenizer)
    if known is None or known.template != tokenizer.chat_template:
        known = _FORMATS[tokenizer] = ChatFormat(tokenizer)
    return known


def _folded(messages: Sequence[Message]) -> list[Message]:
    """The chat without a system message: its text begins the first user message."""
    if not messages or messages[0]["role"] != "system":
        return list(messages)
    system, *rest = messages
    if rest and rest[0]["role"] == "user":
        return [Message(role="user", content=f"{system['content']}\n\n{rest[0]['content']}"), *rest[1:]]
    return [Message(role="user", content=system["content"]), *rest]
