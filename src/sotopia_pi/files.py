"""Files of ours: texts appear whole, and no link in a run is followed.

A text is written beside its place under another name, then renamed: a reader never meets half a file, and who is killed
on the way leaves the earlier one as it was.

A run directory may come from a stranger. Whatever is read, written or replaced in it must lie there itself: a link
could lead to any file of the user's, and a pipe never ends. So what has one of our names and is neither a file nor a
folder is refused, by name. The path of the directory is the user's own, and may lead over links.
"""

from __future__ import annotations

import os
import shutil
import stat
from pathlib import Path

from sotopia_pi.errors import StoreError

_OTHER = ((stat.S_ISLNK, "a link"), (stat.S_ISFIFO, "a pipe"), (stat.S_ISSOCK, "a socket"))


def check_plain(path: Path, *, alone: bool = False) -> None:
    """StoreError where `path` is neither a file nor a folder, nor free.

    `alone` is for files that are changed in place: they may have no second name (hard link) either.
    """
    try:
        found = path.lstat()
    except (FileNotFoundError, NotADirectoryError):
        return
    except OSError as error:
        raise StoreError(f"{shown(path)} cannot be read ({error.strerror}); check its permissions.") from error
    if stat.S_ISREG(found.st_mode):
        if alone and found.st_nlink > 1:
            raise StoreError(
                f"{shown(path)} has a second name elsewhere (a hard link), where every change would show; replace it "
                "by a copy."
            )
    elif not stat.S_ISDIR(found.st_mode):
        what = next((what for is_such, what in _OTHER if is_such(found.st_mode)), "a device")
        raise StoreError(f"{shown(path)} is {what}, and only files are followed here; remove it, or copy a file there.")


def within(folder: Path, *names: str) -> Path:
    """The path of `names` below the user's own `folder`; StoreError where one of the steps is a link."""
    path = folder
    for name in names:
        path = path / name
        check_plain(path)
    return path


def check_tree(folder: Path, *, alone: bool = False) -> None:
    """`check_plain` for a folder and everything in it."""
    check_plain(folder)
    for parent, folders, files in os.walk(folder):
        for name in (*folders, *files):
            check_plain(Path(parent) / name, alone=alone)


def shown(path: Path) -> str:
    """A path as a sentence may name it: what could move a cursor is escaped."""
    text = str(path)
    return text if text.isprintable() else ascii(text)


def read_plain(path: Path) -> str:
    """The text of a file in a run. StoreError for a link, OSError and UnicodeDecodeError as in reading any file."""
    check_plain(path)
    return path.read_text(encoding="utf-8")


def scratch_of(path: Path) -> Path:
    """Where a file or folder is written before it gets its name."""
    return path.with_name(f".{path.name}.partial")


def fresh_scratch(path: Path) -> Path:
    """`scratch_of` what is to be written at `path`, without what a killed process left there. StoreError for links."""
    check_plain(path)
    scratch = scratch_of(path)
    check_plain(scratch)
    remove(scratch)
    return scratch


def remove(path: Path) -> None:
    """Removes a file or a folder, if there is one."""
    if path.is_dir() and not path.is_symlink():
        shutil.rmtree(path)
    else:
        path.unlink(missing_ok=True)


def write_whole(path: Path, text: str, advice: str = "make room or give another --out") -> None:
    """Writes a file, and the folder it is in, in place of an earlier one.

    StoreError, whose sentence ends with `advice`, where that cannot be done; an earlier file then stays.
    """
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        scratch = fresh_scratch(path)
        try:
            with scratch.open("x", encoding="utf-8") as file:  # which follows no link
                file.write(text)
            scratch.replace(path)
        finally:
            scratch.unlink(missing_ok=True)
    except OSError as error:
        raise StoreError(f"{path} cannot be written ({error.strerror}); {advice}.") from error
