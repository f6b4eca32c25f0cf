"""The pages of studies over HTTP: annotators on their way through, what they may not see, and the owner's pages."""

from __future__ import annotations

import csv
import html
import io
import re
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import NoReturn

import pytest
from studying import SECRETS, Visitor, action_of, fill, filled, new_study, place_of, site_of
from support import episode, price_task, turn

from sotopia_pi.errors import StoreError
from sotopia_pi.ratings.records import Rating
from sotopia_pi.store import Store
from sotopia_pi.studies.choosing import create
from sotopia_pi.studies.desk import Desk
from sotopia_pi.studies.records import Study, StudySettings
from sotopia_pi.web.site import Site

Open = tuple[Store, Site]


@pytest.fixture
def site(tmp_path: Path) -> Iterator[Open]:
    with site_of(tmp_path) as opened:
        yield opened


def owner(site: Site) -> Visitor:
    visitor = Visitor(site)
    visitor.log_in()
    return visitor


# Annotators


def test_the_whole_way(site: Open) -> None:
    store, app = site
    study = new_study(store, tests=1, count=2, done={"code": "DONE7", "url": "https://example.com/done?cc=DONE7"})
    visitor = Visitor(app)
    welcome = visitor.get(f"/rate/{study.link}?PROLIFIC_PID=abc123").text
    for one in study.settings.dimensions:
        assert html.escape(one.description, quote=False) in html.unescape(welcome).replace("&", "&amp;")
        assert f"{one.low} to {one.high}" in welcome
    page = visitor.begin(study.link, "abc123")
    assert "Practice conversation" in page.text and "abc123" not in page.text and "abc123" not in str(page.url)
    page = visitor.post(action_of(page.text), filled(4))
    assert "Not close enough yet" in page.text and "Reference</th>" not in page.text
    page = visitor.post(action_of(visitor.get(f"/rate/{study.link}/now").text), filled(1))
    assert "You passed the practice" in page.text and "Reference</th>" in page.text
    for number in (1, 2):
        page = visitor.get(f"/rate/{study.link}/now")
        assert f"Conversation {number} of 2" in page.text
        assert page.text.count("Terms: $18</span>") == 2
        assert "Would you take eighteen" in page.text and "Buys her bread elsewhere." in page.text
        page = visitor.post(action_of(page.text), filled())
    assert "DONE7" in page.text and 'href="https://example.com/done?cc=DONE7"' in page.text
    assert len(list(store.ratings())) == 4


def test_errors_come_back_on_the_form_with_nothing_lost(site: Open) -> None:
    store, app = site
    visitor = Visitor(app)
    page = visitor.begin(new_study(store).link)
    action = action_of(page.text)
    page = visitor.post(
        action, filled(**{"score-1-goal": "77", "reason-2-secret": "", "reason-1-goal": "<b>mine</b> & kept"})
    )
    assert page.status_code == 422
    assert "2 fields are not right yet" in page.text
    assert "&lt;b&gt;mine&lt;/b&gt; &amp; kept" in page.text
    first = re.search(r"<(?:input|textarea)[^>]*autofocus", page.text)
    assert first and 'name="score-1-goal"' in first[0]
    assert len(re.findall("autofocus", page.text)) == 1
    assert list(store.ratings()) == []
    again = visitor.get(str(page.url).rsplit("/now", 1)[0] + "/now").text
    assert "&lt;b&gt;mine&lt;/b&gt;" in again and action_of(again) == action
    assert visitor.post(action, filled()).status_code == 200
    assert len(list(store.ratings())) == 2


def test_who_found_nothing_to_rate_gets_a_page_that_says_so_and_no_code(site: Open) -> None:
    store, app = site
    study = new_study(store, count=1, annotators=1, reannotation=None)
    first, late = Visitor(app), Visitor(app)
    page = first.post(action_of(first.begin(study.link, "first").text), filled())
    assert 'id="code"' in page.text
    page = late.begin(study.link, "late")
    assert "There is nothing left to rate" in page.text and "You have rated nothing" in page.text
    assert 'id="code"' not in page.text and "There is no completion code for this" in page.text


