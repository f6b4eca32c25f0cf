"""Rating in a real browser: a qualification failed and passed, two annotators of one episode, the owner's page."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from browser import check_accessible, check_fits_a_phone, expect, served
from studying import MIDDLE, filled, new_study, site_of

from sotopia_pi.web.app import application

OWNER = "owner-token"


def fill_in(page: Any, fields: dict[str, str]) -> None:
    """Fills a rating form as a person would: clicks scores, types reasons."""
    for name, value in fields.items():
        if name.startswith("score"):
            page.check(f'input[name="{name}"][value="{value}"]')
        else:
            page.fill(f'textarea[name="{name}"]', value)


def begin(page: Any, address: str, participant: str) -> None:
    page.goto(f"{address}?PROLIFIC_PID={participant}")
    page.get_by_role("button", name="I have read this: begin").click()


def checked(page: Any) -> None:
    check_accessible(page)
    check_fits_a_phone(page)


def test_a_qualification_is_failed_and_then_passed(page: Any, tmp_path: Path) -> None:
    assert MIDDLE["0"]["goal"] == 5.0
    with site_of(tmp_path, OWNER) as (store, site), served(application(site)) as server:
        study = new_study(store, tests=1, count=1, done={"code": "CODE9"})
        page.goto(f"{server}/rate/{study.link}?PROLIFIC_PID=abc")
        checked(page)
        page.get_by_role("button", name="I have read this: begin").click()
        expect(page.get_by_role("heading", level=1)).to_have_text("Practice conversation")
        assert "abc" not in page.url
        checked(page)
        fill_in(page, filled(4))
        page.get_by_role("button", name="Submit").click()
        expect(page.get_by_role("heading", level=1)).to_have_text("Not close enough yet")
        checked(page)
        page.get_by_role("link", name="Try again").click()
        fill_in(page, filled(-1))
        page.get_by_role("button", name="Submit").click()
        expect(page.get_by_role("heading", level=1)).to_have_text("You passed the practice")
        checked(page)
        page.get_by_role("link", name="Go on").click()
        expect(page.get_by_role("heading", level=1)).to_contain_text("Conversation 1 of 1")
        fill_in(page, filled())
        page.get_by_role("button", name="Submit").click()
        expect(page.locator("#code")).to_have_text("CODE9")
        checked(page)


@pytest.mark.slow
def test_who_fails_every_attempt_gets_the_code_of_that_end(page: Any, tmp_path: Path) -> None:
    with site_of(tmp_path, OWNER) as (store, site), served(application(site)) as server:
        study = new_study(store, tests=1, count=1, screened_out={"code": "SCREEN3"}, qualification={"attempts": 1})
        begin(page, f"{server}/rate/{study.link}", "x")
        fill_in(page, filled(5))
        page.get_by_role("button", name="Submit").click()
        page.get_by_role("link", name="Continue").click()
        expect(page.locator("#code")).to_have_text("SCREEN3")
        checked(page)


@pytest.mark.slow
def test_what_is_filled_in_is_saved_by_itself_and_errors_get_the_focus(page: Any, tmp_path: Path) -> None:
    with site_of(tmp_path, OWNER) as (store, site), served(application(site)) as server:
        study = new_study(store, count=1)
        begin(page, f"{server}/rate/{study.link}", "x")
        page.locator("#score-1-goal").focus()
        page.keyboard.press("ArrowRight")
        page.keyboard.press("ArrowRight")
        page.fill("#reason-1-goal", "They sold it.")
        page.get_by_text("Saved: 2 of 28 fields filled in.").wait_for()
        page.reload()
        expect(page.locator("#reason-1-goal")).to_have_value("They sold it.")
        assert page.locator('input[name="score-1-goal"]:checked').get_attribute("value") == "2"
        page.get_by_role("button", name="Submit").click()
        expect(page.get_by_role("alert")).to_be_visible()
        expect(page.locator("#score-1-believability")).to_be_focused()
        expect(page.locator("#reason-1-goal")).to_have_value("They sold it.")
        checked(page)


def test_two_annotators_rate_one_episode_and_the_owner_sees_how_far_they_agree(
    page: Any, browser: Any, tmp_path: Path
) -> None:
    with site_of(tmp_path, OWNER) as (store, site), served(application(site)) as server:
        study = new_study(store, count=1)
        for participant, goal in (("one", "5"), ("two", "9")):
            context = browser.new_context(java_script_enabled=participant == "one")
            visitor = context.new_page()
            begin(visitor, f"{server}/rate/{study.link}", participant)
            fill_in(visitor, {**filled(), "score-1-goal": goal})
            visitor.get_by_role("button", name="Submit").click()
            expect(visitor.get_by_role("heading", level=1)).to_have_text("Thank you")
            visitor.goto(f"{server}/run/demo/studies/first")
            expect(visitor.locator("main")).to_contain_text("participants reach only")
            context.close()
        page.goto(f"{server}/login")
        page.fill("#token", OWNER)
        page.get_by_role("button", name="Log in").click()
        page.goto(f"{server}/run/demo/studies")
        checked(page)
        page.get_by_role("link", name="first").click()
        row = page.get_by_role("row", name="goal").first.inner_text().split()
        assert row[:3] == ["goal", "2", "4"]
        assert float(row[5]) < 1.0
        same = page.get_by_role("row", name="believability").first.inner_text().split()
        assert same == [
            "believability",
            "2",
            "4",
            "5.00",
            "0.00",
            "1.00",
            "1.00",
            "1.00",
            "1.00",
            "–",
            "–",
        ]  # alpha, ICC: all equal
        checked(page)
