"""When a call is tried again and after how long: exponential backoff with full jitter, or what the server asks for."""

from __future__ import annotations

import random
from dataclasses import dataclass
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime

TOO_MANY = 429
#: Besides every 5xx: time-outs, conflicts and "too early", which are the server's moment and not our mistake.
_RETRIED = frozenset({408, 409, 425, TOO_MANY})
_YEAR = 366 * 86_400.0


def retried(status: int) -> bool:
    """Whether a reply with this HTTP status may be different the next time."""
    return status in _RETRIED or status >= 500


def retry_after(value: str | None, now: datetime | None = None) -> float | None:
    """Seconds that a `Retry-After` header asks to wait, from its number or its HTTP date; None when it says nothing.

    More than a year is nonsense and says nothing either.
    """
    if value is None:
        return None
    text = value.strip()
    try:
        seconds = float(text)
    except ValueError:
        try:
            then = parsedate_to_datetime(text[:100])
            then = then if then.tzinfo else then.replace(tzinfo=UTC)
            seconds = (then - (now or datetime.now(UTC))).total_seconds()
        except (ValueError, TypeError, IndexError, OverflowError):  # of whatever is no date, or one of no year
            return None
    return max(0.0, seconds) if seconds <= _YEAR else None


@dataclass(frozen=True, slots=True)
class Backoff:
    """Waits drawn evenly between 0 and a ceiling that starts at `first` seconds, doubles, and stays at `longest`."""

    first: float = 0.5
    longest: float = 30.0

    def wait(self, failures: int, asked: float | None = None) -> float:
        """Seconds to wait after so many failures (from 1); at least what the server asked for, if it did."""
        drawn = random.uniform(0, min(self.longest, self.first * 2 ** min(failures - 1, 30)))
        return drawn if asked is None else asked + min(drawn, self.first)
