"""The reading pages over HTTP: what they show, what they hide, and what no text or URL can do to them."""

from __future__ import annotations

import csv
import io
import json
import re
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from reading import FRIENDS, HOSTILE, JUDGE, LIMITS, OPEN, STRANGERS, run_directory
from starlette.testclient import TestClient
from support import CAST, episode, task_of, turn

from sotopia_pi import config as configuration
from sotopia_pi import pipeline
from sotopia_pi.environments import kinds
from sotopia_pi.episodes.records import ActionType
from sotopia_pi.rundir import Run
from sotopia_pi.store import Store
from sotopia_pi.web.app import application
from sotopia_pi.web.conditions import conditions
from sotopia_pi.web.places import close_places, open_places
from sotopia_pi.web.search import text_index
from sotopia_pi.web.site import Site
from sotopia_pi.web.snapshot import Live

RUN = "/run/mine"


@pytest.fixture(scope="module")
def visitor(tmp_path_factory: pytest.TempPathFactory) -> Iterator[TestClient]:
    places = open_places([str(run_directory(tmp_path_factory.mktemp("runs") / "mine"))])
    site = Site({place.name: place for place in places})
    with TestClient(application(site), "http://127.0.0.1") as client:
        client.get("/")
        text_index(site, "mine").wait()
        yield client
    close_places(places)


def read(visitor: TestClient, path: str) -> str:
    answer = visitor.get(path)
    assert answer.status_code == 200, path
    return answer.text


def listed(visitor: TestClient, query: str) -> list[str]:
    return re.findall(rf'{RUN}/episodes/(e\d)[?"]', read(visitor, f"{RUN}/episodes?{query}"))


def test_runs_are_listed_with_their_numbers(visitor: TestClient) -> None:
    text = read(visitor, "/")
    assert f'href="{RUN}"' in text
    assert ">6</a>" in text and ">1 failed</a>" in text
    assert "bc (bc)" in text and JUDGE in text


def test_a_run_without_a_report_shows_what_is_there(visitor: TestClient) -> None:
    text = read(visitor, RUN)
    assert "There is no report yet" in text
    for title in (
        "Conditions",
        "Paired differences",
        "Audit of the judge",
        "What each round selected",
        "Training curves",
    ):
        assert f"<h2>{title}</h2>" in text
    assert "Training loss, bc: from 2.00 to 1.00" in text
    assert 'href="/run/mine/episodes?stage=evaluate%2Fbc"' in text
    assert "8 of 20 candidates" in text
    assert "style=" not in text


def test_the_figures_are_those_of_the_report(tmp_path: Path) -> None:
    values = {"models": {"policy": "fake:"}, "world": {"test": {"price": 3, "friend": 2}, "transfer": {"division": 2}}}
    config = configuration.parse({**values, "rounds": [], "evaluation": {"repeats": 2}}, "test")
    with Run.open(tmp_path / "run", config, quiet=True) as run:
        pipeline.run_all(run)
        written = json.loads((tmp_path / "run" / "report.json").read_text(encoding="utf-8"))
        found: dict[str, Any] = conditions(Live(run.store).current())
    for row in (*found["evaluations"], *written["evaluations"]):
        for part in (row, *row["kinds"].values()):
            part["n_causes"] = sum(part.pop("failures").values())
    assert rounded(found["evaluations"]) == rounded(written["evaluations"])
    assert rounded(found["comparisons"]) == rounded(written["comparisons"])
    assert len(found["evaluations"]) == 4


def rounded(value: Any) -> Any:
    """`value` without the last digits of its numbers, which depend on the order of adding."""
    if isinstance(value, dict):
        return {key: rounded(item) for key, item in value.items()}
    if isinstance(value, list):
        return [rounded(item) for item in value]
    return round(value, 9) if isinstance(value, float) else value


def test_filters_choose_and_sort(visitor: TestClient) -> None:
    assert sorted(listed(visitor, "")) == ["e1", "e2", "e3", "e4", "e5", "e6"]
    assert sorted(listed(visitor, "policy=bc")) == ["e1", "e3", "e6"]
    assert listed(visitor, "policy=bc&role=1") == ["e6"]
    assert listed(visitor, "failed=episode") == ["e4"]
    assert sorted(listed(visitor, "failed=rating")) == ["e1", "e2"]
    assert listed(visitor, "human=yes") == ["e5"]
    assert listed(visitor, "stop=limit") == ["e6"]
    assert sorted(listed(visitor, "stop=agreed")) == ["e1", "e2"]
    assert listed(visitor, "kind=neighbours") == ["e3"]
    assert listed(visitor, "rater=verifier&dimension=goal&low=4") == ["e1"]
    assert listed(visitor, "sort=highest")[:2] == ["e1", "e2"]
    assert listed(visitor, "sort=lowest")[:2] == ["e2", "e1"]
    assert listed(visitor, "sort=longest&policy=bc")[-1] == "e3"
    assert sorted(listed(visitor, "text=eighteen+lamp")) == ["e1", "e2", "e4", "e6"]
    assert listed(visitor, "text=%22no+such+words%22") == []
    assert "<b>3</b> episodes, 1 failed" in read(visitor, f"{RUN}/episodes?task={FRIENDS.id}")


