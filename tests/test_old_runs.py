"""Runs of earlier versions, whose outcomes were read from words: they open, and their ratings stay as they were."""

from __future__ import annotations

import json
import re
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import create_engine, text
from starlette.testclient import TestClient
from stores import TASK, task
from support import CAST

from sotopia_pi.cli.main import main
from sotopia_pi.config import Config, to_toml
from sotopia_pi.episodes.views import view
from sotopia_pi.errors import WorldError
from sotopia_pi.ratings.verifier import verify
from sotopia_pi.records import content_hash
from sotopia_pi.rundir import Run
from sotopia_pi.store import Store
from sotopia_pi.store.migrations import MIGRATIONS
from sotopia_pi.web.app import application
from sotopia_pi.web.places import close_places, open_places
from sotopia_pi.web.site import Site

#: Scenarios as they were stored then: a kind that is gone, one that lacks a field of today's, one of the same form.
OLD: dict[str, dict[str, Any]] = {
    "fact": {
        "kind": "fact",
        "subjects": ["the gift metal", "the parcel content"],
        "answers": ["tin", "tea"],
        "options": [["tin", "iron"], ["tea", "ink"]],
        "guarded_subjects": ["the flavour", "the material"],
        "guarded": ["tomato", "clay"],
    },
    "meeting": {
        "kind": "meeting",
        "what": "time",
        "options": ["Monday 8:00", "Friday 9:00"],
        "values": [{"Monday 8:00": 10, "Friday 9:00": 5}, {"Monday 8:00": 4, "Friday 9:00": 10}],
    },
    "price": {
        "kind": "price",
        "item": "lamp",
        "seller": 0,
        "limits": [10.0, 20.0],
        "targets": [18.0, 12.0],
        "listed": 19.0,
    },
}


def _scenario(kind: str) -> dict[str, Any]:
    return {
        "situation": f'A {kind} with "check": {{"kind": nobody}}.',
        "goals": ["One thing.", "Another thing."],
        "relationship": 0,
        "casting": [],
        "kind": kind,
        "source": "generated",
        "check": OLD[kind],
    }


@pytest.fixture
def old(tmp_path: Path) -> Path:
    """A run directory as version 6 of the schema left it: an episode of each kind, rated by the program of then."""
    folder = tmp_path / "old"
    folder.mkdir()
    config = Config(name="old", rounds=())
    (folder / "config.toml").write_text(to_toml(config))
    engine = create_engine(f"sqlite:///{folder / 'run.db'}")
    with engine.begin() as connection:
        for step in MIGRATIONS[:6]:
            step(connection)
        meta = {
            "schema_version": 6,
            "config.toml": config.model_dump(mode="json", exclude_none=True),
            "prompts": "then",
        }
        connection.execute(text("DELETE FROM meta"))
        for key, value in meta.items():
            connection.execute(text("INSERT INTO meta VALUES (:k, :v)"), {"k": key, "v": json.dumps(value)})
        connection.execute(text("INSERT INTO stages VALUES ('tasks', 0, '{\"test\": 4}')"))
        records = {"open": {**_scenario("price"), "kind": "norms", "check": None}}
        records |= {kind: _scenario(kind) for kind in OLD}
        for who in CAST:
            row = {"i": who.id, "r": json.dumps(who.model_dump(mode="json"), ensure_ascii=False)}
            connection.execute(text("INSERT INTO characters VALUES (:i, :r)"), row)
        for position, (kind, record) in enumerate(records.items()):
            _store(connection, position, kind, record)
    engine.dispose()
    return folder


