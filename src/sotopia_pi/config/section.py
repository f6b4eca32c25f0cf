"""What every section of a config is: frozen, with every key known; and how it says what is wrong with one."""

from __future__ import annotations

import math
from typing import Any

from pydantic import BaseModel, ConfigDict, model_validator

#: Characters of a text, entries of a list or table, and how deep they may be nested.
LONGEST_TEXT, MOST_ENTRIES, _DEEPEST = 4_096, 1_000, 20
#: Numbers are of 64 bits, as those of TOML.
WIDEST = 2**63 - 1


class Section(BaseModel):
    """A table of the config: it cannot be changed, unknown keys are refused, numbers are finite and bounded.

    Every setting that is a number has a lowest and a highest value; a text or list is bounded whatever it is for.
    """

    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)

    @model_validator(mode="before")
    @classmethod
    def _is_of_a_size_that_can_be_meant(cls, values: Any) -> Any:
        if isinstance(values, dict):
            for key, value in values.items():
                _check_size(value, str(key)[:100])
        return values


def _check_size(value: Any, key: str, depth: int = 0) -> None:
    """ValueError, naming the key, for what is larger than any setting."""
    if isinstance(value, str) and len(value) > LONGEST_TEXT:
        raise ValueError(f"{key} has {len(value):,} characters; give at most {LONGEST_TEXT:,}")
    if isinstance(value, int) and abs(value) > WIDEST:
        raise ValueError(f"{key} is no number of 64 bits")
    if isinstance(value, float) and not math.isfinite(value) and depth:
        raise ValueError(f"{key} is {value}; give a finite number")
    if isinstance(value, dict | list | tuple):
        if len(value) > MOST_ENTRIES or depth >= _DEEPEST:
            raise ValueError(f"{key} has more than {MOST_ENTRIES:,} entries or is nested more than {_DEEPEST} deep")
        for name, item in value.items() if isinstance(value, dict) else enumerate(value):
            _check_size(item, f"{key}.{str(name)[:100]}", depth + 1)


def explain(detail: Any, prefix: str = "") -> str:
    """One of pydantic's complaints as "key: what is wrong", its key behind `prefix`."""
    key = (prefix + ".".join(str(part) for part in detail["loc"])).rstrip(".")
    if detail["type"] == "extra_forbidden":
        return f"{key} is not a setting; remove it or see docs/configuration.md for the settings there are"
    message = detail["msg"].removeprefix("Value error, ")
    if "ctx" in detail and isinstance(detail["input"], int | float):
        message += f", not {detail['input']:g}" if isinstance(detail["input"], float) else f", not {detail['input']}"
    return f"{key}: {message}" if key else message
