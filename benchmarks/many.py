"""A run directory with many stored episodes, made in seconds: rows are written straight into the tables."""

from __future__ import annotations

import json
import random
import sqlite3
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

from sotopia_pi import config as configuration
from sotopia_pi.ratings.records import DIMENSIONS
from sotopia_pi.rundir import CONFIG, DATABASE
from sotopia_pi.store import Store
from sotopia_pi.world import cast, starter_world
from sotopia_pi.world.verified import generate

POLICIES = ("base", "bc", "bc+sr", "expert")
JUDGE = "judge:openai:mock:0123abcd"
_TURNS = 10
_TASKS = 1_000
_WORDS = """well I that we could meet somewhere in the middle because your offer is lower than what the lamp cost me
think last year but honestly it works fine and nobody else asked so far today would you take it for a little more please
let me know whether this sounds fair otherwise I have to leave now thanks anyway friend""".split()  # noqa: SIM905
_RARE = [f"{first}{second}" for first in ("amber", "cedar", "harbor", "velvet") for second in ("ton", "field", "wick")]


def make(folder: Path, episodes: int, seed: int = 1) -> None:
    """A run directory with `episodes` episodes of about ten turns, rated by the verifier and a judge."""
    folder.mkdir(parents=True)
    config = configuration.load(None)
    (folder / CONFIG).write_text(configuration.to_toml(config), encoding="utf-8")
    world = starter_world()
    tasks = [
        task
        for kind in ("price", "division")
        for scenario in generate(kind, "train", min(_TASKS, episodes) // 4, seed)
        for task in cast(scenario, world.characters, world.ties, seed, 2)
    ]
    with Store.open(folder / DATABASE) as store:
        for start, group in ((0, "train"), (len(tasks) // 2, "test")):
            store.add_tasks(group, tasks[start : start + len(tasks) // 2])
    ids = [task.id for task in tasks]
    with closing(sqlite3.connect(folder / DATABASE)) as connection, connection:
        connection.execute("PRAGMA foreign_keys=OFF")
        draw = random.Random(seed)
        plays = sorted(_plays(draw, ids, episodes), key=lambda play: str(play[0]))
        connection.executemany("INSERT INTO episodes VALUES (?,?,?,?,?,?,?,?,?)", plays)
        connection.executemany("INSERT INTO turns VALUES (?,?,?,?,?,?,?,?,?,?,?,?,?,?)", _turns(draw, plays))
        connection.executemany("INSERT INTO ratings VALUES (?,?,?,?,?,?,?,?)", _ratings(draw, plays))


Row = tuple[object, ...]


def _plays(draw: random.Random, tasks: list[str], episodes: int) -> Iterator[Row]:
    half = len(tasks) // 2
    for number in range(episodes):
        policy = POLICIES[number % len(POLICIES)]
        if number % len(POLICIES) == 0:  # all policies play the same, so that they can be compared
            test, seat = draw.random() < 0.5, draw.randrange(2)
            task = tasks[draw.randrange(half) + half * test]
        players = ([policy, "partner"] if seat == 0 else ["partner", policy]) if test else [policy, policy]
        failed = draw.random() < 0.02
        reason = None if failed else draw.choice(("left", "stale", "limit"))
        cause = "the server did not answer" if failed else None
        stage = f"{'evaluate' if test else 'collect'}/{policy}"
        key, seed = f"{draw.getrandbits(64):016x}", draw.getrandbits(62)
        yield key, task, stage, json.dumps(players), number // 4, seed, reason, cause, draw.random() * 30


def _turns(draw: random.Random, plays: list[Row]) -> Iterator[Row]:
    for play in plays:
        for number in range(draw.randrange(_TURNS - 3, _TURNS + 4)):
            words = draw.choices(_WORDS, k=draw.randrange(6, 24))
            if draw.random() < 0.01:
                words.append(draw.choice(_RARE))
            valid = draw.random() > 0.03
            kind, said = ("speak", " ".join(words)) if valid else ("none", "")
            raw, cause = (None, None) if valid else (" ".join(words), "no JSON")
            terms = f"${10 + number}" if valid else None
            row = (play[0], number, number % 2, kind, said, raw, valid, False, 400 + 40 * number, 380, 30, 0.0001)
            yield *row, cause, terms


def _ratings(draw: random.Random, plays: list[Row]) -> Iterator[Row]:
    for play in plays:
        if play[7] is not None:
            continue
        for role in (0, 1):
            goal = round(draw.betavariate(2, 2) * 10, 2)
            outcome = json.dumps({"deal": goal > 3, "terms": f"${10 + goal:.2f}", "within": True, "joint": 1.0})
            reasons = json.dumps({"goal": "The price that was agreed on."})
            yield play[0], role, "verifier", 0, json.dumps({"goal": goal}), reasons, outcome, None
            if draw.random() < 0.03:
                yield play[0], role, JUDGE, 0, "{}", "{}", None, "judge reply, broken JSON: made up"
                continue
            scores = {name: draw.randint(low, high) for name, (low, high) in DIMENSIONS.items()}
            scores["goal"] = min(10, max(0, round(goal + draw.gauss(0, 2))))
            reasons = json.dumps(dict.fromkeys(scores, "What was said shows it. " * 3))
            yield play[0], role, JUDGE, 0, json.dumps(scores), reasons, None, None
