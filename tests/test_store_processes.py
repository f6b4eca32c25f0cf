"""The run's database shared by threads and processes, and what a killed writer leaves in it."""

from __future__ import annotations

import os
import subprocess
import sys
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest
from stores import TASK, episode

from sotopia_pi.store import Store


@pytest.fixture
def store(where: str) -> Iterator[Store]:
    with Store.open(where) as opened:
        opened.add_tasks("train", [TASK])
        yield opened


def test_threads_share_a_store(store: Store) -> None:
    stored: list[bool] = []

    def write() -> None:
        stored.extend(store.add_episode(episode(f"{n:02d}")) for n in range(20))

    threads = [threading.Thread(target=write) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sorted(stored) == [False] * 60 + [True] * 20
    assert [len(e.turns) for e in store.episodes()] == [3] * 20


WRITER = """
import sys
from sotopia_pi.store import Store
from stores import TASK, episode, rating

with Store.open(sys.argv[1]) as store:
    store.add_tasks("train", [TASK])
    for n in range(int(sys.argv[3])):
        for key in (f"{sys.argv[2]}{n:05d}", f"shared{n:05d}"):
            if store.add_episode(episode(key), [rating(key), rating(key, role=1)]):
                print(key, flush=True)
"""


def start_writer(where: str, name: str, count: int) -> subprocess.Popen[str]:
    """A process that stores `count` episodes of its own and `count` shared ones, and says each one it stored."""
    command = [sys.executable, "-c", WRITER, where, name, str(count)]
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join([str(Path(__file__).parent), *sys.path])}
    return subprocess.Popen(command, stdout=subprocess.PIPE, text=True, env=environment)


def test_two_processes_create_and_fill_one_database(where: str) -> None:
    writers = [start_writer(where, name, 40) for name in "ab"]
    said = [writer.communicate(timeout=120)[0].split() for writer in writers]
    assert [writer.returncode for writer in writers] == [0, 0]
    with Store.open(where) as store:
        assert sorted(said[0] + said[1]) == [e.key for e in store.episodes()]
        assert len(store.episode_keys("collect")) == 120
        assert sum(1 for _ in store.ratings()) == 240


@pytest.mark.parametrize("after", [1, 37])
def test_a_killed_writer_loses_nothing_it_had_stored(where: str, after: int) -> None:
    writer = start_writer(where, "a", 5_000)
    assert writer.stdout is not None
    acknowledged = [writer.stdout.readline().strip() for _ in range(after)]
    writer.kill()
    acknowledged += [line.strip() for line in writer.stdout.readlines() if line.endswith("\n")]
    writer.wait()
    writer.stdout.close()
    with Store.open(where) as store:
        stored = list(store.episodes())
        assert set(acknowledged) <= {e.key for e in stored}
        assert len(stored) - len(acknowledged) in (0, 1)
        assert all(e == episode(e.key) for e in stored)
        assert sum(1 for _ in store.ratings()) == 2 * len(stored)
        assert store.tasks("train") == [TASK]
