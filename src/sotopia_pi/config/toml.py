"""Configs from TOML and back, with `--set` overrides, and what two of them disagree on."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from importlib.resources import files
from pathlib import Path
from typing import Any

from pydantic import ValidationError

from sotopia_pi.config.run import Config
from sotopia_pi.config.section import explain
from sotopia_pi.errors import ConfigError
from sotopia_pi.inputs import read_text, read_toml


def load(path: Path | None, overrides: Sequence[str] = ()) -> Config:
    """The config in `path` (None: the bundled demo) with `key=value` overrides. ConfigError names what is wrong."""
    if path is None:
        text, where = (files("sotopia_pi") / "demo.toml").read_text(encoding="utf-8"), "the bundled demo"
    else:
        try:
            text, where = read_text(path), str(path)
        except OSError as error:
            raise ConfigError(f"The config {path} cannot be read ({error.strerror}); give a TOML file.") from error
    try:
        values = read_toml(text)
    except ValueError as error:
        raise ConfigError(f"{where} is not valid TOML: {error}.") from error
    for override in overrides:
        _override(values, override)
    return parse(values, where)


def parse(values: Mapping[str, Any], where: str) -> Config:
    """A config from plain values; `where` they come from is named in errors."""
    try:
        return Config.model_validate(values)
    except ValidationError as error:
        lines = [explain(detail) for detail in error.errors()]
        raise ConfigError(f"{where}: " + "; ".join(lines) + ".") from None


def _override(values: dict[str, Any], override: str) -> None:
    """Sets one `a.b.0.c=value`; the value is TOML where it can be, else a text."""
    key, equals, text = override.partition("=")
    if not equals or not key.strip():
        raise ConfigError(f"--set needs key=value, not {override!r}; for example --set training.epochs=1.")
    try:
        value = read_toml(f"value = {text}")["value"]
    except ValueError:
        value = text
    *parents, last = key.strip().split(".")
    at: Any = values
    try:
        for part in parents:
            at = at[int(part)] if isinstance(at, list) else at.setdefault(part, {})
        at[int(last) if isinstance(at, list) else last] = value
    except (ValueError, IndexError, TypeError, AttributeError):
        raise ConfigError(f"--set {key}: there is no such place in the config.") from None


#: What changes how fast a run is or how its episodes are measured, and never the episodes.
_FREE: Any = {"runtime": True, "endpoint": True, "safety": {"words", "language", "classifier", "label"}}


def differences(stored: Config, given: Config) -> list[str]:
    """The settings in which two configs disagree, as "key: stored → given", but for those that change no episode."""
    a, b = (_flat(config.model_dump(mode="json", exclude=_FREE)) for config in (stored, given))
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
