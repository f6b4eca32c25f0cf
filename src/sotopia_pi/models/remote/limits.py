"""How much is asked of a server at once: requests and tokens per minute, and a window of calls that shrinks on 429.

Time is asked of a clock that tests replace, so that no test has to wait.
"""

from __future__ import annotations

import asyncio
import time
from collections import deque
from typing import Protocol


class Clock(Protocol):
    """Time in seconds, and waiting."""

    def time(self) -> float:
        """Seconds since any fixed moment; never runs backward."""
        ...

    async def sleep(self, seconds: float) -> None:
        """Waits."""
        ...


class SystemClock:
    """This machine's clock."""

    def time(self) -> float:
        """Seconds, monotonic."""
        return time.monotonic()

    async def sleep(self, seconds: float) -> None:
        """Waits; the event loop goes on meanwhile."""
        await asyncio.sleep(seconds)


class Pace:
    """A limit per minute, kept by spacing: in any 60 seconds no more than `per_minute` is begun.

    Something of amount n takes n / `per_minute` minutes of the schedule, and the next may begin after it.
    """

    def __init__(self, per_minute: float, clock: Clock) -> None:
        """0 is no limit."""
        self._seconds = 60.0 / per_minute if per_minute else 0.0
        self._clock = clock
        self._free = 0.0

    def take(self, amount: float = 1.0) -> float:
        """Takes the next place in the schedule; how many seconds to wait until it begins."""
        if not self._seconds:
            return 0.0
        now = self._clock.time()
        begins = max(now, self._free)
        self._free = begins + amount * self._seconds
        return begins - now

    def settle(self, taken: float, used: float) -> None:
        """Corrects an amount that was estimated when it was taken."""
        self._free -= (taken - used) * self._seconds


#: How much one reply changes the share of refusals that a window remembers, and from where on the share is high.
_MEMORY, _OFTEN = 0.05, 0.2


class Window:
    """How many calls may be under way: at most `limit`, half as many when the server refuses, slowly more after that.

    A few refusals among many answers are a server's hiccups and change nothing.
    """

    def __init__(self, limit: int) -> None:
        self._limit = limit
        self._refusals = 0.0
        self._stale = 0
        self._size = float(limit)
        self._busy = 0
        self._waiting: deque[asyncio.Future[None]] = deque()

    @property
    def size(self) -> int:
        """How many calls may be under way now."""
        return int(self._size)

    async def enter(self) -> None:
        """Waits for a place, first come first served."""
        if self._busy < self.size and not self._waiting:
            self._busy += 1
            return
        place = asyncio.get_running_loop().create_future()
        self._waiting.append(place)
        try:
            await place  # whoever wakes us has counted us in
        except asyncio.CancelledError:
            if place.done() and not place.cancelled():
                self.leave()
            raise

    def leave(self) -> None:
        """Gives the place to the next who waits."""
        self._busy -= 1
        self._admit()

    def succeeded(self) -> None:
        """A call was answered: one more may be under way after a whole window of such."""
        self._stale = max(0, self._stale - 1)
        self._refusals *= 1 - _MEMORY
        if self._size < self._limit:
            self._size = min(self._limit, self._size + 1 / self._size)
            self._admit()

    def refused(self) -> None:
        """The server said that this is too much; halves the window where it says so often."""
        if self._stale:  # this call was under way before the window was halved
            self._stale -= 1
            return
        self._refusals += _MEMORY * (1 - self._refusals)
        if self._refusals > _OFTEN:
            self._size = max(1.0, min(self._size, max(self._busy, 1)) / 2)
            self._refusals, self._stale = 0.0, self._busy

    def _admit(self) -> None:
        while self._waiting and self._busy < self.size:
            place = self._waiting.popleft()
            if not place.done():
                self._busy += 1
                place.set_result(None)
