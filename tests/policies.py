"""Policies of tiny random models, made without training, with their lineage and card as training writes them."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import tiny
import torch
from peft import LoraConfig, get_peft_model

from sotopia_pi.models.fitting import quiet_peft
from sotopia_pi.models.weights import load_model
from sotopia_pi.training.adapters import write_policy
from sotopia_pi.training.card import write_card
from sotopia_pi.training.lineage import Lineage, write_lineage

EXAMPLES = [("e1", 0), ("e1", 1), ("e2", 0)]
CURVE = [{"step": 1, "epoch": 0.5, "loss": 3.25, "learning_rate": 1e-3}, {"step": 2, "epoch": 1.0, "loss": 1.5}]
#: What the reciting policy says, with no token twice: an action as loose JSON, and words after it.
ACTION = """{"action_type": 'leave','argument':""}"""
REST = " Grüße ∑ and goodbye"


def policy(base: str, target: Path, parent: str = "base", rank: int = 4, scale: float = 1.0, **fields: Any) -> Path:
    """A policy whose adapter is random, `scale` large, and changes what the base says; `fields` are of its lineage."""
    torch.manual_seed(len(target.name))
    lora = LoraConfig(
        task_type="CAUSAL_LM", r=rank, lora_alpha=8, target_modules=["q_proj", "v_proj"], init_lora_weights=False
    )
    with quiet_peft():
        model = get_peft_model(load_model(base), lora)
    for name, parameter in model.named_parameters():
        if "lora_B" in name:
            parameter.data *= scale
    values = {"sequences": len(EXAMPLES), "tokens": 900, "trained_tokens": 90, "curve": CURVE, "run": "small"}
    values |= {"settings": {"epochs": 1.0, "lora_rank": rank}, "versions": {"torch": torch.__version__}, "method": "bc"}
    lineage = Lineage(**{"name": target.name, "base": base, "parent": parent, **values, **fields})

    def finish(folder: Path) -> None:
        write_lineage(folder, lineage, EXAMPLES)
        write_card(folder)

    target.parent.mkdir(parents=True, exist_ok=True)
    write_policy(model, target, finish)
    return target


def reciting(folder: Path) -> Path:
    """The policy `bc`, whose base `reciter` beside it recites `ACTION` and `REST`; its adapter cannot change that."""
    base = tiny.reciting(ACTION + REST, folder / "reciter")
    return policy(str(base), folder / "bc")
