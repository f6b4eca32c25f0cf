"""Which conversation has which place of the KV cache, and which waiting request gets one next.

A place, a slot, keeps the tokens of its conversation when a reply is complete, so that the next prompt that begins with
them computes only what is new; a prompt that begins like another slot's tokens copies them.
"""

from __future__ import annotations

import random
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any

from sotopia_pi.errors import ModelError
from sotopia_pi.models.packing import SlotCache
from sotopia_pi.models.protocol import Sampling

#: Prompt tokens computed in one step at most, so that a crowd of newcomers does not need the memory of all at once.
_PREFILL = 1024
#: Prompt tokens that are copied from another conversation rather than computed, at least.
_WORTH_SHARING = 64


@dataclass(slots=True)
class Request:
    """A reply being written. `context` is prompt and reply so far; `cached` prompt tokens came from the cache.

    `luck` are the numbers drawn for its next tokens: each token of the reply has its own, with or without drafts.
    `free` replies are any text; `heard` is told a reply as it grows; nobody waits for an `abandoned` one any more.
    """

    conversation: str
    context: list[int]
    prompt: int
    sampling: Sampling
    dice: random.Random
    answer: Any  # concurrent.futures.Future[Completion]
    cached: int = 0
    text: str = ""
    draft: list[int] = field(default_factory=list)
    luck: list[float] = field(default_factory=list)
    free: bool = False
    heard: Callable[[str], None] | None = None
    abandoned: bool = False

    def draw_luck(self) -> list[float]:
        """A number in [0, 1) for the next token and each drafted one."""
        self.luck += [self.dice.random() for _ in range(1 + len(self.draft) - len(self.luck))]
        return self.luck[: 1 + len(self.draft)]


@dataclass(slots=True)
class Slot:
    """A place in the cache: whose it is, the tokens it holds, and whether a reply is being written in it.

    The first `prompt` of its tokens are those of the last prompt it was given.
    """

    conversation: str = ""
    tokens: list[int] = field(default_factory=list)
    prompt: int = 0
    request: Request | None = None
    used: int = 0

    @property
    def new_tokens(self) -> int:
        """How many tokens the next step computes of the reply in this slot, its draft included."""
        assert self.request is not None
        return len(self.request.context) + len(self.request.draft) - len(self.tokens)


class Slots:
    """The slots of one cache and the requests that wait for one. Only the model's worker may use it."""

    def __init__(self, count: int, cache: SlotCache) -> None:
        self._slots = [Slot() for _ in range(count)]
        self._cache = cache
        self.waiting: list[Request] = []

    @property
    def idle(self) -> bool:
        """Whether no reply is being written or waited for."""
        return not self.waiting and not any(slot.request for slot in self._slots)

    def active(self) -> list[tuple[int, Slot]]:
        """The slots in which a reply is being written, each with its place in the cache."""
        return [(index, slot) for index, slot in enumerate(self._slots) if slot.request]

    def fail(self, why: str) -> None:
        """Answers every request, waiting or being written, with a ModelError, and forgets all conversations."""
        for request in [*self.waiting, *(slot.request for slot in self._slots if slot.request)]:
            request.answer.set_exception(ModelError(why))
        self.waiting.clear()
        for slot in self._slots:
            slot.request, slot.conversation, slot.tokens = None, "", []

    def forget(self, conversation: str) -> None:
        """Empties the slot of a conversation in which no reply is being written."""
        for slot in self._slots:
            if slot.conversation == conversation and slot.request is None:
                slot.conversation, slot.tokens = "", []

    def admit(self) -> None:
        """Gives waiting requests a slot: their conversation's own, else a free one, else the longest unused.

        A prompt that begins like what another slot holds takes it from there; one that begins like a prompt just
        admitted waits for it a step (the same task played again, above all).
        """
        budget = _PREFILL
        left: list[Request] = []
        fresh: list[list[int]] = []
        for request in self.waiting:
            slot = self._slot_for(request) if budget > 0 else None
            if slot is None:
                left.append(request)
                continue
            keep = common_prefix(slot.tokens, request.context[:-1])
            if any(common_prefix(prompt, request.context) >= keep + _WORTH_SHARING for prompt in fresh):
                left.append(request)
                continue
            keep = max(keep, self._share(slot, request.context[:-1], keep))
            slot.conversation, slot.tokens, slot.request = request.conversation, request.context[:keep], request
            slot.prompt = request.prompt
            request.cached = keep
            budget -= request.prompt - keep
            if request.prompt - keep >= _WORTH_SHARING:
                fresh.append(request.context)
        self.waiting = left

    def _share(self, slot: Slot, prompt: list[int], keep: int) -> int:
        """Copies to `slot` the longest beginning of `prompt` that another slot holds, if that is worth it."""
        shared, donor = max(
            ((common_prefix(other.tokens, prompt), index) for index, other in enumerate(self._slots)), default=(0, 0)
        )
        if shared < keep + _WORTH_SHARING:
            return keep
        own = self._slots.index(slot)
        for layer in self._cache.layers:
            for part in layer:
                part[own, :, :shared] = part[donor, :, :shared]
        return shared

    def _slot_for(self, request: Request) -> Slot | None:
        free = [slot for slot in self._slots if slot.request is None]
        if not free:
            return None
        if request.conversation:
            own = [slot for slot in free if slot.conversation == request.conversation]
        else:
            own = self._continued(free, request.context)
        empty = [slot for slot in free if not slot.tokens]  # the first, so that those in use stay adjacent
        return (own or empty or [min(free, key=lambda slot: slot.used)])[0]

    def _continued(self, free: Sequence[Slot], context: Sequence[int]) -> list[Slot]:
        """The nameless slot that `context` continues: it begins with the slot's whole prompt, the longest such."""
        kept = [(common_prefix(slot.tokens, context), slot) for slot in free if slot.tokens and not slot.conversation]
        return [slot for keep, slot in sorted(kept, key=lambda pair: -pair[0]) if keep >= slot.prompt]


def common_prefix(a: Sequence[int], b: Sequence[int]) -> int:
    """How many tokens two sequences begin with alike."""
    n = min(len(a), len(b))
    return next((i for i in range(n) if a[i] != b[i]), n)
