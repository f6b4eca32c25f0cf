"""Opening the database of a run: what is there is looked at before anything of it is changed."""

from __future__ import annotations

from pathlib import Path

from sotopia_pi.errors import StoreError
from sotopia_pi.store.database import Database, is_sqlite, parse_url
from sotopia_pi.store.migrations import migrate_once, stored_version


def open_database(where: Path | str, *, create: bool, wait: float) -> Database:
    """The SQLite file `where` or the database at a URL, its schema up to date; as `Store.open` describes it."""
    url = parse_url(where)
    if is_sqlite(url) and url.database and not (path := Path(url.database)).exists():
        if not create:
            raise StoreError(f"{path} does not exist: check the path of the run")
        if not path.parent.is_dir():
            raise StoreError(f"the folder {path.parent} does not exist: create it first")
    database = Database(url, wait)
    try:
        with database.reading() as connection:  # before anything is changed: the file may not be ours
            stored_version(connection, database.where)
        database.use_wal()
        migrating = True
        while migrating:
            with database.writing(alone=True) as connection:
                migrating = migrate_once(connection, database.where)
    except StoreError:
        database.engine.dispose()
        raise
    return database
