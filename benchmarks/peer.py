"""This engine and the package sotopia on the same tasks against the same mock server, one after the other.

The peer is installed from PyPI into a virtual environment of its own (SOTOPIA_PEER, by default .peer beside the
benchmarks); without it, and without a way to install it, only this engine is measured.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tempfile
import urllib.request
from pathlib import Path
from typing import Any

from benchmarks.cases import MARK, cases

PEER = "sotopia==0.1.5"
COUNT = 256
LATENCY = 0.05
TURNS = 20
CONCURRENT = (64, 512)
_HERE = Path(__file__).parent


def peer() -> list[tuple[str, str]]:
    """The table of both, with ratios."""
    found, source = cases(COUNT)
    python = _peer_python()
    rows = [("tasks", f"{COUNT} from {source}, {TURNS} turns and a rating, {LATENCY * 1000:.0f} ms per reply")]
    with tempfile.TemporaryDirectory() as folder:
        given = Path(folder) / "cases.json"
        given.write_text(json.dumps(found), encoding="utf-8")
        for concurrent in CONCURRENT:
            ours = _measured([sys.executable, "-m", "benchmarks.engine_driver"], given, concurrent, Path(folder))
            theirs = None
            if python is not None:
                theirs = _measured([str(python), str(_HERE / "peer_driver.py")], given, concurrent, Path(folder))
            rows += _rows(concurrent, ours, theirs)
    return rows


def _rows(concurrent: int, ours: dict[str, Any], theirs: dict[str, Any] | None) -> list[tuple[str, str]]:
    floor = min(concurrent, COUNT) / ((TURNS + 1) * LATENCY)
    rows = []
    for label, name, form in (
        ("episodes/s", "rate", "{:.1f}"),
        ("CPU ms per episode", "cpu_ms", "{:.1f}"),
        ("prompt characters per episode", "characters", "{:,.0f}"),
        ("… with a prefix cache", "new_characters", "{:,.0f}"),
    ):
        text = form.format(ours[name])
        if name == "rate":
            text += f" ({ours[name] / floor:.2f} of the latency's floor of {floor:.0f})"
        if theirs is not None:
            high, low = max(ours[name], theirs[name]), min(ours[name], theirs[name])
            text += f", peer {form.format(theirs[name])}: {high / low:.1f} times"
        rows.append((f"{concurrent} at once: {label}", text))
    if theirs is not None:
        ratio = theirs["characters"] / ours["new_characters"]
        rows.append((f"{concurrent} at once: peer's characters to our new ones", f"{ratio:.1f} times"))
    finished = f"{ours['episodes']} of {COUNT}" + (f", peer {theirs['episodes']}" if theirs else "")
    return [*rows, (f"{concurrent} at once: finished and stored", finished)]


def _measured(command: list[str], given: Path, concurrent: int, folder: Path) -> dict[str, Any]:
    """Runs one side against a fresh server; seconds, CPU, episodes, characters."""
    server = subprocess.Popen(
        [
            sys.executable,
            "-m",
            "sotopia_pi.models.mockserver",
            "--port",
            "0",
            "--conversation",
            MARK,
            "--latency-ms",
            str(LATENCY * 1000),
        ],
        stdout=subprocess.PIPE,
        text=True,
    )
    try:
        assert server.stdout is not None
        url = server.stdout.readline().strip()
        result = folder / "result.json"
        with tempfile.TemporaryDirectory() as home:
            environment = {**os.environ, "HOME": home}
            arguments = [str(given), url, str(concurrent), str(result)]
            done = subprocess.run([*command, *arguments], env=environment, capture_output=True, text=True, check=False)
        if done.returncode:
            raise SystemExit(f"{command[0]} failed:\n{done.stderr[-2000:]}")
        found = json.loads(result.read_text(encoding="utf-8"))
        with urllib.request.urlopen(url.removesuffix("/v1") + "/stats") as reply:
            stats = json.load(reply)
    finally:
        server.terminate()
        server.wait()
    episodes = max(1, found["episodes"])
    return {
        **found,
        "calls": stats["calls"],
        "rate": found["episodes"] / found["seconds"],
        "cpu_ms": 1000 * found["cpu"] / episodes,
        "characters": stats["prompt_characters"] / episodes,
        "new_characters": stats["new_characters"] / episodes,
    }


def _peer_python() -> Path | None:
    """The Python of the peer's virtual environment, made if need be; None where it cannot be."""
    venv = Path(os.environ.get("SOTOPIA_PEER", _HERE.parent / ".peer"))
    python = venv / "bin" / "python"
    if not python.exists():
        print(f"installing {PEER} into {venv} …", file=sys.stderr)
        made = subprocess.run([sys.executable, "-m", "venv", str(venv)], check=False)
        if made.returncode or subprocess.run([str(python), "-m", "pip", "install", "-q", PEER], check=False).returncode:
            print(f"{PEER} cannot be installed; measuring this engine alone", file=sys.stderr)
            return None
    return python
