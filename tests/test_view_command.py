"""`sotopia-pi view`: who is the owner, what is printed, what nobody else on the machine sees."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from urllib.parse import unquote, urlsplit

import pytest
from reading import run_directory
from starlette.testclient import TestClient

from sotopia_pi.cli.main import main
from sotopia_pi.cli.view import TOKEN


@pytest.fixture
def run(tmp_path: Path) -> Path:
    return run_directory(tmp_path / "demo")


@pytest.fixture
def started(monkeypatch: pytest.MonkeyPatch) -> Iterator[list[Any]]:
    found: list[Any] = []

    def serve(app: Any, listening: Any, ready: Any) -> None:
        found.append(TestClient(app, f"http://127.0.0.1:{listening.getsockname()[1]}", follow_redirects=False))
        ready()

    monkeypatch.setattr("sotopia_pi.web.serving.serve", serve)
    monkeypatch.delenv(TOKEN, raising=False)
    yield found


def printed(capsys: pytest.CaptureFixture[str]) -> str:
    """The link that the command printed."""
    found = re.search(r"^open +(\S+)$", capsys.readouterr().out, re.MULTILINE)
    assert found
    return found[1]


@pytest.mark.parametrize("quiet", [[], ["--quiet"]])
def test_one_link_lets_the_owner_in_and_nobody_else(
    run: Path, started: list[Any], quiet: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    main(["view", str(run), "--port", "0", *quiet])
    link, (server,) = printed(capsys), started
    token = link.partition("?token=")[2]
    assert len(token) >= 40 and link.startswith(f"{server.base_url}/?token=")
    assert server.get("/").headers["location"] == "/login" and server.get("/run/demo").status_code == 303
    assert server.get(link.removeprefix(str(server.base_url))).headers["location"] == "/"
    main(["view", str(run), "--port", "0"])
    assert printed(capsys).partition("?token=")[2] != token, "each start has a token of its own"


def test_a_token_of_the_owners_own_is_never_printed(
    run: Path, started: list[Any], monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv(TOKEN, "chosen-by-the-owner")
    main(["view", str(run), "--port", "0"])
    assert printed(capsys) == str(started[0].base_url)
    assert started[0].get("/?token=chosen-by-the-owner").headers["location"] == "/"


def test_without_a_token_everybody_on_the_machine_is_the_owner(
    run: Path, started: list[Any], capsys: pytest.CaptureFixture[str]
) -> None:
    main(["view", str(run), "--port", "0", "--no-token"])
    assert "token" not in printed(capsys) and started[0].get("/").status_code == 200


@pytest.mark.parametrize(
    ("arguments", "token", "said"),
    [
        (["--no-token", "--host", "0.0.0.0"], "long-enough", "--no-token is for a server that only this machine"),
        (
            ["--no-token", "--allow-host", "runs.example.org"],
            "long-enough",
            "--no-token is for a server that only this",
        ),
        (["--no-token"], "long-enough", "leave it out, or SOTOPIA_PI_VIEW_TOKEN"),
        (["--host", "0.0.0.0"], "", "Others can reach 0.0.0.0, so a key is needed"),
        (["--allow-host", "https://runs.example.org"], "long-enough", "--allow-host takes a name or an address alone"),
        (["--allow-host", "runs.example.org:8443"], "long-enough", "--allow-host takes a name or an address alone"),
    ],
)
def test_what_cannot_be_asked_for(
    arguments: list[str], token: str, said: str, run: Path, started: list[Any], monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:  # fmt: skip
    monkeypatch.setenv(TOKEN, token)
    assert main(["view", str(run), "--port", "0", *arguments]) == 2
    assert said in capsys.readouterr().err and not started


def test_the_browser_is_opened_without_the_token_in_a_command(
    run: Path, started: list[Any], monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    addresses: list[str] = []
    pages: list[str] = []

    def opened(address: str) -> None:
        file = Path(unquote(urlsplit(address).path))
        assert file.parent.stat().st_mode & 0o077 == 0, "a folder for its owner alone"
        addresses.append(address)
        pages.append(file.read_text(encoding="utf-8"))

    monkeypatch.setattr("webbrowser.open", opened)
    main(["view", str(run), "--port", "0", "--open"])
    link = printed(capsys)
    assert f"url={link}" in pages[0] and "token" not in addresses[0]
    assert not Path(unquote(urlsplit(addresses[0]).path)).exists()
