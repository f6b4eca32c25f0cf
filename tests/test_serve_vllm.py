"""`sotopia-pi serve` with vLLM: the process becomes vLLM's, with the right command, key and exit code.

A script stands for vLLM everywhere; where SOTOPIA_PI_TEST_VLLM_PROGRAM names a real executable (the same release runs
on a CPU), a policy and its merged weights are served by it.
"""

from __future__ import annotations

import asyncio
import json
import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from urllib.error import URLError
from urllib.request import urlopen

import pytest
from serving import HELLO
from support import command, offline

from sotopia_pi.cli.main import main
from sotopia_pi.episodes.records import action_schema
from sotopia_pi.models.protocol import Completion, Sampling
from sotopia_pi.models.remote.opening import Remotes

pytest.importorskip("torch", reason="policies need the extra 'local'")
pytest.importorskip("peft", reason="policies need the extra 'local'")
import policies
import tiny

PROGRAM = "SOTOPIA_PI_TEST_VLLM_PROGRAM"
pytestmark = [pytest.mark.weights, pytest.mark.slow, pytest.mark.usefixtures("weights")]

_SCRIPT = """#!{python}
import json, os, signal, sys
from pathlib import Path
told = {{"arguments": sys.argv[1:], "key": os.environ.get("VLLM_API_KEY"), "pid": os.getpid()}}
signal.signal(signal.SIGTERM, lambda *_: sys.exit(7))
Path({told!r}).write_text(json.dumps(told))
print("vllm runs", flush=True)
signal.pause()
"""


@pytest.fixture(scope="module")
def policy(tmp_path_factory: pytest.TempPathFactory) -> Path:
    base = tiny.save(tiny.CONFIGS["llama"], tmp_path_factory.mktemp("base") / "tiny-llama")
    return policies.policy(str(base), tmp_path_factory.mktemp("policies") / "bc", rank=12)


@pytest.fixture
def standin(tmp_path: Path) -> Path:
    """A folder with a program `vllm` that writes down how it was called."""
    folder = tmp_path / "bin"
    folder.mkdir()
    program = folder / "vllm"
    program.write_text(_SCRIPT.format(python=sys.executable, told=str(tmp_path / "told")), encoding="utf-8")
    program.chmod(0o755)
    return folder


def start(policy: Path, path: Path, *arguments: str, **environment: str) -> subprocess.Popen[str]:
    return subprocess.Popen(
        command("serve", str(policy), *arguments),
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        env={**os.environ, **offline(), "PATH": f"{path}:{os.environ['PATH']}", **environment},
    )


def test_the_process_becomes_vllms(policy: Path, standin: Path, tmp_path: Path) -> None:
    more = ("--port", "8123", "--max-context", "1024", "--vllm-args=--max-num-seqs 8 --seed 3")
    process = start(policy, standin, *more, SOTOPIA_PI_SERVE_KEY="a-secret-key")
    assert process.stdout is not None
    said = [process.stdout.readline(), process.stdout.readline()]
    assert said[0].startswith("starting ") and said[1] == "vllm runs\n"
    process.send_signal(signal.SIGTERM)
    rest, _ = process.communicate(timeout=30)
    assert process.returncode == 7
    told = json.loads((tmp_path / "told").read_text(encoding="utf-8"))
    base = json.loads((policy / "policy.json").read_text(encoding="utf-8"))["base"]
    assert told["pid"] == process.pid and told["key"] == "a-secret-key"
    assert "a-secret-key" not in "".join([*said, rest])
    assert told["arguments"] == [
        "serve", base, "--served-model-name", "tiny-llama", "--host", "127.0.0.1", "--port", "8123",
        "--enable-prompt-tokens-details", "--enable-lora", "--max-lora-rank", "16", "--lora-modules",
        f"bc={policy.resolve()}", "--max-model-len", "1024", "--max-num-seqs", "8", "--seed", "3",
    ]  # fmt: skip


