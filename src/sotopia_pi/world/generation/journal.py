"""What a generation has asked and was answered, one JSON line each beside its output: nothing is asked or paid twice.

The first line says what the generation is; a later call with other settings is refused. A line that a kill cut short
is dropped when the journal is opened again.
"""

from __future__ import annotations

import json
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Self
from uuid import uuid4

from pydantic import ValidationError

from sotopia_pi.errors import ConfigError, WorldError
from sotopia_pi.records import Record
from sotopia_pi.world.generation.sources import Prompt
from sotopia_pi.world.records import Scenario


class Attempt(Record):
    """What a model made of a prompt: a scenario, or the rule that both of its replies broke.

    `violations` are the sentences for the replies that broke a rule. `cost` is in US dollars, None when not known.
    """

    prompt: Prompt
    scenario: Scenario | None = None
    rule: str = ""
    violations: tuple[str, ...] = ()
    replies: tuple[str, ...] = ()
    prompt_tokens: int = 0
    completion_tokens: int = 0
    cost: float | None = 0.0


class Journal:
    """The attempts of one generation, in a file. Use as a context manager."""

    def __init__(self, path: Path, settings: Mapping[str, Any]) -> None:
        """Opens or starts `path`. ConfigError when it belongs to a generation with other settings; WorldError."""
        self._path = path
        self.attempts: dict[str, Attempt] = {}
        self.generation = uuid4().hex
        try:
            whole = self._read(settings) if path.is_file() else 0
            path.parent.mkdir(parents=True, exist_ok=True)
            self._file = path.open("ab")
            self._file.truncate(whole)
            if whole == 0:
                self._write({"generation": self.generation, "settings": dict(settings)})
        except OSError as error:
            raise WorldError(f"{path} cannot be written ({error.strerror or error}); give another --out.") from None

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._file.close()

    def add(self, attempt: Attempt) -> None:
        """Stores an attempt; it is on the disk when this returns."""
        try:
            self._write(attempt.model_dump(mode="json"))
        except OSError as error:
            raise WorldError(f"{self._path} cannot be written ({error.strerror}); make room and run again.") from None
        self.attempts[attempt.prompt.id] = attempt

    def _write(self, row: Mapping[str, Any]) -> None:
        # ASCII, because a reply may hold halves of surrogate pairs, which UTF-8 does not have
        self._file.write(json.dumps(row).encode() + b"\n")
        self._file.flush()
        os.fsync(self._file.fileno())

    def _read(self, settings: Mapping[str, Any]) -> int:
        """Reads the attempts; returns how many bytes of the file are whole lines."""
        whole = 0
        with self._path.open("rb") as handle:
            for number, line in enumerate(handle, 1):
                if not line.endswith(b"\n"):
                    break
                try:
                    row = json.loads(line)
                    if number == 1:
                        self._agree(row["settings"], settings)
                        self.generation = str(row["generation"])
                    else:
                        attempt = Attempt.model_validate(row)
                        self.attempts[attempt.prompt.id] = attempt
                except (ValueError, KeyError, TypeError, ValidationError):
                    raise WorldError(
                        f"{self._path}, line {number} is not what a generation wrote; "
                        "give another --out, or remove the line."
                    ) from None
                whole += len(line)
        return whole

    def _agree(self, stored: Mapping[str, Any], given: Mapping[str, Any]) -> None:
        plain = json.loads(json.dumps(given))
        changed = [
            f"{key}: {stored.get(key)} → {plain.get(key)}"
            for key in sorted(stored.keys() | plain.keys())
            if stored.get(key) != plain.get(key)
        ]
        if changed:
            raise ConfigError(
                f"{self._path} belongs to a generation with other settings ({'; '.join(changed)}); "
                "give another --out, or the settings it was started with."
            )
