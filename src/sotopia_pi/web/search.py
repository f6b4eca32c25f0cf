"""Searching what was said: an index of words beside the run's database, built in the background.

The index is derived: `search.db` may be deleted at any time and is made again. Where the folder may not be written,
there is none, or the file is a link, it is a temporary file. A query is made of words, "phrases in quotes" and
beginnings*, all of which must occur in an episode; whatever else it holds is plain text.
"""

from __future__ import annotations

import logging
import re
import sqlite3
import tempfile
import threading
import time
from collections import OrderedDict
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from sotopia_pi.errors import StoreError
from sotopia_pi.files import check_plain
from sotopia_pi.store import Store
from sotopia_pi.web.site import Site
from sotopia_pi.web.snapshot import Mask, Snapshot

FILE = "search.db"
_ENDINGS = ("", "-wal", "-shm", "-journal")
#: Of the tables below; an index of another version is made anew.
_VERSION = 1
_TABLES = """
CREATE TABLE episodes (id INTEGER PRIMARY KEY, key TEXT NOT NULL, stamp TEXT NOT NULL);
CREATE INDEX episodes_by_key ON episodes (key);
CREATE VIRTUAL TABLE words USING fts5(said, content='', prefix='2 3',
  tokenize='unicode61 remove_diacritics 2');
"""
_BATCH = 500
_MOST_TERMS = 16
_KEPT = 32
#: Seconds between two looks at how far an index has grown.
_PAUSE = 1.0
_TERM = re.compile(r'"([^"]*)"|([^\s"]+)')


def terms(query: str) -> list[str]:
    """The words, phrases and beginnings of a query as FTS5 strings; none where it holds nothing that is a word."""
    found = []
    for phrase, word in _TERM.findall(query.replace("\x00", " ")):
        text = phrase or word
        if not any(char.isalnum() for char in text):
            continue
        begins = bool(word) and len(word) > 2 and word.endswith("*")
        found.append(f'"{text.rstrip("*") if begins else text}"' + ("*" if begins else ""))
    return found[:_MOST_TERMS]


@dataclass(frozen=True, slots=True)
class Found:
    """The episodes of a snapshot in which a text occurs; `indexed` of all its episodes could be searched."""

    episodes: Mask
    indexed: int


