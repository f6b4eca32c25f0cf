"""Where scenarios are inspired from: prompts of our own, and data sets of everyday situations as users download them.

Files are read line by line, however large they are; a row that cannot be used is listed with its line number and the
others are used. What such a file holds was written by others: it is shown to a model as a note and decides nothing.
"""

from __future__ import annotations

import csv
import json
import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from functools import cached_property
from importlib import resources
from pathlib import Path
from typing import Literal, get_args

from sotopia_pi.errors import WorldError
from sotopia_pi.inputs import check_columns, open_file, read_json
from sotopia_pi.records import Record, content_hash

Format = Literal["social-chemistry", "social-iqa", "normbank", "text"]
FORMATS: tuple[Format, ...] = get_args(Format)
BUILTIN = "builtin"

#: Bytes of a line at most; a longer one is listed and skipped without being read into memory.
_LINE = 1 << 20
#: Characters of a prompt at most: a note, not a story.
_LONGEST = 1_500
#: The columns a file must have; others are used where they are there.
_COLUMNS = {"social-chemistry": ("situation",), "normbank": ("setting", "behavior")}
_CONTROL = re.compile("[\x00-\x08\x0b\x0c\x0e-\x1f\x7f\ud800-\udfff]")


class Prompt(Record):
    """A note that inspires a scenario. `about` is what makes it the same note as another; `kind` groups scenarios."""

    text: str
    kind: str
    source: str
    about: str

    @cached_property
    def id(self) -> str:
        """Equal for notes about the same thing, whatever file, case or spacing they came in."""
        return content_hash(" ".join(self.about.casefold().split()))


class BadRow(Record):
    """A row that could not be used."""

    source: str
    line: int
    problem: str


class BadRows:
    """The bad rows of all files: the first ones in full, and how many there are."""

    def __init__(self, most: int = 10_000) -> None:
        self._most = most
        self.rows: list[BadRow] = []
        self.count = 0

    def __call__(self, row: BadRow) -> None:
        """Notes a bad row."""
        self.count += 1
        if len(self.rows) < self._most:
            self.rows.append(row)


Complain = Callable[[BadRow], None]


def builtin_prompts() -> tuple[Prompt, ...]:
    """The prompts that come with the package."""
    text = resources.files("sotopia_pi.world.generation").joinpath("prompts.json").read_text(encoding="utf-8")
    rows: dict[str, list[str]] = json.loads(text)
    return tuple(
        Prompt(text=note, kind=kind, source=BUILTIN, about=note) for kind, notes in rows.items() for note in notes
    )


def read_prompts(source: str, form: Format | None, complain: Complain) -> Iterator[Prompt]:
    """The prompts of a file, or of the package for "builtin", in their order; each bad row goes to `complain`.

    Without `form` the format is told from the file's first line. WorldError when the file cannot be read, is not of
    that format or does not have its columns.
    """
    if source == BUILTIN:
        yield from builtin_prompts()
        return
    path = Path(source)
    bad = _Complaints(path.name, complain)
    try:
        form = form or _guess(path)
        yield from _READERS[form](path, bad)
    except OSError as error:
        raise WorldError(f"{path} cannot be read ({error.strerror or error}); check the path.") from None


class _Complaints:
    """Bad rows of one file."""

    def __init__(self, source: str, complain: Complain) -> None:
        self.source = source
        self._complain = complain

    def __call__(self, line: int, problem: str) -> None:
        self._complain(BadRow(source=self.source, line=line, problem=problem))


def _lines(path: Path, bad: _Complaints) -> Iterator[tuple[int, str]]:
    """The lines of a UTF-8 file with their numbers; lines that are not UTF-8 or too long are listed and left out."""
    with open_file(path) as handle:
        number = 0
        while raw := handle.readline(_LINE):
            number += 1
            if len(raw) == _LINE and not raw.endswith(b"\n"):
                while raw and not raw.endswith(b"\n"):
                    raw = handle.readline(_LINE)
                bad(number, f"the line is longer than {_LINE:,} bytes")
                continue
            try:
                yield number, raw.decode("utf-8")
            except UnicodeDecodeError:
                bad(number, "the line is not UTF-8 text")


