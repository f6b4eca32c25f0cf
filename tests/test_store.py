"""The run's database: records in, the same records out, whatever happens to the process in between."""

from __future__ import annotations

import os
import sqlite3
import subprocess
import sys
import threading
import uuid
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from sqlalchemy import Engine, create_engine, event, inspect, make_url, text

from sotopia_pi.episodes.records import NOTHING, Action, ActionType, Episode, StopReason, Turn, Usage
from sotopia_pi.errors import StoreError
from sotopia_pi.ratings.records import Rating
from sotopia_pi.store import Store
from sotopia_pi.store.migrations import MIGRATIONS
from sotopia_pi.store.schema import METADATA, storable
from sotopia_pi.world.checks import PriceCheck
from sotopia_pi.world.records import Character, Relationship, Scenario, SocialTask

POSTGRES = os.environ.get("SOTOPIA_PI_TEST_POSTGRES")


def character(name: str, age: int = 30) -> Character:
    return Character(
        name=name,
        age=age,
        gender="woman",
        pronouns="she/her",
        occupation="baker",
        public_info="Keeps a small shop – “Zur Mühle”.",
        big_five="open",
        moral_values=("care",),
        schwartz_values=("benevolence", "hedonism"),
        personality="Patient.",
        decision_style="slow",
        secret="Buys her bread elsewhere.",
    )


def task(number: int = 0) -> SocialTask:
    scenario = Scenario(
        situation=f"Stall {number} at a market.",
        goals=("Sell the lamp.", "Buy the lamp."),
        relationship=Relationship.ACQUAINTANCE,
        kind="price",
        source="test",
        check=PriceCheck(item="lamp", seller=0, limits=(10, 20), targets=(18, 12), listed=19),
    )
    return SocialTask(scenario=scenario, characters=(character("Ada"), character("Bo")))


TASK = task()


def episode(key: str, *, stage: str = "collect", turns: tuple[Turn, ...] | None = None, **fields: Any) -> Episode:
    said = Action(type=ActionType.SPEAK, argument="Fifteen?")
    if turns is None:
        turns = (
            Turn(role=0, action=said, raw=said.to_json(), usage=Usage(prompt=90, cached=80, completion=12)),
            Turn(role=1, action=NOTHING, raw="{oops", valid=False, reasked=True),
            Turn(role=0, action=Action(type=ActionType.LEAVE)),
        )
    if "failure" not in fields:
        fields.setdefault("stop_reason", StopReason.LEFT)
    return Episode(
        key=key, task_id=TASK.id, stage=stage, players=("expert", "base"), turns=turns, seconds=1.5, **fields
    )


def rating(key: str, role: int = 0, rater: str = "verifier", goal: float = 7.0) -> Rating:
    return Rating(episode=key, role=role, rater=rater, scores={"goal": goal}, outcome={"price": 15.0})


