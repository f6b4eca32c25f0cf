"""The configuration of a run: typed TOML, unknown keys refused, the resolved copy saved with the run.

`load` reads a file (or the bundled demo), applies `--set` overrides and checks everything that can be checked before
any work starts. What two configs disagree on is named by `differences`.
"""

from __future__ import annotations

import json
import tomllib
from collections.abc import Mapping, Sequence
from importlib.resources import files
from pathlib import Path
from typing import Annotated, Any, Literal, Self, TypeVar

from pydantic import BaseModel, ConfigDict, Field, ValidationError, field_validator, model_validator

from sotopia_pi.errors import ConfigError
from sotopia_pi.models.remote.spec import VARIABLE, check_spec

Kind = Literal["price", "division", "meeting", "fact"]
BASE = "base"
EXPERT = "expert"
PARTNER = "partner"
_Count = Annotated[int, Field(ge=0)]


class _Section(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)


class WorldConfig(_Section):
    """Which tasks there are: scenarios per verified kind, or files of tasks of one's own.

    `transfer` is a second evaluation set, of kinds that `train` need not have. `dev` tasks, of the catalogue's dev
    split, choose among the epochs of a training (`training.keep = "best_play"`). `castings` is how many pairs of
    characters play each scenario. `characters` and `ties` are files that replace the starter world's; without `ties`,
    characters of one's own are strangers to each other. `open_train` and `open_test` add that many of the starter
    world's open scenarios, which only a judge can rate. `overlap` says what happens when an open scenario to train on
    is a near-duplicate of a held-out one.
    """

    train: dict[Kind, _Count] = Field(default_factory=dict)
    test: dict[Kind, _Count] = Field(default_factory=dict)
    transfer: dict[Kind, _Count] = Field(default_factory=dict)
    dev: dict[Kind, _Count] = Field(default_factory=dict)
    split: Literal["test", "dev"] = "test"
    castings: int = Field(default=1, ge=1)
    characters: str | None = None
    ties: str | None = None
    train_tasks: str | None = None
    test_tasks: str | None = None
    overlap: Literal["refuse", "report"] = "refuse"
    open_train: int = Field(default=0, ge=0)
    open_test: int = Field(default=0, ge=0)


class ModelsConfig(_Section):
    """Who plays: a model name or folder, `openai:MODEL@URL`, `litellm:MODEL`, `scripted:NAME`, or for tests `fake:`."""

    policy: str = "smollm2-135m"
    expert: str = "scripted:expert"
    partner: str = "scripted:partner"
    weights: str | None = None
    prompts: str | None = None

    @field_validator("*")
    @classmethod
    def _specs_can_be_read(cls, value: Any) -> Any:
        if isinstance(value, str):
            try:
                check_spec(value)
            except ConfigError as error:
                raise ValueError(str(error)) from None
        return value


class SamplingConfig(_Section):
    """How models are asked: how replies are drawn, and the `layout` in which an episode is shown to them.

    "chat" is one growing conversation, which a prefix cache holds and which training renders; "turn" is the whole
    history in one message at every turn, as in SOTOPIA, for comparison only.
    """

    temperature: float = Field(default=1.0, ge=0)
    top_p: float = Field(default=1.0, gt=0, le=1)
    max_tokens: int = Field(default=64, ge=8)
    layout: Literal["chat", "turn"] = "chat"


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


