"""`sotopia-pi policy push` against a small hub on loopback: what arrives, and one sentence when it cannot."""

from __future__ import annotations

import json
import os
import socket
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest
from support import command, offline

pytest.importorskip("peft", reason="policies need the extra 'local'")
pytest.importorskip("huggingface_hub", reason="uploading needs the extra 'local'")
import policies
import tiny
from hub import TOKEN, Hub, hub

pytestmark = [pytest.mark.weights, pytest.mark.usefixtures("weights")]


@pytest.fixture(scope="module")
def policy(tmp_path_factory: pytest.TempPathFactory) -> Path:
    base = tiny.save(tiny.CONFIGS["llama"], tmp_path_factory.mktemp("private-home") / "tiny-llama")
    folder = policies.policy(str(base), tmp_path_factory.mktemp("run") / "bc")
    (folder / "notes.txt").write_text("mine", encoding="utf-8")
    (folder / "adapter_model.bin").write_bytes(b"pickle")
    return folder


@pytest.fixture
def server() -> Iterator[Hub]:
    with hub() as running:
        yield running


def push(policy: Path, repo: str, url: str, *more: str, **environment: str) -> tuple[int, str, str]:
    """The exit code and what was printed."""
    given = {**os.environ, **offline(), "HF_HUB_OFFLINE": "0", "HF_HUB_DISABLE_XET": "1", "HF_ENDPOINT": url}
    given |= {"HF_TOKEN": TOKEN, "HF_HUB_DISABLE_TELEMETRY": "1", "HF_HOME": str(policy.parent), **environment}
    asked = command("policy", "push", str(policy), repo, *more)
    done = subprocess.run(asked, env=given, capture_output=True, text=True, timeout=120, check=False)
    return done.returncode, done.stdout, done.stderr


def test_a_policy_arrives_whole_and_without_paths(server: Hub, policy: Path) -> None:
    code, out, err = push(policy, "ada/social", server.url, "--private")
    assert (code, err) == (0, "") and out == f"pushed     {server.url}/ada/social\n"
    files = server.repositories["ada/social"]
    assert set(files) == {
        "README.md", "adapter_config.json", "adapter_model.safetensors", "examples.jsonl", "policy.json",
    }  # fmt: skip
    assert server.private["ada/social"]
    assert files["adapter_model.safetensors"] == (policy / "adapter_model.safetensors").read_bytes()
    assert not [name for name, content in files.items() if b"private-home" in content]
    assert json.loads(files["policy.json"])["base"] == "tiny-llama"
    assert json.loads(files["adapter_config.json"])["base_model_name_or_path"] == "tiny-llama"
    assert b'base_model: "tiny-llama"' in files["README.md"]
    assert b"private-home" in (policy / "policy.json").read_bytes()  # the folder itself stays as it is


def test_pushing_again_goes_to_the_same_repository(server: Hub, policy: Path) -> None:
    assert push(policy, "ada/social", server.url)[0] == 0
    assert not server.private["ada/social"]
    assert push(policy, "ada/social", server.url, "--quiet") == (0, "", "")
    assert list(server.repositories) == ["ada/social"]


def fails(policy: Path, repo: str, url: str, **environment: str) -> str:
    code, out, err = push(policy, repo, url, **environment)
    assert code == 2 and out == "" and err.count("\n") == 1, err
    assert TOKEN not in err and "hf_wrong" not in err
    return err


def test_one_sentence_for_everything_that_stops_it(server: Hub, policy: Path) -> None:
    assert "refuses the token in HF_TOKEN (401)" in fails(policy, "ada/social", server.url, HF_TOKEN="hf_wrong")
    assert "put one into the variable HF_TOKEN" in fails(policy, "ada/social", server.url, HF_TOKEN="")
    assert "does not let this token write to 'bo/social' (403)" in fails(policy, "bo/social", server.url)
    assert "cannot be the name of a repository" in fails(policy, "a/b/c", server.url)
    assert "HF_HUB_OFFLINE is set" in fails(policy, "ada/social", server.url, HF_HUB_OFFLINE="1")
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        closed = f"http://127.0.0.1:{free.getsockname()[1]}"
    assert f"The upload to {closed} failed" in fails(policy, "ada/social", closed)
    assert server.repositories == {}
