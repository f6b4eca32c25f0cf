"""Playing in the browser, by HTTP: what is chosen, what a page shows, who may act when, and what is stored."""

from __future__ import annotations

import html
import re
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import replace
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import pytest
from serving import serving
from starlette.testclient import TestClient
from support import CAST, character, open_task, price_task, task_of

from sotopia_pi import playing
from sotopia_pi.config import parse
from sotopia_pi.environments import Check, environment, kinds
from sotopia_pi.environments.base import ChoiceField, Field
from sotopia_pi.environments.division import DivisionCheck
from sotopia_pi.environments.favour import FavourCheck
from sotopia_pi.environments.meeting import MeetingCheck
from sotopia_pi.episodes.records import Action, ActionType, Episode, StopReason
from sotopia_pi.models.fake import FakeModel
from sotopia_pi.rundir import Run
from sotopia_pi.store import Store
from sotopia_pi.web import guard, playroom
from sotopia_pi.web.app import application
from sotopia_pi.web.places import close_places, open_places
from sotopia_pi.web.site import Site
from sotopia_pi.world.records import Scenario, SocialTask

SECRETS = ("Hides a twin.", "Owes a baker money.")
GOALS = ("Sell the lamp dearly.", "Buy the lamp cheaply.")


def lamp() -> SocialTask:
    """The price task with goals and secrets that stand nowhere else."""
    scenario = Scenario.model_validate({**price_task().scenario.model_dump(), "goals": GOALS})
    cast = (character("Ada Moss", secret=SECRETS[0]), character("Bo Lind", secret=SECRETS[1]))
    return SocialTask(scenario=scenario, characters=cast)


def new_run(folder: Path, **values: Any) -> Path:
    """A run directory with two held-out tasks and one to train on, the fake model as its policy."""
    given = {"name": "small", "max_turns": 6, "models": {"policy": "fake:"}, **values}
    with Run.open(folder / "small", parse(given, "the test"), quiet=True) as run:
        run.store.add_tasks("test", [lamp(), open_task()])
        run.store.add_tasks("train", [price_task(number=7)])
    return folder / "small"


class Visitor:
    """Somebody's browser without JavaScript; keeps every text that was received."""

    def __init__(self, client: TestClient) -> None:
        self.client = client
        self.seen: list[str] = []

    def get(self, path: str, status: int = 200, **headers: str) -> str:
        return self._kept(self.client.get(path, headers=headers), status)

    def post(self, path: str, status: int = 303, headers: Any = None, **fields: Any) -> Any:
        token = re.search(r'name="csrf" value="([0-9a-f]+)"', self.client.get("/run/small/play").text)
        assert token
        answer = self.client.post(path, data={"csrf": token[1], **fields}, headers=headers)
        self._kept(answer, status)
        return answer

    def begin(self, **fields: Any) -> str:
        """Begins a sitting; its path, once the model is there."""
        given = {"task": lamp().id, "role": "0", "opponent": "base", "name": "kim", **fields}
        path = self.post("/run/small/play", **given).headers["location"]
        self.until(path, "it is your turn|could not go on|conversation is over")
        return str(path)

    def until(self, path: str, words: str) -> str:
        """The page, once it says something."""
        for _ in range(500):
            text = self.get(path)
            if re.search(words, text):
                return text
        raise AssertionError(f"{path} never said {words}:\n{text}")

    def say(self, path: str, words: str, kind: str = "speak", **terms: str) -> str:
        """Acts on the current turn, `terms` as the form names them; the page after it."""
        self.send(path, 303, words=words, kind=kind, **terms)
        return self.get(path)

    def send(self, path: str, status: int, **fields: str) -> str:
        """Sends the form of the current turn with these fields; what is answered."""
        turn = re.search(r'name="turn" value="(\d+)"', self.get(path))
        assert turn
        fields = {name.replace("_", "-"): value for name, value in fields.items()}
        sent = {"kind": "speak", "words": "", "turn": turn[1], **fields}
        return html.unescape(self.post(f"{path}/act", status, **sent).text)

    def _kept(self, answer: Any, status: int) -> str:
        assert answer.status_code == status, answer.text
        text = html.unescape(answer.text)
        self.seen.append(text)
        return text


def task_with(check: Check) -> SocialTask:
    """A task with this check."""
    env = environment(check.kind)
    goals = tuple(env.goal(check.side(role)) for role in (0, 1))
    scenario = Scenario(situation=env.situation(check), goals=goals, kind=check.kind, source="test", check=check)
    return SocialTask(scenario=scenario, characters=CAST)


