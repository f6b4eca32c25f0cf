"""transformers' Trainer over packed rows. Importing this module imports torch; `sft` does so when training starts."""

from __future__ import annotations

import ctypes
import json
import math
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import torch
from torch.nn.functional import cross_entropy
from torch.utils.data import DataLoader, Dataset
from tqdm import tqdm
from transformers import Trainer, TrainerCallback, TrainingArguments
from transformers.trainer_callback import PrinterCallback

from sotopia_pi.config import RuntimeConfig, TrainingConfig
from sotopia_pi.models.packing import Packing
from sotopia_pi.training.examples import Tokens
from sotopia_pi.training.lineage import METRICS
from sotopia_pi.training.prepared import keys
from sotopia_pi.training.rows import IGNORED, Order, pack

#: A file in a checkpoint that was written to its end, in the folder of a trainer.
COMPLETE = "complete"
#: Parameters of mallopt(3); 32 MiB is the highest threshold that glibc takes.
_M_TRIM_THRESHOLD, _M_MMAP_THRESHOLD = -1, -3


class Diverged(Exception):
    """The loss is not a number. `sequences` are the numbers of the sequences of the row where that was seen."""

    def __init__(self, what: str, update: int, sequences: Sequence[int] = ()) -> None:
        super().__init__(what, update, sequences)
        self.what, self.update, self.sequences = what, update, list(sequences)


class PackedTrainer(Trainer):
    """Computes the loss of a row: the mean over the trained tokens of the whole update, in nats.

    `held_out` sequences measure the loss after every epoch.
    """

    def __init__(
        self,
        model: Any,
        items: Sequence[Tokens],
        settings: TrainingConfig,
        arguments: TrainingArguments,
        label: str | None = None,
        chosen: Sequence[int] | None = None,
        held_out: Sequence[int] = (),
    ) -> None:
        self._items = items
        self._chosen = torch.arange(len(items)).numpy() if chosen is None else torch.as_tensor(chosen).numpy()
        self._held_out = held_out
        self._settings = settings
        super().__init__(
            model=model,
            args=arguments,
            train_dataset=_Sequences(items),
            eval_dataset=_Sequences(items, held_out) if held_out else None,
            data_collator=_collate,
        )
        self.model_accepts_loss_kwargs = True  # compute_loss divides by the tokens of the whole update itself
        self.remove_callback(PrinterCallback)
        self.add_callback(_Metrics(Path(str(arguments.output_dir))))
        if label is not None and self.is_world_process_zero():
            self.add_callback(Progress(label, {"loss": "loss"}))

    def compute_loss(
        self, model: Any, inputs: dict[str, Any], return_outputs: bool = False, num_items_in_batch: Any = None
    ) -> Any:
        """The loss of one row; Diverged when it is not a number."""
        labels = inputs["labels"][0]
        at = (labels != IGNORED).nonzero()[:, 0]
        logits = model(
            input_ids=inputs["input_ids"],
            position_ids=inputs["position_ids"],
            logits_to_keep=at - 1,
            use_cache=False,
            packing=Packing.of_row(inputs["segments"]),
        ).logits[0]
        loss = cross_entropy(logits.float(), labels[at], reduction="sum") / (num_items_in_batch or len(at))
        if not math.isfinite(loss.item()):
            raise Diverged(f"loss became {loss.item()}", self.state.global_step + 1, inputs["sequences"].tolist())
        return loss * self.accelerator.num_processes  # whose gradients are averaged

    def get_train_dataloader(self) -> Any:
        """The rows of this process."""
        order = Order(
            keys(self._items)[0][self._chosen],
            self.args.seed,
            self._settings.batch,
            self._settings.micro_batch,
            self.args.process_index,
            self.args.world_size,
        )
        return _Rows(_Sequences(self._items, self._chosen), order, self.data_collator)

    def evaluate(self, *_: Any, **__: Any) -> dict[str, float]:
        """The loss per trained token of the held-out sequences."""
        total, count = 0.0, 0
        self.model_wrapped.eval()
        step = self._settings.micro_batch
        for first in range(0, len(self._held_out), step):
            numbers = [int(at) for at in self._held_out[first : first + step]]
            row = self._prepare_inputs(_collate([(number, self._items[number]) for number in numbers]))
            tokens = int((row["labels"] != IGNORED).sum())
            with torch.no_grad(), self.compute_loss_context_manager():
                total += self.compute_loss(self.model_wrapped, row).item() / self.accelerator.num_processes * tokens
            count += tokens
        metrics = {"eval_loss": total / max(count, 1)}
        self.log(metrics)
        self.control = self.callback_handler.on_evaluate(self.args, self.state, self.control, metrics)
        return metrics


def arguments(
    settings: TrainingConfig, folder: str, seed: int, runtime: RuntimeConfig | None = None, held_out: bool = False
) -> TrainingArguments:
    """The Trainer's arguments for our settings. Without `runtime` it keeps no checkpoints."""
    runtime = runtime or RuntimeConfig(save_every=0)
    return TrainingArguments(
        **common_arguments(settings, folder, seed),
        gradient_accumulation_steps=math.ceil(settings.batch / settings.micro_batch / _processes()),
        logging_nan_inf_filter=False,
        eval_strategy="epoch" if held_out else "no",
        save_strategy="steps" if runtime.save_every else "no",
        save_steps=runtime.save_every or 500,
        save_total_limit=2,  # the last complete one stays while the next is being written
        report_to=list(runtime.trackers) or "none",
        ddp_find_unused_parameters=False,
    )


