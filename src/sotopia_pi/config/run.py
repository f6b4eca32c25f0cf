"""The config of a whole run: its sections, and that they agree with each other."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Self, TypeVar

from pydantic import Field, ValidationError, model_validator

from sotopia_pi.config.endpoint import EndpointConfig
from sotopia_pi.config.section import WIDEST, Section, explain
from sotopia_pi.config.sections import (
    BASE,
    EXPERT,
    PARTNER,
    EvaluationConfig,
    JudgeConfig,
    ModelsConfig,
    RoundConfig,
    RuntimeConfig,
    SafetyConfig,
    SamplingConfig,
    WorldConfig,
    by_people,
)
from sotopia_pi.config.training import PRESETS, TrainingConfig
from sotopia_pi.errors import ConfigError

#: Episodes of one round, or of one policy in the evaluation.
MOST_EPISODES = 10_000_000


class Config(Section):
    """A whole run."""

    name: str = Field(default="run", max_length=100, pattern=r"^[A-Za-z0-9][A-Za-z0-9._-]*$")
    seed: int = Field(default=1, ge=-WIDEST, le=WIDEST)
    max_turns: int = Field(default=20, ge=1, le=200)
    world: WorldConfig = WorldConfig()
    models: ModelsConfig = ModelsConfig()
    sampling: SamplingConfig = SamplingConfig()
    training: TrainingConfig = TrainingConfig()
    rounds: tuple[RoundConfig, ...] = ()
    evaluation: EvaluationConfig = EvaluationConfig()
    endpoint: EndpointConfig = EndpointConfig()
    judge: JudgeConfig | None = None
    safety: SafetyConfig = SafetyConfig()
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
            if item.rater == "none" and (item.episodes is None or by_people(item.episodes) or item.update == "dpo"):
                raise ValueError(f"round {item.name!r} has the rater 'none', which is for imitating imported episodes")
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

    @model_validator(mode="after")
    def _episodes_can_be_kept(self) -> Self:
        drawn = {"train": sum(self.world.train.values()) + self.world.open_train}
        drawn["test"] = sum((*self.world.test.values(), *self.world.transfer.values(), self.world.open_test))
        repeats = {"train": max((item.repeats for item in self.rounds), default=1), "test": 2 * self.evaluation.repeats}
        for name, scenarios in drawn.items():
            episodes = scenarios * self.world.castings * repeats[name]
            if episodes > MOST_EPISODES:
                raise ValueError(
                    f"the scenarios of world.{name}, world.castings and the repeats are {episodes:,} episodes; plan at "
                    f"most {MOST_EPISODES:,}"
                )
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


_S = TypeVar("_S", bound=Section)


def _changed(section: _S, changes: Mapping[str, Any], where: str) -> _S:
    """`section` with some settings changed; ValueError naming those at `where` that cannot be.

    A preset among the changes goes before all that the section says.
    """
    try:
        return section.model_validate(
            {**section.model_dump(), **PRESETS.get(str(changes.get("preset")), {}), **changes}
        )
    except ValidationError as error:
        raise ValueError("; ".join(explain(detail, f"{where}.") for detail in error.errors())) from None