class TrainingConfig(_Section):
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
    epochs: float = Field(default=2, gt=0)
    learning_rate: float = Field(default=1e-3, gt=0)
    schedule: Literal["cosine", "linear", "constant"] = "cosine"
    warmup: float = Field(default=0.03, ge=0, lt=1)
    batch: int = Field(default=8, ge=1)
    micro_batch: int = Field(default=2, ge=1)
    weight_decay: float = Field(default=0.0, ge=0)
    lora_rank: int = Field(default=16, ge=1)
    lora_alpha: int = Field(default=32, ge=1)
    lora_dropout: float = Field(default=0.0, ge=0, lt=1)
    lora_targets: str | tuple[str, ...] = "all-linear"
    lora_layers: int = Field(default=0, ge=0)
    cutoff: int = Field(default=2048, ge=64)
    hold_out: float = Field(default=0.0, ge=0, lt=1)
    keep: Literal["last", "best_loss", "best_play"] = "last"
    dpo_beta: float = Field(default=0.1, gt=0)
    dpo_margin: float = Field(default=1.0, gt=0)

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


class RoundConfig(_Section):
    """One round: play, rate, select, train.

    `bc`: the expert plays both roles. `sr`: the parent policy plays with itself. The result is a policy `name`, which
    starts from `parent`'s weights. `repeats` is episodes per task. `select` names a rule and its parameters; `train`
    and `sampling` override the run's. `replay` adds the examples selected by earlier rounds to this round's. `rater` is
    whose scores select: `auto` takes the verifier for verified tasks and the judge for open ones, `judge` the run's
    judge for all; any other rater by its name, as reports give it. `episodes` names imported episodes ("import/NAME")
    that are rated already and are used in place of playing any. `update` says how the policy learns from what is
    selected: `sft` imitates it, `dpo` prefers it to what was not selected.
    """

    name: str = Field(pattern=r"^[a-z0-9][a-z0-9+._-]*$")
    method: Literal["bc", "sr"]
    parent: str = BASE
    repeats: int = Field(default=4, ge=1)
    tasks: int = Field(default=0, ge=0)
    select: dict[str, Any] = Field(default_factory=lambda: {"rule": "top_k", "k": 2})
    replay: tuple[str, ...] = ()
    episodes: str | None = Field(default=None, pattern=r"^import/[A-Za-z0-9][A-Za-z0-9._-]*$")
    train: dict[str, Any] = Field(default_factory=dict)
    sampling: dict[str, Any] = Field(default_factory=dict)
    rater: str = Field(default="auto", min_length=1)
    update: Literal["sft", "dpo"] = "sft"


class EvaluationConfig(_Section):
    """Every policy in both roles of the held-out tasks, `repeats` times, against the fixed partner."""

    repeats: int = Field(default=1, ge=1)
    sampling: dict[str, Any] = Field(default_factory=dict)
    samples: int = Field(default=3, ge=0)


class DimensionConfig(_Section):
    """A dimension that the judge rates besides the seven: a whole number from `low` to `high`."""

    name: str = Field(pattern=r"^[a-z][a-z0-9_]{0,39}$")
    low: int = Field(ge=-1000)
    high: int = Field(le=1000)
    description: str = Field(min_length=1)

    @model_validator(mode="after")
    def _is_new_and_a_range(self) -> Self:
        if self.low >= self.high:
            raise ValueError(f"the dimension {self.name!r} needs a low ({self.low}) below its high ({self.high})")
        if self.name in _TAKEN:
            raise ValueError(f"{self.name!r} is a name of the judge's own; give the dimension another one")
        return self


#: SOTOPIA-EVAL's seven dimensions, and what else stands where a dimension's name would.
_SIX = ("believability", "relationship", "knowledge", "secret", "social_rules", "financial_and_material_benefits")
_TAKEN = (*_SIX, "goal", "overall", "name", "token")


class JudgeSamplingConfig(_Section):
    """How the judge's replies are drawn; a rating of two roles takes about 1,000 tokens."""

    temperature: float = Field(default=0.0, ge=0)
    top_p: float = Field(default=1.0, gt=0, le=1)
    max_tokens: int = Field(default=3000, ge=64)


