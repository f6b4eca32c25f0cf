"""How likely a model on this machine is to answer each of many questions with each whole number of a range.

The questions are chats that begin alike, such as one case file and then one question each. What they share is computed
once and kept: a question then costs its own tokens, and all of its numbers are laid out behind it as a tree, in which
numbers that begin alike share their tokens ("1" and "10") and none sees another. Any number of questions goes through
the model as one row (`tree_attention`), so the layers see large batches and nothing is padded.

p(number) is the product of the probabilities of its tokens after the chat and the beginning of the answer, and of what
ends it: any token but one that begins with a digit. The numbers of a range are therefore disjoint events, and the sum
of their probabilities is how much of the model's mass is on them.
"""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from transformers import AttentionInterface

from sotopia_pi.errors import ModelError
from sotopia_pi.models.chat import encode_chat
from sotopia_pi.models.packing import attend
from sotopia_pi.models.protocol import NumberQuestion
from sotopia_pi.models.slots import common_prefix
from sotopia_pi.models.tokens import token_ids
from sotopia_pi.models.weights import load_model, load_tokenizer

ATTENTION = "sotopia_pi_tree"
#: Tokens that go through the model at once, at least one question.
_ROW = 1024


@dataclass(slots=True)
class Branch:
    """A question's own tokens [start, end) of a row.

    `mask` [tokens, held + tokens] is 0 where a token sees another and -inf elsewhere; None is plain causal. `position`
    are the positions of the keys, for layers that see only the last few.
    """

    start: int
    end: int
    mask: torch.Tensor | None
    position: torch.Tensor


class Held:
    """Keys and values of the tokens that questions share, [1, heads, tokens, size] for each layer."""

    def __init__(self) -> None:
        self.tokens: list[int] = []
        self.layers: dict[int, tuple[torch.Tensor, torch.Tensor]] = {}

    def cut(self, count: int) -> None:
        """Forgets all but the first `count` tokens."""
        self.tokens = self.tokens[:count]
        self.layers = {index: (k[:, :, :count], v[:, :, :count]) for index, (k, v) in self.layers.items()}


@dataclass(slots=True)
class Tree:
    """The layout of one row: branches behind `held`, or, where `keep`, one branch that is to be held as well."""

    held: Held
    branches: list[Branch]
    keep: bool = False


def tree_attention(
    module: torch.nn.Module,
    query: torch.Tensor,
    key: torch.Tensor,
    value: torch.Tensor,
    attention_mask: torch.Tensor | None,
    tree: Tree,
    scaling: float | None = None,
    dropout: float = 0.0,
    sliding_window: int | None = None,
    softcap: float | None = None,
    **_: Any,
) -> tuple[torch.Tensor, None]:
    """Attention for transformers: each branch attends to what is held and to its own ancestors."""
    layer: int = module.layer_idx  # type: ignore[assignment]
    parts = []
    for branch in tree.branches:
        span = slice(branch.start, branch.end)
        k, v = key[:, :, span], value[:, :, span]
        if layer in tree.held.layers:
            before = tree.held.layers[layer]
            k, v = torch.cat([before[0], k], dim=2), torch.cat([before[1], v], dim=2)
        if tree.keep:
            tree.held.layers[layer] = (k.contiguous(), v.contiguous())
        mask = _windowed(branch, sliding_window, query)
        parts.append(attend(query[:, :, span], k, v, mask, scaling, softcap, dropout).transpose(1, 2))
    return torch.cat(parts, dim=1), None


def _windowed(branch: Branch, window: int | None, like: torch.Tensor) -> torch.Tensor | None:
    """The branch's mask for a layer that sees the last `window` positions only."""
    if window is None or len(branch.position) <= window:
        return branch.mask
    own = branch.position[-(branch.end - branch.start) :, None]
    mask = branch.mask
    if mask is None:
        mask = _hiding(branch.position[None] > own, like)
    return mask.masked_fill(branch.position[None] <= own - window, float("-inf"))


