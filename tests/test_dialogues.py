"""Dialogues between people: each format as its authors publish it, what is kept of it, and a policy trained on it."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import pytest
from dialogue_files import DEALS, TRANSCRIPT, bargain, camp, files, write_json, write_rows
from hypothesis import given, settings
from hypothesis import strategies as st

from sotopia_pi.cli.data import DIALOGUES
from sotopia_pi.cli.main import main
from sotopia_pi.episodes.records import ActionType, Episode
from sotopia_pi.interop.dialogues import FORMATS, import_dialogues
from sotopia_pi.interop.dialogues.listing import read_list
from sotopia_pi.interop.problems import RecordError
from sotopia_pi.ratings.records import Rating
from sotopia_pi.ratings.verifier import verify
from sotopia_pi.rundir import Run
from sotopia_pi.store import Store
from sotopia_pi.training.examples import example
from sotopia_pi.world.records import SocialTask

#: What a role knows and the other may not see: how the views of role 0 and of role 1 tell it.
PRIVATE = {
    "transcript": ("for the trailer", "for his aunt"),
    "dealornodeal": ("2 books worth 1 each", "2 books worth 3 each"),
    "craigslist": ("Aim for $613", "Aim for $877"),
    "casino": ("food 5, water 4, firewood 3", "water 5, food 4, firewood 3"),
    "persuasion": ("Bring the other person to give", "decide for yourself whether"),
}
#: How many dialogues the files hold, and GOAL of both roles of the first one; None where it is undecided.
TOLD = {
    "transcript": (1, (9.0, 8.0)),
    "dealornodeal": (2, (9.0, 7.0)),
    "craigslist": (2, (10 * (877 - 701) / (877 - 613), 10 * (701 - 613) / (877 - 613))),
    "casino": (1, (10 * 21 / 36, 10 * 18 / 36)),
    "persuasion": (2, (2.5, None)),
}


@pytest.fixture
def store(tmp_path: Path) -> Any:
    with Store.open(tmp_path / "run.db") as opened:
        yield opened


def stored(store: Store, stage: str) -> list[tuple[SocialTask, Episode, dict[int, Rating]]]:
    """The episodes of a stage in the order of their tasks, with their ratings by role."""
    found = []
    for episode in store.episodes(stage):
        ratings = {rating.role: rating for rating in store.ratings(episode=episode.key)}
        found.append((store.task(episode.task_id), episode, ratings))
    order = [item.our_id for item in store.imports.all(stage.replace("import/", "dialogues/"))]
    return sorted(found, key=lambda item: order.index(item[1].key))


def one(store: Store, folder: Path, kind: str, value: Any) -> tuple[SocialTask, Episode, dict[int, Rating]]:
    """The only dialogue of a file of JSON."""
    text = json.dumps(value) + "\n" if kind == "transcript" else json.dumps([value])
    path = folder / "one.json"
    path.write_text(text, encoding="utf-8")
    report = import_dialogues(store, [path], kind, "one")
    assert not report.problems, report.problems
    return stored(store, "import/one")[0]


def problem(store: Store, folder: Path, kind: str, value: Any) -> str:
    """Why the only record of a file is left out."""
    path = folder / "bad.json"
    text = json.dumps(value) if isinstance(value, dict | list) else str(value)
    path.write_text(text + "\n" if kind in ("transcript", "dealornodeal") else f"[{text}]", encoding="utf-8")
    report = import_dialogues(store, [path], kind, "bad")
    assert (report.left_out, report.stored.total()) == (1, 0)
    return report.problems[0].reason


def test_the_command_line_knows_every_format() -> None:
    assert tuple(FORMATS) == DIALOGUES


@pytest.mark.parametrize("kind", DIALOGUES)
def test_outcomes_are_what_the_files_say(kind: str, store: Store, tmp_path: Path) -> None:
    report = import_dialogues(store, files(tmp_path, kind), kind, "people")
    found = stored(store, "import/people")
    count, goals = TOLD[kind]
    assert (report.stored["import/people"], report.problems, len(found)) == (count, [], count)
    task, episode, ratings = found[0]
    assert episode.players == ("human:people", "human:people") and episode.completed
    assert {rating.rater for rating in ratings.values()} == {"outcome"}
    for role, goal in enumerate(goals):
        assert ratings[role].scores.get("goal") == (None if goal is None else pytest.approx(goal))
        assert (ratings[role].failure is None) == (goal is not None)
    assert [store.task(task.id)] == [task] and task in store.tasks("import/people")


@pytest.mark.parametrize("kind", DIALOGUES)
def test_a_role_sees_its_own_values_and_never_the_partners(kind: str, store: Store, tmp_path: Path) -> None:
    import_dialogues(store, files(tmp_path, kind), kind, "people")
    task, episode, _ = stored(store, "import/people")[0]
    for role in (0, 1):
        text = json.dumps(example(task, episode, role).messages, ensure_ascii=False)
        assert PRIVATE[kind][role] in text
        assert PRIVATE[kind][1 - role] not in text
        assert "Zenobia" not in text and "77" not in text.replace("877", "")


@pytest.mark.parametrize("kind", DIALOGUES)
def test_a_second_import_adds_nothing(kind: str, store: Store, tmp_path: Path) -> None:
    paths = files(tmp_path, kind)
    first = import_dialogues(store, paths, kind, "people")
    again = import_dialogues(store, paths, kind, "people")
    assert again.stored["import/people"] == 0 and not again.problems
    assert again.known["import/people"] == first.stored["import/people"]
    assert store.counts("import/people") == (TOLD[kind][0], 0)


def test_nothing_about_the_people_is_kept(tmp_path: Path) -> None:
    for kind in DIALOGUES:
        with Store.open(tmp_path / "run.db") as store:
            import_dialogues(store, files(tmp_path, kind), kind, kind)
    raw = b"".join(path.read_bytes() for path in tmp_path.glob("run.db*"))
    for word in (b"proself", b"W123", b"Zenobia", b"demographics", b"mturk_agent", b"agents_info"):
        assert word not in raw
    assert b"Dry as a bone" in raw


def test_both_sides_of_a_deal_are_one_dialogue(store: Store, tmp_path: Path) -> None:
    path = tmp_path / "other.txt"
    path.write_text("\n".join(reversed(DEALS)), encoding="utf-8")
    import_dialogues(store, files(tmp_path, "dealornodeal"), "dealornodeal", "deals")
    assert import_dialogues(store, [path], "dealornodeal", "deals").known["import/deals"] == 2
    task, episode, ratings = stored(store, "import/deals")[0]
    said = [(turn.role, turn.action.argument) for turn in episode.turns]
    assert said[:2] == [(0, "may i have the hats and a book?"), (1, "then the rest is mine.")]
    assert (episode.turns[-1].role, episode.turns[-1].action.type) == (1, ActionType.LEAVE)
    assert ratings[0].outcome == {
        "deal": True,
        "shares": [{"book": 1, "hat": 2, "ball": 0}, {"book": 1, "hat": 0, "ball": 1}],
    }
    assert {verify(task, episode)[0].rater} == {"verifier"}  # the task can be played and verified
    _, _, none = stored(store, "import/deals")[1]
    assert [none[role].scores["goal"] for role in (0, 1)] == [0.0, 0.0]


def test_a_bargain_is_scored_only_where_there_is_room(store: Store, tmp_path: Path) -> None:
    value = bargain()
    task, episode, ratings = one(store, tmp_path, "craigslist", value)
    assert task.scenario.check is None  # it would tell a role the partner's target
    assert [turn.action.type for turn in episode.turns] == [ActionType.SPEAK] * 2 + [ActionType.ACT] * 2
    assert episode.turns[1].action.argument == "Dry as a bone.\nMake me an offer."
    assert ratings[0].outcome == {"deal": True, "price": 701.0}
    value = bargain(2)
    value["scenario"]["kbs"][1]["personal"]["Target"] = 900
    path = write_json(tmp_path / "more.json", [value])
    import_dialogues(store, [path], "craigslist", "one")
    assert "undecided: the two targets leave no room" in str(stored(store, "import/one")[1][2][0].failure)


NO_PRICE = [-1, -1.0, "-1", 0, 0.001, None, "", "nan", "None"]


def without_price(place: str, value: Any) -> dict[str, Any]:
    """A bargain with `value` where a price stands: that of the listing, of a side's target or of what was offered."""
    made: dict[str, Any] = json.loads(json.dumps(bargain()))
    for kb in made["scenario"]["kbs"]:
        if place == "listing":
            kb["item"]["Price"] = value
        elif kb["personal"]["Role"] == place:
            kb["personal"]["Target"] = value
    if place == "offer":
        made["events"][3]["data"]["price"] = made["outcome"]["offer"]["price"] = value
    return made


