"""Asking an OpenAI-compatible chat-completions server; retries happen here and nowhere else.

A call ends in one of three ways: a completion; ModelError, when this call was refused or given up, which fails its
episode; ServiceError, when no other call would fare better (nobody answers, the key or the model is wrong), which
stops the run, so that nothing is marked as failed that was never tried.
"""

from __future__ import annotations

import logging
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import orjson

from sotopia_pi.config import EndpointConfig
from sotopia_pi.errors import ModelError, ServiceError
from sotopia_pi.models.protocol import Completion, JsonSchema, Message, Sampling
from sotopia_pi.models.remote.complaints import of_a_filter, one_line, read_said
from sotopia_pi.models.remote.endpoints import Endpoint, Endpoints
from sotopia_pi.models.remote.failures import Failed, Hopeless, Refused, failure
from sotopia_pi.models.remote.keys import api_key
from sotopia_pi.models.remote.ledger import Ledger
from sotopia_pi.models.remote.limits import Clock, Pace, SystemClock, Window
from sotopia_pi.models.remote.prices import Price
from sotopia_pi.models.remote.replies import Answer, BadReply, Trouble, read_answer
from sotopia_pi.models.remote.retries import Backoff
from sotopia_pi.models.remote.spec import RemoteSpec, host_of
from sotopia_pi.models.remote.structured import Blame, blame, not_sent, request
from sotopia_pi.models.remote.transport import Sender, Transport, proxy_of
from sotopia_pi.redaction import keep_secret, without_secrets

#: Attempts in which nobody listened, before anything was ever answered, after which nobody is taken to be there.
_NOBODY = 3
#: Calls refused with status 400 before any was ever answered, after which no other is taken to fare better.
_MISFIT = 3
_log = logging.getLogger(__name__)


@dataclass(slots=True)
class _Call:
    """One completion on its way. `answers` are all before it, `failures` the attempts that count."""

    messages: Sequence[Message]
    sampling: Sampling
    seed: int
    conversation: str
    schema: JsonSchema | None
    began: float
    answers: int
    failures: int = 0
    throttled: int = 0


