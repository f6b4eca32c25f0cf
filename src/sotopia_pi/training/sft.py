"""Supervised fine-tuning with LoRA: the selected examples become an adapter.

transformers' Trainer does the updating. Several sequences lie end to end in one row, each attending to itself only,
so nothing is padded; logits are computed at the trained positions only. Examples of one task and role begin with the
same prompt: they are kept together, and the prompt is computed once for all of them in a row. The base weights stay as they are: a policy
that continues another one continues its adapter. torch is imported when training starts.
"""

from __future__ import annotations

import math
import random
import shutil
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

from tqdm import tqdm

from sotopia_pi.config import TrainingConfig
from sotopia_pi.errors import TrainingError
from sotopia_pi.models.weights import check_adapter, load_model, quiet_peft
from sotopia_pi.training.examples import Tokens

#: Stands where a token is not trained on (PyTorch's convention).
IGNORED = -100


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
    import torch
    from transformers import set_seed

    set_seed(seed % 2**32)
    model = _with_adapter(load_model(base), parent, settings)
    trainer = _trainer(model, items, settings, seed, target, quiet)
    try:
        trainer.train()
    except _Diverged as error:
        raise TrainingError(str(error)) from None
    curve = [
        {"step": entry["step"], "epoch": entry["epoch"], "loss": entry["loss"], "learning_rate": entry["learning_rate"]}
        for entry in trainer.state.log_history
        if "loss" in entry
    ]
    scratch = target.with_name(f".{target.name}.partial")
    try:
        shutil.rmtree(scratch, ignore_errors=True)
        with torch.no_grad():
            model.save_pretrained(str(scratch))
        if finish is not None:
            finish(scratch, curve)
        shutil.rmtree(target, ignore_errors=True)
        scratch.rename(target)
    except OSError as error:
        shutil.rmtree(scratch, ignore_errors=True)
        raise TrainingError(
            f"The policy could not be written to {target} ({error.strerror}); free some space and run again."
        ) from error
    return curve


class _Diverged(Exception):
    """The loss is not a number."""


def _with_adapter(model: Any, parent: Path | None, settings: TrainingConfig) -> Any:
    from peft import LoraConfig, PeftModel, get_peft_model

    from sotopia_pi.models.packing import use_packed_attention

    use_packed_attention(model)
    targets = settings.lora_targets
    lora = LoraConfig(
        task_type="CAUSAL_LM",
        r=settings.lora_rank,
        lora_alpha=settings.lora_alpha,
        lora_dropout=settings.lora_dropout,
        target_modules=targets if isinstance(targets, str) else list(targets),
    )
    with quiet_peft():
        if parent is None:
            return get_peft_model(model, lora)
        check_adapter(parent)
        return PeftModel.from_pretrained(model, str(parent), is_trainable=True)