@pytest.mark.parametrize("value", NO_PRICE, ids=str)
@pytest.mark.parametrize(
    ("place", "untold", "failure"),
    [
        ("listing", "listed at", None),
        ("seller", "Aim for $877", "undecided: a side has no target price"),
        ("buyer", "Aim for $613", "undecided: a side has no target price"),
        ("offer", "offer of", "undecided: an offer was accepted, and its price is not there"),
    ],
)
def test_what_is_no_price_is_told_to_nobody(place: str, untold: str, failure: str | None, value: Any) -> None:
    made = FORMATS["craigslist"].read(without_price(place, value))
    scenario = made.task.scenario
    told = " ".join([scenario.situation, *scenario.goals, *(turn.action.argument for turn in made.turns)])
    assert untold not in told and not re.search(r"\$(-|0|nan)", told)
    assert made.scores[0].failure == failure


@pytest.mark.parametrize("value", [1e308, "much", True, [5], {"dollars": 5}], ids=str)
@pytest.mark.parametrize("place", ["listing", "seller", "offer"])
def test_what_may_be_a_price_or_not_is_left_out(place: str, value: Any) -> None:
    with pytest.raises(RecordError, match="is not a number"):
        FORMATS["craigslist"].read(without_price(place, value))


def test_a_missing_price_is_noted(store: Store, tmp_path: Path) -> None:
    talks = [without_price("listing", -1), {**without_price("buyer", float("nan")), "uuid": "b"}]
    report = import_dialogues(store, [write_json(tmp_path / "talks.json", talks)], "craigslist", "c")
    assert [note.reason for note in report.notes] == [
        "there is no price for the listing, so none is told",
        "there is no price for the buyer, so none is told",
    ]