class JudgeConfig(_Section):
    """The model that rates open scenarios, and with `also_verified` verified ones too.

    `samples` is how often it rates each episode; where one number is needed, it is the mean. `panel` names several
    models in place of one, whose ratings are combined as `combine` says. `calibration` is a file that an audit wrote;
    selection then sees calibrated GOAL.
    """

    model: str = Field(default_factory=str)
    panel: tuple[str, ...] = ()
    combine: Literal["median", "trimmed_mean"] = "median"
    calibration: str | None = Field(default=None, min_length=1)
    samples: int = Field(default=1, ge=1, le=100)
    also_verified: bool = False
    sampling: JudgeSamplingConfig = JudgeSamplingConfig()
    dimensions: tuple[DimensionConfig, ...] = ()

    @property
    def models(self) -> tuple[str, ...]:
        """Every model that rates: those of the panel, else the one."""
        return self.panel or (self.model,)

    @model_validator(mode="after")
    def _dimensions_differ(self) -> Self:
        names = [dimension.name for dimension in self.dimensions]
        if len(set(names)) != len(names):
            raise ValueError("two dimensions have the same name; rename one")
        return self

    @model_validator(mode="after")
    def _somebody_rates(self) -> Self:
        if bool(self.model.strip()) == bool(self.panel):
            raise ValueError("name either one model or, as panel, several")
        if self.panel and (len(set(self.panel)) != len(self.panel) or len(self.panel) < 2 or not all(self.panel)):
            raise ValueError(f"a panel needs two or more different models, and it is {list(self.panel)}")
        return self


class RuntimeConfig(_Section):
    """What changes how fast a run is, and never what it does; may differ when a run is continued.

    Training keeps a checkpoint every `save_every` updates (0: none), from which a killed one continues.
    `gradient_checkpointing` computes activations twice rather than keeping them. `trackers` get the metrics besides
    metrics.jsonl. `launch` trains in `processes` processes through accelerate: `ddp`, `fsdp`, `deepspeed`, or the path
    of an accelerate config file.
    """

    concurrency: int = Field(default=32, ge=1)
    slots: int = Field(default=64, ge=1)
    max_context: int = Field(default=2048, ge=256)
    threads: int = Field(default=0, ge=0)
    save_every: int = Field(default=20, ge=0)
    gradient_checkpointing: bool = False
    trackers: tuple[Literal["wandb", "tensorboard", "trackio"], ...] = ()
    launch: str | None = Field(default=None, min_length=1)
    processes: int = Field(default=1, ge=1)


class HostConfig(_Section):
    """What is different for one host of `[endpoint]`; see there."""

    concurrency: int | None = Field(default=None, ge=1)
    requests_per_minute: float | None = Field(default=None, ge=0)
    tokens_per_minute: float | None = Field(default=None, ge=0)
    timeout: float | None = Field(default=None, gt=0)
    attempts: int | None = Field(default=None, ge=1)
    give_up: float | None = Field(default=None, gt=0)
    reply_bytes: int | None = Field(default=None, ge=1024)
    key: str | None = Field(default=None, pattern=VARIABLE)


class EndpointConfig(_Section):
    """How remote models are asked: limits (0: none), time-outs, retries; never what they answer.

    The limits hold for each model. `key` is the name of an environment variable, never a key. `hosts` changes any of
    it for a host (`"api.example.com"` or `"127.0.0.1:8000"`). `prices` is a price table of one's own.
    """

    concurrency: int = Field(default=512, ge=1)
    requests_per_minute: float = Field(default=0, ge=0)
    tokens_per_minute: float = Field(default=0, ge=0)
    timeout: float = Field(default=120, gt=0)
    attempts: int = Field(default=10, ge=1)
    give_up: float = Field(default=600, gt=0)
    reply_bytes: int = Field(default=1_000_000, ge=1024)
    key: str | None = Field(default=None, pattern=VARIABLE)
    prices: str | None = None
    hosts: dict[str, HostConfig] = Field(default_factory=dict)

    def at(self, host: str) -> EndpointConfig:
        """The settings for a host, such as "api.example.com" or "127.0.0.1:8000"."""
        own = self.hosts.get(host) or self.hosts.get(host.rpartition(":")[0] or host)
        return self if own is None else self.model_copy(update=own.model_dump(exclude_none=True))


