"""Folders and files that a config names: in full, so that the run means the same from whatever folder it is continued.

A relative path that leads somewhere from the working folder is replaced by the full one when a config is loaded; all
else stays, such as a name on a hub or a path that leads nowhere yet.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

from sotopia_pi.config.run import Config

#: Settings that name a model, a folder or file, or what `runtime.launch` takes besides names of its own.
_MODELS = (
    "models.policy", "models.expert", "models.partner", "models.weights", "judge.model", "judge.panel",
    "safety.partner",
)  # fmt: skip
_FILES = (
    "models.prompts", "judge.calibration", "world.characters", "world.ties", "world.train_tasks", "world.test_tasks",
    "safety.words", "safety.classifier", "runtime.launch",
)  # fmt: skip
#: What names no folder, even where there is one of that name.
_NAMES = ("smollm2-135m", "ddp", "fsdp", "deepspeed")


def placed(config: Config) -> Config:
    """The config with full paths for what is there."""
    changed: dict[str, Any] = {}
    for keys, in_full in ((_MODELS, _folder), (_FILES, _path)):
        for key in keys:
            section, _, name = key.partition(".")
            held = changed.get(section) or getattr(config, section)
            value = getattr(held, name, None)
            full = _each(value, in_full)
            if full != value:
                changed[section] = held.model_copy(update={name: full})
    return config.model_copy(update=changed) if changed else config


def _each(value: Any, in_full: Callable[[str], str]) -> Any:
    if isinstance(value, tuple):
        return tuple(_each(item, in_full) for item in value)
    return in_full(value) if isinstance(value, str) and value and value not in _NAMES else value


def _folder(spec: str) -> str:
    return _path(spec) if _leads_to(spec, Path.is_dir) else spec


def _path(text: str) -> str:
    path = Path(text)
    if not _leads_to(text, Path.exists):
        return text
    return str(Path.cwd() / path.expanduser())


def _leads_to(text: str, there: Callable[[Path], bool]) -> bool:
    try:
        return there(Path(text).expanduser())
    except (OSError, ValueError, RuntimeError):  # too long, with a NUL, or of no known user
        return False
