"""The epoch of a training that becomes the policy may be the one that plays best."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from sotopia_pi import pipeline
from sotopia_pi.config import parse
from sotopia_pi.errors import ConfigError
from sotopia_pi.rundir import Run
from sotopia_pi.training.lineage import read_lineage

pytest.importorskip("torch", reason="training needs the extra 'local'")
import tiny

pytestmark = [pytest.mark.weights, pytest.mark.usefixtures("weights")]

ROUND = {"name": "bc", "method": "bc", "repeats": 1, "select": {"rule": "top_k", "k": 1}}


def test_the_epoch_that_plays_best_is_kept(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    base = tiny.save(tiny.CONFIGS["llama"], tmp_path / "base")
    config = parse(
        {
            "max_turns": 2,
            "world": {"train": {"price": 2}, "dev": {"price": 1}},
            "models": {"policy": str(base)},
            "sampling": {"max_tokens": 8},
            "training": {"keep": "best_play", "epochs": 2, "learning_rate": 1e-3, "batch": 2},
            "rounds": [ROUND],
        },
        "test",
    )
    out = tmp_path / "run"
    with Run.open(out, config) as run:
        facts = pipeline.prepare_tasks(run)
        assert (facts["train"], facts["dev"]) == (2, 1)
        for stage in (pipeline.collect, pipeline.select, pipeline.train):
            stage(run, config.rounds[0])
        chosen = {name: run.store.stage(name) for name in ("choose/bc@1", "choose/bc@2")}
        # Random weights say nothing that counts, so both score 0, and of equal ones the earlier is kept.
        assert [facts and facts["goal"] for facts in chosen.values()] == [0.0, 0.0]
        assert run.store.counts("choose/bc@2") == (2, 0)
    assert "choose     bc: epoch 1 (mean GOAL on 1 dev tasks: epoch 1 0.00, epoch 2 0.00)" in capsys.readouterr().out
    policy = out / "policies" / "bc"
    assert read_lineage(policy).settings["keep"] == "best_play"
    assert [path.name for path in policy.parent.iterdir()] == ["bc"]
    metrics = [json.loads(line) for line in (policy / "metrics.jsonl").read_text(encoding="utf-8").splitlines()]
    assert [line["epoch"] for line in metrics if "loss" in line] == pytest.approx([0.5, 1.0, 1.5, 2.0])


def test_playing_to_choose_needs_tasks() -> None:
    with pytest.raises(ConfigError, match=r"add world\.dev tasks"):
        parse({"training": {"keep": "best_play"}, "rounds": [ROUND]}, "test")


@pytest.mark.parametrize(
    ("runtime", "complaint"),
    [
        ({"launch": "warp"}, "give ddp, fsdp, deepspeed or the path of an accelerate config"),
        ({"launch": "deepspeed"}, "deepspeed, which is not installed: pip install deepspeed"),
        ({"trackers": ["wandb"]}, "wandb, which is not installed: pip install wandb"),
    ],
)
def test_what_training_needs_is_checked_before_anything_is_played(
    runtime: dict[str, object], complaint: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    import importlib.util

    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None)
    config = parse({"world": {"train": {"price": 2}}, "runtime": runtime, "rounds": [ROUND]}, "test")
    with Run.open(tmp_path / "run", config, quiet=True) as run:
        with pytest.raises(ConfigError, match=complaint):
            pipeline.run_all(run)
        assert run.store.stages() == {}
