"""Judging in runs, through the command line: open tasks, re-rating without replaying, samples, retries, the audit."""

from __future__ import annotations

import json
import sqlite3
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest
from scipy.stats import pearsonr, spearmanr
from support import LIGHT, stored
from support import settings as sets

from sotopia_pi.cli.main import main
from sotopia_pi.config import load, parse, to_toml
from sotopia_pi.errors import ConfigError
from sotopia_pi.evaluation.audit import Audited, audit
from sotopia_pi.evaluation.table import WIDTH
from sotopia_pi.models.fake import FakeJudge, FakeModel
from sotopia_pi.ratings.records import DIMENSIONS
from sotopia_pi.store import Store

FAKES = ('models.policy="fake:"', 'models.expert="fake:"', 'models.partner="fake:"', "max_turns=4")
OPEN = (*FAKES, "rounds=[]", "world.train={}", "world.test={}", "world.open_test=3", 'judge.model="fake:judge"')
ROUND = 'rounds=[{name="bc", method="bc", repeats=2, select={k=1}}]'


def run(out: Path, *values: str, verb: str = "run") -> int:
    where = ["run", "--out", str(out)] if verb == "run" else [verb, str(out)]
    return main([*where, "--quiet", *sets(*values)])


def ratings(folder: Path, where: str = "1=1") -> int:
    return stored(folder, f"select count(*) from ratings where {where}")


def rows(folder: Path) -> list[tuple[Any, ...]]:
    with closing(sqlite3.connect(folder / "run.db")) as connection:
        query = "select episode_key, role, rater, sample, scores, failure from ratings order by 1, 2, 3, 4"
        return connection.execute(query).fetchall()


def report(folder: Path) -> dict[str, Any]:
    found: dict[str, Any] = json.loads((folder / "report.json").read_text(encoding="utf-8"))
    return found


@pytest.fixture
def done(tmp_path: Path) -> Path:
    """A finished run on verified tasks that no judge has seen."""
    assert run(tmp_path / "done", *LIGHT) == 0
    return tmp_path / "done"


# Open tasks in a run


