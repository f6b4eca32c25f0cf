"""What every section of a config is: frozen, with every key known; and how it says what is wrong with one."""

from __future__ import annotations

from typing import Any

from pydantic import BaseModel, ConfigDict


class Section(BaseModel):
    """A table of the config: it cannot be changed, unknown keys are refused, numbers are finite."""

    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)


def explain(detail: Any, prefix: str = "") -> str:
    """One of pydantic's complaints as "key: what is wrong", its key behind `prefix`."""
    key = (prefix + ".".join(str(part) for part in detail["loc"])).rstrip(".")
    if detail["type"] == "extra_forbidden":
        return f"{key} is not a setting; remove it or see docs/configuration.md for the settings there are"
    message = detail["msg"].removeprefix("Value error, ")
    return f"{key}: {message}" if key else message