def test_whole_weights_are_served_as_they_are(policy: Path, standin: Path, tmp_path: Path) -> None:
    assert main(["policy", "merge", str(policy), "--out", str(tmp_path / "whole"), "--quiet"]) == 0
    process = start(tmp_path / "whole", standin, "--backend", "vllm", "--name", "mine", "--quiet")
    assert process.stdout is not None and process.stdout.readline() == "vllm runs\n"
    process.terminate()
    process.communicate(timeout=30)
    told = json.loads((tmp_path / "told").read_text(encoding="utf-8"))
    assert told["arguments"][:4] == ["serve", str(tmp_path / "whole"), "--served-model-name", "mine"]
    assert "--enable-lora" not in told["arguments"] and told["key"] is None


def test_what_vllm_cannot_serve(
    policy: Path, standin: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    def fails(*arguments: str) -> str:
        assert main(["serve", *arguments]) in (2, 5)
        printed = capsys.readouterr()
        assert printed.err.count("\n") == 1
        return printed.err

    monkeypatch.setenv("PATH", "/nowhere")
    if not (Path(sys.executable).parent / "vllm").exists():
        assert "vLLM is not installed here" in fails(str(policy), "--backend", "vllm")
    monkeypatch.setenv("PATH", str(standin))
    assert "--vllm-args cannot be read" in fails(str(policy), "--vllm-args='")
    large = policies.policy(json.loads((policy / "policy.json").read_text())["base"], tmp_path / "large", rank=600)
    assert "has 600" in fails(str(large))
    (standin / "vllm").write_text("#!/no/such/python\n", encoding="utf-8")
    assert "vllm cannot be started" in fails(str(policy))


# The real one


@contextmanager
def served(policy: Path, arguments: Sequence[str], folder: Path) -> Iterator[str]:
    """The base URL of a real vLLM that serves `policy`; ends it with Ctrl-C."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    options = "--max-model-len 1024 --dtype bfloat16 --enforce-eager --max-num-seqs 4 --no-enable-chunked-prefill"
    asked = ("--backend", "vllm", "--port", str(port), f"--vllm-args={options}", *arguments)
    path = f"{Path(os.environ[PROGRAM]).parent}:{os.environ['PATH']}"
    with (folder / "log").open("w+", encoding="utf-8") as log:
        process = subprocess.Popen(
            command("serve", str(policy), *asked),
            stdout=log,
            stderr=subprocess.STDOUT,
            env={**os.environ, **offline(), "PATH": path, "VLLM_CPU_KVCACHE_SPACE": "1"},
        )
        try:
            while True:
                assert process.poll() is None, (folder / "log").read_text(encoding="utf-8")[-3000:]
                try:
                    with urlopen(f"http://127.0.0.1:{port}/health", timeout=5):
                        break
                except (URLError, OSError):
                    time.sleep(0.5)
            yield f"http://127.0.0.1:{port}/v1"
        finally:
            process.send_signal(signal.SIGINT)
            process.wait(timeout=60)


def ask(name: str, url: str) -> Completion:
    model = Remotes().model(f"openai:{name}@{url}")
    return asyncio.run(model.complete(HELLO, Sampling(0.0, 1.0, 32), 0, schema=action_schema()))


real = pytest.mark.skipif(PROGRAM not in os.environ, reason=f"{PROGRAM} names no vLLM executable")


@real
def test_a_policy_plays_beside_its_base_in_vllm(weights: str, tmp_path: Path) -> None:
    policy = policies.policy(weights, tmp_path / "bc")
    with served(policy, (), tmp_path) as url:
        adapted, again, base = ask("bc", url), ask("bc", url), ask("smollm2-135m", url)
    print(f"\nadapter: {adapted.text!r}\nbase:    {base.text!r}")
    assert adapted.text and adapted.text == again.text != base.text
    assert again.prompt_tokens == adapted.prompt_tokens > 0


@real
def test_merged_weights_play_in_vllm(weights: str, tmp_path: Path) -> None:
    policy, whole = policies.policy(weights, tmp_path / "bc"), tmp_path / "whole"
    assert main(["policy", "merge", str(policy), "--out", str(whole), "--dtype", "bfloat16", "--quiet"]) == 0
    with served(whole, ("--name", "mine"), tmp_path) as url:
        reply = ask("mine", url)
    print(f"\nmerged: {reply.text!r}")
    assert reply.text and reply.completion_tokens > 0
