"""Invitations to play: who plays what next, what a guest sees, and what is stored."""

from __future__ import annotations

import html
import json
import re
from collections import Counter
from itertools import product
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from starlette.testclient import TestClient
from support import episode, open_task, price_task
from test_playing_pages import GOALS, SECRETS, lamp, new_run

from sotopia_pi.cli.main import main
from sotopia_pi.errors import StoreError
from sotopia_pi.models.fake import FakeModel
from sotopia_pi.rundir import Run
from sotopia_pi.store import Store
from sotopia_pi.studies.invitations import Invitation, Played, Seat, by_link, find, known_as, next_game, played_games
from sotopia_pi.web.app import application
from sotopia_pi.web.places import close_places, open_places
from sotopia_pi.web.site import Site


def invitation(tasks: int = 4, opponents: int = 2, **values: Any) -> Invitation:
    names = [f"p{n}" for n in range(opponents)]
    fields: dict[str, Any] = {
        "name": "lab", "link": "l", "salt": "s", "opponents": dict(zip(names, names, strict=True)),
        "seats": [Seat(f"t{task}", role) for task in range(tasks) for role in (0, 1)],
        "games": tasks, "people": 1000, "created": 0.0, **values,
    }  # fmt: skip
    return Invitation(**fields)


@settings(max_examples=60)
@given(st.integers(1, 6), st.integers(1, 3), st.integers(1, 5), st.integers(0, 99), st.data())
def test_everybody_meets_all_opponents_equally_and_no_task_twice(
    tasks: int, opponents: int, people: int, seed: int, data: st.DataObject
) -> None:
    study = invitation(tasks, opponents, seed=seed)
    played: list[Played] = []
    waiting = [f"person{n}" for n in range(people)]
    while waiting:  # in any order
        person = data.draw(st.sampled_from(waiting))
        game = next_game(study, played, person)
        if game is None:
            waiting.remove(person)
        else:
            played.append(Played(person, game, completed=True))
    for n in range(people):
        own = [one.game for one in played if one.person == f"person{n}"]
        assert len(own) == len({game.task for game in own}) == tasks
        met, roles = Counter(game.opponent for game in own), Counter(game.role for game in own)
        assert max(met.values()) - min(met[name] for name in study.opponents) <= 1
        assert abs(roles[0] - roles[1]) <= 2


def test_over_many_people_every_game_comes_equally_often() -> None:
    study = invitation(tasks=4, opponents=2, games=2)
    played: list[Played] = []
    for person, _ in product(range(80), range(2)):
        game = next_game(study, played, f"person{person}")
        assert game is not None
        played.append(Played(f"person{person}", game, completed=True))
    counts = Counter(one.game for one in played)
    assert len(counts) == 16
    assert max(counts.values()) - min(counts.values()) <= 4


def test_when_nothing_more_is_given_out() -> None:
    study = invitation(tasks=8, games=1, people=2)
    game = next_game(study, [], "ann")
    assert game is not None
    assert next_game(study, [Played("ann", game, completed=True)], "ann") is None
    lost = [Played("ann", game._replace(task=f"t{n}"), completed=False) for n in range(4)]
    assert next_game(invitation(tasks=8, games=1), lost[:3], "ann") is not None
    assert next_game(invitation(tasks=8, games=1), lost, "ann") is None  # too many were begun
    assert next_game(study, lost[:2], "bob") is None  # as many as there are
    closed = study.model_copy(update={"open": False})
    assert next_game(closed, [], "ann") is None
    assert next_game(closed.model_copy(update={"games": 2}), [Played("ann", game, completed=True)], "ann") is not None


def test_what_broke_off_before_anything_was_said_is_given_out_again() -> None:
    study = invitation(tasks=8, games=1, people=2)
    game = next_game(study, [], "ann")
    assert game is not None
    idle = [Played(f"p{n}", game, completed=False, taken=False) for n in range(9)]
    assert next_game(study, idle, "bob") is not None
    assert next_game(study, idle + idle[:1] * 4, "p0") is None  # each person has only so many
    assert (
        next_game(study, [*idle, Played("x", game, completed=False), Played("y", game, completed=True)], "bob") is None
    )


