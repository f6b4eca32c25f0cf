"""20,000 episodes through the mock server: is memory flat, is anything lost, what does a SIGKILL cost?

The command line plays a tenth of them in one run directory, then all of them in another, where it is killed on the way
and started again. Takes some minutes, so it runs only when it is named.
"""

from __future__ import annotations

import json
import sqlite3
import subprocess
import sys
import tempfile
import time
import urllib.request
from contextlib import closing
from pathlib import Path
from typing import Any

EPISODES = 20_000
CONCURRENCY = 256
_TASKS = 50
#: Two policies (the base and the expert) play both roles.
_PER_REPEAT = 4 * _TASKS


def scale() -> list[tuple[str, str]]:
    """Peak memory of few and of many episodes, and what was stored and asked around a kill."""
    server = subprocess.Popen(
        [sys.executable, "-m", "sotopia_pi.models.mockserver", "--port", "0", "--latency-ms", "20"],
        stdout=subprocess.PIPE,
        text=True,
    )
    try:
        assert server.stdout is not None
        url = server.stdout.readline().strip()
        with tempfile.TemporaryDirectory() as folder:
            return _measured(Path(folder), url)
    finally:
        server.terminate()
        server.wait()


def _measured(folder: Path, url: str) -> list[tuple[str, str]]:
    few = EPISODES // 10
    _, little, _ = _play(folder / "few", url, few, stop_at=None)
    before = _calls(url)
    killed_at, _, first = _play(folder / "many", url, EPISODES, stop_at=EPISODES * 2 // 5)
    stored, much, second = _play(folder / "many", url, EPISODES, stop_at=None)
    asked = _calls(url) - before
    with closing(sqlite3.connect(folder / "many" / "run.db")) as connection:
        needed, failed, keys = connection.execute(
            "select (select count(*) from turns where prompt_tokens > 0), "
            "(select count(*) from episodes where failure is not null), (select count(distinct key) from episodes)"
        ).fetchone()
    return [
        (f"peak memory, {few:,} episodes", f"{little / 2**20:.0f} MB"),
        (f"peak memory, {EPISODES:,} episodes", f"{much / 2**20:.0f} MB: {much / little:.2f} times"),
        ("stored", f"{stored:,} of {EPISODES:,}, {keys:,} different, {failed} failed"),
        ("killed with SIGKILL at", f"{killed_at:,} stored episodes"),
        ("calls asked again after the kill", f"{asked - needed:,} (at most {CONCURRENCY} episodes were in flight)"),
        ("episodes/s", f"{EPISODES / (first + second):.0f}, start, kill, resume and report included"),
    ]


def _play(out: Path, url: str, episodes: int, stop_at: int | None) -> tuple[int, int, float]:
    """Episodes stored, peak resident bytes, seconds. With `stop_at`, kills the process when so many are stored."""
    settings = [
        f'models.policy="openai:mock@{url}"',
        f'models.expert="openai:mock@{url}"',
        'models.partner="scripted:partner"',
        "rounds=[]",
        "world.train={}",
        f"world.test={{price={_TASKS}}}",
        "world.transfer={}",
        f"evaluation.repeats={episodes // _PER_REPEAT}",
        f"runtime.concurrency={CONCURRENCY}",
    ]
    options = [word for setting in settings for word in ("--set", setting)]
    began = time.monotonic()
    process = subprocess.Popen(
        [sys.executable, "-m", "sotopia_pi", "run", "--quiet", "--out", str(out), *options],
        stdout=subprocess.DEVNULL,
    )
    peak = 0
    while process.poll() is None:
        peak = max(peak, resident(process.pid))
        if stop_at is not None and _stored(out) >= stop_at:
            under_way = _calls(url) + 2 * CONCURRENCY  # episodes end in waves: kill it in the middle of one
            while _calls(url) < under_way and process.poll() is None:
                time.sleep(0.01)
            process.kill()
        time.sleep(0.2)
    if process.returncode and stop_at is None:
        raise SystemExit(f"the run ended with exit code {process.returncode}")
    return _stored(out), peak, time.monotonic() - began


def resident(pid: int) -> int:
    """The most bytes that a process had in memory; 0 when it is gone."""
    try:
        lines = Path(f"/proc/{pid}/status").read_text(encoding="ascii").splitlines()
    except OSError:
        return 0
    return next((int(line.split()[1]) * 1024 for line in lines if line.startswith("VmHWM")), 0)


def _stored(out: Path) -> int:
    if not (out / "run.db").exists():
        return 0
    with closing(sqlite3.connect(f"file:{out / 'run.db'}?mode=ro", uri=True, timeout=30)) as connection:
        found = connection.execute("select count(*) from sqlite_master where name = 'episodes'").fetchone()[0]
        return int(connection.execute("select count(*) from episodes").fetchone()[0]) if found else 0


def _calls(url: str) -> int:
    with urllib.request.urlopen(url.removesuffix("/v1") + "/stats") as reply:
        stats: dict[str, Any] = json.load(reply)
    return int(stats["calls"])
