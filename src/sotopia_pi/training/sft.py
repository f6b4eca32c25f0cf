"""Supervised fine-tuning: the selected examples become a policy.

transformers' Trainer does the updating (trainer.py). Several sequences lie end to end in one row, each attending to
itself only, so nothing is padded; logits are computed at the trained positions only. Examples of one task and role
begin with the same prompt: they are kept together, and the prompt is computed once for all of them in a row (rows.py).

A training works in a folder of its own: its checkpoints are there, from which a killed one continues, what it logs, and
the weights after each epoch where they are to be chosen from.
"""

from __future__ import annotations

import gc
import shutil
from collections.abc import Callable, Sequence
from contextlib import ExitStack
from pathlib import Path
from typing import Any

from pydantic import BaseModel, ConfigDict

from sotopia_pi.config import RuntimeConfig, TrainingConfig
from sotopia_pi.errors import TrainingError
from sotopia_pi.training.examples import Tokens
from sotopia_pi.training.lineage import METRICS
from sotopia_pi.training.prepared import Prepared, keys

Curve = list[dict[str, float]]
FINAL, SEQUENCES = "final", "examples"
_OUTCOME = "outcome.json"
#: Where transformers writes for TensorBoard, in the folder that a training works in.
_TENSORBOARD = "runs"


class Job(BaseModel):
    """A training: what to start from and how. `parent` is the policy folder to continue, `name` the new policy's."""

    model_config = ConfigDict(frozen=True)

    name: str
    base: str
    parent: Path | None = None
    settings: TrainingConfig
    runtime: RuntimeConfig = RuntimeConfig(save_every=0)
    seed: int
    quiet: bool = True


class Outcome(BaseModel):
    """What a training gave.

    `curve` has one point per update: step, epoch, loss (nats per trained token) and learning rate. `held_out` is the
    loss on the held-out sequences after each epoch; `snapshots` are the epochs whose weights are in the training's
    folder as `epoch-N`.
    """

    model_config = ConfigDict(frozen=True)

    curve: Curve
    held_out: dict[int, float] = {}
    snapshots: list[int] = []

    def best_epoch(self) -> int:
        """The epoch with the lowest held-out loss."""
        return min(self.held_out, key=lambda epoch: (self.held_out[epoch], epoch))


def fine_tune(
    base: str,
    parent: Path | None,
    items: Sequence[Tokens],
    target: Path,
    settings: TrainingConfig,
    seed: int,
    quiet: bool = True,
    finish: Callable[[Path, Curve], None] | None = None,
    runtime: RuntimeConfig | None = None,
    choose: Callable[[Path, Outcome], int] | None = None,
) -> Curve:
    """Trains a policy on `items` and writes it to `target`, all or nothing; returns the loss curve.

    `parent` is the policy to continue. `finish(folder, curve)` may add files before the folder gets its name. With
    `runtime`, its checkpoints stay where training fails, and the next call continues from the last of them.
    `choose(folder, outcome)` says which epoch is kept where the settings do not keep the last; by default the one with
    the lowest held-out loss. TrainingError when there is nothing to train on or the loss is not a number.
    """
    from sotopia_pi.training.adapters import publish
    from sotopia_pi.training.launch import launch

    runtime = runtime or RuntimeConfig(save_every=0)
    job = Job(name=target.name, base=base, parent=parent, settings=settings, runtime=runtime, seed=seed, quiet=quiet)
    folder = work_folder(target)

    def complete(made: Path) -> None:
        shutil.copy(folder / METRICS, made)
        if (folder / _TENSORBOARD).is_dir():
            shutil.copytree(folder / _TENSORBOARD, made / _TENSORBOARD)
        if finish:
            finish(made, outcome.curve)

    with ExitStack() as failing:
        if not runtime.save_every:
            failing.callback(_discard, folder)
        outcome = launch(job, folder) if runtime.launch else learn(job, items, folder)
        best = choose or (lambda _, outcome: outcome.best_epoch())
        chosen = FINAL if settings.keep == "last" else f"epoch-{best(folder, outcome)}"
        publish(folder / chosen, target, complete)
    _discard(folder)
    return outcome.curve


def _discard(folder: Path) -> None:
    """Removes a training's folder; whoever kills this leaves none that looks as if it could be continued."""
    discarded = folder.with_name(f"{folder.name}.discarded")
    shutil.rmtree(discarded, ignore_errors=True)
    if folder.is_dir():
        folder.rename(discarded)
        shutil.rmtree(discarded, ignore_errors=True)


