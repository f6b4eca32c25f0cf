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
from sotopia_files import DATA

from sotopia_pi.cli.data import DIALOGUES
from sotopia_pi.cli.main import main
from sotopia_pi.episodes.records import ActionType, Episode
from sotopia_pi.episodes.terms import heard
from sotopia_pi.interop.dialogues import FORMATS, import_dialogues
from sotopia_pi.interop.dialogues.listing import read_list
from sotopia_pi.interop.dialogues.records import Dialogue
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
#: How many dialogues the files hold, and GOAL of both roles of the first one; None where the data do not tell it.
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
    assert {rating.rater for rating in ratings.values()} == {"verifier" if kind == "dealornodeal" else "outcome"}
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
    forms = [(turn.role, turn.action.argument, turn.action.terms) for turn in episode.turns[-2:]]
    assert forms == [
        (1, "fills in the form: 1 book and 1 ball for me", "1 book, 1 ball"),
        (0, "fills in the form: 1 book and 2 hats for me", "1 book, 2 hats"),
    ]
    assert episode.stop_reason == "agreed" and all(turn.action.terms is None for turn in episode.turns[:-2])
    assert ratings[0].outcome == {"deal": True, "terms": "1 book, 2 hats", "within": True, "joint": 16 / 18}
    assert tuple(ratings.values()) == verify(task, episode)
    _, gave_up, none = stored(store, "import/deals")[1]
    assert (gave_up.stop_reason, gave_up.turns[-1].role) == ("left", 0)
    assert [none[role].scores["goal"] for role in (0, 1)] == [0.0, 0.0]


COUNTS, VALUES = (3, 2, 1), ((1, 2, 3), (2, 1, 2))
NUMBERS = st.tuples(*[st.integers(0, 4)] * 3)


@given(NUMBERS, NUMBERS | st.none(), st.integers(0, 1))
def test_people_agree_exactly_when_their_forms_do(own: Any, other: Any, first: int) -> None:
    if other is None:  # forms that agree, where there are as many things
        other = tuple(max(count - mine, 0) for count, mine in zip(COUNTS, own, strict=True))
    said = [[0, "hello"], [1, "hi"], [0, "deal"], *([[1, "<selection>"]] if first else [[1, "ok"], [0, "<selection>"]])]
    taken = [list(own), list(other)]
    value = {"counts": list(COUNTS), "values": [list(side) for side in VALUES], "said": said, "taken": taken}
    made = FORMATS["dealornodeal"].read(value)
    episode, ratings = made.episode("e", "import/x", "human:x")
    fits = tuple(map(sum, zip(own, other, strict=True))) == COUNTS
    assert (episode.stop_reason == "agreed") == fits
    assert [turn.role for turn in episode.turns[-2:]] == [first, 1 - first]
    assert [turn.action.terms for turn in episode.turns[:-2]] == [None] * (len(episode.turns) - 2)
    for role, share in enumerate((own, other)):
        worth = sum(value * n for value, n in zip(VALUES[role], share, strict=True))
        assert ratings[role].scores["goal"] == (worth if fits else 0)
        assert ratings[role].failure is None and ratings[role].outcome is not None
    assert_terms_are_named(made)


def assert_terms_are_named(made: Dialogue) -> None:
    """Whatever people declare is told in words as a model would have to tell it."""
    scenario, before = made.task.scenario, heard(made.task.scenario, made.turns)
    for place, turn in enumerate(made.turns):
        if turn.action.terms is not None and scenario.environment and scenario.check:
            side, terms = scenario.check.side(turn.role), before[place][1]
            scenario.environment.check_words(side, terms, turn.action.argument, before[:place])
            assert scenario.environment.write(side, terms) == turn.action.terms


def test_a_bargain_is_scored_only_where_there_is_room(store: Store, tmp_path: Path) -> None:
    value = bargain()
    task, episode, ratings = one(store, tmp_path, "craigslist", value)
    assert task.scenario.check is None  # it would tell a role the partner's target
    assert [turn.action.terms for turn in episode.turns] == [None] * 4
    assert [turn.action.type for turn in episode.turns] == [ActionType.SPEAK] * 2 + [ActionType.ACT] * 2
    assert episode.turns[1].action.argument == "Dry as a bone.\nMake me an offer."
    assert ratings[0].outcome == {"deal": True, "price": 701.0}
    value = bargain(2)
    value["scenario"]["kbs"][1]["personal"]["Target"] = 900
    path = write_json(tmp_path / "more.json", [value])
    import_dialogues(store, [path], "craigslist", "one")
    _, _, ratings = stored(store, "import/one")[1]
    assert ratings[0].failure == "not in the data: room between the two targets"
    assert ratings[0].outcome == {"deal": True, "price": 701.0}


