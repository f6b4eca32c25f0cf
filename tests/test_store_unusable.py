"""Databases that cannot be used: damaged, another program's, missing, locked, read-only or full; each is said."""

from __future__ import annotations

import os
import sqlite3
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import Engine, event
from stores import TASK, episode, rating

from sotopia_pi.episodes.records import NOTHING, Turn
from sotopia_pi.errors import StoreError
from sotopia_pi.store import Store


def test_a_file_that_is_no_database_is_refused_and_kept(tmp_path: Path) -> None:
    path = tmp_path / "run.db"
    path.write_text("not a database, but a text that is long enough to have a header" * 20)
    before = path.read_bytes()
    with pytest.raises(StoreError, match="damaged or not a database"):
        Store.open(path)
    assert path.read_bytes() == before


@pytest.mark.parametrize("table", ["notes (words TEXT)", "meta (words TEXT)", "meta (key TEXT, value TEXT)"])
def test_another_programs_database_is_refused_and_kept(tmp_path: Path, table: str) -> None:
    path = tmp_path / "run.db"
    connection = sqlite3.connect(path)
    connection.execute(f"CREATE TABLE {table}")
    connection.close()
    before = path.read_bytes()
    with pytest.raises(StoreError, match="belongs to another program"):
        Store.open(path)
    assert path.read_bytes() == before


def test_a_damaged_database_is_a_store_error(tmp_path: Path) -> None:
    path = tmp_path / "run.db"
    with Store.open(path) as store:
        store.add_tasks("train", [TASK])
        for n in range(100):
            store.add_episode(episode(f"{n:03d}"))
    content = bytearray(path.read_bytes())
    content[4096:] = b"\x5a" * (len(content) - 4096)
    path.write_bytes(content)
    with pytest.raises(StoreError, match="damaged"), Store.open(path) as store:
        list(store.episodes())


def test_a_record_that_cannot_be_read_is_a_store_error(tmp_path: Path) -> None:
    path = tmp_path / "run.db"
    with Store.open(path) as store:
        store.add_tasks("train", [TASK])
        connection = sqlite3.connect(path)
        for record in ("{", '{"situation": 3}'):
            connection.execute("UPDATE scenarios SET record = ?", (record,))
            connection.commit()
            with pytest.raises(StoreError, match="a record that cannot be read"):
                store.tasks("train")
        connection.close()


def test_missing_files_and_folders_are_said(tmp_path: Path) -> None:
    with pytest.raises(StoreError, match="does not exist: check the path"):
        Store.open(tmp_path / "run.db", create=False)
    assert not (tmp_path / "run.db").exists()
    with pytest.raises(StoreError, match="create it first"):
        Store.open(tmp_path / "no" / "run.db")
    with pytest.raises(StoreError, match="cannot be opened for writing"):
        Store.open(tmp_path)


def test_unknown_and_unreachable_servers_are_said() -> None:
    with pytest.raises(StoreError, match="mysql databases are not supported"):
        Store.open("mysql://localhost/x")
    with pytest.raises(StoreError, match="cannot be read"):
        Store.open("://")
    with pytest.raises(StoreError, match="no driver"):
        Store.open("postgresql+pg8000://someone:password@localhost/x")


def test_a_file_that_may_not_be_written_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "run.db"
    Store.open(path).close()
    path.chmod(0o400)
    if os.access(path, os.W_OK):
        pytest.skip("this user may write every file")
    with pytest.raises(StoreError, match="cannot be opened for writing"):
        Store.open(path)


def test_a_folder_that_may_not_be_written_is_refused(tmp_path: Path) -> None:
    folder = tmp_path / "closed"
    folder.mkdir(mode=0o500)
    if os.access(folder, os.W_OK):
        pytest.skip("this user may write every folder")
    with pytest.raises(StoreError, match="cannot be opened for writing"):
        Store.open(folder / "run.db")


def test_a_locked_database_is_said_after_the_wait(tmp_path: Path) -> None:
    path = tmp_path / "run.db"
    with Store.open(path, wait=0.05) as store:
        other = sqlite3.connect(path, isolation_level=None)
        other.execute("BEGIN IMMEDIATE")
        with pytest.raises(StoreError, match=r"another program keeps .* locked"):
            store.set_meta("seed", 1)
        with pytest.raises(StoreError, match="locked"):
            Store.open(path, wait=0.05)
        assert store.meta("seed") is None
        other.execute("ROLLBACK")
        store.set_meta("seed", 1)
        other.close()


def test_a_full_disk_keeps_what_was_stored(tmp_path: Path) -> None:
    def limit(connection: sqlite3.Connection, _: Any) -> None:
        connection.execute("PRAGMA max_page_count=60").close()

    path = tmp_path / "run.db"
    long = Turn(role=0, action=NOTHING, raw="x" * 9000, valid=False)
    stored = []
    event.listen(Engine, "connect", limit)
    try:
        with Store.open(path) as store:
            store.add_tasks("train", [TASK])
            with pytest.raises(StoreError, match="is full: free some space"):
                for n in range(100):
                    store.add_episode(episode(f"{n:03d}", turns=(long, long)), [rating(f"{n:03d}")])
                    stored.append(f"{n:03d}")
            assert store.episode_keys("collect") == set(stored)
    finally:
        event.remove(Engine, "connect", limit)
    assert stored
    with Store.open(path) as store:
        assert [(e.key, len(e.turns)) for e in store.episodes()] == [(key, 2) for key in stored]
        assert store.add_episode(episode("999", turns=(long, long)))
