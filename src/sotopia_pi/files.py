"""Text files that appear whole: written beside their place under another name, then renamed.

A reader never meets half a file, and who is killed on the way leaves the earlier one as it was.
"""

from __future__ import annotations

from pathlib import Path

from sotopia_pi.errors import StoreError


def scratch_of(path: Path) -> Path:
    """Where a file or folder is written before it gets its name."""
    return path.with_name(f".{path.name}.partial")


def give_usual_modes(folder: Path) -> None:
    """Gives a folder and all files in it the modes of new ones, where a library made them for its own user only."""
    probe = folder / ".mode"
    probe.touch()
    file = probe.stat().st_mode & 0o666
    probe.unlink()
    for path in (folder, *folder.rglob("*")):
        if not path.is_symlink():
            path.chmod(file | (file & 0o444) >> 2 if path.is_dir() else file)


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