@pytest.mark.parametrize(("gift", "goal"), [("-1", None), ("nan", None), ("", None), ("0", 0.0), ("0.5", 2.5)])
def test_an_unknown_gift_is_no_gift_of_nothing(gift: str, goal: float | None) -> None:
    said = [("0", "Would you give a little?"), ("1", "Perhaps.")]
    persuader, _ = FORMATS["persuasion"].read({"said": said, "donation": gift, "known": True}).scores
    assert persuader.scores.get("goal") == goal
    assert (goal is None) == ("not in the data" in str(persuader.failure))


def test_packages_are_not_divided() -> None:
    value = camp()
    value["chat_logs"][2]["task_data"]["issue2youget"]["Food"] = 2.5
    with pytest.raises(RecordError, match="the deal of message 3 has parts of packages"):
        FORMATS["casino"].read(value)


def test_points_must_be_those_of_the_deal(store: Store, tmp_path: Path) -> None:
    value = camp()
    value["participant_info"]["mturk_agent_1"]["outcomes"]["points_scored"] = 30
    _, _, ratings = one(store, tmp_path, "casino", value)
    assert ratings[0].failure == "undecided: the data give role 1 30 points and the end of the dialogue 18"


def test_walking_away_is_worth_five_points(store: Store, tmp_path: Path) -> None:
    value = camp(2)
    value["chat_logs"][2:] = [{"text": "Walk-Away", "task_data": {"data": "walk_away"}, "id": "mturk_agent_1"}]
    for participant in value["participant_info"].values():
        participant["outcomes"]["points_scored"] = 5
    _, episode, ratings = one(store, tmp_path, "casino", value)
    assert [ratings[role].scores["goal"] for role in (0, 1)] == [pytest.approx(50 / 36)] * 2
    assert episode.stop_reason == "left"


