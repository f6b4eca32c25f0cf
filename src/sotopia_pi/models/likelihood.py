"""How likely a model on this machine is to answer each of many questions with each whole number of a range.

The questions are chats that begin alike, such as one case file and then one question each. What they share is computed
once and kept. The rest of the questions and all of their numbers are laid out behind it as trees, in which texts that
begin alike share their tokens (two questions on one dimension, "1" and "10") and no branch sees another. Many trees go
through the model as one row (`tree_attention`), so the layers see large batches and nothing is padded.

p(number) is the product of the probabilities of its tokens after the chat and the beginning of the answer, and of what
ends it: any token but one that begins with a digit. The numbers of a range are therefore disjoint events, and the sum
of their probabilities is how much of the model's mass is on them.
"""

from __future__ import annotations

import asyncio
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from transformers import AttentionInterface

from sotopia_pi.errors import ModelError
from sotopia_pi.models.numbertree import ROW, Group, Numbered, TokenTree, rows
from sotopia_pi.models.packing import attend
from sotopia_pi.models.protocol import NumberQuestion
from sotopia_pi.models.slots import common_prefix
from sotopia_pi.models.weights import load_model, load_tokenizer

ATTENTION = "sotopia_pi_tree"


@dataclass(slots=True)
class Branch:
    """A tree's tokens [start, end) of a row.

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
        asked = [Numbered.of(self._tokenizer, question) for question in questions]
        longest = max(len(one.prompt) + max(map(len, one.numbers)) for one in asked)
        if longest > self._length:
            raise ModelError(
                f"A question of {longest} tokens does not fit {self._name}'s context of {self._length}; use a model "
                "with a longer context, or shorter episodes."
            )
        # Each question keeps a token of its own, after which the first token of its numbers is read.
        shared = min(min(common_prefix(asked[0].prompt, one.prompt), len(one.prompt) - 1) for one in asked)
        groups: dict[int, list[int]] = {}
        for index, one in enumerate(asked):
            groups.setdefault(one.prompt[shared], []).append(index)
        found: list[list[float]] = [[] for _ in asked]
        try:
            with torch.inference_mode():
                self._hold(asked[0].prompt[:shared])
                for row in rows([Group(indices, [asked[i] for i in indices], shared) for indices in groups.values()]):
                    for index, logs in self._ask(row):
                        found[index] = logs
        except (RuntimeError, MemoryError) as error:  # out of memory, above all
            self._held = Held()
            raise ModelError(f"The model {self._name} stopped: {error}") from error
        return found

    def _hold(self, ids: list[int]) -> None:
        """Computes what of the shared tokens is not held from the questions before."""
        self._held.cut(common_prefix(self._held.tokens, ids))
        for start in range(len(self._held.tokens), len(ids), ROW):
            new = ids[start : start + ROW]
            position = torch.arange(start + len(new), device=self._model.device)
            mask = _hiding(position[None] > position[start:, None], self._like) if start else None
            branch = Branch(0, len(new), mask, position)
            self._forward(new, position[start:], Tree(self._held, [branch], keep=True), position[:1])
            self._held.tokens = ids[: start + len(new)]

    def _ask(self, row: list[Group]) -> Iterator[tuple[int, list[float]]]:
        """The log-probabilities of the numbers of all questions in a row, behind what is held."""
        ids: list[int] = []
        branches: list[Branch] = []
        places: dict[tuple[int, int], int] = {}
        for number, group in enumerate(row):
            start = len(ids)
            ids += group.tree.tokens
            branches.append(self._branch(start, group.tree))
            places |= {(number, node): start + node for node in group.wanted()}
        held = len(self._held.tokens)
        positions = torch.cat([branch.position[held:] for branch in branches])
        wanted = torch.tensor(list(places.values()), device=self._model.device)
        logs = self._forward(ids, positions, Tree(self._held, branches), wanted).float().log_softmax(-1)
        ended = logs.masked_fill(self._digits.to(logs.device), float("-inf")).logsumexp(-1).tolist()
        at = {key: index for index, key in enumerate(places)}
        for number, group in enumerate(row):
            tree = group.tree
            for index, paths in group.paths.items():
                yield (
                    index,
                    [
                        sum(float(logs[at[number, tree.parents[node]], tree.tokens[node]]) for node in path)
                        + ended[at[number, path[-1]]]
                        for path in paths
                    ],
                )

    def _branch(self, start: int, tree: TokenTree) -> Branch:
        held, own = len(self._held.tokens), len(tree.tokens)
        seen = torch.cat([torch.ones(own, held, dtype=torch.bool), torch.from_numpy(tree.seen())], dim=1)
        position = torch.tensor([*range(held), *(held + depth for depth in tree.depths)], device=self._like.device)
        return Branch(start, start + own, _hiding(~seen, self._like), position)

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

    def _tokens_with_digits(self) -> torch.Tensor:
        """Which places of the logits are tokens that begin with a digit, and so go on with a number."""
        size = self._model.get_output_embeddings().weight.shape[0]
        found = torch.zeros(size, dtype=torch.bool)
        for token, index in self._tokenizer.get_vocab().items():
            if index < size and token[:1] in set("0123456789"):
                found[index] = True
        return found