def test_by_default_one_address_is_not_everybody() -> None:
    sizes = [(people, invitation(people=people).newcomers) for people in (1, 2, 8, 20, 1000)]
    assert sizes == [(1, 2), (2, 2), (8, 2), (20, 5), (1000, 250)]
    assert invitation(people=20, per_address=20).newcomers == 20


def test_a_pseudonym_is_of_the_id_and_the_seal_of_the_pseudonym() -> None:
    study, other = invitation(), invitation(salt="other")
    name = study.pseudonym("kim@example.org")
    assert name == study.pseudonym("kim@example.org")
    assert name not in (study.pseudonym("lee"), other.pseudonym("kim@example.org"))
    assert study.pseudonym("", "a browser") != study.pseudonym("a browser")
    assert study.known(study.sealed(name)) == name
    for wrong in (
        "",
        ".",
        name,
        f"{name}.",
        other.sealed(name),
        study.sealed(name) + "x",
        "é.é",
        f"x{study.sealed(name)}",
    ):
        assert study.known(wrong) is None
    assert study.end(name).code == study.end(name).code != study.end("lee").code


# On the command line and in the browser


def invited(folder: Path, *more: str) -> str:
    """Makes an invitation with the command line; its link."""
    who = ["--with", "base", "--with", "fake:"]
    main(["invite", "create", str(folder), "--name", "lab", *who, "--group", "train", "--games", "2", *more])
    with Store.open(folder / "run.db") as store:
        return find(store, "lab").link


def keep_role(folder: Path, role: int) -> Invitation:
    """Leaves nothing but this role to the guests of an invitation; the invitation."""
    with Store.open(folder / "run.db") as store:
        made = find(store, "lab")
        kept = made.model_copy(update={"seats": tuple(seat for seat in made.seats if seat.role == role)})
        store.set_meta("invitations", {"lab": kept.model_dump(mode="json")})
        return kept


def ready(folder: Path) -> Path:
    made = new_run(folder)
    with Run.open(made, quiet=True) as run:
        run.store.add_tasks("train", [lamp(), price_task(number=8)])
    return made


class Guest:
    """A guest's browser without JavaScript; keeps every byte that was received."""

    def __init__(self, server: TestClient, link: str, address: str = "testclient") -> None:
        self.client = TestClient(server.app, "http://127.0.0.1", follow_redirects=False, client=(address, 1))
        self.client.portal = server.portal  # the loop of the one server
        self.link, self.seen = f"/sit/{link}", [""]

    def get(self, path: str, status: int = 200, **headers: str) -> str:
        return self.kept(self.client.get(path, headers=headers), status)

    def post(self, path: str, status: int = 303, **fields: str) -> str:
        token = re.search(r'name="csrf" value="([0-9a-f]+)"', self.client.get(f"{self.link}?participant=x").text)
        assert token
        answer = self.client.post(path, data={"csrf": token[1], **fields})
        self.kept(answer, status)
        return answer.headers.get("location", answer.text)

    def kept(self, answer: Any, status: int) -> str:
        assert answer.status_code == status, answer.text
        self.seen.append(f"{answer.headers}\n{html.unescape(answer.text)}")
        return html.unescape(answer.text)

    def until(self, path: str, words: str) -> str:
        for _ in range(500):
            if re.search(words, text := self.get(path)):
                return text
        raise AssertionError(f"{path} never said {words}")

    def play(self, *, stop: bool = False) -> str:
        """Plays the next conversation to its end; its path."""
        path = self.post(f"{self.link}/next")
        assert self.post(f"{self.link}/next") == path  # pressed twice
        assert self.get(f"{self.link}/now", 303) == ""
        page = self.until(path, "it is your turn")
        turn = re.search(r'name="turn" value="(\d+)"', page)
        assert turn
        fields = {} if stop else {"kind": "leave", "words": "Good bye.", "turn": turn[1]}
        self.post(f"{path}/{'stop' if stop else 'act'}", **fields)
        assert f'href="{self.link}/now">Go on' in self.until(path, "conversation is over")
        return path


@pytest.fixture
def served(tmp_path: Path) -> Any:
    folder = ready(tmp_path)
    link = invited(folder)
    places = open_places([str(folder)])
    app = application(Site({place.name: place for place in places}, token="a-long-enough-token"))
    with TestClient(app, "http://127.0.0.1") as server:
        yield folder, server, link
    close_places(places)