def _hiding(hidden: torch.Tensor, like: torch.Tensor) -> torch.Tensor:
    """-inf where `hidden`, in the type and place of `like`."""
    zeros = torch.zeros(hidden.shape, dtype=like.dtype, device=like.device)
    return zeros.masked_fill(hidden.to(like.device), float("-inf"))


class NumberTree:
    """The numbers of one question as tokens behind the beginning of its answer.

    `root` are the tokens of the answer before any number; node i is `tokens[i]` after node `parents[i]` (-1: the root).
    `ends[j]` is the node with which number j ends.
    """

    def __init__(self, tokenizer: Any, answer: str, numbers: Sequence[int]) -> None:
        beginning, *written = token_ids(tokenizer, [answer, *(f"{answer} {number}" for number in numbers)])
        shared = min(common_prefix(beginning, ids) for ids in written)
        self.root = beginning[:shared]
        self.tokens: list[int] = []
        self.parents: list[int] = []
        self.ends: list[int] = []
        known: dict[tuple[int, int], int] = {}
        for ids in written:
            node = -1
            for token in ids[shared:]:
                if (node, token) not in known:
                    known[node, token] = len(self.tokens)
                    self.tokens.append(token)
                    self.parents.append(node)
                node = known[node, token]
            self.ends.append(node)

    def path(self, node: int) -> list[int]:
        """The nodes from the root to `node`, itself included."""
        found: list[int] = []
        while node >= 0:
            found.append(node)
            node = self.parents[node]
        return found[::-1]


