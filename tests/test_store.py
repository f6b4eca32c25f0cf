"""The run's database: records in, the same records out, in order, once, and all of a write or nothing."""

from __future__ import annotations

import sqlite3
import uuid
from collections.abc import Iterator
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from stores import TASK, episode, rating, task
from strategies import WRITTEN

from sotopia_pi.episodes.records import NOTHING, Action, ActionType, Turn
from sotopia_pi.errors import StoreError
from sotopia_pi.ratings.records import Rating
from sotopia_pi.store import Store
from sotopia_pi.store.schema import storable


@pytest.fixture
def store(where: str) -> Iterator[Store]:
    with Store.open(where) as opened:
        opened.add_tasks("train", [TASK])
        yield opened


# Round trips


def test_everything_survives_closing(where: str) -> None:
    played = episode("k1", repeat=3, seed=2**63 - 1)
    failed = episode("k2", turns=(), failure="the model could not be reached")
    unrated = Rating(episode="k1", role=1, rater="judge", failure="no JSON")
    with Store.open(where) as store:
        store.add_tasks("train", [TASK])
        assert store.add_episode(played, [rating("k1"), unrated])
        assert store.add_episode(failed)
        store.set_selection("bc", [("k1", 1), ("k1", 0)])
        store.set_meta("config", {"run": {"seed": 1}, "names": ["ü", None]})
        store.finish_stage("collect", {"episodes": 2})
    with Store.open(where, create=False) as store:
        assert store.tasks("train") == [TASK]
        assert store.tasks("train")[0].id == TASK.id
        assert store.task(TASK.id) == TASK
        assert list(store.episodes()) == [played, failed]
        assert store.episode("k2") == failed
        assert list(store.ratings()) == [rating("k1"), unrated]
        assert store.selection("bc") == [("k1", 1), ("k1", 0)]
        assert store.meta("config") == {"run": {"seed": 1}, "names": ["ü", None]}
        assert store.stage("collect") == {"episodes": 2}


@pytest.fixture(scope="module")
def shared_store(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Store]:
    with Store.open(tmp_path_factory.mktemp("shared") / "run.db") as opened:
        opened.add_tasks("train", [TASK])
        yield opened


actions = st.builds(Action, type=st.sampled_from(ActionType), argument=WRITTEN)
turns = st.builds(
    lambda action, raw, valid: Turn(role=0, action=action, raw=action.to_json() if raw is None else raw, valid=valid),
    actions,
    st.none() | WRITTEN,
    st.booleans(),
)


@settings(max_examples=60)
@given(st.lists(turns, max_size=4).map(tuple))
def test_turns_come_back_as_they_were_played(shared_store: Store, played: tuple[Turn, ...]) -> None:
    key = uuid.uuid4().hex
    shared_store.add_episode(episode(key, turns=played))
    for before, after in zip(played, shared_store.episode(key).turns, strict=True):
        assert after.action == Action(type=before.action.type, argument=storable(before.action.argument))
        assert after.raw == storable(before.raw)
        assert after.valid == before.valid


@given(WRITTEN)
def test_storable_text_is_utf8_without_nul_and_changes_nothing_else(words: str) -> None:
    kept = storable(words)
    assert "\0" not in kept and kept.encode().decode() == kept and storable(kept) == kept
    if "\0" not in words and not any("\ud800" <= letter <= "\udfff" for letter in words):
        assert kept == words


def test_what_utf8_cannot_carry_is_replaced(store: Store) -> None:
    said = Action(type=ActionType.SPEAK, argument="a\0b \ud83d\ude00 \ud83d")
    reasons = Rating(episode="k\ud800", role=0, rater="judge", reasons={"goal": "half \udc00"})
    store.add_episode(episode("k\ud800", turns=(Turn(role=0, action=said, raw=said.to_json()),)), [reasons])
    (turn,) = store.episode("k\ud800").turns
    assert turn.action.argument == "a\ufffdb 😀 \ufffd"
    assert "\\u0000" in turn.raw  # the model's own words, an escape, need no replacing
    assert [r.reasons for r in store.ratings()] == [{"goal": "half \ufffd"}]


# Tasks


def test_groups_keep_their_order_and_share_tasks(store: Store) -> None:
    many = [task(n) for n in range(5)]
    store.add_tasks("test", reversed(many[2:]))
    store.add_tasks("test", [*many, many[0]])
    store.add_tasks("test", many)
    assert store.tasks("test") == [*reversed(many[2:]), many[0], many[1]]
    assert store.tasks("train") == [TASK]
    assert store.tasks("nothing") == []
    assert store.task_groups() == {"test": 5, "train": 1}


def test_characters_and_scenarios_are_stored_once(tmp_path: Path) -> None:
    with Store.open(tmp_path / "run.db") as store:
        store.add_tasks("train", [task(1), task(2)])
        store.add_tasks("test", [task(2)])
    assert [count_rows(tmp_path / "run.db", table) for table in ("characters", "scenarios", "tasks")] == [2, 2, 2]


def count_rows(path: Path, table: str) -> int:
    connection = sqlite3.connect(path)
    try:
        return int(connection.execute(f"SELECT count(*) FROM {table}").fetchone()[0])
    finally:
        connection.close()


def test_a_canonical_reply_is_not_stored_twice(tmp_path: Path) -> None:
    with Store.open(tmp_path / "run.db") as store:
        store.add_tasks("train", [TASK])
        store.add_episode(episode("k"))
    connection = sqlite3.connect(tmp_path / "run.db")
    assert connection.execute("SELECT raw FROM turns ORDER BY number").fetchall() == [(None,), ("{oops",), ("",)]
    connection.close()


