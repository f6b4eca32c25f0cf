"""General ability: MMLU and other tasks of lm-eval, through a stand-in and through the real program."""

from __future__ import annotations

import csv
import importlib.util
import json
import os
from pathlib import Path
from random import Random
from typing import Any

import pytest
from lm_eval_stand_in import PROGRAM

from sotopia_pi.cli.main import main
from sotopia_pi.evaluation.ability import difference, mmlu_summary
from sotopia_pi.evaluation.harness import Answers
from sotopia_pi.evaluation.mmlu import GROUPS, RULES, group_of

METRIC = "acc,none"


@pytest.fixture(autouse=True)
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A cache folder of the test's own."""
    monkeypatch.setenv("SOTOPIA_PI_CACHE", str(tmp_path / "cache"))
    return tmp_path / "cache"


def questions(folder: Path, subjects: tuple[str, ...] = ("anatomy", "sociology"), count: int = 9) -> Path:
    """MMLU's files with questions of our own, as the archive unpacks."""
    for subject in subjects:
        for split, number in (("dev", 5), ("test", count)):
            path = folder / "data" / split / f"{subject}_{split}.csv"
            path.parent.mkdir(parents=True, exist_ok=True)
            with path.open("w", encoding="utf-8", newline="") as file:
                rows = (
                    [f'Is "{split}" {n}, then?', "no", "yes", "1", "maybe, so", "ABCD"[n % 4]] for n in range(number)
                )
                csv.writer(file).writerows(rows)
    return folder


@pytest.fixture
def python(tmp_path: Path) -> str:
    """A program in the place of a Python that has lm-eval."""
    path = tmp_path / "stand-in"
    path.write_text(PROGRAM, encoding="utf-8")
    path.chmod(0o755)
    return str(path)


def adapter(folder: Path, base: Path, **knows: int) -> Path:
    """A policy's folder, as far as the stand-in looks at it; `knows`: every how many questions it misses one."""
    folder.mkdir(parents=True)
    (folder / "adapter_config.json").write_text("{}", encoding="utf-8")
    (folder / "adapter_model.safetensors").write_bytes(b"")
    (folder / "policy.json").write_text(json.dumps({"name": "bc", "base": str(base)}), encoding="utf-8")
    (folder / "knows.json").write_text(json.dumps(knows), encoding="utf-8")
    return folder


def model(folder: Path) -> Path:
    folder.mkdir(parents=True)
    (folder / "config.json").write_text("{}", encoding="utf-8")
    return folder


def calls(folder: Path) -> int:
    path = folder / "calls.txt"
    return len(path.read_text(encoding="utf-8").splitlines()) if path.is_file() else 0


def test_the_57_subjects_are_in_four_groups() -> None:
    assert {group: len(subjects) for group, subjects in GROUPS.items()} == {
        "STEM": 19,
        "humanities": 13,
        "social sciences": 12,
        "other": 13,
    }
    assert group_of("my_own") == "other"


