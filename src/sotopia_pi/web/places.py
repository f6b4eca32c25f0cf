"""Places: the runs that are open in the browser, each a run directory or a database by URL.

Places are opened once, when the application starts; a request names one by its slug and never by a path.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterable
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from sotopia_pi.config import Config
from sotopia_pi.errors import ConfigError, SotopiaError, StoreError
from sotopia_pi.files import read_plain
from sotopia_pi.prompts import Prompts
from sotopia_pi.rundir import CONFIG, is_run, open_to_read
from sotopia_pi.store import Store

REPORT = "report.json"


@dataclass(frozen=True, slots=True, eq=False)
class Place:
    """An open run. `name` is its slug in URLs; `folder` and `config` are None for a database without a directory."""

    name: str
    title: str
    store: Store
    folder: Path | None
    config: Config | None
    prompts: Prompts

    def report(self) -> dict[str, Any] | None:
        """The content of report.json as it is now; None while there is none, or none that can be read."""
        if self.folder is None:
            return None
        try:
            found = json.loads(read_plain(self.folder / REPORT))
        except (OSError, ValueError, RecursionError, StoreError):
            return None
        return found if isinstance(found, dict) else None


def open_places(given: Iterable[str]) -> list[Place]:
    """The places of run directories, folders of run directories, and databases by file or URL, in the order given.

    ConfigError when one is neither, StoreError when a database cannot be opened; nothing then stays open.
    """
    places: list[Place] = []
    with ExitStack() as failing:
        failing.callback(close_places, places)
        for where in given:
            if "://" in where or Path(where).is_file():
                places.append(_of_database(where, places))
            else:
                for folder in _runs(Path(where)):
                    places.append(_of_folder(folder, places))
        failing.pop_all()
    return places


def close_places(places: Iterable[Place]) -> None:
    """Closes every store."""
    for place in places:
        place.store.close()


def _runs(folder: Path) -> list[Path]:
    """`folder`, or the run directories in it."""
    if is_run(folder):
        return [folder]
    inner = sorted(path for path in folder.iterdir() if is_run(path)) if folder.is_dir() else []
    if not inner:
        raise ConfigError(
            f"{folder} is not a run directory and holds none (no {CONFIG}); start a run with `sotopia-pi run --out`, "
            "or give a database, by its file or URL."
        )
    return inner


def _of_folder(folder: Path, others: list[Place]) -> Place:
    store, config = open_to_read(folder)
    try:
        prompts = Prompts(Path(config.models.prompts) if config.models.prompts else None)
    except SotopiaError:
        store.close()
        raise
    title = folder.resolve().name
    return Place(_slug(title, others), title, store, folder, config, prompts)


def _of_database(where: str, others: list[Place]) -> Place:
    store = Store.open(where, create=False, reading=True)
    title = store.where.rsplit("/", 1)[-1].split("?")[0] or "database"
    return Place(_slug(title, others), title, store, None, None, Prompts(None))


def _slug(title: str, others: list[Place]) -> str:
    """A name for URLs that no other place has."""
    plain = re.sub(r"[^A-Za-z0-9._-]+", "-", title).strip("-.") or "run"
    taken = {place.name for place in others}
    return next(name for n in range(1, len(taken) + 2) if (name := plain if n == 1 else f"{plain}-{n}") not in taken)