def _store(connection: Any, position: int, kind: str, record: dict[str, Any]) -> None:
    scenario = content_hash(record)
    people = [who.model_dump(mode="json") for who in CAST]
    task_id = content_hash({"scenario": record, "characters": people})
    given = {"s": scenario, "t": task_id, "r": json.dumps(record, ensure_ascii=False), "k": kind, "p": position}
    statements = [
        "INSERT INTO scenarios VALUES (:s, :r)",
        "INSERT INTO tasks VALUES (:t, :s)",
        "INSERT INTO task_groups VALUES ('test', :p, :t)",
        "INSERT INTO episodes VALUES (:k, :t, 'evaluate/base', '[\"base\", \"partner\"]', 0, 1, 'left', NULL, 1.0)",
        "INSERT INTO turns VALUES (:k, 0, 0, 'speak', 'Seventeen?', NULL, 1, 0, 5, 0, 5, 0, NULL)",
        "INSERT INTO turns VALUES (:k, 1, 1, 'leave', 'Deal!', NULL, 1, 0, 5, 0, 5, 0, NULL)",
    ]
    if kind != "open":
        for role, goal in enumerate((7.0, 3.0)):
            scores = json.dumps({"goal": goal})
            statements.append(
                f"INSERT INTO ratings VALUES (:k, {role}, 'verifier', 0, '{scores}', '{{}}', "
                '\'{"deal": true, "price": 17.0}\', NULL)'.replace(": ", " : ").replace(" : ", ": ")
            )
    for role, who in enumerate(CAST):
        statements.append(f"INSERT INTO task_characters VALUES (:t, {role}, '{who.id}')")
    for statement in statements:
        names = {name: value for name, value in given.items() if f":{name}" in statement}
        connection.exec_driver_sql(statement, names)


def test_an_old_run_is_read_with_its_ratings_as_they_were(old: Path) -> None:
    with Run.reading(old) as run:
        tasks = {each.scenario.kind: each for each in run.store.tasks("test")}
        assert [tasks[kind].scenario.verified for kind in ("fact", "meeting", "price", "norms")] == [True] * 3 + [False]
        for kind, check in OLD.items():
            scenario = tasks[kind].scenario
            assert scenario.environment is None
            assert scenario.check is not None and scenario.check.model_dump(mode="json") == check
            goals = [rating.scores["goal"] for rating in run.store.ratings(episode=kind)]
            assert goals == [7.0, 3.0]
            episode = run.store.episode(kind)
            assert [turn.action.terms for turn in episode.turns] == [None, None]
            assert view(tasks[kind], 0, episode.turns).side is None
            with pytest.raises(WorldError, match="before outcomes were declared in terms"):
                verify(tasks[kind], episode)


def test_an_old_run_is_reported_and_rated_but_not_played(old: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["rate", str(old)]) == 0
    assert "0 roles rated" in capsys.readouterr().out
    assert main(["report", str(old)]) == 0
    found = json.loads((old / "report.json").read_text())
    (test,) = [row for row in found["evaluations"] if row["tasks"] == "test"]
    assert (test["goal"]["mean"], test["deal_rate"]["mean"], found["grounding"]) == (7.0, 1.0, [])
    assert main(["evaluate", str(old)]) == 2
    assert "The prompts changed" in capsys.readouterr().err


def test_the_pages_of_an_old_run_open_and_its_tasks_are_not_played(old: Path) -> None:
    places = open_places([str(old)])
    store = places[0].store
    with TestClient(application(Site({"old": replace(places[0], name="old")})), "http://127.0.0.1") as client:
        for kind in OLD:
            episode = store.episode(kind)
            for path in (f"episodes/{kind}", f"episodes/{kind}?view=0", f"episodes/{kind}?show=prompts"):
                page = client.get(f"/run/old/{path}")
                assert page.status_code == 200, path
                assert "Seventeen?" in page.text and "Terms: " not in page.text
            page = client.get(f"/run/old/tasks/{episode.task_id}")
            assert '<h2 id="check">Check</h2>' in page.text and "Own side" not in page.text
        token = re.search(r'name="csrf" value="([0-9a-f]+)"', client.get("/run/old/play").text)
        assert token
        fields = {"csrf": token[1], "task": episode.task_id, "role": "0", "opponent": "partner", "name": "kim"}
        answer = client.post("/run/old/play", data=fields)
        assert (answer.status_code, store.counts("play")) == (400, (0, 0))
        assert "are from before outcomes were declared in terms, and can only be read" in answer.text
    close_places(places)


def test_what_is_stored_now_is_not_retired(where: str) -> None:
    with Store.open(where) as store:
        store.add_tasks("test", [TASK, task(1)])
        assert all(each.scenario.environment for each in store.tasks("test"))
