"""Direct preference optimization (Rafailov et al. 2023, arXiv 2305.18290): pairs become an adapter, through TRL.

The reference is the parent policy as it is before the first update. TRL and torch are imported when training starts.
"""

from __future__ import annotations

import gc
import importlib.util
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from sotopia_pi.config import TrainingConfig
from sotopia_pi.errors import TrainingError
from sotopia_pi.models.weights import load_tokenizer
from sotopia_pi.training.preferences import PairTokens

#: What a point of the curve is called here and in TRL's log. Rewards are beta times the log-ratio to the reference.
_POINT = {
    "step": "step",
    "epoch": "epoch",
    "loss": "loss",
    "learning_rate": "learning_rate",
    "accuracy": "rewards/accuracies",
    "margin": "rewards/margins",
    "reward_preferred": "rewards/chosen",
    "reward_rejected": "rewards/rejected",
}


def check_possible(settings: TrainingConfig) -> None:
    """TrainingError when TRL is not installed or the settings ask for what this update does not do."""
    if importlib.util.find_spec("trl") is None:
        raise TrainingError(
            "The preference update needs TRL, which is not installed: pip install 'sotopia-pi[preference]'."
        )
    if settings.tune == "full":
        raise TrainingError('The preference update trains adapters; set tune = "lora" in place of "full".')
    if settings.hold_out or settings.keep != "last":
        raise TrainingError('The preference update keeps its last epoch; set keep = "last" and hold_out = 0 for it.')


def prefer(
    base: str,
    parent: Path | None,
    pairs: Sequence[PairTokens],
    target: Path,
    settings: TrainingConfig,
    seed: int,
    quiet: bool = True,
    finish: Callable[[Path, list[dict[str, float]]], None] | None = None,
    checkpointing: bool = False,
) -> list[dict[str, float]]:
    """Trains an adapter to prefer one side of each pair and writes it to `target`, all or nothing; returns the curve.

    `parent` is the adapter to continue and then also the reference; for None the reference is the base. `batch` and
    `micro_batch` of the settings count pairs. `finish(folder, curve)` may add files before the folder gets its name.
    The curve has one point per update: step, epoch, loss (TRL's, nats per pair), learning rate, the share of pairs
    whose reward is higher for the preferred side, the mean difference of the rewards, and both mean rewards.
    TrainingError when there are no pairs, TRL is missing, or the loss is not a number.
    """
    if not pairs:
        raise TrainingError("There are no preference pairs to train on; select fewer of more episodes per task.")
    check_possible(settings)
    from transformers import set_seed

    from sotopia_pi.training.adapters import trainable, write_policy
    from sotopia_pi.training.pairtrainer import PairTrainer, arguments
    from sotopia_pi.training.trainer import Diverged, keep_freed_memory

    keep_freed_memory()
    set_seed(seed % 2**32)
    model = trainable(base, parent, settings)
    label = None if quiet else f"train {target.name}"
    wanted = arguments(settings, str(target.parent), seed, checkpointing)
    trainer = PairTrainer(model, load_tokenizer(base), pairs, wanted, label)
    try:
        trainer.train()
    except Diverged as error:
        raise TrainingError(
            f"The {error.what} at update {error.update} of {target.name}; nothing was written. "
            "Lower training.learning_rate."
        ) from None
    curve = [_point(entry) for entry in trainer.state.log_history if "loss" in entry]
    write_policy(trainer.trained, target, lambda folder: finish(folder, curve) if finish else None)
    del trainer, model
    gc.collect()  # the trainer and the model refer to each other, and weigh gigabytes
    return curve


def _point(entry: dict[str, Any]) -> dict[str, float]:
    return {name: entry[known] for name, known in _POINT.items()}
