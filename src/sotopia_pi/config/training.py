"""How a policy is trained, and the presets that stand for many of its settings."""

from __future__ import annotations

from typing import Any, Literal, Self

from pydantic import Field, model_validator

from sotopia_pi.config.section import Section

#: Settings that a `preset` stands for; what a config says itself goes before them.
PRESETS: dict[str, dict[str, Any]] = {
    # Wang et al. 2024 (arXiv 2403.08715), appendix; the epoch is chosen by hand there (BC 20, SR 5).
    "paper": {
        "tune": "qlora",
        "precision": "bfloat16",
        "epochs": 20,
        "learning_rate": 5e-5,
        "schedule": "cosine",
        "warmup": 0.03,
        "batch": 4,
        "micro_batch": 4,
        "lora_rank": 8,
        "lora_alpha": 16,
        "lora_dropout": 0.05,
        "lora_targets": ("q_proj", "v_proj"),
        "cutoff": 4096,
    },
    # LoRA on every linear layer at a high rate, which matches full fine-tuning on small data (Schulman et al. 2025,
    # "LoRA Without Regret"); the epoch with the lowest loss on held-out tasks is kept.
    "modern": {
        "tune": "lora",
        "epochs": 3,
        "learning_rate": 2e-4,
        "schedule": "cosine",
        "warmup": 0.05,
        "batch": 32,
        "micro_batch": 4,
        "lora_rank": 32,
        "lora_alpha": 64,
        "lora_targets": "all-linear",
        "cutoff": 8192,
        "hold_out": 0.05,
        "keep": "best_loss",
    },
}


class TrainingConfig(Section):
    """The update. `batch` is sequences per update, `micro_batch` how many of them are in memory at once.

    `tune` says what is trained: an adapter (`lora`), an adapter over weights in 4 bits (`qlora`, on a CUDA GPU), or
    all weights (`full`). `lora_layers` adapts only that many layers, the last ones (0: all): the backward pass then
    stops early. `hold_out` is the share of the tasks whose examples are kept from training and only measure the loss
    after every epoch. `keep` says which epoch's weights become the policy: the last, the one with the lowest held-out
    loss, or the one that plays the `world.dev` tasks best. `dpo_beta` and `dpo_margin` (the least difference in GOAL
    between what is preferred and what is not) are for rounds whose update is `dpo`.
    """

    preset: Literal["paper", "modern"] | None = None
    tune: Literal["lora", "qlora", "full"] = "lora"
    precision: Literal["auto", "float32", "bfloat16"] = "auto"
    epochs: float = Field(default=2, gt=0, le=10_000)
    learning_rate: float = Field(default=1e-3, gt=0, le=100)
    schedule: Literal["cosine", "linear", "constant"] = "cosine"
    warmup: float = Field(default=0.03, ge=0, lt=1)
    batch: int = Field(default=8, ge=1, le=1_000_000)
    micro_batch: int = Field(default=2, ge=1, le=1_000_000)
    weight_decay: float = Field(default=0.0, ge=0, le=100)
    lora_rank: int = Field(default=16, ge=1, le=65_536)
    lora_alpha: int = Field(default=32, ge=1, le=1_000_000)
    lora_dropout: float = Field(default=0.0, ge=0, lt=1)
    lora_targets: str | tuple[str, ...] = "all-linear"
    lora_layers: int = Field(default=0, ge=0, le=10_000)
    cutoff: int = Field(default=2048, ge=64, le=10_000_000)
    hold_out: float = Field(default=0.0, ge=0, lt=1)
    keep: Literal["last", "best_loss", "best_play"] = "last"
    dpo_beta: float = Field(default=0.1, gt=0, le=1_000)
    dpo_margin: float = Field(default=1.0, gt=0, le=1_000)

    @model_validator(mode="before")
    @classmethod
    def _fill_in_the_preset(cls, values: Any) -> Any:
        known = PRESETS.get(str(values.get("preset"))) if isinstance(values, dict) else None
        return {**known, **values} if known else values

    @model_validator(mode="after")
    def _settings_agree(self) -> Self:
        if self.batch % self.micro_batch:
            raise ValueError(f"batch ({self.batch}) must be a multiple of micro_batch ({self.micro_batch})")
        if self.keep == "best_loss" and not self.hold_out:
            raise ValueError("keep = 'best_loss' needs hold_out, the share of the tasks that measures the loss")
        return self
