"""Attention over several conversations laid end to end in one row.

All tokens of a step go through the linear layers as one sequence without padding; attention alone looks at the
borders. The same function serves generation (new tokens attend to their conversation's cached keys) and training
(each segment attends to itself), through transformers' attention interface, so it works with every architecture
that uses that interface. `packing` reaches it as a keyword argument of the model's forward.
"""

from __future__ import annotations

import math
import mmap
from dataclasses import dataclass, field
from typing import Any

import torch
from torch.nn.functional import scaled_dot_product_attention as attend
from transformers import AttentionInterface, PreTrainedConfig

from sotopia_pi.errors import ModelError

ATTENTION = "sotopia_pi_packed"


class SlotCache:
    """Keys and values of up to `slots` conversations of up to `length` tokens; memory is touched only where used."""

    def __init__(self, config: PreTrainedConfig, slots: int, length: int, like: torch.Tensor) -> None:
        heads = getattr(config, "num_key_value_heads", None) or config.num_attention_heads
        size = getattr(config, "head_dim", None) or config.hidden_size // config.num_attention_heads
        shape = (slots, heads, length, size)
        self.length = length
        self.layers = [(_zeros(shape, like), _zeros(shape, like)) for _ in range(config.num_hidden_layers)]


def _zeros(shape: tuple[int, ...], like: torch.Tensor) -> torch.Tensor:
    """Zeros whose memory is claimed in small pages as it is written.

    They must be numbers: a masked position has weight 0, but 0 times the NaN of uninitialised memory is NaN. With
    huge pages a few tokens at the beginning of each slot would claim nearly all of it.
    """
    if like.device.type != "cpu":
        return torch.zeros(shape, dtype=like.dtype, device=like.device)
    memory = mmap.mmap(-1, math.prod(shape) * like.element_size())
    if hasattr(mmap, "MADV_NOHUGEPAGE"):
        memory.madvise(mmap.MADV_NOHUGEPAGE)
    return torch.frombuffer(memory, dtype=like.dtype).view(shape)


@dataclass(slots=True)
class Segment:
    """New tokens [start, end) of the row.

    In generation, `slot` is where they are cached and `holds` how many tokens it has already. In training, the
    tokens before them may be elsewhere in the row: those of [prefix[0], prefix[1]).
    """

    start: int
    end: int
    slot: int = -1
    holds: int = 0
    prefix: tuple[int, int] = (0, 0)


@dataclass(slots=True)
class Packing:
    """The layout of one row.

    `single` are conversations with exactly one new token, in runs of adjacent slots: they lie in the row before
    all others, and each run is attended to in one call. `segments` are all the others.
    """

    segments: list[Segment]
    cache: SlotCache | None = None
    runs: list[Run] = field(default_factory=list)


@dataclass(slots=True)
class Run:
    """Adjacent slots [slot, slot + n) with one new token each, at [start, start + n) of the row."""

    start: int
    slot: int
    holds: torch.Tensor
    longest: int
    mask: torch.Tensor

    @classmethod
    def of(cls, start: int, slot: int, holds: list[int], like: torch.Tensor) -> Run:
        """A run whose slots already hold `holds` tokens each."""
        held, longest = torch.tensor(holds, device=like.device), max(holds) + 1
        hidden = torch.arange(longest, device=like.device)[None] > held[:, None]
        mask = torch.zeros(hidden.shape, dtype=like.dtype, device=like.device).masked_fill(hidden, float("-inf"))
        return cls(start, slot, held, longest, mask[:, None, None])


def packed_attention(
    module: torch.nn.Module,
    query: torch.Tensor,
    key: torch.Tensor,
    value: torch.Tensor,
    attention_mask: torch.Tensor | None,
    packing: Packing,
    scaling: float | None = None,
    dropout: float = 0.0,
    sliding_window: int | None = None,
    **_: Any,
) -> tuple[torch.Tensor, None]:
    """Attention for transformers: query [1, heads, tokens, size] to [1, tokens, heads, size]."""
    layer: int = module.layer_idx  # type: ignore[assignment]
    parts = []
    for run in packing.runs:
        assert packing.cache is not None
        parts.append(_attend_run(query, key, value, run, packing.cache.layers[layer], scaling, sliding_window))
    for segment in packing.segments:
        span = slice(segment.start, segment.end)
        q, k, v = query[:, :, span], key[:, :, span], value[:, :, span]
        if packing.cache is not None:
            keys, values = packing.cache.layers[layer]
            total = segment.holds + segment.end - segment.start
            keys[segment.slot, :, segment.holds : total] = k[0]
            values[segment.slot, :, segment.holds : total] = v[0]
            k, v = keys[segment.slot, None, :, :total], values[segment.slot, None, :, :total]
        elif segment.prefix[1] > segment.prefix[0]:
            shared = slice(*segment.prefix)
            k, v = torch.cat([key[:, :, shared], k], dim=2), torch.cat([value[:, :, shared], v], dim=2)
        mask = _causal(q, k.shape[2], sliding_window)
        causal = mask is None
        out = attend(q, k, v, attn_mask=mask, is_causal=causal, dropout_p=dropout, scale=scaling, enable_gqa=True)
        parts.append(out.transpose(1, 2))
    return torch.cat(parts, dim=1), None


def _attend_run(
    query: torch.Tensor,
    key: torch.Tensor,
    value: torch.Tensor,
    run: Run,
    layer: tuple[torch.Tensor, torch.Tensor],
    scaling: float | None,
    window: int | None,
) -> torch.Tensor:
    n, span = len(run.holds), slice(run.start, run.start + len(run.holds))
    keys, values = (part[run.slot : run.slot + n] for part in layer)
    row = torch.arange(n, device=run.holds.device)
    keys[row, :, run.holds] = key[0, :, span].transpose(0, 1)
    values[row, :, run.holds] = value[0, :, span].transpose(0, 1)
    mask = run.mask
    if window is not None and run.longest > window:
        position = torch.arange(run.longest, device=mask.device)
        old = position[None] <= run.holds[:, None] - window
        mask = mask.masked_fill(old[:, None, None], float("-inf"))
    # The query heads that share a key head become its query positions, so nothing is repeated or copied.
    heads, size = query.shape[1], query.shape[3]
    q = query[0, :, span].transpose(0, 1).reshape(n, keys.shape[1], heads // keys.shape[1], size)
    out = attend(q, keys[:, :, : run.longest], values[:, :, : run.longest], attn_mask=mask, scale=scaling)
    return out.reshape(1, n, heads, size)


def _causal(query: torch.Tensor, keys: int, window: int | None) -> torch.Tensor | None:
    """The mask of a segment whose queries are the last of `keys` positions; None where plain causal will do."""
    queries = query.shape[2]
    if queries == keys and (window is None or keys <= window):
        return None
    position = torch.arange(keys, device=query.device)
    own = position[keys - queries :, None]
    seen = position[None] <= own
    if window is not None:
        seen &= position[None] > own - window
    return seen


def use_packed_attention(model: Any) -> None:
    """Makes `model` (a `PreTrainedModel`) attend with `packed_attention`; every forward then needs `packing=`.

    ModelError for an architecture whose attention is of another kind.
    """
    if getattr(model.config, "attn_logit_softcapping", None):
        raise ModelError(
            f"Models of type {model.config.model_type} cap their attention scores, which is not supported; use another."
        )
    AttentionInterface.register(ATTENTION, packed_attention)
    model.config._attn_implementation = ATTENTION
