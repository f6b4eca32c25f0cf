"""A training goes on where it was killed, chooses among its epochs, and gives the same in several processes."""

from __future__ import annotations

import json
import signal
import subprocess
import sys
from collections.abc import Sequence
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sotopia_pi.config import RuntimeConfig, TrainingConfig
from sotopia_pi.errors import ConfigError, ModelError, TrainingError
from sotopia_pi.training.examples import Tokens
from sotopia_pi.training.prepared import Prepared, Writer, keys
from sotopia_pi.training.rows import Order

pytest.importorskip("torch", reason="training needs the extra 'local'")
pytest.importorskip("peft", reason="training needs the extra 'local'")
import tiny
import torch
from test_training import alone, tokens

from sotopia_pi.models.weights import load_model, load_tokenizer
from sotopia_pi.training import sft
from sotopia_pi.training.sft import SEQUENCES, fine_tune, held_out, work_folder

pytestmark = [pytest.mark.weights, pytest.mark.usefixtures("weights")]

SETTINGS = TrainingConfig(epochs=2, learning_rate=5e-3, batch=3, micro_batch=1, lora_rank=4, lora_alpha=8)


@pytest.fixture(scope="module")
def items() -> list[Tokens]:
    return [tokens(*group) for group in [(0, 0, 0), (0, 0, 1), (1, 1, 0), (1, 1, 1), (2, 0, 0), (2, 1, 0), (3, 0, 0)]]


@pytest.fixture(scope="module")
def base(tmp_path_factory: pytest.TempPathFactory) -> str:
    return str(tiny.save(tiny.CONFIGS["llama"], tmp_path_factory.mktemp("base")))


def prepared(items: Sequence[Tokens], target: Path) -> Prepared:
    """The items on disk, where the training of `target` works."""
    folder = work_folder(target) / SEQUENCES
    with Writer(folder) as writer:
        for number, item in enumerate(items):
            writer.add(f"episode-{number}", number % 2, [item])
    return Prepared(folder)


# On disk


@given(
    st.lists(
        st.tuples(
            st.lists(st.integers(0, 50_000), min_size=1, max_size=30),
            st.sets(st.integers(0, 29)),
            st.sampled_from("ab"),
        )
    )
)
def test_sequences_come_back_as_they_were_written(
    tmp_path_factory: pytest.TempPathFactory, drawn: list[tuple[list[int], set[int], str]]
) -> None:
    made = [Tokens(ids, sorted(at for at in targets if at < len(ids)), f"{task}/0") for ids, targets, task in drawn]
    folder = tmp_path_factory.mktemp("sequences")
    with Writer(folder) as writer:
        for number, item in enumerate(made):
            writer.add(f"episode-{number}", number % 2, [item, item])
    read = Prepared(folder)
    twice = [item for item in made for _ in range(2)]
    assert [(item.ids, item.targets) for item in read] == [(item.ids, item.targets) for item in twice]
    assert [read.example(2 * number) for number in range(len(made))] == list(read.examples())
    assert (writer.sequences, writer.tokens) == (len(twice), sum(len(item.ids) for item in twice))
    for mine, theirs in zip(keys(read), keys(twice), strict=True):
        assert mine.tolist() == theirs.tolist()
    groups = keys(read)[0].tolist()
    assert len(set(groups)) == len({item.group for item in made})


