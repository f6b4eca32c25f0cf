"""Texts to token ids, many at once; long parts that come again and again are looked up.

A tokenizer takes special tokens out of a text before anything else, so what stands between two of them is tokenized by
itself, and its ids may be kept: system messages, above all, which many examples share.
"""

from __future__ import annotations

import re
from array import array
from collections import OrderedDict
from collections.abc import Sequence
from typing import Any
from weakref import WeakKeyDictionary

from sotopia_pi.models.words import SEAM

_LONG = 400
_KEPT = 2048
_PROBE = ("A first part, with 1,200 words.", "user\n Then another;\n", "and a third")


class Tokenizing:
    """The ids of texts by one tokenizer, as it gives them without adding special tokens."""

    def __init__(self, tokenizer: Any) -> None:
        self._tokenizer = tokenizer
        self._known: OrderedDict[str, array[int]] = OrderedDict()
        self._borders = self._found_borders()

    def ids(self, texts: Sequence[str]) -> list[list[int]]:
        """The ids of each text."""
        parts = [self._parts(text) for text in texts]
        missing = dict.fromkeys(part for split in parts for part in split if part not in self._known)
        made = dict(zip(missing, self._tokenized(list(missing)), strict=True))
        return [self._joined(split, made) for split in parts]

    def _joined(self, parts: Sequence[str], made: dict[str, list[int]]) -> list[int]:
        if len(parts) == 1 and parts[0] in made and len(parts[0]) < _LONG:
            return made[parts[0]]
        ids: list[int] = []
        for part in parts:
            held = self._known.get(part)
            if held is None:
                ids += made[part]
                if len(part) >= _LONG and self._borders is not None:
                    self._keep(part, made[part])
            else:
                self._known.move_to_end(part)
                ids += held
        return ids

    def _keep(self, part: str, ids: list[int]) -> None:
        self._known[part] = array("i", ids)
        if len(self._known) > _KEPT:
            self._known.popitem(last=False)

    def _parts(self, text: str) -> list[str]:
        """The text cut at its seams, and where a special token begins before or ends after a long part without one."""
        if SEAM in text:
            return [part for piece in text.split(SEAM) if piece for part in self._parts(piece)] or [""]
        if self._borders is None or len(text) < _LONG:
            return [text]
        parts = [""]
        for segment in self._borders.split(text):
            if len(segment) >= _LONG:
                parts += [segment, ""]
            else:
                parts[-1] += segment
        return [part for part in parts if part] or [text]

    def _found_borders(self) -> re.Pattern[str] | None:
        """What matches the special tokens; None where a text may not be cut at them."""
        added = list(getattr(self._tokenizer, "added_tokens_decoder", {}).values())
        marks = [token.content for token in added if token.special]
        if not marks or any(token.lstrip or token.rstrip or token.single_word for token in added):
            return None
        borders = re.compile("(" + "|".join(re.escape(mark) for mark in sorted(marks, key=len, reverse=True)) + ")")
        for mark in marks:
            text = mark.join(_PROBE)
            whole, *parts = self._tokenized([text, *borders.split(text)])
            if whole != [id for part in parts for id in part]:
                return None
        return borders

    def _tokenized(self, texts: list[str]) -> list[list[int]]:
        """Through the tokenizers library itself where there is one, which is a third faster."""
        if not texts:
            return []
        backend = getattr(self._tokenizer, "backend_tokenizer", None)
        if backend is not None and backend.truncation is None and backend.padding is None:
            return [encoding.ids for encoding in backend.encode_batch_fast(texts, add_special_tokens=False)]
        found: list[list[int]] = self._tokenizer(texts, add_special_tokens=False)["input_ids"]
        return found


_BY_TOKENIZER: WeakKeyDictionary[Any, Tokenizing] = WeakKeyDictionary()


def token_ids(tokenizer: Any, texts: Sequence[str]) -> list[list[int]]:
    """The ids of each text, whose parts between SEAMs are tokenized apart, without special tokens added.

    The tokenizer must not change its vocabulary later.
    """
    if tokenizer not in _BY_TOKENIZER:
        _BY_TOKENIZER[tokenizer] = Tokenizing(tokenizer)
    return _BY_TOKENIZER[tokenizer].ids(texts)
