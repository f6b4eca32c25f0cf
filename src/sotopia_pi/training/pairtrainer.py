"""TRL's DPOTrainer over packed pairs. Importing this module imports torch and TRL; `dpo` does so when training starts.

TRL computes the loss, the rewards and the metrics. What it asks the model for, the log-probabilities of the tokens that
count, is computed here: all sides of a batch lie end to end in one row, each attending to itself only, the prompt of a
pair is computed once for both sides (rows.py), and logits are made where a token counts and nowhere else. The reference
log-probabilities do not change while training, so they are computed once, before the first update.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from types import MethodType
from typing import Any

import torch
from datasets import Dataset
from tqdm import tqdm
from transformers.trainer_callback import PrinterCallback
from trl.trainer.dpo_config import DPOConfig
from trl.trainer.dpo_trainer import DPOTrainer
from trl.trainer.utils import FusedCausalLMOutput

from sotopia_pi.config import TrainingConfig
from sotopia_pi.models.packing import Packing
from sotopia_pi.training.preferences import PairTokens
from sotopia_pi.training.rows import IGNORED, pack
from sotopia_pi.training.trainer import Diverged, Progress, common_arguments

#: The argument was renamed in transformers 5, and its old name warns.
_CHECKPOINTING = next(
    name for name in ("activation_checkpointing", "gradient_checkpointing") if name in DPOConfig.__dataclass_fields__
)

#: The name under which TRL keeps a copy of a continued adapter, which we do not need.
_COPY = "ref"


class PairTrainer(DPOTrainer):
    """Trains on pairs of tokens. The loss of an update is the mean over its pairs.

    `references` are each pair's log-probabilities, of both sides, under the model that training begins with.
    """

    def __init__(
        self, model: Any, tokenizer: Any, pairs: Sequence[PairTokens], arguments: DPOConfig, label: str | None
    ) -> None:
        self._pairs = pairs
        self.references: list[tuple[float, float]] = []
        super().__init__(
            model=model,
            args=arguments,
            train_dataset=Dataset.from_dict({"pair": list(range(len(pairs)))}),
            processing_class=tokenizer,
            data_collator=self._collate,
        )
        self.processing_class = None  # with one, the Trainer changes the model's special tokens and warns of it
        self.trained: Any = model
        if hasattr(model, "peft_config"):
            model.delete_adapter(_COPY)
        inner = model.get_base_model() if hasattr(model, "peft_config") else model
        inner.forward = MethodType(_forward, inner)
        self.remove_callback(PrinterCallback)
        if label is not None:
            self.add_callback(Progress(label, {"loss": "loss", "margin": "rewards/margins"}))
        self.precompute_ref_logps = True
        self.references = self._reference_log_probs(label)

    def compute_loss(
        self, model: Any, inputs: dict[str, Any], return_outputs: bool = False, num_items_in_batch: Any = None
    ) -> Any:
        """The mean loss over the pairs of one row; Diverged when it is not a number."""
        loss = super().compute_loss(model, inputs, return_outputs, num_items_in_batch)  # type: ignore[no-untyped-call]
        if not math.isfinite(loss.item()):
            raise Diverged(f"loss became {loss.item()}", self.state.global_step + 1)
        return loss

    def _reference_log_probs(self, label: str | None) -> list[tuple[float, float]]:
        """Of each pair the log-probabilities, in nats, of both sides under the model as it is now."""
        size = self.args.per_device_train_batch_size
        found: list[tuple[float, float]] = []
        self.trained.eval()
        with tqdm(total=len(self._pairs), desc=f"{label}: reference", unit="pair", disable=label is None) as bar:
            for start in range(0, len(self._pairs), size):
                rows = [{"pair": at} for at in range(start, min(start + size, len(self._pairs)))]
                inputs = self._prepare_inputs(self._collate(rows))
                labels = inputs["input_ids"].masked_fill(inputs["completion_mask"] == 0, IGNORED)
                with torch.no_grad(), self.accelerator.autocast():
                    preferred, rejected = self.trained(labels=labels, **inputs).log_probs.sum(dim=1).chunk(2)
                found += zip(preferred.tolist(), rejected.tolist(), strict=True)
                bar.update(len(rows))
        self.trained.train()
        return found

    def _collate(self, rows: list[dict[str, int]]) -> dict[str, Any]:
        chosen = [self._pairs[row["pair"]] for row in rows]
        batch = {name: torch.tensor(values) for name, values in collate(chosen).items()}
        if self.references:
            known = torch.tensor([self.references[row["pair"]] for row in rows])
            batch["ref_chosen_logps"], batch["ref_rejected_logps"] = known[:, 0], known[:, 1]
        return batch

    def _prepare_dataset(self, dataset: Dataset, *_: Any) -> Dataset:
        return dataset  # the pairs are tokens already

    def _precompute_ref_logps(self, dataset: Dataset, *_: Any) -> Dataset:
        return dataset  # TRL would keep them in a cache of files; see _reference_log_probs

    def _send_telemetry(self) -> None:
        """Nothing is told to anybody."""


def arguments(settings: TrainingConfig, folder: str, seed: int, checkpointing: bool = False) -> DPOConfig:
    """TRL's arguments for our settings; it writes nothing itself, and there is no dropout."""
    checkpoints: dict[str, Any] = {_CHECKPOINTING: checkpointing}
    return DPOConfig(
        **common_arguments(settings, folder, seed),
        **checkpoints,
        beta=settings.dpo_beta,
        gradient_accumulation_steps=settings.batch // settings.micro_batch,
        precompute_ref_log_probs=settings.tune == "full",  # else TRL loads a second model
        max_length=None,
        save_strategy="no",
        report_to="none",
    )


