"""The training benchmarks measure what they say: the same tokens and losses on both sides, and a store as stated."""

from __future__ import annotations

import math
import sys
from pathlib import Path
from typing import Any

import pytest

pytest.importorskip("torch", reason="training needs the extra 'local'")
pytest.importorskip("peft", reason="training needs the extra 'local'")
sys.path.insert(0, str(Path(__file__).parent.parent))
import tiny

from benchmarks import preparation, training
from benchmarks.flops import training_flops
from benchmarks.selected import made, selected
from sotopia_pi.config import TrainingConfig
from sotopia_pi.training.adapters import with_adapter

pytestmark = [pytest.mark.weights, pytest.mark.slow, pytest.mark.usefixtures("weights")]


@pytest.mark.filterwarnings("ignore::FutureWarning")  # TRL uses names that transformers renamed
def test_both_sides_train_the_same_tokens_to_the_same_losses(tmp_path: Path) -> None:
    pytest.importorskip("trl", reason="the comparison needs trl")
    folder = tiny.save(tiny.CONFIGS["llama"], tmp_path / "base")
    items = selected(tiny.tokenizer(), list(made(2, 6)))
    assert len(items) == 8 and all(len(item.turns) == len(item.ends) == 3 for item in items)
    ours = training.train_ours(items, 4, str(folder))
    theirs = training.train_per_turn(items, training.per_pass(items, 4), tiny.tokenizer(), str(folder))
    assert theirs.same.startswith("24 of 24 examples")
    assert ours.trained == theirs.trained == sum(len(item.tokens.targets) for item in items)
    assert ours.computed < sum(len(item.tokens.ids) for item in items)
    assert theirs.computed - theirs.padding == sum(sum(item.ends) for item in items)
    assert len(ours.seconds) == len(theirs.seconds) == len(ours.losses) == training.UPDATES
    assert ours.losses == pytest.approx(theirs.losses, rel=1e-4)
    assert ours.losses[-1] < ours.losses[0]


def test_the_timed_stretch_is_like_the_whole() -> None:
    items = selected(tiny.tokenizer(), list(made(4, 4)))
    found = training.stretch(items, 4, 4)
    assert len({item.tokens.group for item in found}) == 2  # no family is cut
    assert training.padded_tokens([3, 9, 4, 8], 2) == 2 * 4 + 2 * 9


def test_operations_of_a_position_are_four_per_weight(tmp_path: Path) -> None:
    folder = tiny.save(tiny.CONFIGS["llama"], tmp_path / "base")
    plain: Any = tiny.reference(folder)
    layers = sum(weight.numel() for name, weight in plain.named_parameters() if ".layers." in name and weight.dim() > 1)
    model = with_adapter(plain, None, TrainingConfig(lora_rank=4))
    adapter = sum(weight.numel() for weight in model.parameters() if weight.requires_grad)
    head = model.get_output_embeddings().weight.numel()
    expected = 100 * (4 * layers + 6 * adapter) + 4 * head * 10 + 12 * 3 * 32 * 5050
    assert math.isclose(training_flops(model, 100, 10, 5050), expected)


def test_a_stored_run_is_prepared(tmp_path: Path) -> None:
    rows = dict(preparation.prepared(tmp_path / "run", 20))
    assert "20 made episodes of 20 turns" in rows["stored run"]
    assert {"4 examples", "40 examples"} <= set(rows)
    assert "peak memory" in rows["40 examples"]