def test_dialogues_without_donations_are_not_rated(store: Store, tmp_path: Path) -> None:
    dialogues, _ = files(tmp_path, "persuasion")
    import_dialogues(store, [dialogues], "persuasion", "p")
    _, episode, ratings = stored(store, "import/p")[0]
    assert ratings == {}
    assert episode.turns[2].action.argument == "It helps, quietly.\nWould you give a little?"


def test_a_transcript_with_a_check_is_rated_by_the_verifier(store: Store, tmp_path: Path) -> None:
    value = {
        "scenario": "A lamp is for sale, listed at $19.",
        "roles": [{"name": "Ada Moss", "goal": "Sell the lamp."}, {"name": "Bo Lind", "goal": "Buy the lamp."}],
        "turns": [{"role": 1, "text": "I offer $15 for the lamp."}, {"role": 0, "text": "Deal, $15 it is."}],
        "check": {"kind": "price", "item": "lamp", "seller": 0, "limits": [10, 20], "targets": [18, 12], "listed": 19},
    }
    _, _, ratings = one(store, tmp_path, "transcript", value)
    assert ratings[0].rater == "verifier" and ratings[0].scores["goal"] == 5.0


TEXTS = {
    "there is no <output>": "<input> 1 1 1 1 1 8 </input> <dialogue> YOU: a </dialogue> <partner_input> 1 1 1 1 1 8 "
    "</partner_input>",
    "the two sides have different counts": DEALS[0].replace("<partner_input> 2", "<partner_input> 3"),
    "is not a count and a value": DEALS[0].replace("<input> 2 1", "<input> x 1"),
    "not with YOU: or THEM:": DEALS[0].replace("YOU: fine", "HIM: fine"),
    "says neither who takes what": DEALS[0].replace("item2=0 item0=1", "item0=1"),
    "all items together must be worth 10": DEALS[0].replace("<input> 2 1", "<input> 2 9"),
    "the connection broke": DEALS[2].replace("<no_agreement>", "<disconnect>"),
    "nobody says anything": DEALS[0].replace(
        DEALS[0].split("<dialogue> ")[1].split(" </dialogue>")[0], "YOU: <selection>"
    ),
}


@pytest.mark.parametrize("reason", TEXTS)
def test_what_is_wrong_with_a_line_of_deals(reason: str, store: Store, tmp_path: Path) -> None:
    assert reason in problem(store, tmp_path, "dealornodeal", TEXTS[reason])


@pytest.mark.parametrize(
    ("changes", "reason"),
    [
        ({"roles": TRANSCRIPT["roles"][:1]}, "roles"),  # type: ignore[index]
        ({"turns": [{"role": 2, "text": "x"}]}, "turn 1 is of role 2"),
        ({"turns": [{"role": 0, "text": "x", "action": "y"}]}, "make two turns of it"),
        ({"turns": [{"role": 0, "type": "action"}]}, "has no words"),
        ({"turns": [{"role": 0, "action": "waves"}]}, "nobody says anything"),
        ({"scores": [{"goal": 11}, None]}, "goes from 0 to 10"),
        ({"scores": [{"goal": 1}]}, "1 scores for 2 roles"),
        ({"relationship": "rivals"}, "none of stranger"),
        ({"scenery": "x"}, "scenery"),
        ({"roles": [{"name": "A", "goal": "x", "profile": {"age": 9}}, {"name": "B", "goal": "y"}]}, "age"),
        ({"roles": [{"name": "A", "goal": "x"}, {"name": "A", "goal": "y"}]}, "different names"),
        ({"roles": [{"name": "A", "goal": "x", "profile": {"name": "C"}}, {"name": "B", "goal": "y"}]}, "beside"),
    ],
)
def test_what_is_wrong_with_a_transcript(changes: Any, reason: str, store: Store, tmp_path: Path) -> None:
    assert reason in problem(store, tmp_path, "transcript", {**TRANSCRIPT, **changes})


