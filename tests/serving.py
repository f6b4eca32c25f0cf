"""The mock server beside a test, in a thread of its own, a clock that does not wait, and clients of both."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from sotopia_pi.config import EndpointConfig
from sotopia_pi.models.mockserver import Behaviour, MockServer
from sotopia_pi.models.protocol import Message
from sotopia_pi.models.remote.client import RemoteModel
from sotopia_pi.models.remote.ledger import Ledger
from sotopia_pi.models.remote.prices import Price
from sotopia_pi.models.remote.retries import Backoff
from sotopia_pi.models.remote.spec import parse_spec

HELLO = [Message(role="system", content="You are Ada."), Message(role="user", content="Turn 1. You begin.")]
#: Waits so short that a test with real connections does not notice them.
QUICK = Backoff(0.001, 0.01)


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
