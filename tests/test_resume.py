"""Killed at any point and started again, a run ends as if it had never been killed."""

from __future__ import annotations

import json
import signal
import sqlite3
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest
from support import LIGHT, settings, start, stored, wait_until

from sotopia_pi.cli.main import main

SCRIPTS = settings(
    *LIGHT,
    'models.policy="scripted:firm"',
    "world.test={price=4, meeting=4}",
    "world.transfer={favour=2}",
    "evaluation.repeats=4",
    "runtime.concurrency=5",
)
TOTAL = 2 * 10 * 2 * 4  # policies, tasks, roles, repeats
ROUND = 'rounds=[{name="bc", method="bc", repeats=8}]'
BC = settings('models.policy="fake:"', "world.train={price=5, division=5}", ROUND, "runtime.concurrency=5")


def rows(folder: Path) -> dict[str, Any]:
    """All that a run has stored and that must not depend on how often it was killed; one row per key, or it fails."""
    with closing(sqlite3.connect(folder / "run.db")) as connection:
        assert connection.execute("pragma integrity_check").fetchall() == [("ok",)]
        assert connection.execute("pragma foreign_key_check").fetchall() == []

        def table(columns: str, name: str, order: str) -> list[Any]:
            return connection.execute(f"select {columns} from {name} order by {order}").fetchall()

        found = {
            "tasks": table("name, position, task_id", "task_groups", "1, 2"),
            "episodes": table("key, stage, task_id, players, repeat, seed, stop_reason, failure", "episodes", "1"),
            "turns": table("episode_key, number, role, action_type, argument, terms, raw, valid", "turns", "1, 2"),
            "ratings": table("episode_key, role, rater, scores, outcome, failure", "ratings", "1, 2, 3"),
            "stages": table("name", "stages", "position"),
        }
    keys = [row[0] for row in found["episodes"]]
    assert len(keys) == len(set(keys))
    return found


def kill(arguments: list[str], out: Path, after: int) -> None:
    """Starts `sotopia-pi` and kills it once `after` episodes are stored, with 0 as soon as the run exists."""
    process = start(*arguments)
    wait_until(lambda: stored(out) >= after and (out / "config.toml").exists(), process)
    process.send_signal(signal.SIGKILL)
    process.communicate()
    assert process.returncode == -signal.SIGKILL


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run that nobody killed."""
    out = tmp_path_factory.mktemp("whole") / "run"
    assert main(["run", "--quiet", "--out", str(out), *SCRIPTS]) == 0
    assert stored(out) == TOTAL
    return out


@pytest.mark.parametrize("kills", [(17, TOTAL - 20), pytest.param((0, 1, 18, 60), marks=pytest.mark.slow)], ids=str)
def test_killed_run_ends_as_if_never_killed(kills: tuple[int, ...], whole: Path, tmp_path: Path) -> None:
    out = tmp_path / "run"
    arguments = ["run", "--quiet", "--out", str(out)]
    for after in kills:
        kill([*arguments, *SCRIPTS], out, after)
        assert stored(out) >= after
    assert main([*arguments, *SCRIPTS]) == 0
    assert rows(out) == rows(whole)
    parts = ("evaluations", "comparisons")
    first, second = (json.loads((folder / "report.json").read_text(encoding="utf-8")) for folder in (out, whole))
    assert [first[part] for part in parts] == [second[part] for part in parts]
    assert not list(out.glob(".*"))


def test_killed_collection_ends_as_if_never_killed(tmp_path: Path) -> None:
    whole, out = tmp_path / "whole", tmp_path / "out"
    for folder in (whole, out):
        assert main(["tasks", str(folder), "--quiet", *BC]) == 0
    assert main(["collect", str(whole), "--round", "bc", "--quiet"]) == 0
    assert stored(whole) == 80
    for after in (1, 40):
        kill(["collect", str(out), "--round", "bc", "--quiet"], out, after)
        assert stored(out, "select count(*) from stages") == 1
    for verb in ("collect", "select"):
        assert main([verb, str(whole), "--round", "bc", "--quiet"]) == 0
        assert main([verb, str(out), "--round", "bc", "--quiet"]) == 0
    assert rows(out) == rows(whole)
    query = "select * from selections order by name, position"
    chosen = []
    for folder in (whole, out):
        with closing(sqlite3.connect(folder / "run.db")) as connection:
            chosen.append(connection.execute(query).fetchall())
    assert chosen[0] == chosen[1] != []
