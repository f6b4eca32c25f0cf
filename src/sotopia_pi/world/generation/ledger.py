"""Which prompts were used, in one small SQLite file that all generations of a project share.

A prompt is claimed before a model is asked, in one statement, so that no prompt is used twice: not by a later
generation, not by one that runs at the same time, not after a kill.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Self

from sotopia_pi.errors import WorldError
from sotopia_pi.world.generation.sources import Prompt

_TABLE = (
    "create table if not exists used_prompts (prompt text primary key, generation text not null, text text not null)"
)


class Ledger:
    """The used prompts. Every method may raise WorldError; use as a context manager."""

    def __init__(self, path: Path) -> None:
        self._path = path
        with self._told():
            path.parent.mkdir(parents=True, exist_ok=True)
            self._connection = sqlite3.connect(path, timeout=30, isolation_level=None)
            try:
                self._connection.execute("pragma journal_mode = wal")
                self._connection.execute("pragma synchronous = normal")
                self._connection.execute(_TABLE)
            except sqlite3.Error:
                self._connection.close()
                raise

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._connection.close()

    def others(self, generation: str) -> set[str]:
        """The ids of the prompts that other generations used."""
        with self._told():
            query = "select prompt from used_prompts where generation <> ?"
            return {prompt for (prompt,) in self._connection.execute(query, (generation,))}

    def claim(self, prompt: Prompt, generation: str) -> bool:
        """Marks a prompt as used; False when another generation has it."""
        with self._told():
            self._connection.execute(
                "insert or ignore into used_prompts values (?, ?, ?)", (prompt.id, generation, prompt.text)
            )
            query = "select generation from used_prompts where prompt = ?"
            return bool(self._connection.execute(query, (prompt.id,)).fetchone() == (generation,))

    def release(self, prompts: Iterable[str], generation: str) -> None:
        """Gives back prompts that this generation claimed and could not ask about."""
        with self._told():
            self._connection.executemany(
                "delete from used_prompts where prompt = ? and generation = ?", [(p, generation) for p in prompts]
            )

    @contextmanager
    def _told(self) -> Iterator[None]:
        try:
            yield
        except (sqlite3.Error, OSError) as error:
            raise WorldError(
                f"The ledger of used prompts {self._path} cannot be used ({error}); "
                "give another file with --ledger, or restore it."
            ) from None
