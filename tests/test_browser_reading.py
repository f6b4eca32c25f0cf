"""Reading in a real browser: a run, its episodes by filters, one episode in each view; keys, colours, a phone."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from browser import check_accessible, check_fits_a_phone, served
from reading import FRIENDS, STRANGERS, run_directory
from support import CAST

from sotopia_pi.web.app import application
from sotopia_pi.web.places import close_places, open_places
from sotopia_pi.web.search import text_index
from sotopia_pi.web.site import Site

RUN = "/run/mine"


@pytest.fixture(scope="module")
def address(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    places = open_places([str(run_directory(tmp_path_factory.mktemp("runs") / "mine"))])
    site = Site({place.name: place for place in places})
    with served(application(site)) as where:
        text_index(site, "mine").wait()
        yield where
    close_places(places)


def test_open_a_run_filter_open_an_episode_switch_views(page: Any, address: str) -> None:
    page.goto(address)
    page.get_by_role("link", name="mine").first.click()
    assert page.locator("h1").inner_text() == "mine"
    page.get_by_role("link", name="Episodes", exact=True).click()
    status = page.locator("#results [role=status]")
    assert "6 episodes" in status.inner_text()
    with page.expect_response(lambda answer: "policy=bc" in answer.url):
        page.get_by_label("Player", exact=True).select_option("bc")
    page.wait_for_url("**/episodes?policy=bc")  # the address follows, without a page being loaded
    assert "3 episodes" in status.inner_text()
    with page.expect_response(lambda answer: "sort=longest" in answer.url):
        page.get_by_label("Sort").select_option("longest")
    page.wait_for_url("**/episodes?policy=bc&sort=longest")
    page.reload()
    assert page.get_by_label("Player", exact=True).input_value() == "bc"
    page.get_by_role("link", name="e1", exact=True).click()
    assert CAST[1].secret in page.content()
    page.get_by_role("link", name=f"what {CAST[0].name} sees").click()
    assert STRANGERS.scenario.goals[1] not in page.content()
    page.get_by_role("link", name="raw replies").click()
    assert page.get_by_label("Raw reply of turn 1").is_visible()
    page.get_by_role("link", name="everything").click()
    page.get_by_role("link", name="exact prompts").click()
    page.locator("summary", has_text="Prompt of turn 1").click()
    assert "policy=bc" in page.url
    page.get_by_role("link", name="back to the list").click()
    page.wait_for_url("**/episodes?policy=bc&sort=longest")


def test_keys_lead_from_episode_to_episode(page: Any, address: str) -> None:
    page.goto(f"{address}{RUN}/episodes?policy=bc&sort=longest")
    order = page.locator("tbody th a").all_inner_texts()
    page.keyboard.press("/")
    assert page.evaluate("document.activeElement.id") == "f-text"
    page.goto(f"{address}{RUN}/episodes/{order[0]}?policy=bc&sort=longest")
    for key, expected in (("j", order[1]), ("j", order[2]), ("k", order[1])):
        page.keyboard.press(key)
        page.wait_for_url(f"**/episodes/{expected}?*")
    page.keyboard.press("?")
    assert "next episode" in page.locator("dialog").inner_text()
    page.keyboard.press("Escape")
    page.keyboard.press("u")
    page.wait_for_url("**/episodes?policy=bc&sort=longest")


def test_reading_needs_no_scripts(browser: Any, address: str) -> None:
    context = browser.new_context(java_script_enabled=False)
    page = context.new_page()
    page.goto(f"{address}{RUN}/episodes")
    page.get_by_label("Words that were said").fill("eighteen lamp")
    page.get_by_role("button", name="Show").click()
    assert page.url.endswith("/episodes?text=eighteen+lamp")
    assert "4 episodes" in page.locator("#results [role=status]").inner_text()
    context.close()


@pytest.mark.slow
@pytest.mark.parametrize(
    "path",
    [
        "/",
        RUN,
        f"{RUN}/tasks",
        f"{RUN}/tasks/{FRIENDS.id}",
        f"{RUN}/episodes?policy=nobody",
        f"{RUN}/episodes/e1",
        f"{RUN}/episodes/e1?view=0",
        f"{RUN}/episodes/e3?show=raw",
        f"{RUN}/episodes/e1?show=prompts&turn=3",
        f"{RUN}/episodes/e4",
    ],
)
def test_pages_are_accessible_and_fit_a_phone(page: Any, address: str, path: str, tmp_path: Path) -> None:
    page.goto(f"{address}{path}")
    check_accessible(page)
    check_fits_a_phone(page)
