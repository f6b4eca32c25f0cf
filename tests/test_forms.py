"""One sequence per role gives every trained token the loss and gradient that one example per turn gives it.

The reference is made without the package's own encoding: the chat template's text up to a turn is tokenized in one
piece and goes through the model as transformers runs it, one turn at a time.
"""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest
from support import price_task

from sotopia_pi.config import TrainingConfig
from sotopia_pi.episodes.play import Plan, play
from sotopia_pi.episodes.scripted import scripted_player
from sotopia_pi.training.examples import Example, example, tokenize
from sotopia_pi.training.rows import IGNORED, pack

pytest.importorskip("torch", reason="training needs the extra 'local'")
pytest.importorskip("peft", reason="training needs the extra 'local'")
import tiny
import torch
from peft import LoraConfig, get_peft_model
from torch.nn.functional import cross_entropy

from sotopia_pi.models.fitting import quiet_peft
from sotopia_pi.models.packing import use_packed_attention
from sotopia_pi.models.weights import SMOLLM2, load_model
from sotopia_pi.training.trainer import PackedTrainer, arguments

pytestmark = [pytest.mark.weights, pytest.mark.usefixtures("weights")]

SETTINGS = TrainingConfig(batch=4, micro_batch=4)


def examples(chosen: Sequence[tuple[int, int, int]]) -> list[Example]:
    """The expert with itself on price tasks: examples of (task, role, repeat)."""
    made = []
    for number, role, repeat in chosen:
        task, player = price_task(number=number), scripted_player("expert")
        plan = Plan(stage="test", task_id=task.id, players=("expert", "expert"), repeat=repeat, max_turns=10)
        played = asyncio.run(play(plan, task, {seat: player.seat(seat, plan.seed(seat)) for seat in (0, 1)}))
        item = example(task, played, role)
        if len(item.trained) > 1:
            item.trained[0] = False  # a turn that stays in the history and is not imitated
        made.append(item)
    assert not all(trained for item in made for trained in item.trained)
    return made


def per_turn(model: Any, items: Sequence[Example]) -> torch.Tensor:
    """The loss of every trained token, each turn an example of its own."""
    tokenizer, losses = tiny.tokenizer(), []
    for item in items:
        replies = [at for at, message in enumerate(item.messages) if message["role"] == "assistant"]
        for at, trained in zip(replies, item.trained, strict=True):
            if not trained:
                continue
            text = tokenizer.apply_chat_template(item.messages[:at], tokenize=False, add_generation_prompt=True)
            prompt = tokenizer(text, add_special_tokens=False)["input_ids"]
            whole = tokenizer(text + item.messages[at]["content"] + "<|im_end|>", add_special_tokens=False)["input_ids"]
            assert whole[: len(prompt)] == prompt
            logits = model(input_ids=torch.tensor([whole]), use_cache=False).logits[0]
            said = torch.tensor(whole[len(prompt) :])
            losses.append(cross_entropy(logits[len(prompt) - 1 : -1].float(), said, reduction="none"))
    return torch.cat(losses)


def in_one_row(model: Any, items: Sequence[Example], folder: Path) -> tuple[torch.Tensor, torch.Tensor]:
    """The loss of every trained token in a packed row, and the mean that the trainer makes of them."""
    tokens = [made for cut in tokenize(tiny.tokenizer(), items, 4096) for made in cut.items]
    row = {name: torch.tensor(value) for name, value in pack(tokens).items()}
    assert row["input_ids"].shape[1] < sum(len(item.ids) for item in tokens)  # a prompt is shared
    seen: list[torch.Tensor] = []
    hook = model.register_forward_hook(lambda _, args, out: seen.append(out.logits[0]))
    mean = PackedTrainer(model, tokens, SETTINGS, arguments(SETTINGS, str(folder), 1)).compute_loss(model, row)
    hook.remove()
    labels = row["labels"][0]
    return cross_entropy(seen[0].float(), labels[labels != IGNORED], reduction="none"), mean


def twins(load: Any) -> tuple[Any, Any]:
    """The same model and adapter twice: as transformers attends, and packed."""
    lora = LoraConfig(r=4, lora_alpha=8, target_modules=["q_proj", "v_proj", "down_proj"], init_lora_weights=False)
    torch.manual_seed(1)
    with quiet_peft():
        plain, packed = get_peft_model(load(), lora), get_peft_model(load(), lora)
    packed.load_state_dict(plain.state_dict())
    use_packed_attention(packed.base_model.model)
    return plain.eval(), packed.eval()


def check(load: Any, items: Sequence[Example], folder: Path, tolerance: float) -> None:
    plain, packed = twins(load)
    expected = per_turn(plain, items)
    losses, mean = in_one_row(packed, items, folder)
    assert len(losses) > 60
    torch.testing.assert_close(losses, expected, rtol=tolerance, atol=tolerance)
    torch.testing.assert_close(mean, expected.mean(), rtol=1e-5, atol=1e-6)
    expected.sum().backward()
    (mean * len(losses)).backward()
    wanted = {name: weight.grad for name, weight in plain.named_parameters() if weight.requires_grad}
    assert len(wanted) >= 18 and all(grad is not None and grad.abs().max() > 0 for grad in wanted.values())
    for name, weight in packed.named_parameters():
        if weight.requires_grad:
            grad = wanted[name]
            torch.testing.assert_close(weight.grad, grad, rtol=2e-3, atol=1e-4 * float(grad.abs().max()), msg=name)


@pytest.mark.parametrize("name", tiny.CONFIGS)
def test_both_forms_agree_token_by_token(name: str, tmp_path: Path) -> None:
    folder = tiny.save(tiny.CONFIGS[name], tmp_path / name)
    items = examples([(0, 0, 0), (0, 0, 1), (0, 0, 2), (1, 1, 0)])
    check(lambda: tiny.reference(folder), items, tmp_path, 1e-4)


@pytest.mark.slow
def test_both_forms_agree_on_smollm2(tmp_path: Path) -> None:
    check(lambda: load_model(SMOLLM2), examples([(0, 0, 0), (0, 0, 1)]), tmp_path, 1e-3)