@pytest.mark.parametrize(
    ("agreed", "goals"), [(701.0, (10 * 88 / 240, 10 * 152 / 240)), (613.0, (0.0, 10.0)), (500.0, (0.0, 10.0))]
)
def test_an_open_bargain_is_scored_between_the_targets(agreed: float, goals: tuple[float, float]) -> None:
    made: dict[str, Any] = json.loads(json.dumps(bargain()).replace("701.0", str(agreed)))
    made["scenario"]["kbs"][0]["personal"]["Target"] = 877.0 - 24
    ratings = FORMATS["craigslist"].read(made).scores
    assert [rating.scores["goal"] for rating in ratings] == [pytest.approx(goal) for goal in reversed(goals)]


def limited(*events: tuple[int, str, Any], seller: Any = 600, buyer: Any = 800) -> Dialogue:
    """What is read of a bargain whose sides have limits; agent 0 sells."""
    value = bargain(events=[{"agent": agent, "action": action, "data": data} for agent, action, data in events])
    for kb, limit in zip(value["scenario"]["kbs"], (seller, buyer), strict=True):
        kb["personal"]["Bottomline"] = limit
    return FORMATS["craigslist"].read(value)


HELLO, OFFER = (0, "message", "Hello."), (1, "offer", {"price": 701.0})


@pytest.mark.parametrize(
    ("events", "declared"),
    [
        ([OFFER, (0, "accept", None)], ["$701", "$701"]),
        ([OFFER, (0, "message", "Fine, I take it."), (0, "accept", None)], ["$701", "$701"]),
        ([OFFER, (1, "message", "So?"), (0, "accept", None)], ["$701", "$701", "$701"]),
        ([OFFER, (0, "message", "Hm."), (1, "message", "So?"), (0, "accept", None)], ["$701", None, "$701", "$701"]),
        ([OFFER, (0, "offer", {"price": 701}), (1, "accept", None)], ["$701", "$701"]),
        ([OFFER, (0, "reject", None), OFFER, (0, "accept", None)], ["$701", None, "$701", "$701"]),
        ([OFFER, (0, "reject", None), (1, "message", "Pity.")], ["$701", None, None]),
        ([OFFER, (0, "message", "No."), (0, "quit", None)], ["$701", None, None]),
        ([OFFER, (1, "accept", None)], ["$701", None]),
        ([(0, "accept", None), OFFER], [None, "$701"]),
        ([(1, "offer", {"price": -1}), (0, "accept", None)], [None, None]),
        ([(1, "offer", {"price": 99_999}), (0, "accept", None)], [None, None]),
    ],
    ids=str,
)
def test_offers_and_acceptances_are_terms_where_both_have_limits(events: Any, declared: Any) -> None:
    made = limited(HELLO, *events).until_agreed()
    episode, ratings = made.episode("e", "import/x", "human:x")
    assert [turn.action.terms for turn in episode.turns[1:]] == declared
    deal = declared[-2:] == ["$701", "$701"]
    assert (episode.stop_reason == "agreed") == deal
    assert [rating.scores["goal"] for rating in ratings] == ([5.05, 4.95] if deal else [0, 0])


def test_a_limit_of_a_bargain_is_told_to_its_own_side() -> None:
    made = limited(HELLO, OFFER, (0, "accept", None))
    episode, _ = made.episode("e", "import/x", "human:x")
    seller, buyer = (json.dumps(example(made.task, episode, role).messages, ensure_ascii=False) for role in (0, 1))
    assert "Aim for $877. Never go below $600." in seller and "$800" not in seller and "$613" not in seller
    assert "Aim for $613. Never pay more than $800." in buyer and "$600" not in buyer
    assert "Terms: $701" in seller and '\\"terms\\": \\"$701\\"' in seller


