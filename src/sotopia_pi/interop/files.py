"""Exports appear whole: written beside their place under another name, then renamed."""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from sotopia_pi.errors import StoreError
from sotopia_pi.files import fresh_scratch, remove


@contextmanager
def new_file(path: Path) -> Iterator[Path]:
    """A scratch file that becomes `path` when the block ends well, in place of an earlier one."""
    if path.is_dir():
        raise StoreError(f"{path} is a folder; give the name of a file with --out.")
    with _writing(path):
        path.parent.mkdir(parents=True, exist_ok=True)
        scratch = fresh_scratch(path)
        try:
            yield scratch
            scratch.replace(path)
        finally:
            scratch.unlink(missing_ok=True)


@contextmanager
def new_folder(path: Path) -> Iterator[Path]:
    """A scratch folder that becomes `path` when the block ends well; only an empty folder is replaced."""
    if path.exists() and (not path.is_dir() or any(path.iterdir())):
        raise StoreError(f"{path} is there already; give another --out, or remove it first.")
    with _writing(path):
        scratch = fresh_scratch(path)
        try:
            scratch.mkdir(parents=True)
            yield scratch
            scratch.replace(path)
        finally:
            remove(scratch)


@contextmanager
def _writing(path: Path) -> Iterator[None]:
    try:
        yield
    except OSError as error:
        raise StoreError(f"{path} cannot be written ({error.strerror}); make room or give another --out.") from error


def write_lines(path: Path, lines: Iterable[str]) -> int:
    """Writes lines of text; how many there were."""
    count = 0
    with path.open("w", encoding="utf-8", newline="\n") as file:
        for line in lines:
            file.write(line + "\n")
            count += 1
    return count


def to_json(value: Any) -> str:
    """A record as a line of JSON."""
    return json.dumps(value, ensure_ascii=False)
