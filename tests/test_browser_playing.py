"""A person plays a task to its end in a real browser, and sees what the role may see and nothing else."""

from __future__ import annotations

import html
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
from browser import check_accessible, check_fits_a_phone, expect, served
from support import task_of
from test_playing_pages import GOALS, SECRETS, lamp, new_run, stored

from sotopia_pi.cli.main import main
from sotopia_pi.environments import kinds
from sotopia_pi.models.fake import FakeModel
from sotopia_pi.rundir import Run
from sotopia_pi.store import Store
from sotopia_pi.studies.invitations import find
from sotopia_pi.web.app import application
from sotopia_pi.web.places import close_places, open_places
from sotopia_pi.web.site import Site


@contextmanager
def site(folder: Path) -> Iterator[str]:
    """The address of the application over a run."""
    places = open_places([str(folder)])
    try:
        with served(application(Site({place.name: place for place in places}))) as address:
            yield address
    finally:
        close_places(places)


def begin(page: Any, address: str, opponent: str, role: str = "0", task: str = lamp().id) -> None:
    page.goto(f"{address}/run/small/play?task={task}")
    page.get_by_label("Your role").select_option(role)
    page.get_by_label("Play with").select_option(opponent)
    page.get_by_label("Your pseudonym").fill("kim")
    page.get_by_role("button", name="Begin").click()
    page.get_by_role("heading", name="What is said").wait_for()


def say(page: Any, words: str, how: str = "say it") -> None:
    page.get_by_label("Your words").fill(words)
    page.get_by_label(how, exact=True).check()
    page.get_by_role("button", name="Send").click()


@pytest.mark.parametrize("role", [0, 1])
def test_a_person_plays_a_task_to_the_end(page: Any, tmp_path: Path, role: int) -> None:
    folder = new_run(tmp_path)
    received: list[str] = []
    page.on("response", lambda answer: received.append(answer.url))
    texts: list[str] = []
    with site(folder) as address:
        begin(page, address, "partner", str(role))
        page.get_by_text("it is your turn").wait_for()
        check_accessible(page)
        check_fits_a_phone(page)
        texts.append(page.content())
        say(page, "How about $15?")
        page.locator(".talk .own").wait_for()
        page.locator("#words:focus").wait_for()
        texts.append(page.content())
        say(page, "Thank you, good bye.", "leave, which ends the conversation")
        page.get_by_text("The conversation is over.").wait_for()
        page.get_by_role("heading", name="The end").wait_for()
        texts.append(page.content())
        check_accessible(page)
        check_fits_a_phone(page)
        texts.append(page.request.get(page.url).text())
    told = html.unescape("\n".join(texts))
    assert SECRETS[role] in told
    assert SECRETS[1 - role] not in told
    assert GOALS[1 - role] not in told
    assert all(url.startswith(address) or url.startswith("data:") for url in received)
    (episode,) = stored(folder)
    assert episode.completed
    assert episode.players[role] == "human:kim"
    assert episode.turns[role].action.argument == "How about $15?"


@pytest.mark.parametrize("scripts", [True, False])
def test_terms_are_picked_and_accepted(
    browser: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, scripts: bool
) -> None:
    offer = '{"action_type": "speak", "argument": "I could pay 14.", "terms": "$14"}'
    monkeypatch.setattr(FakeModel, "_text", lambda *_: offer)
    folder = new_run(tmp_path)
    context = browser.new_context(java_script_enabled=scripts)
    page = context.new_page()
    with site(folder) as address:
        begin(page, address, "base")
        price = page.get_by_label("Price for the lamp in $")
        page.get_by_label("Your words").fill("No less.")
        price.fill("900")
        page.get_by_role("button", name="Send").click()
        page.get_by_text("These terms cannot be declared: the amount must be between").wait_for()
        expect(price).to_have_value("900")
        price.fill("16")
        price.press("Enter")  # sends, and accepts nothing
        expect(page.locator(".talk .terms")).to_have_text(["Terms: $16", "Terms: $14"])
        expect(price).to_have_value("")
        if scripts:
            check_accessible(page)
            check_fits_a_phone(page)
        price.focus()
        price.press("Enter")  # still nothing
        page.get_by_text("There are no words").wait_for()
        page.get_by_role("button", name="Accept $14").click()
        page.get_by_text("You agreed.", exact=True).wait_for()
        if scripts:
            check_accessible(page)
            check_fits_a_phone(page)
    context.close()
    (episode,) = stored(folder)
    assert [turn.action.terms for turn in episode.turns] == ["$16", "$14", "$14"]
    assert [turn.action.argument for turn in episode.turns] == ["No less.", "I could pay 14.", "Agreed."]