class Form(HTMLParser):
    """The controls of a page, by label: the name of a number's, of a choice's its name and options."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.controls: dict[str, tuple[str, dict[str, str]]] = {}
        self._labels: dict[str, str] = {}
        self._for, self._options, self._option = "", dict[str, str](), ""
        self.feed(text)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        given = {name: value or "" for name, value in attrs}
        if tag == "label":
            self._for = given.get("for", "")
        elif tag == "option":
            self._option = given["value"]
        elif tag in ("input", "select") and (given.get("id") or "").startswith("terms-"):
            self._options = {}
            self.controls[self._labels[given["id"]]] = (given["name"], self._options)

    def handle_data(self, data: str) -> None:
        if self._for:
            self._labels[self._for] = data
        if self._option:
            self._options[data] = self._option

    def handle_endtag(self, tag: str) -> None:
        self._for = "" if tag == "label" else self._for
        self._option = "" if tag == "option" else self._option

    def filled(self, values: Mapping[str, str]) -> dict[str, str]:
        """The fields of the form, filled by label."""
        assert values.keys() == self.controls.keys()
        fields = {}
        for label, value in values.items():
            name, options = self.controls[label]
            fields[name] = options[value] if options else value
        return fields


@contextmanager
def visiting(folder: Path, **site: Any) -> Iterator[Visitor]:
    """A visitor of the application over a run; at the end the server has stopped."""
    places = open_places([str(folder)])
    try:
        app = application(Site({place.name: place for place in places}, **site))
        with TestClient(app, "http://127.0.0.1", follow_redirects=False) as client:
            yield Visitor(client)
    finally:
        close_places(places)


def stored(folder: Path) -> list[Episode]:
    with Store.open(folder / "run.db") as store:
        return list(store.episodes("play"))


def test_a_task_is_played_to_its_end(tmp_path: Path) -> None:
    folder = new_run(tmp_path)
    with visiting(folder) as kim:
        path = kim.begin()
        page = kim.say(path, "Good morning.")
        assert "Let us find something" in page
        assert "Turn 3 of 6: it is your turn." in page
        page = kim.say(path, "shakes the lamp", "non-verbal communication")
        assert "What would you like?" in page
        page = kim.say(path, "", "none")
        page = kim.until(path, "conversation is over")
        assert "Somebody left." in page  # the fake model's third reply
        assert re.search(r"<strong>You</strong>: goal 0, .*\(verifier\)</span> Nothing was agreed.", page)
        (played,) = stored(folder)
        assert f"/run/small/episodes/{played.key}" in page
    assert played.players == ("human:kim", "base")
    assert [turn.action.argument for turn in played.turns[::2]] == ["Good morning.", "shakes the lamp", ""]
    assert (played.stage, played.completed, len(played.turns)) == ("play", True, 6)
    with Store.open(folder / "run.db") as store:
        assert [(r.role, r.rater) for r in store.ratings("play")] == [(0, "verifier"), (1, "verifier")]


@pytest.mark.parametrize("role", [0, 1])
def test_only_the_view_of_the_role_is_ever_sent(tmp_path: Path, role: int) -> None:
    with visiting(new_run(tmp_path)) as kim:
        path = kim.begin(role=str(role))
        for _ in range(3):
            kim.get(path, **{"HX-Request": "true"})
            if "conversation is over" in kim.get(path):
                break
            kim.say(path, "Well?")
        kim.until(path, "conversation is over")
        told = "\n".join(kim.seen)
    assert SECRETS[role] in told
    assert GOALS[role] in told
    assert SECRETS[1 - role] not in told
    assert GOALS[1 - role] not in told
    assert "limit" not in told.replace("no more turns", "")  # nor the partner's limit in the verifier's reason


def test_an_answer_counts_once_and_only_on_ones_turn(tmp_path: Path) -> None:
    folder = new_run(tmp_path)
    with visiting(folder) as kim:
        path = kim.begin()
        kim.say(path, "Hello.")
        again = kim.post(f"{path}/act", 400, kind="speak", words="Hello.", turn="1")
        assert "the turn was answered already" in again.text
        for fields in ({"turn": "x"}, {"turn": "9" * 5000}, {}):
            assert kim.post(f"{path}/act", 400, kind="speak", words="Hi", **fields)
        assert "Choose what you do" in kim.post(f"{path}/act", 400, kind="fly", words="Hi", turn="3").text
        assert "There are no words" in kim.post(f"{path}/act", 400, kind="speak", words=" ", turn="3").text
        long = kim.post(f"{path}/act", 400, kind="speak", words="x" * 5000, turn="3")
        assert "5,000 characters" in long.text
        assert "it is your turn" in kim.get(path)
        page = kim.say(path, "Bye.", "leave")
        assert "Somebody left." in page
        kim.post(f"{path}/act", 400, kind="speak", words="Hello?", turn="5")
    assert [turn.action.argument for turn in stored(folder)[0].turns][::2] == ["Hello.", "Bye."]


def declared(page: str) -> list[str]:
    """The terms beside the words of a page's turns."""
    return re.findall(r'<span class="terms" dir="auto">Terms: (.*?)</span>', page)