def test_drafts_are_saved_with_and_without_scripts(site: Open) -> None:
    store, app = site
    study = new_study(store)
    visitor = Visitor(app)
    action = action_of(visitor.begin(study.link, "p").text)
    partly = {"score-1-goal": "8", "reason-1-goal": "half a thou"}
    said = visitor.post(f"{action}/draft", partly, headers={"hx-request": "true"})
    assert said.text == "Saved: 2 of 28 fields filled in."
    elsewhere = Visitor(app)
    back = elsewhere.begin(study.link, "p")
    assert "half a thou" in back.text and action_of(back.text) == action
    assert re.search(r'name="score-1-goal" value="8" checked', back.text)
    saved = elsewhere.post(f"{action}/draft", {**partly, "reason-1-goal": "another"})
    assert "another" in saved.text and str(saved.url).endswith("/now")
    old = visitor.post(f"{action}/draft", partly)
    assert old.status_code == 403 and "open the study" in old.text


def test_a_browser_without_cookies_is_told_what_to_do(site: Open) -> None:
    store, app = site
    study = new_study(store, participant_required=True)
    visitor = Visitor(app)
    assert "lacks your participant id" in visitor.get(f"/rate/{study.link}").text
    assert visitor.post(f"/rate/{study.link}/begin").status_code == 403
    assert "What you rate" in visitor.get(f"/rate/{study.link}/now").text
    visitor.client.cookies.set("sotopia_pi_rater", "wrong")
    assert "What you rate" in visitor.get(f"/rate/{study.link}/now").text
    assert visitor.post(f"/rate/{study.link}/now/x").status_code == 403
    wrong = visitor.get("/rate/nothing")
    assert wrong.status_code == 404 and "leads to no study" in wrong.text
    store.studies.set_open(study.name, False)
    assert "no new participants" in visitor.get(f"/rate/{study.link}?workerId=x").text
    assert visitor.post(f"/rate/{study.link}/begin", {"participant": "x"}).status_code == 403


def test_who_goes_back_and_changes_a_submitted_rating_is_told(site: Open) -> None:
    store, app = site
    visitor = Visitor(app)
    action = action_of(visitor.begin(new_study(store).link).text)
    for _ in range(2):  # pressed twice
        assert "Conversation 2 of 3" in visitor.post(action, filled()).text
    for changed in (filled(1), {}):
        answer = visitor.post(action, changed)
        assert answer.status_code == 409 and "what you changed is not stored" in answer.text
        assert "Go back" in answer.text
    assert len(list(store.ratings())) == 2


def test_beginning_twice_in_a_browser_makes_one_annotator(site: Open) -> None:
    store, app = site
    study = new_study(store)
    visitor = Visitor(app)
    action = action_of(visitor.begin(study.link).text)
    assert action_of(visitor.post(f"/rate/{study.link}/begin").text) == action
    assert action_of(Visitor(app).begin(study.link).text) != action
    assert len(store.studies.annotators(study.name)) == 2


def test_what_was_written_comes_back_as_it_was(site: Open) -> None:
    store, app = site
    visitor = Visitor(app)
    action = action_of(visitor.begin(new_study(store).link).text)
    words = "soft\u00adhyphen, \u200f\u05d0, two\nlines" + "\n" * 4_900 + "end"
    sent = words.replace("\n", "\r\n").replace("two", "two\x00")
    page = visitor.post(f"{action}/draft", {"reason-1-goal": sent})
    assert f"\n{words}</textarea>" in page.text
    visitor.post(action, filled(**{"reason-1-goal": sent}))
    assert words in {rating.reasons["goal"] for rating in store.ratings()}