@pytest.mark.parametrize("limits", [{"seller": None}, {"buyer": -1}, {"seller": 800}, {"buyer": 600}, {"seller": 900}])
def test_a_bargain_without_room_between_limits_is_open(limits: dict[str, Any]) -> None:
    made = limited(HELLO, OFFER, (0, "accept", None), **limits)
    assert not made.task.scenario.verified and made.outcome == {"deal": True, "price": 701.0}
    assert {turn.action.terms for turn in made.turns} == {None}


def test_an_acceptance_of_nothing_is_no_deal() -> None:
    events = [{"agent": 0, "action": "message", "data": "Hi."}, {"agent": 1, "action": "accept", "data": None}]
    made = FORMATS["craigslist"].read(bargain(events=events, outcome={"reward": 0, "offer": None}))
    assert made.outcome == {"deal": False} and [score.scores["goal"] for score in made.scores] == [0, 0]


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
        ("seller", "Aim for $877", "not in the data: a target price for both"),
        ("buyer", "Aim for $613", "not in the data: a target price for both"),
        ("offer", "offer of", "not in the data: the price of the offer that was accepted"),
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
    assert ratings[0].failure == (
        "not in the data: points that fit how it ended; role 1 has 30 there, and 18 by the deal"
    )


@given(st.lists(st.tuples(st.integers(0, 1), *[st.integers(0, 3)] * 3), min_size=1, max_size=4), st.booleans())
def test_campers_agree_exactly_when_a_deal_is_accepted(proposals: Any, accepted: bool) -> None:
    value = camp()
    logs = value["chat_logs"][:2]
    for at, (who, *own) in enumerate(proposals):
        given_up = dict(zip(("Food", "Water", "Firewood"), own, strict=True))
        deal = {"issue2youget": given_up, "issue2theyget": {item: 3 - count for item, count in given_up.items()}}
        agents = [f"mturk_agent_{(2, 1)[role]}" for role in (who, 1 - who)]
        logs.append({"text": "Submit-Deal", "task_data": deal, "id": agents[0]})
        answer = "Accept-Deal" if accepted and at == len(proposals) - 1 else "Reject-Deal"
        logs.append({"text": answer, "task_data": {}, "id": agents[1]})
    for one in value["participant_info"].values():
        del one["outcomes"]
    made = FORMATS["casino"].read({**value, "chat_logs": logs})
    episode, ratings = made.episode("e", "import/x", "human:x")
    assert (episode.stop_reason == "agreed") == accepted
    assert_terms_are_named(made)
    for told, ours in zip(ratings, verify(made.task, episode), strict=True):
        assert told.rater == "outcome" and told.outcome == ours.outcome
        if accepted:
            assert told.scores == pytest.approx(ours.scores)
        else:
            assert (
                told.failure == ("not in the data: how it ended, because nobody accepts a deal or walks away")
                and not told.scores
            )


def test_a_deal_that_nobody_proposed_is_not_accepted() -> None:
    value = camp()
    value["chat_logs"][3]["id"] = value["chat_logs"][2]["id"]  # who proposed it
    made = FORMATS["casino"].read(value)
    assert made.turns[-1].action.terms is None and "nobody accepts a deal" in str(made.scores[0].failure)


def test_walking_away_is_worth_five_points(store: Store, tmp_path: Path) -> None:
    value = camp(2)
    value["chat_logs"][2:] = [{"text": "Walk-Away", "task_data": {"data": "walk_away"}, "id": "mturk_agent_1"}]
    for participant in value["participant_info"].values():
        participant["outcomes"]["points_scored"] = 5
    task, episode, ratings = one(store, tmp_path, "casino", value)
    assert [ratings[role].scores["goal"] for role in (0, 1)] == [pytest.approx(50 / 36)] * 2
    assert (episode.stop_reason, ratings[0].outcome) == ("left", {"deal": False})
    assert verify(task, episode)[0].scores["goal"] == 0  # which our division gives


def test_dialogues_without_donations_are_not_rated(store: Store, tmp_path: Path) -> None:
    dialogues, _ = files(tmp_path, "persuasion")
    import_dialogues(store, [dialogues], "persuasion", "p")
    _, episode, ratings = stored(store, "import/p")[0]
    assert ratings == {}
    assert episode.turns[2].action.argument == "It helps, quietly.\nWould you give a little?"


