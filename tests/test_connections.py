"""Connections of a server: who owes a request is cut off or makes room, and the log says everything once."""

from __future__ import annotations

import asyncio
import logging
import socket
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from typing import Any

import pytest
import uvicorn
from aiohttp import web

from sotopia_pi.models.serving import listening
from sotopia_pi.models.serving.connections import Connections, Repeats, collapse, network_of
from sotopia_pi.web.app import application
from sotopia_pi.web.guard import HEADERS
from sotopia_pi.web.serving import configured
from sotopia_pi.web.site import Site


class Wire:
    """A connection that does nothing but break off."""

    def __init__(self, address: str) -> None:
        self.peer, self.cut = (address, 1), False

    def get_extra_info(self, _: str) -> tuple[str, int]:
        return self.peer

    def abort(self) -> None:
        self.cut = True


def cut(wires: list[Any]) -> str:
    return "".join("x" if wire.cut else "." for wire in wires)


async def opened(connections: Connections, *addresses: str) -> list[Any]:
    wires: list[Any] = [Wire(address) for address in addresses]
    for wire in wires:
        connections.opened(wire)
    return wires


def test_who_owes_a_request_for_longest_makes_room() -> None:
    async def tried() -> None:
        connections = Connections(most=3, of_one=3)
        wires = await opened(connections, "10.0.0.1", "10.0.0.2", "10.0.0.3")
        connections.came(wires[0])
        wires += await opened(connections, "10.0.0.4")
        assert cut(wires) == ".x.."
        connections.owes(wires[0])  # answered: the latest to owe
        wires += await opened(connections, "10.0.0.5", "10.0.0.6")
        assert cut(wires) == ".xxx.."
        for wire in (wires[0], *wires[4:]):
            connections.came(wire)
        wires += await opened(connections, "10.0.0.7")  # everybody is being answered
        assert cut(wires) == ".xxx..x" and len(connections) == 3
        connections.closed(wires[4])
        wires += await opened(connections, "10.0.0.8")
        assert cut(wires[-1:]) == "."

    asyncio.run(tried())


@pytest.mark.parametrize(
    ("one", "same", "other"),
    [
        ("10.0.0.1", "10.0.0.1", "10.0.0.2"),
        ("2001:db8::1", "2001:db8::ffff", "2001:db8:0:1::1"),
        ("::ffff:10.0.0.1", "10.0.0.1", "::ffff:10.0.0.2"),
    ],
)
def test_one_address_has_room_of_its_own(one: str, same: str, other: str) -> None:
    async def tried() -> None:
        connections = Connections(most=9, of_one=2)
        wires = await opened(connections, other, one, same, one)
        assert cut(wires) == ".x.."
        connections.came(wires[2])
        connections.came(wires[3])
        wires += await opened(connections, same, other)
        assert cut(wires) == ".x..x."

    asyncio.run(tried())


@pytest.mark.parametrize("here", ["127.0.0.1", "127.0.0.9", "::1"])
def test_a_proxy_on_this_machine_may_have_all(here: str) -> None:
    async def tried() -> None:
        connections = Connections(most=4, of_one=1)
        assert cut(await opened(connections, here, here, here, here)) == "...."

    asyncio.run(tried())


def test_addresses_that_are_none() -> None:
    assert (network_of(""), network_of("testclient"), network_of("x" * 200)) == ("", "testclient", "x" * 100)


# Real servers


@contextmanager
def view(connections: Connections) -> Iterator[int]:
    listening_ = socket.create_server(("127.0.0.1", 0))
    server = uvicorn.Server(configured(application(Site({}, None)), connections))
    with running(lambda: server.run(sockets=[listening_]), lambda: setattr(server, "should_exit", True)):
        yield listening_.getsockname()[1]
    listening_.close()


@contextmanager
def serve(connections: Connections, monkeypatch: pytest.MonkeyPatch) -> Iterator[int]:
    async def health(request: web.Request) -> web.Response:
        await request.read()
        return web.Response(text="ok")

    async def main() -> None:
        stops.append((asyncio.get_running_loop(), asyncio.current_task()))
        await listening.until_stopped(app, listening_)

    app, listening_, stops = web.Application(), socket.create_server(("127.0.0.1", 0)), list[Any]()
    app.router.add_get("/health", health)
    app.router.add_post("/health", health)
    monkeypatch.setattr(listening, "Connections", lambda *_: connections)
    monkeypatch.setattr(asyncio.SelectorEventLoop, "add_signal_handler", lambda *_: None)  # not the main thread

    def ran() -> None:
        with pytest.raises(asyncio.CancelledError):
            asyncio.run(main())

    with running(ran, lambda: stops[0][0].call_soon_threadsafe(stops[0][1].cancel)):
        yield listening_.getsockname()[1]


@contextmanager
def running(run: Callable[[], None], stop: Callable[[], None]) -> Iterator[None]:
    thread = threading.Thread(target=run)
    thread.start()
    try:
        yield
    finally:
        stop()
        thread.join(30)


