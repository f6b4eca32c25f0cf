"""What went in and what did not, record by record."""

from __future__ import annotations

import json
from collections import Counter
from dataclasses import asdict, dataclass, field
from pathlib import Path

from sotopia_pi.errors import StoreError

#: How many problems and notes are kept; a report of a file that is wrong throughout must not fill the memory.
KEPT = 10_000


class RecordError(ValueError):
    """A record cannot be imported; the message says why."""


@dataclass(frozen=True, slots=True)
class Problem:
    """A record that was left out, or one that went in with something worth knowing."""

    file: str
    line: int
    reason: str
    id: str = ""

    def __str__(self) -> str:
        named = f" ({self.id})" if self.id else ""
        return f"{self.file}:{self.line}{named}: {self.reason}"


@dataclass(slots=True)
class Report:
    """What an import did: records stored and records already there by kind, and every problem with its line."""

    stored: Counter[str] = field(default_factory=Counter)
    known: Counter[str] = field(default_factory=Counter)
    problems: list[Problem] = field(default_factory=list)
    notes: list[Problem] = field(default_factory=list)
    left_out: int = 0
    noted: int = 0

    def problem(self, file: str, line: int, reason: str, id: str = "") -> None:
        """A record is left out."""
        self.left_out += 1
        if len(self.problems) < KEPT:
            self.problems.append(Problem(file, line, reason, id))

    def note(self, file: str, line: int, reason: str, id: str = "") -> None:
        """A record goes in, and this should be known about it."""
        self.noted += 1
        if len(self.notes) < KEPT:
            self.notes.append(Problem(file, line, reason, id))

    def save(self, path: Path) -> None:
        """Writes the report as JSON, whole or not at all."""
        content = {
            "stored": dict(self.stored),
            "already_there": dict(self.known),
            "left_out": self.left_out,
            "noted": self.noted,
            "problems": [asdict(item) for item in self.problems],
            "notes": [asdict(item) for item in self.notes],
        }
        scratch = path.with_name(f".{path.name}.partial")
        try:
            scratch.write_text(json.dumps(content, indent=1, ensure_ascii=False) + "\n", encoding="utf-8")
            scratch.replace(path)
        except OSError as error:
            raise StoreError(f"{path} cannot be written ({error.strerror}); make room and import again.") from error

    def lines(self, shown: int = 20) -> list[str]:
        """The report as lines to print, with the first problems and how many more there are."""
        lines = []
        for kind in dict.fromkeys([*self.stored, *self.known]):
            known = f", {self.known[kind]} already there" if self.known[kind] else ""
            lines.append(f"{kind}: {self.stored[kind]} imported{known}")
        if self.left_out:
            lines.append(f"left out: {self.left_out}")
            lines += [f"  {problem}" for problem in self.problems[:shown]]
            if self.left_out > shown:
                lines.append(f"  and {self.left_out - shown} more")
        if self.noted:
            lines.append(f"noted: {self.noted}, the first: {self.notes[0]}")
        return lines
