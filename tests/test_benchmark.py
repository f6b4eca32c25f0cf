"""One policy on a task set: both roles, resumed, rated, beside the paper's rows."""

from __future__ import annotations

from pathlib import Path

import pytest
from support import CAST, price_task

from sotopia_pi.cli.main import main
from sotopia_pi.rundir import Run
from sotopia_pi.world import cast, starter_world
from sotopia_pi.world.records import RETIRED, Scenario, SocialTask

CONFIG = """
name = "bench"
max_turns = 6
[world]
test = { price = 3 }
[models]
policy = "fake:"
partner = "scripted:partner"
"""


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A run with three verified tasks, and ten open ones in the groups that an import fills."""
    (tmp_path / "c.toml").write_text(CONFIG, encoding="utf-8")
    assert main(["tasks", str(tmp_path / "run"), "--config", str(tmp_path / "c.toml"), "--quiet"]) == 0
    world = starter_world()
    open_ = [scenario for scenario in world.scenarios["test"] if not scenario.casting][:5]
    tasks = [task for scenario in open_ for task in cast(scenario, world.characters, world.ties, 1, 2)]
    with Run.open(tmp_path / "run", quiet=True) as run:
        run.store.add_tasks("sotopia/all", tasks)
        run.store.add_tasks("sotopia/hard", tasks[:4])
    return tmp_path / "run"


def evaluate(folder: Path, *more: str) -> int:
    return main(["evaluate", str(folder), *more])


def stored(folder: Path, stage: str) -> list[tuple[str, tuple[str, ...]]]:
    with Run.open(folder, quiet=True) as run:
        return [(episode.task_id, episode.players) for episode in run.store.episodes(stage)]


def test_the_runs_own_tasks_in_both_roles(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert evaluate(folder, "--policy", "scripted:expert", "--tasks", "test") == 0
    said = capsys.readouterr().out
    assert "played     test: 6 episodes, 0 failed" in said and "no rows for the tasks 'test'" in said
    seats = stored(folder, "benchmark/test/scripted:expert/scripted:partner")
    assert sorted(players.index("partner") for _, players in seats) == [0, 0, 0, 1, 1, 1]


@pytest.mark.parametrize(("tasks", "episodes"), [("hard", 8), ("all", 10), ("all-900", 20)])
def test_open_tasks_with_a_judge(folder: Path, tasks: str, episodes: int, capsys: pytest.CaptureFixture[str]) -> None:
    models = ["--policy", "fake:", "--partner", "fake:", "--judge", "fake:judge", "--tasks", tasks]
    for _ in range(2):  # the second time nothing is left to do
        assert evaluate(folder, *models) == 0
        said = capsys.readouterr().out
        assert f"{tasks}: {episodes} episodes, 0 failed" in said
        assert f"judged     {2 * episodes} ratings of roles, 0 of them failed" in said
        assert "BC+SR" in said and "Not comparable with the paper's rows" in said
        assert "partner: gpt-3.5-turbo-0613, not fake:" in said and "judge: gpt-4, not fake:judge" in said
    seats = stored(folder, f"benchmark/{tasks}/fake:/fake:")
    assert len(seats) == len(set(seats)) == episodes
    if tasks == "all":  # every scenario once in each role, on two castings
        assert len({task for task, _ in seats}) == 10


@pytest.mark.parametrize(
    ("options", "complaint"),
    [
        (("--tasks", "hard"), "name it with --policy"),
        (("--policy", "fake:", "--partner", "fake:", "--tasks", "hard"), "only a judge can rate them; name a --judge"),
        (
            ("--policy", "fake:", "--judge", "fake:judge", "--tasks", "hard"),
            "scripted:partner cannot play open scenarios",
        ),
        (("--policy", "scripted:nobody"), "no scripted player 'nobody'"),
        (("--policy", "fake:", "--judge", "scripted:expert"), "cannot judge"),
    ],
)
def test_what_cannot_be_done_is_said_before_anything_is_played(
    folder: Path, options: tuple[str, ...], complaint: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert evaluate(folder, *options) != 0
    assert complaint in capsys.readouterr().err


def test_tasks_of_an_earlier_version_are_not_played(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    old = price_task().scenario.model_dump() | {"kind": "fact", "check": {"kind": "fact", "subjects": ["a", "b"]}}
    task = SocialTask(scenario=Scenario.model_validate(old, context=RETIRED), characters=CAST)
    with Run.open(folder, quiet=True) as run:
        run.store.add_tasks("test", [task])
    assert evaluate(folder, "--policy", "fake:", "--tasks", "test", "--quiet") != 0
    error = capsys.readouterr().err
    assert "can be read and not played. Start a new run." in error
    assert error.count("\n") == 1
    assert stored(folder, "benchmark/test/fake:/scripted:partner") == []


def test_tasks_that_were_not_imported(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "c.toml").write_text(CONFIG, encoding="utf-8")
    assert main(["tasks", str(tmp_path / "run"), "--config", str(tmp_path / "c.toml"), "--quiet"]) == 0
    assert evaluate(tmp_path / "run", "--policy", "fake:", "--tasks", "hard", "--judge", "fake:judge") != 0
    assert "sotopia-pi import sotopia FOLDER" in capsys.readouterr().err