def sale(*turns: dict[str, Any], **changes: Any) -> dict[str, Any]:
    """A transcript of a verified bargain between $10 and $20."""
    return {
        "scenario": "A lamp is for sale, listed at $19.",
        "roles": [{"name": "Ada Moss", "goal": "Sell the lamp."}, {"name": "Bo Lind", "goal": "Buy the lamp."}],
        "turns": list(turns),
        "check": {"kind": "price", "item": "lamp", "seller": 0, "limits": [10, 20], "targets": [18, 12], "listed": 19},
        **changes,
    }


ASKED, TAKEN = {"role": 1, "text": "I offer $15."}, {"role": 0, "text": "Deal."}


@pytest.mark.parametrize(
    ("first", "second", "goal"),
    [
        ("$15", "15 dollars", 5.0),
        (15, {"price": 15}, 5.0),
        (15.5, "$15.50", 5.5),
        ("$15", None, 0.0),
        (None, "$15", 0.0),
        ("$15", " ", 0.0),
        ("$15", "$16", 0.0),
        ("$21", "$21", 10.0),  # beyond the buyer's limit, which costs the buyer alone
    ],
)
def test_a_transcript_with_a_check_is_rated_by_the_verifier(
    first: Any, second: Any, goal: float, store: Store, tmp_path: Path
) -> None:
    value = sale({**ASKED, "terms": first}, {**TAKEN, "terms": second})
    task, episode, ratings = one(store, tmp_path, "transcript", value)
    assert ratings[0].rater == "verifier" and ratings[0].scores["goal"] == goal
    assert tuple(ratings.values()) == verify(task, episode)
    assert episode.stop_reason == ("agreed" if goal else "limit")


def test_scores_of_a_transcript_stand_beside_what_was_agreed(store: Store, tmp_path: Path) -> None:
    turns = ({**ASKED, "terms": "$15"}, {**TAKEN, "terms": "$15"})
    _, _, ratings = one(store, tmp_path, "transcript", sale(*turns, scores=[{"goal": 9}, None], rater="editor"))
    assert ratings[0].scores == {"goal": 9} and ratings[0].rater == "editor"
    assert ratings[0].outcome == {"deal": True, "terms": "$15", "within": True, "joint": 1.0}


def test_an_agreement_ends_an_imported_dialogue(store: Store, tmp_path: Path) -> None:
    turns = (
        {**ASKED, "terms": "$15"},
        {**TAKEN, "terms": "$15"},
        {"role": 1, "text": "Thanks."},
        {"role": 0, "text": "Bye."},
    )
    path = tmp_path / "talks.jsonl"
    path.write_text(json.dumps(sale(*turns)) + "\n", encoding="utf-8")
    report = import_dialogues(store, [path], "transcript", "one")
    assert [note.reason for note in report.notes] == ["2 turns after the agreement left out"]
    assert len(stored(store, "import/one")[0][1].turns) == 2


def test_the_last_terms_of_a_turn_in_several_messages_count(store: Store, tmp_path: Path) -> None:
    turns = (
        {**ASKED, "terms": "$12"},
        {**ASKED, "terms": "$15"},
        {"role": 1, "text": "Yes?"},
        {**TAKEN, "terms": "$15"},
    )
    _, episode, _ = one(store, tmp_path, "transcript", sale(*turns))
    assert [turn.action.terms for turn in episode.turns] == ["$15", "$15"]


@pytest.mark.parametrize(
    ("terms", "reason"),
    [
        ("£15", "the terms of turn 2 cannot be read: amounts are in dollars"),
        ("$15 or $16", "the terms of turn 2 cannot be read: write one amount in dollars, not several"),
        (-3, "the terms of turn 2 cannot be read"),
        (True, "the terms of turn 2 cannot be read: write the terms as text"),
        ([15], "the terms of turn 2 cannot be read: write the terms as text"),
        ({"cost": 15}, "the terms of turn 2 cannot be read: an object has one value for each of price"),
        ("9" * 10_000, "the terms of turn 2 cannot be read: terms have at most 200 characters"),
    ],
    ids=lambda value: str(value)[:20],
)
def test_terms_that_cannot_be_read(terms: Any, reason: str, store: Store, tmp_path: Path) -> None:
    assert reason in problem(store, tmp_path, "transcript", sale(ASKED, {**TAKEN, "terms": terms}))


