"""Supervised fine-tuning with LoRA: the selected examples become an adapter.

transformers' Trainer does the updating (trainer.py). Several sequences lie end to end in one row, each attending to
itself only, so nothing is padded; logits are computed at the trained positions only. Examples of one task and role
begin with the same prompt: they are kept together, and the prompt is computed once for all of them in a row (rows.py).
The base weights stay as they are: a policy that continues another one continues its adapter.
"""

from __future__ import annotations

import gc
import shutil
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from sotopia_pi.config import TrainingConfig
from sotopia_pi.errors import TrainingError
from sotopia_pi.models.weights import check_adapter, load_model, quiet_peft
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
    model = _with_adapter(load_model(base), parent, settings)
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
    _write(model, target, lambda folder: finish(folder, curve) if finish else None)
    del trainer, model
    gc.collect()  # the trainer and the model refer to each other, and weigh gigabytes
    return curve


def _write(model: Any, target: Path, finish: Callable[[Path], None]) -> None:
    from safetensors import SafetensorError

    scratch = target.with_name(f".{target.name}.partial")
    try:
        shutil.rmtree(scratch, ignore_errors=True)
        model.save_pretrained(str(scratch))
        finish(scratch)
        shutil.rmtree(target, ignore_errors=True)
        scratch.rename(target)
    except (OSError, SafetensorError) as error:
        shutil.rmtree(scratch, ignore_errors=True)
        raise TrainingError(
            f"The policy could not be written to {target} ({error}); free some space and run again."
        ) from error


def _with_adapter(model: Any, parent: Path | None, settings: TrainingConfig) -> Any:
    from peft import LoraConfig, PeftModel, get_peft_model

    from sotopia_pi.models.packing import use_packed_attention

    use_packed_attention(model)
    lora = LoraConfig(
        task_type="CAUSAL_LM",
        r=settings.lora_rank,
        lora_alpha=settings.lora_alpha,
        lora_dropout=settings.lora_dropout,
        target_modules=_targets(model, settings.lora_targets),
        layers_to_transform=_last_layers(model, settings.lora_layers),
    )
    with quiet_peft():
        if parent is None:
            try:
                return get_peft_model(model, lora)
            except ValueError as error:  # no such modules
                raise TrainingError(f"training.lora_targets does not fit the model: {error}") from error
        check_adapter(parent)
        return PeftModel.from_pretrained(model, str(parent), is_trainable=True)


def _last_layers(model: Any, count: int) -> list[int] | None:
    total: int = model.config.num_hidden_layers
    return list(range(total - count, total)) if 0 < count < total else None


def _targets(model: Any, names: str | tuple[str, ...]) -> list[str]:
    """The names of the layers' modules to adapt: those given, or for "all-linear" every linear one but the head."""
    from torch.nn import Linear

    if names != "all-linear":
        return [names] if isinstance(names, str) else list(names)
    head = model.get_output_embeddings()
    linear = (name for name, module in model.named_modules() if isinstance(module, Linear) and module is not head)
    return sorted({name.rsplit(".", 1)[-1] for name in linear})