class Config(_Section):
    """A whole run."""

    name: str = Field(default="run", pattern=r"^[A-Za-z0-9][A-Za-z0-9._-]*$")
    seed: int = 1
    max_turns: int = Field(default=20, ge=1, le=200)
    world: WorldConfig = WorldConfig()
    models: ModelsConfig = ModelsConfig()
    sampling: SamplingConfig = SamplingConfig()
    training: TrainingConfig = TrainingConfig()
    rounds: tuple[RoundConfig, ...] = ()
    evaluation: EvaluationConfig = EvaluationConfig()
    endpoint: EndpointConfig = EndpointConfig()
    judge: JudgeConfig | None = None
    runtime: RuntimeConfig = RuntimeConfig()

    @model_validator(mode="after")
    def _rounds_follow_each_other(self) -> Self:
        known = {BASE}
        for item in self.rounds:
            if item.name in known | {EXPERT, PARTNER}:
                raise ValueError(f"there are two players named {item.name!r}; give the round another name")
            for earlier in (item.parent, *item.replay):
                if earlier not in known or (earlier == BASE and earlier in item.replay):
                    raise ValueError(f"round {item.name!r} refers to {earlier!r}, which is no earlier round")
            if item.rater == "judge" and self.judge is None:
                raise ValueError(f"round {item.name!r} selects by the judge, and there is none; add [judge] model = …")
            if self.training_of(item).keep == "best_play" and not self.world.dev:
                raise ValueError(f"round {item.name!r} keeps the epoch that plays best; add world.dev tasks to play")
            if "turn" in (self.sampling_of(item).layout, self.evaluation_sampling().layout):
                raise ValueError(
                    f"round {item.name!r} trains what the chat layout shows, and sampling.layout is 'turn', which is "
                    "for comparison; remove the rounds or the layout"
                )
            known.add(item.name)
        self.evaluation_sampling()
        return self

    def round(self, name: str) -> RoundConfig:
        """The round that makes the policy `name`; ConfigError when there is none."""
        for item in self.rounds:
            if item.name == name:
                return item
        raise ConfigError(f"There is no round {name!r}; the rounds are: {', '.join(r.name for r in self.rounds)}.")

    def training_of(self, item: RoundConfig) -> TrainingConfig:
        """The training settings of a round: the run's with the round's overrides."""
        return _changed(self.training, item.train, f"rounds.{self.rounds.index(item)}.train")

    def sampling_of(self, item: RoundConfig) -> SamplingConfig:
        """How the policy is sampled while a round is collected."""
        return _changed(self.sampling, item.sampling, f"rounds.{self.rounds.index(item)}.sampling")

    def evaluation_sampling(self) -> SamplingConfig:
        """How policies are sampled in the evaluation."""
        return _changed(self.sampling, self.evaluation.sampling, "evaluation.sampling")


_S = TypeVar("_S", bound=_Section)


def _changed(section: _S, changes: Mapping[str, Any], where: str) -> _S:
    """`section` with some settings changed; ValueError naming those at `where` that cannot be.

    A preset among the changes goes before all that the section says.
    """
    try:
        return section.model_validate(
            {**section.model_dump(), **PRESETS.get(str(changes.get("preset")), {}), **changes}
        )
    except ValidationError as error:
        raise ValueError("; ".join(_explain(detail, f"{where}.") for detail in error.errors())) from None