@pytest.fixture(params=["sqlite", "postgresql"])
def where(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[str]:
    """An empty database; PostgreSQL gets a schema of its own in the database that the variable names."""
    if request.param == "sqlite":
        yield str(tmp_path / "run.db")
        return
    if not POSTGRES:
        pytest.skip("set SOTOPIA_PI_TEST_POSTGRES to the URL of a PostgreSQL database to test there too")
    schema = f"test_{uuid.uuid4().hex}"
    engine = create_engine(POSTGRES)
    with engine.begin() as connection:
        connection.execute(text(f"CREATE SCHEMA {schema}"))
    yield (
        make_url(POSTGRES)
        .update_query_dict({"options": f"-csearch_path={schema}"})
        .render_as_string(hide_password=False)
    )
    with engine.begin() as connection:
        connection.execute(text(f"DROP SCHEMA {schema} CASCADE"))
    engine.dispose()


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


any_text = st.text(st.characters())  # surrogates and NUL included
actions = st.builds(Action, type=st.sampled_from(ActionType), argument=any_text)
turns = st.builds(
    lambda action, raw, valid: Turn(role=0, action=action, raw=action.to_json() if raw is None else raw, valid=valid),
    actions,
    st.none() | any_text,
    st.booleans(),
)


@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(st.lists(turns, max_size=4).map(tuple))
def test_turns_come_back_as_they_were_played(shared_store: Store, played: tuple[Turn, ...]) -> None:
    key = uuid.uuid4().hex
    shared_store.add_episode(episode(key, turns=played))
    for before, after in zip(played, shared_store.episode(key).turns, strict=True):
        assert after.action == Action(type=before.action.type, argument=storable(before.action.argument))
        assert after.raw == storable(before.raw)
        assert after.valid == before.valid


@given(any_text)
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


# Threads and processes


def test_threads_share_a_store(store: Store) -> None:
    stored: list[bool] = []

    def write() -> None:
        stored.extend(store.add_episode(episode(f"{n:02d}")) for n in range(20))

    threads = [threading.Thread(target=write) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sorted(stored) == [False] * 60 + [True] * 20
    assert [len(e.turns) for e in store.episodes()] == [3] * 20


WRITER = """
import sys
from sotopia_pi.store import Store
from test_store import TASK, episode, rating

with Store.open(sys.argv[1]) as store:
    store.add_tasks("train", [TASK])
    for n in range(int(sys.argv[3])):
        for key in (f"{sys.argv[2]}{n:05d}", f"shared{n:05d}"):
            if store.add_episode(episode(key), [rating(key), rating(key, role=1)]):
                print(key, flush=True)
"""


def start_writer(where: str, name: str, count: int) -> subprocess.Popen[str]:
    """A process that stores `count` episodes of its own and `count` shared ones, and says each one it stored."""
    command = [sys.executable, "-c", WRITER, where, name, str(count)]
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join([str(Path(__file__).parent), *sys.path])}
    return subprocess.Popen(command, stdout=subprocess.PIPE, text=True, env=environment)


def test_two_processes_create_and_fill_one_database(where: str) -> None:
    writers = [start_writer(where, name, 40) for name in "ab"]
    said = [writer.communicate(timeout=120)[0].split() for writer in writers]
    assert [writer.returncode for writer in writers] == [0, 0]
    with Store.open(where) as store:
        assert sorted(said[0] + said[1]) == [e.key for e in store.episodes()]
        assert len(store.episode_keys("collect")) == 120
        assert sum(1 for _ in store.ratings()) == 240


@pytest.mark.parametrize("after", [1, 37])
def test_a_killed_writer_loses_nothing_it_had_stored(where: str, after: int) -> None:
    writer = start_writer(where, "a", 5_000)
    assert writer.stdout is not None
    acknowledged = [writer.stdout.readline().strip() for _ in range(after)]
    writer.kill()
    acknowledged += [line.strip() for line in writer.stdout.readlines() if line.endswith("\n")]
    writer.wait()
    writer.stdout.close()
    with Store.open(where) as store:
        stored = list(store.episodes())
        assert set(acknowledged) <= {e.key for e in stored}
        assert len(stored) - len(acknowledged) in (0, 1)
        assert all(e == episode(e.key) for e in stored)
        assert sum(1 for _ in store.ratings()) == 2 * len(stored)
        assert store.tasks("train") == [TASK]


# Schema


def engine_of(where: str) -> Engine:
    return create_engine(where if "://" in where else f"sqlite:///{where}")


def test_tables_are_those_the_queries_expect(where: str) -> None:
    Store.open(where).close()
    engine = engine_of(where)
    created = inspect(engine)
    assert set(created.get_table_names()) == set(METADATA.tables)
    for name, table in METADATA.tables.items():
        assert [c["name"] for c in created.get_columns(name)] == [c.name for c in table.columns]
        assert created.get_pk_constraint(name)["constrained_columns"] == [c.name for c in table.primary_key]
    engine.dispose()


def test_an_empty_file_becomes_a_database(tmp_path: Path) -> None:
    path = tmp_path / "run.db"
    path.touch()
    with Store.open(path) as store:
        assert store.task_groups() == {}


def test_an_older_schema_is_brought_up_to_date_once(where: str, monkeypatch: pytest.MonkeyPatch) -> None:
    with Store.open(where) as store:
        store.set_meta("seed", 1)
    runs = []
    steps = [*MIGRATIONS, lambda connection: runs.append("second"), lambda connection: runs.append("third")]
    monkeypatch.setattr("sotopia_pi.store.migrations.MIGRATIONS", steps)
    for _ in range(2):
        with Store.open(where) as store:
            assert (store.meta("seed"), store.meta("schema_version")) == (1, len(steps))
    assert runs == ["second", "third"]


def test_ratings_of_the_first_schema_become_first_samples(where: str) -> None:
    engine = engine_of(where)
    with engine.begin() as connection:
        MIGRATIONS[0](connection)
        connection.execute(text("UPDATE meta SET value = '1' WHERE key = 'schema_version'"))
        connection.execute(text("INSERT INTO scenarios VALUES ('s', '{}')"))
        connection.execute(text("INSERT INTO tasks VALUES ('t', 's')"))
        for key in ("a", "b"):
            connection.execute(
                text(f"INSERT INTO episodes VALUES ('{key}', 't', 'collect', '[]', 0, 1, 'left', NULL, 0)")
            )
            for role in (0, 1):
                connection.execute(
                    text("INSERT INTO ratings VALUES (:k, :r, 'verifier', '{\"goal\": 7.0}', '{}', NULL, :f)"),
                    {"k": key, "r": role, "f": "undecided: why" if role else None},
                )
    engine.dispose()
    with Store.open(where) as store:
        found = list(store.ratings("collect", "verifier"))
        assert [(r.episode, r.role, r.sample) for r in found] == [("a", 0, 0), ("a", 1, 0), ("b", 0, 0), ("b", 1, 0)]
        assert [r.failure for r in found] == [None, "undecided: why"] * 2
        store.add_ratings([found[0].model_copy(update={"sample": 1, "scores": {"goal": 1.0}})])
        assert [r.scores["goal"] for r in store.ratings(rater="verifier") if r.role == 0] == [7.0, 1.0, 7.0]
        assert store.raters("collect") == ["verifier"]
        assert store.drop_failed_ratings("collect", "verifier") == 2
    engine = engine_of(where)
    with engine.begin() as connection:
        if engine.dialect.name == "sqlite":
            connection.execute(text("PRAGMA foreign_keys=ON"))
        connection.execute(text("DELETE FROM episodes WHERE key = 'a'"))
        left = connection.execute(text("SELECT episode_key, role, sample FROM ratings")).all()
        assert [tuple(row) for row in left] == [("b", 0, 0)]
    assert {index["name"] for index in inspect(engine).get_indexes("ratings")} == {"ratings_by_rater"}
    engine.dispose()


def test_a_failed_migration_leaves_the_older_schema(where: str, monkeypatch: pytest.MonkeyPatch) -> None:
    Store.open(where).close()

    def fails(connection: Any) -> None:
        connection.execute(text("CREATE TABLE half (x INTEGER)"))
        connection.execute(text("SELECT no_such_column FROM half"))

    with monkeypatch.context() as patch:
        patch.setattr("sotopia_pi.store.migrations.MIGRATIONS", [*MIGRATIONS, fails])
        with pytest.raises(StoreError):
            Store.open(where)
    with Store.open(where) as store:
        assert store.meta("schema_version") == len(MIGRATIONS)


def test_a_newer_schema_is_refused(where: str, monkeypatch: pytest.MonkeyPatch) -> None:
    with monkeypatch.context() as patch:
        patch.setattr("sotopia_pi.store.migrations.MIGRATIONS", [*MIGRATIONS, *[lambda connection: None] * 6])
        Store.open(where).close()
    newest = len(MIGRATIONS)
    with pytest.raises(StoreError, match=rf"newer sotopia-pi \(schema {newest + 6}, .* up to {newest}\): upgrade"):
        Store.open(where)


# Databases that cannot be used


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
