"""The connection to a SQLite file or a PostgreSQL database, its transactions, and its errors in plain sentences.

SQLite runs in WAL mode with synchronous=FULL. NORMAL is three times faster but can lose the last commits when the
power fails, and an episode that was paid for must not be paid for twice; a run commits a few episodes per second,
FULL allows hundreds. A write takes the lock when it begins (BEGIN IMMEDIATE): a transaction that reads
first and asks for the lock later would fail at once, without waiting, if another process wrote in between.
"""

from __future__ import annotations

import contextlib
import json
import sqlite3
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from pydantic import ValidationError
from sqlalchemy import URL, Connection, Engine, create_engine, event, make_url, text
from sqlalchemy.exc import DBAPIError, IntegrityError, SQLAlchemyError

from sotopia_pi.errors import StoreError

#: Any number will do, as long as nothing else in a PostgreSQL database takes an advisory lock of the same.
_ADVISORY_LOCK = 0x50714
_FORM = "write postgresql+psycopg://user@host:5432/name"
_LAST_PORT = 65_535


class Database:
    """Transactions over one engine. `where` is what error sentences call the database."""

    def __init__(self, url: URL, wait: float) -> None:
        """`wait` is how many seconds to wait for another process that writes (SQLite)."""
        self.where = url.database or str(url) if is_sqlite(url) else url.render_as_string(hide_password=True)
        self.engine = self._connect(url, wait)
        # SQLite's own way of waiting for its one writer is to sleep and try again, and of many threads some starve.
        self._turn = threading.RLock() if is_sqlite(url) else contextlib.nullcontext()
        self._writing = self.engine.execution_options(immediate=True)

    def _connect(self, url: URL, wait: float) -> Engine:
        try:
            if not is_sqlite(url):
                return create_engine(url, pool_pre_ping=True)
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
        with boundary(self.where), self.engine.begin() as connection:
            yield connection

    @contextmanager
    def writing(self, *, alone: bool = False) -> Iterator[Connection]:
        """A transaction that is stored as a whole or not at all.

        SQLite always has a single writer; `alone` asks the same of PostgreSQL, for writes that number their rows.
        """
        with boundary(self.where), self._turn, self._writing.begin() as connection:
            if alone and connection.dialect.name == "postgresql":
                connection.execute(text("SELECT pg_advisory_xact_lock(:lock)"), {"lock": _ADVISORY_LOCK})
            yield connection

    def use_wal(self) -> None:
        """Puts a SQLite file into WAL mode, where readers and a writer do not wait for each other."""
        if self.engine.dialect.name == "sqlite":
            with boundary(self.where):
                connection = self.engine.raw_connection()
                try:
                    connection.cursor().execute("PRAGMA journal_mode=WAL").close()
                except sqlite3.Error as error:
                    raise StoreError(_sqlite_sentence(self.where, error)) from error
                finally:
                    connection.close()


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


def _begin(connection: Connection) -> None:
    connection.exec_driver_sql("BEGIN IMMEDIATE" if connection.get_execution_options().get("immediate") else "BEGIN")


@contextmanager
def boundary(where: str) -> Iterator[None]:
    """Turns whatever goes wrong with the database `where` into a StoreError that says what to do."""
    try:
        yield
    except SQLAlchemyError as error:
        raise StoreError(_sentence(where, error)) from error
    except (ValidationError, json.JSONDecodeError) as error:
        raise StoreError(
            f"{where} holds a record that cannot be read ({str(error).splitlines()[0]}): "
            "restore a copy, or use the sotopia-pi that wrote it"
        ) from error


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
