"""An OpenAI-compatible server for local models, on aiohttp.

`/v1/chat/completions` (also streamed), `/v1/models` and `/health`. The protocol names no conversation, so the local
model finds the one that a request continues by its beginning, and reports what it had of it as cached tokens. A reply
ends with its JSON object where the request asks for JSON (`response_format`), which is what policies are trained to
write; without it, it is any text. A schema itself is not enforced.
"""

from __future__ import annotations

import asyncio
import hmac
import time
from collections.abc import AsyncGenerator, Awaitable, Callable, Mapping
from contextlib import aclosing
from typing import Any
from uuid import uuid4

import orjson
from aiohttp import web

from sotopia_pi.errors import ModelError
from sotopia_pi.models.local import LocalModel
from sotopia_pi.models.protocol import Completion, Sampling
from sotopia_pi.models.serving.requests import Asked, BadRequest, read_request

#: Bytes of a request at most.
_BODY = 8 * 2**20
_JSON = "application/json"
_Handler = Callable[[web.Request], Awaitable[web.StreamResponse]]


def application(models: Mapping[str, LocalModel], key: str | None = None) -> web.Application:
    """The server of `models` by name. With a `key`, whoever asks for more than `/health` must send it."""
    server = _Server(models)
    app = web.Application(client_max_size=_BODY, middlewares=[_errors, _guard(key)])
    app.router.add_get("/health", server.health)
    app.router.add_get("/v1/models", server.models)
    app.router.add_get("/v1/models/{name:.+}", server.model)
    app.router.add_post("/v1/chat/completions", server.chat)
    return app


class _Server:
    def __init__(self, models: Mapping[str, LocalModel]) -> None:
        self._models = models
        self._since = int(time.time())

    async def health(self, _: web.Request) -> web.Response:
        alive = all(model.alive for model in self._models.values())
        return _json({"status": "ok" if alive else "stopped"}, 200 if alive else 503)

    async def models(self, _: web.Request) -> web.Response:
        return _json({"object": "list", "data": [self._card(name) for name in self._models]})

    async def model(self, request: web.Request) -> web.Response:
        name = request.match_info["name"]
        self._named(name)
        return _json(self._card(name))

    def _card(self, name: str) -> dict[str, Any]:
        context = self._models[name].context
        return {
            "id": name,
            "object": "model",
            "created": self._since,
            "owned_by": "sotopia-pi",
            "max_model_len": context,
        }

    def _named(self, name: str) -> LocalModel:
        if name not in self._models:
            known = ", ".join(self._models)
            sentence = f"The model {name[:100]!r} does not exist; this server has {known}."
            raise BadRequest(sentence, "model", "model_not_found", 404)
        return self._models[name]

    async def chat(self, request: web.Request) -> web.StreamResponse:
        asked = read_request(await request.read(), max(model.context for model in self._models.values()))
        model = self._named(asked.model)
        try:
            prompt = model.encode(asked.messages)
        except ModelError as error:  # the chat template refuses these messages
            raise BadRequest(str(error), "messages") from None
        sampling = asked.sampling(len(prompt), model.context)
        if asked.stream:
            return await self._stream(request, asked, model, prompt, sampling)
        done = await model.reply(prompt, sampling, asked.seed, free=asked.free)
        message = {"role": "assistant", "content": done.text, "refusal": None}
        choice = {"index": 0, "message": message, "logprobs": None, "finish_reason": done.finish}
        return _json({**_head(asked, "chat.completion"), "choices": [choice], "usage": _usage(done)})

    async def _stream(
        self, request: web.Request, asked: Asked, model: LocalModel, prompt: list[int], sampling: Sampling
    ) -> web.StreamResponse:
        """Server-sent events: each piece as it is written, the reason why the reply ended, the usage if asked for."""
        head = _head(asked, "chat.completion.chunk")
        response = web.StreamResponse(headers={"Content-Type": "text/event-stream", "Cache-Control": "no-cache"})
        await response.prepare(request)

        async def send(delta: dict[str, Any], reason: str | None = None) -> None:
            choice = {"index": 0, "delta": delta, "logprobs": None, "finish_reason": reason}
            await response.write(_event({**head, "choices": [choice]}))

        await send({"role": "assistant", "content": ""})
        try:
            async with aclosing(_pieces(model, prompt, sampling, asked)) as pieces:
                async for item in pieces:
                    if isinstance(item, str):
                        await send({"content": item})
                        continue
                    await send({}, item.finish)
                    if asked.usage_in_stream:
                        await response.write(_event({**head, "choices": [], "usage": _usage(item)}))
        except ModelError as error:
            await response.write(_event(_fault(str(error), "server_error")))
        await response.write(b"data: [DONE]\n\n")
        await response.write_eof()
        return response


