"""One sequence per role against one prompt–completion example per turn in TRL's SFTTrainer, on the same episodes.

Both sides train the same tokens of the same model with the same adapter, in one process: float32, the same threads,
optimizer and learning rate, no gradient checkpointing. One update is the whole timed subset, so that both sides take
the same updates and their losses can be compared number by number. A forward pass of either side holds about the same
number of tokens. The baseline's examples are sorted by length, which leaves it the least padding. Tokens are counted
over all episodes; seconds are taken on the stretch of sequences whose ratio of tokens is nearest to that of all.
"""

from __future__ import annotations

import copy
import gc
import tempfile
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any

from benchmarks.flops import measured_peak, training_flops
from benchmarks.selected import Selected, made, published, selected

WEIGHTS = "smollm2-135m"
UPDATES = 2
SEED = 1


@dataclass(frozen=True, slots=True)
class Case:
    """A set of episodes; `timed` of its sequences are trained on, `row` of them in a forward pass."""

    label: str
    items: list[Selected]
    timed: int
    row: int


@dataclass(slots=True)
class Measured:
    """What one side did in an epoch: positions computed, padding among them, trained tokens; per epoch seconds, loss.

    `widths` are the positions of its forward passes, `pairs` how many pairs of positions attention has to look at.
    """

    computed: int = 0
    padding: int = 0
    trained: int = 0
    pairs: int = 0
    widths: list[int] = field(default_factory=list)
    seconds: list[float] = field(default_factory=list)
    losses: list[float] = field(default_factory=list)
    same: str = ""
    flops: float = 0.0


def training() -> list[tuple[str, str]]:
    """Tokens and seconds per epoch of both, their losses, and how far ours is from what the machine could do."""
    from sotopia_pi.models.weights import load_tokenizer

    tokenizer = load_tokenizer(WEIGHTS)
    episodes, source = published()
    talks = list(made(42, 20))
    rows = []
    for case in (
        Case(source, selected(tokenizer, episodes), timed=4, row=4),
        Case(f"{len(talks)} made episodes of 20 turns", selected(tokenizer, talks), timed=2, row=2),
    ):
        rows += compared(case, tokenizer)
    return rows


def compared(case: Case, tokenizer: Any, weights: str = WEIGHTS) -> list[tuple[str, str]]:
    """The rows of one set of episodes."""
    nominal, computed = ours_tokens(case.items, case.row)
    whole = sum(sum(item.ends) for item in case.items)
    size = per_pass(case.items, case.row)
    padded = padded_tokens([end for item in case.items for end in item.ends], size)
    trained = sum(len(item.tokens.targets) for item in case.items)
    timed = stretch(case.items, case.timed, case.row)
    ours, theirs, peak = measure(timed, case.row, tokenizer, weights)
    ratio = whole / computed
    limit = ours.flops / peak
    return [
        ("episodes", f"{case.label}: {len(case.items)} roles, {trained:,} trained tokens"),
        ("tokens per epoch: a sequence per role", f"{nominal:,}; {computed:,} computed (prompts in common once)"),
        (
            "tokens per epoch: an example per turn",
            f"{whole:,}; {padded:,} computed (padding {1 - whole / padded:.1%}, sorted by length)",
        ),
        (
            "fewer tokens",
            f"{ratio:.2f} times ({padded / computed:.2f} with padding, {whole / nominal:.2f} without prompts in "
            "common)",
        ),
        (
            "timed",
            f"{len(timed)} roles: {ours.computed:,} against {theirs.computed:,} computed tokens "
            f"({theirs.computed / ours.computed:.2f} times), {ours.trained:,} and {theirs.trained:,} trained; "
            f"mean pass {_mean(ours.widths):,.0f} and {_mean(theirs.widths):,.0f} tokens",
        ),
        ("same tokens", theirs.same),
        (
            "seconds per epoch, of the timed",
            f"{min(ours.seconds):.1f} against {min(theirs.seconds):.1f}: "
            f"{min(theirs.seconds) / min(ours.seconds):.2f} times less",
        ),
        *[
            (
                f"loss after {update} updates",
                f"{a:.6f} and {b:.6f} nats per trained token (difference {abs(a - b):.1e})",
            )
            for update, (a, b) in enumerate(zip(ours.losses, theirs.losses, strict=True))
        ],
        ("without loss", f"{1 - ours.trained / ours.computed:.0%} and {1 - theirs.trained / theirs.computed:.0%}"),
        (
            "against the limit",
            f"{ours.flops / 1e12:.2f} TFLOP at {peak / 1e9:.0f} GFLOP/s (float32 products, measured) are {limit:.1f} "
            f"s: ours is at {limit / min(ours.seconds):.0%}, an example per turn at "
            f"{theirs.flops / peak / min(theirs.seconds):.0%} of its own limit and {limit / min(theirs.seconds):.0%} "
            "of ours",
        ),
    ]