def wanted(one: Field) -> str:
    """What somebody picks in a control: the last option, or the number above the lowest."""
    return one.options[-1] if isinstance(one, ChoiceField) else f"{one.low + 1:g}"


@pytest.mark.parametrize("kind", kinds())
@pytest.mark.parametrize("role", [0, 1])
def test_terms_are_picked_with_the_controls_of_the_kind(kind: str, role: int, tmp_path: Path) -> None:
    folder, task = new_run(tmp_path), task_of(kind)
    env, check = task.scenario.environment, task.scenario.check
    assert env is not None and check is not None
    with Run.open(folder, quiet=True) as run:
        run.store.add_tasks("kinds", [task])
    side = check.side(role)
    values = {one: wanted(one) for one in env.form(side)}
    terms = env.read_object(side, {one.name: value for one, value in values.items()})
    with visiting(folder) as kim:
        path = kim.begin(task=task.id, role=str(role))
        page = kim.get(path)
        assert f"Terms are {env.notation(side)}." in page
        fields = Form(page).filled({one.label: value for one, value in values.items()})
        page = kim.say(path, "", **fields)
        assert declared(page) == [env.write(side, terms)]
        assert f">I propose {env.words(side, terms)}.<" in page
    assert stored(folder)[0].turns[role].action.terms == env.write(side, terms)


