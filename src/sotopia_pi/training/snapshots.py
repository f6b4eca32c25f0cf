"""The weights after each epoch, among which a policy is chosen. Importing this module imports torch."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from transformers import TrainerCallback

from sotopia_pi.models.weights import load_tokenizer
from sotopia_pi.training.trainer import COMPLETE, epoch_of


class Snapshots(TrainerCallback):
    """Saves what is being trained as `epoch-N` in `folder`; `base` names the tokenizer that whole weights need."""

    def __init__(self, trainer: Any, folder: Path, base: str | None) -> None:
        self._trainer = trainer
        self._folder = folder
        self._base = base

    def save(self, target: Path) -> None:
        """Writes the weights as they are now; in several processes all must call this."""
        self._trainer.save_model(str(target))
        if self._trainer.is_world_process_zero():
            if self._base is not None:
                load_tokenizer(self._base).save_pretrained(str(target))
            (target / COMPLETE).touch()

    def epochs(self) -> list[int]:
        """The epochs that have been saved."""
        found = self._folder.glob(f"epoch-*/{COMPLETE}")
        return sorted(int(path.parent.name.rpartition("-")[2]) for path in found)

    def on_train_begin(self, args: Any, state: Any, control: Any, **_: Any) -> None:
        """Makes up for an epoch after whose last checkpoint the training was killed."""
        epoch = state.epoch or 0
        if epoch and epoch == int(epoch) and int(epoch) not in self.epochs():
            self.save(self._folder / f"epoch-{int(epoch)}")
            if args.eval_strategy != "no":
                self._trainer.evaluate()

    def on_epoch_end(self, args: Any, state: Any, control: Any, **_: Any) -> None:
        """Saves the epoch; one that ends early because the last is only a part of one, under the next number."""
        self.save(self._folder / f"epoch-{epoch_of(state.epoch)}")