TEXTS = {
    "there is no <output>": "<input> 1 1 1 1 1 8 </input> <dialogue> YOU: a </dialogue> <partner_input> 1 1 1 1 1 8 "
    "</partner_input>",
    "the two sides have different counts": DEALS[0].replace("<partner_input> 2", "<partner_input> 3"),
    "is not a count and a value": DEALS[0].replace("<input> 2 1", "<input> x 1"),
    "not with YOU: or THEM:": DEALS[0].replace("YOU: fine", "HIM: fine"),
    "says neither who takes what": DEALS[0].replace("item2=0 item0=1", "item0=1"),
    "everything together must be worth 10": DEALS[0].replace("<input> 2 1", "<input> 2 9"),
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
        ({"turns": [{"role": 0, "text": "x", "terms": "$1"}]}, "turn 1 declares terms, but the dialogue has no check"),
        (sale({"role": 0, "type": "leave", "terms": "$15"}), "turn 1 is of type 'leave', which declares no terms"),
        (sale(ASKED, check={"kind": "fact"}), "there is no verified kind 'fact'"),
        (sale(ASKED, check={"item": "lamp"}), "kind"),
        (sale(ASKED, check={**sale()["check"], "limits": [20, 10]}), "the seller's limit must be below the buyer's"),
        (sale(ASKED, roles=[{"name": name, "goal": "x"} for name in "ABC"]), "two roles, not 3"),
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


def begin(folder: Path, kind: str, policy: str = "fake:", rater: str = "auto", only_first: bool = False) -> str:
    """A run with imported dialogues of a format, up to what is selected; the run directory."""
    config, out = folder / "c.toml", str(folder / "run")
    config.write_text(CONFIG.format(rater=rater, policy=json.dumps(policy)), encoding="utf-8")
    paths = [str(path) for path in files(folder, kind)]
    if only_first:  # of persuasion those without ratings
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
    out = begin(tmp_path, "persuasion", rater="none", only_first=True)
    assert main(["select", out]) == 0
    assert "bc: 4 of 4 roles, without ratings" in capsys.readouterr().out
    other = tmp_path / "other"
    other.mkdir()
    out = begin(other, "persuasion", only_first=True)
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


def test_the_examples_in_the_docs_are_read(store: Store, tmp_path: Path) -> None:
    page = Path(__file__).parent.parent / "docs" / "dialogues.md"
    examples = [part.split("```")[0] for part in page.read_text(encoding="utf-8").split("```json\n")[1:]]
    assert len(examples) == 2
    for text in examples:
        one(store, tmp_path, "transcript", json.loads(text))
        _, episode, ratings = stored(store, "import/one")[-1]
        assert ratings[0].scores["goal"] > 0
        assert (episode.stop_reason == "agreed") == ("check" in text)


TALKS = DATA / "dialogues"
#: Per published file: dialogues, how many of them end in a deal, and what of the rest is left out.
PUBLISHED = {
    ("dealornodeal", "dnd_val.txt"): (559, 422, "the connection broke, so the dialogue has no end"),
    ("craigslist", "cb_dev.json"): (625, 454, "nobody says anything in it"),
    ("casino", "casino_valid.json"): (30, 30, ""),
}


@pytest.mark.parametrize(("kind", "name"), PUBLISHED, ids=str)
@pytest.mark.skipif(not TALKS.is_dir(), reason="needs ../shared/data/dialogues")
def test_every_published_deal_is_found(kind: str, name: str) -> None:
    made, left_out, seen = [], set(), set()
    for found in FORMATS[kind].find([TALKS / name]):
        if found.id not in seen:
            try:
                made.append((found.value, FORMATS[kind].read(found.value)))
            except RecordError as error:
                left_out.add(str(error))
        seen.add(found.id)
    deals = 0
    for value, dialogue in made:
        _, ratings = dialogue.episode("e", "import/x", "human:x")
        outcome = ratings[0].outcome or {}
        deals += outcome["deal"]
        assert outcome["deal"] == said_deal(kind, value)
        assert all(rating.failure is None for rating in ratings)
        assert dialogue.until_agreed() is dialogue  # nobody goes on after the form
        assert_terms_are_named(dialogue)
    count, wanted, reason = PUBLISHED[kind, name]
    assert (len(made), deals, left_out) == (count, wanted, {reason} - {""})


def said_deal(kind: str, value: dict[str, Any]) -> bool:
    """Whether a record says that there is a deal."""
    if kind == "dealornodeal":
        return isinstance(value["taken"], list)
    if kind == "craigslist":
        return bool(value["outcome"]["reward"])
    return bool(value["chat_logs"][-1]["text"] == "Accept-Deal")