def sent(port: int, words: bytes) -> socket.socket:
    made = socket.create_connection(("127.0.0.1", port), timeout=30)
    made.sendall(words)
    return made


WHOLE = b"GET /health HTTP/1.1\r\nHost: 127.0.0.1\r\nConnection: close\r\n\r\n"


def answer(port: int, words: bytes = WHOLE) -> bytes:
    """All that comes back."""
    with sent(port, words) as made:
        return b"".join(iter(lambda: made.recv(65536), b""))


@contextmanager
def server(kind: str, connections: Connections, monkeypatch: pytest.MonkeyPatch) -> Iterator[int]:
    with view(connections) if kind == "view" else serve(connections, monkeypatch) as port:
        yield port


HALVES = [
    b"",
    b"GET / HT",
    b"GET / HTTP/1.1\r\nHost: 127.0.0.1\r\nX: ",
    b"POST /health HTTP/1.1\r\nHost: x\r\nContent-Length: 9\r\n\r\na",
]


@pytest.mark.parametrize("kind", ["view", "serve"])
def test_half_sent_requests_keep_nobody_out(kind: str, monkeypatch: pytest.MonkeyPatch) -> None:
    with server(kind, Connections(most=8), monkeypatch) as port:
        half = [sent(port, HALVES[n % 4]) for n in range(40)]
        for _ in range(3):
            assert answer(port).endswith(b"ok")
        for one in half[:32]:  # all that were too many
            with pytest.raises(ConnectionError):
                assert b"405" not in one.recv(100)  # the end of what came is one, too
                raise ConnectionError
        for one in half:
            one.close()
        assert answer(port).endswith(b"ok")


@pytest.mark.parametrize("kind", ["view", "serve"])
@pytest.mark.parametrize("before", [b"", b"GET /health HTTP/1.1\r\nHost: 127.0.0.1\r\n\r\n"])
def test_a_request_must_come_in_time_also_the_second(kind: str, before: bytes, monkeypatch: pytest.MonkeyPatch) -> None:
    with server(kind, Connections(patience=0.05), monkeypatch) as port:
        for half in HALVES:
            with suppress(ConnectionError):  # cut off, or closed
                told = answer(port, before + half)
                assert told.count(b"HTTP/1.1 200 OK") == (1 if before else 0)


def test_what_is_no_http_gets_the_security_headers_and_is_logged_once(caplog: pytest.LogCaptureFixture) -> None:
    logger = logging.getLogger("uvicorn.error")
    logger.filters.clear()
    with view(Connections()) as port, caplog.at_level("WARNING", "uvicorn.error"):
        logger.addHandler(caplog.handler)
        for words in (
            b"\x16\x03\x01\r\n\r\n",
            b"GET / HTTP/1.1\r\n\r\n",
            b"GET / HTTP/1.1\r\nHost: a\r\nHost: b\r\n\r\n",
            b"GET / HTTP/9\r\n\r\n",
        ):
            told = answer(port, words).lower()
            assert told.startswith(b"http/1.1 400")
            assert all(name.encode() in told for name in HEADERS)
        logger.removeHandler(caplog.handler)
    assert len({one.created for one in caplog.records if "Invalid HTTP request" in one.getMessage()}) == 1


# The log


def record(text: str, *values: object, error: BaseException | None = None) -> logging.LogRecord:
    info = None if error is None else (type(error), error, error.__traceback__)
    return logging.LogRecord("x", logging.WARNING, "file", 1, text, values, info)


def test_a_message_is_written_once_a_minute_with_how_often_it_came(monkeypatch: pytest.MonkeyPatch) -> None:
    now, once = [100.0], Repeats()
    monkeypatch.setattr("sotopia_pi.models.serving.connections.monotonic", lambda: now[0])
    assert once.filter(record("cannot accept %s at 0x7fe", 5))
    assert not any(once.filter(record("cannot accept %s at 0x1ab", n)) for n in range(1200))
    assert once.filter(record("another"))
    now[0] += 61
    last = record("cannot accept %s at 0x7fe", 7)
    assert once.filter(last) and last.getMessage() == "cannot accept 7 at 0x7fe (and 1,200 more like it)"


def test_errors_of_two_places_are_two_messages_and_any_number_of_messages_is_bounded() -> None:
    def raised(by: Callable[[], object]) -> BaseException:
        try:
            by()
        except Exception as error:
            return error
        raise AssertionError

    once = Repeats()
    first, second = raised(lambda: int("x")), raised({}.popitem)
    for error in (first, second):
        assert once.filter(record("failed", error=error))
        assert not once.filter(record("failed", error=error))
    for letter in range(2_000):
        once.filter(record(chr(0x4E00 + letter)))
    assert len(once._seen) <= 500


def test_a_logger_is_collapsed_once() -> None:
    for _ in range(3):
        collapse("some.logger")
    assert len(logging.getLogger("some.logger").filters) == 1
