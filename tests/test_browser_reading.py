"""Reading in a real browser: a run, its episodes by filters, one episode in each view; keys, colours, a phone."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from browser import check_accessible, check_fits_a_phone, expect, served
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
    expect(page.locator("h1")).to_have_text("mine")
    page.get_by_role("link", name="Episodes", exact=True).click()
    status = page.locator("#results [role=status]")
    expect(status).to_contain_text("6 episodes")
    with page.expect_response(lambda answer: "policy=bc" in answer.url):
        page.get_by_label("Player", exact=True).select_option("bc")
    page.wait_for_url("**/episodes?policy=bc")  # the address follows, without a page being loaded
    expect(status).to_contain_text("3 episodes")
    with page.expect_response(lambda answer: "sort=longest" in answer.url):
        page.get_by_label("Sort").select_option("longest")
    page.wait_for_url("**/episodes?policy=bc&sort=longest")
    page.reload()
    expect(page.get_by_label("Player", exact=True)).to_have_value("bc")
    page.get_by_role("link", name="e1", exact=True).click()
    expect(page.locator("main")).to_contain_text(CAST[1].secret)
    page.get_by_role("link", name=f"what {CAST[0].name} sees").click()
    expect(page.locator("main")).not_to_contain_text(STRANGERS.scenario.goals[1])
    page.get_by_role("link", name="raw replies").click()
    expect(page.get_by_label("Raw reply of turn 1")).to_be_visible()
    page.get_by_role("link", name="everything").click()
    page.get_by_role("link", name="exact prompts").click()
    page.locator("summary", has_text="Prompt of turn 1").click()
    page.get_by_role("link", name="back to the list").click()
    page.wait_for_url("**/episodes?policy=bc&sort=longest")


def test_keys_lead_from_episode_to_episode(page: Any, address: str) -> None:
    page.goto(f"{address}{RUN}/episodes?policy=bc&sort=longest")
    order = page.locator("tbody th a").all_inner_texts()
    page.keyboard.press("/")
    expect(page.locator("#f-text")).to_be_focused()
    page.goto(f"{address}{RUN}/episodes/{order[0]}?policy=bc&sort=longest")
    for key, expected in (("j", order[1]), ("j", order[2]), ("k", order[1])):
        page.keyboard.press(key)
        page.wait_for_url(f"**/episodes/{expected}?*")
    page.keyboard.press("?")
    expect(page.locator("dialog")).to_contain_text("next episode")
    page.keyboard.press("Escape")
    page.keyboard.press("u")
    page.wait_for_url("**/episodes?policy=bc&sort=longest")


def test_reading_needs_no_scripts(browser: Any, address: str) -> None:
    context = browser.new_context(java_script_enabled=False)
    page = context.new_page()
    page.goto(f"{address}{RUN}/episodes")
    page.get_by_label("Words that were said").fill("eighteen lamp")
    page.get_by_role("button", name="Show").click()
    page.wait_for_url("**/episodes?text=eighteen+lamp")
    expect(page.locator("#results [role=status]")).to_contain_text("4 episodes")
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
