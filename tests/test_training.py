"""Examples train exactly the role's own actions; packed rows give the loss and gradients of single sequences."""

from __future__ import annotations

import asyncio
import copy
import json
import math
import re
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import settings as checking
from hypothesis import strategies as st
from support import episode, price_task, turn

from sotopia_pi.config import TrainingConfig
from sotopia_pi.episodes.play import Plan, play
from sotopia_pi.episodes.records import NOTHING, ActionType, Episode
from sotopia_pi.episodes.scripted import scripted_player
from sotopia_pi.episodes.views import messages, view
from sotopia_pi.errors import TrainingError
from sotopia_pi.models.chat import encode_chat
from sotopia_pi.training.examples import Tokens, example, tokenize
from sotopia_pi.training.rows import pack

pytest.importorskip("torch", reason="training needs the extra 'local'")
pytest.importorskip("peft", reason="training needs the extra 'local'")
import tiny
import torch
from peft import LoraConfig, PeftModel, get_peft_model
from torch.nn.functional import cross_entropy

from sotopia_pi.models.fitting import quiet_peft
from sotopia_pi.models.packing import use_packed_attention
from sotopia_pi.models.weights import load_model
from sotopia_pi.training.sft import fine_tune
from sotopia_pi.training.trainer import PackedTrainer, arguments

pytestmark = [pytest.mark.weights, pytest.mark.usefixtures("weights")]

SETTINGS = TrainingConfig(epochs=2, learning_rate=5e-3, batch=4, micro_batch=2, lora_rank=4, lora_alpha=8)


def scripted(number: int, repeat: int = 0) -> Episode:
    """The expert with itself on a price task."""
    task, player = price_task(number=number), scripted_player("expert")
    plan = Plan(stage="test", task_id=task.id, players=("expert", "expert"), repeat=repeat, max_turns=10)
    return asyncio.run(play(plan, task, {role: player.seat(role, plan.seed(role)) for role in (0, 1)}))


def tokens(number: int, role: int, repeat: int = 0, cutoff: int = 2048) -> Tokens:
    (made,) = tokenize(tiny.tokenizer(), [example(price_task(number=number), scripted(number, repeat), role)], cutoff)
    (item,) = made.items
    return item


@pytest.fixture(scope="module")
def items() -> list[Tokens]:
    """Nine sequences: of two families of several members each, and two on their own."""
    groups = [(0, 0, n) for n in range(4)] + [(1, 1, n) for n in range(3)] + [(2, 0, 0), (3, 1, 0)]
    return [tokens(*group) for group in groups]