class RemoteModel:
    """A model behind one or several URLs. Share it among all who ask the model, so that its limits hold for all."""

    def __init__(
        self,
        spec: RemoteSpec,
        settings: EndpointConfig,
        ledger: Ledger | None = None,
        price: Price | None = None,
        clock: Clock | None = None,
        backoff: Backoff | None = None,
        transport: Sender | None = None,
    ) -> None:
        """ConfigError when the environment holds something that cannot be a key."""
        self._spec = spec
        self._settings = settings.at(host_of(spec.urls[0]))
        self._ledger = ledger or Ledger()
        self._price = price
        self._clock = clock or SystemClock()
        self._backoff = backoff or Backoff()
        self._requests = Pace(self._settings.requests_per_minute, self._clock)
        self._tokens = Pace(self._settings.tokens_per_minute, self._clock)
        self._transport = transport or Transport(self._settings.timeout, self._settings.reply_bytes)
        self._endpoints = Endpoints(
            [self._endpoint(url, settings.at(host_of(url)).key) for url in spec.urls], self._clock
        )
        self._told: set[str] = set()
        self._stopped: str | None = None
        self._inside = 0
        self._answers = 0
        self._refusals = 0

    def _endpoint(self, url: str, named: str | None) -> Endpoint:
        key = api_key(url, named)
        if key is not None:
            keep_secret(key)
        return Endpoint(url, key, proxy_of(url), Window(self._settings.concurrency), named)

    @property
    def name(self) -> str:
        """The model's name at its server."""
        return self._spec.model

    async def complete(
        self,
        messages: Sequence[Message],
        sampling: Sampling,
        seed: int,
        conversation: str = "",
        *,
        schema: JsonSchema | None = None,
    ) -> Completion:
        """The server's reply. ModelError fails this call only; ServiceError and BudgetError stop the run."""
        if await self._transport.open():  # another event loop: whoever waited in the last one is gone
            self._endpoints.renew(self._settings.concurrency)
            self._stopped = None
        call = _Call(messages, sampling, seed, conversation, schema, self._clock.time(), self._answers)
        self._inside += 1
        try:
            return await self._answered(call)
        finally:
            self._inside -= 1
            if not self._inside:
                self._stopped = None

    async def _answered(self, call: _Call) -> Completion:
        """The reply to a call, after as many attempts as it takes. ModelError, ServiceError."""
        while True:
            if self._stopped is not None:
                raise ServiceError(self._stopped)
            endpoint = self._endpoints.choose(call.conversation)
            try:
                return await self._ask(endpoint, call)
            except Hopeless as error:
                raise self._stop(str(error)) from None
            except Failed as error:
                wait = self._after(endpoint, call, error)
            finally:
                self._endpoints.done(endpoint)
            await self._clock.sleep(wait)

    async def release(self, conversation: str) -> None:
        """The conversation is over."""
        self._endpoints.forget(conversation)

    def close(self) -> None:
        """Nothing to free: a session closes with the event loop that it belongs to."""

    async def _ask(self, endpoint: Endpoint, call: _Call) -> Completion:
        """One attempt, and at once the milder ways of asking where the server refuses one. Failed, Hopeless."""
        without = endpoint.manner.start(call.schema)
        blames: list[Blame] = []
        said = ""
        while True:
            body = request(self._spec.model, call.messages, call.sampling, call.seed, call.schema, without)
            try:
                answer, cost = await self._send(endpoint, orjson.dumps(body), call.sampling.max_tokens)
            except Refused as refusal:
                found = blame(refusal.said, call.sampling, call.schema, without)
                if found is None:
                    error = self._refused(endpoint, str(refusal))
                    if isinstance(error, ModelError) and of_a_filter(refusal.said):
                        return Completion("", 0, 0, 0, 0.0, "filtered")  # as when it comes with status 200
                    raise error from None
                blames.append(found)
                without |= {found.what}
                said = said or str(refusal)
                continue
            endpoint.manner.answered(call.schema, without, blames)
            self._tell(endpoint, not_sent(call.schema, without), said)
            tokens = (answer.prompt, answer.cached, answer.completion)
            return Completion(without_secrets(answer.text), *tokens, cost, answer.finish)

    def _tell(self, endpoint: Endpoint, missing: Sequence[str], said: str) -> None:
        """Counts what a call went without, and says so the first time."""
        self._ledger.went_without(self._spec.model, missing)
        new = [what for what in missing if what not in self._told]
        if new:
            self._told |= set(new)
            _log.warning(
                "%s refused a call of %s (%s); it was answered without %s. The report counts such calls.",
                host_of(endpoint.url), self._spec.model, said, ", ".join(new),
            )  # fmt: skip

    async def _send(self, endpoint: Endpoint, body: bytes, max_tokens: int) -> tuple[Answer, float | None]:
        """The answer to one request, sent as soon as the limits let it, and its cost. Failed, Refused, Hopeless."""
        # A token is a byte at least, and templates add a little that JSON's punctuation makes up for.
        most = self._price.cost(len(body), 0, max_tokens) if self._price else 0.0
        reserved = await self._ledger.reserve(most)
        settled = False
        try:
            estimate = len(body) / 4 + max_tokens
            await self._wait_for_turn(endpoint, estimate)
            await endpoint.window.enter()
            try:
                status, headers, reply = await self._transport.post(
                    endpoint.url, body, endpoint.headers, endpoint.proxy
                )
            finally:
                endpoint.window.leave()
            answer = self._read(endpoint, status, headers, reply)
            if answer.counted:
                self._tokens.settle(estimate, answer.prompt + answer.completion)
            settled = True
            return answer, self._paid(endpoint, answer, reserved)
        finally:
            if not settled:
                self._ledger.give_back(reserved)

    def _read(self, endpoint: Endpoint, status: int, headers: Mapping[str, str], reply: bytes) -> Answer:
        kind = one_line(headers.get("Content-Type", "").partition(";")[0].lower())[:100]
        packed = headers.get("Content-Encoding", "").strip().lower()
        if status == 200 and packed not in ("", "identity"):
            raise Failed(
                f"{host_of(endpoint.url)} sent a reply packed by {one_line(packed)[:30]}, which nobody asked for"
            )
        try:
            if not 200 <= status < 300:
                raise Trouble(status, read_said(reply, kind))
            return read_answer(reply, kind)
        except Trouble as trouble:
            raise failure(endpoint, self._spec, trouble.status, trouble.said, headers) from None
        except BadReply as error:
            raise Failed(f"{host_of(endpoint.url)} {error}", alone=error.other) from None

    async def _wait_for_turn(self, endpoint: Endpoint, tokens: float) -> None:
        wait = max(self._requests.take(), self._tokens.take(tokens))
        if wait > 0:
            await self._clock.sleep(wait)
        while (pause := endpoint.paused_until - self._clock.time()) > 0:
            await self._clock.sleep(pause)

    def _paid(self, endpoint: Endpoint, answer: Answer, reserved: float) -> float | None:
        """What an answer cost, None where that is not known; enters it."""
        self._answers += 1
        self._endpoints.succeeded(endpoint)
        tokens = (answer.prompt, answer.cached, answer.completion)
        cost = self._price.cost(*tokens) if self._price and answer.counted else None
        self._ledger.settle(reserved, self._spec.model, tokens, cost, counted=answer.counted)
        return cost

    def _refused(self, endpoint: Endpoint, said: str) -> ModelError | Hopeless:
        """A refusal of this call's content; of every call when none was ever answered."""
        self._endpoints.succeeded(endpoint)
        self._refusals += 1
        if not self._answers and self._refusals >= _MISFIT:
            return Hopeless(f"{endpoint.url} refuses every call for {self._spec.model!r}: {said}")
        return ModelError(_sentence(f"{host_of(endpoint.url)} refused a call: {said}"))

    def _after(self, endpoint: Endpoint, call: _Call, error: Failed) -> float:
        """Seconds to wait before the next attempt. ModelError or ServiceError when there will be none."""
        now = self._clock.time()
        if (error.wait or 0.0) > self._settings.give_up:
            raise self._stop(f"{error} and asks to be left alone for {error.wait:.0f} seconds.")
        if error.throttled:
            call.throttled += 1
            self._endpoints.throttled(endpoint, error.wait)
            wait = self._backoff.wait(call.throttled, error.wait)
        else:
            call.failures += 1
            self._endpoints.failed(endpoint, str(error))
            wait = self._backoff.wait(call.failures, error.wait)
        if not self._answers and error.alone and call.failures >= _NOBODY * len(self._spec.urls):
            raise self._stop(f"{error}; check that the server is running at {' or '.join(self._spec.urls)}.")
        if call.failures < self._settings.attempts and now + wait - call.began <= self._settings.give_up:
            return wait
        tried = f"{call.failures + call.throttled} attempts in {now - call.began:.0f} seconds"
        # Where nobody listens, no call is at fault; else the call is, if others were answered meanwhile.
        if (error.alone and len(self._spec.urls) == 1) or self._answers == call.answers:
            raise self._stop(f"{self._spec.model!r} gives no answer: {error} ({tried}); check the server.")
        raise ModelError(f"A call was given up after {tried}: {error}.")

    def _stop(self, why: str) -> ServiceError:
        """Every call that is under way meets the same error; whoever comes when they are gone asks anew."""
        self._stopped = self._stopped or _sentence(why)
        return ServiceError(self._stopped)


def _sentence(text: str) -> str:
    """`text` with a full stop, unless what a server said, which stands last, has an end of its own."""
    return text if text.endswith((".", "!", "?", "…")) else f"{text}."