def _guess(path: Path) -> Format:
    with open_file(path) as handle:
        first = handle.readline(_LINE).decode("utf-8", errors="replace").strip()
    if first.startswith("{"):
        return "social-iqa"
    if "\t" in first and "situation" in first.split("\t"):
        return "social-chemistry"
    if {"setting", "behavior"} <= set(first.split(",")):
        return "normbank"
    return "text"


def _text(path: Path, bad: _Complaints) -> Iterator[Prompt]:
    for number, line in _lines(path, bad):
        if line.strip():
            yield from _prompt(line, line, "text", number, bad)


def _social_iqa(path: Path, bad: _Complaints) -> Iterator[Prompt]:
    for number, line in _lines(path, bad):
        if not line.strip():
            continue
        try:
            row = read_json(line)
        except ValueError as error:
            bad(number, f"not valid JSON ({error})")
            continue
        values = [row.get(key, "") for key in ("context", "question")] if isinstance(row, dict) else []
        if not values or not all(isinstance(value, str) for value in values) or not values[0].strip():
            bad(number, "no context; Social IQa has one JSON object with context and question a line")
        else:
            yield from _prompt(f"{values[0]} {values[1]}", values[0], "social iqa", number, bad)


def _social_chemistry(path: Path, bad: _Complaints) -> Iterator[Prompt]:
    for number, row in _table(path, "\t", "social-chemistry", bad):
        situation, rule = row["situation"], row.get("rot", "").strip()
        if row.get("rot-bad", "").strip() in ("1", "1.0"):
            continue  # the annotators found the rule worthless
        note = f"{situation.strip()} (People say: {rule})" if rule else situation
        yield from _prompt(note, situation, "social chemistry", number, bad)


def _normbank(path: Path, bad: _Complaints) -> Iterator[Prompt]:
    for number, row in _table(path, ",", "normbank", bad):
        where, what = row["setting"].strip(), row["behavior"].strip()
        if not where or not what:
            bad(number, "no setting or no behavior")
            continue
        who, norm = row.get("constraints", "").strip(), (row.get("norm") or row.get("label") or "").strip()
        note = f"Where: {where}. What: {what}." + (f" Who: {who}." if who else "")
        yield from _prompt(note + (f" Norm: {norm}." if norm else ""), f"{where}|{what}|{who}", "normbank", number, bad)


def _table(path: Path, delimiter: str, form: str, bad: _Complaints) -> Iterator[tuple[int, Mapping[str, str]]]:
    """The rows of a table with a header line, by column, with the number of the line where each ends."""
    at = 0

    def lines() -> Iterator[str]:
        nonlocal at
        for at, line in _lines(path, bad):  # noqa: B007
            yield line

    reader = csv.reader(lines(), delimiter=delimiter)
    header: Sequence[str] | None = None
    while True:
        try:
            row = next(reader, None)
        except csv.Error as error:
            bad(at, f"not readable as a table ({error})")
            continue
        if row is None:
            return
        if header is None:
            header = [name.strip() for name in row]
            try:
                check_columns(header)
            except ValueError as error:
                raise WorldError(f"{path}: {error}.") from None
            missing = [name for name in _COLUMNS[form] if name not in header]
            if missing:
                raise WorldError(
                    f"{path} has no column {', '.join(missing)}; give the {form} file as it was published, "
                    "or say with --format what the file is."
                )
        elif len(row) != len(header):
            if row:
                bad(at, f"{len(row)} columns where the header has {len(header)}")
        elif any("\n" in value for value in row):
            bad(at, "the row goes over several lines; a quotation mark is open")
        else:
            yield at, dict(zip(header, row, strict=True))


def _prompt(text: str, about: str, kind: str, line: int, bad: _Complaints) -> Iterator[Prompt]:
    """The prompt, unless it cannot be used."""
    note = " ".join(text.split())
    if _CONTROL.search(note):
        bad(line, "control characters in the text")
    elif len(note) > _LONGEST:
        bad(line, f"longer than {_LONGEST:,} characters")
    elif not re.search(r"\w", about):
        bad(line, "no words")
    else:
        yield Prompt(text=note, kind=kind, source=bad.source, about=" ".join(about.split()))


_READERS: dict[Format, Callable[[Path, _Complaints], Iterator[Prompt]]] = {
    "social-chemistry": _social_chemistry,
    "social-iqa": _social_iqa,
    "normbank": _normbank,
    "text": _text,
}