# Episodes, ratings, selections, stages


def test_an_episode_is_stored_once(store: Store) -> None:
    first = episode("k")
    assert store.add_episode(first, [rating("k")])
    assert not store.add_episode(episode("k", turns=(), stage="other"), [rating("k", goal=1), rating("k", role=1)])
    assert list(store.episodes()) == [first]
    assert list(store.ratings()) == [rating("k")]


def test_an_episode_and_its_ratings_are_one_transaction(store: Store) -> None:
    broken = Rating.model_construct(episode="k", role=None, rater="judge", scores={}, reasons={})
    with pytest.raises(StoreError):
        store.add_episode(episode("k"), [rating("k"), broken])
    assert store.episode_keys("collect") == set()
    with pytest.raises(ValueError, match="not of the episode 'k'"):
        store.add_episode(episode("k"), [rating("other")])
    assert store.add_episode(episode("k"))


def test_episodes_are_streamed_in_order_and_filtered(store: Store) -> None:
    keys = [f"{'Aa-é'[n % 4]}{n:04d}" for n in range(600)]
    for n, key in enumerate(keys):
        store.add_episode(episode(key, stage=f"s{n % 2}", turns=(Turn(role=n % 2, action=NOTHING),)))
    assert [e.key for e in store.episodes()] == sorted(keys)
    assert [e.key for e in store.episodes("s1")] == sorted(keys[1::2])
    assert [e.key for e in store.episodes("s0", keys=[*keys[:400], "unknown"])] == sorted(keys[:400:2])
    assert list(store.episodes(keys=[])) == []
    assert {e.turns[0].role for e in store.episodes("s1")} == {1}
    assert store.episode_keys("s1") == set(keys[1::2])


def test_the_store_may_be_written_while_episodes_are_streamed(store: Store) -> None:
    for n in range(300):
        store.add_episode(episode(f"{n:03d}", turns=()))
    for seen in store.episodes("collect"):
        store.add_ratings([rating(seen.key)])
    assert [r.episode for r in store.ratings()] == [f"{n:03d}" for n in range(300)]


def test_failed_episodes_are_counted_and_can_be_dropped(store: Store) -> None:
    store.add_episode(episode("done"))
    store.add_episode(episode("lost", failure="outage"), [Rating(episode="lost", role=0, rater="j", failure="none")])
    store.add_episode(episode("elsewhere", stage="evaluate", failure="outage"))
    assert store.counts("collect") == (1, 1)
    assert store.drop_failed("collect") == 1
    assert store.counts("collect") == (1, 0)
    assert store.counts("evaluate") == (0, 1)
    assert store.counts("unknown") == (0, 0)
    assert list(store.ratings()) == []
    assert store.add_episode(episode("lost"))
    assert len(store.episode("lost").turns) == 3


def test_ratings_replace_the_same_raters_earlier_ones(store: Store) -> None:
    store.add_episode(episode("a"), [rating("a"), rating("a", role=1)])
    store.add_episode(episode("b", stage="evaluate"))
    store.add_ratings([rating("b", goal=2), rating("a", rater="judge"), rating("a", goal=3)])
    assert list(store.ratings()) == [
        rating("a", rater="judge"),
        rating("a", goal=3),
        rating("a", role=1),
        rating("b", goal=2),
    ]
    assert list(store.ratings("evaluate")) == [rating("b", goal=2)]
    assert list(store.ratings(rater="judge")) == [rating("a", rater="judge")]
    assert list(store.ratings("evaluate", "judge")) == []


def test_a_selection_is_replaced_as_a_whole(store: Store) -> None:
    for key in "abc":
        store.add_episode(episode(key))
    store.set_selection("bc", [("b", 1), ("a", 0), ("b", 0)])
    store.set_selection("sr", [("c", 0)])
    store.set_selection("bc", [("c", 1), ("a", 0)])
    assert store.selection("bc") == [("c", 1), ("a", 0)]
    with pytest.raises(StoreError, match="store each one once"):
        store.set_selection("bc", [("a", 0), ("a", 0)])
    with pytest.raises(StoreError, match="refers to one it does not hold"):
        store.set_selection("bc", [("unknown", 0)])
    assert store.selection("bc") == [("c", 1), ("a", 0)]
    store.set_selection("bc", [])
    assert store.selection("bc") == []
    assert store.selection("sr") == [("c", 0)]


def test_stages_are_listed_in_the_order_they_were_finished(store: Store) -> None:
    assert store.stage("train") is None
    store.finish_stage("train", {"loss": [3.5, 2.0]})
    store.finish_stage("evaluate", {})
    store.finish_stage("train", {"loss": [1.0]})
    assert list(store.stages().items()) == [("train", {"loss": [1.0]}), ("evaluate", {})]


def test_meta_is_replaced_and_the_version_is_out_of_reach(store: Store) -> None:
    assert store.meta("seed") is None
    store.set_meta("seed", 1)
    store.set_meta("seed", 2)
    assert store.meta("seed") == 2
    with pytest.raises(ValueError, match="belongs to the store"):
        store.set_meta("schema_version", 9)


def test_what_is_not_stored_is_said(store: Store) -> None:
    with pytest.raises(StoreError, match="no task 'x'"):
        store.task("x")
    with pytest.raises(StoreError, match="no episode 'x'"):
        store.episode("x")
    with pytest.raises(StoreError, match="tasks go before their episodes"):
        store.add_episode(episode("k").model_copy(update={"task_id": "x"}))
    with pytest.raises(StoreError, match="episodes before their ratings"):
        store.add_ratings([rating("x")])
