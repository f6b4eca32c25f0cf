"""Attention over several conversations laid end to end in one row.

All tokens of a step go through the linear layers as one sequence without padding; attention alone looks at the
borders. The same function serves generation (new tokens attend to their conversation's cached keys) and training
(each segment attends to itself), through transformers' attention interface, so it works with every architecture
that uses that interface. `packing` reaches it as a keyword argument of the model's forward.
"""

from __future__ import annotations

import math
import mmap
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import torch
from torch.nn.functional import scaled_dot_product_attention
from transformers import AttentionInterface, PreTrainedConfig

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

    `runs` are conversations with a few new tokens each, in adjacent slots: they lie in the row before all others,
    and each run is attended to in one call. `segments` are all the others.
    """

    segments: list[Segment]
    cache: SlotCache | None = None
    runs: list[Run] = field(default_factory=list)

    @classmethod
    def of_row(cls, segments: torch.Tensor) -> Packing:
        """The layout of a training row, from [n, 4]: start and end, and start and end of the prompt it shares."""
        return cls([Segment(start, end, prefix=(a, b)) for start, end, a, b in segments.tolist()])


@dataclass(slots=True)
class Run:
    """Slots [slot, slot + n) whose new tokens are [start, end) of the row, slot after slot.

    Token t is number `offset[t]` of the new ones of slot `slot + owner[t]` and goes to `place[t]` of its cache. For
    attention the new tokens are padded to the same number `width` for every slot; `mask` is [n, 1, width, longest].
    """

    start: int
    end: int
    slot: int
    count: int
    width: int
    longest: int
    owner: torch.Tensor
    offset: torch.Tensor
    place: torch.Tensor
    mask: torch.Tensor

    @classmethod
    def of(cls, start: int, slot: int, new: Sequence[tuple[int, int]], like: torch.Tensor) -> Run:
        """A run of slots given as (tokens held, new tokens) each."""
        width, longest = max(n for _, n in new), max(held + n for held, n in new)
        owner = torch.tensor([i for i, (_, n) in enumerate(new) for _ in range(n)], device=like.device)
        offset = torch.tensor([k for _, n in new for k in range(n)], device=like.device)
        held = torch.tensor([held for held, _ in new], device=like.device)
        own = held[:, None] + torch.arange(width, device=like.device)
        hidden = torch.arange(longest, device=like.device) > own[:, :, None]
        mask = torch.zeros(hidden.shape, dtype=like.dtype, device=like.device).masked_fill(hidden, float("-inf"))
        place = held[owner] + offset
        return cls(start, start + len(owner), slot, len(new), width, longest, owner, offset, place, mask[:, None])


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
    softcap: float | None = None,
    **_: Any,
) -> tuple[torch.Tensor, None]:
    """Attention for transformers: query [1, heads, tokens, size] to [1, tokens, heads, size].

    `softcap` (Gemma 2) keeps every score between -softcap and softcap.
    """
    layer: int = module.layer_idx  # type: ignore[assignment]
    parts = []
    for run in packing.runs:
        assert packing.cache is not None
        parts.append(_attend_run(query, key, value, run, packing.cache.layers[layer], scaling, sliding_window, softcap))
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
        out = attend(q, k, v, mask, scaling, softcap, dropout)
        parts.append(out.transpose(1, 2))
    return torch.cat(parts, dim=1), None


def attend(
    query: torch.Tensor,
    key: torch.Tensor,
    value: torch.Tensor,
    mask: torch.Tensor | None,
    scaling: float | None,
    softcap: float | None,
    dropout: float = 0.0,
) -> torch.Tensor:
    """Attention of [n, heads, queries, size] to keys, of which several query heads may share one; None is causal."""
    if softcap is None:
        return scaled_dot_product_attention(
            query, key, value, mask, dropout, is_causal=mask is None, scale=scaling, enable_gqa=True
        )
    n, heads, queries, size = query.shape
    grouped = query.reshape(n, key.shape[1], -1, size)  # query heads of one key head become its query positions
    scale = size**-0.5 if scaling is None else scaling
    scores = softcap * torch.tanh(grouped @ key.transpose(2, 3) * scale / softcap)
    scores = scores.view(n, heads, queries, -1)
    if mask is None:
        mask = torch.ones(queries, queries, dtype=torch.bool, device=query.device).tril()
    scores = scores.masked_fill(~mask, float("-inf")) if mask.dtype == torch.bool else scores + mask
    weights = torch.dropout(scores.softmax(-1, dtype=torch.float32).to(value.dtype), dropout, train=dropout > 0)
    return (weights.view(n, key.shape[1], -1, weights.shape[-1]) @ value).view(n, heads, queries, size)


def _attend_run(
    query: torch.Tensor,
    key: torch.Tensor,
    value: torch.Tensor,
    run: Run,
    layer: tuple[torch.Tensor, torch.Tensor],
    scaling: float | None,
    window: int | None,
    softcap: float | None,
) -> torch.Tensor:
    n, width, span = run.count, run.width, slice(run.start, run.end)
    keys, values = (part[run.slot : run.slot + n] for part in layer)
    keys[run.owner, :, run.place] = key[0, :, span].transpose(0, 1)
    values[run.owner, :, run.place] = value[0, :, span].transpose(0, 1)
    # The query heads that share a key head become its query positions, so no key is repeated or copied.
    heads, size, shared = query.shape[1], query.shape[3], query.shape[1] // keys.shape[1]
    own = query[0, :, span].transpose(0, 1)
    if width > 1:
        padded = own.new_zeros(n, width, heads, size)
        padded[run.owner, run.offset] = own
        own = padded
    q = own.view(n, width, -1, shared, size).permute(0, 2, 3, 1, 4).reshape(n, -1, shared * width, size)
    mask = _windowed(run, window).repeat(1, 1, shared, 1) if width > 1 else _windowed(run, window)
    out = attend(q, keys[:, :, : run.longest], values[:, :, : run.longest], mask, scaling, softcap)
    out = out.view(n, -1, shared, width, size).permute(0, 3, 1, 2, 4).reshape(n, width, heads, size)
    return out[run.owner, run.offset][None] if width > 1 else out.view(1, n, heads, size)


def _windowed(run: Run, window: int | None) -> torch.Tensor:
    """The run's mask for a layer that sees the last `window` positions only."""
    if window is None or run.longest <= window:
        return run.mask
    own = run.place.new_zeros(run.count, run.width)
    own[run.owner, run.offset] = run.place
    position = torch.arange(run.longest, device=own.device)
    return run.mask.masked_fill((position <= own[:, :, None] - window)[:, None], float("-inf"))


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
    """Makes `model` (a `PreTrainedModel`) attend with `packed_attention`; every forward then needs `packing=`."""
    AttentionInterface.register(ATTENTION, packed_attention)
    model.config._attn_implementation = ATTENTION