@pytest.mark.parametrize(
    ("kind", "value", "reason"),
    [
        ("craigslist", bargain(scenario=None), "'scenario' is missing"),
        ("craigslist", bargain(events=[{"agent": 0, "action": "dance"}]), "no action of this data set"),
        ("craigslist", bargain(events=[{"agent": 7, "action": "message", "data": "x"}]), "event 1 is of no agent"),
        ("craigslist", bargain(events=[{"agent": 0, "action": "offer", "data": {"price": "much"}}]), "not a number"),
        ("craigslist", bargain(events=[]), "nobody says anything"),
        ("craigslist", [1], "not a JSON object"),
        ("casino", camp(participant_info={}), "not two participants"),
        ("casino", camp(chat_logs=[{"id": ["x"], "text": "y"}]), "message 1 is of none of the participants"),
        ("casino", camp(chat_logs=[{"id": "mturk_agent_1"}]), "message 1 has no text"),
        (
            "casino",
            camp(
                chat_logs=[
                    {"id": "mturk_agent_1", "text": "Hi."},
                    {
                        "id": "mturk_agent_1",
                        "text": "Submit-Deal",
                        "task_data": {
                            "issue2youget": dict.fromkeys(("Food", "Water", "Firewood"), "2"),
                            "issue2theyget": dict.fromkeys(("Food", "Water", "Firewood"), "2"),
                        },
                    },
                ]
            ),
            "not 3 packages of each",
        ),
    ],
)
def test_what_is_wrong_with_a_record_of_a_list(
    kind: str, value: Any, reason: str, store: Store, tmp_path: Path
) -> None:
    assert reason in problem(store, tmp_path, kind, value)


def test_a_bad_row_spoils_its_own_dialogue_only(store: Store, tmp_path: Path) -> None:
    rows = [("Hi.", 0, 0, "a"), ("Ho.", 0, 9, "a"), ("Hi.", 0, 0, "b"), ("Ho.", 0, 1, "b"), ("alone", 0, 0, "c")]
    path = write_rows(tmp_path / "d.csv", ("Unit", "Turn", "B4", "B2"), rows)
    report = import_dialogues(store, [path], "persuasion", "p")
    assert report.stored["import/p"] == 1
    assert [(item.line, item.id) for item in report.problems] == [(2, "a"), (6, "c")]
    assert "line 3: the speaker (B4) is '9'" in report.problems[0].reason


def test_the_same_id_for_another_dialogue(store: Store, tmp_path: Path) -> None:
    path = write_json(tmp_path / "two.json", [camp(1), camp(1, annotations=[1])])
    assert "duplicate id: it is also at two.json:1" in import_dialogues(store, [path], "casino", "c").problems[0].reason
    path = write_json(tmp_path / "three.json", [{**camp(1), "chat_logs": camp()["chat_logs"][:3]}])
    assert "another dialogue with it is stored" in import_dialogues(store, [path], "casino", "c").problems[0].reason


@settings(max_examples=40)
@given(st.lists(st.dictionaries(st.text(max_size=4), st.text(max_size=8) | st.lists(st.text(max_size=3)), max_size=3)))
def test_every_object_of_a_list_is_found(tmp_path_factory: pytest.TempPathFactory, records: list[Any]) -> None:
    path = write_json(tmp_path_factory.mktemp("lists") / "list.json", records)
    assert [item.record for item in read_list(path)] == json.loads(json.dumps(records).replace("\\u0000", "\\ufffd"))


def test_lists_that_are_none(tmp_path: Path) -> None:
    path = tmp_path / "cut.json"
    path.write_text('[{"a": 1}, {"b": ]}, {"c": "', encoding="utf-8")
    items = list(read_list(path))
    assert [item.record for item in items] == [{"a": 1}, None, None]
    assert [item.problem.partition(" (")[0] for item in items] == [
        "",
        "the record is not valid JSON",
        "the file ends before the list does",
    ]


CONFIG = """
[[rounds]]
name = "bc"
method = "bc"
episodes = "import/people"
rater = "{rater}"
select = {{ rule = "threshold", at_least = 0 }}

[models]
policy = {policy}

[training]
epochs = 1
batch = 2
micro_batch = 2
lora_rank = 2
lora_alpha = 4
"""


