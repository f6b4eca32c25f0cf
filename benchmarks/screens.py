"""The pictures in the README, taken from a finished run: python -m benchmarks.screens RUN FOLDER

The run is copied first, because a study is created and a task played for the pictures. Only training tasks are shown
in conversations, so that nobody reads held-out ones by accident.
"""

from __future__ import annotations

import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from playwright.sync_api import sync_playwright

SIZE = {"width": 1160, "height": 760}
#: What the person of the picture says while playing.
SAID = ("Hello! How is your day?", "Let me think about that for a moment.")


def main(run: Path, folder: Path) -> None:
    """Takes every picture."""
    folder.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory() as scratch:
        copy = Path(scratch) / "demo"
        shutil.copytree(run, copy)
        made = _command("study", "create", str(copy), "--name", "pilot", "--stage", "collect/bc", "--n", "6")
        link = next(word for word in made.split() if word.startswith("/rate/"))
        with _server(copy) as address, sync_playwright() as driver:
            browser = driver.chromium.launch(executable_path=shutil.which("chromium"), args=["--no-sandbox"])
            _reading(browser, address, folder)
            _rating(browser, address + link, folder)
            _playing(browser, address, folder)
            browser.close()


def _reading(browser: Any, address: str, folder: Path) -> None:
    page = browser.new_page(viewport=SIZE)
    page.goto(f"{address}/run/demo")
    page.screenshot(path=folder / "run.png")
    page.goto(f"{address}/run/demo/episodes?stage=collect/bc&dimension=goal&rater=verifier&sort=score")
    page.locator("tbody a").first.click()
    page.wait_for_selector("text=Conversation")
    page.screenshot(path=folder / "episode.png")
    page.goto(f"{address}/run/demo/compare?a=bc%2Bsr&b=bc")
    page.screenshot(path=folder / "compare.png")
    page.close()


def _rating(browser: Any, link: str, folder: Path) -> None:
    page = browser.new_context(viewport=SIZE).new_page()
    page.goto(link)
    page.get_by_role("button").first.click()
    page.wait_for_selector(".rating")
    page.screenshot(path=folder / "rate.png")
    page.context.close()


def _playing(browser: Any, address: str, folder: Path) -> None:
    page = browser.new_page(viewport=SIZE)
    page.goto(f"{address}/run/demo/play?group=train")
    page.get_by_role("button", name="Begin").click()
    for said in SAID:
        page.wait_for_selector("textarea")
        page.locator("textarea").first.fill(said)
        page.get_by_role("button").first.click()
        page.wait_for_function("said => document.body.innerText.includes(said)", arg=said)
    page.wait_for_selector("textarea")
    page.screenshot(path=folder / "play.png")
    page.close()


def _command(*arguments: str) -> str:
    done = subprocess.run([sys.executable, "-m", "sotopia_pi", *arguments], check=True, capture_output=True, text=True)
    return done.stdout


@contextmanager
def _server(run: Path) -> Iterator[str]:
    command = [sys.executable, "-m", "sotopia_pi", "view", str(run), "--port", "0", "--no-token"]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as server:
        assert server.stdout is not None
        try:
            yield server.stdout.readline().split()[1]
        finally:
            server.terminate()


if __name__ == "__main__":
    main(Path(sys.argv[1]), Path(sys.argv[2]))
