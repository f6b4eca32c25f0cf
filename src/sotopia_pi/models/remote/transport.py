"""Sending a request with aiohttp: a session per event loop, a limit on what a server may send back."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, Mapping
from typing import Protocol
from urllib.parse import urlsplit
from urllib.request import getproxies, proxy_bypass

import aiohttp

from sotopia_pi import __version__
from sotopia_pi.errors import ConfigError
from sotopia_pi.models.remote.failures import Failed, connection_failure
from sotopia_pi.models.remote.spec import host_of, on_this_machine


class Sender(Protocol):
    """Whatever carries a request to a server and its reply back."""

    async def open(self) -> bool:
        """Gets ready for the running event loop; whether it was not yet."""
        ...

    async def post(
        self, url: str, body: bytes, headers: Mapping[str, str], proxy: str | None
    ) -> tuple[int, Mapping[str, str], bytes]:
        """Status, headers and body of the reply. Raises Failed or Hopeless."""
        ...


class Transport:
    """Posts bodies and reads replies of at most `reply_bytes`, each within `timeout` seconds.

    A session belongs to the event loop it was made in, and a run has one loop per stage. So each loop gets its own,
    which closes when that loop shuts down its asynchronous generators, as asyncio.run does at its end.
    """

    def __init__(self, timeout: float, reply_bytes: int) -> None:
        self._timeout, self._most = timeout, reply_bytes
        self._session: aiohttp.ClientSession | None = None
        self._loop: asyncio.AbstractEventLoop | None = None
        self._life: AsyncGenerator[aiohttp.ClientSession] | None = None

    async def open(self) -> bool:
        """Opens a session unless the running loop has one; whether it did."""
        loop = asyncio.get_running_loop()
        if self._loop is loop and self._session is not None and not self._session.closed:
            return False
        self._loop, self._life = loop, _session(self._timeout)
        self._session = await anext(self._life)
        return True

    async def post(
        self, url: str, body: bytes, headers: Mapping[str, str], proxy: str | None
    ) -> tuple[int, Mapping[str, str], bytes]:
        """Status, headers and body of the reply. Raises Failed or Hopeless."""
        assert self._session is not None, "open() comes first"
        try:
            async with self._session.post(
                f"{url}/chat/completions", data=body, headers=headers, proxy=proxy, allow_redirects=False
            ) as response:
                return response.status, response.headers, await self._read(url, response)
        except (aiohttp.ClientError, OSError) as error:  # a time-out is an OSError
            raise connection_failure(url, error, self._timeout, proxy) from None

    async def _read(self, url: str, response: aiohttp.ClientResponse) -> bytes:
        length = response.content_length
        if length is not None and length <= self._most:
            return await response.read()
        if length is None:
            chunks = []
            size = 0
            async for chunk in response.content.iter_any():
                chunks.append(chunk)
                size += len(chunk)
                if size > self._most:
                    break
            else:
                return b"".join(chunks)
        response.close()
        if response.status != 200:
            return b""
        raise Failed(f"{host_of(url)} sent a reply of more than {self._most} bytes")


async def _session(timeout: float) -> AsyncGenerator[aiohttp.ClientSession]:
    session = aiohttp.ClientSession(
        connector=aiohttp.TCPConnector(limit=0, ttl_dns_cache=300),
        cookie_jar=aiohttp.DummyCookieJar(),
        timeout=aiohttp.ClientTimeout(total=timeout),
        headers={"User-Agent": f"sotopia-pi/{__version__}", "Accept-Encoding": "identity"},
        auto_decompress=False,
    )
    try:
        yield session
    finally:
        await session.close()


def proxy_of(url: str) -> str | None:
    """The proxy that the environment asks to use for a URL; none for this machine. ConfigError for what is no proxy."""
    parts = urlsplit(url)
    if on_this_machine(url) or proxy_bypass(parts.hostname or ""):
        return None
    proxy = getproxies().get(parts.scheme)
    if proxy is None:
        return None
    proxy = proxy if "://" in proxy else f"http://{proxy}"  # as curl and requests read it
    try:
        way = urlsplit(proxy)
        usable = way.scheme in ("http", "https") and way.hostname and way.port != 0
    except ValueError:
        usable = False
    if not usable:
        raise ConfigError(
            f"The proxy for {parts.netloc} in the environment variable {parts.scheme.upper()}_PROXY is not of the form "
            "http://HOST:PORT; set it again, or name the host in NO_PROXY."
        )
    return proxy
