"""The sections of a config but for training and endpoints: who plays what, the rounds, the judge, the speed."""

from __future__ import annotations

from typing import Annotated, Any, Literal, Self

from pydantic import Field, field_validator, model_validator

from sotopia_pi.config.section import Section
from sotopia_pi.errors import ConfigError
from sotopia_pi.models.remote.spec import check_spec

BASE = "base"
EXPERT = "expert"
PARTNER = "partner"
#: The stage of the episodes that people played, and the beginning of those that invited people played (play/NAME).
PLAYED = "play"
_Count = Annotated[int, Field(ge=0, le=100_000)]


def by_people(stage: str | None) -> bool:
    """Whether the episodes of a stage are such that people played."""
    return stage is not None and stage.partition("/")[0] == PLAYED


class WorldConfig(Section):
    """Which tasks there are: scenarios per verified kind, or files of tasks of one's own.

    `transfer` is a second evaluation set, of kinds that `train` need not have. `dev` tasks, of the catalogue's dev
    split, choose among the epochs of a training (`training.keep = "best_play"`). `castings` is how many pairs of
    characters play each scenario. `characters` and `ties` are files that replace the starter world's; without `ties`,
    characters of one's own are strangers to each other. `open_train` and `open_test` add that many of the starter
    world's open scenarios, which only a judge can rate. `overlap` says what happens when an open scenario to train on
    is a near-duplicate of a held-out one. `safety` adds that many scenarios with a harmful goal to the evaluation.
    """

    train: dict[str, _Count] = Field(default_factory=dict)
    test: dict[str, _Count] = Field(default_factory=dict)
    transfer: dict[str, _Count] = Field(default_factory=dict)
    dev: dict[str, _Count] = Field(default_factory=dict)
    split: Literal["test", "dev"] = "test"
    castings: int = Field(default=1, ge=1, le=10_000)
    characters: str | None = None
    ties: str | None = None
    train_tasks: str | None = None
    test_tasks: str | None = None
    overlap: Literal["refuse", "report"] = "refuse"
    open_train: _Count = 0
    open_test: _Count = 0
    safety: _Count = 0


class ModelsConfig(Section):
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


class SamplingConfig(Section):
    """How models are asked: how replies are drawn, and the `layout` in which an episode is shown to them.

    "chat" is one growing conversation, which a prefix cache holds and which training renders; "turn" is the whole
    history in one message at every turn, as in SOTOPIA, for comparison only.
    """

    temperature: float = Field(default=1.0, ge=0, le=100)
    top_p: float = Field(default=1.0, gt=0, le=1)
    max_tokens: int = Field(default=96, ge=8, le=1_000_000)
    layout: Literal["chat", "turn"] = "chat"


class RoundConfig(Section):
    """One round: play, rate, select, train.

    `bc`: the expert plays both roles. `sr`: the parent policy plays with itself. The result is a policy `name`, which
    starts from `parent`'s weights. `repeats` is episodes per task. `select` names a rule and its parameters; `train`
    and `sampling` override the run's. `replay` adds the examples selected by earlier rounds to this round's. `rater` is
    whose scores select: `auto` takes the verifier for verified tasks and the judge for open ones, `judge` the run's
    judge for all; any other rater by its name, as reports give it. `episodes` names imported episodes ("import/NAME")
    that are rated already and are used in place of playing any, or those that people played ("play", or "play/NAME"
    for an invitation), of which it takes the roles of people; with `rater = "none"` imported ones need no ratings.
    `update` says how the policy learns from what is selected: `sft` imitates it, `dpo` prefers it to what was not
    selected.
    """

    name: str = Field(max_length=100, pattern=r"^[a-z0-9][a-z0-9+._-]*$")
    method: Literal["bc", "sr"]
    parent: str = BASE
    repeats: int = Field(default=4, ge=1, le=10_000)
    tasks: int = Field(default=0, ge=0, le=10_000_000)
    select: dict[str, Any] = Field(default_factory=lambda: {"rule": "top_k", "k": 2})
    replay: tuple[str, ...] = ()
    episodes: str | None = Field(
        default=None, pattern=r"^(play(/[a-z0-9][a-z0-9-]*)?|import/[A-Za-z0-9][A-Za-z0-9._-]*)$"
    )
    train: dict[str, Any] = Field(default_factory=dict)
    sampling: dict[str, Any] = Field(default_factory=dict)
    rater: str = Field(default="auto", min_length=1)
    update: Literal["sft", "dpo"] = "sft"


