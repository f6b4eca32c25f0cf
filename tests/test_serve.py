"""The command that serves a policy: where it listens, the key it needs, how it is stopped, what it cannot serve."""

from __future__ import annotations

import os
import signal
import subprocess
from pathlib import Path

import pytest
from serving import JSON, body, post, said
from support import command, offline

from sotopia_pi.cli.main import main
from sotopia_pi.errors import ConfigError
from sotopia_pi.models.serving.listening import KEY, bound, serve_key, url

pytest.importorskip("torch", reason="serving local models needs the extra 'local'")
pytest.importorskip("peft", reason="serving local models needs the extra 'local'")
import policies
from policies import ACTION

pytestmark = [pytest.mark.weights, pytest.mark.usefixtures("weights")]


@pytest.fixture(scope="module")
def policy(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return policies.reciting(tmp_path_factory.mktemp("policies"))


# Keys and addresses


def test_other_addresses_need_a_key() -> None:
    for host in ("127.0.0.1", "127.0.0.2", "localhost", "::1"):
        assert serve_key(host, {}) is None
    assert serve_key("127.0.0.1", {KEY: "k"}) == "k"
    assert serve_key("0.0.0.0", {KEY: " k\n"}) == "k"
    for host in ("0.0.0.0", "::", "192.0.2.7", "example.org"):
        with pytest.raises(ConfigError, match=f"a key is needed: put one into the environment variable {KEY}"):
            serve_key(host, {})
    with pytest.raises(ConfigError, match="cannot be a key") as caught:
        serve_key("0.0.0.0", {KEY: "two words"})
    assert "two words" not in str(caught.value)


def test_addresses() -> None:
    assert url("0.0.0.0", 80) == "http://127.0.0.1:80/v1" and url("::1", 80) == "http://[::1]:80/v1"
    with bound("127.0.0.1", 0) as taken:
        taken.listen()
        with pytest.raises(ConfigError, match=r"127\.0\.0\.1:\d+ cannot be served on .*another --host or --port"):
            bound("127.0.0.1", taken.getsockname()[1])
    for host, port in (("127.0.0.1", 99_999), ("no.such.host.invalid", 0)):
        with pytest.raises(ConfigError, match="cannot be served on"):
            bound(host, port)


# The command


def started(policy: Path, *arguments: str, **environment: str) -> tuple[subprocess.Popen[str], str]:
    """`sotopia-pi serve` in a process of its own, and its base URL."""
    process = subprocess.Popen(
        command("serve", str(policy), "--backend", "local", "--port", "0", "--max-context", "512", *arguments),
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        env={**os.environ, **offline(), **environment},
    )
    assert process.stdout is not None
    line = process.stdout.readline()
    assert line.startswith("serving "), process.communicate()
    return process, line.split("@")[1].split(",")[0].strip()


@pytest.mark.slow
@pytest.mark.parametrize("stop", [signal.SIGINT, signal.SIGTERM])
def test_the_command_serves_until_it_is_stopped(policy: Path, stop: signal.Signals) -> None:
    secret = "a-very-secret-key"
    process, address = started(policy, "--host", "0.0.0.0", "--name", "mine", "--with-base", **{KEY: secret})
    try:
        assert post(address, body(model="mine", max_tokens=2))[0] == 401
        assert post(address, body(model="mine", max_tokens=40, response_format=JSON), secret)[0] == 200
        assert post(address, body(model="reciter", max_tokens=2), secret)[0] == 200
    finally:
        process.send_signal(stop)
        out, err = process.communicate(timeout=60)
    assert (process.returncode, err) == (0, "") and secret not in out


@pytest.mark.slow
def test_whole_weights_are_served_too(policy: Path, tmp_path: Path) -> None:
    whole = tmp_path / "whole"
    assert main(["policy", "merge", str(policy), "--out", str(whole), "--quiet"]) == 0
    process, address = started(whole)
    try:
        assert said(address, model="whole", max_tokens=40, response_format=JSON) == ACTION
    finally:
        process.send_signal(signal.SIGINT)
        assert process.communicate(timeout=60)[1] == "" and process.returncode == 0


def test_what_cannot_be_served_is_said_in_a_sentence(
    policy: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    def fails(code: int, *arguments: str) -> str:
        assert main(["serve", *arguments, "--backend", "local"]) == code
        printed = capsys.readouterr()
        assert printed.out == "" and printed.err.count("\n") == 1
        return printed.err

    monkeypatch.delenv(KEY, raising=False)
    assert "a key is needed" in fails(2, str(policy), "--host", "0.0.0.0")
    assert "There is no policy folder" in fails(5, str(tmp_path / "none"))
    assert "is not a policy" in fails(5, str(tmp_path))
    assert "There is no model folder /gone" in fails(5, str(policy), "--port", "0", "--base", "/gone")
    assert "--slots must be at least 1" in fails(2, str(policy), "--slots", "0")
    with bound("127.0.0.1", 0) as taken:
        taken.listen()
        assert "cannot be served on" in fails(2, str(policy), "--port", str(taken.getsockname()[1]))