class TextIndex:
    """The index of one store. Threads may share it."""

    def __init__(self, store: Store, folder: Path | None) -> None:
        self._store = store
        self._lock = threading.Lock()
        self._temporary: tempfile.TemporaryDirectory[str] | None = None
        self._connection = self._open(folder)
        self._held: dict[str, tuple[int, str]] = {
            key: (id, stamp)
            for id, key, stamp in self._connection.execute("SELECT id, key, stamp FROM episodes ORDER BY id")
        }
        self._building: threading.Thread | None = None
        self._stop = threading.Event()
        self._seen: tuple[Snapshot, int] | None = None
        self._added, self._followed = 0, 0.0
        self._stamped: tuple[Snapshot, list[str]] | None = None
        self._places = np.zeros(0, dtype=np.intp)
        self._results: OrderedDict[tuple[str, ...], Mask] = OrderedDict()

    def find(self, query: str, snapshot: Snapshot) -> Found:
        """The episodes in which all terms of a query occur; what is not indexed yet is, in the background."""
        self.extend(snapshot)
        with self._lock:
            self._follow(snapshot)
            wanted = tuple(terms(query))
            if wanted not in self._results:
                self._results[wanted] = self._match(wanted, snapshot)
                if len(self._results) > _KEPT:
                    self._results.popitem(last=False)
            self._results.move_to_end(wanted)
            return Found(self._results[wanted], int((self._places >= 0).sum()))

    def extend(self, snapshot: Snapshot) -> None:
        """Begins to index what is not indexed yet, unless that is being done."""
        if self._building is not None and self._building.is_alive():
            return
        with self._lock:
            self._follow(snapshot)
            complete = int((self._places >= 0).sum()) == snapshot.episodes
        if not complete:
            building = threading.Thread(target=self._build, args=(snapshot,), name="search", daemon=True)
            building.start()
            self._building = building  # only now: another thread may wait for it

    def wait(self) -> None:
        """Returns when nothing is being indexed."""
        if self._building is not None:
            self._building.join()

    def close(self) -> None:
        """Stops indexing, closes the file and removes it if it was temporary."""
        self._stop.set()
        self.wait()
        self._connection.close()
        if self._temporary is not None:
            self._temporary.cleanup()

    # The file

    def _open(self, folder: Path | None) -> sqlite3.Connection:
        if folder is not None and not self._store.read_only:
            try:
                for ending in _ENDINGS:
                    check_plain(folder / f"{FILE}{ending}", alone=True)
                return _opened(folder / FILE)
            except StoreError as error:
                logging.getLogger(__name__).warning("%s Until then the index is a temporary file.", error)
            except (sqlite3.OperationalError, OSError):  # may not be written
                pass
        self._temporary = tempfile.TemporaryDirectory(prefix="sotopia-pi-search-", ignore_cleanup_errors=True)
        return _opened(Path(self._temporary.name) / FILE)

    def _build(self, snapshot: Snapshot) -> None:
        missing = [
            (key, stamp)
            for key, stamp in zip(snapshot.keys, self._stamps(snapshot), strict=True)
            if self._held.get(key, (0, ""))[1] != stamp
        ]
        for start in range(0, len(missing), _BATCH):
            if self._stop.is_set():
                return
            batch = dict(missing[start : start + _BATCH])
            try:
                with self._store.columns.reading() as reader:
                    said = reader.said(list(batch))
                with self._lock:
                    self._add(batch, said)
            except (StoreError, sqlite3.Error):  # the next search tries again; until then the page shows how far it is
                return
        with self._lock:
            self._follow(snapshot, at_once=True)

    def _add(self, batch: dict[str, str], said: dict[str, str]) -> None:
        connection = self._connection
        with connection:
            connection.execute("BEGIN IMMEDIATE")
            last = connection.execute("SELECT coalesce(max(id), 0) FROM episodes").fetchone()[0]
            rows = [(last + n, key, stamp) for n, (key, stamp) in enumerate(batch.items(), 1)]
            connection.executemany("INSERT INTO episodes (id, key, stamp) VALUES (?, ?, ?)", rows)
            texts = [(id, said.get(key) or "") for id, key, _ in rows]
            connection.executemany("INSERT INTO words (rowid, said) VALUES (?, ?)", texts)
        self._held |= {key: (id, stamp) for id, key, stamp in rows}
        self._added += len(rows)

    def _stamps(self, snapshot: Snapshot) -> list[str]:
        """What changes when an episode is played anew under the same key."""
        if self._stamped is None or self._stamped[0] is not snapshot:
            first = snapshot.first
            turns, seconds = (snapshot.column(name)[first].tolist() for name in ("turns", "seconds"))
            made = [f"{number} {took!r}" for number, took in zip(turns, seconds, strict=True)]
            self._stamped = snapshot, made
        return self._stamped[1]

    # Searching

    def _follow(self, snapshot: Snapshot, *, at_once: bool = False) -> None:
        """Brings the episode of each entry up to date; an entry of what was played anew leads nowhere."""
        now, added = time.monotonic(), self._added
        if self._seen is not None and self._seen[0] is snapshot:
            growing = self._building is not None and self._building.is_alive() and not at_once
            if self._seen[1] == added or (growing and now - self._followed < _PAUSE):
                return
        places = np.full(max((id for id, _ in self._held.values()), default=0) + 1, -1, dtype=np.intp)
        for place, (key, stamp) in enumerate(zip(snapshot.keys, self._stamps(snapshot), strict=True)):
            id, held = self._held.get(key, (0, ""))
            if held == stamp:
                places[id] = place
        self._places, self._seen, self._followed = places, (snapshot, added), now
        self._results.clear()

    def _match(self, wanted: tuple[str, ...], snapshot: Snapshot) -> Mask:
        found = np.zeros(snapshot.episodes, dtype=bool)
        if wanted:
            # One text with all numbers: 100,000 rows would each pass through Python.
            query = "SELECT group_concat(rowid, ' ') FROM words WHERE words MATCH ?"
            (text,) = self._connection.execute(query, (" ".join(wanted),)).fetchone()
            ids = np.array((text or "").split(), dtype=np.intp)
            places = self._places[ids[ids < len(self._places)]]
            found[places[places >= 0]] = True
        return found


def _opened(path: Path) -> sqlite3.Connection:
    """The index at `path`, begun anew when it is damaged or of another version."""
    try:
        return _tried(path)
    except sqlite3.OperationalError:
        raise
    except sqlite3.DatabaseError:
        for ending in _ENDINGS:
            path.with_name(path.name + ending).unlink(missing_ok=True)
        return _tried(path)


def _tried(path: Path) -> sqlite3.Connection:
    connection = sqlite3.connect(path, timeout=30, isolation_level=None, check_same_thread=False)
    try:
        connection.execute("PRAGMA journal_mode=WAL").close()
        connection.execute("PRAGMA synchronous=OFF").close()
        version = connection.execute("PRAGMA user_version").fetchone()[0]
        tables = connection.execute("SELECT count(*) FROM sqlite_master").fetchone()[0]
        if version != _VERSION and tables:
            raise sqlite3.DatabaseError("an index of another version")
        if not tables:
            connection.executescript(f"BEGIN IMMEDIATE; {_TABLES} PRAGMA user_version = {_VERSION}; COMMIT;")
    except sqlite3.Error:
        connection.close()
        raise
    return connection


def text_index(site: Site, name: str) -> TextIndex:
    """The index of a place of the site, opened once."""
    place = site.places[name]
    return site.once(f"search/{name}", lambda: TextIndex(place.store, place.folder))


def close_indexes(site: Site) -> None:
    """Closes the indexes that were opened."""
    for name in site.places:
        index = site.state.pop(f"search/{name}", None)
        if isinstance(index, TextIndex):
            index.close()
