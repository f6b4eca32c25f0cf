"""A policy as whole weights: the adapter merged into its base, in a folder that transformers and vLLM load."""

from __future__ import annotations

from pathlib import Path
from typing import Any, Literal

from sotopia_pi.errors import ConfigError
from sotopia_pi.models.fitting import check_adapter, check_finite, holds_whole_weights, merged
from sotopia_pi.models.weights import base_of
from sotopia_pi.training.lineage import EXAMPLES, LINEAGE, read_lineage

Type = Literal["auto", "float32", "bfloat16", "float16"]


def merge(folder: Path, target: Path, dtype: Type = "auto", base: str | None = None) -> None:
    """Writes the policy in `folder` to the new folder `target`, all or nothing.

    The weights are merged in float32 and stored as `dtype`, "auto" being what the base is stored in. `base` is where
    the base is, if it is no longer where `policy.json` says. ConfigError, ModelError, TrainingError.
    """
    if holds_whole_weights(folder):
        raise ConfigError(f"{folder} holds whole weights already, so there is nothing to merge.")
    if target.exists():
        raise ConfigError(f"{target} exists already; give a new folder with --out.")
    check_adapter(folder)
    lineage = read_lineage(folder)
    name = base or base_of(folder, lineage.base)

    import torch

    from sotopia_pi.models.weights import load_tokenizer, load_weights, stored_type
    from sotopia_pi.training.adapters import write_policy
    from sotopia_pi.training.card import write_card

    tokenizer = load_tokenizer(name)
    stored = stored_type(name) if dtype == "auto" else getattr(torch, dtype)
    model: Any = merged(load_weights(name, torch.float32), folder, name).to(stored or torch.float32)
    check_finite(model, f"{folder}, merged as {stored or torch.float32},")

    def finish(scratch: Path) -> None:
        tokenizer.save_pretrained(str(scratch))
        text = lineage.model_copy(update={"merged": True}).model_dump_json(indent=1)
        (scratch / LINEAGE).write_text(text + "\n", encoding="utf-8")
        if (folder / EXAMPLES).is_file():
            (scratch / EXAMPLES).write_bytes((folder / EXAMPLES).read_bytes())
        write_card(scratch)

    write_policy(model, target, finish)
