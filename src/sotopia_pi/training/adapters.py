"""What is trained: the base weights with an adapter, and how a policy's folder is written."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

from sotopia_pi.config import TrainingConfig
from sotopia_pi.errors import TrainingError
from sotopia_pi.models.fitting import check_adapter, check_fit, quiet_peft


def write_policy(model: Any, target: Path, finish: Callable[[Path], None]) -> None:
    """Writes what was trained to the folder `target`, all or nothing; `finish(folder)` may add files to it."""
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


def with_adapter(model: Any, parent: Path | None, settings: TrainingConfig) -> Any:
    """`model` with a new adapter to train, or with that of the policy folder `parent` to continue."""
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