def work_folder(target: Path) -> Path:
    """Where the training of the policy folder `target` works."""
    return target.with_name(f".{target.name}.training")


def held_out(items: Sequence[Tokens], share: float, seed: int) -> tuple[list[int], list[int]]:
    """The numbers of the sequences to train on and of those held out: all of a `share` of the tasks, at least one.

    TrainingError when that leaves nothing to train on.
    """
    if not share:
        return list(range(len(items))), []
    import numpy as np

    tasks = keys(items)[1]
    known = np.unique(tasks)
    count = max(1, round(share * len(known)))
    if count >= len(known):
        raise TrainingError(
            f"training.hold_out = {share:g} of {len(known)} tasks leaves none to train on; lower it or use more tasks."
        )
    chosen = np.random.default_rng(seed % 2**32).permutation(known)[:count]
    mask = np.isin(tasks, chosen)
    return np.flatnonzero(~mask).tolist(), np.flatnonzero(mask).tolist()


def learn(job: Job, items: Sequence[Tokens], folder: Path) -> Outcome:
    """Trains in this process, working in `folder`; a training that was killed there continues.

    The weights are then in `folder / "final"`, or after each epoch where `keep` chooses among epochs.
    """
    if not items:
        raise TrainingError("There are no examples to train on; select more episodes.")
    done = folder / _OUTCOME
    if done.is_file():
        return Outcome.model_validate_json(done.read_text(encoding="utf-8"))
    from sotopia_pi.training.trainer import Diverged, epoch_of, last_checkpoint

    trainer, snapshots = _trainer(job, items, folder)
    latest = last_checkpoint(folder)
    try:
        trainer.train(resume_from_checkpoint=str(latest) if latest else None)
    except Diverged as error:
        raise TrainingError(_diverged(error, items, job, folder)) from None
    history = trainer.state.log_history
    outcome = Outcome(
        curve=[_point(entry) for entry in history if "loss" in entry],
        held_out={epoch_of(entry["epoch"]): entry["eval_loss"] for entry in history if "eval_loss" in entry},
        snapshots=snapshots.epochs(),
    )
    if job.settings.keep == "last":
        snapshots.save(folder / FINAL)
    if trainer.is_world_process_zero():
        done.write_text(outcome.model_dump_json(), encoding="utf-8")
    del trainer, snapshots
    gc.collect()  # the trainer and the model refer to each other, and weigh gigabytes
    return outcome


def _trainer(job: Job, items: Sequence[Tokens], folder: Path) -> tuple[Any, Any]:
    """The trainer with its model, and what keeps the weights after each epoch."""
    from transformers import set_seed

    from sotopia_pi.training.adapters import trainable
    from sotopia_pi.training.snapshots import Snapshots
    from sotopia_pi.training.trainer import PackedTrainer, arguments, keep_freed_memory

    settings = job.settings
    chosen, kept = held_out(items, settings.hold_out, job.seed)
    keep_freed_memory()
    set_seed(job.seed % 2**32)
    made = arguments(settings, str(folder), job.seed, job.runtime, bool(kept))
    model = trainable(job.base, job.parent, settings)
    if job.runtime.gradient_checkpointing:
        # Which transformers renamed.
        enable = getattr(model, "activation_checkpointing_enable", None) or model.gradient_checkpointing_enable
        enable({"use_reentrant": False})
    label = None if job.quiet else f"train {job.name}"
    trainer = PackedTrainer(model, items, settings, made, label, chosen, kept)
    snapshots = Snapshots(trainer, folder, job.base if settings.tune == "full" else None)
    if settings.keep != "last":
        trainer.add_callback(snapshots)
    return trainer, snapshots


def _point(entry: dict[str, Any]) -> dict[str, float]:
    return {name: entry[name] for name in ("step", "epoch", "loss", "learning_rate")}


def _diverged(error: Any, items: Sequence[Tokens], job: Job, folder: Path) -> str:
    """What happened, in which episodes, and where the last good weights are."""
    from sotopia_pi.training.trainer import last_checkpoint

    where = ""
    if error.sequences and isinstance(items, Prepared):
        pairs = [items.example(number) for number in error.sequences]
        where = " on " + ", ".join(f"role {role} of episode {episode}" for episode, role in pairs)
    latest = last_checkpoint(folder)
    kept = f"the last good checkpoint is {latest}" if latest else "nothing was written"
    return (
        f"The {error.what} at update {error.update} of {job.name}{where}; {kept}. "
        "Lower training.learning_rate, or leave these examples out."
    )
