"""How often something came from an address lately."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
from time import monotonic

from starlette.types import Scope

from sotopia_pi.models.serving.connections import network_of

#: Addresses that are remembered; the one that was quiet for longest is forgotten first.
_ADDRESSES = 10_000


class Tally:
    """Counts events by address over the last `seconds`; `most` of them are allowed."""

    def __init__(self, most: int, seconds: float, clock: Callable[[], float] = monotonic) -> None:
        self.most, self.seconds, self._clock = most, seconds, clock
        self._times: dict[str, deque[float]] = {}

    def full(self, address: str) -> bool:
        """Whether as many came from there as are allowed."""
        times = self._times.get(address, deque())
        while times and self._clock() - times[0] >= self.seconds:
            times.popleft()
        return len(times) >= self.most

    def add(self, address: str) -> None:
        """Counts one more."""
        times = self._times.pop(address, None) or deque(maxlen=self.most)
        times.append(self._clock())
        self._times[address] = times
        if len(self._times) > _ADDRESSES:
            del self._times[next(iter(self._times))]


def client(scope: Scope) -> str:
    """Where a request came from; behind a proxy on this machine what the proxy says (X-Forwarded-For)."""
    return network_of(str((scope.get("client") or ("",))[0]))
