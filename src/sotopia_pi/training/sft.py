"""Supervised fine-tuning with LoRA: the selected examples become an adapter.

transformers' Trainer does the updating (trainer.py). Several sequences lie end to end in one row, each attending to
itself only, so nothing is padded; logits are computed at the trained positions only. Examples of one task and role
begin with the same prompt: they are kept together, and the prompt is computed once for all of them in a row (rows.py).
The base weights stay as they are: a policy that continues another one continues its adapter.
"""

from __future__ import annotations

import gc
from collections.abc import Callable, Sequence
from pathlib import Path

from sotopia_pi.config import TrainingConfig
from sotopia_pi.errors import TrainingError
from sotopia_pi.models.weights import load_model
from sotopia_pi.training.adapters import with_adapter, write_policy
from sotopia_pi.training.examples import Tokens


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
    from transformers import set_seed

    from sotopia_pi.training.trainer import Diverged, PackedTrainer, arguments, keep_freed_memory

    keep_freed_memory()
    set_seed(seed % 2**32)
    model = with_adapter(load_model(base), parent, settings)
    label = None if quiet else f"train {target.name}"
    trainer = PackedTrainer(model, items, arguments(settings, str(target.parent), seed), label)
    try:
        trainer.train()
    except Diverged as error:
        raise TrainingError(str(error)) from None
    curve = [
        {"step": entry["step"], "epoch": entry["epoch"], "loss": entry["loss"], "learning_rate": entry["learning_rate"]}
        for entry in trainer.state.log_history
        if "loss" in entry
    ]
    write_policy(model, target, lambda folder: finish(folder, curve) if finish else None)
    del trainer, model
    gc.collect()  # the trainer and the model refer to each other, and weigh gigabytes
    return curve
