"""The sittings of people in browsers: each is a task on the server's loop, with a model that is opened once.

A model is loaded in a thread when somebody first plays with it, and closed when the server stops. A server that stops
ends what is being played, and stores it as failed with its turns; so does a person who no longer answers. Everything
that touches a disk is done off the loop.
"""

from __future__ import annotations

import asyncio
import logging
import secrets
import threading
from contextlib import ExitStack
from dataclasses import dataclass, field
from pathlib import Path
from time import sleep

from sotopia_pi import playing
from sotopia_pi.config import EXPERT, PARTNER, PLAYED, Config
from sotopia_pi.episodes.agents import Player
from sotopia_pi.episodes.people import Sight, Sitting
from sotopia_pi.episodes.records import Episode
from sotopia_pi.episodes.views import View, view
from sotopia_pi.errors import ConfigError, SotopiaError
from sotopia_pi.playing import Opponent
from sotopia_pi.ratings.records import Rating
from sotopia_pi.rundir import Run
from sotopia_pi.web.places import Place
from sotopia_pi.web.site import Site
from sotopia_pi.world.records import SocialTask

#: Sittings at once, and those that are over and still shown.
MOST, REMEMBERED = 16, 200
#: Seconds that a person may take for a turn, and one who was invited for the first: others wait for the place.
IDLE, FIRST = 1_800.0, 600.0
SERVER_STOPPED = "the server was stopped"

_LOG = logging.getLogger(__name__)


@dataclass(slots=True, eq=False)
class Table:
    """One sitting and what became of it. `fault` says why there is no episode, or no rating."""

    id: str
    place: str
    run: Run
    task: SocialTask
    role: int
    name: str
    opponent: Opponent
    stage: str = PLAYED
    sitting: Sitting | None = None
    episode: Episode | None = None
    ratings: tuple[Rating, ...] = ()
    judging: bool = False
    fault: str | None = None
    stopped: str | None = None
    work: asyncio.Task[None] | None = field(default=None, repr=False)

    @property
    def running(self) -> bool:
        """Whether the sitting takes one of the places."""
        return self.episode is None and self.fault is None

    @property
    def sight(self) -> Sight | None:
        """What the person sees; None while the model is loading."""
        return self.sitting.sight if self.sitting else None

    @property
    def asked(self) -> bool:
        """Whether it is the person's turn."""
        sight = self.sight
        return sight is not None and sight.asked and self.stopped is None

    @property
    def view(self) -> View:
        """The role's view now."""
        sight = self.sight
        return sight.view if sight else view(self.task, self.role, (), self.run.config.max_turns)

    def wait(self, seen: Sight, seconds: float) -> None:
        """Blocks until there is something else to see than `seen`, or for some seconds."""
        if self.sitting and not seen.over:
            self.sitting.wait(seen, seconds)
        else:  # it is over and being stored
            sleep(seconds)

    def ended(self, work: asyncio.Task[None]) -> None:
        """Frees the place when the work met an error that is nobody's expected one, such as memory that ran out."""
        if not work.cancelled() and (error := work.exception()) is not None:
            _LOG.error("a conversation broke off", exc_info=error)
            self.fault = f"The conversation broke off ({type(error).__name__}); the server's terminal says why."

    def stop(self, why: str) -> None:
        """Ends the sitting as failed, also one whose model is still loading."""
        self.stopped = self.stopped or why
        if self.sitting:
            self.sitting.stop(why)


