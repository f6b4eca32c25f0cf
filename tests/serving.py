"""The mock server beside a test, a clock that does not wait, clients of both, and plain requests to any server."""

from __future__ import annotations

import asyncio
import base64
import json
import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from itertools import count
from typing import Any
from urllib.error import HTTPError
from urllib.request import Request, urlopen

from aiohttp import web

from sotopia_pi.config import EndpointConfig
from sotopia_pi.episodes.records import action_schema
from sotopia_pi.models.mockserver import Behaviour, MockServer
from sotopia_pi.models.protocol import Completion, JsonSchema, Message, Sampling
from sotopia_pi.models.remote.client import RemoteModel
from sotopia_pi.models.remote.ledger import Ledger
from sotopia_pi.models.remote.prices import Price
from sotopia_pi.models.remote.retries import Backoff
from sotopia_pi.models.remote.spec import parse_spec

HELLO = [Message(role="system", content="You are Ada."), Message(role="user", content="Turn 1. You begin.")]
#: Waits so short that a test with real connections does not notice them.
QUICK = Backoff(0.001, 0.01)
#: What a reply must look like in an open scenario.
ACTION = action_schema()
#: The response format of a reply that is one JSON object.
JSON = {"type": "json_object"}


@contextmanager
def serving(port: int = 0, **behaviour: Any) -> Iterator[MockServer]:
    """A running mock server."""
    ready = threading.Event()
    loop = asyncio.new_event_loop()
    server = MockServer(Behaviour(**behaviour), port)
    server.bodies = []
    stop = asyncio.Event()

    async def serve() -> None:
        async with server:
            ready.set()
            await stop.wait()

    thread = threading.Thread(target=lambda: loop.run_until_complete(serve()))
    thread.start()
    assert ready.wait(10)
    try:
        yield server
    finally:
        loop.call_soon_threadsafe(stop.set)
        thread.join()
        loop.close()


@contextmanager
def scripted(*answers: Any, **behaviour: Any) -> Iterator[MockServer]:
    """A mock server whose calls get these answers in turn, the last one from then on.

    An answer is a value to send as JSON, a text to send as it is, or a status, one of these and perhaps headers;
    None stands for the server's own answer.
    """
    with serving(**behaviour) as server:
        usual, turns = server._chat, count()

        async def chat(request: web.BaseRequest) -> web.StreamResponse:
            answer = answers[min(next(turns), len(answers) - 1)]
            if answer is None:
                return await usual(request)
            assert server.bodies is not None
            server.bodies.append(json.loads(await request.read()))
            status, sent, *headers = answer if isinstance(answer, tuple) else (200, answer)
            text = sent if isinstance(sent, str) else json.dumps(sent)
            kind = "application/json" if text is not sent else "text/plain"
            return web.Response(status=status, text=text, headers={"Content-Type": kind, **(headers or [{}])[0]})

        server._chat = chat  # type: ignore[method-assign]
        yield server


def completion(content: Any, finish: str = "stop", usage: Any = None, **message: Any) -> dict[str, Any]:
    """A chat completion as servers send it."""
    choice = {"index": 0, "message": {"role": "assistant", "content": content, **message}, "finish_reason": finish}
    return {"choices": [choice], "usage": usage or {"prompt_tokens": 10, "completion_tokens": 5}}


def spelled(key: str) -> list[str]:
    """A key as texts carry it."""
    numbers = [ord(char) for char in key]
    forms = ["\\u{:04x}", "\\u{:04X}", "\\\\u{:04x}", "\\x{:02x}", "%{:02X}", "%25{:02x}", "&#{:d};", "&#x{:x};"]
    return [
        key,
        key.upper(),
        *("".join(form.format(number) for number in numbers) for form in forms),
        "\u200b".join(key),
        "\\u200b".join(key),
        key.replace("-", "\\u002d"),
        base64.b64encode(key.encode()).decode(),
        base64.urlsafe_b64encode(f"user:{key}".encode()).decode(),
        key.encode().hex(),
    ]


class Clock:
    """Time that passes only when somebody waits."""

    def __init__(self) -> None:
        self.now = 1000.0
        self.slept: list[float] = []

    def time(self) -> float:
        return self.now

    async def sleep(self, seconds: float) -> None:
        self.slept.append(seconds)
        self.now += seconds
        await asyncio.sleep(0)


SAMPLING = Sampling(0.7, 0.9, 50)


def ask(
    model: RemoteModel,
    messages: Sequence[Message] = HELLO,
    schema: JsonSchema | None = ACTION,
    sampling: Sampling = SAMPLING,
) -> Completion:
    """One completion."""
    return asyncio.run(model.complete(messages, sampling, 2**40 + 7, "c", schema=schema))


def client(
    *servers: MockServer | str,
    ledger: Ledger | None = None,
    price: Price | None = None,
    clock: Any = None,
    backoff: Backoff = QUICK,
    model: str = "mock",
    **settings: Any,
) -> RemoteModel:
    """A client of servers (or of URLs)."""
    urls = ",".join(server if isinstance(server, str) else server.url for server in servers)
    spec = parse_spec(f"openai:{model}@{urls}")
    return RemoteModel(spec, EndpointConfig(**settings), ledger, price, clock, backoff)


def post(server: str, body: Any, key: str | None = None, path: str = "/chat/completions") -> tuple[int, Any]:
    """Status and JSON of the answer."""
    sent = body if isinstance(body, bytes) else json.dumps(body).encode()
    headers = {"Content-Type": "application/json"} | ({"Authorization": f"Bearer {key}"} if key else {})
    try:
        with urlopen(Request(server + path, sent, headers), timeout=60) as reply:
            return reply.status, json.loads(reply.read())
    except HTTPError as error:
        with error:
            return error.code, json.loads(error.read())


def body(**fields: Any) -> dict[str, Any]:
    """A request for the policy `bc` to reply to `HELLO`; `fields` replace some."""
    return {"model": "bc", "messages": HELLO, "temperature": 0, **fields}


def said(server: str, **fields: Any) -> str:
    """The text of the reply to `body`."""
    status, reply = post(server, body(**fields))
    assert status == 200, reply
    return str(reply["choices"][0]["message"]["content"])