def test_a_script_cannot_take_all_places_at_once(served: Any, caplog: pytest.LogCaptureFixture) -> None:
    folder, server, link = served
    for n in range(5):
        guest = Guest(server, link)
        guest.post(f"{guest.link}/begin", participant=f"p-{n}" if n % 2 else "")
        path = guest.post(f"{guest.link}/next")
        if n == 0:
            guest.until(path, "it is your turn")
        guest.post(f"{path}/stop")
        guest.until(path, "conversation is over")
    with Store.open(folder / "run.db") as store:
        played = played_games(store, find(store, "lab"))
    assert len(played) == 5 and not any(one.taken and not one.completed for one in played)  # nobody said anything
    late = Guest(server, link)
    late.post(f"{late.link}/begin", participant="p-9")
    assert "Several people have just begun from where you are" in late.post(f"{late.link}/next", 429)
    assert "More than 5 people an hour come to the invitation lab from testclient" in caplog.text
    assert guest.post(f"{guest.link}/next").startswith(f"{guest.link}/game/")  # who has begun goes on
    elsewhere = Guest(server, link, "203.0.113.7")
    elsewhere.post(f"{elsewhere.link}/begin", participant="p-10")
    assert elsewhere.post(f"{elsewhere.link}/next").startswith(f"{guest.link}/game/")


def test_who_played_before_ids_were_folded_goes_on_as_the_same(served: Any) -> None:
    folder, *_ = served
    with Store.open(folder / "run.db") as store:
        made = find(store, "lab")
        old = made._named("A1B2")
        store.add_episodes([(episode(lamp(), [], "k", stage="play/lab", players=(f"human:{old}", "base")), [])])
        names = [known_as(store, made, name) for name in ("A1B2", "a1b2", "A1b2", "c3")]
    assert names == [old, old, old, made.pseudonym("c3")]


@pytest.mark.parametrize(
    "query", ["PROLIFIC_PID=%7B%7B%25PROLIFIC_PID%25%7D%7D", "workerId=${workerId}", "participant=null"]
)
def test_an_invitation_refuses_a_placeholder(served: Any, query: str) -> None:
    _, server, link = served
    guest = Guest(server, link)
    page = guest.get(f"{guest.link}?{query}")
    assert "where your participant id should stand" in page and "begin</button>" not in page
    assert "where your participant id should stand" in guest.post(f"{guest.link}/begin", 403, participant="{{x}}")


def test_a_guest_plays_and_gets_a_code(served: Any, capsys: pytest.CaptureFixture[str]) -> None:
    folder, server, link = served
    ann = Guest(server, link)
    assert "2 conversations" in ann.get(f"{ann.link}?PROLIFIC_PID=ann-5f3")
    assert ann.post(f"{ann.link}/begin", participant="ann-5f3") == f"{ann.link}/now"
    assert "The first conversation" in ann.get(f"{ann.link}/now")
    first = ann.play()
    assert "1 of 2 are done" in ann.get(f"{ann.link}/now")
    second = ann.play()
    page = ann.get(f"{ann.link}/now")
    code = re.search(r'<output id="code">([A-Z2-9]{8})</output>', page)
    assert code
    assert ann.post(f"{ann.link}/next") == f"{ann.link}/now"
    again = Guest(server, link)  # another device, the same id
    again.post(f"{again.link}/begin", participant="ann-5f3")
    assert code[0] in again.get(f"{again.link}/now")
    told = "\n".join(ann.seen)
    for hidden in (r"\bbase\b(?!-uri)", r"\bfake\b", "goal 0", "verifier", "play/lab", "/run/", lamp().id):
        assert not re.search(hidden, told)
    with Store.open(folder / "run.db") as store:
        episodes = list(store.episodes("play/lab"))
        assert not list(store.episodes("play"))
        assert "ann-5f3" not in json.dumps(store.meta("invitations"))
        assert {(r.rater, r.role) for r in store.ratings("play/lab")} == {("verifier", 0), ("verifier", 1)}
    people = {name for one in episodes for name in one.players if name.startswith("human:")}
    opponents = {name for one in episodes for name in one.players if not name.startswith("human:")}
    assert (len(people), opponents, len({one.task_id for one in episodes})) == (1, {"base", "fake:"}, 2)
    assert first != second
    main(["invite", "status", str(folder), "--name", "lab", "--json"])
    found = json.loads(capsys.readouterr().out)
    assert {name: one["completed"] for name, one in found["opponents"].items()} == {"base": 1, "fake:": 1}
    assert found["opponents"]["base"]["goal"] == {
        "mean": 0.0, "ci_low": None, "ci_high": None, "n": 1,
        "why": "no interval: not computable, because all conversations are of one scenario",
    }  # fmt: skip
    main(["invite", "status", str(folder), "--name", "lab"])
    assert re.search(r"base +1 +1 +0 +0\.00 +1 +0\.00", capsys.readouterr().out)