def test_a_filter_that_cannot_be_is_left_out_with_a_sentence(visitor: TestClient) -> None:
    for query in ("policy=who", "role=-1", "low=abc", "low=nan", "sort=sideways", "page=0", "rater=judge:who"):
        text = read(visitor, f"{RUN}/episodes?{query}")
        assert "was left out" in text
        assert "<b>6</b> episodes" in text


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], max_examples=40)
@given(
    st.dictionaries(
        st.sampled_from(
            ["policy", "role", "low", "high", "rater", "dimension", "text", "page", "sort", "view", "turn"]
        ),
        st.text(max_size=30).filter(str.strip),
    )
)
def test_no_query_breaks_a_page(visitor: TestClient, query: dict[str, str]) -> None:
    for path in (f"{RUN}/episodes", f"{RUN}/episodes/e1", f"{RUN}/tasks"):
        assert visitor.get(path, params=query).status_code == 200


def test_an_empty_field_of_a_form_is_not_in_the_address(visitor: TestClient) -> None:
    answer = visitor.get(f"{RUN}/episodes?policy=bc&text=&low=", follow_redirects=False)
    assert (answer.status_code, answer.headers["location"]) == (303, f"{RUN}/episodes?policy=bc")
    swapped = visitor.get(f"{RUN}/episodes?policy=bc&text=", headers={"hx-request": "true"})
    assert (swapped.status_code, swapped.headers["hx-push-url"]) == (200, f"{RUN}/episodes?policy=bc")


def test_lists_are_downloaded_with_their_filters(visitor: TestClient) -> None:
    answer = visitor.get(f"{RUN}/episodes.csv?policy=bc")
    rows = list(csv.DictReader(io.StringIO(answer.text)))
    assert {(row["episode"], row["player"]) for row in rows} == {("e1", "bc"), ("e3", "bc"), ("e6", "bc")}
    assert [row["verifier goal"] for row in rows if row["episode"] == "e1"] == ["8.0"]
    assert "attachment" in answer.headers["content-disposition"]
    lines = [json.loads(line) for line in visitor.get(f"{RUN}/episodes.jsonl?sort=highest").text.splitlines()]
    assert [line["key"] for line in lines][:2] == ["e1", "e2"]
    assert (len(lines), len(lines[0]["ratings"])) == (6, 4)
    assert visitor.get(f"{RUN}/episodes.exe").status_code == 404


def test_an_episode_shows_everything(visitor: TestClient) -> None:
    text = read(visitor, f"{RUN}/episodes/e1")
    for shown in (CAST[0].secret, CAST[1].occupation, *STRANGERS.scenario.goals, "Deal.", "1 min 1 s", "$0.0040"):
        assert shown in text
    for shown in (
        "The judge&#39;s reason.",
        "no readable reply",
        "deal: yes, terms: $18, within: yes, joint: 1.0",
        "8.0",
        JUDGE,
        "Ended: both agreed.",
    ):
        assert shown in text
    assert text.count('<span class="terms" dir="auto">Terms: $18</span>') == 2
    assert "I do not know JSON" not in text


def test_a_view_of_one_role_hides_what_the_other_has(visitor: TestClient) -> None:
    for role in (0, 1):
        text = read(visitor, f"{RUN}/episodes/e1?view={role}")
        own, other = STRANGERS.scenario.goals[role], STRANGERS.scenario.goals[1 - role]
        assert own in text and other not in text
        main = text.partition("<h2>Conversation</h2>")[2]
        assert "The other person" in main and CAST[1 - role].name not in main
        assert CAST[1 - role].personality not in text.partition('class="roles"')[2].replace(
            CAST[role].personality, "", 1
        )
        assert "no readable reply" not in text and "reason" not in main.replace("reasons of raters", "")
        assert f'limit</dt><dd dir="auto">{LIMITS[role]}' in text
        assert f'limit</dt><dd dir="auto">{LIMITS[1 - role]}' not in text
    assert CAST[1].occupation in read(visitor, f"{RUN}/episodes/e2?view=0")  # friends know it


def test_raw_replies_and_prompts(visitor: TestClient) -> None:
    raw = read(visitor, f"{RUN}/episodes/e1?show=raw")
    assert "I do not know JSON" in raw and "Sure: {" in raw
    mine = read(visitor, f"{RUN}/episodes/e1?show=raw&view=1")
    assert "I do not know JSON" not in mine
    prompts = read(visitor, f"{RUN}/episodes/e1?show=prompts")
    assert prompts.count('<details class="prompt"') == 4
    assert prompts.count(f"{CAST[0].secret}") >= 2  # the card and the first prompt
    whole = read(visitor, f"{RUN}/episodes/e1?show=prompts&turn=3")
    assert "Prompt of turn 3: 4 messages" in whole
    only = read(visitor, f"{RUN}/episodes/e1?show=prompts&view=1")
    assert only.count('<details class="prompt"') == 2 and STRANGERS.scenario.goals[0] not in only


