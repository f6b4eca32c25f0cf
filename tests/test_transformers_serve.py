"""A real server, `transformers serve` with the small model on loopback: it keeps the rules of models, and a loop runs.

The server takes no notice of `response_format`, so that everything rests on the prompt and on how
replies are read.
"""

from __future__ import annotations

import asyncio
import importlib.util
import json
import os
import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
import test_models
from serving import HELLO
from support import settings, stored

from sotopia_pi.cli.main import main
from sotopia_pi.episodes.records import action_schema
from sotopia_pi.models.protocol import ChatModel, Sampling
from sotopia_pi.models.remote.opening import Remotes

# One server is enough.
pytestmark = [pytest.mark.weights, pytest.mark.slow, pytest.mark.xdist_group("transformers-serve")]

NAME = "small"
_NEEDED = ("fastapi", "openai", "uvicorn")
_START = "from transformers.cli.transformers import main; main()"


def folder(weights: str, parent: Path) -> None:
    """The weights under a short name; without `do_sample` the server would answer greedily at any temperature."""
    from sotopia_pi.models.weights import resolve

    made = parent / NAME
    made.mkdir()
    for path in Path(resolve(weights)).iterdir():
        if path.name != "generation_config.json":
            (made / path.name).symlink_to(path)
    (made / "generation_config.json").write_text('{"do_sample": true, "eos_token_id": 2, "pad_token_id": 2}')


@pytest.fixture(scope="module")
def spec(weights: str, tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """The spec of a running server."""
    missing = [package for package in _NEEDED if importlib.util.find_spec(package) is None]
    if missing:
        pytest.skip(f"transformers serve needs {', '.join(missing)}; install the extra 'dev'")
    parent = tmp_path_factory.mktemp("served")
    folder(weights, parent)
    options = ("--host", "127.0.0.1", "--port", "0", "--device", "cpu", "--dtype", "bfloat16")
    process = subprocess.Popen(
        [sys.executable, "-c", _START, "serve", NAME, *options],
        cwd=parent,
        env={**os.environ, "OMP_NUM_THREADS": os.environ.get("OMP_NUM_THREADS", "2")},
        stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
        text=True,
    )
    assert process.stderr is not None
    try:
        said = []
        for line in process.stderr:
            said.append(line)
            running = re.search(r"running on (http://127\.0\.0\.1:\d+)", line)
            if running:
                yield f"openai:{NAME}@{running[1]}/v1"
                break
        else:
            pytest.fail("the server did not start: " + "".join(said[-5:]))
    finally:
        process.terminate()
        process.communicate()


@pytest.fixture
def model(spec: str) -> ChatModel:
    return Remotes().model(spec)


class TestItKeepsTheRulesOfModels(test_models.TestEveryModel):
    """All that holds for the other models, with this module's `model`."""


def test_its_replies_are_drawn_and_counted(model: ChatModel) -> None:
    async def twice() -> list[str]:
        sampling = Sampling(temperature=1.5, max_tokens=8)
        replies = [await model.complete(HELLO, sampling, seed, schema=action_schema()) for seed in (1, 2, 3)]
        assert all(0 < reply.completion_tokens <= 8 for reply in replies)
        assert len({reply.prompt_tokens for reply in replies}) == 1
        return [reply.text for reply in replies]

    assert len(set(asyncio.run(twice()))) > 1


def test_a_loop_runs_against_it(spec: str, tmp_path: Path) -> None:
    out = tmp_path / "run"
    shrunk = settings(
        f'models.policy="{spec}"', "rounds=[]", "world.train={}", "world.test={price=1}", "max_turns=2",
        "sampling.max_tokens=12", "sampling.temperature=0.2", "runtime.concurrency=2",
    )  # fmt: skip
    assert main(["run", "--quiet", "--out", str(out), *shrunk]) == 0
    assert stored(out) == 4 and stored(out, "select count(*) from episodes where failure is not null") == 0
    assert stored(out, "select count(*) from turns where completion_tokens > 0 and cost is null") == 2
    spent = json.loads((out / "report.json").read_text(encoding="utf-8"))["run"]["spending"][NAME]
    assert spent["calls"] >= 2 and spent["prompt"] > 0 and spent["unpriced"] == spent["calls"]


def test_the_wrong_name_stops_the_run_and_says_what_the_server_has(
    spec: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    wrong = spec.replace(f":{NAME}@", ":another@")
    shrunk = settings(f'models.policy="{wrong}"', "rounds=[]", "world.train={}", "world.test={price=2}")
    assert main(["run", "--quiet", "--out", str(tmp_path / "run"), *shrunk]) == 5
    assert f"pinned to '{NAME}'" in capsys.readouterr().err