def test_a_guest_declares_terms_and_accepts_those_of_the_other(served: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    offer = '{"action_type": "speak", "argument": "14?", "terms": "$14"}'
    monkeypatch.setattr(FakeModel, "_text", lambda *_: offer)
    folder, server, link = served
    keep_role(folder, 0)
    ann = Guest(server, link)
    assert "you pick your terms in a form" in ann.get(ann.link)
    ann.post(f"{ann.link}/begin")
    path = ann.post(f"{ann.link}/next")
    assert ">Accept" not in ann.until(path, "it is your turn")
    first = {"kind": "speak", "turn": "1"}
    assert "These terms cannot be declared" in ann.post(f"{path}/act", 400, **first, **{"terms-0": "0"})
    ann.post(f"{path}/act", **first, **{"terms-0": "17"})
    page = ann.until(path, "Turn 3 of 6: it is your turn")
    assert "I propose $17." in page and "Terms: $17" in page and ">Accept $14</button>" in page
    ann.post(f"{path}/act", kind="speak", turn="3", accept="yes")
    assert "You agreed." in ann.until(path, "conversation is over")
    assert "verifier" not in "\n".join(ann.seen)
    with Store.open(folder / "run.db") as store:
        (played,) = store.episodes("play/lab")
        assert [rating.scores["goal"] for rating in store.ratings("play/lab")] == [4.0, 6.0]
    assert [turn.action.terms for turn in played.turns] == ["$17", "$14", "$14"]


@pytest.mark.parametrize("role", [0, 1])
def test_a_guest_sees_the_view_of_the_role_and_nothing_else(tmp_path: Path, role: int) -> None:
    folder = new_run(tmp_path)
    with Run.open(folder, quiet=True) as run:
        run.store.add_tasks("lamp", [lamp()])
    main(["invite", "create", str(folder), "--name", "lab", "--with", "base", "--group", "lamp", "--games", "1"])
    places = open_places([str(folder)])
    made = keep_role(folder, role)
    app = application(Site({place.name: place for place in places}))
    with TestClient(app, "http://127.0.0.1") as server:
        guest = Guest(server, made.link)
        guest.post(f"{guest.link}/begin")
        guest.play()
    close_places(places)
    told = "\n".join(guest.seen)
    assert SECRETS[role] in told
    assert GOALS[role] in told
    assert SECRETS[1 - role] not in told
    assert GOALS[1 - role] not in told


def test_guests_reach_their_own_conversations_only(served: Any) -> None:
    folder, server, link = served
    ann, bob = Guest(server, link), Guest(server, link)
    assert ann.get(f"{ann.link}/now", 303) == ""
    assert "open the link of your invitation again" in ann.post(f"{ann.link}/next", 403)
    for guest in (ann, bob):
        guest.post(f"{guest.link}/begin")
    path = ann.post(f"{ann.link}/next")
    bob.get(path, 404)
    bob.post(f"{path}/stop", 404)
    for page in ("/", "/run/small", "/run/small/play", path.replace(ann.link, "/run/small/play").replace("/game", "")):
        ann.get(page, 403)
    assert 'href="/"' not in ann.get("/sit/none", 404)
    ann.get(f"{ann.link}/game/none", 404)
    forged = Guest(server, link)
    forged.client.cookies.set("sotopia_pi_guest", "someone." + "a" * 32)
    assert forged.get(f"{ann.link}/now", 303) == ""
    assert forged.client.post(f"{ann.link}/next").status_code == 403
    with Store.open(folder / "run.db") as store:
        assert by_link(store, link + "x") is None


def test_no_error_names_a_file_or_a_model(served: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    def failing(*_: object) -> None:
        raise StoreError("another program keeps /home/me/bc-against-base/run.db locked")

    _, server, link = served
    ann = Guest(server, link)
    monkeypatch.setattr("sotopia_pi.web.invited.by_link", failing)
    text = ann.get(f"{ann.link}/now", 503)
    assert "try again in some minutes" in text and "bc-against-base" not in text


def test_what_breaks_off_is_told_without_a_name_and_another_may_be_played(tmp_path: Path) -> None:
    folder = ready(tmp_path)
    main([
        "invite", "create", str(folder), "--name", "lab", "--with", "fake:unreachable", "--group", "train",
        "--games", "1", "--code", "DONE", "--url", "https://example.org/back", "--participant-required",
    ])  # fmt: skip
    places = open_places([str(folder)])
    app = application(Site({place.name: place for place in places}))
    with TestClient(app, "http://127.0.0.1") as server, Store.open(folder / "run.db") as store:
        ann = Guest(server, find(store, "lab").link)
        assert "lacks your participant id" in ann.get(ann.link)
        ann.post(f"{ann.link}/begin", 403)
        ann.post(f"{ann.link}/begin", participant="ann")
        for _ in range(3):
            path = ann.post(f"{ann.link}/next")
            if "it is your turn" in ann.until(path, "it is your turn|conversation is over"):
                ann.post(
                    f"{path}/act",
                    kind="speak",
                    words="Hello?",
                    turn=re.search(r'"turn" value="(\d+)"', ann.get(path))[1],
                )
            assert "It broke off" in ann.until(path, "conversation is over")
        assert "There is nothing more for you now" in ann.get(f"{ann.link}/now")  # all three tasks were begun
        assert not re.search("unreachable|DONE|cannot be reached", "\n".join(ann.seen))
    close_places(places)


def test_the_owner_sees_and_closes_invitations(served: Any, capsys: pytest.CaptureFixture[str]) -> None:
    folder, server, link = served
    token = {"authorization": "Bearer a-long-enough-token"}
    page = re.sub(r"\s+", " ", re.sub(r"<[^>]+>", " ", server.get("/run/small/play", headers=token).text))
    assert f"lab http://127.0.0.1/sit/{link} 0 of 20 0" in page
    main(["invite", "close", str(folder), "--name", "lab"])
    ann = Guest(server, link)
    assert "Nobody new can begin" in ann.get(ann.link)
    ann.post(f"{ann.link}/begin")
    assert "No more conversations are given out" in ann.get(f"{ann.link}/now")
    main(["invite", "open", str(folder), "--name", "lab"])
    assert "The first conversation" in ann.get(f"{ann.link}/now")
    capsys.readouterr()
    main(["invite", "list", str(folder)])
    assert capsys.readouterr().out == f"lab  open  0 of 20 people, 0 conversations  /sit/{link}\n"


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["--with", "nobody"], "There is no policy 'nobody' here"),
        (["--with", "base", "--with", "base"], "have the same name; give each once"),
        (["--with", "base", "--games", "9"], "ask for at most 2 games"),
        (["--with", "base", "--games", "0"], "games: Input should be greater than or equal to 1"),
        (["--with", "base", "--group", "none"], "There is no group of tasks 'none'"),
        (["--with", "partner", "--group", "open"], "is a script, and no task of open has a check"),
        (["--with", "base", "--url", "javascript:alert(1)", "--games", "1"], "must be a web address"),
        (["--with", "base", "--instructions", "none.txt"], "cannot be read"),
        (["--with", "base", "--name", "My Lab", "--games", "1"], "name: String should match pattern"),
    ],
)
def test_what_cannot_be_invited(
    arguments: list[str], said: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    folder = new_run(tmp_path)
    with Run.open(folder, quiet=True) as run:
        run.store.add_tasks("open", [open_task()])
    name = [] if "--name" in arguments else ["--name", "lab"]
    assert main(["invite", "create", str(folder), *name, *arguments]) == 2
    assert said in capsys.readouterr().err


def test_a_name_is_taken_once(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    folder = ready(tmp_path)
    invited(folder)
    assert main(["invite", "create", str(folder), "--name", "lab", "--with", "base"]) == 2
    assert "There is an invitation 'lab' already" in capsys.readouterr().err
    assert main(["invite", "status", str(folder), "--name", "other"]) == 2
    assert "those there are: lab" in capsys.readouterr().err