def load(path: Path | None, overrides: Sequence[str] = ()) -> Config:
    """The config in `path` (None: the bundled demo) with `key=value` overrides. ConfigError names what is wrong."""
    if path is None:
        text, where = (files("sotopia_pi") / "demo.toml").read_text(encoding="utf-8"), "the bundled demo"
    else:
        try:
            text, where = path.read_text(encoding="utf-8"), str(path)
        except (OSError, UnicodeDecodeError) as error:
            raise ConfigError(f"The config {path} cannot be read ({error}); give a TOML file.") from error
    try:
        values = tomllib.loads(text)
    except tomllib.TOMLDecodeError as error:
        raise ConfigError(f"{where} is not valid TOML: {error}.") from error
    for override in overrides:
        _override(values, override)
    return parse(values, where)


def parse(values: Mapping[str, Any], where: str) -> Config:
    """A config from plain values; `where` they come from is named in errors."""
    try:
        return Config.model_validate(values)
    except ValidationError as error:
        lines = [_explain(detail) for detail in error.errors()]
        raise ConfigError(f"{where}: " + "; ".join(lines) + ".") from None


def _explain(detail: Any, prefix: str = "") -> str:
    key = (prefix + ".".join(str(part) for part in detail["loc"])).rstrip(".")
    if detail["type"] == "extra_forbidden":
        return f"{key} is not a setting; remove it or see docs/configuration.md for the settings there are"
    message = detail["msg"].removeprefix("Value error, ")
    return f"{key}: {message}" if key else message


def _override(values: dict[str, Any], override: str) -> None:
    """Sets one `a.b.0.c=value`; the value is TOML where it can be, else a text."""
    key, equals, text = override.partition("=")
    if not equals or not key.strip():
        raise ConfigError(f"--set needs key=value, not {override!r}; for example --set training.epochs=1.")
    try:
        value = tomllib.loads(f"value = {text}")["value"]
    except tomllib.TOMLDecodeError:
        value = text
    *parents, last = key.strip().split(".")
    at: Any = values
    try:
        for part in parents:
            at = at[int(part)] if isinstance(at, list) else at.setdefault(part, {})
        at[int(last) if isinstance(at, list) else last] = value
    except (ValueError, IndexError, TypeError, AttributeError):
        raise ConfigError(f"--set {key}: there is no such place in the config.") from None


def differences(stored: Config, given: Config) -> list[str]:
    """The settings in which two configs disagree, as "key: stored → given", but for those of speed alone."""
    a, b = (_flat(config.model_dump(mode="json", exclude={"runtime", "endpoint"})) for config in (stored, given))
    return [f"{key}: {a.get(key)} → {b.get(key)}" for key in sorted(a.keys() | b.keys()) if a.get(key) != b.get(key)]


def _flat(value: Any, prefix: str = "") -> dict[str, Any]:
    if isinstance(value, dict) and value:
        return {k: v for key, item in value.items() for k, v in _flat(item, f"{prefix}{key}.").items()}
    if isinstance(value, list) and value:
        return {k: v for i, item in enumerate(value) for k, v in _flat(item, f"{prefix}{i}.").items()}
    return {prefix.rstrip("."): value}


def to_toml(config: Config) -> str:
    """The resolved config as TOML that `load` reads back."""
    values = config.model_dump(mode="json", exclude_none=True)
    rounds = values.pop("rounds")
    tables = {key: values.pop(key) for key in list(values) if isinstance(values[key], dict)}
    lines = [f"{key} = {_inline(value)}" for key, value in values.items()]
    for name, table in tables.items():
        lines += ["", f"[{name}]", *(f"{key} = {_inline(value)}" for key, value in table.items())]
    for item in rounds:
        lines += ["", "[[rounds]]", *(f"{key} = {_inline(value)}" for key, value in item.items())]
    return "\n".join(lines) + "\n"


def _inline(value: Any) -> str:
    if isinstance(value, dict):
        return "{ " + ", ".join(f"{_inline(key)} = {_inline(item)}" for key, item in value.items()) + " }"
    if isinstance(value, list):
        return "[" + ", ".join(_inline(item) for item in value) + "]"
    return json.dumps(value, ensure_ascii=False).replace("\x7f", "\\u007f")  # which JSON may hold and TOML may not
