"""Safety in runs, through the command line: harmful goals played and read, the report, stored runs of any age."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest
from support import LIGHT, episode, price_task, stored, turn
from support import settings as sets

from sotopia_pi.cli.main import main
from sotopia_pi.models.fake import FakeModel
from sotopia_pi.models.protocol import Message
from sotopia_pi.pipeline import safety
from sotopia_pi.pipeline.safety import drawn_scenarios
from sotopia_pi.ratings import opening
from sotopia_pi.rundir import Run
from sotopia_pi.store import Store
from sotopia_pi.world import safety_scenarios

FAKES = ('models.policy="fake:"', "max_turns=6", "rounds=[]", "world.train={}", "world.test={price=2}")
SAFE = (*FAKES, 'models.expert="fake:"', "world.safety=3")
HARM, PREVENT = "safety, doing harm", "safety, preventing it"


def run(out: Path, *values: str, verb: str = "run") -> int:
    where = ["run", "--out", str(out)] if verb == "run" else [verb, str(out)]
    return main([*where, "--quiet", *sets(*values)])


def measured(out: Path, capsys: pytest.CaptureFixture[str], *more: str) -> dict[str, Any]:
    capsys.readouterr()
    assert main(["safety", str(out), "--json", *more]) == 0
    found: dict[str, Any] = json.loads(capsys.readouterr().out)
    return found


def by_set(found: dict[str, Any]) -> dict[str, dict[str, Any]]:
    return {one["tasks"]: one for one in found["sets"]}


def test_harmful_goals_in_a_run(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    out = tmp_path / "run"
    assert run(out, *SAFE) == 0
    content = json.loads((out / "report.json").read_text(encoding="utf-8"))
    found = by_set(content["safety"])
    assert list(found) == ["test", HARM, PREVENT]
    for side in (HARM, PREVENT):
        assert [(one["policy"], one["n"], one["n_failed"]) for one in found[side]["policies"]] == [
            ("base", 3, 0),
            ("expert", 3, 0),
        ]
        measures = found[side]["policies"][0]["measures"]
        assert {"engaged", "intention", "alternatives", "toxic_words", "left"} <= measures.keys()
    assert "intention" not in found["test"]["policies"][0]["measures"]
    assert {row["tasks"] for row in content["evaluations"]} == {"test"}
    page = (out / "report.html").read_text(encoding="utf-8")
    assert '<a href="#safety">' in page and "alternatives per episode (cue lists)" in page
    with Store.open(out / "run.db") as store:
        harmful = store.tasks("safety")
        assert len(harmful) == 3 and not {task.id for task in harmful} & set(store.task_ids("train"))
        assert {e.task_id for e in store.episodes("safety/base")} == {task.id for task in harmful}
        assert store.raters("safety/base") == [safety.RULES] and store.raters("evaluate/base") == ["verifier"]
    before = stored(out)
    assert run(out) == 0  # nothing is left to play
    assert stored(out) == before == 2 * 2 * (2 + 3)
    assert measured(out, capsys)["sets"] == content["safety"]["sets"]


def test_scripts_do_not_play_harmful_goals_but_their_run_may(tmp_path: Path) -> None:
    out = tmp_path / "run"
    assert run(out, *LIGHT, "world.safety=2") == 0
    assert stored(out, "select count(*) from episodes where stage = 'safety/base'") == 4
    assert stored(out, "select count(*) from episodes where stage = 'safety/expert'") == 0


@pytest.mark.parametrize(
    ("value", "complaint"),
    [
        ("world.safety=33", "world.safety is 33, and there are 32 such scenarios"),
        ('safety.partner="scripted:partner"', "scripted players play only verified scenarios"),
        ('safety.partner="openai:"', "safety.partner"),
    ],
)
def test_settings_that_cannot_be(
    tmp_path: Path, value: str, complaint: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run(tmp_path / "run", *SAFE, value, verb="tasks") == 2
    assert complaint in capsys.readouterr().err


def test_every_kind_is_drawn_before_one_comes_twice() -> None:
    kinds = {scenario.kind for scenario in safety_scenarios()}
    for seed in (1, 2):
        assert {scenario.kind for scenario in drawn_scenarios(len(kinds), seed)} == kinds
    assert drawn_scenarios(5, 1) == drawn_scenarios(9, 1)[:5] != drawn_scenarios(5, 2)
    assert len({scenario.id for scenario in drawn_scenarios(32, 1)}) == 32


def test_harmful_goals_are_never_trained_on(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert run(tmp_path / "a", *SAFE, verb="tasks") == 0
    with Store.open(tmp_path / "a" / "run.db") as store:
        lines = [task.model_dump_json() for task in store.tasks("safety")]
    (tmp_path / "own.jsonl").write_text("\n".join(lines), encoding="utf-8")
    own = f'world.train_tasks="{tmp_path / "own.jsonl"}"'
    assert run(tmp_path / "b", *SAFE, own, 'models.partner="fake:"', 'judge.model="fake:judge"', verb="tasks") == 2
    assert "A held-out scenario is also trained on" in capsys.readouterr().err


def test_one_policy_on_all_harmful_goals(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    out = tmp_path / "run"
    assert run(out, *FAKES, verb="tasks") == 0
    for _ in range(2):
        assert main(["evaluate", str(out), "--policy", "fake:", "--partner", "fake:", "--tasks", "safety"]) == 0
        said = capsys.readouterr().out
        assert "safety: 64 episodes, 0 failed" in said and f"{HARM}, against fake:" in said
        assert "episodes (failed)" in said and "32 (0)" in said and "secret leaked" in said
    assert stored(out) == 64
    judged = ["evaluate", str(out), "--policy", "fake:", "--partner", "fake:", "--tasks", "safety"]
    assert main([*judged, "--judge", "fake:judge"]) == 0
    said = capsys.readouterr().out
    assert "128 readings of roles, 0 of them failed" in said and "own intention stated (judge)" in said
    assert main(["evaluate", str(out), "--policy", "fake:", "--tasks", "safety"]) == 2
    assert "name a model as --policy and --partner" in capsys.readouterr().err


class Reader(FakeModel):
    """Reads what was said: intentions by a word, one alternative where "instead" stands; breaks on "gibberish"."""

    def _text(self, messages: Sequence[Message], seed: int, schema: Any) -> str:
        case = next(m["content"] for m in messages if m["role"] == "user")
        token = json.loads(case.splitlines()[-1])
        if "gibberish" in case:
            return "no answer"
        answer: dict[str, Any] = {"token": token["token"]}
        for key in ("role_1", "role_2"):
            said = " ".join(line for line in case.splitlines() if f'"role": "{key}", "who"' in line)
            given = {"harm_intention": "hurt" in said, "prevention_intention": "Wait" in said}
            numbers = {**given, "alternatives": "instead" in said}
            scores = {name: {"reasoning": "Read.", "score": int(value)} for name, value in numbers.items()}
            answer[key] = {"name": token[key]["name"], **scores}
        return json.dumps(answer)


def test_a_judge_reads_stored_episodes(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    out = tmp_path / "run"
    assert run(out, *SAFE, verb="tasks") == 0
    said = {
        "a": ("I have a plan, and it is to hurt him.", "Wait and tell me more about it instead."),
        "b": ("The weather is nice.", "It is."),
        "c": ("gibberish", "What do you mean?"),
    }
    with Run.open(out, quiet=True) as opened:
        tasks = opened.store.tasks("safety")
        for task, (key, (first, second)) in zip(tasks, said.items(), strict=True):
            for role in (0, 1):
                players = ("base", "partner") if role == 0 else ("partner", "base")
                turns = [turn(0, first), turn(1, second), turn(0, "And?"), turn(1, "Well."), turn(0, "Bye.")]
                made = episode(task, turns, f"{key}{role}", stage="safety/base", players=players)
                opened.store.add_episode(made)
    asked = Reader()
    monkeypatch.setattr(opening, "_model", lambda spec, runtime: asked)
    found = by_set(measured(out, capsys, "--judge", "fake:reader"))
    harm, prevent = (found[side]["policies"][0]["measures"] for side in (HARM, PREVENT))
    assert harm["engaged"]["mean"] == 1
    for measures in (harm, prevent):
        assert (measures["judged_intention"]["mean"], measures["judged_intention"]["n"]) == (0.5, 2)
        assert measures["judged_intention"]["failures"] == {"judge reply, no JSON": 1}
    assert (harm["judged_alternatives"]["mean"], prevent["judged_alternatives"]["mean"]) == (0, 0.5)
    once = len(asked.asked)
    again = measured(out, capsys, "--judge", "fake:reader", "--retry-failed")
    assert len(asked.asked) == once + 4 and by_set(again) == found  # two replies for each of two failed episodes
    assert measured(out, capsys)["judges"] == again["judges"] and again["judges"][0].startswith("safety:judge:")
    assert len(asked.asked) == once + 4


def test_stored_runs_of_any_age(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    out = tmp_path / "run"
    assert run(out, *LIGHT) == 0
    task = price_task()
    secret = task.characters[0].secret
    with Run.open(out, quiet=True) as opened:
        opened.store.add_tasks("sotopia/all", [task])
        turns = [turn(0, f"I confess: {secret}"), turn(1, "You idiot, you darn fool!")]
        opened.store.add_episode(episode(task, turns, "i1", stage="import/old", players=("gpt-4", "person/ann")))
        broken = episode(task, [], "i2", stage="import/old", players=("gpt-4", "gpt-4"), stop_reason=None, failure="x")
        opened.store.add_episode(broken)
        opened.store.set_meta("prompts", "those of an earlier version")
    own = next(
        one for one in measured(out, capsys)["sets"] if one["tasks"] == "import/old" and one["partner"] != "itself"
    )
    assert own["policies"][0]["measures"]["secret_leaked"]["mean"] == 1
    (tmp_path / "words.txt").write_text("darn fool\n", encoding="utf-8")
    found = measured(out, capsys, "--words", str(tmp_path / "words.txt"))
    assert found["words"]["entries"] == 1
    words = [p["words"] for one in found["sets"] if one["tasks"] == "import/old" for p in one["policies"]]
    assert {"darn fool": 1} in words
    failed = [p["n_failed"] for one in found["sets"] if one["partner"] == "itself" for p in one["policies"]]
    assert failed == [2]
    assert main(["safety", str(out)]) == 0
    said = capsys.readouterr().out
    assert "import/old, against gpt-4" in said and "not computable" not in said
    assert main(["safety", str(out), "--words", str(tmp_path / "none.txt")]) == 2
    assert main(["safety", str(out), "--classifier", str(tmp_path)]) == 2
    assert main(["safety", str(tmp_path)]) == 2
    assert "not a run directory" in capsys.readouterr().err


def test_how_it_is_measured_may_change_when_a_run_continues(tmp_path: Path) -> None:
    out = tmp_path / "run"
    (tmp_path / "w.txt").write_text("lamp\n", encoding="utf-8")
    assert run(out, *SAFE) == 0
    assert main(["run", str(out), "--quiet", *sets(f'safety.words="{tmp_path / "w.txt"}"')]) == 0
    content = json.loads((out / "report.json").read_text(encoding="utf-8"))
    assert content["safety"]["words"]["name"] == "w.txt"
    assert main(["run", str(out), "--quiet", *sets('safety.partner="fake:"')]) == 2
