"""What went in and what did not, record by record."""

from __future__ import annotations

import json
from collections import Counter
from dataclasses import asdict, dataclass, field
from pathlib import Path

from sotopia_pi.files import write_whole

#: How many characters of a reason or an id are kept.
_LONGEST = 300
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


def _printable(text: str) -> str:
    """A text of a file that nobody checked, fit to be printed: short, and without what would move a cursor."""
    cut = text if len(text) <= _LONGEST else text[: _LONGEST - 1] + "…"
    return "".join(char if char.isprintable() else char.encode("unicode_escape").decode("ascii") for char in cut)


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
            self.problems.append(Problem(file, line, _printable(reason), _printable(id)))

    def note(self, file: str, line: int, reason: str, id: str = "") -> None:
        """A record goes in, and this should be known about it."""
        self.noted += 1
        if len(self.notes) < KEPT:
            self.notes.append(Problem(file, line, _printable(reason), _printable(id)))

    def sort(self) -> None:
        """Puts problems and notes into the order of their lines, files in the order in which they were read."""
        for items in (self.problems, self.notes):
            files = {name: at for at, name in enumerate(dict.fromkeys(item.file for item in items))}
            items.sort(key=lambda item: (files[item.file], item.line))

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
        text = json.dumps(content, indent=1, ensure_ascii=False) + "\n"
        write_whole(path, text, "make room and import again")

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
