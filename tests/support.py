"""What several test files build: characters, tasks, episodes, and runs of the command line in a process of its own."""

from __future__ import annotations

import os
import sqlite3
import subprocess
import sys
from collections.abc import Callable, Mapping, Sequence
from contextlib import closing, suppress
from pathlib import Path
from typing import Any

from sotopia_pi.environments.price import PriceCheck
from sotopia_pi.episodes.records import Action, ActionType, Episode, StopReason, Turn
from sotopia_pi.world.records import Character, Relationship, Scenario, SocialTask
from sotopia_pi.world.verified import generate

PRICE = PriceCheck(item="lamp", seller=0, limits=(10, 20), targets=(18, 12), listed=19)


def character(name: str, **fields: Any) -> Character:
    """An adult with every field filled; `fields` replace some."""
    filled: dict[str, Any] = {
        "age": 40,
        "gender": "woman",
        "pronouns": "she/her",
        "occupation": "baker",
        "public_info": "Keeps a small shop.",
        "big_five": "open and calm",
        "moral_values": ("care", "fairness"),
        "schwartz_values": ("benevolence",),
        "personality": "Patient.",
        "decision_style": "slowly",
        "secret": "Buys her bread elsewhere.",
    }
    return Character(name=name, **{**filled, **fields})


CAST = (character("Ada Moss"), character("Bo Lind", age=31, gender="man", pronouns="he/him", occupation="nurse"))


def price_task(relationship: Relationship = Relationship.STRANGER, number: int = 0) -> SocialTask:
    """A small verified task: Ada sells a lamp to Bo; there is room for a deal from 10 to 20 dollars."""
    scenario = Scenario(
        situation=f"Stall {number} at a flea market. A lamp is listed at $19.",
        goals=("Sell the lamp for as much as you can.", "Buy the lamp for as little as you can."),
        relationship=relationship,
        kind="price",
        source="test",
        check=PRICE,
    )
    return SocialTask(scenario=scenario, characters=CAST)


def task_of(kind: str, number: int = 0) -> SocialTask:
    """A task of a verified kind, as it is drawn."""
    return SocialTask(scenario=generate(kind, "test", number + 1, 1)[number], characters=CAST)


def open_task() -> SocialTask:
    """A task that no program can rate."""
    scenario = Scenario(situation="A quiet train.", goals=("Talk.", "Read."), kind="open", source="test")
    return SocialTask(scenario=scenario, characters=CAST)


def turn(
    role: int, argument: str, kind: ActionType = ActionType.SPEAK, terms: str | None = None, **fields: Any
) -> Turn:
    """A turn that says `argument` and declares `terms`."""
    action = Action(type=kind, argument=argument, terms=terms)
    return Turn(role=role, action=action, raw=fields.pop("raw", action.to_json()), **fields)


def episode(task: SocialTask, turns: Sequence[Turn], key: str = "e1", **fields: Any) -> Episode:
    """A completed episode of `task`."""
    values: dict[str, Any] = {"stage": "collect/bc", "players": ("expert", "expert"), "stop_reason": StopReason.LEFT}
    return Episode(key=key, task_id=task.id, turns=tuple(turns), **{**values, **fields})


#: A run that needs no weights: the fake model is the policy, scripts are expert and partner.
LIGHT = (
    'models.policy="fake:"',
    "rounds=[]",
    "world.train={}",
    "world.test={price=2}",
    "evaluation.repeats=1",
)


def command(*arguments: str) -> list[str]:
    """The command line of `sotopia-pi` in this Python."""
    return [sys.executable, "-m", "sotopia_pi", *arguments]


def settings(*values: str) -> list[str]:
    """`--set` for each value."""
    return [part for value in values for part in ("--set", value)]


def start(*arguments: str, **options: Any) -> subprocess.Popen[str]:
    """`sotopia-pi` in a process of its own."""
    return subprocess.Popen(
        command(*arguments),
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        env={**os.environ, **offline()},
        **options,
    )


def wait_until(done: Callable[[], bool], process: subprocess.Popen[str]) -> None:
    """Returns when `done` is true of what a process does, which must not end before; leaves the processor to it."""
    while not done():
        with suppress(subprocess.TimeoutExpired):
            process.wait(0.002)
            assert done(), process.communicate()


def offline() -> Mapping[str, str]:
    """Environment variables that keep libraries from looking for a network."""
    return {"HF_HUB_OFFLINE": "1", "TOKENIZERS_PARALLELISM": "false"}


def stored(folder: Path, query: str = "select count(*) from episodes") -> int:
    """A number from a run's database, read while another process may be writing it; 0 while there is no table."""
    path = folder / "run.db"
    if not path.exists():
        return 0
    with closing(sqlite3.connect(path, timeout=5)) as connection:
        try:
            return int(connection.execute(query).fetchone()[0])
        except sqlite3.OperationalError as error:
            if "no such table" in str(error):
                return 0
            raise
