"""The benchmark of the browser application, on few episodes: it asks the real server for every page."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).parent.parent))

from benchmarks import view


@pytest.mark.slow
def test_every_page_is_asked_for(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(view, "EPISODES", 200)
    monkeypatch.setattr(view, "_TIMES", 1)
    found = dict(view.view())
    assert found["stored"].startswith("200 episodes, made in")
    assert found["an episode"].startswith("p50 ")
    assert {"runs", "a run", "tasks", "episodes", "an episode", "two policies", "two raters"} <= found.keys()
    assert found["memory at its peak"] != "0 MB"