def test_no_error_tells_an_annotator_about_files_or_other_pages(site: Open, monkeypatch: pytest.MonkeyPatch) -> None:
    store, app = site
    study = new_study(store)
    visitor = Visitor(app)
    visitor.begin(study.link)
    monkeypatch.setattr(Desk, "step", raising(StoreError("another program keeps /home/me/secret/run.db locked")))
    answer = visitor.get(f"/rate/{study.link}/now")
    assert answer.status_code == 503 and "try again in some minutes" in answer.text
    assert "secret" not in answer.text
    for path in (f"/rate/{study.link}/now", "/rate/nothing", f"/rate/{study.link}/now/x/y/z"):
        text = visitor.get(path).text
        assert 'href="/"' not in text and "sotopia-pi" not in text.replace("sotopia-pi:", "")
    assert visitor.client.post("/rate/").status_code == 403


def raising(error: Exception) -> Callable[..., NoReturn]:
    def fail(*_: object) -> NoReturn:
        raise error

    return fail


def test_forms_of_other_sites_are_refused(site: Open) -> None:
    store, app = site
    study = new_study(store)
    visitor = Visitor(app)
    action = action_of(visitor.begin(study.link).text)
    for path in (f"/rate/{study.link}/begin", action, f"{action}/draft"):
        assert visitor.client.post(path, data=filled()).status_code == 403
        assert visitor.post(path, filled(), headers={"origin": "https://evil.example"}).status_code == 403
    assert list(store.ratings()) == []


def test_model_text_is_never_markup(site: Open) -> None:
    store, app = site
    attack = "<script>alert(1)</script><img src=x onerror=alert(1)> [x](javascript:alert(1)) \u202eevil"
    fill(store, 1)
    task = price_task(number=0)
    talk = [turn(0, attack, terms=attack), turn(1, "a" * 1_000_000)]
    store.add_episodes([(episode(task, talk, "bad", stage="evaluate/x"), [])])
    page = Visitor(app).begin(create(store, "bad", StudySettings(annotators=1), ["bad"]).link).text
    assert "<script>alert" not in page and "<img" not in page and "&lt;script&gt;" in page
    assert "\u202e" not in page and 'href="javascript' not in page
    assert len(page) < 120_000


# Isolation


def crawl(visitor: Visitor, study: Study) -> None:
    """Everything that an annotator can come by in a study, end page included."""
    page = visitor.begin(study.link, f"person{id(visitor)}")
    while "/now/" in page.text:
        action = action_of(page.text)
        visitor.post(f"{action}/draft", {"score-1-goal": "1"}, headers={"hx-request": "1"})
        visitor.post(action, {"score-1-goal": "wrong"})
        visitor.get(action)
        page = visitor.post(action, filled())
        page = visitor.get(f"/rate/{study.link}/now")
    visitor.get(f"/rate/{study.link}?again")
    for link in set(re.findall(r'(?:href|src|action|hx-post)="(/[^"]*)"', "\n".join(visitor.seen))):
        visitor.get(link)


def test_nothing_that_an_annotator_gets_names_policy_stage_or_episode(site: Open) -> None:
    store, app = site
    visitor = Visitor(app)
    crawl(visitor, new_study(store, "quiet", tests=1, count=3))
    seen = "\n".join(visitor.seen).lower()
    assert len(visitor.seen) > 20 and "would you take eighteen" in seen
    for secret in (*SECRETS, "secretkey", "verifier", "judge:", "evaluate/"):
        assert secret not in seen, secret