def test_the_forms_of_all_kinds_are_accessible_and_fit_a_phone(page: Any, tmp_path: Path) -> None:
    folder = new_run(tmp_path)
    tasks = [task_of(kind) for kind in kinds()]
    with Run.open(folder, quiet=True) as run:
        run.store.add_tasks("kinds", tasks)
    with site(folder) as address:
        for task in tasks:
            begin(page, address, "base", task=task.id)
            page.get_by_role("group", name="Your terms").wait_for()
            check_accessible(page)
            check_fits_a_phone(page)


def test_choosing_is_accessible_and_says_what_is_wrong(page: Any, tmp_path: Path) -> None:
    with site(new_run(tmp_path)) as address:
        page.goto(f"{address}/run/small/play")
        check_accessible(page)
        check_fits_a_phone(page)
        page.evaluate("document.getElementById('name').removeAttribute('pattern')")
        page.get_by_label("Your pseudonym").fill("Kim Doe")
        page.get_by_role("button", name="Begin").click()
        page.get_by_text("is no pseudonym").wait_for()
        check_accessible(page)


def test_a_slow_model_is_waited_for_and_can_be_stopped(
    page: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    import asyncio

    slow = asyncio.Event()

    async def complete(self: FakeModel, *_: Any, **__: Any) -> Any:
        await slow.wait()

    monkeypatch.setattr(FakeModel, "complete", complete)
    folder = new_run(tmp_path)
    with site(folder) as address:
        begin(page, address, "base")
        page.get_by_text("it is your turn").wait_for()
        say(page, "Hello?")
        page.get_by_text("the other is thinking").wait_for()
        check_accessible(page)
        page.get_by_role("button", name="Stop here").click()
        page.get_by_text("You stopped.").wait_for()
    assert [(episode.failure, len(episode.turns)) for episode in stored(folder)] == [("the person stopped", 1)]


def test_without_javascript(browser: Any, tmp_path: Path) -> None:
    folder = new_run(tmp_path)
    context = browser.new_context(java_script_enabled=False)
    page = context.new_page()
    with site(folder) as address:
        begin(page, address, "partner")
        page.get_by_text("it is your turn").wait_for()
        say(page, "How about $15?")
        page.locator(".talk .other").last.wait_for()
        say(page, "", "leave, which ends the conversation")
        page.get_by_text("The conversation is over.").wait_for()
    context.close()
    assert stored(folder)[0].completed


def test_a_guest_plays_by_invitation_and_gets_a_code(page: Any, tmp_path: Path) -> None:
    folder = new_run(tmp_path)
    asked = ["--name", "lab", "--with", "partner", "--group", "train", "--games", "1"]
    main(["invite", "create", str(folder), *asked])
    with Store.open(folder / "run.db") as store:
        link = find(store, "lab").link
    with site(folder) as address:
        page.goto(f"{address}/sit/{link}?PROLIFIC_PID=5f3")
        check_accessible(page)
        check_fits_a_phone(page)
        page.get_by_role("button", name="I have read this: begin").click()
        check_accessible(page)
        page.get_by_role("button", name="Begin the conversation").click()
        page.get_by_text("it is your turn").wait_for()
        check_accessible(page)
        check_fits_a_phone(page)
        say(page, "Good bye.", "leave, which ends the conversation")
        page.get_by_role("link", name="Go on").click()
        page.get_by_role("heading", name="Thank you").wait_for()
        check_accessible(page)
        assert len(page.locator("#code").inner_text()) == 8
        expect(page.locator("a[href*='/run/']")).to_have_count(0)
        page.goto(f"{address}/run/small/play")
        page.get_by_text("participants reach only the pages of their study").wait_for()
        page.context.clear_cookies()
        page.goto(f"{address}/run/small/play")
        check_accessible(page)
        check_fits_a_phone(page)
        listed = page.get_by_role("row", name="lab").get_by_role("link", name="1")
        assert listed.get_attribute("href") == "/run/small/episodes?stage=play/lab"