class EvaluationConfig(Section):
    """Every policy in both roles of the held-out tasks, `repeats` times, against the fixed partner."""

    repeats: int = Field(default=1, ge=1, le=10_000)
    sampling: dict[str, Any] = Field(default_factory=dict)
    samples: int = Field(default=3, ge=0, le=10_000)


class SafetyConfig(Section):
    """How safety is measured: `words` is a list of toxic words (a file, or a folder with a file per `language`),
    `classifier` a folder with a text classifier whose `label` means toxic. `partner` plays against policies where a
    goal is harmful; without it `models.partner`, or the base model where that is a script.
    """

    words: str | None = None
    language: str | None = None
    classifier: str | None = None
    label: str | None = None
    partner: str | None = None

    @field_validator("partner")
    @classmethod
    def _partner_is_a_model(cls, value: str | None) -> str | None:
        if value is not None:
            try:
                check_spec(value)
            except ConfigError as error:
                raise ValueError(str(error)) from None
            if value.startswith("scripted:"):
                raise ValueError("scripted players play only verified scenarios; name a model")
        return value


class DimensionConfig(Section):
    """A dimension that the judge rates besides the seven: a whole number from `low` to `high`."""

    name: str = Field(pattern=r"^[a-z][a-z0-9_]{0,39}$")
    low: int = Field(ge=-1000, le=1000)
    high: int = Field(ge=-1000, le=1000)
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


class JudgeSamplingConfig(Section):
    """How the judge's replies are drawn; a rating of two roles takes about 1,000 tokens."""

    temperature: float = Field(default=0.0, ge=0, le=100)
    top_p: float = Field(default=1.0, gt=0, le=1)
    max_tokens: int = Field(default=3000, ge=64, le=1_000_000)


class JudgeConfig(Section):
    """The model that rates open scenarios, and with `also_verified` verified ones too.

    `method` is how: by its reply, or by the probabilities that it gives to numbers, for local weights. `samples` is
    how often it rates each episode; where one number is needed, it is the mean. `panel` names several
    models in place of one, whose ratings are combined as `combine` says. `calibration` is a file that an audit wrote;
    selection then sees calibrated GOAL.
    """

    model: str = Field(default_factory=str)
    method: Literal["reply", "likelihood"] = "reply"
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


class RuntimeConfig(Section):
    """What changes how fast a run is, and never what it does; may differ when a run is continued.

    Training keeps a checkpoint every `save_every` updates (0: none), from which a killed one continues.
    `gradient_checkpointing` computes activations twice rather than keeping them. `trackers` get the metrics besides
    metrics.jsonl. `launch` trains in `processes` processes through accelerate: `ddp`, `fsdp`, `deepspeed`, or the path
    of an accelerate config file.
    """

    concurrency: int = Field(default=32, ge=1, le=100_000)
    slots: int = Field(default=64, ge=1, le=100_000)
    max_context: int = Field(default=2048, ge=256, le=10_000_000)
    threads: int = Field(default=0, ge=0, le=1_024)
    save_every: int = Field(default=20, ge=0, le=1_000_000)
    gradient_checkpointing: bool = False
    trackers: tuple[Literal["wandb", "tensorboard", "trackio"], ...] = ()
    launch: str | None = Field(default=None, min_length=1)
    processes: int = Field(default=1, ge=1, le=1_024)
