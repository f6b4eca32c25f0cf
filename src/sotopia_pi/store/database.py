"""The connection to a SQLite file or a PostgreSQL database, its transactions, and its errors in plain sentences.

SQLite runs in WAL mode with synchronous=FULL. NORMAL is three times faster but can lose the last commits when the
power fails, and an episode that was paid for must not be paid for twice; a run commits a few episodes per second,
FULL allows hundreds. A write takes the lock when it begins (BEGIN IMMEDIATE): a transaction that reads
first and asks for the lock later would fail at once, without waiting, if another process wrote in between.

A file that was moved, deleted or replaced meanwhile is noticed before and after every transaction: what is written to
such a file goes where nobody finds it. Where nothing may be written the file is read as it is.
"""

from __future__ import annotations

import contextlib
import sqlite3
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Self

from sqlalchemy import URL, Connection, Engine, create_engine, event, make_url, text
from sqlalchemy.exc import DBAPIError, IntegrityError, SQLAlchemyError
from sqlalchemy.pool import NullPool

from sotopia_pi.errors import StoreError
from sotopia_pi.store.checking import damage, is_small, wrong_row
from sotopia_pi.store.session import LOCK, Session

#: Under which key the table meta counts the transactions of sessions.
STORED = "transactions"
_COUNT = "INSERT INTO meta (key, value) VALUES (?, ?) ON CONFLICT (key) DO UPDATE SET value = excluded.value"
#: What turning a row into a record raises where the row holds something else.
_UNREADABLE = (ValueError, TypeError, LookupError, AttributeError, ArithmeticError, RecursionError)
#: Any number will do, as long as nothing else in a PostgreSQL database takes an advisory lock of the same.
_ADVISORY_LOCK = 0x50714
_FORM = "write postgresql+psycopg://user@host:5432/name"
_LAST_PORT = 65_535