def test_the_list_is_walked_from_episode_to_episode(visitor: TestClient) -> None:
    keys = listed(visitor, "policy=bc&sort=longest")
    text = read(visitor, f"{RUN}/episodes/{keys[1]}?policy=bc&sort=longest")
    assert f"{RUN}/episodes/{keys[0]}?policy=bc&amp;sort=longest" in text
    assert f"{RUN}/episodes/{keys[2]}?policy=bc&amp;sort=longest" in text
    assert "episode 2 of 3" in text
    assert "not among the 1 of the list" in read(visitor, f"{RUN}/episodes/e1?human=yes")


def test_tasks_are_listed_and_shown(visitor: TestClient) -> None:
    text = read(visitor, f"{RUN}/tasks?group=test")
    assert STRANGERS.id[:8] in text and OPEN.id[:8] not in text
    assert "1 task<" in read(visitor, f"{RUN}/tasks?text=FENCE+neighbours")
    assert "left out" in read(visitor, f"{RUN}/tasks?kind=none")
    text = read(visitor, f"{RUN}/tasks/{STRANGERS.id}")
    for shown in (
        *STRANGERS.scenario.goals,
        CAST[0].secret,
        "strangers",
        *LIMITS,
        "Nothing else of the profile",
        "human",
    ):
        assert (shown in text) == (shown != "human")
    assert "human:Kim" in read(visitor, f"{RUN}/tasks/{FRIENDS.id}")


@pytest.mark.parametrize("path", [f"{RUN}/episodes/e3", f"{RUN}/episodes/e3?show=raw", f"{RUN}/episodes/e4",
                                  f"{RUN}/episodes/e3?show=prompts", f"{RUN}/tasks/{OPEN.id}", f"{RUN}/tasks",
                                  f"{RUN}/episodes", RUN, "/"])  # fmt: skip
def test_no_text_becomes_markup(visitor: TestClient, path: str) -> None:
    text = read(visitor, path)
    assert len(text) < 400_000
    for harmful in ("<script>alert", "<img", "<a href='javascript", 'href="javascript', "\u202e", "\u200b", ">49<"):
        assert harmful not in text
    if path.startswith(f"{RUN}/episodes/e3"):
        assert "&lt;script&gt;alert(1)" in text and "[U+202E]" in text
        assert "more characters" in text


@pytest.mark.parametrize(
    "path",
    ["/run/none", "/run/none/episodes", f"{RUN}/episodes/none", f"{RUN}/tasks/none", f"{RUN}/episodes/..%2f..%2fetc",
     f"{RUN}/episodes/%00", f"{RUN}/tasks/{'x' * 5000}", f"/run/{HOSTILE[:20]}/tasks"],
)  # fmt: skip
def test_what_is_not_there_is_a_page_with_one_sentence(visitor: TestClient, path: str) -> None:
    answer = visitor.get(path)
    assert answer.status_code == 404
    assert re.search(r"<p>(There is no|No run)[^<]*\.</p>", answer.text)


def test_a_store_without_a_run_directory_is_read_too(tmp_path: Path) -> None:
    folder = run_directory(tmp_path / "mine")
    with Store.open(folder / "run.db"):
        pass
    places = open_places([f"sqlite:///{folder / 'run.db'}"])
    site = Site({place.name: place for place in places})
    with TestClient(application(site), "http://127.0.0.1") as client:
        for path in ("", "/episodes", "/tasks", "/episodes/e1?show=prompts"):
            assert client.get(f"/run/{places[0].name}{path}").status_code == 200
    assert not (folder / "search.db").exists()
    close_places(places)


@pytest.mark.parametrize("kind", kinds())
def test_every_kind_is_shown_with_its_numbers_and_terms(kind: str, tmp_path: Path) -> None:
    task = task_of(kind)
    env, check = task.scenario.environment, task.scenario.check
    assert env is not None and check is not None
    sides = [check.side(role) for role in (0, 1)]
    terms = env.candidates(sides[0])[0]
    talk = [turn(0, "This?", terms=env.write(sides[0], terms)), turn(1, "Hm.", ActionType.ACT)]
    with Store.open(tmp_path / "kind.db") as store:
        store.add_tasks("test", [task])
        store.add_episodes([(episode(task, talk), [])])
    places = open_places([f"sqlite:///{tmp_path / 'kind.db'}"])
    with TestClient(application(Site({"mine": replace(places[0], name="mine")})), "http://127.0.0.1") as client:
        page = read(client, f"{RUN}/tasks/{task.id}")
        assert "Own side of the check" in page
        told = [re.findall(r"Terms: (.*?)</span>", read(client, f"{RUN}/episodes/e1{view}"))
                for view in ("", "?view=0", "?view=1", "?show=prompts")]  # fmt: skip
    close_places(places)
    for raw in ("Person(", "(&#39;", "[&#39;", "{&#39;"):
        assert raw not in page
    assert told == [[env.write(sides[role], terms)] for role in (0, 0, 1, 0)]
    if kind == "friend":
        people = "; ".join(", ".join(person) for person in sides[0].people)
        assert f'<dt>people</dt><dd dir="auto">{people}</dd>' in page
