"""The audit from the command line: simulated judges are found out, a stopped audit continues, panels, calibration."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from sotopia_files import DATA
from support import settings as sets
from support import stored

from sotopia_pi.cli.main import main
from sotopia_pi.config import parse
from sotopia_pi.errors import ConfigError
from sotopia_pi.evaluation import matchups
from sotopia_pi.pipeline import prepare_tasks
from sotopia_pi.ratings.calibration import Calibration, read_calibration
from sotopia_pi.ratings.panel import combined_score, panel_name, panel_ratings
from sotopia_pi.ratings.records import DIMENSIONS, Rating
from sotopia_pi.rundir import Run
from sotopia_pi.store import Store

RATED = DATA / "sotopia_pi" / "human_eval"
PLAY = ('models.policy="fake:"', 'models.expert="scripted:expert"', 'models.partner="scripted:partner"')


def audited(out: Path, judge: str, *more: str) -> dict[str, Any]:
    assert main(["audit", judge, "--out", str(out), "--quiet", *more]) == 0
    found: dict[str, Any] = json.loads((out / "audit.json").read_text(encoding="utf-8"))
    return found


def raised(content: dict[str, Any]) -> set[str]:
    return {flag["name"] for flag in content["flags"] if flag["raised"]}


@pytest.mark.parametrize(
    ("fault", "part", "flag"),
    [
        ("length", "truth", "length"),
        ("position", "itself", "place listed"),
        ("sycophant", "susceptibility", "flattery"),
        ("noisy", "itself", "noisy"),
        ("saturated", "truth", "saturated"),
    ],
)
def test_each_simulated_fault_is_found_by_the_part_that_is_meant_for_it(
    tmp_path: Path, fault: str, part: str, flag: str
) -> None:
    content = audited(tmp_path / "a", f"fake:judge-{fault}", "--n", "20", "--parts", part)
    assert flag in raised(content)
    assert list(content["parts"]) == [part]
    assert content["ratings"]["failed"] == 0


@pytest.mark.slow
def test_an_honest_judge_is_not_flagged(tmp_path: Path) -> None:
    content = audited(tmp_path / "a", "fake:judge-honest", "--n", "32")
    assert raised(content) == set()
    assert content["uses"]["absolute"]["answer"] == "yes"
    assert content["parts"]["truth"]["mae"]["mean"] < 0.3
    assert content["parts"].keys() == {"truth", "itself", "susceptibility", "calibration"}
    page = (tmp_path / "a" / "audit.html").read_text(encoding="utf-8")
    assert content["uses"]["rank"]["sentence"].split(",")[0] in page
    assert "<script" not in page


def test_a_stopped_audit_continues_and_rates_nothing_twice(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    out = tmp_path / "a"
    first = audited(out, "fake:judge-noisy", "--n", "12", "--parts", "truth", "calibration")
    ratings = stored(out, "select count(*) from ratings where rater <> 'verifier'")
    assert ratings == 24
    asked: list[str] = []
    monkeypatch.setattr("sotopia_pi.ratings.opening._model", lambda spec, runtime: asked.append(spec))
    assert main(["audit", "fake:judge-noisy", "--out", str(out), "--n", "12", "--parts", "truth", "--json"]) == 0
    again = json.loads(capsys.readouterr().out)
    assert not asked
    assert again["parts"]["truth"] == first["parts"]["truth"]
    assert main(["audit", "fake:judge-honest", "--out", str(out), "--n", "12", "--quiet"]) == 2
    assert "give another --out" in capsys.readouterr().err


def test_a_judge_that_breaks_the_contract_is_counted_and_good_for_nothing(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    content = audited(tmp_path / "a", "fake:", "--n", "10", "--parts", "truth", "calibration")
    assert content["ratings"]["failed"] == content["ratings"]["asked"] == 20
    assert content["ratings"]["causes"] == {"judge reply, wrong JSON": 20}
    assert {use["answer"] for use in content["uses"].values()} == {"no"}
    assert not (tmp_path / "a" / "calibration.json").exists()
    assert main(["audit", "fake:", "--out", str(tmp_path / "a"), "--n", "10", "--parts", "truth"]) == 0
    printed = capsys.readouterr().out
    assert "100 % of its ratings failed" in printed
    assert "not computable, because" in printed


def test_other_judges_rate_the_same_episodes(tmp_path: Path) -> None:
    more = ("--n", "12", "--parts", "others", "--against", "fake:judge-saturated", "fake:judge-length")
    others = audited(tmp_path / "a", "fake:judge-honest", *more)["parts"]["others"]
    assert others["pairs"][0]["difference"]["estimate"] < 0
    assert others["n"] == 24
    assert -1 <= others["alpha"]["value"] < 1


@pytest.mark.skipif(not RATED.is_dir(), reason="the published annotations are not here")
def test_people_are_held_against_a_judge(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    files = ("--people", str(RATED / "BC.csv"), str(RATED / "BC_episodes.jsonl"))
    found = audited(tmp_path / "a", "fake:judge", "--n", "8", "--parts", "people", *files)["parts"]["people"]
    assert (found["n_episodes"], found["n_failed"]) == (8, 0)
    assert found["target"]["goal"]["n"] == 8
    assert found["target"]["goal"]["gap"] is not None
    again = ["audit", "fake:judge", "--out", str(tmp_path / "a"), "--n", "8", "--parts", "people", *files]
    assert main(again) == 0
    assert "has rated this episode in an earlier row" in capsys.readouterr().out


def test_the_evaluation_of_a_run_is_audited_by_policy(tmp_path: Path) -> None:
    run, out = tmp_path / "run", tmp_path / "a"
    values = (*PLAY, "rounds=[]", "world.train={}", "world.test={price=5, meeting=5}")
    assert main(["run", "--out", str(run), "--quiet", *sets(*values)]) == 0
    content = audited(out, "fake:judge-honest", "--run", str(run), "--n", "20", "--parts", "truth", "calibration")
    assert content["n_episodes"] == 20
    assert content["parts"]["truth"]["by"]["policy"].keys() == {"base", "expert", "partner"}
    assert "no policies in order" in content["parts"]["truth"]["trend"]["sentence"]
    assert read_calibration(out / "calibration.json").rater == content["judge"]


def test_the_gap_is_followed_from_base_to_the_last_policy(tmp_path: Path) -> None:
    """Trained policies talk more here, and the judge likes words."""
    kind = {"method": "bc", "select": {"k": 1}}
    rounds = [{"name": "bc", **kind}, {"name": "bc+sr", "parent": "bc", **kind, "method": "sr"}]
    config = parse({"rounds": rounds, "world": {"test": {"division": 12}}}, "test")
    styles = {"base": "blunt", "bc": "fair", "bc+sr": "tester", "partner": "stable"}
    with Run.open(tmp_path / "run", config, quiet=True) as run:
        prepare_tasks(run)
        for policy in ("base", "bc", "bc+sr"):
            plans = matchups.plans(policy, run.store.tasks("test"), 1, 20, {})
            run.play(policy, plans, config.sampling, {name: f"scripted:{style}" for name, style in styles.items()})
    more = ("--run", str(tmp_path / "run"), "--n", "72", "--parts", "truth")
    truth = audited(tmp_path / "a", "fake:judge-length", *more)["parts"]["truth"]
    assert truth["trend"]["order"] == ["base", "bc", "bc+sr"]
    assert truth["trend"]["step"]["n"] == 24
    assert "from base to bc to bc+sr? " in truth["trend"]["sentence"]
    gaps = [truth["by"]["policy"][name]["bias"]["estimate"] for name in ("base", "bc", "bc+sr")]
    assert truth["trend"]["last_minus_first"]["estimate"] == pytest.approx(gaps[2] - gaps[0])


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        (["fake:judge-none"], "There is no simulated judge"),
        (["scripted:expert"], "cannot judge"),
        (["fake:judge-honest", "--parts", "truht"], "There is no part"),
        (["fake:judge-honest", "--parts", "others"], "name them with --against"),
        (["fake:judge-honest", "--parts", "people"], "--people"),
        (["fake:judge-honest", "--n", "0"], "at least one episode"),
        (["fake:judge-honest", "--against", "fake:judge-honest"], "give other judges"),
        (["fake:judge-honest", "--run", "nowhere"], "not a run directory"),
        (["fake:judge-honest", "--max-tokens", "3"], "give 64"),
    ],
)
def test_bad_usage(tmp_path: Path, capsys: pytest.CaptureFixture[str], arguments: list[str], sentence: str) -> None:
    assert main(["audit", *arguments, "--out", str(tmp_path / "a"), "--quiet"]) == 2
    error = capsys.readouterr().err
    assert sentence in error
    assert error.count("\n") == 1


# Panels


def rating(rater: str, goal: float | None, role: int = 0) -> Rating:
    if goal is None:
        return Rating(episode="e", role=role, rater=rater, failure="judge reply: no JSON")
    return Rating(episode="e", role=role, rater=rater, scores={"goal": goal}, reasons={"goal": "x"})


def test_a_panel_is_a_rater_of_its_own() -> None:
    judges = ["judge:a:1", "judge:b:1", "judge:c:1"]
    found = {name: {0: rating(name, goal)} for name, goal in zip(judges, (2.0, 9.0, 3.0), strict=True)}
    (made,) = panel_ratings("e", found, judges, "median")
    assert (made.rater, made.scores) == (panel_name(judges[::-1], "median"), {"goal": 3.0})
    assert "b:1: 9" in made.reasons["goal"]
    found["judge:c:1"] = {0: rating("judge:c:1", None)}
    (made,) = panel_ratings("e", found, judges, "trimmed_mean")
    assert made.scores == {"goal": 5.5}
    found["judge:b:1"] = {}
    (made,) = panel_ratings("e", found, judges, "median")
    assert made.failure == "panel: 1 of 3 judges gave a rating (judge reply: no JSON)"
    assert combined_score([0, 1, 2, 3, 10], "trimmed_mean") == 2.0


def test_a_panel_rates_selects_and_is_reported(tmp_path: Path) -> None:
    out = tmp_path / "run"
    judge = 'judge={panel=["fake:judge", "fake:judge-honest", "fake:judge-saturated"], also_verified=true}'
    rounds = 'rounds=[{name="bc", method="bc", repeats=2, rater="judge", select={k=1}}]'
    values = ('models.policy="fake:"', "world.train={price=2}", "world.test={price=1}", judge, rounds)
    assert main(["tasks", str(out), "--quiet", *sets(*values)]) == 0
    assert main(["collect", str(out), "--quiet"]) == 0
    assert main(["select", str(out), "--quiet"]) == 0
    with Store.open(out / "run.db") as store:
        raters = store.raters("collect/bc")
        facts = store.stage("select/bc")
        ratings = list(store.ratings("collect/bc", next(name for name in raters if name.startswith("panel:"))))
    assert len([name for name in raters if name.startswith("judge:")]) == 3
    assert facts is not None
    assert [name.split(":")[0] for name in facts["raters"]] == ["panel"]
    assert facts["unrated"] == 0
    assert all(rating.scores.keys() == DIMENSIONS.keys() for rating in ratings)


@pytest.mark.parametrize(
    ("judge", "sentence"),
    [
        ({}, "one model"),
        ({"model": "fake:judge", "panel": ["fake:judge", "fake:judge-honest"]}, "one model"),
        ({"panel": ["fake:judge"]}, "two or more"),
        ({"panel": ["fake:judge", "fake:judge"]}, "different"),
        ({"model": "fake:judge", "combine": "mode"}, "median"),
    ],
)
def test_panels_that_cannot_be(judge: dict[str, Any], sentence: str) -> None:
    with pytest.raises(ConfigError, match=sentence):
        parse({"judge": judge}, "test")


# Calibration


def calibration(rater: str, **fields: Any) -> Calibration:
    values = {"n": 4, "n_scenarios": 4, "mae_before": 2, "mae_after": 1, "rmse_before": 2, "rmse_after": 1, **fields}
    return Calibration(**{"rater": rater, "knots": ((4.0, 0.0), (6.0, 5.0), (9.0, 8.0)), **values})


def test_a_calibration_maps_goal_of_its_rater_and_nothing_else() -> None:
    map_ = calibration("judge:a:1")
    assert [map_.score(given) for given in (0, 4, 5, 6, 7.5, 10)] == [0, 0, 2.5, 5, 6.5, 8]
    assert map_.applied(rating("judge:a:1", 6)).scores == {"goal": 5.0}
    for other in (rating("judge:b:1", 6), rating("judge:a:1", None)):
        assert map_.applied(other) == other


def test_selection_sees_calibrated_scores_and_the_store_keeps_those_that_were_given(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out, file = tmp_path / "run", tmp_path / "calibration.json"
    rounds = 'rounds=[{name="bc", method="bc", repeats=2, rater="judge", select={k=1}}]'
    made = ("world.train={price=2}", "world.test={price=1}", 'models.policy="fake:"', rounds)
    judge = f'judge={{model="fake:judge-saturated", calibration="{file}"}}'
    assert main(["tasks", str(out), "--quiet", *sets(*made, judge)]) == 2
    assert "cannot be read" in capsys.readouterr().err
    audited(tmp_path / "a", "fake:judge-saturated", "--n", "16", "--parts", "calibration")
    (tmp_path / "a" / "calibration.json").rename(file)
    for verb in ("tasks", "collect", "select"):
        assert main([verb, str(out), "--quiet", *(sets(*made, judge) if verb == "tasks" else [])]) == 0
    with Store.open(out / "run.db") as store:
        facts = store.stage("select/bc")
        goals = [r.scores["goal"] for r in store.ratings("collect/bc") if r.rater.startswith("judge:")]
    assert facts is not None
    assert facts["calibrated"] == facts["candidates"] == len(goals) == 8
    assert set(goals) <= {9.0, 10.0}
    assert facts["mean_of_candidates"] < 8.5
    wrong = judge.replace("fake:judge-saturated", "fake:judge")
    assert main(["tasks", str(tmp_path / "other"), "--quiet", *sets(*made, wrong)]) == 2
    assert "is that of judge:fake:judge-saturated" in capsys.readouterr().err


@pytest.mark.parametrize(
    "text",
    [
        "",
        "[]",
        '{"rater": 3}',
        '{"a":' * 3000,
        calibration("judge:a:1").model_dump_json().replace("8.0", "4.0"),
        calibration("judge:a:1").model_dump_json().replace("8.0", "NaN"),
        calibration("judge:a:1").model_dump_json().replace("8.0", "11.0"),
        calibration("judge:a:1").model_dump_json().replace('"goal"', '"secret"'),
    ],
)
def test_a_broken_calibration_is_refused(tmp_path: Path, text: str) -> None:
    path = tmp_path / "calibration.json"
    path.write_text(text, encoding="utf-8")
    with pytest.raises(ConfigError, match=r"name the calibration\.json of an audit"):
        read_calibration(path)
