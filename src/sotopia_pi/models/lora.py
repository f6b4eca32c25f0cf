"""An adapter's config, read as data before PEFT sees any of it.

It may come from anybody, and PEFT would match its patterns against the names of all modules, make layers as large as
it says, and import what it names. So the weights say which modules are adapted and how large they are; of the config
only plain values are taken, patterns are never run, and what changes more than the adapter's own matrices is refused.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any, Literal, TypeVar

from pydantic import BaseModel, ConfigDict, Field, ValidationError, field_validator

from sotopia_pi.errors import ModelError

ADAPTER_CONFIG = "adapter_config.json"
#: Bytes of a JSON file in a policy's folder; they are some kilobytes long.
_LONGEST = 16 << 20
#: Characters of a pattern that are looked at.
_LONGEST_PATTERN = 10_000
#: Config keys whose values PEFT imports or runs.
_CODE = ("megatron_config", "auto_map")
#: How matrices may have begun: other ways change the base's weights as well.
_BEGUN = (True, False, None, "gaussian", "orthogonal", "eva")
_PLAIN = re.compile(r"\^?[\w.]+")
_LAYER = re.compile(r".*\.[^.]*\.(\d+)\.")
_N = TypeVar("_N", int, float)


class LoraSettings(BaseModel):
    """What of an adapter's config is used."""

    model_config = ConfigDict(frozen=True, extra="allow")

    base_model_name_or_path: str | None = None
    r: int = Field(default=8, ge=1, le=1 << 20)
    rank_pattern: dict[str, int] = Field(default_factory=dict)
    lora_alpha: float = Field(default=8, allow_inf_nan=False)
    alpha_pattern: dict[str, float] = Field(default_factory=dict)
    lora_dropout: float = Field(default=0.0, ge=0, lt=1)
    target_modules: str | frozenset[str] | None = None
    exclude_modules: str | frozenset[str] | None = None
    layers_to_transform: int | frozenset[int] | None = None
    layers_pattern: str | frozenset[str] | None = None
    modules_to_save: frozenset[str] | None = None
    init_lora_weights: Any = True
    fan_in_fan_out: bool = False
    bias: Literal["none", "all", "lora_only"] = "none"
    use_rslora: bool = False
    use_dora: bool = False
    lora_bias: bool = False

    @field_validator("target_modules", "exclude_modules")
    @classmethod
    def _patterns_are_patterns(cls, value: Any) -> Any:
        """They are never run, and a broken one stands in no adapter that worked."""
        if isinstance(value, str):
            try:
                re.compile(value[:_LONGEST_PATTERN])
            except (re.error, RecursionError, OverflowError) as error:
                raise ValueError(f"no pattern: {error}") from None
        return value

    @property
    def names_modules(self) -> bool:
        """Whether it says which modules it adapts by their names alone."""
        by_pattern = isinstance(self.exclude_modules, str) or self.layers_pattern
        return isinstance(self.target_modules, frozenset) and not by_pattern

    def named(self, modules: Iterable[str]) -> set[str]:
        """Which of a model's modules it names."""
        names, layers = self.target_modules, self.layers_to_transform
        assert isinstance(names, frozenset)
        chosen = frozenset((layers,)) if isinstance(layers, int) else layers
        excluded = self.exclude_modules if isinstance(self.exclude_modules, frozenset) else frozenset()
        return {name for name in named_by(names, modules, chosen) if not ends_with(name, excluded)}

    def rank_and_alpha(self, module: str) -> tuple[int, float]:
        """The rank and the alpha of one module."""
        return _of(module, self.rank_pattern, self.r), _of(module, self.alpha_pattern, self.lora_alpha)


def _of(module: str, exceptions: Mapping[str, _N], usual: _N) -> _N:
    for key, value in exceptions.items():
        if module == key.removeprefix("^") or (not key.startswith("^") and module.endswith(f".{key}")):
            return value
    return usual


def ends_with(name: str, endings: Iterable[str]) -> bool:
    """Whether a module's name is one of `endings` or ends with one behind a dot. `endings` is a set."""
    parts = name.split(".")
    return any(".".join(parts[first:]) in endings for first in range(len(parts)))


def named_by(names: Iterable[str], modules: Iterable[str], layers: frozenset[int] | None = None) -> Iterator[str]:
    """The modules that a set of names means to PEFT, in the layers of these numbers or in any."""
    for module in modules:
        layer = _LAYER.match(module) if layers else None
        if ends_with(module, names) and (not layers or (layer is not None and int(layer[1]) in layers)):
            yield module


def read_json(path: Path) -> Any:
    """The JSON in a file of a policy's folder. ValueError, OSError where it is none, or not a file of a sane size."""
    if path.exists() and (not path.is_file() or path.stat().st_size > _LONGEST):
        raise ValueError("not a small text file")
    try:
        return json.loads(path.read_text(encoding="utf-8"))
    except RecursionError:
        raise ValueError("nested too deeply") from None


def adapter_config(folder: Path) -> dict[str, Any]:
    """The adapter's config. ModelError when it cannot be read, is no LoRA, or names code to import."""
    path = folder / ADAPTER_CONFIG
    try:
        config = read_json(path)
    except FileNotFoundError:
        raise ModelError(f"{folder} is not a policy: it has no {ADAPTER_CONFIG}; train it first.") from None
    except (OSError, ValueError) as error:
        raise ModelError(f"{path} cannot be read ({error}); restore the file or train the policy again.") from None
    if not isinstance(config, dict) or config.get("peft_type") != "LORA":
        raise ModelError(f"{path} describes no LoRA adapter, and no other kind is supported.")
    code = [key for key in _CODE if config.get(key)]
    if code:
        raise ModelError(f"{path} names code to run ({code[0]}), which is never done; remove it or use another policy.")
    return config


def lora_settings(folder: Path) -> LoraSettings:
    """The adapter's settings. ModelError when they say what no adapter can be, or what is not supported."""
    path, config = folder / ADAPTER_CONFIG, adapter_config(folder)
    try:
        settings = LoraSettings.model_validate(config)
    except ValidationError as error:
        first = error.errors()[0]
        key = first["loc"][0] if first["loc"] else ""
        raise ModelError(f"{path} cannot be used ({key}: {first['msg']}); restore it or use another policy.") from None
    more = list(_unsupported(settings.model_extra or {}))
    if settings.init_lora_weights not in _BEGUN:
        more.append("init_lora_weights")
    more += [
        name
        for name in ("rank_pattern", "alpha_pattern")
        if not all(_PLAIN.fullmatch(key) for key in getattr(settings, name))
    ]
    if more:
        raise ModelError(
            f"{path} asks for more than plain LoRA ({more[0]}), which is not supported; use another policy, or merge "
            "this one with PEFT."
        )
    return settings


def _unsupported(values: Mapping[str, Any]) -> Iterator[str]:
    """Keys that switch something on: the others describe, or set numbers that are used only with these."""
    described = ("auto_mapping", "runtime_config", "corda_config", "eva_config", "loftq_config", "lora_ga_config")
    for key, value in values.items():
        if key not in (*described, "inference_mode") and (value is True or (isinstance(value, (list, dict)) and value)):
            yield key