class Playroom:
    """All tables of a server."""

    def __init__(self, most: int = MOST, idle: float = IDLE) -> None:
        self.most, self.idle = most, idle
        self._tables: dict[str, Table] = {}
        self._runs: dict[str, Run] = {}
        self._models: dict[tuple[str, str], asyncio.Task[Player]] = {}
        self._open = ExitStack()
        self._opening = threading.Lock()
        self._judging = asyncio.Lock()
        #: Held by who looks whether somebody sits already and then seats them.
        self.seating = asyncio.Lock()

    @property
    def playing(self) -> int:
        """How many sit at tables now."""
        return sum(table.running for table in list(self._tables.values()))

    @property
    def full(self) -> bool:
        """Whether all places are taken."""
        return self.playing >= self.most

    def tables(self, place: Place) -> list[Table]:
        """The tables of a place, oldest first."""
        return [table for table in list(self._tables.values()) if table.place == place.name]

    def table(self, place: Place, id: str) -> Table | None:
        """The table of this id at this place."""
        found = self._tables.get(id)
        return found if found and found.place == place.name else None

    def run(self, place: Place) -> Run:
        """The run behind a place; reads its database the first time."""
        with self._opening:
            if place.name not in self._runs:
                folder, config = place.folder or Path(place.title), place.config or Config()
                self._runs[place.name] = Run(folder, config, place.store, quiet=True)
            return self._runs[place.name]

    def opponents(self, place: Place, given: tuple[str, ...]) -> list[str]:
        """Who can be played with: the run's own, scripts where there is only a database, and `given` specs."""
        own = playing.known(self.run(place)) if place.config else [PARTNER, EXPERT]
        return list(dict.fromkeys((*own, *given)))

    async def seat(
        self, place: Place, task: SocialTask, role: int, name: str, opponent: Opponent, stage: str = PLAYED
    ) -> Table:
        """Begins a sitting. ConfigError when all places are taken."""
        run = await asyncio.to_thread(self.run, place)
        if self.full:
            raise ConfigError(f"{self.most} people are playing already; wait until one of them is done.")
        table = Table(secrets.token_urlsafe(18), place.name, run, task, role, name, opponent, stage)
        self._forget()
        self._tables[table.id] = table
        table.work = asyncio.create_task(self._play(table))
        table.work.add_done_callback(table.ended)
        return table

    async def close(self) -> None:
        """Ends and stores what is being played, then closes the models."""
        tables = list(self._tables.values())
        for table in tables:
            table.stop(SERVER_STOPPED)
        judged = [table.work for table in tables if table.work and table.judging]
        for work in judged:
            work.cancel()
        await asyncio.gather(*(table.work for table in tables if table.work), return_exceptions=True)
        await asyncio.gather(*self._models.values(), return_exceptions=True)
        await asyncio.to_thread(self._open.close)

    def _forget(self) -> None:
        over = [id for id, table in self._tables.items() if not table.running and not table.judging]
        for id in over[: max(0, len(over) - REMEMBERED)]:
            del self._tables[id]

    async def _play(self, table: Table) -> None:
        """Plays, stores and rates; an error is what the table's page then says."""
        try:
            player = await self._player(table)
            who = (table.role, table.name, table.opponent)
            first = None if table.stage == PLAYED else min(FIRST, self.idle)
            sitting = playing.sit(table.run, table.task, *who, player, idle=self.idle, stage=table.stage, first=first)
            table.sitting = sitting
            if table.stopped:
                sitting.stop(table.stopped)
            episode = await sitting.play()
            table.ratings = await asyncio.to_thread(playing.keep, table.run, table.task, episode)
        except SotopiaError as error:
            table.fault = str(error)
            return
        table.judging = playing.to_be_judged(table.run, table.task, episode)
        table.episode = episode
        if table.judging:
            await self._judge(table, episode)

    async def _judge(self, table: Table, episode: Episode) -> None:
        try:
            async with self._judging:  # one after the other: a judge may be weights
                table.ratings += await playing.judge(table.run, table.task, episode)
        except SotopiaError as error:
            table.fault = f"The judge could not rate it: {error}"
        finally:
            table.judging = False

    async def _player(self, table: Table) -> Player:
        """The opponent's player, which all tables of a place share."""
        key = (table.place, table.opponent.name)
        if key not in self._models:
            self._models[key] = asyncio.create_task(asyncio.to_thread(self._load, table.run, table.opponent))
        model = self._models[key]
        try:
            return await asyncio.shield(model)
        finally:
            if model.done() and (model.cancelled() or model.exception()):
                self._models.pop(key, None)  # the next one to ask tries again

    def _load(self, run: Run, opponent: Opponent) -> Player:
        with ExitStack() as stack:
            player = stack.enter_context(playing.opened_opponent(run, opponent))
            with self._opening:
                self._open.push(stack.pop_all())
            return player


def playroom(site: Site) -> Playroom:
    """The playroom of a site, made when it is first asked for and closed with the server."""

    def made() -> Playroom:
        room = Playroom()
        site.on_stop.append(room.close)
        return room

    return site.once("playroom", made)
