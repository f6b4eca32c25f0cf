"""The open connections of a server: how many there may be, and how long one may take to send a request.

A connection *owes* a request from its beginning, and again from each answer on, until a whole request has come. Who
owes one for too long is cut off. Where there are too many, in all or from one address, the one that has owed longest
makes room for the new one, so that half-sent requests keep nobody out; where all are being answered, the new one is
turned away. This machine's own address may have all of them, because a proxy on it speaks for everybody.
"""

from __future__ import annotations

import asyncio
import ipaddress
import logging
import re
from collections import Counter
from dataclasses import dataclass
from time import monotonic

#: Connections at once, as far as the system allows so many open files; and from one address.
MOST, MOST_OF_ONE = 256, 128
#: Open files that are left to everything else.
_OTHER_FILES = 128
#: Seconds within which a whole request must have come, and those for which an idle connection is kept.
PATIENCE, IDLE = 30.0, 5
#: Connections that are taken up at once, before any is counted; and those that wait in the system for that.
BACKLOG, QUEUE = 64, 1024
#: Seconds in which a message of the log is not repeated, and how many messages are told apart.
_QUIET, _MESSAGES = 60.0, 500


def network_of(host: str) -> str:
    """The address that counts as one visitor's: of IPv6 the network of 2⁶⁴ addresses that a customer has."""
    try:
        address = ipaddress.ip_address(host)
    except ValueError:
        return host[:100]
    if isinstance(address, ipaddress.IPv6Address) and not address.is_loopback:
        return str(address.ipv4_mapped or ipaddress.ip_network((address, 64), strict=False))
    return str(address)


@dataclass(slots=True)
class _Open:
    address: str
    limit: asyncio.TimerHandle | None = None


class Connections:
    """The connections of one server on one event loop."""

    def __init__(self, most: int = MOST, of_one: int = MOST_OF_ONE, patience: float = PATIENCE) -> None:
        self.most, self.of_one, self.patience = min(most, max(16, _open_files() - _OTHER_FILES)), of_one, patience
        self._open: dict[asyncio.Transport, _Open] = {}
        #: Those that owe a request, whoever has owed it for longest first.
        self._owing: dict[asyncio.Transport, None] = {}
        self._of: Counter[str] = Counter()

    def __len__(self) -> int:
        return len(self._open)

    def opened(self, transport: asyncio.Transport) -> None:
        """A new connection, which is closed again where there is no room for it."""
        peer = transport.get_extra_info("peername")
        address = network_of(str(peer[0])) if isinstance(peer, tuple) else ""
        alone = not _is_here(address) and self._of[address] >= self.of_one
        if (alone or len(self._open) >= self.most) and not self._make_room(address if alone else None):
            transport.abort()
            return
        self._open[transport] = _Open(address)
        self._of[address] += 1
        self.owes(transport)

    def owes(self, transport: asyncio.Transport) -> None:
        """A request is awaited; nothing changes where it was before."""
        one = self._open.get(transport)
        if one is not None and one.limit is None:
            one.limit = asyncio.get_running_loop().call_later(self.patience, self._cut, transport)
            self._owing[transport] = None

    def came(self, transport: asyncio.Transport) -> None:
        """A whole request has come and is being answered."""
        one = self._open.get(transport)
        if one is not None and one.limit is not None:
            one.limit.cancel()
            one.limit = None
            del self._owing[transport]

    def closed(self, transport: asyncio.Transport) -> None:
        """A connection is over."""
        self.came(transport)
        one = self._open.pop(transport, None)
        if one is not None:
            self._of[one.address] -= 1
            if not self._of[one.address]:
                del self._of[one.address]

    def _make_room(self, address: str | None) -> bool:
        """Cuts off who has owed a request for longest, of an address or of all; False where nobody owes one."""
        late = (one for one in self._owing if address is None or self._open[one].address == address)
        found = next(late, None)
        if found is not None:
            self._cut(found)
        return found is not None

    def _cut(self, transport: asyncio.Transport) -> None:
        self.closed(transport)
        transport.abort()


def _is_here(address: str) -> bool:
    try:
        return ipaddress.ip_address(address).is_loopback
    except ValueError:
        return not address  # a socket of the file system


def _open_files() -> int:
    """How many files this process may have open."""
    try:
        import resource
    except ModuleNotFoundError:  # not a Unix
        return 512
    soft, _ = resource.getrlimit(resource.RLIMIT_NOFILE)
    return 1_000_000 if soft == resource.RLIM_INFINITY else soft


class Repeats(logging.Filter):
    """Lets a message through, and the same one again after a minute, with how often it was left out."""

    def __init__(self) -> None:
        super().__init__()
        self._seen: dict[tuple[str, ...], tuple[float, int]] = {}

    def filter(self, record: logging.LogRecord) -> bool:
        """Whether the record is written."""
        key = self._key(record)
        now = monotonic()
        last, left_out = self._seen.get(key, (now - _QUIET, 0))
        if now - last < _QUIET:
            self._seen[key] = last, left_out + 1
            return False
        if len(self._seen) >= _MESSAGES:
            self._seen.pop(next(iter(self._seen)))
        self._seen[key] = now, 0
        if left_out:
            record.msg, record.args = f"{record.getMessage()} (and {left_out:,} more like it)", ()
        return True

    @staticmethod
    def _key(record: logging.LogRecord) -> tuple[str, ...]:
        """What makes two messages the same: all but numbers and addresses, and the place of an error."""
        error = record.exc_info[1] if record.exc_info else None
        place, at = "", error.__traceback__ if error is not None else None
        while at is not None:
            place, at = f"{at.tb_frame.f_code.co_filename}:{at.tb_lineno}", at.tb_next
        return record.name, re.sub(r"0x[0-9a-fA-F]+|\d+", "#", record.getMessage()[:1000]), type(error).__name__, place


def collapse(*names: str) -> None:
    """Has each message of these loggers written once a minute."""
    for name in names:
        logger = logging.getLogger(name)
        if not any(isinstance(one, Repeats) for one in logger.filters):
            logger.addFilter(Repeats())