def test_an_annotator_reaches_nothing_else(site: Open) -> None:
    store, app = site
    first = new_study(store, "first", count=2)
    second = create(store, "second", StudySettings(), [key.episode for key in store.studies.items("first")])
    one, two, other = Visitor(app), Visitor(app), Visitor(app)
    action = action_of(one.begin(first.link, "1").text)
    two.begin(first.link, "2")
    other.begin(second.link, "1")
    id = action.rsplit("/", 1)[1]
    for visitor, link in ((two, first.link), (other, second.link)):
        for method, path in (("post", ""), ("post", "/draft")):
            answer = getattr(visitor, method)(f"/rate/{link}/now/{id}{path}", filled())
            assert answer.status_code == 404 and "no such page for you" in answer.text
        assert visitor.get(f"/rate/{link}/result/{id}").status_code == 404
    assert other.post(action, filled()).status_code == 403, "the session of another study is none here"
    assert list(store.ratings()) == []
    for path in (
        "/",
        "/run/demo",
        "/run/demo/studies",
        "/run/demo/studies/first",
        "/run/demo/studies/first/ratings.csv",
    ):
        for visitor in (one, two, other):
            answer = visitor.get(path)
            assert answer.status_code == 403 and "participants reach only" in answer.text
    assert one.post("/run/demo/studies/first/state", {"open": "no"}).status_code == 403
    found = store.studies.find("first")
    assert found is not None and found.open


def test_a_stranger_needs_the_owners_token(site: Open) -> None:
    store, app = site
    new_study(store)
    stranger = Visitor(app)
    assert str(stranger.get("/run/demo/studies").url).endswith("/login")
    assert stranger.post("/run/demo/studies/new", {"name": "x"}).status_code == 401


def test_a_study_is_found_in_whichever_place_holds_it(site: Open, tmp_path: Path) -> None:
    store, _ = site
    with Store.open(tmp_path / "second.db") as other:
        study = new_study(other, "elsewhere")
        app = Site({"demo": place_of(store), "more": place_of(other, "more")}, "t")
        assert "Conversation 1 of 3" in Visitor(app).begin(study.link).text


# The owner


def test_the_owner_begins_a_study_and_follows_it(site: Open) -> None:
    store, app = site
    keys = fill(store, 4)
    store.add_ratings([Rating(episode=keys[0], role=role, rater="human:me/x", scores={"goal": 5.0}) for role in (0, 1)])
    boss = owner(app)
    assert "Begin a study" in boss.get("/run/demo/studies").text
    bad = boss.post("/run/demo/studies/new", {"name": "Bad Name", "title": "My <title>", "n": "2"})
    assert bad.status_code == 422 and "cannot be a study" in bad.text and 'value="My &lt;title&gt;"' in bad.text
    for wrong, said in (
        ({"n": "x"}, "give a number"),
        ({"stage:nope": "on"}, "no completed episodes of"),
        ({"keys": "z"}, "no completed"),
    ):
        answer = boss.post("/run/demo/studies/new", {"name": "s", **wrong})
        assert answer.status_code == 422 and said in html.unescape(answer.text)
    fields = {
        "name": "mine",
        "title": "Read and rate",
        "stage:evaluate/secretpolicy": "on",
        "n": "2",
        "annotators": "2",
    }
    fields |= {"reference_rater": "human:me/x", "again": "on", "threshold": "4", "done_code": "C1"}
    page = boss.post("/run/demo/studies/new", fields)
    assert page.status_code == 200 and "Link to send" in page.text
    study = store.studies.find("mine")
    assert study is not None and f"/rate/{study.link}" in page.text
    assert study.settings.reannotation is not None and study.settings.reannotation.threshold == 4
    assert (len(store.studies.items("mine")), len(store.studies.tests("mine"))) == (2, 1)
    for _ in range(2):
        crawl(Visitor(app), study)
    page = boss.get("/run/demo/studies/mine")
    assert "2 of 2" in page.text and "4 of 4" in page.text and "1.00" in page.text
    rows = list(csv.DictReader(io.StringIO(boss.get("/run/demo/studies/mine/ratings.csv").text)))
    assert len(rows) == 4 and {row["model"] for row in rows} == {"secretpolicy"}
    assert len(boss.get("/run/demo/studies/mine/qualification.jsonl").text.splitlines()) == 2
    assert boss.get("/run/demo/studies/mine/ratings.xml").status_code == 404
    assert boss.get("/run/demo/studies/nothing").status_code == 404
    assert "Open the study" in boss.post("/run/demo/studies/mine/state", {"open": "no"}).text
    assert "closed" in boss.get("/run/demo/studies").text
