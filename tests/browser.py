"""A real browser for tests: Debian's chromium, driven by playwright; and a server in this process for it to visit."""

from __future__ import annotations

import shutil
import socket
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import pytest
import uvicorn
from starlette.applications import Starlette

PROGRAMS = ("chromium", "chromium-browser", "google-chrome")


def chromium() -> str:
    """Where chromium is; skips where there is none."""
    found = next((path for name in PROGRAMS if (path := shutil.which(name))), None)
    if found is None:
        pytest.skip("there is no chromium on this machine: install Debian's package chromium")
    return found


@contextmanager
def served(app: Starlette) -> Iterator[str]:
    """The address of an application that answers in a thread of this process until the end."""
    listening = socket.create_server(("127.0.0.1", 0))
    server = uvicorn.Server(uvicorn.Config(app, log_level="warning", access_log=False, timeout_graceful_shutdown=2))
    started = threading.Event()
    startup = server.startup

    async def begun(sockets: list[socket.socket] | None = None) -> None:
        await startup(sockets=sockets)
        started.set()

    server.startup = begun  # type: ignore[method-assign]
    thread = threading.Thread(target=server.run, kwargs={"sockets": [listening]})
    thread.start()
    try:
        assert started.wait(30), "the server did not start"
        yield f"http://127.0.0.1:{listening.getsockname()[1]}"
    finally:
        server.should_exit = True
        thread.join(30)
        listening.close()


@contextmanager
def opened_browser() -> Iterator[Any]:
    """A browser; each test takes contexts of its own from it."""
    playwright = pytest.importorskip("playwright.sync_api", reason="playwright is not installed")
    program = chromium()
    with playwright.sync_playwright() as driver:
        browser = driver.chromium.launch(executable_path=program, args=["--no-sandbox", "--disable-gpu"])
        try:
            yield browser
        finally:
            browser.close()


def expect(locator: Any) -> Any:
    """Assertions that wait for the page to get there, as a reader would."""
    from playwright.sync_api import expect

    return expect(locator)


def check_accessible(page: Any) -> None:
    """Fails with what axe-core finds against WCAG 2.1 A and AA on the page as it is; in dark only colours differ."""
    from axe_playwright_python.sync_playwright import Axe

    everything = {"type": "tag", "values": ["wcag2a", "wcag2aa", "wcag21a", "wcag21aa", "best-practice"]}
    colours = {"type": "rule", "values": ["color-contrast", "link-in-text-block"]}
    for scheme, rules in (("light", everything), ("dark", colours)):
        page.emulate_media(color_scheme=scheme)
        found = Axe().run(page, options={"runOnly": rules, "resultTypes": ["violations"]}).response["violations"]
        told = [
            f"{item['id']} ({scheme}): {node['html'][:200]} {node['failureSummary']}"
            for item in found
            for node in item["nodes"]
        ]
        assert not told, f"{page.url}\n" + "\n".join(told)
    page.emulate_media(color_scheme="light")


def check_fits_a_phone(page: Any) -> None:
    """Fails when the page has to be scrolled sideways at 360 pixels."""
    size = page.viewport_size
    page.set_viewport_size({"width": 360, "height": 740})
    wide = page.evaluate("document.documentElement.scrollWidth")
    page.set_viewport_size(size)
    assert wide <= 360, f"{page.url} is {wide} pixels wide on a phone"
