"""transformers' Trainer over packed rows. Importing this module imports torch; `sft` does so when training starts."""

from __future__ import annotations

import ctypes
import math
import random
from collections.abc import Iterator, Sequence
from typing import Any

import torch
from torch.nn.functional import cross_entropy
from torch.utils.data import Dataset, Sampler
from tqdm import tqdm
from transformers import Trainer, TrainerCallback, TrainingArguments
from transformers.trainer_callback import PrinterCallback

from sotopia_pi.config import TrainingConfig
from sotopia_pi.models.packing import Packing, Segment
from sotopia_pi.training.examples import Tokens
from sotopia_pi.training.rows import IGNORED, families, pack

#: Parameters of mallopt(3); 32 MiB is the highest threshold that glibc takes.
_M_TRIM_THRESHOLD, _M_MMAP_THRESHOLD = -1, -3


class Diverged(Exception):
    """The loss is not a number."""


class PackedTrainer(Trainer):
    """Computes the loss of a row: the mean over the trained tokens of the whole update, in nats."""

    def __init__(self, model: Any, items: Sequence[Tokens], arguments: TrainingArguments, label: str | None) -> None:
        super().__init__(model=model, args=arguments, train_dataset=_Sequences(items), data_collator=_collate)
        self.model_accepts_loss_kwargs = True  # compute_loss divides by the tokens of the whole update itself
        self._items = items
        self.remove_callback(PrinterCallback)
        if label is not None:
            self.add_callback(_Progress(label))

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
            packing=Packing([Segment(a, b, prefix=(c, d)) for a, b, c, d in inputs["segments"].tolist()]),
        ).logits[0]
        loss = cross_entropy(logits.float(), labels[at], reduction="sum") / (num_items_in_batch or len(at))
        if not math.isfinite(loss.item()):
            raise Diverged(
                f"The loss became {loss.item()} at update {self.state.global_step + 1}; nothing was written. "
                "Lower training.learning_rate."
            )
        return loss

    def _get_train_sampler(self, train_dataset: Any = None) -> Sampler[int]:
        return _FamilySampler(self._items, self.args.seed)


def arguments(settings: TrainingConfig, folder: str, seed: int) -> TrainingArguments:
    """The Trainer's arguments for our settings; it writes nothing itself."""
    return TrainingArguments(
        output_dir=folder,
        num_train_epochs=settings.epochs,
        learning_rate=settings.learning_rate,
        lr_scheduler_type=settings.schedule,
        warmup_steps=settings.warmup,
        weight_decay=settings.weight_decay,
        per_device_train_batch_size=settings.micro_batch,
        gradient_accumulation_steps=settings.batch // settings.micro_batch,
        seed=seed % 2**32,
        logging_steps=1,
        save_strategy="no",
        report_to="none",
        disable_tqdm=True,
        remove_unused_columns=False,
        dataloader_pin_memory=False,
        use_cpu=not torch.cuda.is_available(),
    )


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


def _collate(batch: list[Tokens]) -> dict[str, torch.Tensor]:
    return {name: torch.tensor(values) for name, values in pack(batch).items()}


class _Sequences(Dataset[Tokens]):
    def __init__(self, items: Sequence[Tokens]) -> None:
        self._items = items

    def __len__(self) -> int:
        return len(self._items)

    def __getitem__(self, index: int) -> Tokens:
        return self._items[index]


class _FamilySampler(Sampler[int]):
    """A new random order of the families in every epoch, each family's members side by side."""

    def __init__(self, items: Sequence[Tokens], seed: int) -> None:
        self._families = families(items)
        self._random = random.Random(seed)
        self._length = len(items)

    def __iter__(self) -> Iterator[int]:
        for family in self._random.sample(self._families, len(self._families)):
            yield from self._random.sample(family, len(family))

    def __len__(self) -> int:
        return self._length


class _Progress(TrainerCallback):
    """One bar over the updates, with the last loss."""

    def __init__(self, label: str) -> None:
        self._label = label

    def on_train_begin(self, args: Any, state: Any, control: Any, **_: Any) -> None:
        self._bar = tqdm(total=state.max_steps, desc=self._label, unit="update")

    def on_log(self, args: Any, state: Any, control: Any, logs: dict[str, Any] | None = None, **_: Any) -> None:
        if logs and "loss" in logs:
            self._bar.set_postfix(loss=f"{float(logs['loss']):.3f}", refresh=False)

    def on_step_end(self, args: Any, state: Any, control: Any, **_: Any) -> None:
        self._bar.update()

    def on_train_end(self, args: Any, state: Any, control: Any, **_: Any) -> None:
        self._bar.close()