def test_a_run_on_open_tasks_is_rated_on_every_dimension(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    out = tmp_path / "run"
    own = 'judge.dimensions=[{name="humour", low=-2, high=2, description="Whether it is funny."}]'
    assert main(["run", "--out", str(out), *sets(*OPEN, own)]) == 0
    printed = capsys.readouterr().out
    content = report(out)
    assert [row["policy"] for row in content["evaluations"]] == ["base", "expert"]
    for row in content["evaluations"]:
        assert row["rater"].startswith("judge:fake:judge:")
        assert (row["tasks"], row["n"], row["n_failed"]) == ("test", 6, 0)
        assert row["scores"].keys() == {*DIMENSIONS, "overall", "humour"} - {"goal"}
        assert (
            row["scores"]["overall"]["ci_low"] < row["scores"]["overall"]["mean"] < row["scores"]["overall"]["ci_high"]
        )
        means = [row["goal"]["mean"], *(row["scores"][name]["mean"] for name in DIMENSIONS if name != "goal")]
        assert row["scores"]["overall"]["mean"] == pytest.approx(sum(means) / 7)
    assert content["run"]["raters"] == [content["evaluations"][0]["rater"]]
    assert content["audit"] == []
    for name in (*DIMENSIONS, "overall", "humour", "n (failed)", f"rated by {content['evaluations'][0]['rater']}"):
        assert name in printed
    assert max(len(line) for line in printed.splitlines() if str(tmp_path) not in line) <= WIDTH
    before = rows(out)
    assert run(out) == 0
    assert rows(out) == before
    assert ratings(out) == stored(out) * 2 == 24


def test_verified_and_open_tasks_are_reported_apart(tmp_path: Path) -> None:
    out = tmp_path / "run"
    assert run(out, *OPEN, "world.test={price=1}", "judge.also_verified=true", "judge.samples=2") == 0
    content = report(out)
    by_set = {row["tasks"]: row["rater"].split(":")[0] for row in content["evaluations"]}
    assert by_set == {"test": "verifier", "open test": "judge", "judged test": "judge"}
    assert [(row["policy"], row["n"]) for row in content["audit"]] == [("base", 2), ("expert", 2)]
    assert ratings(out, "rater = 'verifier'") == 8
    assert ratings(out, "rater <> 'verifier' and sample = 1") == stored(out) * 2
    assert "Audit of the judge" in (out / "report.html").read_text(encoding="utf-8")


def test_a_round_selects_open_tasks_by_the_judge(tmp_path: Path) -> None:
    out = tmp_path / "run"
    values = (*OPEN, ROUND, "world.open_train=2", "world.train={price=2}")
    assert run(out, *values, verb="tasks") == 0
    assert main(["collect", str(out), "--quiet"]) == 0
    assert main(["select", str(out), "--quiet"]) == 0
    with Store.open(out / "run.db") as store:
        facts = store.stage("select/bc")
        assert facts is not None
        assert [name.split(":")[0] for name in facts["raters"]] == ["judge", "verifier"]
        assert (facts["candidates"], facts["unrated"]) == (16, 0)
        goals = {(r.episode, r.role): r.scores["goal"] for r in store.ratings("collect/bc") if r.rater != "verifier"}
        chosen = [pair for pair in store.selection("bc") if pair in goals]
        tasks = {e.key: e.task_id for e in store.episodes("collect/bc")}
        for key, role in chosen:
            rivals = [goal for (k, r), goal in goals.items() if r == role and tasks[k] == tasks[key]]
            assert len(rivals) == 2
            assert goals[key, role] == max(rivals)
        assert len(chosen) == 4


@pytest.mark.parametrize(("rater", "raters"), [("judge", "judge"), ("verifier", "verifier")])
def test_a_round_may_name_its_rater(tmp_path: Path, rater: str, raters: str) -> None:
    out = tmp_path / "run"
    named = ROUND.replace("select", f'rater="{rater}", select')
    assert run(out, *OPEN, named, "world.train={price=1}", verb="tasks") == 0
    assert main(["collect", str(out), "--quiet"]) == 0
    assert main(["select", str(out), "--quiet"]) == 0
    with Store.open(out / "run.db") as store:
        facts = store.stage("select/bc")
    assert facts is not None
    assert [name.split(":")[0] for name in facts["raters"]] == [raters]


def test_a_rater_that_has_rated_nothing_is_refused(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    out = tmp_path / "run"
    named = ROUND.replace("select", 'rater="judge:gpt-5:00000000", select')
    assert run(out, *OPEN, named, "world.train={price=1}", verb="tasks") == 0
    assert main(["collect", str(out), "--quiet"]) == 0
    assert main(["select", str(out), "--quiet"]) == 2
    assert (
        "No role of collect/bc is rated by judge:gpt-5:00000000; its raters are: verifier." in capsys.readouterr().err
    )


@pytest.mark.parametrize(
    ("change", "sentence"),
    [
        ("judge=0", "judge"),
        ("world.open_test=23", "the starter world has 22 such scenarios"),
        ('models.partner="scripted:partner"', "name a model in models.partner"),
        ('judge.model="scripted:expert"', "cannot judge; name a model"),
        ('judge.model="no-such-model"', "no-such-model"),
        ("judge.samples=0", "judge.samples"),
        ('judge.dimensions=[{name="goal", low=0, high=5, description="x"}]', "give the dimension another one"),
        ('judge.dimensions=[{name="humour", low=5, high=5, description="x"}]', "needs a low"),
    ],
)
def test_what_cannot_be_judged_is_said_before_anything_is_played(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], change: str, sentence: str
) -> None:
    assert run(tmp_path / "run", *OPEN, change) in (2, 5)
    error = capsys.readouterr().err
    assert sentence in error
    assert error.count("\n") == 1
    assert stored(tmp_path / "run") == 0


def test_open_tasks_without_a_judge_are_refused(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert run(tmp_path / "run", *OPEN[:-1]) == 2
    assert "only a judge can rate it; add a [judge] section" in capsys.readouterr().err


def test_a_config_with_a_judge_is_written_and_read_again(tmp_path: Path) -> None:
    judge = {"model": "m", "dimensions": [{"name": "humour", "low": 0, "high": 5, "description": 'Is it "funny"?'}]}
    config = parse({"judge": judge}, "test")
    (tmp_path / "c.toml").write_text(to_toml(config), encoding="utf-8")
    assert load(tmp_path / "c.toml") == config
    with pytest.raises(ConfigError, match="two dimensions have the same name"):
        parse({"judge": {**judge, "dimensions": judge["dimensions"] * 2}}, "test")
    with pytest.raises(ConfigError, match=r"add \[judge\]"):
        parse({"rounds": [{"name": "bc", "method": "bc", "rater": "judge"}]}, "test")


# Rating what is stored


def test_a_stored_run_is_rated_again_without_replaying(done: Path) -> None:
    episodes, verified = stored(done), rows(done)
    arguments = ["rate", str(done), "--judge", "fake:judge", "--samples", "3", "--quiet"]
    assert main(arguments) == 0
    judged = rows(done)
    assert stored(done) == episodes
    assert [row for row in judged if row[2] == "verifier"] == verified
    assert ratings(done, "rater <> 'verifier'") == episodes * 2 * 3
    with closing(sqlite3.connect(done / "run.db")) as connection, connection:
        connection.execute("delete from ratings where sample = 1 or (rater <> 'verifier' and role = 0 and sample = 2)")
        connection.execute("delete from ratings where rater <> 'verifier' and sample = 2")
    assert main(arguments) == 0
    assert rows(done) == judged
    assert main(["report", str(done), "--quiet"]) == 0
    content = report(done)
    assert {row["tasks"] for row in content["evaluations"]} == {"test", "judged test"}
    assert [row["policy"] for row in content["audit"]] == ["base", "expert"]


def test_one_stage_can_be_rated_alone(done: Path) -> None:
    assert main(["rate", str(done), "--judge", "fake:judge", "--stage", "evaluate/base", "--quiet"]) == 0
    assert ratings(done, "rater <> 'verifier'") == 8
    assert main(["report", str(done), "--quiet"]) == 0
    judged = [row["policy"] for row in report(done)["evaluations"] if row["tasks"] == "judged test"]
    assert judged == ["base"]


def test_an_unreachable_judge_fails_ratings_and_never_episodes(
    done: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    episodes = stored(done)
    arguments = ["rate", str(done), "--judge", "fake:unreachable"]
    assert main(arguments) == 0
    said = capsys.readouterr().out
    assert "8 ratings of roles, 8 of them failed\n           8 × judge unreachable: The model" in said
    assert ratings(done, "failure like 'judge unreachable: %' and scores = '{}'") == episodes * 2
    assert stored(done, "select count(*) from episodes where failure is not null") == 0
    assert main(["report", str(done), "--quiet"]) == 0
    failed = [row for row in report(done)["evaluations"] if row["tasks"] == "judged test"]
    assert [(row["n"], row["n_failed"], row["failures"]) for row in failed] == [(0, 4, {"judge unreachable": 4})] * 2

    asked: list[FakeModel] = []

    def reachable(spec: str, runtime: object) -> FakeModel:
        asked.append(FakeJudge())
        return asked[-1]

    monkeypatch.setattr("sotopia_pi.ratings.opening._model", reachable)
    assert main([*arguments, "--quiet"]) == 0
    assert not asked
    assert main([*arguments, "--retry-failed", "--quiet"]) == 0
    assert sum(len(model.asked) for model in asked) == episodes
    assert ratings(done, "rater <> 'verifier' and failure is null") == episodes * 2


def test_why_many_ratings_failed_is_said(done: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["rate", str(done), "--judge", "fake:", "--stage", "evaluate/base"]) == 0
    (said,) = [line for line in capsys.readouterr().out.splitlines() if "×" in line]
    assert said.startswith('           8 × judge reply, wrong JSON: "token" is missing')
    assert said.endswith('method = "likelihood" with local weights)')


def test_a_run_whose_judge_failed_is_mended_by_retrying(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    out = tmp_path / "run"
    assert run(out, *OPEN, 'judge.model="fake:unreachable"') == 0
    assert {row["n"] for row in report(out)["evaluations"]} == {0}
    monkeypatch.setattr("sotopia_pi.ratings.opening._model", lambda spec, runtime: FakeJudge())
    assert main(["run", str(out), "--retry-failed", "--quiet"]) == 0
    assert [(row["n"], row["n_failed"]) for row in report(out)["evaluations"]] == [(6, 0), (6, 0)]


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        (["--samples", "2"], "--samples needs a judge"),
        (["--judge", "fake:judge", "--samples", "0"], "give a number from 1 to 100"),
        (["--judge", "scripted:expert"], "cannot judge"),
        (["--judge", "fake:judge", "--stage", "collect/x"], "There is no stage"),
    ],
)
def test_bad_usage_of_rate(done: Path, capsys: pytest.CaptureFixture[str], arguments: list[str], sentence: str) -> None:
    capsys.readouterr()
    assert main(["rate", str(done), *arguments, "--quiet"]) == 2
    assert sentence in capsys.readouterr().err


# The audit


def test_the_audit_agrees_with_scipy() -> None:
    verified = [0.0, 2.0, 2.0, 5.0, 9.0, 10.0]
    judged = [1.0, 4.0, 3.0, 3.0, 8.0, 10.0]
    made = [Audited("bc", "judge:x", f"s{i % 3}", v, j) for i, (v, j) in enumerate(zip(verified, judged, strict=True))]
    (row,) = audit(made)
    assert row["pearson"] == pytest.approx(pearsonr(verified, judged).statistic)
    assert row["spearman"] == pytest.approx(spearmanr(verified, judged).statistic)
    assert row["delta"] == pytest.approx((sum(judged) - sum(verified)) / 6)
    assert row["ci_low"] < row["delta"] < row["ci_high"]
    assert (row["n"], row["policy"], row["judge"]) == (6, "bc", "judge:x")


def test_an_audit_without_variation_has_no_correlation() -> None:
    (row,) = audit([Audited("bc", "judge:x", f"s{i}", 3.0, float(i)) for i in range(4)])
    assert (row["pearson"], row["spearman"], row["delta"]) == (None, None, -1.5)
    assert audit([]) == []
