"""Rounds that learn from imported episodes: nothing is played, the named rater selects, and a policy comes out."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from sotopia_files import SITUATION, episode, messages, printed, reward, write

from sotopia_pi.cli.main import main
from sotopia_pi.rundir import Run
from sotopia_pi.training.lineage import read_examples

JUDGES = ("judge-a", "judge-b")


def records() -> list[dict[str, Any]]:
    """Four episodes of one task, judged by two judges who disagree; in one of them the rating failed."""
    made = []
    for number, (judge, goals) in enumerate(zip((*JUDGES, *JUDGES), ((9, 2), (1, 8), (4, 3), (0, 0)), strict=True)):
        acts = [
            f'said: "Line {number}, may I have it?"',
            'said: "No."',
            f'said: "Thanks anyway {number}."',
            "did nothing",
        ]
        made.append(
            episode(
                f"e{number}",
                experiment_model_name_pairs=[judge, "one", "two"],
                raw_messages=messages(acts),
                raw_rewards=[0.0, 0.0] if number == 3 else [reward(goal=goal) for goal in goals],
            )
        )
    return made


def config(folder: Path, policy: str, **changes: Any) -> Path:
    """A config with one round that learns from the imported episodes."""
    given = {"name": "bc", "method": "bc", "episodes": "import/set", "select": {"rule": "top_k", "k": 1}, **changes}
    inline = ", ".join(
        f"{key} = {json.dumps(value).replace(':', ' =')}" for key, value in given.items() if key != "select"
    )
    select = ", ".join(f"{key} = {json.dumps(value)}" for key, value in given["select"].items())
    path = folder / "c.toml"
    path.write_text(
        f"rounds = [{{ {inline}, select = {{ {select} }} }}]\n"
        f"[models]\npolicy = {json.dumps(policy)}\n"
        "[training]\nepochs = 1\nbatch = 2\nmicro_batch = 2\nlora_rank = 2\nlora_alpha = 4\n",
        encoding="utf-8",
    )
    return path


def begin(folder: Path, policy: str = "fake:", lines: list[Any] | None = None, **changes: Any) -> str:
    """A run with the imported episodes and its tasks drawn; the run directory."""
    path, out = write(folder / "set.jsonl", records() if lines is None else lines), str(folder / "run")
    given = str(config(folder, policy, **changes))
    assert main(["import", "episodes", str(path), "--out", out, "--config", given, "--quiet"]) == 0
    assert main(["tasks", out, "--quiet"]) == 0
    return out


def chosen(out: str) -> list[tuple[int, str]]:
    """Who was selected: role and first own words."""
    with Run.open(Path(out), quiet=True) as run:
        pairs = [(run.store.episode(key), role) for key, role in run.store.selection("bc")]
    return sorted((role, next(t.action.argument for t in made.turns if t.role == 0)[:6]) for made, role in pairs)


@pytest.mark.parametrize(
    ("rater", "wanted"), [("judge-a", [(0, "Line 0"), (1, "Line 2")]), ("judge-b", [(0, "Line 1"), (1, "Line 1")])]
)
def test_the_named_rater_selects(rater: str, wanted: Any, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    out = begin(tmp_path, rater=rater)
    assert main(["collect", out]) == 0
    assert "bc: 4 imported episodes (import/set), 0 failed" in capsys.readouterr().out
    assert main(["select", out]) == 0
    assert chosen(out) == wanted
    with Run.open(Path(out), quiet=True) as run:
        facts = run.store.stage("select/bc") or {}
        assert (facts["raters"], facts["candidates"]) == ([rater], 4 if rater == "judge-a" else 2)
        assert facts["unrated"] == (0 if rater == "judge-a" else 2)
        assert {made.stage for made in run.store.episodes()} == {"import/set"}  # nothing was played


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({}, "rated by judge-a, judge-b; name one of them as the round's rater"),
        ({"rater": "judge-c"}, "its raters are: judge-a, judge-b"),
    ],
)
def test_whose_scores_count_has_to_be_said(
    changes: Any, said: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out = begin(tmp_path, **changes)
    assert main(["collect", out, "--quiet"]) == 0
    assert main(["select", out]) != 0
    assert said in capsys.readouterr().err


def test_episodes_that_are_not_there(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    out = begin(tmp_path, episodes="import/other")
    assert main(["collect", out]) != 0
    assert "sotopia-pi import episodes FILE.jsonl --name other" in capsys.readouterr().err
    assert main(["tasks", str(tmp_path / "new"), "--set", 'rounds=[{name="a", method="bc", episodes="../x"}]']) != 0
    assert "episodes" in capsys.readouterr().err


def test_episodes_without_ratings_are_rated_by_a_judge_first(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out = begin(tmp_path, lines=[printed("a"), printed("b", tag="again")])
    assert main(["collect", out, "--quiet"]) == 0
    assert main(["select", out]) != 0
    assert "not rated" in capsys.readouterr().err
    assert main(["rate", out, "--stage", "import/set", "--judge", "fake:judge"]) == 0
    assert "4 ratings of roles" in capsys.readouterr().out
    assert main(["select", out]) == 0
    assert len(chosen(out)) == 2


def test_retrying_failures_leaves_imported_episodes_alone(tmp_path: Path) -> None:
    from sotopia_pi.pipeline import forget_failures

    out = begin(tmp_path, rater="judge-a")
    with Run.open(Path(out), quiet=True) as run:
        before = [list(run.store.episodes()), list(run.store.ratings())]
        forget_failures(run)
        assert [list(run.store.episodes()), list(run.store.ratings())] == before


@pytest.mark.weights
def test_a_policy_is_trained_without_playing(weights: str, tmp_path: Path) -> None:
    import tiny

    base = tiny.save(tiny.CONFIGS["llama"], tmp_path / "base")
    out = begin(tmp_path, policy=str(base), rater="judge-a")
    for verb in ("collect", "select", "train"):
        assert main([verb, out, "--quiet"]) == 0
    folder = Path(out) / "policies" / "bc"
    made = json.loads((folder / "policy.json").read_text(encoding="utf-8"))
    assert (folder / "adapter_model.safetensors").is_file()
    assert (made["sequences"], len(list(read_examples(folder)))) == (2, 2)
    chat = tmp_path / "chat.jsonl"
    assert main(["export", out, "--format", "chat", "--out", str(chat), "--quiet"]) == 0
    first, second = (json.loads(line)["messages"] for line in chat.read_text(encoding="utf-8").splitlines())
    assert SITUATION in str(first) and SITUATION in str(second)
    said = {message["content"] for row in (first, second) for message in row if message["role"] == "assistant"}
    assert '{"action_type": "speak", "argument": "Thanks anyway 0."}' in said