def collate(pairs: Sequence[PairTokens]) -> dict[str, list[Any]]:
    """What TRL reads, [2 n, longest] with the preferred sides first, and the packed row that is computed.

    `sources` are the positions of the row that predict the tokens that count, in the order of TRL's rows.
    """
    sides = [side for pair in pairs for side in (pair.preferred, pair.rejected)]
    row = pack(sides)
    places = iter(at - 1 for at, label in enumerate(row["labels"][0]) if label != IGNORED)
    sources = [[next(places) for _ in side.targets] for side in sides]
    longest = max(len(side.ids) for side in sides)
    order = [*range(0, len(sides), 2), *range(1, len(sides), 2)]
    counted = [set(sides[i].targets) for i in order]
    return {
        "input_ids": [sides[i].ids + [0] * (longest - len(sides[i].ids)) for i in order],
        "attention_mask": [[int(at < len(sides[i].ids)) for at in range(longest)] for i in order],
        "completion_mask": [[int(at in wanted) for at in range(longest)] for wanted in counted],
        "row": row["input_ids"],
        "positions": row["position_ids"],
        "segments": row["segments"],
        "sources": [at for i in order for at in sources[i]],
    }


def _forward(
    self: Any,
    input_ids: torch.Tensor,
    labels: torch.Tensor,
    row: torch.Tensor,
    positions: torch.Tensor,
    segments: torch.Tensor,
    sources: torch.Tensor,
    **_: Any,
) -> Any:
    """What TRL's fused head gives for padded rows, from the packed one: log-probabilities where `labels` has a token.

    [2 n, longest] to [2 n, longest - 1], 0 elsewhere; entropy, mean logit and whether the token is the likeliest are
    for TRL's metrics.
    """
    logits = (
        type(self)
        .forward(
            self,
            input_ids=row,
            position_ids=positions,
            logits_to_keep=sources,
            use_cache=False,
            packing=Packing.of_row(segments),
        )
        .logits[0]
    )
    labels = labels[:, 1:]
    counted = labels != IGNORED
    tokens = labels[counted]
    logs = torch.log_softmax(logits.float(), dim=-1)

    def spread(values: torch.Tensor) -> torch.Tensor:
        return values.new_zeros(counted.shape).masked_scatter(counted, values)

    with torch.no_grad():
        entropy, mean, top = -(logs.exp() * logs).sum(-1), logits.float().mean(-1), logits.argmax(-1) == tokens
    return FusedCausalLMOutput(
        log_probs=spread(logs.gather(1, tokens[:, None])[:, 0]),
        entropy=spread(entropy),
        mean_logits=spread(mean),
        is_top1=spread(top),
        label_mask=counted,
    )
