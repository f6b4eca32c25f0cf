"""A model on this machine: transformers weights, every waiting request in one batch, one KV cache per conversation.

A worker thread runs steps for as long as somebody waits. A step takes all conversations that want tokens: those that
just arrived bring the part of their prompt that is not cached, the others their last token, and all of them a draft of
what may follow (drafting.py): as many tokens are gained as the model itself draws in agreement with the draft, and one
more. Conversations join and leave between steps (slots.py). A reply ends when its first JSON object outside of thoughts
closes (a free one does not), at an end-of-turn token, or at `max_tokens`.
"""

from __future__ import annotations

import asyncio
import queue
import random
import threading
from collections.abc import Callable, Sequence
from pathlib import Path

import torch

from sotopia_pi.errors import ModelError
from sotopia_pi.models.answers import answer_end
from sotopia_pi.models.chat import encode_chat
from sotopia_pi.models.drafting import Drafter
from sotopia_pi.models.drawing import draw
from sotopia_pi.models.packing import Packing, Run, Segment, SlotCache, use_packed_attention
from sotopia_pi.models.protocol import Completion, Finish, JsonSchema, Message, Sampling
from sotopia_pi.models.slots import Request, Slot, Slots, common_prefix
from sotopia_pi.models.weights import lay_out_for_steps, load_model, load_tokenizer

#: Drafted tokens per step, all conversations together, and per conversation at least and at most: a step of few
#: tokens costs nearly as much as one token, in a step of many every token costs.
_DRAFTED, _DRAFT_LEAST, _DRAFT_MOST = 128, 4, 16
#: Conversations with up to this many new tokens are attended to together, padded to the longest of them.
_FEW = _DRAFT_MOST + 1


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
        self._slots = Slots(slots, self._cache)
        stops = self._model.generation_config.eos_token_id
        self._stops = set(stops if isinstance(stops, list) else [stops]) | {self._tokenizer.eos_token_id}
        self._inbox: queue.SimpleQueue[Request | str | None] = queue.SimpleQueue()
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
        request = Request(conversation, prompt, len(prompt), sampling, dice, answer, free=free, heard=heard)
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
            while self._receive(block=self._slots.idle):
                try:
                    with torch.inference_mode():
                        self._step()
                except (RuntimeError, MemoryError) as error:  # out of memory, above all
                    self._slots.fail(f"The model {self._name} stopped: {error}")
        finally:  # whatever ends the worker, nobody waits for it forever
            self._receive(block=False)
            self._slots.fail(f"The model {self._name} was closed.")

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
                self._slots.forget(item)
            elif item.answer.set_running_or_notify_cancel():  # from here on nobody can cancel it
                self._slots.waiting.append(item)

    def _step(self) -> None:
        self._slots.admit()
        self._clock += 1
        active = self._slots.active()
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

    def _draft(self, slot: Slot, most: int) -> None:
        request = slot.request
        assert request is not None
        room = request.sampling.max_tokens - (len(request.context) - request.prompt) - 1
        request.draft = self._drafter.draft(request.context, min(most, room))

    def _pack(self, active: list[tuple[int, Slot]]) -> tuple[Packing, list[int], list[int], list[range]]:
        """One row: first the conversations with few new tokens, in slot order, then the others.

        Returns the layout, token ids, positions, and for each active slot the places in the row whose logits are
        wanted: those of its last token and of its draft.
        """
        ids: list[int] = []
        positions: list[int] = []
        wanted: dict[int, range] = {}
        segments: list[Segment] = []
        runs: list[tuple[int, int, list[tuple[int, int]]]] = []
        for index, slot in sorted(active, key=lambda pair: pair[1].new_tokens > _FEW):
            assert slot.request is not None
            holds, start, new = len(slot.tokens), len(ids), slot.request.context[len(slot.tokens) :]
            ids += new + slot.request.draft
            positions += range(holds, holds + len(ids) - start)
            wanted[index] = range(start + len(new) - 1, len(ids))
            if slot.new_tokens > _FEW:
                segments.append(Segment(start, len(ids), index, holds))
            elif runs and runs[-1][1] + len(runs[-1][2]) == index:
                runs[-1][2].append((holds, len(ids) - start))
            else:
                runs.append((start, index, [(holds, len(ids) - start)]))
            slot.used = self._clock
        like = self._cache.layers[0][0]
        packing = Packing(segments, self._cache, [Run.of(start, slot, new, like) for start, slot, new in runs])
        return packing, ids, positions, [wanted[index] for index, _ in active]

    def _extend(self, slot: Slot, drawn: list[int]) -> None:
        """Adds the tokens drawn as far as the draft before each was right; answers when the reply is complete."""
        request = slot.request
        assert request is not None
        right = common_prefix(drawn, request.draft)
        cached = len(request.context) + right
        for token in drawn[: right + 1]:
            self._add(slot, token)
            if slot.request is None:
                break
        slot.tokens = request.context[:cached]
        del request.luck[: right + 1]

    def _add(self, slot: Slot, token: int) -> None:
        request = slot.request
        assert request is not None
        stopped = token in self._stops
        if not stopped:
            request.context.append(token)
            request.text = self._tokenizer.decode(request.context[request.prompt :])
        written = len(request.context) - request.prompt
        end = answer_end(request.text) if "}" in request.text and not request.free else None
        if request.heard is not None and not request.abandoned:
            request.heard(request.text[:end])
        if stopped or end is not None or written >= request.sampling.max_tokens or request.abandoned:
            slot.request = None
            self._drafter.learn(request.context[max(request.prompt - 2, 0) :])
            text = request.text if end is None else request.text[:end]
            finish: Finish = "stop" if stopped or end is not None else "length"
            request.answer.set_result(Completion(text, request.prompt, request.cached, written, finish=finish))
