"""Who works on a run directory: one process at a time, and how much it has stored.

`run.lock` is locked (flock) by the process that plays, rates or trains in the folder, and says who that is. The lock
ends with the process, whatever ends it. Who only reads needs none, nor do people who play or rate beside a run, since
what each of them stores is one transaction of its own.

The first line of the file counts what the session has stored, and so does the database, in the same transaction. A
database that knows of less has lost its write-ahead log, or part of it.

Where a file system cannot lock, the file is written all the same and nobody is kept out.
"""

from __future__ import annotations

import errno
import json
import os
import socket
import sys
from contextlib import suppress
from datetime import UTC, datetime
from pathlib import Path
from typing import Self

from sotopia_pi.errors import StoreError
from sotopia_pi.files import check_plain

LOCK = "run.lock"
#: Digits of the count, so that it can be written in place.
_WIDTH = 20
_NO_LOCKS = (errno.ENOLCK, errno.EOPNOTSUPP, errno.ENOSYS, errno.EINVAL)


class Session:
    """A process's work on a folder, between `begin` and `end`."""

    def __init__(self, path: Path, file: int, before: int) -> None:
        self.path = path
        self._file = file
        #: What the database must hold at least, by what the last session said before it was killed; 0 if it ended well.
        self.before = before

    @classmethod
    def begin(cls, folder: Path) -> Self:
        """Locks an existing folder. StoreError says who holds it, or that it may not be written."""
        path = folder / LOCK
        check_plain(path, alone=True)
        while True:
            try:
                file = os.open(path, os.O_RDWR | os.O_CREAT | getattr(os, "O_NOFOLLOW", 0), 0o666)
            except OSError as error:
                raise StoreError(
                    f"{folder} may not be written ({error.strerror}): give another --out, or copy the run to a folder "
                    "of your own and work there"
                ) from error
            try:
                _lock(file, path)
                if os.path.samestat(os.fstat(file), path.stat()):
                    break
            except FileNotFoundError:  # who held it has just ended and removed it
                pass
            except BaseException:
                os.close(file)
                raise
            os.close(file)
        session = cls(path, file, stored_before(folder))
        try:
            session._introduce()
        except OSError as error:
            session.end(complete=False)
            raise StoreError(f"{path} cannot be written ({error.strerror}): make room and start again") from error
        return session

    def _introduce(self) -> None:
        told = {
            "process": os.getpid(),
            "host": socket.gethostname(),
            "command": " ".join(["sotopia-pi", *sys.argv[1:2]]),
            "since": datetime.now(UTC).isoformat(timespec="seconds"),
        }
        text = f"{self.before:0{_WIDTH}d}\n{json.dumps(told)}\n".encode()
        os.pwrite(self._file, text, 0)  # never shorter on the way: who is killed here leaves the count
        os.ftruncate(self._file, len(text))

    def stored(self, count: int) -> None:
        """Notes how many transactions the database holds; a note that is missed makes the count too low, no more."""
        with suppress(OSError):
            os.pwrite(self._file, f"{count:0{_WIDTH}d}".encode(), 0)

    def end(self, complete: bool) -> None:
        """Lets others work on the folder, when its database is closed.

        Where it may not be `complete`, the count is left for others to compare.
        """
        if complete:
            with suppress(OSError):
                if os.path.samestat(os.fstat(self._file), self.path.stat()):
                    self.path.unlink()
        os.close(self._file)


def stored_before(folder: Path) -> int:
    """How many transactions the database of a folder must hold, by the session that is or was last at work there."""
    path = folder / LOCK
    check_plain(path)
    try:
        with path.open("rb") as file:
            first = file.read(_WIDTH)
    except OSError:
        return 0
    return int(first) if first.isdigit() else 0


def _lock(file: int, path: Path) -> None:
    try:
        import fcntl
    except ImportError:  # no POSIX system
        return
    try:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        raise StoreError(
            f"{path.parent} is in use: {_holder(path)} works on it; wait until it ends, or stop it"
        ) from None
    except OSError as error:
        if error.errno not in _NO_LOCKS:
            raise StoreError(f"{path} cannot be locked ({error.strerror}): check the disk and start again") from error


def _holder(path: Path) -> str:
    """Who holds a lock, in words."""
    try:
        told = json.loads(path.read_text(encoding="utf-8").split("\n")[1])
        return f"`{told['command']}` (process {told['process']} on {told['host']}, since {told['since']})"
    except (OSError, ValueError, LookupError, TypeError):
        return "another process"
