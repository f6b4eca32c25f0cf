"""The servers of one model: which of them a call goes to, and which are dead for the moment.

A conversation stays with its server, whose prefix cache holds it. A new one goes to the server with the fewest calls
under way. A server that fails several times in a row gets no calls until it is probed with one.
"""

from __future__ import annotations

import logging
from collections.abc import Sequence
from dataclasses import dataclass, field

from sotopia_pi.models.remote.limits import Clock, Window
from sotopia_pi.models.remote.structured import Manner

#: Failures in a row after which a server counts as dead.
DEAD_AFTER = 5
#: Seconds until a dead server is probed, doubled after each probe that fails.
PROBE_FIRST, PROBE_LONGEST = 5.0, 60.0
_log = logging.getLogger(__name__)


@dataclass(slots=True)
class Endpoint:
    """A server and what is known about it. Times are the clock's; `named` is the variable that the config names."""

    url: str
    key: str | None = field(repr=False)
    proxy: str | None = field(repr=False)
    window: Window
    named: str | None = None
    headers: dict[str, str] = field(init=False, repr=False)
    busy: int = 0
    served: int = 0
    failures: int = 0
    dead_until: float | None = None
    paused_until: float = 0.0
    probe_after: float = PROBE_FIRST
    manner: Manner = field(default_factory=Manner)

    def __post_init__(self) -> None:
        self.headers = {"Content-Type": "application/json"}
        if self.key is not None:
            self.headers["Authorization"] = f"Bearer {self.key}"


class Endpoints:
    """The choice among the servers of one model."""

    def __init__(self, endpoints: Sequence[Endpoint], clock: Clock) -> None:
        self._all = list(endpoints)
        self._clock = clock
        self._home: dict[str, Endpoint] = {}

    def renew(self, concurrency: int) -> None:
        """Forgets who was under way or waiting, for a new event loop."""
        for endpoint in self._all:
            endpoint.busy, endpoint.window = 0, Window(concurrency)
        self._home.clear()

    def choose(self, conversation: str) -> Endpoint:
        """The server for the next call of a conversation; counts the call as under way until `done`."""
        if len(self._all) == 1:
            chosen = self._all[0]
        else:
            home = self._home.get(conversation)
            chosen = home if home is not None and home.dead_until is None else self._least_loaded()
            if conversation:
                self._home[conversation] = chosen
        chosen.busy += 1
        return chosen

    def _least_loaded(self) -> Endpoint:
        now = self._clock.time()
        for endpoint in self._all:
            if endpoint.dead_until is not None and endpoint.dead_until <= now and not endpoint.busy:
                return endpoint  # this call is the probe
        alive = [endpoint for endpoint in self._all if endpoint.dead_until is None]
        if alive:
            return min(alive, key=lambda endpoint: (endpoint.paused_until > now, endpoint.busy, endpoint.served))
        return min(self._all, key=lambda endpoint: endpoint.dead_until or 0.0)

    def done(self, endpoint: Endpoint) -> None:
        """A call is over, whatever came of it."""
        endpoint.busy -= 1

    def succeeded(self, endpoint: Endpoint) -> None:
        """The server answered; it is alive."""
        endpoint.served += 1
        endpoint.failures = 0
        endpoint.window.succeeded()
        if endpoint.dead_until is not None:
            endpoint.dead_until, endpoint.probe_after = None, PROBE_FIRST
            _log.info("The server %s answers again.", endpoint.url)

    def failed(self, endpoint: Endpoint, why: str) -> None:
        """The server did not answer, or said that it cannot."""
        endpoint.failures += 1
        if endpoint.failures < DEAD_AFTER:
            return
        if endpoint.dead_until is None:
            _log.warning("The server %s does not answer for now: %s.", endpoint.url, why)
        else:
            endpoint.probe_after = min(PROBE_LONGEST, endpoint.probe_after * 2)
        endpoint.dead_until = self._clock.time() + endpoint.probe_after

    def throttled(self, endpoint: Endpoint, wait: float | None) -> None:
        """The server asks for less, and to be left alone for `wait` seconds if it says so."""
        endpoint.window.refused()
        if wait is not None:
            endpoint.paused_until = max(endpoint.paused_until, self._clock.time() + wait)

    def forget(self, conversation: str) -> None:
        """The conversation is over."""
        self._home.pop(conversation, None)
