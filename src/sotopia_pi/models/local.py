"""A model on this machine: transformers weights, every waiting request in one batch, one KV cache per conversation.

A worker thread runs steps for as long as somebody waits. A step takes all conversations that want tokens: those that
just arrived bring the part of their prompt that is not cached, the others their last token, and all of them a draft of
what may follow (drafting.py): as many tokens are gained as the model itself draws in agreement with the draft, and one
more. Conversations join and leave between steps. A reply ends when its JSON object closes (a free one does not), at an
end-of-turn token, or at `max_tokens`.
"""

from __future__ import annotations

import asyncio
import queue
import random
import threading
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch

from sotopia_pi.errors import ModelError
from sotopia_pi.models.chat import encode_chat
from sotopia_pi.models.drafting import Drafter
from sotopia_pi.models.drawing import draw
from sotopia_pi.models.jsontext import json_object_end
from sotopia_pi.models.packing import Packing, Run, Segment, SlotCache, use_packed_attention
from sotopia_pi.models.protocol import Completion, JsonSchema, Message, Sampling
from sotopia_pi.models.weights import lay_out_for_steps, load_model, load_tokenizer

#: Prompt tokens computed in one step at most, so that a crowd of newcomers does not need the memory of all at once.
_PREFILL = 1024
#: Prompt tokens that are copied from another conversation rather than computed, at least.
_WORTH_SHARING = 64
#: Drafted tokens per step, all conversations together, and per conversation at least and at most: a step of few
#: tokens costs nearly as much as one token, in a step of many every token costs.
_DRAFTED, _DRAFT_LEAST, _DRAFT_MOST = 128, 4, 16
#: Conversations with up to this many new tokens are attended to together, padded to the longest of them.
_FEW = _DRAFT_MOST + 1


@dataclass(slots=True)
class _Request:
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
class _Slot:
    """A place in the cache: whose it is, the tokens it holds, and whether a reply is being written in it.

    The first `prompt` of its tokens are those of the last prompt it was given.
    """

    conversation: str = ""
    tokens: list[int] = field(default_factory=list)
    prompt: int = 0
    request: _Request | None = None
    used: int = 0