def test_one_press_accepts_what_the_other_has_just_declared(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    replies = ('{"action_type": "speak", "argument": "14?", "terms": "$14"}', '{"action_type": "none"}')
    answers = iter([*replies, replies[0]])
    monkeypatch.setattr(FakeModel, "_text", lambda *_: next(answers))
    folder = new_run(tmp_path, max_turns=8)
    with visiting(folder) as kim:
        path = kim.begin()
        assert 'name="accept"' not in kim.get(path)
        assert "has not just declared terms" in kim.send(path, 400, accept="yes")
        page = kim.say(path, "Well?")
        assert declared(page) == ["$14"]
        assert ">Accept $14</button>" in page
        page = kim.say(path, "Not yet.", terms_0="16")
        assert declared(page) == ["$14", "$16"]
        assert 'name="accept"' not in page  # its last turn declared none
        page = kim.say(path, "Then make your offer.")
        page = kim.say(path, "", "leave", accept="yes")  # whatever else is chosen
        page = kim.until(path, "conversation is over")
        assert "You agreed." in page
        assert "Agreed: $14, worth 4 of 10." in page
    (played,) = stored(folder)
    assert (played.stop_reason, played.turns[-1].action.to_json()) == (
        StopReason.AGREED, '{"action_type": "speak", "argument": "Agreed.", "terms": "$14"}',
    )  # fmt: skip


def test_words_go_with_an_acceptance(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    offer = '{"action_type": "speak", "argument": "14?", "terms": "$14"}'
    monkeypatch.setattr(FakeModel, "_text", lambda *_: offer)
    folder = new_run(tmp_path)
    with visiting(folder) as kim:
        kim.send(kim.begin(role="1"), 303, words="shakes hands", kind="action", accept="yes")
    assert stored(folder)[0].turns[1].action == Action(type=ActionType.ACT, argument="shakes hands", terms="$14")


def test_what_is_wrong_with_terms_is_said_and_what_was_typed_stays(tmp_path: Path) -> None:
    folder = new_run(tmp_path)
    purposes = ("hot meals", "lockers", "job advice")
    task = task_with(FavourCheck(cause="the shelter", asker=0, purposes=purposes, limits=(60, 30, 10), hope=80))
    with Run.open(folder, quiet=True) as run:
        run.store.add_tasks("kinds", [task])
    with visiting(folder) as kim:
        path = kim.begin(task=task.id)
        page = kim.send(path, 400, words="For you", kind="action", terms_0="-5", terms_1="2")
        assert "These terms cannot be declared: write one amount in dollars" in page
        assert 'value="action" checked' in page and 'value="speak" checked' not in page
        assert "For you</textarea>" in page
        assert re.search(r'id="terms-0".* value="-5"', page)
        assert '<option value="2" selected>job advice</option>' in page
        for fields, said in (
            ({"terms_0": "20"}, "Fill in “For” as well"),
            ({"terms_1": "1"}, "Fill in “Gift in $” as well"),
            ({"terms_0": "20", "terms_1": "3"}, "Choose “For” from the list."),
            ({"terms_0": "20", "terms_1": "job advice"}, "Choose “For” from the list."),
            ({"terms_0": "9" * 10_000, "terms_1": "1"}, "at most 200 characters"),
            ({"terms_0": "5000", "terms_1": "1"}, "between $0.01 and $1,000"),
            ({"terms_0": "20", "terms_1": "1", "kind": "none"}, "declares no terms"),
            ({"terms_0": '"><script>', "terms_1": "1"}, "write one amount"),
        ):
            page = kim.send(path, 400, **{"words": "Well?", **fields})
            assert said in page, said
            assert "<script>" not in page.replace(html.unescape("&quot;&gt;&lt;script&gt;"), "")
        assert "Nothing has been said yet." in kim.get(path)
        assert declared(kim.say(path, "Well?", terms_0="", terms_1=" ")) == []


def test_an_open_conversation_has_no_terms(tmp_path: Path) -> None:
    with visiting(new_run(tmp_path)) as kim:
        path = kim.begin(task=open_task().id)
        assert not re.search("terms|deal", kim.get(path), re.IGNORECASE)
        assert "no terms in this conversation" in kim.send(path, 400, words="Hello.", terms_0="5")
        assert "has not just declared" in kim.send(path, 400, words="Hello.", accept="yes")


def test_things_and_options_are_never_markup(tmp_path: Path) -> None:
    attack = '"><script>alert(1)</script>\u202e'
    division = DivisionCheck(counts={attack: 2, "pen": 1}, values=({attack: 4, "pen": 2}, {attack: 1, "pen": 8}))
    meeting = MeetingCheck(
        occasion=attack,
        what="time",
        options=(attack, "Monday 8:00"),
        values=({attack: 10, "Monday 8:00": 5}, {attack: 4, "Monday 8:00": 10}),
    )
    folder = new_run(tmp_path)
    for number, check in enumerate((division, meeting)):
        task = task_with(check)
        with Run.open(folder, quiet=True) as run:
            run.store.add_tasks(f"odd{number}", [task])
        with visiting(folder) as kim:
            path = kim.begin(task=task.id)
            fields = {"terms_0": "2", "terms_1": "0"} if check is division else {"terms_0": "0"}
            kim.say(path, "", **fields)
            raw = kim.client.get(path).text
        assert "<script>alert" not in raw and "\u202e" not in raw
        assert "Terms: " in raw and "[U+202E]" in raw


def test_htmx_gets_the_part_that_changes(tmp_path: Path) -> None:
    with visiting(new_run(tmp_path)) as kim:
        path = kim.begin()
        headers = {"HX-Request": "true"}
        answer = kim.post(f"{path}/act", 200, headers, kind="speak", words="Hello.", turn="1").text
        assert "<html" not in answer
        assert "Let us find something" in answer
        assert 'hx-swap-oob="innerHTML:#status"' in answer
        answer = kim.post(f"{path}/act", 200, headers, kind="speak", words="", turn="3").text
        assert "There are no words" in answer


def test_stopping_keeps_what_was_played(tmp_path: Path) -> None:
    folder = new_run(tmp_path)
    with visiting(folder) as kim:
        path = kim.begin(role="1")
        kim.say(path, "Hello.")
        kim.post(f"{path}/stop")
        assert "You stopped." in kim.until(path, "conversation is over")
        kim.post(f"{path}/stop")
    (played,) = stored(folder)
    assert (played.failure, len(played.turns), played.players) == ("the person stopped", 3, ("base", "human:kim"))


def test_stopping_is_seen_at_once(tmp_path: Path) -> None:
    with visiting(new_run(tmp_path)) as kim:
        path = kim.begin()
        answer = kim.post(f"{path}/stop", 200, {"HX-Request": "true"}).text
        assert "You stopped." in answer and 'name="words"' not in answer


def test_a_server_that_stops_keeps_what_was_played(tmp_path: Path) -> None:
    folder = new_run(tmp_path)
    with visiting(folder) as kim:
        kim.say(kim.begin(), "Hello.")
        kim.begin(name="lee")
    assert sorted((e.failure, len(e.turns)) for e in stored(folder)) == [
        ("the server was stopped", 0),
        ("the server was stopped", 2),
    ]


def test_somebody_who_does_not_answer_is_no_longer_waited_for(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(playroom.Playroom.__init__, "__defaults__", (playroom.MOST, 0.01))
    folder = new_run(tmp_path)
    with visiting(folder) as kim:
        assert "the person did not answer for 0.01 seconds" in kim.until(kim.begin(), "It failed")
    assert len(stored(folder)) == 1


def test_places_are_limited(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(playroom.Playroom.__init__, "__defaults__", (1, 60.0))
    with visiting(new_run(tmp_path)) as kim:
        path = kim.begin()
        fields = {"task": lamp().id, "role": "0", "opponent": "base", "name": "lee"}
        assert "1 people are playing already" in kim.post("/run/small/play", 400, **fields).text
        kim.post(f"{path}/stop")
        kim.until(path, "conversation is over")
        assert kim.post("/run/small/play", **fields)


def test_a_model_that_is_dead_or_cannot_be_opened(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    folder = new_run(tmp_path)
    with visiting(folder, opponents=("fake:unreachable", "openai:m@http://127.0.0.1:9")) as kim:
        path = kim.begin(opponent="fake:unreachable")
        kim.post(f"{path}/act", kind="speak", words="Hello?", turn="1")
        assert "cannot be reached; check that it is running" in kim.until(path, "conversation is over")
    assert stored(folder)[0].failure
    other = tmp_path / "other"
    folder = new_run(other, endpoint={"prices": str(tmp_path / "none.json")})
    with visiting(folder, opponents=("openai:m@http://127.0.0.1:9",)) as kim:
        page = kim.get(kim.begin(opponent="openai:m@http://127.0.0.1:9"))
        assert "The conversation could not go on." in page
        assert "none.json" in page
    assert not stored(folder)


def test_an_error_that_nobody_expected_frees_the_place(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def breaking(*_: object) -> None:
        raise MemoryError

    with visiting(new_run(tmp_path)) as kim:
        with monkeypatch.context() as patched:
            patched.setattr(playing, "opened_opponent", breaking)
            page = kim.get(kim.begin())
        assert "The conversation broke off (MemoryError); the server's terminal says why." in page
        assert "0 of 16 places" in kim.get("/run/small/play")
        assert "it is your turn" in kim.get(kim.begin())


def test_a_model_server_that_was_down_can_be_played_with_once_it_is_up(tmp_path: Path) -> None:
    folder = new_run(tmp_path)
    with serving() as server:
        port = server._port
    spec = f"openai:m@http://127.0.0.1:{port}/v1"
    with visiting(folder, opponents=(spec,)) as kim:
        page = kim.until(kim.begin(opponent=spec, role="1"), "conversation is over")
        assert f"check that the server is running at http://127.0.0.1:{port}/v1.\n" in re.sub("<.*?>", "\n", page)
        assert "same command" not in page
        with serving(port):
            path = kim.begin(opponent=spec, role="1")
            assert "it is your turn" in kim.get(path)


@pytest.mark.parametrize(
    ("fields", "said"),
    [
        ({"opponent": "openai:m@http://127.0.0.1:9"}, "Nobody of this name"),
        ({"opponent": "../../etc"}, "Nobody of this name"),
        ({"role": "2"}, "no such role"),
        ({"role": "-1"}, "no such role"),
        ({"name": "Kim Doe"}, "is no pseudonym"),
        ({"name": "<b>"}, "is no pseudonym"),
        ({"task": open_task().id, "opponent": "partner"}, "is a script"),
    ],
)
def test_what_cannot_be_chosen(fields: Any, said: str, tmp_path: Path) -> None:
    folder = new_run(tmp_path)
    with visiting(folder) as kim:
        given = {"task": lamp().id, "role": "0", "opponent": "base", "name": "kim", **fields}
        page = html.unescape(kim.post("/run/small/play", 400, **given).text)
        assert said in page
        assert f'<option value="{given["task"]}" selected>' in page
    assert not stored(folder)


def test_pages_that_are_not_there(tmp_path: Path) -> None:
    with visiting(new_run(tmp_path)) as kim:
        path = kim.begin()
        kim.get("/run/small/play/none", 404)
        kim.get(path.replace("small", "other"), 404)
        kim.get("/run/small/play?task=none", 404)
        kim.get("/run/small/play?group=none", 404)
        kim.get("/run/other/play", 404)
        assert kim.client.post(f"{path}/act", data={"words": "x"}).status_code == 403
        fields = {"task": "none", "role": "0", "opponent": "base", "name": "kim"}
        kim.post("/run/small/play", 404, **fields)


def test_a_task_by_chance_and_one_chosen_beforehand(tmp_path: Path) -> None:
    with visiting(new_run(tmp_path)) as kim:
        assert re.search(rf'value="{open_task().id}"\s+selected', kim.get(f"/run/small/play?task={open_task().id}"))
        for _ in range(4):  # never the open one, which a script cannot play
            assert "flea market" in kim.get(kim.begin(task="", opponent="partner"))


def test_a_group_is_chosen(tmp_path: Path) -> None:
    with visiting(new_run(tmp_path)) as kim:
        page = kim.get("/run/small/play?group=train")
        assert price_task(number=7).id in page
        assert lamp().id not in page
        assert "Stall 7" in kim.get(kim.begin(task="", group="train"))


def test_only_the_owner_plays(tmp_path: Path) -> None:
    with visiting(new_run(tmp_path)) as kim:
        path = kim.begin()
        kim.client.cookies.set(guard.ANNOTATOR, "somebody")
        kim.get("/run/small/play", 403)
        assert SECRETS[0] not in kim.get(path, 403)
    with visiting(new_run(tmp_path / "other"), token="a-long-enough-token") as stranger:
        assert stranger.client.get("/run/small/play").headers["location"] == "/login"
        assert stranger.client.post("/run/small/play", data={}).status_code == 403


def test_text_of_a_model_is_never_markup(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    said = "<script>alert(1)</script> \u202e right <img src=x onerror=alert(2)> " + "y" * 30_000
    reply = f'{{"action_type": "speak", "argument": "{said}"}}'
    monkeypatch.setattr(FakeModel, "_text", lambda *_: reply)
    with visiting(new_run(tmp_path)) as kim:
        path = kim.begin()
        kim.say(path, "<b>bold</b>\x1b[2J")
        raw = kim.client.get(path).text
    assert "&lt;script&gt;alert(1)" in raw
    assert "<script>alert" not in raw
    assert "<img" not in raw
    assert "&lt;b&gt;bold&lt;/b&gt;[2J" in raw
    assert "[U+202E]" in raw
    assert "more characters]" in raw
    assert "y" * 20_001 not in raw


def test_the_judge_rates_an_open_task_in_the_background(tmp_path: Path) -> None:
    folder = new_run(tmp_path, judge={"model": "fake:judge"})
    with visiting(folder) as kim:
        path = kim.begin(task=open_task().id)
        kim.say(path, "", "leave")
        page = kim.until(path, "judge:fake:judge")
        assert "believability" in page
    with Store.open(folder / "run.db") as store:
        assert len(list(store.ratings("play"))) == 2


def test_a_judge_that_cannot_be_opened_leaves_the_episode(tmp_path: Path) -> None:
    folder = new_run(tmp_path, judge={"model": str(tmp_path / "none")})
    with visiting(folder) as kim:
        path = kim.begin(task=open_task().id)
        kim.say(path, "", "leave")
        assert "The judge could not rate it: There is no model folder" in kim.until(path, 'role="alert"')
    assert stored(folder)[0].completed


def test_a_database_without_a_run_directory(tmp_path: Path) -> None:
    places = open_places([f"sqlite:///{new_run(tmp_path) / 'run.db'}"])
    try:
        app = application(Site({"small": replace(places[0], name="small")}, opponents=("fake:",)))
        with TestClient(app, "http://127.0.0.1", follow_redirects=False) as client:
            kim = Visitor(client)
            assert re.findall(r'<option value="([a-z:]+)"', kim.get("/run/small/play")) == [
                "partner",
                "expert",
                "fake:",
            ]
            assert "it is your turn" in kim.get(kim.begin(opponent="fake:"))
    finally:
        close_places(places)