class NumberReader:
    """Weights in this process that are asked for numbers. `tokens` counts those that went through the model."""

    def __init__(self, weights: str, adapter: Path | None = None, name: str | None = None, max_context: int = 8192):
        self._name = name or weights
        self._tokenizer = load_tokenizer(weights)
        self._model = load_model(weights, adapter)
        AttentionInterface.register(ATTENTION, tree_attention)
        self._model.config._attn_implementation = ATTENTION
        config = self._model.config
        self._length = min(max_context, getattr(config, "max_position_embeddings", max_context))
        self._like = next(self._model.parameters())
        self._held = Held()
        self._digits = self._tokens_with_digits()
        self._worker = ThreadPoolExecutor(1, thread_name_prefix=f"model {self._name}")
        self.tokens = 0

    def close(self) -> None:
        """Frees the model."""
        self._worker.shutdown()
        self._model = self._like = None
        self._held = Held()

    async def log_probabilities(self, questions: Sequence[NumberQuestion]) -> list[list[float]]:
        """For each question the natural logarithm of the probability of each of its numbers.

        Questions may be asked from many tasks at once and are answered one call after the other. ModelError where one
        does not fit the model's context, or the machine's memory.
        """
        return await asyncio.get_running_loop().run_in_executor(self._worker, self._read, list(questions))

    def _read(self, questions: list[NumberQuestion]) -> list[list[float]]:
        trees = [NumberTree(self._tokenizer, question.answer, question.numbers) for question in questions]
        prompts = [
            encode_chat(self._tokenizer, question.chat, prompt=True).ids + tree.root
            for question, tree in zip(questions, trees, strict=True)
        ]
        longest = max(len(ids) + len(tree.tokens) for ids, tree in zip(prompts, trees, strict=True))
        if longest > self._length:
            raise ModelError(
                f"A question of {longest} tokens does not fit {self._name}'s context of {self._length}; use a model "
                "with a longer context, or shorter episodes."
            )
        # Each question keeps a token of its own, after which the first token of its numbers is read.
        shared = min(min(common_prefix(prompts[0], ids), len(ids) - 1) for ids in prompts)
        try:
            with torch.inference_mode():
                self._hold(prompts[0][:shared])
                found: list[list[float]] = []
                for batch in _batches([len(p) - shared + len(t.tokens) for p, t in zip(prompts, trees, strict=True)]):
                    found += self._ask([prompts[i][shared:] for i in batch], [trees[i] for i in batch])
                return found
        except (RuntimeError, MemoryError) as error:  # out of memory, above all
            self._held = Held()
            raise ModelError(f"The model {self._name} stopped: {error}") from error

    def _hold(self, ids: list[int]) -> None:
        """Computes what of the shared tokens is not held from the questions before."""
        self._held.cut(common_prefix(self._held.tokens, ids))
        for start in range(len(self._held.tokens), len(ids), _ROW):
            new = ids[start : start + _ROW]
            position = torch.arange(start + len(new), device=self._model.device)
            mask = _hiding(position[None] > position[start:, None], self._like) if start else None
            branch = Branch(0, len(new), mask, position)
            self._forward(new, position[start:], Tree(self._held, [branch], keep=True), position[:1])
            self._held.tokens = ids[: start + len(new)]

    def _ask(self, endings: list[list[int]], trees: list[NumberTree]) -> list[list[float]]:
        """The log-probabilities of every tree's numbers behind what is held and each question's own ending."""
        ids: list[int] = []
        branches: list[Branch] = []
        wanted: list[int] = []
        for ending, tree in zip(endings, trees, strict=True):
            branches.append(self._branch(len(ids), ending, tree))
            wanted += range(len(ids) + len(ending) - 1, branches[-1].end)
            ids += ending + tree.tokens
        held = len(self._held.tokens)
        positions = torch.cat([branch.position[held:] for branch in branches])
        places = torch.tensor(wanted, device=self._model.device)
        logits = self._forward(ids, positions, Tree(self._held, branches), places)
        found, row = [], 0
        for tree in trees:
            found.append(self._of_numbers(logits[row : row + 1 + len(tree.tokens)], tree))
            row += 1 + len(tree.tokens)
        return found

    def _branch(self, start: int, ending: list[int], tree: NumberTree) -> Branch:
        held, own = len(self._held.tokens), len(ending)
        total = own + len(tree.tokens)
        seen = torch.ones(total, held + total, dtype=torch.bool).tril(held)
        position = torch.arange(held + total)
        for node in range(len(tree.tokens)):
            path = tree.path(node)
            seen[own + node, held + own :] = False
            seen[own + node, [held + own + ancestor for ancestor in path]] = True
            position[held + own + node] = held + own + len(path) - 1
        return Branch(start, start + total, _hiding(~seen, self._like), position.to(self._like.device))

    def _forward(self, ids: list[int], positions: torch.Tensor, tree: Tree, places: torch.Tensor) -> torch.Tensor:
        """The logits at `places` of a row."""
        self.tokens += len(ids)
        device = self._model.device
        made: torch.Tensor = self._model(
            input_ids=torch.tensor([ids], device=device),
            position_ids=positions[None],
            logits_to_keep=places,
            use_cache=False,
            tree=tree,
        ).logits[0]
        return made

    def _of_numbers(self, logits: torch.Tensor, tree: NumberTree) -> list[float]:
        """Row 0 of `logits` stands after the root, row i + 1 after node i."""
        logs = logits.float().log_softmax(-1)
        nodes = [float(logs[parent + 1, token]) for parent, token in zip(tree.parents, tree.tokens, strict=True)]
        ended = logs.masked_fill(self._digits.to(logs.device), float("-inf")).logsumexp(-1).tolist()
        return [sum(nodes[node] for node in tree.path(end)) + ended[end + 1] for end in tree.ends]

    def _tokens_with_digits(self) -> torch.Tensor:
        """Which places of the logits are tokens that begin with a digit, and so go on with a number."""
        size = self._model.get_output_embeddings().weight.shape[0]
        found = torch.zeros(size, dtype=torch.bool)
        for token, index in self._tokenizer.get_vocab().items():
            if index < size and token[:1] in set("0123456789"):
                found[index] = True
        return found


def _batches(sizes: Sequence[int]) -> list[list[int]]:
    """Indices in order, in groups of up to `_ROW` tokens, at least one each."""
    groups: list[list[int]] = []
    room = 0
    for index, size in enumerate(sizes):
        if not groups or size > room:
            groups.append([])
            room = _ROW
        groups[-1].append(index)
        room -= size
    return groups
