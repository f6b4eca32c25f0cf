"""What is trained: the base weights with an adapter, or all of them; and how a policy's folder is written.

Importing this module imports torch; `sft` does so when training starts.
"""

from __future__ import annotations

import os
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch

from sotopia_pi.config import TrainingConfig
from sotopia_pi.errors import TrainingError
from sotopia_pi.files import fresh_scratch, remove
from sotopia_pi.models.fitting import check_adapter, check_fit, holds_whole_weights, quiet_peft
from sotopia_pi.models.packing import use_packed_attention
from sotopia_pi.models.weights import base_of, load_policy, load_quantized
from sotopia_pi.training.trainer import COMPLETE, bfloat16


def trainable(base: str, parent: Path | None, settings: TrainingConfig) -> Any:
    """The model to train: all weights of the parent, or those of the base with an adapter, new or the parent's.

    `base` are the weights that the parent's adapter belongs to. ModelError when they cannot be loaded.
    """
    device = "cpu" if os.environ.get("ACCELERATE_USE_FSDP") or os.environ.get("ACCELERATE_USE_DEEPSPEED") else None
    if settings.tune == "full":
        model = load_policy(base, parent, torch.float32, device)
        use_packed_attention(model)
        return model
    if parent is not None and holds_whole_weights(parent):
        base, parent = str(parent), None
    elif parent is not None:
        base = base_of(parent, base)
    if settings.tune == "qlora":
        from peft import prepare_model_for_kbit_training

        quantized = load_quantized(base)
        model = prepare_model_for_kbit_training(  # type: ignore[no-untyped-call]
            quantized, use_gradient_checkpointing=False
        )
    else:
        model = load_policy(base, None, torch.bfloat16 if bfloat16(settings) else torch.float32, device)
    return with_adapter(model, parent, settings)


def publish(snapshot: Path, target: Path, finish: Callable[[Path], None]) -> None:
    """Makes a copy of what was trained the policy folder `target`, all or nothing; `finish(folder)` may add files.

    `snapshot` stays as it is, so that publishing can be repeated if it is stopped anywhere.
    """
    leftover = shutil.ignore_patterns("training_args.bin", COMPLETE)
    _write(target, lambda scratch: shutil.copytree(snapshot, scratch, ignore=leftover), finish)


def write_policy(model: Any, target: Path, finish: Callable[[Path], None]) -> None:
    """Writes a trained model to the folder `target`, all or nothing; `finish(folder)` may add files to it."""
    _write(target, lambda scratch: model.save_pretrained(str(scratch)), finish)


def _write(target: Path, fill: Callable[[Path], object], finish: Callable[[Path], None]) -> None:
    from safetensors import SafetensorError

    try:
        scratch = fresh_scratch(target)
        try:
            fill(scratch)
            finish(scratch)
            remove(target)
            scratch.rename(target)
        finally:
            remove(scratch)
    except (OSError, SafetensorError) as error:
        raise TrainingError(
            f"The policy could not be written to {target} ({error}); free some space and run again."
        ) from error


def with_adapter(model: Any, parent: Path | None, settings: TrainingConfig) -> Any:
    """`model` with a new adapter to train, or with that of the policy folder `parent` to continue."""
    from peft import LoraConfig, PeftModel, get_peft_model

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
        check_fit(model, parent)
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