def _trainer(
    model: Any, items: Sequence[Tokens], settings: TrainingConfig, seed: int, target: Path, quiet: bool
) -> Any:
    """A transformers Trainer over packed rows."""
    import torch
    from torch.nn.functional import cross_entropy
    from torch.utils.data import Sampler
    from transformers import Trainer, TrainerCallback, TrainingArguments
    from transformers.trainer_callback import PrinterCallback

    from sotopia_pi.models.packing import Packing, Segment

    class Progress(TrainerCallback):
        """One bar over the updates, with the last loss."""

        def on_train_begin(self, args: Any, state: Any, control: Any, **_: Any) -> None:
            self.bar = tqdm(total=state.max_steps, desc=f"train {target.name}", unit="update")

        def on_log(self, args: Any, state: Any, control: Any, logs: dict[str, float] | None = None, **_: Any) -> None:
            if logs and "loss" in logs:
                self.bar.set_postfix(loss=f"{float(logs['loss']):.3f}", refresh=False)

        def on_step_end(self, args: Any, state: Any, control: Any, **_: Any) -> None:
            self.bar.update()

        def on_train_end(self, args: Any, state: Any, control: Any, **_: Any) -> None:
            self.bar.close()

    class PackedTrainer(Trainer):
        def compute_loss(
            self, model: Any, inputs: dict[str, Any], return_outputs: bool = False, num_items_in_batch: Any = None
        ) -> Any:
            labels = inputs["labels"][0]
            at = (labels != IGNORED).nonzero()[:, 0]
            logits = model(
                input_ids=inputs["input_ids"],
                position_ids=inputs["position_ids"],
                logits_to_keep=at - 1,
                use_cache=False,
                packing=Packing([Segment(a, b, prefix=(c, d)) for a, b, c, d in inputs["segments"].tolist()]),
            ).logits[0]
            loss = cross_entropy(logits.float(), labels[at], reduction="sum") / (num_items_in_batch or len(at))
            if not math.isfinite(loss.item()):
                raise _Diverged(
                    f"The loss became {loss.item()} at update {self.state.global_step + 1}; nothing was written. "
                    "Lower training.learning_rate."
                )
            return loss

        def _get_train_sampler(self, train_dataset: Any = None) -> Any:
            return FamilySampler()

    groups = families(items)

    class FamilySampler(Sampler[int]):
        """A new random order of the families in every epoch, each family's members side by side."""

        def __init__(self) -> None:
            self._random = random.Random(seed)

        def __iter__(self) -> Iterator[int]:
            for family in self._random.sample(groups, len(groups)):
                yield from self._random.sample(family, len(family))

        def __len__(self) -> int:
            return len(items)

    def collate(batch: list[Tokens]) -> dict[str, Any]:
        return {name: torch.tensor(values) for name, values in pack(batch).items()}

    arguments = TrainingArguments(
        output_dir=str(target.parent),
        num_train_epochs=settings.epochs,
        learning_rate=settings.learning_rate,
        lr_scheduler_type=settings.schedule,
        warmup_steps=settings.warmup,
        weight_decay=settings.weight_decay,
        per_device_train_batch_size=settings.micro_batch,
        gradient_accumulation_steps=settings.batch // settings.micro_batch,
        seed=seed % 2**32,
        logging_steps=1,
        save_strategy="no",
        report_to="none",
        disable_tqdm=True,
        remove_unused_columns=False,
        dataloader_pin_memory=False,
        use_cpu=not torch.cuda.is_available(),
    )
    trainer = PackedTrainer(model=model, args=arguments, train_dataset=_Sequences(items), data_collator=collate)
    trainer.model_accepts_loss_kwargs = True  # compute_loss divides by the tokens of the whole update itself
    trainer.remove_callback(PrinterCallback)
    if not quiet:
        trainer.add_callback(Progress())
    return trainer


def pack(batch: Sequence[Tokens]) -> dict[str, list[Any]]:
    """Several sequences as one row: [1, tokens] ids, positions and labels, and [n, 4] segments.

    A segment is start and end in the row and start and end of the prompt it shares with an earlier sequence, 0 and 0
    where it shares none. The last shared token is one before the first trained one, so every sequence predicts all
    its trained tokens from positions of its own and the gradient is that of unshared sequences.
    """
    ids: list[int] = []
    positions: list[int] = []
    labels: list[int] = []
    segments: list[tuple[int, int, int, int]] = []
    head, at = None, 0  # the last sequence that stands whole in the row, and where
    for item in batch:
        shared = _shared(head, item) if head is not None else 0
        if shared == 0:
            head, at = item, len(ids)
        wanted = set(item.targets)
        start = len(ids)
        ids += item.ids[shared:]
        positions += range(shared, len(item.ids))
        labels += [item.ids[i] if i in wanted else IGNORED for i in range(shared, len(item.ids))]
        segments.append((start, len(ids), at if shared else 0, at + shared if shared else 0))
    return {"input_ids": [ids], "position_ids": [positions], "labels": [labels], "segments": segments}


#: Shorter common beginnings (the template's first words) are not worth a cut.
_WORTH_SHARING = 32


def _shared(a: Tokens, b: Tokens) -> int:
    """How many tokens of the prompt two sequences have in common; 0 when too few to be worth it."""
    limit = min(a.targets[0], b.targets[0]) - 1
    common = next((i for i in range(limit) if a.ids[i] != b.ids[i]), max(limit, 0))
    return common if common >= _WORTH_SHARING else 0


def families(items: Sequence[Tokens]) -> list[list[int]]:
    """Indices of the sequences, those of one group (which begin with the same prompt) together."""
    found: dict[object, list[int]] = {}
    for index, item in enumerate(items):
        found.setdefault(item.group or index, []).append(index)
    return list(found.values())


class _Sequences:
    """A map-style dataset over a sequence."""

    def __init__(self, items: Sequence[Tokens]) -> None:
        self._items = items

    def __len__(self) -> int:
        return len(self._items)

    def __getitem__(self, index: int) -> Tokens:
        return self._items[index]