@given(
    groups=st.lists(st.integers(0, 5), max_size=40),
    batch=st.integers(1, 9),
    micro=st.integers(1, 4),
    processes=st.integers(1, 3),
    epoch=st.integers(0, 3),
)
def test_every_sequence_has_its_place_in_an_epoch(
    groups: list[int], batch: int, micro: int, processes: int, epoch: int
) -> None:
    import numpy as np

    numbers = np.asarray(groups, dtype=np.int64)
    alone_, *others = [
        Order(numbers, 7, batch, micro, process, count) for count in (1, processes) for process in range(count)
    ]
    for order in (alone_, *others):
        order.set_epoch(epoch)
    rows = list(alone_)
    flat = [at for row in rows for at in row]
    assert sorted(flat) == list(range(len(groups)))
    assert sum(groups[a] != groups[b] for a, b in pairwise(flat)) == max(len(set(groups)) - 1, 0)
    assert len({len(list(order)) for order in others}) == 1  # nobody waits for another
    assert all(len(list(order)) == len(order) for order in (alone_, *others))
    per = others[0].rows_per_update
    shared = [list(order) for order in others]
    for update in range(len(others[0]) // per):
        together = [at for own in shared for row in own[update * per : (update + 1) * per] for at in row]
        first = update * batch
        assert sorted(together) == sorted(flat[first : first + batch])  # the same update, however it is shared
    assert list(alone_) == rows


# Killed


KILLED_AT = """
import os, signal, sys
sys.path.insert(0, {tests!r})
from pathlib import Path
from sotopia_pi.config import RuntimeConfig, TrainingConfig
from sotopia_pi.training import trainer
from sotopia_pi.training.prepared import Prepared
from sotopia_pi.training.sft import fine_tune
event, when = {event!r}, {when}
was = getattr(trainer._Metrics, event)
def killing(self, args, state, control, **more):
    if state.global_step >= when:
        os.kill(os.getpid(), signal.SIGKILL)
    return was(self, args, state, control, **more)
setattr(trainer._Metrics, event, killing)
fine_tune({base!r}, None, Prepared(Path({sequences!r})), Path({target!r}),
    TrainingConfig.model_validate_json({settings!r}), 5, runtime=RuntimeConfig(save_every=2))
"""


@pytest.mark.slow
@pytest.mark.parametrize(
    ("event", "when", "more"),
    [
        pytest.param("on_save", 4, {}, marks=pytest.mark.slow),  # a checkpoint written but not marked whole
        ("on_save", 6, {"hold_out": 0.3, "keep": "best_loss", "batch": 2}),  # between an epoch's end and its snapshot
    ],
)
def test_a_killed_training_continues_to_the_same_curve(
    event: str, when: int, more: dict[str, Any], items: list[Tokens], base: str, tmp_path: Path
) -> None:
    settings = SETTINGS.model_copy(update={"lora_dropout": 0.1, **more})
    whole = tmp_path / "whole"
    expected = fine_tune(base, None, prepared(items, whole), whole, settings, 5)
    target = tmp_path / "killed"
    sequences = prepared(items, target)
    code = KILLED_AT.format(
        tests=str(Path(__file__).parent),
        event=event,
        when=when,
        base=base,
        sequences=str(sequences.folder),
        target=str(target),
        settings=settings.model_dump_json(),
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert done.returncode == -signal.SIGKILL, done.stderr
    assert not target.exists()
    assert work_folder(target).is_dir()
    curve = fine_tune(base, None, sequences, target, settings, 5, runtime=RuntimeConfig(save_every=2))
    assert curve == expected
    assert (target / "adapter_model.safetensors").read_bytes() == (whole / "adapter_model.safetensors").read_bytes()
    assert not work_folder(target).exists()


def test_a_training_killed_after_its_policy_was_written_only_tidies_up(
    items: list[Tokens], base: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    target, runtime = tmp_path / "bc", RuntimeConfig(save_every=2)
    settings = SETTINGS.model_copy(update={"hold_out": 0.3, "keep": "best_loss"})

    def killed(folder: Path) -> None:
        raise KeyboardInterrupt

    with monkeypatch.context() as patched, pytest.raises(KeyboardInterrupt):
        patched.setattr(sft, "_discard", killed)
        fine_tune(base, None, items, target, settings, 5, runtime=runtime)
    before = (target / "adapter_model.safetensors").read_bytes()
    assert work_folder(target).is_dir()
    with monkeypatch.context() as patched:
        patched.setattr("sotopia_pi.training.trainer.PackedTrainer.train", None)  # nothing is trained again
        fine_tune(base, None, items, target, settings, 5, runtime=runtime)
    assert (target / "adapter_model.safetensors").read_bytes() == before
    assert [path.name for path in tmp_path.iterdir()] == ["bc"]


# Which epoch


def test_held_out_tasks_are_not_trained_on(items: list[Tokens], base: str, tmp_path: Path) -> None:
    trained, kept = held_out(items, 0.3, 5)
    tasks = keys(items)[1].tolist()
    assert kept and sorted([*trained, *kept]) == list(range(len(items)))
    assert not {tasks[at] for at in trained} & {tasks[at] for at in kept}
    settings = SETTINGS.model_copy(update={"hold_out": 0.3, "keep": "best_loss", "learning_rate": 3e-2, "epochs": 3})
    seen: list[sft.Outcome] = []

    def choose(folder: Path, outcome: sft.Outcome) -> int:
        seen.append(outcome)
        assert [(folder / f"epoch-{epoch}" / "adapter_model.safetensors").is_file() for epoch in (1, 2, 3)] == [
            True
        ] * 3
        return outcome.best_epoch()

    fine_tune(base, None, items, tmp_path / "bc", settings, 5, choose=choose)
    (outcome,) = seen
    assert sorted(outcome.held_out) == outcome.snapshots == [1, 2, 3]
    with torch.no_grad():
        loss = float(alone(load_model(base, tmp_path / "bc"), [items[at] for at in kept]))
    assert loss == pytest.approx(min(outcome.held_out.values()), rel=1e-4)


def test_holding_out_everything_is_refused(items: list[Tokens], base: str, tmp_path: Path) -> None:
    with pytest.raises(TrainingError, match="leaves none to train on"):
        fine_tune(base, None, items[:2], tmp_path / "bc", SETTINGS.model_copy(update={"hold_out": 0.9}), 5)


# What is trained


def test_whole_weights_are_a_model(items: list[Tokens], base: str, tmp_path: Path) -> None:
    settings = SETTINGS.model_copy(update={"tune": "full", "learning_rate": 1e-3})
    fine_tune(base, None, items, tmp_path / "all", settings, 5)
    assert not (tmp_path / "all" / "adapter_model.safetensors").exists()
    with torch.no_grad():
        before = float(alone(tiny.reference(base), items))
        after = float(alone(tiny.reference(tmp_path / "all"), items))
        assert after < before - 0.05
        assert float(alone(load_model("not asked for", tmp_path / "all"), items)) == pytest.approx(after, rel=1e-4)
    assert load_tokenizer(str(tmp_path / "all")).chat_template
    curve = fine_tune(base, tmp_path / "all", items, tmp_path / "sr", SETTINGS.model_copy(update={"batch": 7}), 5)
    assert curve[0]["loss"] == pytest.approx(after, rel=1e-4)  # an adapter over the whole policy's weights


@pytest.mark.slow
def test_checkpointing_activations_changes_nothing(items: list[Tokens], base: str, tmp_path: Path) -> None:
    plain, again = (
        fine_tune(base, None, items, tmp_path / str(on), SETTINGS, 5, runtime=RuntimeConfig(gradient_checkpointing=on))
        for on in (False, True)
    )
    assert [point["loss"] for point in again] == pytest.approx([point["loss"] for point in plain], rel=1e-5)


@pytest.mark.slow
def test_half_precision_is_close(items: list[Tokens], base: str, tmp_path: Path) -> None:
    plain = fine_tune(base, None, items, tmp_path / "a", SETTINGS, 5)
    half = fine_tune(base, None, items, tmp_path / "b", SETTINGS.model_copy(update={"precision": "bfloat16"}), 5)
    assert [point["loss"] for point in half] == pytest.approx([point["loss"] for point in plain], rel=0.05)
    assert half != plain


@pytest.mark.skipif(torch.cuda.is_available(), reason="there is a GPU, on which QLoRA works")
def test_qlora_without_a_gpu_says_what_to_do(items: list[Tokens], base: str, tmp_path: Path) -> None:
    with pytest.raises(ModelError, match=r"needs a CUDA GPU and bitsandbytes.*use training.tune = 'lora'"):
        fine_tune(base, None, items, tmp_path / "bc", SETTINGS.model_copy(update={"tune": "qlora"}), 5)


# What goes wrong


def test_a_loss_that_is_no_number_names_the_episode_and_keeps_the_checkpoint(
    items: list[Tokens], base: str, tmp_path: Path
) -> None:
    target = tmp_path / "bc"
    settings = SETTINGS.model_copy(update={"learning_rate": 1e30, "epochs": 4, "warmup": 0.5})
    with pytest.raises(TrainingError) as caught:
        fine_tune(base, None, prepared(items, target), target, settings, 5, runtime=RuntimeConfig(save_every=1))
    found = str(caught.value)
    assert "of bc" in found and "Lower training.learning_rate" in found
    assert "role" in found and "of episode episode-" in found
    checkpoint = Path(found.partition("the last good checkpoint is ")[2].partition(";")[0].rstrip(". ").split(". ")[0])
    assert (checkpoint / "adapter_model.safetensors").is_file()
    from safetensors.torch import load_file

    assert all(bool(weight.isfinite().all()) for weight in load_file(checkpoint / "adapter_model.safetensors").values())
    assert not target.exists()


def test_metrics_are_written_line_by_line(items: list[Tokens], base: str, tmp_path: Path) -> None:
    lines: list[dict[str, Any]] = []

    def read(folder: Path, curve: list[dict[str, float]]) -> None:
        lines.extend(json.loads(line) for line in (folder / "metrics.jsonl").read_text(encoding="utf-8").splitlines())

    events = work_folder(tmp_path / "bc") / "runs" / "events"  # as a tracker writes them
    events.parent.mkdir(parents=True)
    events.write_text("1\n", encoding="utf-8")
    curve = fine_tune(base, None, items, tmp_path / "bc", SETTINGS, 5, finish=read)
    assert (tmp_path / "bc" / "runs" / "events").is_file()
    assert [line["loss"] for line in lines if "loss" in line] == [point["loss"] for point in curve]


# Several processes


@pytest.mark.slow
@pytest.mark.parametrize("way", ["ddp", "fsdp"])
def test_two_processes_train_as_one(way: str, items: list[Tokens], base: str, tmp_path: Path) -> None:
    """On the CPU (gloo). Seven sequences in updates of three: the processes do not have equally many."""
    one = fine_tune(base, None, items, tmp_path / "one", SETTINGS, 5)
    target = tmp_path / "two"
    runtime = RuntimeConfig(launch=way, processes=2)
    two = fine_tune(base, None, prepared(items, target), target, SETTINGS, 5, runtime=runtime)
    assert [point["loss"] for point in two] == pytest.approx([point["loss"] for point in one], rel=1e-4)
    with torch.no_grad():
        losses = [float(alone(load_model(base, tmp_path / name), items)) for name in ("one", "two")]
    assert losses[0] == pytest.approx(losses[1], rel=1e-4)


@pytest.mark.slow
def test_workers_say_why_they_stopped(items: list[Tokens], base: str, tmp_path: Path) -> None:
    settings = SETTINGS.model_copy(update={"lora_targets": ("no_such_proj",)})
    sequences = prepared(items, tmp_path / "bc")
    with pytest.raises(TrainingError, match=r"training.lora_targets does not fit the model"):
        fine_tune(base, None, sequences, tmp_path / "bc", settings, 5, runtime=RuntimeConfig(launch="ddp"))
    with pytest.raises(TrainingError, match=r"has no config\.json, so it is not a model"):
        fine_tune(str(tmp_path), None, sequences, tmp_path / "bc", SETTINGS, 5, runtime=RuntimeConfig(launch="ddp"))
    with pytest.raises((TrainingError, ConfigError), match="the path of an accelerate config"):
        fine_tune(base, None, sequences, tmp_path / "bc", SETTINGS, 5, runtime=RuntimeConfig(launch="warp"))
