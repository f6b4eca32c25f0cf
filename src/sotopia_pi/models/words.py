"""Words that would be taken for structure: `<|im_end|>` said by somebody is not the end of a turn.

Two ways to keep them words. Where the tokenizer is ours, a text is cut inside whatever it would read as one of its
added tokens, and the parts are tokenized apart (`Words.cut`, `SEAM`): the text stays, its tokens are those of words,
and a text without such words has the tokens it always had. Where it is not (a server, a trainer that reads an export),
a space is put into every shape that published templates use for structure (`apart`); nothing else of a text changes.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from itertools import pairwise
from typing import Any
from weakref import WeakKeyDictionary

#: Where a text is cut: a character that Unicode keeps for use inside programs, so that it stands in no text.
SEAM = "\ufdd0"
_TAGS = (
    "s", "pad", "unk", "bos", "eos", "sep", "cls", "mask", "sop", "eop", "eod", "eoh", "eoa", "think", "thinking",
    r"(?:bos|eos|pad|unk|sep|cls|mask)_token", r"(?:start|begin|beginning|end)_of_\w+", r"(?:start|end)_function_\w+",
    r"tool_(?:call|response|result|output)s?", r"function_(?:call|response|result)s?", r"(?:unused|reserved)_?\d+",
    r"extra_id_\d+", "role", r"seed:\w+",
)  # fmt: skip
_BRACKETS = (
    "INST", "SYS", "SYSTEM_PROMPT", "AVAILABLE_TOOLS", "TOOL_CALLS", "TOOL_RESULTS", "TOOL_CONTENT", "MODEL_SETTINGS",
    "THINK", "PAD", "UNK", "BOS", "EOS", "CLS", "SEP", "MASK", "gMASK", "sMASK",
)  # fmt: skip
_BODY = r"[^\s<>|｜]{1,100}"
_SHAPE = re.compile(
    rf"<[|｜]{_BODY}[|｜]?>|<{_BODY}[|｜]>"  # <|im_end|>, <|turn>, <turn|>, <｜User｜>
    rf"|<<?/?(?i:{'|'.join(_TAGS)})>"  # </s>, <start_of_turn>, <think>, <<SYS>>
    r"|<</?SYS>>"
    rf"|\[/?(?:{'|'.join(_BRACKETS)})\]"  # [INST]
    r"|\[\|[^\s\[\]|]{1,100}\|\]"  # [|assistant|]
)


def apart(text: str) -> str:
    """The text with a space in each shape that models know as structure, behind its first character.

    `<|im_end|>` becomes `< |im_end|>`, `</s>` `< /s>` and `[INST]` `[ INST]`; other markup, code and comparisons stay.
    """
    if "<" not in text and "[" not in text:
        return text
    return _SHAPE.sub(lambda found: f"{found[0][0]} {found[0][1:]}", text)


class Words:
    """What a tokenizer reads as structure, and texts cut so that it reads none of it in them.

    Structure is every added token, special or not, but for runs of white space, which are words in any text; and the
    shapes that `apart` knows, for templates whose marks are no tokens of their own.
    """

    def __init__(self, tokenizer: Any) -> None:
        added = {
            index: token
            for index, token in getattr(tokenizer, "added_tokens_decoder", {}).items()
            if token.content.strip(" \t\r\n▁") and (token.special or len(token.content) > 1)
        }
        self._texts = {token.content for token in added.values()}
        self._texts |= {text for text in _vocabulary(tokenizer) if re.fullmatch("<0x[0-9A-F]{2}>", text)}
        self._sizes = sorted({len(text) for text in self._texts})
        self._single = {ord(text): "\ufffd" for text in self._texts if len(text) == 1}  # which cannot be cut
        firsts = sorted({"<", "["} | {text[0] for text in self._texts})
        self._first = re.compile(f"[{''.join(re.escape(first) for first in firsts)}]")
        self._backend = getattr(tokenizer, "backend_tokenizer", None)
        # Tokens that are looked for in the text as it is normalized, which may read otherwise than it is written.
        normalized = self._backend is not None and self._backend.normalizer is not None
        unknown = getattr(tokenizer, "unk_token_id", None)
        self._hidden = {i for i, token in added.items() if normalized and token.normalized and i != unknown}

    def cut(self, text: str) -> str:
        """The text with a SEAM wherever it must be cut."""
        text = text.replace(SEAM, "\ufffd")
        if self._single:
            text = text.translate(self._single)
        if not self._hidden and not self._first.search(text):
            return text
        places = {match.start() + 1 for match in _SHAPE.finditer(text)} | set(self._written(text))
        ends = [0, *sorted(places), len(text)]
        parts = [text[start:end] for start, end in pairwise(ends)]
        return SEAM.join(piece for part in parts for piece in self._read(part))

    def marks(self, text: str) -> bool:
        """Whether a template's text between two messages has structure that is a token of its own."""
        return next(self._written(text), None) is not None

    def _written(self, text: str) -> Iterator[int]:
        """Behind the first character of every added token that stands in the text, overlapping ones as well."""
        for match in self._first.finditer(text):
            at = match.start()
            if any(text[at : at + size] in self._texts for size in self._sizes):
                yield at + 1

    def _read(self, text: str) -> Iterator[str]:
        """The text in parts in none of which the tokenizer finds a hidden token."""
        if self._hidden and self._backend is not None:
            encoding = self._backend.encode(text, add_special_tokens=False)
            for index, (start, end) in zip(encoding.ids, encoding.offsets, strict=True):
                if index in self._hidden and end - start > 1:
                    middle = (start + end) // 2
                    yield from self._read(text[:middle])
                    yield from self._read(text[middle:])
                    return
        yield text


def _vocabulary(tokenizer: Any) -> dict[str, int]:
    known: dict[str, int] = tokenizer.get_vocab() if hasattr(tokenizer, "get_vocab") else {}
    return known


_BY_TOKENIZER: WeakKeyDictionary[Any, Words] = WeakKeyDictionary()


def words_of(tokenizer: Any) -> Words:
    """What `tokenizer` reads as structure. Its added tokens must not change later."""
    if tokenizer not in _BY_TOKENIZER:
        _BY_TOKENIZER[tokenizer] = Words(tokenizer)
    return _BY_TOKENIZER[tokenizer]
