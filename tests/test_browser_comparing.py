"""Comparing in a real browser: choose two policies, read the numbers, open one task side by side."""

import pytest
from browser import check_accessible, check_fits_a_phone, expect, served
from compared import JUDGE, TASKS, opened


@pytest.fixture(scope="module")
def address(tmp_path_factory):
    with opened(tmp_path_factory.mktemp("runs")) as app, served(app) as address:
        yield address


def test_two_policies_are_chosen_and_read_down_to_one_task(page, address):
    page.goto(f"{address}/run/one/compare")
    page.get_by_label("policy A").select_option("base")
    page.get_by_label("policy B").select_option("bc")
    page.get_by_role("button", name="Compare").click()
    page.wait_for_url("**/compare?*a=base*")
    expect(page.locator("#found")).to_contain_text("base is not significantly different from bc")
    expect(page.get_by_role("img", name="base: n 30")).to_have_count(1)
    check_accessible(page)
    check_fits_a_phone(page)
    page.get_by_role("link", name=f"task {TASKS[1].id[:8]} side by side").click()
    expect(page.locator("#found")).to_contain_text("−5.00")
    left, right = (page.locator(".beside section").nth(n).bounding_box() for n in (0, 1))
    assert left["y"] == pytest.approx(right["y"], abs=2)
    assert left["x"] + left["width"] <= right["x"]
    check_accessible(page)
    check_fits_a_phone(page)
    page.get_by_role("link", name="role 1, repeat 1").click()
    expect(page.locator("#found")).to_contain_text("role 1, repeat 1")
    page.set_viewport_size({"width": 360, "height": 740})
    upper, lower = (page.locator(".beside section").nth(n).bounding_box() for n in (0, 1))
    assert upper["y"] + upper["height"] <= lower["y"]
    page.keyboard.press("u")
    page.wait_for_url("**/run/one/compare?**")


@pytest.mark.slow
def test_a_judge_against_the_verifier(page, address):
    page.goto(f"{address}/run/one/compare")
    page.get_by_role("link", name="two raters").click()
    expect(page.locator("#found")).to_contain_text(f"{JUDGE} gives +")
    page.get_by_label("policy", exact=True).select_option("bc")
    page.get_by_role("button", name="Compare").click()
    expect(page.locator("#found")).to_contain_text("over 31 roles")
    expect(page.get_by_role("img", name=f"{JUDGE} against verifier")).to_have_count(1)
    check_accessible(page)
    check_fits_a_phone(page)