async def _pieces(
    model: LocalModel, prompt: list[int], sampling: Sampling, asked: Asked
) -> AsyncGenerator[str | Completion]:
    """The reply piece by piece, and at its end the completion."""
    loop, news = asyncio.get_running_loop(), asyncio.Queue[str | None]()

    def heard(text: str) -> None:
        loop.call_soon_threadsafe(news.put_nowait, text)

    reply = asyncio.ensure_future(model.reply(prompt, sampling, asked.seed, free=asked.free, heard=heard))
    reply.add_done_callback(lambda _: news.put_nowait(None))
    sent = ""
    try:
        while (text := await news.get()) is not None:
            whole = text.rstrip("\ufffd")  # a character whose last bytes are still to come
            if len(whole) > len(sent) and whole.startswith(sent):
                yield whole[len(sent) :]
                sent = whole
        done = await reply
        if done.text[len(sent) :]:
            yield done.text[len(sent) :]
        yield done
    finally:
        reply.cancel()  # where the client went away; nothing otherwise


def _head(asked: Asked, kind: str) -> dict[str, Any]:
    return {"id": f"chatcmpl-{uuid4().hex}", "object": kind, "created": int(time.time()), "model": asked.model}


def _usage(done: Completion) -> dict[str, Any]:
    return {
        "prompt_tokens": done.prompt_tokens,
        "completion_tokens": done.completion_tokens,
        "total_tokens": done.prompt_tokens + done.completion_tokens,
        "prompt_tokens_details": {"cached_tokens": done.cached_tokens},
    }


def _event(value: Mapping[str, Any]) -> bytes:
    return b"data: " + orjson.dumps(value) + b"\n\n"


def _json(value: Any, status: int = 200) -> web.Response:
    return web.Response(body=orjson.dumps(value), status=status, content_type=_JSON)


def _fault(said: str, kind: str, param: str | None = None, code: str | None = None) -> dict[str, Any]:
    return {"error": {"message": said, "type": kind, "param": param, "code": code}}


@web.middleware
async def _errors(request: web.Request, handler: _Handler) -> web.StreamResponse:
    """Every error as OpenAI's servers write it."""
    try:
        return await handler(request)
    except BadRequest as error:
        return _json(_fault(str(error), "invalid_request_error", error.param, error.code), error.status)
    except web.HTTPException as error:
        said = f"{request.method} {request.path[:100]}: {error.reason}"
        return _json(_fault(said, "invalid_request_error"), error.status)
    except ModelError as error:
        return _json(_fault(str(error), "server_error"), 500)


def _guard(key: str | None) -> Any:
    """Lets pass who sends the key, which is compared in constant time."""
    wanted = None if key is None else f"Bearer {key}".encode()

    @web.middleware
    async def guard(request: web.Request, handler: _Handler) -> web.StreamResponse:
        resource = request.match_info.route.resource  # the page that answers, however its address was written
        if wanted is not None and (resource is None or resource.canonical != "/health"):
            given = request.headers.get("Authorization", "").encode("utf-8", "surrogateescape")
            if not hmac.compare_digest(given, wanted):
                sentence = "This server wants its key, as in 'Authorization: Bearer KEY'."
                raise BadRequest(sentence, None, "invalid_api_key", 401)
        return await handler(request)

    return guard
