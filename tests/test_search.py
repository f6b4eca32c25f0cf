"""What was said is found by words, phrases and beginnings; no query is an error; the index is only a copy."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from support import episode, price_task, turn

from sotopia_pi.store import Store
from sotopia_pi.web.search import FILE, TextIndex, terms
from sotopia_pi.web.snapshot import Live, Snapshot

TASK = price_task()
SAID = {
    "a": "Would you take eighteen dollars for the lamp?",
    "b": "The lamp costs eighty dollars. Café au lait!",
    "c": "I like lamps AND dogs OR cats",
    "d": "",
}


def opened(folder: Path) -> tuple[Store, Snapshot]:
    store = Store.open(folder / "run.db")
    store.add_tasks("train", [TASK])
    store.add_episodes([(episode(TASK, [turn(0, text)] if text else [], key), ()) for key, text in SAID.items()])
    return store, Live(store).current()


def hits(index: TextIndex, snapshot: Snapshot, query: str) -> str:
    index.extend(snapshot)
    index.wait()
    found = index.find(query, snapshot)
    assert found.indexed == snapshot.episodes
    return "".join(key for key, hit in zip(snapshot.keys, found.episodes, strict=True) if hit)


@pytest.fixture(scope="module")
def searched(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[TextIndex, Snapshot]]:
    folder = tmp_path_factory.mktemp("search")
    store, snapshot = opened(folder)
    index = TextIndex(store, folder)
    yield index, snapshot
    index.close()
    store.close()


@pytest.mark.parametrize(
    ("query", "expected"),
    [
        ("lamp", "ab"),
        ("LAMP dollars", "ab"),
        ("lamp*", "abc"),
        ("eight*", "ab"),
        ('"eighteen dollars"', "a"),
        ('"dollars eighteen"', ""),
        ("cafe", "b"),
        ("dogs OR cats", "c"),
        ("lamps AND dogs", "c"),
        ("lamp NOT eighty", ""),
        ('"unclosed lamp', ""),
        ("said:lamp", ""),
        ("(lamp)", "ab"),
        ("lamp?", "ab"),
        ("*", ""),
        ('""', ""),
        ("!!!", ""),
        ("lamp ^ -- ;", "ab"),
        ("\x00lamp", "ab"),
    ],
)
def test_queries(searched: tuple[TextIndex, Snapshot], query: str, expected: str) -> None:
    assert hits(*searched, query) == expected


@given(st.lists(st.text(max_size=60), max_size=40))
def test_no_query_is_an_error(queries: list[str]) -> None:
    connection = sqlite3.connect(":memory:")
    connection.execute("CREATE VIRTUAL TABLE words USING fts5(said, content='')")
    for query in (*queries, " ".join(queries)):
        wanted = terms(query)
        assert len(wanted) <= 16
        if wanted:
            rows = connection.execute("SELECT rowid FROM words WHERE words MATCH ?", (" ".join(wanted),))
            assert rows.fetchall() == []
    connection.close()


def test_new_and_replayed_episodes_are_found(tmp_path: Path) -> None:
    store, snapshot = opened(tmp_path)
    index = TextIndex(store, tmp_path)
    store.add_episode(episode(TASK, [turn(0, "violets")], "e", stop_reason=None, failure="server down"))
    assert hits(index, Live(store).current(), "violets") == "e"
    store.drop_failed("collect/bc")
    store.add_episode(episode(TASK, [turn(0, "tulips")], "e", seconds=3.0))
    snapshot = Live(store).current()
    assert hits(index, snapshot, "tulips") == "e"
    assert hits(index, snapshot, "violets") == ""
    index.close()
    store.close()


def test_the_file_may_be_deleted_damaged_or_of_another_version(tmp_path: Path) -> None:
    store, snapshot = opened(tmp_path)
    for spoil in (lambda path: path.unlink(), lambda path: path.write_bytes(b"not a database" * 99), age):
        index = TextIndex(store, tmp_path)
        assert hits(index, snapshot, "lamp") == "ab"
        index.close()
        spoil(tmp_path / FILE)
    index = TextIndex(store, tmp_path)
    assert hits(index, snapshot, "lamp") == "ab"
    index.close()
    store.close()


def age(path: Path) -> None:
    connection = sqlite3.connect(path)
    connection.execute("PRAGMA user_version = 99")
    connection.close()


def test_an_index_is_used_again(tmp_path: Path) -> None:
    store, snapshot = opened(tmp_path)
    index = TextIndex(store, tmp_path)
    hits(index, snapshot, "lamp")
    index.close()
    again = TextIndex(store, tmp_path)
    found = again.find("lamp", snapshot)
    assert (found.indexed, int(found.episodes.sum())) == (4, 2)
    again.close()
    store.close()


def test_without_a_folder_the_index_is_a_temporary_file(tmp_path: Path) -> None:
    store, snapshot = opened(tmp_path)
    for folder in (None, tmp_path / "is not there"):
        index = TextIndex(store, folder)
        assert hits(index, snapshot, "lamp") == "ab"
        index.close()
    assert not (tmp_path / FILE).exists()
    store.close()
