"""The tables of the run's database, and how older and newer schemas are met."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import Engine, create_engine, inspect, text

from sotopia_pi.errors import StoreError
from sotopia_pi.store import Store
from sotopia_pi.store.migrations import MIGRATIONS
from sotopia_pi.store.schema import METADATA


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


def test_turns_of_an_older_schema_have_no_cause(where: str) -> None:
    engine = engine_of(where)
    with engine.begin() as connection:
        for step in MIGRATIONS[:5]:
            step(connection)
        connection.execute(text("UPDATE meta SET value = '5' WHERE key = 'schema_version'"))
        connection.execute(text("INSERT INTO scenarios VALUES ('s', '{}')"))
        connection.execute(text("INSERT INTO tasks VALUES ('t', 's')"))
        connection.execute(text("INSERT INTO episodes VALUES ('a', 't', 'x', '[\"b\"]', 0, 1, 'left', NULL, 0)"))
        values = {"valid": False, "reasked": True}
        turn = "INSERT INTO turns VALUES ('a', 0, 0, 'none', '', 'Hm', :valid, :reasked, 1, 0, 1, 0)"
        connection.execute(text(turn), values)
    engine.dispose()
    with Store.open(where) as store:
        (kept,) = store.episode("a").turns
        assert (kept.raw, kept.valid, kept.cause) == ("Hm", False, None)
        with store.columns.reading() as reader:
            assert [tuple(row) for row in reader.causes("x")] == [('["b"]', 0, False, None, 1)]


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