def common_arguments(settings: TrainingConfig, folder: str, seed: int) -> dict[str, Any]:
    """What our settings mean to any of transformers' trainers: no bar or output of its own, every update logged."""
    return {
        "output_dir": folder,
        "num_train_epochs": settings.epochs,
        "learning_rate": settings.learning_rate,
        "lr_scheduler_type": settings.schedule,
        "warmup_steps": settings.warmup,
        "weight_decay": settings.weight_decay,
        "per_device_train_batch_size": settings.micro_batch,
        "bf16": bfloat16(settings),
        "seed": seed % 2**32,
        "logging_steps": 1,
        "disable_tqdm": True,
        "remove_unused_columns": False,
        "dataloader_pin_memory": False,
        "use_cpu": not torch.cuda.is_available(),
    }


def bfloat16(settings: TrainingConfig) -> bool:
    """Whether the update is computed in bfloat16."""
    if settings.precision == "auto":
        return torch.cuda.is_available() and torch.cuda.is_bf16_supported()
    return settings.precision == "bfloat16"


def epoch_of(progress: float) -> int:
    """The number of the epoch that has ended, or is in part, when `progress` epochs have been trained."""
    return max(1, math.ceil(progress - 1e-6))


def _processes() -> int:
    from accelerate import PartialState

    return int(PartialState(cpu=not torch.cuda.is_available()).num_processes)


def last_checkpoint(folder: Path) -> Path | None:
    """The latest checkpoint in `folder` that was written to its end."""
    found = [path.parent for path in folder.glob(f"checkpoint-*/{COMPLETE}")]
    return max(found, key=lambda path: int(path.name.rpartition("-")[2]), default=None)


def keep_freed_memory() -> None:
    """Lets glibc reuse the blocks of activations instead of giving them back after every step.

    Getting them anew costs page faults: about a sixth of a training step on a CPU. Elsewhere than glibc, nothing.
    """
    try:
        mallopt = ctypes.CDLL("libc.so.6").mallopt
    except (OSError, AttributeError):
        return
    mallopt(_M_MMAP_THRESHOLD, 32 << 20)
    mallopt(_M_TRIM_THRESHOLD, 2**31 - 1)


#: What a process computes where an update has no row for it: a token that nothing is learned from.
_NOTHING = Tokens([0], [])


def _collate(batch: Sequence[tuple[int, Tokens]]) -> dict[str, torch.Tensor]:
    row = pack([item for _, item in batch] or [_NOTHING])
    return {name: torch.tensor(values) for name, values in row.items()} | {
        "sequences": torch.tensor([number for number, _ in batch], dtype=torch.int64)
    }


class _Sequences(Dataset[tuple[int, Tokens]]):
    """The sequences `chosen` with their numbers."""

    def __init__(self, items: Sequence[Tokens], chosen: Any = None) -> None:
        self._items = items
        self._chosen = range(len(items)) if chosen is None else chosen

    def __len__(self) -> int:
        return len(self._chosen)

    def __getitem__(self, index: int) -> tuple[int, Tokens]:
        number = int(self._chosen[index])
        return number, self._items[number]


class _Rows(DataLoader[Any]):
    """The rows in the order of an epoch, which the Trainer sets."""

    def __init__(self, items: _Sequences, order: Order, collate: Any) -> None:
        super().__init__(items, batch_sampler=order, collate_fn=collate)
        self._order = order

    def set_epoch(self, epoch: int) -> None:
        self._order.set_epoch(epoch)


class _Metrics(TrainerCallback):
    """Writes what the Trainer logs to a file, marks checkpoints that are whole, and stops at bad gradients."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder

    def on_train_begin(self, args: Any, state: Any, control: Any, **_: Any) -> None:
        if state.is_world_process_zero:  # a continued training writes again what its checkpoint knows, and goes on
            self._folder.mkdir(parents=True, exist_ok=True)
            lines = [json.dumps(entry) + "\n" for entry in state.log_history]
            (self._folder / METRICS).write_text("".join(lines), encoding="utf-8")

    def on_log(self, args: Any, state: Any, control: Any, logs: dict[str, Any] | None = None, **_: Any) -> None:
        if state.is_world_process_zero and state.log_history:
            with (self._folder / METRICS).open("a", encoding="utf-8") as file:
                file.write(json.dumps(state.log_history[-1]) + "\n")
        norm = (logs or {}).get("grad_norm")
        if norm is not None and not math.isfinite(norm):
            raise Diverged(f"gradient became {norm}", state.global_step)

    def on_save(self, args: Any, state: Any, control: Any, **_: Any) -> None:
        if state.is_world_process_zero:
            (self._folder / f"checkpoint-{state.global_step}" / COMPLETE).touch()


class Progress(TrainerCallback):
    """One bar over the updates, with the last of what is logged: `shown` says under which name of the log."""

    def __init__(self, label: str, shown: Mapping[str, str]) -> None:
        self._label = label
        self._shown = shown

    def on_train_begin(self, args: Any, state: Any, control: Any, **_: Any) -> None:
        """Opens the bar."""
        self._bar = tqdm(total=state.max_steps, initial=state.global_step, desc=self._label, unit="update")

    def on_log(self, args: Any, state: Any, control: Any, logs: dict[str, Any] | None = None, **_: Any) -> None:
        """Shows the last figures beside it."""
        if logs and "loss" in logs:
            self._bar.set_postfix({as_: f"{float(logs[name]):.3f}" for as_, name in self._shown.items()}, refresh=False)

    def on_step_end(self, args: Any, state: Any, control: Any, **_: Any) -> None:
        """One update further."""
        self._bar.update()

    def on_train_end(self, args: Any, state: Any, control: Any, **_: Any) -> None:
        """Closes the bar."""
        self._bar.close()
