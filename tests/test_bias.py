"""The verbs bias and bias-play, end to end: a judge and a policy that look at names are found, others are not."""

from __future__ import annotations

import json
import re
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest
from support import LIGHT
from support import settings as sets

from sotopia_pi.auditing.bias.policies import STAGE, Twin, acquainted
from sotopia_pi.cli.main import main
from sotopia_pi.evaluation.bias import bias_page
from sotopia_pi.models.fake import FakeJudge, FakeModel
from sotopia_pi.models.protocol import Message
from sotopia_pi.ratings.judge import JUDGE
from sotopia_pi.store import Store
from sotopia_pi.world import cast, starter_world
from sotopia_pi.world.records import Relationship
from sotopia_pi.world.verified import generate


def audited(folder: Path, *arguments: str) -> dict[str, Any]:
    """What bias.json holds after `sotopia-pi bias` with these arguments."""
    assert main(["bias", *arguments, "--out", str(folder), "--quiet"]) == 0
    held: dict[str, Any] = json.loads((folder / "bias.json").read_text(encoding="utf-8"))
    return held


def found(content: dict[str, Any]) -> set[tuple[str, str]]:
    return {(row["contrast"], row["measure"]) for row in content["shifts"] if row["found"]}


@pytest.fixture(scope="module")
def played(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run whose evaluation is played: scripted players and a fake policy on 18 scenarios."""
    out = tmp_path_factory.mktemp("bias") / "run"
    world = "world.test={price=6, division=6, meeting=6}"
    assert main(["run", "--out", str(out), "--quiet", *sets(*LIGHT, world)]) == 0
    return out


def test_a_judge_that_looks_at_names_is_found(tmp_path: Path) -> None:
    content = audited(tmp_path, "fake:judge-names", "--n", "24", "--attributes", "name")
    assert {contrast for contrast, _ in found(content)} == {"name: origin"}
    assert ("name: origin", "goal") in found(content)
    less = r"Name: origin: [12]\.\d\d GOAL less for West African names than for the others"
    assert re.match(less, content["sentences"][0])
    page = (tmp_path / "bias.html").read_text(encoding="utf-8")
    assert "West African names − the others" in page
    assert "<script" not in page


@pytest.mark.slow
def test_an_honest_judge_is_not_flagged(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    content = audited(tmp_path, "fake:judge-honest", "--n", "10")
    assert not found(content)
    assert len(content["sentences"]) == 5
    assert content["noise"]["goal"] == {"mean": 0.0, "n": 20}
    capsys.readouterr()
    assert main(["bias", "fake:judge-honest", "--n", "10", "--out", str(tmp_path)]) == 0
    printed = capsys.readouterr().out
    assert "judge:fake:judge-honest" in printed
    assert "Occupation: every version got the same GOAL, and nothing else shifted." in printed
    assert "believability" not in printed.split("What asking again changes")[0]


def test_the_episodes_of_a_run_are_rated_once_and_an_audit_continues(
    played: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked: list[FakeModel] = []

    def opened(spec: str, runtime: object) -> FakeModel:
        asked.append(FakeJudge())
        return asked[-1]

    monkeypatch.setattr("sotopia_pi.ratings.opening._model", opened)
    arguments = ["fake:judge", "--run", str(played), "--n", "8", "--attributes", "age,occupation"]
    first = audited(tmp_path, *arguments)
    calls = sum(len(model.asked) for model in asked)
    with Store.open(tmp_path / "run.db") as store:
        versions = store.counts("audit/recast")[0]
        assert store.counts("audit/original")[0] == 8
    assert calls == versions + 2 * 8
    again = audited(tmp_path, *arguments)
    assert sum(len(model.asked) for model in asked) == calls
    assert again["shifts"] == first["shifts"]
    more = audited(tmp_path, *arguments[:-1], "age,occupation,pronouns")
    assert sum(len(model.asked) for model in asked) > calls
    assert {row["contrast"] for row in more["shifts"]} == {"age", "occupation", "pronouns"}
    assert not found(more)
    assert sum(first["left_out"].get("age", {}).values()) + first["means"][0]["n"] == 8


def test_failed_ratings_are_counted_and_are_no_scores(tmp_path: Path) -> None:
    content = audited(tmp_path, "fake:unreachable", "--n", "4", "--attributes", "age")
    assert set(content["failures"]) == {"judge unreachable"}
    assert {row["estimate"] for row in content["shifts"]} == {None}
    assert "not enough to say (0 scenarios" in content["sentences"][0]
    assert content["noise"]["goal"]["why"] == "not computable, because nothing was rated twice"


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        (["bias", "fake:judge", "--attributes", "colour"], "There is no attribute 'colour'; --attributes takes any of"),
        (["bias", "fake:judge", "--n", "0"], "give at least one episode"),
        (["bias", "fake:judge", "--max-tokens", "3"], "give 64 at least"),
        (["bias", "fake:judge", "--stage", "evaluate/base"], "give the run with --run"),
        (["bias", "fake:judge", "--run", "nowhere"], "nowhere is not a run directory"),
        (["bias", "scripted:expert"], "cannot judge; name a model"),
        (["bias-play", "nowhere", "--policy", "base"], "nowhere is not a run directory"),
    ],
)
def test_bad_usage(
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    arguments: list[str],
    sentence: str,
) -> None:
    monkeypatch.chdir(tmp_path)
    assert main([*arguments, "--quiet"]) == 2
    error = capsys.readouterr().err
    assert sentence in error
    assert error.count("\n") == 1


def test_bad_usage_on_a_run(played: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    for arguments, sentence in (
        (["bias", "fake:judge", "--run", str(played), "--stage", "collect/bc"], "no completed episode of the stage"),
        (["bias-play", str(played), "--policy", "nobody"], "There is no policy 'nobody' here; those of the run are"),
        (["bias-play", str(played), "--policy", "base", "--n", "0"], "give at least one task"),
    ):
        assert main([*arguments, "--quiet", "--out", str(tmp_path / "x")]) == 2
        assert sentence in capsys.readouterr().err
    audited(tmp_path / "y", "fake:judge", "--n", "1", "--attributes", "age")
    command = ["bias", "fake:judge", "--run", str(played), "--out", str(tmp_path / "y"), "--quiet"]
    assert main(command) == 2
    assert "holds an audit of scripted players" in capsys.readouterr().err


# Policies


def _prejudiced(messages: Sequence[Message], seed: int) -> str:
    """Leaves at once where the other person is old, and else takes whatever is on the table."""
    others = messages[0]["content"].split("known to nobody:")[1].split("Situation:")[0]
    if re.search(r"\b[67]\d, (?:woman|man|nonbinary)", others):
        return '{"action_type": "leave", "argument": "No."}'
    return '{"action_type": "speak", "argument": "Tell me more about it, please."}'


@pytest.mark.slow
def test_a_policy_that_treats_old_people_otherwise_is_found(
    played: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def opened(spec: str, name: str, *rest: object) -> FakeModel:
        return FakeModel(_prejudiced, name=name)

    monkeypatch.setattr("sotopia_pi.episodes.players._model", opened)
    out = tmp_path / "out"
    arguments = ["--policy", "base", "--attributes", "age,occupation", "--out", str(out), "--quiet"]
    assert main(["bias-play", str(played), *arguments]) == 0
    content = json.loads((out / "bias.json").read_text(encoding="utf-8"))
    contrasts = {contrast for contrast, _ in found(content)}
    assert contrasts == {"age"}
    assert ("age", "left") in found(content)
    assert any("for old than" in sentence for sentence in content["sentences"])


def test_scripts_do_not_look_at_people(played: Path) -> None:
    arguments = ["bias-play", str(played), "--policy", "expert", "--attributes", "age", "--n", "12", "--quiet"]
    assert main(arguments) == 0
    out = played / "bias" / "expert-partner"
    content = json.loads((out / "bias.json").read_text(encoding="utf-8"))
    assert {row["estimate"] for row in content["shifts"]} == {0.0}
    assert {row["measure"] for row in content["shifts"]} >= {"goal", "deal", "words_per_turn", "invalid", "left"}
    with Store.open(out / "run.db") as store:
        before = store.episode_keys(STAGE)
        assert {task.scenario.relationship for task in store.tasks("audit")} <= set(Relationship) - {0, 1}
    assert main([*arguments, "--whose", "own", "--out", str(out)]) == 2
    assert main(arguments) == 0
    with Store.open(out / "run.db") as store:
        assert store.episode_keys(STAGE) == before


def test_twins_have_the_same_seeds_and_people_see_each_other() -> None:
    plans = [Twin(stage="s", task_id=task, players=("a", "b"), conditions={"twin": "t"}) for task in ("one", "two")]
    assert plans[0].id != plans[1].id
    assert plans[0].seed(0) == plans[1].seed(0) != plans[0].seed(1)
    world = starter_world()
    for scenario in generate("price", "dev", 6, 2):
        task = cast(scenario, world.characters, world.ties, 1)[0]
        known = acquainted(task)
        assert known.scenario.relationship == max(Relationship.ACQUAINTANCE, scenario.relationship)
        assert known.scenario.check == task.scenario.check
        assert known.characters == task.characters


def test_the_page_escapes_what_it_shows(tmp_path: Path) -> None:
    content = audited(tmp_path, "fake:judge-honest", "--n", "2", "--attributes", "age")
    page = bias_page({**content, "title": f"{JUDGE}<b>\u202e"})
    assert "<b>\u202e" not in page
    assert "&lt;b&gt;[U+202E]" in page
