"""Annotators who submit all at once, against the real server: requests per second, and nothing lost or doubled.

Each annotator opens an episode, saves a draft, submits, and goes on without a pause; one in ten sends its form twice.
Every other episode is rated so differently that a third annotator is asked.
"""

from __future__ import annotations

import asyncio
import os
import random
import re
import subprocess
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

import aiohttp

from sotopia_pi.episodes.records import Action, ActionType, Episode, StopReason, Turn
from sotopia_pi.ratings.dimensions import SEVEN
from sotopia_pi.store import Store
from sotopia_pi.studies.choosing import create, find
from sotopia_pi.studies.records import StudySettings
from sotopia_pi.studies.status import status
from sotopia_pi.world.records import Character, Scenario, SocialTask

STUDY = "stress"
#: The PostgreSQL database that is used besides SQLite, if there is one; tests use the same variable.
POSTGRES = "SOTOPIA_PI_TEST_POSTGRES"


@dataclass(slots=True)
class Load:
    """What the annotators saw. `accepted` are submissions that were answered with the next page."""

    seconds: float = 0.0
    waits: list[float] = field(default_factory=list)
    answers: Counter[int] = field(default_factory=Counter)
    accepted: int = 0
    repeated: int = 0

    def percentile(self, share: float) -> float:
        """The time within which this share of the requests was answered, in seconds."""
        return sorted(self.waits)[min(len(self.waits) - 1, int(share * len(self.waits)))]


@dataclass(frozen=True, slots=True)
class Kept:
    """What the store holds afterwards: ratings, pairs of person and episode, and what is not as it should be."""

    ratings: int
    pairs: int
    faults: list[str]


def fill(store: Store, count: int) -> str:
    """Stores `count` episodes and a study of them; the study's link."""
    people = tuple(_character(name) for name in ("Ann Lee", "Bea Fox"))
    tasks = [
        SocialTask(
            scenario=Scenario(
                situation=f"Stall {n} at a market.",
                goals=("Sell the lamp.", "Buy it."),
                kind="open",
                source="benchmark",
            ),
            characters=people,
        )
        for n in range(count)
    ]
    store.add_tasks("test", tasks)
    said = [
        Action(type=ActionType.SPEAK, argument=f"I can do ${20 - n}, and not a cent less today.") for n in range(16)
    ]
    turns = tuple(Turn(role=n % 2, action=action, raw=action.to_json()) for n, action in enumerate(said))
    episodes = [
        Episode(
            key=f"episode{n:05d}",
            task_id=task.id,
            stage="evaluate/x",
            players=("x", "y"),
            turns=turns,
            stop_reason=StopReason.LEFT,
        )
        for n, task in enumerate(tasks)
    ]
    store.add_episodes([(episode, ()) for episode in episodes])
    return create(store, STUDY, StudySettings(), [episode.key for episode in episodes]).link


def _character(name: str) -> Character:
    names = ("gender", "pronouns", "occupation", "public_info", "big_five", "personality", "decision_style", "secret")
    return Character(name=name, age=40, moral_values=(), schwartz_values=(), **dict.fromkeys(names, "a word or two"))


@contextmanager
def server(database: str) -> Iterator[str]:
    """`sotopia-pi view` in a process of its own over a database URL; its address."""
    command = [sys.executable, "-m", "sotopia_pi", "view", database, "--port", "0", "--no-token"]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        try:
            for line in process.stdout:
                if found := re.search(r"http://\S+", line):
                    yield found[0].rstrip("/")
                    return
            raise RuntimeError("the server did not start")
        finally:
            process.terminate()


async def load(address: str, link: str, annotators: int, seconds: float) -> Load:
    """`annotators` people who rate for `seconds`."""
    seen = Load()
    started = time.monotonic()
    await asyncio.gather(*(_annotator(address, link, number, started + seconds, seen) for number in range(annotators)))
    seen.seconds = time.monotonic() - started
    return seen