@pytest.mark.parametrize("rule", RULES)
def test_policy_and_base_answer_the_same_questions(
    rule: str, python: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    base = model(tmp_path / "base")
    folder = adapter(tmp_path / "bc", base, anatomy=1, sociology=9)
    given = [str(folder), "--data", str(questions(tmp_path)), "--python", python, "--rule", rule, "--limit", "6"]
    assert main(["mmlu", *given, "--json"]) == 0
    said = json.loads(capsys.readouterr().out)
    one, other = said["policies"]
    assert (one["policy"], one["accuracy"]["mean"], one["accuracy"]["n"]) == ("base", pytest.approx(8 / 12), 12)
    assert other["subjects"]["anatomy"]["mean"] == 0 and other["subjects"]["sociology"]["mean"] == pytest.approx(5 / 6)
    assert other["groups"]["social sciences"]["mean"] == pytest.approx(5 / 6)
    gain = other["difference_to_base"]
    assert gain["mean"] == pytest.approx(5 / 12 - 8 / 12) and gain["n"] == 12
    assert gain["ci_low"] < gain["mean"] < gain["ci_high"]
    assert (one["unanswered"], other["unanswered"]) == (4, 7)
    assert main(["mmlu", *given]) == 0
    shown = capsys.readouterr().out
    assert "MMLU %" in shown and "-25.00" in shown and "sociology" in shown


def test_nothing_is_asked_twice_while_nothing_changed(
    python: str, tmp_path: Path, capsys: pytest.CaptureFixture[str], cache: Path
) -> None:
    base, data = model(tmp_path / "base"), questions(tmp_path)
    given = ["mmlu", str(base), "--data", str(data), "--python", python, "--json"]
    assert main(given) == 0
    first = capsys.readouterr().out
    (base / "calls.txt").rename(tmp_path / "calls.txt")  # the model's folder is as it was
    assert main(given) == 0
    assert capsys.readouterr().out == first and calls(base) == 0
    assert len(list((cache / "ability").glob("base-*.json"))) == 1
    assert main([*given, "--fresh"]) == 0 and calls(base) == 1
    (base / "calls.txt").unlink()
    for change in (["--shots", "2"], ["--limit", "2"], ["--rule", "likelihood"], ["--chat"]):
        assert main([*given, *change]) == 0 and calls(base) == 1, change
        (base / "calls.txt").unlink()
    questions(tmp_path, count=4)
    assert main(given) == 0 and calls(base) == 1
    (base / "calls.txt").unlink()
    (base / "config.json").write_text('{"other": 1}', encoding="utf-8")
    assert main(given) == 0 and calls(base) == 1


def test_one_subject_gives_no_interval(python: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    data = questions(tmp_path, ("virology",))
    out = tmp_path / "out.json"
    given = ["mmlu", str(model(tmp_path / "base")), "--data", str(data), "--python", python, "--out", str(out)]
    assert main(given) == 0
    assert "interval not computable, because there is 1 subject and it takes two" in capsys.readouterr().out
    assert json.loads(out.read_text(encoding="utf-8"))["policies"][0]["accuracy"]["ci_low"] is None


def test_other_tasks_by_name(python: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    base, own = model(tmp_path / "base"), tmp_path / "own"
    folder = adapter(tmp_path / "bc", base, riddles=2)
    own.mkdir()
    (own / "test.jsonl").write_text("{}\n" * 8, encoding="utf-8")
    task = {"output_type": "multiple_choice", "dataset_kwargs": {"data_files": {"test": str(own / "test.jsonl")}}}
    (own / "riddles.yaml").write_text(json.dumps(task), encoding="utf-8")
    given = ["ability", str(folder), "--tasks", "riddles", "--include", str(own), "--python", python, "--json"]
    assert main(given) == 0
    rows = {(row["policy"], row["metric"]): row for row in json.loads(capsys.readouterr().out)["rows"]}
    assert rows["bc", METRIC]["difference_to_base"]["mean"] == pytest.approx(4 / 8 - 5 / 8)
    assert rows["bc", "ppl,none"]["interval"]["why"].startswith("not computable, because the metric has no value")
    assert main([word for word in given if word != "--json"]) == 0
    assert "riddles" in capsys.readouterr().out


def test_a_run_asks_its_base_and_every_trained_policy(
    python: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    from sotopia_pi.config import parse
    from sotopia_pi.rundir import Run

    base, out = model(tmp_path / "base"), tmp_path / "run"
    rounds = [{"name": name, "method": "bc"} for name in ("bc", "late")]
    with Run.open(out, parse({"models": {"policy": str(base)}, "rounds": rounds}, "test"), quiet=True) as run:
        run.store.finish_stage("train/bc", {})
    adapter(out / "policies" / "bc", base)
    given = ["mmlu", str(out), "--data", str(questions(tmp_path)), "--python", python, "--json"]
    assert main(given) == 0
    said = json.loads(capsys.readouterr().out)
    assert [row["policy"] for row in said["policies"]] == ["base", "bc"]
    assert said["policies"][1]["difference_to_base"]["mean"] == 0
    assert len(list((out / "ability").glob("*.json"))) == 2
    assert main([*given, "--policy", "late"]) != 0
    assert "'late' is not trained yet" in capsys.readouterr().err
    assert main([*given, "--policy", "none"]) != 0
    assert "its policies are: base, bc, late" in capsys.readouterr().err


def test_what_a_user_can_get_wrong(python: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    base, data = model(tmp_path / "base"), questions(tmp_path)
    given = ["--data", str(data), "--python", python]

    def refused(*words: str) -> str:
        assert main(list(words)) != 0
        return capsys.readouterr().err

    assert "needs the weights of openai:x" in refused("mmlu", "openai:x@http://127.0.0.1:1/v1", *given)
    assert "needs the weights of fake:" in refused("mmlu", "fake:", *given)
    assert "has no folders dev and test" in refused("mmlu", str(base), "--data", str(base), "--python", python)
    assert "names policies of a run" in refused("mmlu", str(base), *given, "--policy", "bc")
    assert "5 questions for 6 shots" in refused("mmlu", str(base), *given, "--shots", "6")
    assert "--tasks needs names" in refused("ability", str(base), "--tasks", ",")
    assert "cannot be started" in refused("mmlu", str(base), "--data", str(data), "--python", str(tmp_path / "none"))
    (base / "broken").touch()
    assert "code 3: RuntimeError: the weights do not fit" in refused("mmlu", str(base), *given)
    wrong = data / "data" / "test" / "anatomy_test.csv"
    wrong.write_text("q,a,b,c,d,A\nq,a,b,c,d,E\n", encoding="utf-8")
    assert "anatomy_test.csv:2 is no question" in refused("mmlu", str(base), *given)
    (data / "data" / "dev" / "anatomy_dev.csv").unlink()
    assert "anatomy_dev.csv is missing" in refused("mmlu", str(base), *given)


def test_without_the_extra(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    found = importlib.util.find_spec
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None if name == "lm_eval" else found(name))
    assert main(["mmlu", str(model(tmp_path / "base")), "--data", str(questions(tmp_path))]) == 2
    assert "pip install 'sotopia-pi[ability]'" in capsys.readouterr().err


def simulated(rng: Random, loss: float) -> tuple[Answers, Answers]:
    """A base that knows 60 % in 20 subjects of 30 questions, and a policy that forgot a share `loss` of that."""
    base, policy = Answers(), Answers()
    for subject in range(20):
        skill = rng.uniform(0.4, 0.8)
        for answers, lost in ((base, 0.0), (policy, loss)):
            answers.questions[f"s{subject}"] = {
                str(n): {METRIC: float(rng.random() < skill * (1 - lost))} for n in range(30)
            }
    return base, policy


def test_forgetting_is_found_and_chance_is_not() -> None:
    rng = Random(5)

    def flagged(loss: float) -> bool:
        base, policy = simulated(rng, loss)
        row = mmlu_summary({"base": base, "bc": policy}, METRIC)["policies"][1]["difference_to_base"]
        return bool(row["p"] < 0.05)

    assert sum(flagged(0.0) for _ in range(200)) <= 10
    assert all(flagged(0.4) for _ in range(10))


def test_no_question_in_common() -> None:
    found = difference({("a", "1"): 1.0}, {("b", "1"): 1.0}, {("a", "1"): "a"}, "subject")
    assert found["mean"] is None and found["why"] == "not computable, because there is no question"


@pytest.mark.slow
@pytest.mark.parametrize("rule", RULES)
def test_the_real_program(rule: str, weights: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    given = os.environ.get("SOTOPIA_PI_TEST_LM_EVAL", "")
    if not given and importlib.util.find_spec("lm_eval") is None:
        pytest.skip("lm-eval is not installed; name a Python that has it in SOTOPIA_PI_TEST_LM_EVAL")
    import tiny
    from policies import policy

    folder = tiny.save(tiny.CONFIGS["llama"], tmp_path / "model")
    adapted = policy(str(folder), tmp_path / "bc", scale=50.0)
    words = ["mmlu", str(adapted), "--data", str(questions(tmp_path)), "--python", given]
    assert main([*words, "--limit", "3", "--rule", rule, "--device", "cpu", "--json"]) == 0
    said: dict[str, Any] = json.loads(capsys.readouterr().out)
    assert [row["accuracy"]["n"] for row in said["policies"]] == [6, 6]
    assert said["policies"][1]["difference_to_base"]["n"] == 6
    assert said["versions"]["lm_eval"]