class Database:
    """Transactions over one engine. `where` is what error sentences call the database."""

    def __init__(self, url: URL, wait: float, *, read_only: bool = False) -> None:
        """`wait` is how many seconds to wait for another process that writes (SQLite); so is `read_only`."""
        self.where = url.database or str(url) if is_sqlite(url) else url.render_as_string(hide_password=True)
        self.read_only = read_only
        self.file = Path(url.database).resolve() if is_sqlite(url) and url.database else None
        self.engine = self._connect(url, wait)
        # SQLite's own way of waiting for its one writer is to sleep and try again, and of many threads some starve.
        self._turn = threading.RLock() if is_sqlite(url) else contextlib.nullcontext()
        self._writing = self.engine.execution_options(immediate=True)
        self._place: Place | None = None
        self._session: Session | None = None
        self._stored = 0

    def _connect(self, url: URL, wait: float) -> Engine:
        try:
            if not is_sqlite(url):
                return create_engine(url, pool_pre_ping=True)
            if self.read_only and self.file is not None:
                file = self.file
                # A connection of its own for every transaction: which of the two ways is right may change meanwhile.
                engine = create_engine(url, creator=lambda: _reader(file, wait), poolclass=NullPool)
            else:
                engine = create_engine(url, connect_args={"timeout": wait})
        except ImportError as error:
            raise StoreError(f"no driver for {self.where}: install {error.name} ({error})") from error
        except SQLAlchemyError as error:
            raise StoreError(f"{self.where} cannot be used ({error}): {_FORM}") from error
        event.listen(engine, "connect", _prepare)
        event.listen(engine, "begin", _begin)
        return engine

    @contextmanager
    def reading(self) -> Iterator[Connection]:
        """A transaction that sees one state of the database and changes nothing."""
        self.check_place()
        with self.boundary(), self.engine.begin() as connection:
            yield connection

    @contextmanager
    def writing(self, *, alone: bool = False) -> Iterator[Connection]:
        """A transaction that is stored as a whole or not at all.

        SQLite always has a single writer; `alone` asks the same of PostgreSQL, for writes that number their rows.
        """
        if self.read_only:
            raise StoreError(f"{self.where} may not be written: copy the run to a folder of your own and work there")
        with self.boundary(), self._turn:
            self.check_place()
            with self._writing.begin() as connection:
                if alone and connection.dialect.name == "postgresql":
                    connection.execute(text("SELECT pg_advisory_xact_lock(:lock)"), {"lock": _ADVISORY_LOCK})
                yield connection
                if self._session is not None:
                    connection.exec_driver_sql(_COUNT, (STORED, str(self._stored + 1)))
            if self._session is not None:
                self._stored += 1
                self._session.stored(self._stored)
            self.check_place()

    @contextmanager
    def boundary(self) -> Iterator[None]:
        """Turns whatever goes wrong into a StoreError that says what to do."""
        try:
            yield
        except SQLAlchemyError as error:
            raise StoreError(_sentence(self.where, error)) from error
        except _UNREADABLE as error:
            raise StoreError(_unreadable(self.where, self._wrong_row() or _first(error))) from error

    def check(self) -> None:
        """Looks through a SQLite file. StoreError names the row that cannot be right, or what is damaged."""
        if self.file is None:
            return
        small = is_small(self.file)
        with self.reading() as connection:
            if small and (found := damage(connection)) is not None:
                raise StoreError(f"{self.where} is damaged ({found}): restore a copy, or move it away to begin anew")
            if (row := wrong_row(connection, thorough=small)) is not None:
                raise StoreError(_unreadable(self.where, row))

    def _wrong_row(self) -> str | None:
        if self.file is None:
            return None
        with contextlib.suppress(SQLAlchemyError), self.engine.begin() as connection:
            return wrong_row(connection)
        return None

    def keep_place(self) -> None:
        """From now on the file must be where it is."""
        if self.file is not None:
            self._place = Place.of(self.file)

    def check_place(self) -> None:
        """StoreError when the file is no longer where it was opened."""
        if self._place is None or self.file is None:
            return
        now = Place.of(self.file)
        if now == self._place:
            return
        if now.main != self._place.main:
            raise StoreError(
                f"{self.where} was moved, deleted or replaced while it was in use: put it back or go on where it is "
                "now; what was stored before is kept in it"
            )
        if self._place.log is None or self.read_only:  # the log comes with the first write, of whoever writes
            self._place = now
        elif now.log != self._place.log:
            self.checkpoint()
            raise StoreError(
                f"{self.where}-wal was deleted or replaced while it was in use: start again; what was stored before is "
                f"kept in {self.where}"
            )

    def count_for(self, session: Session) -> None:
        """Counts what is stored for a session, which knows how much there must be. StoreError if there is less."""
        with self.reading() as connection:
            self._stored = counted(connection)
        check_complete(self.where, self._stored, session.before)
        self._session = session

    def check_complete(self, stored: int) -> None:
        """StoreError where there are fewer than `stored` transactions."""
        if stored:
            with self.reading() as connection:
                check_complete(self.where, counted(connection), stored)

    def checkpoint(self) -> None:
        """Brings what is stored from the log into the file itself, as far as nobody is reading older states.

        What cannot be brought there now stays in the log.
        """
        if self.file is not None and not self.read_only:
            with (
                contextlib.suppress(sqlite3.Error, SQLAlchemyError),
                contextlib.closing(self.engine.raw_connection()) as connection,
            ):
                connection.cursor().execute("PRAGMA wal_checkpoint(PASSIVE)").close()

    def use_wal(self) -> None:
        """Puts a SQLite file into WAL mode, where readers and a writer do not wait for each other."""
        if self.engine.dialect.name == "sqlite":
            with self.boundary():
                connection = self.engine.raw_connection()
                try:
                    connection.cursor().execute("PRAGMA journal_mode=WAL").close()
                except sqlite3.Error as error:
                    raise StoreError(_sqlite_sentence(self.where, error)) from error
                finally:
                    connection.close()


@dataclass(frozen=True, slots=True)
class Place:
    """Which files are the database and its write-ahead log now; None for one that is not there."""

    main: tuple[int, int] | None
    log: tuple[int, int] | None

    @classmethod
    def of(cls, file: Path) -> Self:
        """As they are now."""
        return cls(_identity(file), _identity(log_of(file)))


def _identity(path: Path) -> tuple[int, int] | None:
    try:
        found = path.stat()
    except OSError:
        return None
    return found.st_dev, found.st_ino


def log_of(file: Path) -> Path:
    """Where SQLite keeps what is not in the file itself yet."""
    return file.with_name(f"{file.name}-wal")


def counted(connection: Connection) -> int:
    """How many transactions of sessions a SQLite file holds."""
    found = connection.exec_driver_sql("SELECT value FROM meta WHERE key = ?", (STORED,)).scalar()
    return int(found) if found else 0


def check_complete(where: str, held: int, stored: int) -> None:
    """StoreError where a database holds fewer transactions than were stored in it."""
    if held < stored:
        raise StoreError(
            f"{where} holds {held} of the {stored} transactions that were stored in it: {Path(where).name}-wal beside "
            f"it is missing or damaged; put it back, or remove {LOCK} to go on without what is lost"
        )


