"""The stages that can be rated, retried and exported are those that are stored, whoever stored them."""

from __future__ import annotations

import json
import sqlite3
from contextlib import closing
from pathlib import Path

import pytest
from stores import rating
from support import LIGHT, episode, price_task, settings, stored, turn

from sotopia_pi.cli.main import main
from sotopia_pi.rundir import Run

JUDGED = "select count(*) from ratings where rater like 'judge:%'"
FAILED = "select count(*) from episodes where failure is not null"
TALK = {
    "id": "a",
    "scenario": "Two colleagues share one shelf in an office kitchen.",
    "roles": [{"name": "Ada Lind", "goal": "Get the upper half."}, {"name": "Ben Roth", "goal": "Keep room for pots."}],
    "turns": [{"role": 0, "text": "May I have the top?"}, {"role": 1, "text": "Gladly."}],
}


@pytest.fixture
def run(tmp_path: Path) -> Path:
    """A run with tasks and nothing played."""
    out = tmp_path / "run"
    scripted = 'models.policy="scripted:fair"'
    assert main(["tasks", str(out), "--quiet", *settings(*LIGHT, scripted, "world.test={price=1}")]) == 0
    return out


def fails(capsys: pytest.CaptureFixture[str], *arguments: str) -> str:
    capsys.readouterr()
    assert main([*arguments, "--quiet"]) == 2
    return capsys.readouterr().err


def benchmark(run: Path, *more: str) -> int:
    return main(["evaluate", str(run), "--policy", "scripted:firm", "--tasks", "test", "--quiet", *more])


def test_what_one_policy_played_can_be_rated_and_exported(run: Path, tmp_path: Path) -> None:
    assert benchmark(run) == 0
    stage = "benchmark/test/scripted:firm/scripted:partner"
    assert stored(run, f"select count(*) from episodes where stage = '{stage}'") == 2
    assert main(["rate", str(run), "--judge", "fake:judge", "--quiet"]) == 0
    assert stored(run, JUDGED) == 4
    assert main(["rate", str(run), "--judge", "fake:judge", "--samples", "2", "--stage", stage, "--quiet"]) == 0
    assert stored(run, JUDGED) == 8
    out = tmp_path / "out.jsonl"
    assert main(["export", str(run), "--format", "episodes", "--stage", stage, "--out", str(out), "--quiet"]) == 0
    assert len(out.read_text(encoding="utf-8").splitlines()) == 2


def test_imported_dialogues_can_be_rated(tmp_path: Path) -> None:
    talk, out = tmp_path / "talk.jsonl", tmp_path / "run"
    talk.write_text(json.dumps(TALK), encoding="utf-8")
    told = ["--format", "transcript", "--name", "talks", "--out", str(out), "--quiet"]
    assert main(["import", "dialogues", str(talk), *told]) == 0
    assert main(["rate", str(out), "--stage", "import/talks", "--judge", "fake:judge", "--quiet"]) == 0
    assert stored(out, JUDGED) == 2


def test_ratings_that_came_with_imported_episodes_stay_the_only_ones(run: Path) -> None:
    task = price_task()
    with Run.open(run, quiet=True) as opened:
        opened.store.add_tasks("import/x", [task])
        for key, rater in (("told", "outcome"), ("ours", "verifier")):
            said = episode(task, [turn(0, "Deal at $12.")], key, stage=f"import/{key}")
            opened.store.add_episode(said, [rating(key, 0, rater)])
    assert main(["rate", str(run), "--quiet"]) == 0
    with Run.open(run, quiet=True) as opened:
        assert opened.store.raters("import/told") == ["outcome"]
        assert opened.store.raters("import/ours") == ["verifier"]
        assert len(list(opened.store.ratings("import/ours"))) == 2


def test_a_stage_that_is_not_stored_is_named_with_those_like_it(
    run: Path, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    assert "holds no episodes yet" in fails(capsys, "rate", str(run), "--stage", "evaluate/base")
    assert main(["rate", str(run)]) == 0
    assert "rate       nothing" in capsys.readouterr().out
    assert main(["run", str(run), "--quiet"]) == 0
    assert "did you mean 'evaluate/base'" in fails(capsys, "rate", str(run), "--stage", "evaluate/bace")
    said = fails(capsys, "rate", str(run), "--stage", "zzz")
    assert "the stages are: evaluate/base, evaluate/expert." in said
    for format in ("episodes", "hf"):
        export = ("export", str(run), "--format", format, "--stage", "evaluate/expart", "--out", str(tmp_path / "x"))
        assert "did you mean 'evaluate/expert'" in fails(capsys, *export)
    assert not (tmp_path / "x").exists()


def break_one(run: Path, stage: str) -> None:
    """Makes one stored episode of a stage a failed one."""
    with closing(sqlite3.connect(run / "run.db")) as connection, connection:
        first = "(SELECT min(key) FROM episodes WHERE stage = ?)"
        failed = "failure = 'the server is gone', stop_reason = NULL"
        connection.execute(f"UPDATE episodes SET {failed} WHERE key = {first}", (stage,))


@pytest.mark.parametrize("verb", ["evaluate", "run"])
def test_what_a_run_plays_is_retried(verb: str, run: Path) -> None:
    assert main(["run", str(run), "--quiet"]) == 0
    break_one(run, "evaluate/expert")
    assert main([verb, str(run), "--quiet"]) == 0
    assert stored(run, FAILED) == 1
    assert main([verb, str(run), "--retry-failed", "--quiet"]) == 0
    assert (stored(run, FAILED), stored(run)) == (0, 4)


def test_what_one_policy_played_is_retried_where_it_was_played(run: Path, capsys: pytest.CaptureFixture[str]) -> None:
    stage = "benchmark/test/scripted:firm/scripted:partner"
    assert benchmark(run) == 0
    break_one(run, stage)
    assert main(["run", str(run), "--retry-failed"]) == 0
    assert f"not again  {stage}: 1 failed; `sotopia-pi evaluate {run} --policy" in capsys.readouterr().out
    assert stored(run, FAILED) == 1
    assert benchmark(run) == 0
    assert stored(run, FAILED) == 1
    assert benchmark(run, "--retry-failed") == 0
    assert stored(run, FAILED) == 0


def test_a_round_is_retried_until_it_is_trained(tmp_path: Path) -> None:
    out = tmp_path / "run"
    rounds = 'rounds=[{name="bc", method="bc", repeats=2}]'
    assert main(["tasks", str(out), "--quiet", *settings(*LIGHT, "world.train={price=1}", rounds)]) == 0
    assert main(["collect", str(out), "--quiet"]) == 0
    break_one(out, "collect/bc")
    assert main(["select", str(out), "--quiet"]) == 0
    assert main(["collect", str(out), "--retry-failed", "--quiet"]) == 0
    assert stored(out, FAILED) == 0
    assert stored(out, "select count(*) from stages where name = 'select/bc'") == 0