def begin(folder: Path, kind: str, policy: str = "fake:", rater: str = "auto") -> str:
    """A run with imported dialogues of a format, up to what is selected; the run directory."""
    config, out = folder / "c.toml", str(folder / "run")
    config.write_text(CONFIG.format(rater=rater, policy=json.dumps(policy)), encoding="utf-8")
    paths = [str(path) for path in files(folder, kind)]
    if rater == "none":
        paths = paths[:1]
    given = ["--format", kind, "--name", "people", "--out", out, "--config", str(config)]
    assert main(["import", "dialogues", *paths, *given]) == 0
    for verb in ("tasks", "collect"):
        assert main([verb, out, "--quiet"]) == 0
    return out


@pytest.mark.parametrize("kind", DIALOGUES)
def test_a_round_selects_from_them(kind: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    out = begin(tmp_path, kind)
    assert f"import/people: {TOLD[kind][0]} imported" in capsys.readouterr().out
    assert main(["select", out]) == 0
    with Run.open(Path(out), quiet=True) as run:
        pairs = set(run.store.selection("bc"))
        rated = {(r.episode, r.role) for r in run.store.ratings("import/people") if r.failure is None}
    assert pairs == rated and pairs
    assert (tmp_path / "run" / "import-dialogues-people.json").is_file()


def test_what_nobody_rated_can_be_imitated(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    out = begin(tmp_path, "persuasion", rater="none")
    assert main(["select", out]) == 0
    assert "bc: 4 of 4 roles, without ratings" in capsys.readouterr().out
    other = tmp_path / "other"
    other.mkdir()
    out = begin(other, "persuasion", rater="none")
    text = (other / "run" / "config.toml").read_text(encoding="utf-8").replace('rater = "none"', 'rater = "auto"')
    (other / "run" / "config.toml").write_text(text, encoding="utf-8")
    assert main(["select", out]) != 0
    assert "rater = 'none'" in capsys.readouterr().err


def test_nobody_as_rater_is_for_imported_episodes(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    given = ["--set", 'rounds=[{name="a", method="bc", rater="none"}]', "--out", str(tmp_path / "run")]
    assert main(["run", *given]) == 2
    assert "rater 'none', which is for imitating imported episodes" in capsys.readouterr().err


@pytest.mark.slow
def test_a_policy_is_trained_on_them(weights: str, tmp_path: Path) -> None:
    import tiny

    folder = tiny.save(tiny.CONFIGS["llama"], tmp_path / "model")
    out = begin(tmp_path, "casino", policy=str(folder))
    assert main(["select", out, "--quiet"]) == 0
    assert main(["train", out, "--quiet"]) == 0
    lineage = json.loads((tmp_path / "run" / "policies" / "bc" / "policy.json").read_text(encoding="utf-8"))
    assert lineage["sequences"] == 2


@pytest.mark.parametrize(
    ("text", "kind", "said"),
    [
        ("{}", "craigslist", "not a JSON list of dialogues"),
        ("a,b\n1,2\n", "persuasion", "no columns Unit, B2 and B4"),
        ("B2,B4,B6\nx,1,2\n", "persuasion", "no file with dialogues"),
        ("", "transcript", "no records"),
    ],
)
def test_files_of_another_format(
    text: str, kind: str, said: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = tmp_path / "file"
    path.write_text(text, encoding="utf-8")
    assert main(["import", "dialogues", str(path), "--format", kind, "--out", str(tmp_path / "run")]) != 0
    assert said in capsys.readouterr().err


def test_the_example_in_the_docs_is_read(store: Store, tmp_path: Path) -> None:
    page = Path(__file__).parent.parent / "docs" / "dialogues.md"
    text = page.read_text(encoding="utf-8").split("```json\n")[1].split("```")[0]
    _, episode, ratings = one(store, tmp_path, "transcript", json.loads(text))
    assert len(episode.turns) > 2 and ratings[0].scores["goal"] > 0