def is_sqlite(url: URL) -> bool:
    """Whether a URL names a SQLite file."""
    return url.get_backend_name() == "sqlite"


def parse_url(where: Path | str) -> URL:
    """The URL of a path, or of a text that is a URL or a path. StoreError for a database we do not know."""
    if isinstance(where, Path) or "://" not in where:
        return URL.create("sqlite", database=str(where))
    try:
        url = make_url(where)
    except (SQLAlchemyError, ValueError):  # which may quote what stands at the place of the password
        raise StoreError(f"the database URL cannot be read: {_FORM}") from None
    if url.get_backend_name() not in ("sqlite", "postgresql"):
        raise StoreError(f"{url.get_backend_name()} databases are not supported: use sqlite or postgresql")
    if url.port is not None and not 1 <= url.port <= _LAST_PORT:
        raise StoreError(f"the database URL has the port {url.port}: give one from 1 to {_LAST_PORT}")
    if is_sqlite(url) and (not url.database or url.query):
        raise StoreError("the database URL names no file by itself: write sqlite:///FILE, or the path alone")
    return url


def _prepare(connection: sqlite3.Connection, _: Any) -> None:
    connection.isolation_level = None  # or sqlite3 begins transactions of its own, too late and not IMMEDIATE
    connection.execute("PRAGMA foreign_keys=ON").close()
    connection.execute("PRAGMA synchronous=FULL").close()
    connection.execute("PRAGMA cell_size_check=ON").close()
    connection.execute("PRAGMA trusted_schema=OFF").close()  # the file may come from a stranger


def _reader(file: Path, wait: float) -> sqlite3.Connection:
    """A connection to a file beside which nothing can be made: as it is, unless a log must be read too."""
    log = log_of(file)
    still = "" if log.exists() and log.stat().st_size else "&immutable=1"
    return sqlite3.connect(f"{file.as_uri()}?mode=ro{still}", uri=True, timeout=wait, check_same_thread=False)


def _begin(connection: Connection) -> None:
    connection.exec_driver_sql("BEGIN IMMEDIATE" if connection.get_execution_options().get("immediate") else "BEGIN")


def _unreadable(where: str, what: str) -> str:
    return f"{where} holds a record that cannot be read ({what}): restore a copy, or use the sotopia-pi that wrote it"


def _first(error: BaseException) -> str:
    """The first line of what an error says."""
    return next(iter(str(error).strip().splitlines()), "") or type(error).__name__


def _sentence(where: str, error: SQLAlchemyError) -> str:
    cause = error.orig if isinstance(error, DBAPIError) else error
    detail = str(cause).strip().splitlines()[0] if str(cause).strip() else type(cause).__name__
    state = getattr(cause, "sqlstate", None)
    if isinstance(error, IntegrityError):
        if "FOREIGN KEY" in detail or state == "23503":
            return (
                f"{where} refused a record that refers to one it does not hold ({detail}): "
                "tasks go before their episodes, episodes before their ratings and selections"
            )
        return f"{where} refused a record that it holds already or that is incomplete ({detail}): store each one once"
    if isinstance(cause, sqlite3.Error):
        return _sqlite_sentence(where, cause)
    if state == "53100":
        return _full(where)
    return f"{where} cannot be used ({detail}): check that the database is running and may be written, then start again"


def _full(where: str) -> str:
    return f"the disk that holds {where} is full: free some space and start again, what was stored is kept"


def _sqlite_sentence(where: str, error: sqlite3.Error) -> str:
    code = getattr(error, "sqlite_errorcode", 0) & 0xFF  # the rest of the bits only refines it
    if code == sqlite3.SQLITE_FULL:
        return _full(where)
    if code in (sqlite3.SQLITE_BUSY, sqlite3.SQLITE_LOCKED):
        return f"another program keeps {where} locked: end it, or wait until it is done, and start again"
    if code in (sqlite3.SQLITE_NOTADB, sqlite3.SQLITE_CORRUPT):
        return f"{where} is damaged or not a database: restore a copy, or move it away to begin anew"
    if code in (sqlite3.SQLITE_READONLY, sqlite3.SQLITE_CANTOPEN, sqlite3.SQLITE_PERM):
        return f"{where} cannot be opened for writing ({error}): check that you may write the file and its folder"
    return f"reading or writing {where} failed ({error}): check the disk and start again"