@pytest.fixture(scope="module")
def folders(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    return {
        name: tiny.save(tiny.CONFIGS[name], tmp_path_factory.mktemp(name)) for name in ("llama", "mistral", "gemma")
    }


@pytest.fixture(scope="module")
def trained(folders: dict[str, Path], items: list[Tokens], tmp_path_factory: pytest.TempPathFactory) -> Any:
    """A policy of the tiny Llama and its loss curve."""
    folder = tmp_path_factory.mktemp("policies") / "bc"
    return folder, fine_tune(str(folders["llama"]), None, items, folder, SETTINGS, seed=5)


# Examples


def test_only_own_valid_actions_are_trained() -> None:
    task = price_task()
    turns = [
        turn(0, "Nineteen?"),
        turn(1, "Twelve."),
        turn(0, "", ActionType.NONE, raw="garbage zq", valid=False),
        turn(1, "Fine, thirteen."),
        turn(0, "nods", ActionType.NON_VERBAL),
        turn(1, "Bye.", ActionType.LEAVE),
    ]
    for role, trained in ((0, [0, 4]), (1, [1, 3, 5])):
        ((made,),) = (
            cut.items for cut in tokenize(tiny.tokenizer(), [example(task, episode(task, turns), role)], 2048)
        )
        said = tiny.tokenizer().decode([made.ids[at] for at in made.targets])
        assert said == "".join(turns[at].action.to_json() + "<|im_end|>" for at in trained)
        text = tiny.tokenizer().decode(made.ids)
        assert "zq" not in text
        assert (NOTHING.to_json() in text) == (role == 0)  # what was invalid stays in the history


@pytest.mark.parametrize("role", [0, 1])
def test_training_tokens_are_those_of_generation(role: int) -> None:
    """Before each action, the sequence is exactly the prompt that the model was or would be asked with."""
    task, played = price_task(number=4), scripted(4)
    made, starts = tokens(4, role), []
    for at, past in enumerate(played.turns):
        if past.role == role:
            prompt = encode_chat(tiny.tokenizer(), messages(view(task, role, played.turns[:at])), prompt=True).ids
            assert made.ids[: len(prompt)] == prompt
            starts.append(len(prompt))
    assert len(starts) >= 2
    firsts = [at for at, before in zip(made.targets, [-1, *made.targets], strict=False) if at != before + 1]
    assert firsts == starts


def long_talk(turns: int) -> tuple[Any, Episode]:
    """An episode of many turns, each with words of its own."""
    task = price_task()
    said = [turn(n % 2, f"Say {n} " + "and then " * (n % 5) + f"{n}.") for n in range(turns)]
    return task, episode(task, said)


def spoken(item: Tokens) -> list[int]:
    """The numbers of the turns that a sequence of a long talk trains."""
    text = tiny.tokenizer().decode([item.ids[at] for at in item.targets])
    return [int(number) for number in re.findall(r"Say (\d+)", text)]


@given(turns=st.integers(1, 30), cutoff=st.integers(400, 1500), role=st.integers(0, 1))
@checking(max_examples=40)
def test_what_is_longer_than_the_cutoff_loses_its_oldest_turns(turns: int, cutoff: int, role: int) -> None:
    task, played = long_talk(turns)
    whole = example(task, played, role)
    ((uncut,),) = [c.items or [None] for c in tokenize(tiny.tokenizer(), [whole], 100_000)]
    (made,) = tokenize(tiny.tokenizer(), [whole], cutoff)
    own = list(range(role, turns, 2))
    if uncut is None:
        assert not own and not made.items
        return
    assert spoken(uncut) == own
    assert made.cut == (len(uncut.ids) > cutoff)
    trained = [number for item in made.items for number in spoken(item)]
    assert len(trained) + made.actions_dropped == len(own)
    assert trained == [number for number in own if number in trained]  # each once, in order
    system = tiny.tokenizer().decode(uncut.ids).partition("<|im_start|>user")[0]
    dropped = 0
    for item in made.items:
        assert len(item.ids) <= cutoff
        text = tiny.tokenizer().decode(item.ids)
        assert text.startswith(system + "<|im_start|>user")  # never the system message, never half a turn
        seen = [int(number) for number in re.findall(r"Say (\d+) ", text)]
        assert seen == list(range(seen[0], seen[-1] + 1))
        assert text.endswith("<|im_end|>")
        dropped += len([number for number in own if number < seen[0]])
    assert made.turns_dropped == dropped


def test_a_turn_that_does_not_fit_is_left_out() -> None:
    task, played = long_talk(6)
    (made,) = tokenize(tiny.tokenizer(), [example(task, played, 0)], 64)
    assert (made.items, made.cut, made.actions_dropped) == ([], True, 3)


def test_a_template_that_rewrites_gives_an_example_per_action() -> None:
    """As reasoning models' templates do, which leave out what was thought of all replies but the last."""
    tokenizer = copy.deepcopy(tiny.tokenizer())
    tokenizer.chat_template = (
        "{% for m in messages %}<{{ m['role'] }}>{% if loop.last and m['role'] == 'assistant' %}<think></think>"
        "{% endif %}{{ m['content'] }}<|im_end|>{% endfor %}"
        "{% if add_generation_prompt %}<assistant><think></think>{% endif %}"
    )
    task, played = long_talk(8)
    whole = example(task, played, 1)
    (made,) = tokenize(tokenizer, [whole], 4096)
    assert [spoken(item) for item in made.items] == [[1], [3], [5], [7]]
    for number, item in enumerate(made.items):
        prompt = encode_chat(tokenizer, messages(view(task, 1, played.turns[: 2 * number + 1])), prompt=True).ids
        assert item.ids[: item.targets[0]] == prompt  # what the model would be asked
        assert item.targets == list(range(len(prompt), len(item.ids)))
    limit = len(made.items[1].ids)
    (short,) = tokenize(tokenizer, [whole], limit)
    assert [spoken(item) for item in short.items] == [[1], [3], [5], [7]]
    assert all(len(item.ids) <= limit for item in short.items)
    assert short.cut and short.turns_dropped >= 2


# Packed rows


def alone(model: Any, items: Sequence[Tokens]) -> torch.Tensor:
    """The mean loss over all trained tokens, each sequence by itself, with transformers' own attention."""
    losses = []
    for item in items:
        logits = model(input_ids=torch.tensor([item.ids]), use_cache=False).logits[0]
        at = torch.tensor(item.targets)
        losses.append(cross_entropy(logits[at - 1], torch.tensor(item.ids)[at], reduction="sum"))
    return torch.stack(losses).sum() / sum(len(item.targets) for item in items)


@pytest.mark.parametrize("name", ["llama", "mistral", "gemma"])
def test_packed_loss_and_gradients_are_those_of_single_sequences(
    name: str, folders: dict[str, Path], items: list[Tokens], tmp_path: Path
) -> None:
    lora = LoraConfig(r=4, lora_alpha=8, target_modules=["q_proj", "v_proj", "down_proj"], init_lora_weights=False)
    torch.manual_seed(1)
    with quiet_peft():
        plain = get_peft_model(tiny.reference(folders[name], "sdpa"), lora)
        packed = get_peft_model(tiny.reference(folders[name]), lora)
    packed.load_state_dict(plain.state_dict())
    use_packed_attention(packed.base_model.model)

    expected = alone(plain, items)
    expected.backward()
    row = pack(items)
    assert len(row["input_ids"][0]) < sum(len(item.ids) for item in items)  # shared prompts stand once
    trainer = PackedTrainer(packed, items, SETTINGS, arguments(SETTINGS, str(tmp_path), 1))
    loss = trainer.compute_loss(packed, {key: torch.tensor(value) for key, value in row.items()})
    loss.backward()

    torch.testing.assert_close(loss, expected, rtol=1e-5, atol=1e-6)
    gradients = dict(plain.named_parameters())
    compared = 0
    for parameter_name, parameter in packed.named_parameters():
        if parameter.requires_grad:
            wanted = gradients[parameter_name].grad
            assert wanted is not None
            torch.testing.assert_close(parameter.grad, wanted, rtol=2e-3, atol=2e-5 * float(wanted.abs().max()) + 1e-8)
            compared += float(wanted.abs().max()) > 0
    assert compared == 3 * 3 * 2  # layers, modules, two matrices each


def test_an_update_is_the_mean_over_all_its_tokens(
    folders: dict[str, Path], items: list[Tokens], tmp_path: Path
) -> None:
    """However an update is cut into rows, its loss is the mean over its trained tokens, and so are the next ones."""
    curves = []
    for micro in (1, 3, 9):
        settings = SETTINGS.model_copy(update={"batch": 9, "micro_batch": micro, "epochs": 3, "schedule": "constant"})
        curves.append(fine_tune(str(folders["llama"]), None, items, tmp_path / str(micro), settings, seed=2))
    assert [len(curve) for curve in curves] == [3, 3, 3]
    with torch.no_grad():
        first = float(alone(tiny.reference(folders["llama"], "sdpa"), items))
    for curve in curves:
        assert curve[0]["loss"] == pytest.approx(first, rel=1e-4)  # an untrained adapter changes nothing
        assert [point["loss"] for point in curve] == pytest.approx([p["loss"] for p in curves[0]], rel=1e-3)
        assert curve[2]["loss"] < curve[0]["loss"]
        assert [point["step"] for point in curve] == [1, 2, 3]


# Fine-tuning


def test_policy_is_an_adapter_that_peft_loads(trained: Any, folders: dict[str, Path], items: list[Tokens]) -> None:
    folder, curve = trained
    assert len(curve) == 2 * math.ceil(len(items) / 4)
    assert sorted(path.name for path in folder.parent.iterdir()) == ["bc"]
    with quiet_peft():
        loaded = PeftModel.from_pretrained(tiny.reference(folders["llama"], "sdpa"), str(folder)).eval()
    with torch.no_grad():
        before = float(alone(tiny.reference(folders["llama"], "sdpa"), items))
        after = float(alone(loaded, items))
        merged = load_model(str(folders["llama"]), folder)
        assert after < before - 0.05
        assert float(alone(merged, items)) == pytest.approx(after, rel=1e-4)  # what plays is what was trained


@pytest.mark.slow
def test_training_is_reproducible(trained: Any, folders: dict[str, Path], items: list[Tokens], tmp_path: Path) -> None:
    _, curve = trained
    again, other = (fine_tune(str(folders["llama"]), None, items, tmp_path / "x", SETTINGS, seed) for seed in (5, 6))
    assert again == curve
    assert other != curve


def test_continuing_starts_where_the_parent_ended(
    trained: Any, folders: dict[str, Path], items: list[Tokens], tmp_path: Path
) -> None:
    folder, _ = trained
    before = {path.name: path.read_bytes() for path in folder.iterdir()}
    settings = SETTINGS.model_copy(update={"batch": 10, "epochs": 1, "warmup": 0.0})
    curve = fine_tune(str(folders["llama"]), folder, items, tmp_path / "sr", settings, seed=5)
    with torch.no_grad():
        parent = float(alone(load_model(str(folders["llama"]), folder), items))
        child = float(alone(load_model(str(folders["llama"]), tmp_path / "sr"), items))
    assert curve[0]["loss"] == pytest.approx(parent, rel=1e-4)
    assert child != pytest.approx(parent, rel=1e-4)
    assert {path.name: path.read_bytes() for path in folder.iterdir()} == before


def test_only_the_last_layers_are_adapted(folders: dict[str, Path], items: list[Tokens], tmp_path: Path) -> None:
    settings = SETTINGS.model_copy(update={"lora_layers": 1, "lora_targets": ("q_proj",), "epochs": 0.5})
    fine_tune(str(folders["llama"]), None, items, tmp_path / "last", settings, seed=5)
    from safetensors import safe_open

    with safe_open(tmp_path / "last" / "adapter_model.safetensors", "pt") as held:
        assert len(names := list(held.keys())) == 2
        assert all("layers.2.self_attn.q_proj" in name for name in names)


# What goes wrong leaves nothing


def files(folder: Path) -> list[str]:
    return sorted(str(path.relative_to(folder)) for path in folder.rglob("*") if path.is_file())


def test_nothing_to_train_on(tmp_path: Path) -> None:
    with pytest.raises(TrainingError, match="no examples to train on"):
        fine_tune("never loaded", None, [], tmp_path / "bc", SETTINGS, seed=1)
    assert files(tmp_path) == []


@pytest.mark.parametrize(
    ("settings", "complaint"),
    [
        ({"learning_rate": 1e30, "epochs": 4}, "The loss became (nan|inf) at update .* Lower training.learning_rate"),
        ({"lora_targets": ("no_such_proj",)}, "training.lora_targets does not fit the model"),
    ],
)
def test_training_that_fails_writes_nothing(
    settings: dict[str, Any], complaint: str, folders: dict[str, Path], items: list[Tokens], tmp_path: Path
) -> None:
    with pytest.raises(TrainingError, match=complaint):
        fine_tune(str(folders["llama"]), None, items, tmp_path / "bc", SETTINGS.model_copy(update=settings), seed=1)
    assert files(tmp_path) == []


def test_policy_folder_is_written_whole_or_not_at_all(
    folders: dict[str, Path], items: list[Tokens], tmp_path: Path
) -> None:
    target = tmp_path / "bc"
    settings = SETTINGS.model_copy(update={"epochs": 0.3})

    def note(folder: Path, curve: list[dict[str, float]]) -> None:
        (folder / "policy.json").write_text(json.dumps(curve), encoding="utf-8")

    def full(folder: Path, curve: list[dict[str, float]]) -> None:
        raise OSError(28, "No space left on device")

    curve = fine_tune(str(folders["llama"]), None, items[:2], target, settings, 1, finish=note)
    assert json.loads((target / "policy.json").read_text(encoding="utf-8")) == curve
    before = files(tmp_path)
    with pytest.raises(TrainingError, match=r"No space left on device.*free some space"):
        fine_tune(str(folders["llama"]), None, items[:2], target, settings, 2, finish=full)
    assert files(tmp_path) == before