async def _annotator(address: str, link: str, number: int, until: float, seen: Load) -> None:
    draw = random.Random(number)
    jar = aiohttp.CookieJar(unsafe=True)  # an address of numbers
    async with aiohttp.ClientSession(address, cookie_jar=jar) as session:

        async def ask(path: str, fields: dict[str, str] | None = None) -> str:
            begun = time.monotonic()
            method = "GET" if fields is None else "POST"
            async with session.request(method, path, data=fields) as answer:
                text = await answer.text()
            seen.waits.append(time.monotonic() - begun)
            seen.answers[answer.status] += 1
            return text

        page = await ask(f"/rate/{link}?PROLIFIC_PID=person{number}")
        page = await ask(f"/rate/{link}/begin", {"csrf": _csrf(page), "participant": f"person{number}"})
        while time.monotonic() < until and (action := re.search(r'action="(/rate/[^"]+/now/[^"]+)"', page)):
            fields = {"csrf": _csrf(page), **_scores(draw)}
            await ask(f"{action[1]}/draft", dict(list(fields.items())[:9]))
            again = draw.random() < 0.1
            pages = await asyncio.gather(*(ask(action[1], fields) for _ in range(2 if again else 1)))
            seen.repeated += again
            page = pages[0]
            seen.accepted += action[1] not in page


def _csrf(page: str) -> str:
    found = re.search(r'name="csrf" value="([0-9a-f]+)"', page)
    assert found, page
    return found[1]


def _scores(draw: random.Random) -> dict[str, str]:
    fields = {}
    for place in (1, 2):
        for one in SEVEN:
            fields[f"score-{place}-{one.name}"] = str(draw.randint(one.low, one.high))
            fields[f"reason-{place}-{one.name}"] = "What they said in turn 3."
    return fields


def check(store: Store, seen: Load) -> Kept:
    """Compares what is stored with what the annotators saw."""
    ratings = list(store.ratings())
    by_pair = Counter((rating.rater, rating.episode) for rating in ratings)
    now = status(store, find(store, STUDY))
    faults = [f"{pair} has {count} ratings" for pair, count in by_pair.items() if count != 2]
    faults += [f"{one.episode}: {one.rated} of {one.needed}" for one in now.episodes if one.rated > one.needed]
    faults += [f"{count} answers with status {code}" for code, count in seen.answers.items() if code >= 400]
    if len(by_pair) != seen.accepted:
        faults.append(f"{seen.accepted} submissions were accepted and {len(by_pair)} are stored")
    if now.rated != len(by_pair):
        faults.append(f"{now.rated} submissions and {len(by_pair)} pairs of ratings")
    return Kept(len(ratings), len(by_pair), faults)


def stress(database: str, annotators: int = 32, seconds: float = 60, episodes: int = 2_000) -> tuple[Load, Kept]:
    """Runs the whole on a new database at a URL."""
    with Store.open(database) as store:
        link = fill(store, episodes)
        with server(database) as address:
            seen = asyncio.run(load(address, link, annotators, seconds))
        return seen, check(store, seen)


def rating() -> list[tuple[str, str]]:
    """32 annotators at once for a minute on SQLite, and on PostgreSQL where a database is named for it."""
    rows = []
    with tempfile.TemporaryDirectory() as folder:
        places = {"SQLite": f"sqlite:///{Path(folder) / 'run.db'}"}
        if os.environ.get(POSTGRES):
            places["PostgreSQL"] = os.environ[POSTGRES]
        for name, database in places.items():
            seen, kept = stress(database)
            rate = len(seen.waits) / seen.seconds
            told = f"{rate:.0f} requests/s, median {1000 * seen.percentile(0.5):.0f} ms, "
            told += f"99 % within {1000 * seen.percentile(0.99):.0f} ms"
            rows.append((f"32 annotators, {name}", told))
            rows.append((f"  stored, {name}", f"{kept.pairs} submissions, {len(kept.faults)} lost, doubled or failed"))
    return rows
