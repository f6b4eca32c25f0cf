"""Where a server listens: on this machine unless told otherwise, and beyond it only with a key."""

from __future__ import annotations

import asyncio
import os
import signal
import socket
from collections.abc import Awaitable, Callable, Mapping
from typing import TYPE_CHECKING, Any

from sotopia_pi.errors import ConfigError
from sotopia_pi.models.serving.connections import BACKLOG, PATIENCE, QUEUE, Connections, collapse

if TYPE_CHECKING:
    from aiohttp import web

KEY = "SOTOPIA_PI_SERVE_KEY"
#: Seconds that replies under way have when the server is stopped.
_GRACE = 2.0
#: Connections at once: programs open one for each call, and every call but those for /health needs the key.
_MOST = 4_096


def serve_key(host: str, environment: Mapping[str, str] | None = None) -> str | None:
    """The key that callers of `sotopia-pi serve` must send. ConfigError, as `needed_key`."""
    return needed_key(KEY, host, environment)


def needed_key(variable: str, host: str, environment: Mapping[str, str] | None = None) -> str | None:
    """The key in an environment variable. ConfigError when others can reach the host and there is none."""
    key = (os.environ if environment is None else environment).get(variable, "").strip()
    if key and (not key.isascii() or not key.isprintable() or " " in key):
        raise ConfigError(f"The environment variable {variable} holds something that cannot be a key; set it again.")
    if not key and not local(host):
        raise ConfigError(
            f"Others can reach {host}, so a key is needed: put one into the environment variable {variable}, "
            "or serve on 127.0.0.1."
        )
    return key or None


def local(host: str) -> bool:
    """Whether only this machine can reach a host."""
    return host in ("localhost", "::1") or host.startswith("127.")


def bound(host: str, port: int) -> socket.socket:
    """A socket on a host's port (0: any free one), which nobody can connect to yet. ConfigError when it is taken."""
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    made = socket.socket(family, socket.SOCK_STREAM)
    try:
        made.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        made.bind((host, port))
    except (OSError, OverflowError) as error:
        made.close()
        why = getattr(error, "strerror", None) or str(error)
        raise ConfigError(f"{host}:{port} cannot be served on ({why}); give another --host or --port.") from None
    return made


def url(host: str, port: int) -> str:
    """The base URL of the protocol, under which this machine reaches a server that listens there."""
    return f"{origin(host, port)}/v1"


def origin(host: str, port: int) -> str:
    """The URL under which this machine reaches a server that listens there."""
    shown = {"0.0.0.0": "127.0.0.1", "::": "::1"}.get(host, host)
    return f"http://{f'[{shown}]' if ':' in shown else shown}:{port}"


async def until_stopped(app: object, listening: socket.socket, ready: Callable[[], None] = lambda: None) -> None:
    """Serves an aiohttp application on a socket until Ctrl-C or SIGTERM; whoever waits then gets a moment more.

    `ready` is called when clients can connect.
    """
    from aiohttp import web

    assert isinstance(app, web.Application)
    stop, loop = asyncio.Event(), asyncio.get_running_loop()
    for number in (signal.SIGINT, signal.SIGTERM):
        loop.add_signal_handler(number, stop.set)
    connections = Connections(_MOST, _MOST)
    app.middlewares.insert(0, _telling(connections))
    collapse("aiohttp.server", "asyncio")
    # Cancelling the handler is how the model learns that a client went away.
    runner = web.AppRunner(app, handler_cancellation=True, access_log=None, shutdown_timeout=_GRACE)
    await runner.setup()
    assert runner.server is not None
    server = await loop.create_server(_protocols(runner.server, connections), sock=listening, backlog=BACKLOG)
    listening.listen(QUEUE)
    try:
        ready()
        await stop.wait()
    finally:
        server.close()
        await runner.cleanup()
        for number in (signal.SIGINT, signal.SIGTERM):
            loop.remove_signal_handler(number)


def _protocols(server: web.Server, connections: Connections) -> Callable[[], asyncio.Protocol]:
    """Makes aiohttp's protocols, which tell `connections` when they begin and end."""
    from aiohttp import web

    class Protocol(web.RequestHandler):
        __slots__ = ()

        def connection_made(self, transport: asyncio.BaseTransport) -> None:
            super().connection_made(transport)
            assert isinstance(transport, asyncio.Transport)
            connections.opened(transport)

        def connection_lost(self, exc: BaseException | None) -> None:
            if self.transport is not None:
                connections.closed(self.transport)
            super().connection_lost(exc)

    loop = asyncio.get_running_loop()
    return lambda: Protocol(server, loop=loop, access_log=None, keepalive_timeout=PATIENCE)  # type: ignore[arg-type]


_Handler = Callable[["web.Request"], Awaitable["web.StreamResponse"]]


def _telling(connections: Connections) -> Any:
    """A middleware that tells `connections` when a request has come whole, and when it is answered."""
    from aiohttp import web

    @web.middleware
    async def telling(request: web.Request, handler: _Handler) -> web.StreamResponse:
        transport, answered = request.transport, False

        def came() -> None:
            if transport is not None and not answered:
                connections.came(transport)

        request.content.on_eof(came)
        try:
            return await handler(request)
        finally:
            answered = True
            if transport is not None:
                connections.owes(transport)

    return telling
