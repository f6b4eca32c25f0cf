"""Text files that appear whole: written beside their place under another name, then renamed.

A reader never meets half a file, and who is killed on the way leaves the earlier one as it was.
"""

from __future__ import annotations

from pathlib import Path

from sotopia_pi.errors import StoreError


def scratch_of(path: Path) -> Path:
    """Where a file or folder is written before it gets its name."""
    return path.with_name(f".{path.name}.partial")


def write_whole(path: Path, text: str, advice: str = "make room or give another --out") -> None:
    """Writes a file, and the folder it is in, in place of an earlier one.

    StoreError, whose sentence ends with `advice`, where that cannot be done; an earlier file then stays.
    """
    scratch = scratch_of(path)
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        try:
            scratch.write_text(text, encoding="utf-8")
            scratch.replace(path)
        finally:
            scratch.unlink(missing_ok=True)
    except OSError as error:
        raise StoreError(f"{path} cannot be written ({error.strerror}); {advice}.") from error
