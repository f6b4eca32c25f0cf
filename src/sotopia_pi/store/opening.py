"""Opening the database of a run: what is there is looked at before anything of it is changed."""

from __future__ import annotations

import os
from contextlib import suppress
from pathlib import Path

from sqlalchemy import URL

from sotopia_pi.errors import StoreError
from sotopia_pi.files import check_plain
from sotopia_pi.store.database import Database, is_sqlite, log_of, parse_url
from sotopia_pi.store.migrations import MIGRATIONS, migrate_once, stored_version

#: How a rollback journal ends that names another file, which SQLite would open, and remove in the end.
_NAMES_ANOTHER = bytes.fromhex("d9d505f920a163d7")


def open_database(where: Path | str, *, create: bool, wait: float, reading: bool) -> Database:
    """The SQLite file `where` or the database at a URL, its schema up to date; as `Store.open` describes it."""
    url = parse_url(where)
    file = Path(url.database).resolve() if is_sqlite(url) and url.database else None
    if file is not None:
        if not file.exists():
            if not create:
                raise StoreError(f"{url.database} does not exist: check the path of the run")
            if not file.parent.is_dir():
                raise StoreError(f"the folder {file.parent} does not exist: create it first")
        read_only = reading and not _may_be_written(file)
        _check_files(file, alone=not read_only)
        if read_only:
            return _as_it_is(url, file, wait)
    database = Database(url, wait)
    try:
        with database.reading() as connection:  # before anything is changed: the file may not be ours
            stored_version(connection, database.where)
        database.use_wal()
        migrating = True
        while migrating:
            with database.writing(alone=True) as connection:
                migrating = migrate_once(connection, database.where)
        database.check()
        database.keep_place()
    except StoreError:
        database.engine.dispose()
        raise
    return database


def _may_be_written(file: Path) -> bool:
    """Whether this process may change a database and what SQLite puts beside it."""
    paths = (file, file.parent, *(path for path in _beside(file) if path.exists()))
    now = os.access in os.supports_effective_ids
    return file.stat().st_nlink == 1 and all(os.access(path, os.W_OK, effective_ids=now) for path in paths)


def _beside(file: Path) -> list[Path]:
    return [file.with_name(file.name + ending) for ending in ("-wal", "-shm", "-journal")]


def _check_files(file: Path, *, alone: bool) -> None:
    """StoreError for a link or anything else that is no file of its own where SQLite would follow it."""
    for path in (file, *_beside(file)):
        check_plain(path, alone=alone)
    journal = _beside(file)[-1]
    with suppress(OSError), journal.open("rb") as read:
        read.seek(-len(_NAMES_ANOTHER), os.SEEK_END)
        if read.read() == _NAMES_ANOTHER:
            raise StoreError(f"{journal} names another file, which SQLite would remove: remove the journal")


def _as_it_is(url: URL, file: Path, wait: float) -> Database:
    """A database that may not be written, for reading."""
    database = Database(url, wait, read_only=True)
    try:
        with database.reading() as connection:
            version = stored_version(connection, database.where)
    except StoreError as error:
        if log_of(file).exists():
            raise StoreError(
                f"{file} may not be written, and what was stored last is in {log_of(file).name}, which cannot be read "
                "then: copy the run to a folder of your own and read it there"
            ) from error
        raise
    if version < len(MIGRATIONS):
        raise StoreError(
            f"{file} was written by an older sotopia-pi and may not be brought up to date here: copy the run to a "
            "folder of your own and read it there"
        )
    database.check()
    database.keep_place()
    return database