def ours_tokens(items: Sequence[Selected], row: int) -> tuple[int, int]:
    """Tokens of the sequences, and positions that are computed when `row` of them lie in a row."""
    from sotopia_pi.training.rows import pack

    tokens = [item.tokens for item in items]
    rows = [pack(tokens[at : at + row])["input_ids"][0] for at in range(0, len(tokens), row)]
    return sum(len(item.ids) for item in tokens), sum(map(len, rows))


def padded_tokens(lengths: Sequence[int], size: int) -> int:
    """Positions that are computed when examples, sorted by length, are padded in batches of `size`."""
    ordered = sorted(lengths)
    batches = [ordered[at : at + size] for at in range(0, len(ordered), size)]
    return sum(max(batch) * len(batch) for batch in batches)


def per_pass(items: Sequence[Selected], row: int) -> int:
    """How many examples have about as many tokens as a row of ours."""
    lengths = [end for item in items for end in item.ends]
    computed = ours_tokens(items, row)[1] / max(len(items) / row, 1)
    return max(1, round(computed * len(lengths) / sum(lengths)))


def stretch(items: Sequence[Selected], count: int, row: int) -> list[Selected]:
    """The `count` sequences side by side whose ratio of tokens between the two forms is nearest to that of all."""

    def ratio(some: Sequence[Selected]) -> float:
        return sum(sum(item.ends) for item in some) / ours_tokens(some, row)[1]

    def cuts_none(start: int) -> bool:
        groups = [item.tokens.group for item in items[max(start - 1, 0) : start + 1]]
        after = [item.tokens.group for item in items[start + count - 1 : start + count + 1]]
        return (start == 0 or groups[0] != groups[-1]) and (len(after) < 2 or after[0] != after[1])

    wanted = ratio(items)
    starts = [start for start in range(len(items) - count + 1) if cuts_none(start)] or [0]
    best = min(starts, key=lambda start: abs(ratio(items[start : start + count]) - wanted))
    return list(items[best : best + count])


def measure(
    items: Sequence[Selected], row: int, tokenizer: Any, weights: str = WEIGHTS
) -> tuple[Measured, Measured, float]:
    """Trains both forms for a few updates, ours before and after the other; and the machine's peak meanwhile."""
    from sotopia_pi.models.weights import load_model
    from sotopia_pi.training.trainer import keep_freed_memory

    keep_freed_memory()  # for both: the setting is the process's
    peak = measured_peak(load_model(weights).config)
    ours = train_ours(items, row, weights)
    theirs = train_per_turn(items, per_pass(items, row), tokenizer, weights)
    ours.seconds += train_ours(items, row, weights, updates=1).seconds
    return ours, theirs, max(peak, measured_peak(load_model(weights).config))


def _settings(batch: int, row: int, updates: int = UPDATES) -> Any:
    from sotopia_pi.config import TrainingConfig

    return TrainingConfig(epochs=updates, batch=batch, micro_batch=row, schedule="constant", warmup=0.0)


