"""Storing episodes while others are being played: one thread writes all that have arrived in one transaction.

Who puts an episode waits until it is stored, so a killed run loses nothing that was reported as stored, while a
hundred episodes that end together share one commit and nobody's conversation stands still for a disk.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from sotopia_pi.episodes.records import Episode
from sotopia_pi.errors import SotopiaError
from sotopia_pi.ratings.records import Rating
from sotopia_pi.store.store import Store

#: Seconds that an episode waits for company before it is stored: a commit costs as much for ten as for one.
LINGER = 0.02

Entry = tuple[Episode, Sequence[Rating]]


class Writer:
    """Puts episodes into a store from one event loop. `facts` are stored with each batch, as in `Store.set_meta`."""

    def __init__(self, store: Store, facts: Callable[[], Mapping[str, Any]] = dict) -> None:
        self._store, self._facts = store, facts
        self._waiting: list[tuple[Entry, asyncio.Future[None]]] = []
        self._writing: asyncio.Task[None] | None = None

    async def put(self, episode: Episode, ratings: Sequence[Rating] = ()) -> None:
        """Stores an episode with its ratings; returns when it is stored. StoreError."""
        done = asyncio.get_running_loop().create_future()
        self._waiting.append(((episode, ratings), done))
        if self._writing is None:
            self._writing = asyncio.ensure_future(self._write())
        await done

    async def _write(self) -> None:
        try:
            while self._waiting:
                await asyncio.sleep(LINGER)
                batch, self._waiting = self._waiting, []
                entries, facts = [entry for entry, _ in batch], self._facts()
                stored = asyncio.ensure_future(asyncio.to_thread(self._store.add_episodes, entries, facts))
                try:
                    await asyncio.shield(stored)
                except asyncio.CancelledError:  # the loop ends; what is being written is still written
                    await stored
                    raise
                except SotopiaError as error:  # everybody in the batch meets it
                    _fail(batch, error)
                    continue
                for _, done in batch:
                    if not done.done():
                        done.set_result(None)
        finally:
            self._writing = None


def _fail(batch: Sequence[tuple[Entry, asyncio.Future[None]]], error: SotopiaError) -> None:
    for _, done in batch:
        if not done.done():
            done.set_exception(error)
