"""Chats as tokens: one encoding for generation and for training, so that both see the same tokens.

Most templates only append: a conversation is one growing text. Its pieces, cut at the borders of the assistant's
messages, are tokenized one by one, and the tokens before a reply are the same whether the reply is still to be written
or is being trained on. A template that rewrites earlier messages gives one text per reply instead. A template without
a system message, or one that only appends without it, gets it at the beginning of the first user message; one that
wants contents as parts gets them so. In whichever form, every message stands in the text as it is, and its words are
tokenized as words (words.py); a template that shows less, or something else, is refused.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from datetime import date
from itertools import product
from typing import Any
from weakref import WeakKeyDictionary

from sotopia_pi.errors import ModelError
from sotopia_pi.models.protocol import Message
from sotopia_pi.models.tokens import token_ids
from sotopia_pi.models.words import words_of

_REWRITES = (
    "This model's chat template rewrites earlier messages, so a conversation is not one growing text; "
    "encode it with one text per reply."
)
_MEND = "use another model, or mend its chat template."
_MARK = re.compile("⟪([0-9]+)⟫")
#: Messages that a template must show as they are: long, and with all that an escape or a change of case would alter.
_PROBE = [
    Message(role=role, content=f'⟪{number}⟫ {{"It\'s": "<b>Ä & b</b>\\n"}}\n\n\tmore {"words " * 400}end {number}.')
    for number, role in enumerate(("system", "user", "assistant", "user", "assistant"))
]
#: The day that templates write for today's (it is the one that Llama's take where they cannot ask): prompts do not
#: change from day to day, and what is trained is what is played.
_DAY = date(2024, 7, 26)


def _calendar() -> str:
    """A macro that stands for the `strftime_now` of transformers, in a template before all else."""
    codes = [(f"%{code}", _DAY.strftime(f"%{code}")) for code in ("-d", "-m", *"aAbBcdHIjmMpSUwWxXyYD", "F", "e")]
    filled = "".join(f"|replace({code!r}, {written!r})" for code, written in codes)
    return f"{{%- macro strftime_now(format) -%}}{{{{ format{filled} }}}}{{%- endmacro %}}\n"


_CALENDAR = _calendar()


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

    `grows`: it only appends. `folds`: the system message stands at the beginning of the first user message. `parts`:
    it wants each content as a list of parts. `dated`: it writes the day's date.
    """

    def __init__(self, tokenizer: Any) -> None:
        self.template = tokenizer.chat_template
        self._apply = tokenizer.apply_chat_template
        self._words = words_of(tokenizer)
        self._layouts: dict[tuple[bool, tuple[str, ...]], list[list[str]] | None] = {}
        source = self.template.get("default") if isinstance(self.template, dict) else self.template
        self.dated = "strftime_now" in str(source)
        self._options = {"chat_template": f"{_CALENDAR}{source}"} if self.dated else {}
        self.folds = self.parts = self.grows = False
        self._probe()

    def _probe(self) -> None:
        """Chooses a form in which every message stands in the text, one that only appends before one that rewrites."""
        refused: ModelError | None = None
        fitting: tuple[bool, bool] | None = None
        for parts, folds in product((False, True), repeat=2):
            self.parts, self.folds = parts, folds
            try:
                self.grows = self._shows_all()
            except ModelError as error:
                refused = refused or error
                continue
            if self.grows:
                return
            fitting = fitting or (parts, folds)
        if fitting is None:
            assert refused is not None
            raise refused
        self.parts, self.folds = fitting

    def _shows_all(self) -> bool:
        """Whether the probe grows. ModelError where one of its messages does not stand in the text exactly once."""
        shown = self._shown(_PROBE)
        for end, last in enumerate(shown, 1):
            text = self._text(shown[:end], prompt=last["role"] == "user")
            for message in shown[:end]:
                if text.count(message["content"]) != 1:
                    raise ModelError(f"This model's chat template says a {message['role']} message twice; {_MEND}")
        return self._cut(shown, prompt=False) is not None

    def check_trained(self) -> None:
        """ModelError where a reply is written otherwise than it is asked for, so that none can be trained."""
        self.texts(_PROBE)

    def notes(self) -> list[str]:
        """What a user should know of this template."""
        found = []
        if self.folds:
            found.append("this model's chat template has no place for a system message; the first user message has it")
        if not self.grows:
            found.append("this model's chat template rewrites earlier messages: one example per turn")
        if self.dated:
            found.append(f"this model's chat template writes today's date; here that is always {_DAY:%d %B %Y}")
        if self._marks_in_words():
            found.append("this model's chat template marks turns with plain text, which words in a message can imitate")
        return found

    def _marks_in_words(self) -> bool:
        """Whether no token of its own stands between two messages."""
        shown = self._shown(_PROBE[:-1])
        text, between = self._text(shown, prompt=True), []
        for message in shown:
            before, _, text = text.partition(message["content"])
            between.append(before)
        return not all(self._words.marks(gap) for gap in [*between[1:], text])

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
        """The messages as the template gets them, cut where their words would be taken for structure."""
        folded = _folded(messages) if self.folds else messages
        return [Message(role=item["role"], content=self._words.cut(item["content"])) for item in folded]

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
        given: list[Any] = list(messages)
        if self.parts:
            given = [{"role": m["role"], "content": [{"type": "text", "text": m["content"]}]} for m in messages]
        try:
            # Templates of models that reason leave that out when told so; all others ignore the setting.
            text = self._apply(
                given, tokenize=False, add_generation_prompt=prompt, enable_thinking=False, **self._options
            )
        except Exception as error:  # a template is a program of its own, which may end in any way
            why = (str(error).strip() or type(error).__name__).splitlines()[0]
            raise ModelError(
                f"This model's chat template refuses the conversation ({why}); use another model."
            ) from None
        _check_words(str(text), messages)
        return str(text)


def _check_words(text: str, messages: Sequence[Message]) -> None:
    """ModelError where not every message stands in the text as it is, in order; outer white space may be missing."""
    at = 0
    for message in messages:
        words = message["content"].strip()
        found = text.find(words, at)
        if found < 0:
            raise ModelError(
                f"This model's chat template leaves out or changes what a {message['role']} message says; {_MEND}"
            )
        at = found + len(words)


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
