"""Questions and their numbers as trees of tokens, in which texts that begin alike share what they begin with."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from sotopia_pi.models.chat import encode_chat
from sotopia_pi.models.protocol import NumberQuestion
from sotopia_pi.models.slots import common_prefix
from sotopia_pi.models.tokens import token_ids

#: Tokens that go through the model at once, at least one group.
ROW = 1024


class TokenTree:
    """Texts that begin alike, as tokens: node i is `tokens[i]` after node `parents[i]` (-1: what is held)."""

    def __init__(self) -> None:
        self.tokens: list[int] = []
        self.parents: list[int] = []
        self.depths: list[int] = []
        self._known: dict[tuple[int, int], int] = {}

    def add(self, ids: Sequence[int], after: int = -1) -> list[int]:
        """The nodes of a text that goes on after a node, made where they are missing."""
        path = []
        for token in ids:
            if (after, token) not in self._known:
                self._known[after, token] = len(self.tokens)
                self.tokens.append(token)
                self.parents.append(after)
                self.depths.append(self.depths[after] + 1 if after >= 0 else 0)
            after = self._known[after, token]
            path.append(after)
        return path

    def seen(self) -> NDArray[np.bool_]:
        """[nodes, nodes]: which nodes each comes after, itself included."""
        found = np.eye(len(self.tokens), dtype=bool)
        for node, parent in enumerate(self.parents):
            if parent >= 0:
                found[node] |= found[parent]
        return found


@dataclass(slots=True)
class Numbered:
    """A question in tokens: the chat with the beginning of its answer, and each number behind that."""

    prompt: list[int]
    numbers: list[list[int]]

    @classmethod
    def of(cls, tokenizer: Any, question: NumberQuestion) -> Numbered:
        """The number is tokenized together with what stands before it, as the model would write it."""
        answer = question.answer
        begun, *written = token_ids(tokenizer, [answer, *(f"{answer} {number}" for number in question.numbers)])
        shared = min(common_prefix(begun, ids) for ids in written)
        prompt = encode_chat(tokenizer, question.chat, prompt=True).ids + begun[:shared]
        return cls(prompt, [ids[shared:] for ids in written])


class Group:
    """Questions whose own parts begin alike, by their index: one tree, and the paths of each one's numbers in it."""

    def __init__(self, indices: Sequence[int], asked: Sequence[Numbered], shared: int) -> None:
        self.tree = TokenTree()
        self.paths: dict[int, list[list[int]]] = {}
        for index, one in zip(indices, asked, strict=True):
            last = self.tree.add(one.prompt[shared:])[-1]
            self.paths[index] = [self.tree.add(ids, last) for ids in one.numbers]

    def wanted(self) -> list[int]:
        """The nodes whose logits are read: those of the numbers and those before them."""
        numbers = {node for paths in self.paths.values() for path in paths for node in path}
        return sorted(numbers | {self.tree.parents[node] for node in numbers})


def rows(groups: Sequence[Group]) -> list[list[Group]]:
    """The groups in rows of up to `ROW` tokens, at least one each."""
    rows: list[list[Group]] = []
    room = 0
    for group in groups:
        size = len(group.tree.tokens)
        if not rows or size > room:
            rows.append([])
            room = ROW
        rows[-1].append(group)
        room -= size
    return rows