class LocalModel:
    """Weights in this process. `name` may be that of a policy whose `adapter` is merged into the base weights."""

    def __init__(
        self,
        weights: str,
        adapter: Path | None = None,
        name: str | None = None,
        slots: int = 64,
        max_context: int = 2048,
    ) -> None:
        self._name = name or weights
        self._tokenizer = load_tokenizer(weights)
        self._model = load_model(weights, adapter)
        use_packed_attention(self._model)
        lay_out_for_steps(self._model)
        self._drafter = Drafter()
        config = self._model.config
        length = min(max_context, getattr(config, "max_position_embeddings", max_context))
        self._cache = SlotCache(config, slots, length, next(self._model.parameters()))
        self._slots = [_Slot() for _ in range(slots)]
        stops = self._model.generation_config.eos_token_id
        self._stops = set(stops if isinstance(stops, list) else [stops]) | {self._tokenizer.eos_token_id}
        self._inbox: queue.SimpleQueue[_Request | str | None] = queue.SimpleQueue()
        self._waiting: list[_Request] = []
        self._clock = 0
        self._worker = threading.Thread(target=self._work, name=f"model {self._name}", daemon=True)
        self._worker.start()

    @property
    def name(self) -> str:
        """How the model is called in the config and in reports."""
        return self._name

    async def complete(
        self,
        messages: Sequence[Message],
        sampling: Sampling,
        seed: int,
        conversation: str = "",
        *,
        schema: JsonSchema | None = None,
    ) -> Completion:
        """The model's reply; equal seeds draw equal tokens wherever the logits agree."""
        return await self.reply(self.encode(messages), sampling, seed, conversation)

    def encode(self, messages: Sequence[Message]) -> list[int]:
        """The tokens that the model is shown of a chat. ModelError when its template refuses the chat."""
        return encode_chat(self._tokenizer, messages, prompt=True).ids

    @property
    def context(self) -> int:
        """Tokens of a conversation at most, the next reply included."""
        return self._cache.length

    @property
    def alive(self) -> bool:
        """Whether the model answers."""
        return self._worker.is_alive()

    async def reply(
        self,
        prompt: list[int],
        sampling: Sampling,
        seed: int,
        conversation: str = "",
        *,
        free: bool = False,
        heard: Callable[[str], None] | None = None,
    ) -> Completion:
        """Continues the tokens `prompt`, with one JSON object or, with `free`, any text.

        A prompt without a `conversation` continues the place in the cache whose prompt it begins with, if there is
        one. `heard` is told the reply so far, in another thread. A reply that is no longer waited for ends.
        """
        from concurrent.futures import Future

        if len(prompt) + sampling.max_tokens > self._cache.length:
            raise ModelError(
                f"A conversation of {len(prompt)} tokens does not fit {self._name}'s context of {self._cache.length}; "
                "lower max_turns or raise max_context."
            )
        if not self._worker.is_alive():
            raise ModelError(f"The model {self._name} is closed.")
        answer: Future[Completion] = Future()
        dice = random.Random(seed)
        request = _Request(conversation, prompt, len(prompt), sampling, dice, answer, free=free, heard=heard)
        self._inbox.put(request)
        try:
            return await asyncio.wrap_future(answer)
        finally:
            request.abandoned = True

    async def release(self, conversation: str) -> None:
        """Frees the conversation's place in the cache."""
        self._inbox.put(conversation)

    def close(self) -> None:
        """Stops the worker and frees the memory."""
        self._inbox.put(None)
        self._worker.join()
        self._model = None
        self._cache.layers.clear()

    def _work(self) -> None:
        try:
            while self._receive(block=not self._waiting and not any(slot.request for slot in self._slots)):
                try:
                    with torch.inference_mode():
                        self._step()
                except (RuntimeError, MemoryError) as error:  # out of memory, above all
                    self._fail(f"The model {self._name} stopped: {error}")
        finally:  # whatever ends the worker, nobody waits for it forever
            self._receive(block=False)
            self._fail(f"The model {self._name} was closed.")

    def _receive(self, block: bool) -> bool:
        """Takes what has arrived; False when the model is being closed."""
        while True:
            try:
                item = self._inbox.get(block=block)
            except queue.Empty:
                return True
            block = False
            if item is None:
                return False
            if isinstance(item, str):
                self._forget(item)
            elif item.answer.set_running_or_notify_cancel():  # from here on nobody can cancel it
                self._waiting.append(item)

    def _fail(self, why: str) -> None:
        for request in [*self._waiting, *(slot.request for slot in self._slots if slot.request)]:
            request.answer.set_exception(ModelError(why))
        self._waiting.clear()
        for slot in self._slots:
            slot.request, slot.conversation, slot.tokens = None, "", []

    def _forget(self, conversation: str) -> None:
        for slot in self._slots:
            if slot.conversation == conversation and slot.request is None:
                slot.conversation, slot.tokens = "", []

    def _admit(self) -> None:
        """Gives waiting requests a slot: their conversation's own, else a free one, else the longest unused.

        A prompt that begins like what another slot holds takes it from there; one that begins like a prompt just
        admitted waits for it a step (the same task played again, above all).
        """
        budget = _PREFILL
        left: list[_Request] = []
        fresh: list[list[int]] = []
        for request in self._waiting:
            slot = self._slot_for(request) if budget > 0 else None
            if slot is None:
                left.append(request)
                continue
            keep = _common_prefix(slot.tokens, request.context[:-1])
            if any(_common_prefix(prompt, request.context) >= keep + _WORTH_SHARING for prompt in fresh):
                left.append(request)
                continue
            keep = max(keep, self._share(slot, request.context[:-1], keep))
            slot.conversation, slot.tokens, slot.request = request.conversation, request.context[:keep], request
            slot.prompt = request.prompt
            request.cached = keep
            budget -= request.prompt - keep
            if request.prompt - keep >= _WORTH_SHARING:
                fresh.append(request.context)
        self._waiting = left

    def _share(self, slot: _Slot, prompt: list[int], keep: int) -> int:
        """Copies to `slot` the longest beginning of `prompt` that another slot holds, if that is worth it."""
        shared, donor = max(
            ((_common_prefix(other.tokens, prompt), index) for index, other in enumerate(self._slots)), default=(0, 0)
        )
        if shared < keep + _WORTH_SHARING:
            return keep
        own = self._slots.index(slot)
        for layer in self._cache.layers:
            for part in layer:
                part[own, :, :shared] = part[donor, :, :shared]
        return shared

    def _slot_for(self, request: _Request) -> _Slot | None:
        free = [slot for slot in self._slots if slot.request is None]
        if not free:
            return None
        if request.conversation:
            own = [slot for slot in free if slot.conversation == request.conversation]
        else:
            own = self._continued(free, request.context)
        empty = [slot for slot in free if not slot.tokens]  # the first, so that those in use stay adjacent
        return (own or empty or [min(free, key=lambda slot: slot.used)])[0]

    def _continued(self, free: Sequence[_Slot], context: Sequence[int]) -> list[_Slot]:
        """The nameless slot that `context` continues: it begins with the slot's whole prompt, the longest such."""
        kept = [(_common_prefix(slot.tokens, context), slot) for slot in free if slot.tokens and not slot.conversation]
        return [slot for keep, slot in sorted(kept, key=lambda pair: -pair[0]) if keep >= slot.prompt]

    def _step(self) -> None:
        self._admit()
        self._clock += 1
        active = [(index, slot) for index, slot in enumerate(self._slots) if slot.request]
        if not active:
            return
        most = max(_DRAFT_LEAST, min(_DRAFT_MOST, _DRAFTED // len(active)))
        for _, slot in active:
            self._draft(slot, most)
        packing, ids, positions, wanted = self._pack(active)
        device = self._model.device
        logits = self._model(
            input_ids=torch.tensor([ids], device=device),
            position_ids=torch.tensor([positions], device=device),
            logits_to_keep=torch.tensor([at for places in wanted for at in places], device=device),
            use_cache=False,
            packing=packing,
        ).logits[0]
        # A request has as many rows as it has tokens to draw: the next one and one behind each drafted token.
        rows = [(s.request.sampling, luck) for _, s in active if s.request for luck in s.request.draw_luck()]
        drawn = iter(draw(logits, rows))
        for (_, slot), places in zip(active, wanted, strict=True):
            self._extend(slot, [next(drawn) for _ in places])

    def _draft(self, slot: _Slot, most: int) -> None:
        request = slot.request
        assert request is not None
        room = request.sampling.max_tokens - (len(request.context) - request.prompt) - 1
        request.draft = self._drafter.draft(request.context, min(most, room))

    def _pack(self, active: list[tuple[int, _Slot]]) -> tuple[Packing, list[int], list[int], list[range]]:
        """One row: first the conversations with few new tokens, in slot order, then the others.

        Returns the layout, token ids, positions, and for each active slot the places in the row whose logits are
        wanted: those of its last token and of its draft.
        """
        ids: list[int] = []
        positions: list[int] = []
        wanted: dict[int, range] = {}
        segments: list[Segment] = []
        runs: list[tuple[int, int, list[tuple[int, int]]]] = []
        for index, slot in sorted(active, key=lambda pair: _new_tokens(pair[1]) > _FEW):
            assert slot.request is not None
            holds, start, new = len(slot.tokens), len(ids), slot.request.context[len(slot.tokens) :]
            ids += new + slot.request.draft
            positions += range(holds, holds + len(ids) - start)
            wanted[index] = range(start + len(new) - 1, len(ids))
            if _new_tokens(slot) > _FEW:
                segments.append(Segment(start, len(ids), index, holds))
            elif runs and runs[-1][1] + len(runs[-1][2]) == index:
                runs[-1][2].append((holds, len(ids) - start))
            else:
                runs.append((start, index, [(holds, len(ids) - start)]))
            slot.used = self._clock
        like = self._cache.layers[0][0]
        packing = Packing(segments, self._cache, [Run.of(start, slot, new, like) for start, slot, new in runs])
        return packing, ids, positions, [wanted[index] for index, _ in active]

    def _extend(self, slot: _Slot, drawn: list[int]) -> None:
        """Adds the tokens drawn as far as the draft before each was right; answers when the reply is complete."""
        request = slot.request
        assert request is not None
        right = _common_prefix(drawn, request.draft)
        cached = len(request.context) + right
        for token in drawn[: right + 1]:
            self._add(slot, token)
            if slot.request is None:
                break
        slot.tokens = request.context[:cached]
        del request.luck[: right + 1]

    def _add(self, slot: _Slot, token: int) -> None:
        request = slot.request
        assert request is not None
        stopped = token in self._stops
        if not stopped:
            request.context.append(token)
            request.text = self._tokenizer.decode(request.context[request.prompt :])
        written = len(request.context) - request.prompt
        end = json_object_end(request.text) if "}" in request.text and not request.free else None
        if request.heard is not None and not request.abandoned:
            request.heard(request.text[:end])
        if stopped or end is not None or written >= request.sampling.max_tokens or request.abandoned:
            slot.request = None
            self._drafter.learn(request.context[max(request.prompt - 2, 0) :])
            text = request.text if end is None else request.text[:end]
            request.answer.set_result(Completion(text, request.prompt, request.cached, written))


def _new_tokens(slot: _Slot) -> int:
    assert slot.request is not None
    return len(slot.request.context) + len(slot.request.draft) - len(slot.tokens)


def _common_prefix(a: Sequence[int], b: Sequence[int]) -> int:
    n = min(len(a), len(b))
    return next((i for i in range(n) if a[i] != b[i]), n)
