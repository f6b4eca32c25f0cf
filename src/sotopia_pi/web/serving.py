"""The server behind the pages: uvicorn, with limits on its connections and on what it logs."""

from __future__ import annotations

import asyncio
import socket
from collections.abc import Callable
from typing import Any

import h11
import uvicorn
from starlette.applications import Starlette
from uvicorn.protocols.http.h11_impl import H11Protocol

from sotopia_pi.models.serving.connections import BACKLOG, IDLE, QUEUE, Connections, collapse
from sotopia_pi.web.guard import HEADERS


def serve(app: Starlette, listening: socket.socket, ready: Callable[[], None] = lambda: None) -> None:
    """Answers on a socket until Ctrl-C or SIGTERM. `ready` is called when browsers can connect."""

    class Server(uvicorn.Server):
        async def startup(self, sockets: list[socket.socket] | None = None) -> None:
            await super().startup(sockets=sockets)
            if self.started:
                listening.listen(QUEUE)
                ready()

    Server(configured(app)).run(sockets=[listening])


def configured(app: Starlette, connections: Connections | None = None) -> uvicorn.Config:
    """How uvicorn serves the application."""
    settings = uvicorn.Config(
        app,
        http=_protocol(Connections() if connections is None else connections),
        ws="none",
        log_level="warning",
        access_log=False,
        server_header=False,
        backlog=BACKLOG,
        timeout_keep_alive=IDLE,
        timeout_graceful_shutdown=5,
    )
    collapse("uvicorn.error", "asyncio", "sotopia_pi")
    return settings


def _protocol(connections: Connections) -> type[asyncio.Protocol]:
    """HTTP/1.1 that tells `connections` what its clients owe."""

    class Protocol(H11Protocol):
        def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
            super().connection_made(transport)
            connections.opened(transport)

        def connection_lost(self, exc: Exception | None) -> None:
            connections.closed(self.transport)
            super().connection_lost(exc)

        def data_received(self, data: bytes) -> None:
            super().data_received(data)
            self._look()

        def on_response_complete(self) -> None:
            connections.came(self.transport)  # from here on it owes the next one
            super().on_response_complete()
            if self.cycle.response_complete:
                connections.owes(self.transport)  # also one that is being closed and does not read its answer
            else:  # the next request had come already
                self._look()

        def _look(self) -> None:
            if self.conn.their_state in (h11.IDLE, h11.SEND_BODY):
                connections.owes(self.transport)
            else:
                connections.came(self.transport)

        def shutdown(self) -> None:
            if self.conn.their_state is h11.SEND_BODY:  # nobody waits for the rest
                self.transport.abort()
            else:
                super().shutdown()

        def send_400_response(self, msg: str) -> None:
            head: list[Any] = [(name.encode(), value.encode()) for name, value in HEADERS.items()]
            head += [(b"content-type", b"text/plain; charset=utf-8"), (b"connection", b"close")]
            for event in (
                h11.Response(status_code=400, headers=head, reason=b"Bad Request"),
                h11.Data(data=msg.encode("ascii", "replace")),
                h11.EndOfMessage(),
            ):
                self.transport.write(self.conn.send(event) or b"")
            self.transport.close()

    return Protocol
