"""Supervised fine-tuning with LoRA: the selected examples become an adapter.

transformers' Trainer does the updating. Several sequences lie end to end in one row, each attending to itself only,
so nothing is padded; logits are computed at the trained positions only. The base weights stay as they are: a policy
that continues another one continues its adapter. torch is imported when training starts.
"""

from __future__ import annotations

import math
import shutil
from collections.abc import Callable, Sequence
from itertools import pairwise
from pathlib import Path
from typing import Any

from sotopia_pi.config import TrainingConfig
from sotopia_pi.errors import ModelError, TrainingError
from sotopia_pi.models.weights import load_model
from sotopia_pi.training.examples import Tokens

#: Stands where a token is not trained on (PyTorch's convention).
IGNORED = -100


def fine_tune(
    base: str,
    parent: Path | None,
    items: Sequence[Tokens],
    target: Path,
    settings: TrainingConfig,
    seed: int,
    quiet: bool = True,
    finish: Callable[[Path, list[dict[str, float]]], None] | None = None,
) -> list[dict[str, float]]:
    """Trains an adapter on `items` and writes it to `target`, all or nothing; returns the loss curve.

    `parent` is the adapter to continue. `finish(folder, curve)` may add files before the folder gets its name. The
    curve has one point per update: step, epoch, loss (nats per trained token) and learning rate. TrainingError when
    there is nothing to train on or the loss is not a number.
    """
    if not items:
        raise TrainingError("There are no examples to train on; select more episodes.")
    import torch
    from transformers import set_seed

    set_seed(seed)
    model = _with_adapter(load_model(base), parent, settings)
    trainer = _trainer(model, items, settings, seed, target, quiet)
    try:
        trainer.train()
    except _Diverged as error:
        raise TrainingError(str(error)) from None
    curve = [
        {"step": entry["step"], "epoch": entry["epoch"], "loss": entry["loss"], "learning_rate": entry["learning_rate"]}
        for entry in trainer.state.log_history
        if "loss" in entry
    ]
    scratch = target.with_name(f".{target.name}.partial")
    try:
        shutil.rmtree(scratch, ignore_errors=True)
        with torch.no_grad():
            model.save_pretrained(str(scratch))
        if finish is not None:
            finish(scratch, curve)
        shutil.rmtree(target, ignore_errors=True)
        scratch.rename(target)
    except OSError as error:
        shutil.rmtree(scratch, ignore_errors=True)
        raise TrainingError(
            f"The policy could not be written to {target} ({error.strerror}); free some space and run again."
        ) from error
    return curve


class _Diverged(Exception):
    """The loss is not a number."""


def _with_adapter(model: Any, parent: Path | None, settings: TrainingConfig) -> Any:
    from peft import LoraConfig, PeftModel, get_peft_model

    from sotopia_pi.models.packing import use_packed_attention

    use_packed_attention(model)
    if parent is not None:
        if not (parent / "adapter_model.safetensors").is_file():
            raise ModelError(f"{parent} is not a policy: it has no adapter_model.safetensors; train it first.")
        return PeftModel.from_pretrained(model, str(parent), is_trainable=True)
    targets = settings.lora_targets
    return get_peft_model(
        model,
        LoraConfig(
            task_type="CAUSAL_LM",
            r=settings.lora_rank,
            lora_alpha=settings.lora_alpha,
            lora_dropout=settings.lora_dropout,
            target_modules=targets if isinstance(targets, str) else list(targets),
        ),
    )


def _trainer(
    model: Any, items: Sequence[Tokens], settings: TrainingConfig, seed: int, target: Path, quiet: bool
) -> Any:
    """A transformers Trainer over packed rows."""
    import torch
    from torch.nn.functional import cross_entropy
    from transformers import Trainer, TrainingArguments

    from sotopia_pi.models.packing import Packing, Segment

    class PackedTrainer(Trainer):
        def compute_loss(
            self, model: Any, inputs: dict[str, Any], return_outputs: bool = False, num_items_in_batch: Any = None
        ) -> Any:
            labels, borders = inputs["labels"][0], inputs["borders"].tolist()
            at = (labels != IGNORED).nonzero()[:, 0]
            logits = model(
                input_ids=inputs["input_ids"],
                position_ids=inputs["position_ids"],
                logits_to_keep=at - 1,
                use_cache=False,
                packing=Packing([Segment(a, b) for a, b in pairwise(borders)]),
            ).logits[0]
            loss = cross_entropy(logits.float(), labels[at], reduction="sum") / (num_items_in_batch or len(at))
            if not math.isfinite(loss.item()):
                raise _Diverged(
                    f"The loss became {loss.item()} at update {self.state.global_step + 1}; nothing was written. "
                    "Lower training.learning_rate."
                )
            return loss

    def collate(batch: list[Tokens]) -> dict[str, Any]:
        ids: list[int] = []
        positions: list[int] = []
        labels: list[int] = []
        borders = [0]
        for item in batch:
            wanted = set(item.targets)
            ids += item.ids
            positions += range(len(item.ids))
            labels += [token if i in wanted else IGNORED for i, token in enumerate(item.ids)]
            borders.append(len(ids))
        return {
            "input_ids": torch.tensor([ids]),
            "position_ids": torch.tensor([positions]),
            "labels": torch.tensor([labels]),
            "borders": torch.tensor(borders),
        }

    arguments = TrainingArguments(
        output_dir=str(target.parent),
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
        disable_tqdm=quiet,
        remove_unused_columns=False,
        dataloader_pin_memory=False,
        use_cpu=not torch.cuda.is_available(),
    )
    trainer = PackedTrainer(model=model, args=arguments, train_dataset=_Sequences(items), data_collator=collate)
    trainer.model_accepts_loss_kwargs = True  # compute_loss divides by the tokens of the whole update itself
    if not quiet:
        from transformers.trainer_callback import PrinterCallback

        trainer.remove_callback(PrinterCallback)
    return trainer


class _Sequences:
    """A map-style dataset over a sequence."""

    def __init__(self, items: Sequence[Tokens]) -> None:
        self._items = items

    def __len__(self) -> int:
        return len(self._items)

    def __getitem__(self, index: int) -> Tokens:
        return self._items[index]
