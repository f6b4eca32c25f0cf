"""The configuration of a run: typed TOML, unknown keys refused, the resolved copy saved with the run.

`load` reads a file (or the bundled demo), applies `--set` overrides and checks everything that can be checked before
any work starts. What two configs disagree on is named by `differences`.
"""

from sotopia_pi.config.endpoint import EndpointConfig, HostConfig
from sotopia_pi.config.run import Config
from sotopia_pi.config.sections import (
    BASE,
    EXPERT,
    PARTNER,
    PLAYED,
    DimensionConfig,
    EvaluationConfig,
    JudgeConfig,
    JudgeSamplingConfig,
    ModelsConfig,
    RoundConfig,
    RuntimeConfig,
    SafetyConfig,
    SamplingConfig,
    WorldConfig,
    by_people,
)
from sotopia_pi.config.toml import differences, load, parse, to_toml
from sotopia_pi.config.training import PRESETS, TrainingConfig

__all__ = [
    "BASE",
    "EXPERT",
    "PARTNER",
    "PLAYED",
    "PRESETS",
    "Config",
    "DimensionConfig",
    "EndpointConfig",
    "EvaluationConfig",
    "HostConfig",
    "JudgeConfig",
    "JudgeSamplingConfig",
    "ModelsConfig",
    "RoundConfig",
    "RuntimeConfig",
    "SafetyConfig",
    "SamplingConfig",
    "TrainingConfig",
    "WorldConfig",
    "by_people",
    "differences",
    "load",
    "parse",
    "to_toml",
]