def train_ours(items: Sequence[Selected], row: int, weights: str, updates: int = UPDATES) -> Measured:
    """Trains packed rows."""
    from transformers import set_seed

    from sotopia_pi.models.weights import load_model
    from sotopia_pi.training.adapters import with_adapter
    from sotopia_pi.training.trainer import PackedTrainer, arguments

    settings = _settings(-(-len(items) // row) * row, row, updates)
    model = load_model(weights)
    set_seed(SEED)
    model = with_adapter(model, None, settings)
    with tempfile.TemporaryDirectory() as folder:
        made = PackedTrainer(model, [item.tokens for item in items], settings, arguments(settings, folder, SEED))
        return _trained(made, _pairs_of_row)


def train_per_turn(items: Sequence[Selected], size: int, tokenizer: Any, weights: str) -> Measured:
    """Trains an example per turn with TRL, with the adapter that ours has."""
    import datasets
    from transformers import set_seed
    from trl import SFTConfig, SFTTrainer

    from sotopia_pi.models.weights import load_model
    from sotopia_pi.training.adapters import with_adapter

    settings = _settings(1, 1)
    set_seed(SEED)
    lora = copy.deepcopy(with_adapter(load_model(weights), None, settings).peft_config["default"])
    model = load_model(weights)
    examples = [(end, turn) for item in items for end, turn in zip(item.ends, item.turns, strict=True)]
    examples.sort(key=lambda pair: pair[0])
    datasets.disable_progress_bars()
    with tempfile.TemporaryDirectory() as folder:
        given = SFTConfig(
            output_dir=folder,
            num_train_epochs=UPDATES,
            learning_rate=settings.learning_rate,
            lr_scheduler_type="constant",
            weight_decay=settings.weight_decay,
            per_device_train_batch_size=size,
            gradient_accumulation_steps=-(-len(examples) // size),
            train_sampling_strategy="sequential",
            max_length=None,
            bf16=False,
            activation_checkpointing=False,
            logging_steps=1,
            save_strategy="no",
            report_to="none",
            disable_tqdm=True,
            dataloader_pin_memory=False,
            use_cpu=True,
            seed=SEED,
        )
        set_seed(SEED)
        data = datasets.Dataset.from_list([turn for _, turn in examples])
        made = SFTTrainer(model, given, train_dataset=data, processing_class=tokenizer, peft_config=lora)
        same = _same(items, made.train_dataset)
        measured = _trained(made, _pairs_of_padded)
    measured.same = same
    return measured


def _same(items: Sequence[Selected], data: Any) -> str:
    """How many examples TRL cut into the very tokens that stand in our sequences, and trains on the same of them."""
    ours = {tuple(item.tokens.ids[:end]) for item in items for end in item.ends}
    targets = {tuple(item.tokens.ids[:end]): _last(item, end) for item in items for end in item.ends}
    equal = sum(
        tuple(row["input_ids"]) in ours
        and targets[tuple(row["input_ids"])] == sum(label != -100 for label in row["labels"])
        for row in data
    )
    return f"{equal} of {len(data)} examples have exactly our tokens, and train on the same of them"


def _last(item: Selected, end: int) -> int:
    """How many trained tokens the turn that ends at `end` has."""
    before = max((other for other in item.ends if other < end), default=0)
    return sum(before <= at < end for at in item.tokens.targets)


def _trained(trainer: Any, pairs: Callable[[dict[str, Any]], int]) -> Measured:
    """Trains, with a clock around every epoch and a count of what is computed in the first."""
    from transformers import TrainerCallback
    from transformers.trainer_callback import PrinterCallback

    found = Measured()
    collate = trainer.data_collator

    def counting(batch: Any) -> Any:
        made = collate(batch)
        if not found.seconds:
            mask = made.get("attention_mask")
            found.computed += made["input_ids"].numel()
            found.padding += 0 if mask is None else int((mask == 0).sum())
            found.trained += int((made["labels"] != -100).sum())
            found.pairs += pairs(made)
            found.widths.append(made["input_ids"].numel())
        return made

    class Clock(TrainerCallback):
        def on_epoch_begin(self, args: Any, state: Any, control: Any, **_: Any) -> None:
            self.began = time.perf_counter()

        def on_epoch_end(self, args: Any, state: Any, control: Any, **_: Any) -> None:
            found.seconds.append(time.perf_counter() - self.began)

    trainer.data_collator = counting
    trainer.remove_callback(PrinterCallback)
    trainer.add_callback(Clock())
    trainer.train()
    found.losses = [entry["loss"] for entry in trainer.state.log_history if "loss" in entry]
    found.flops = training_flops(trainer.model, found.computed - found.padding, found.trained, found.pairs)
    del trainer
    gc.collect()
    return found


def _pairs_of_row(row: dict[str, Any]) -> int:
    return int((row["position_ids"] + 1).sum())


def _pairs_of_padded(batch: dict[str, Any]) -> int:
    lengths = batch["attention_mask"].sum(dim=1)
    return int((lengths * (lengths + 1) // 2).sum())


def _mean(values: Sequence[int]) -> float:
    return sum(values) / len(values)
