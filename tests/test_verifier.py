"""The verifier on hand-written transcripts, and the rules that its scores follow."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import TypeAdapter

from sotopia_pi.episodes.records import Action, ActionType, Episode, StopReason, Turn
from sotopia_pi.errors import WorldError
from sotopia_pi.ratings import DIMENSIONS, VERIFIER, verify
from sotopia_pi.ratings.scores import FIN, GOAL, SEC, price_scores
from sotopia_pi.world.checks import Check, DivisionCheck, FactCheck, MeetingCheck, PriceCheck
from sotopia_pi.world.records import Character, Scenario, SocialTask

FILES = sorted((Path(__file__).parent / "transcripts").glob("*.json"))
CHECKS: TypeAdapter[Check] = TypeAdapter(Check)


def character(name: str) -> Character:
    texts = dict.fromkeys(
        ("gender", "pronouns", "occupation", "public_info", "big_five", "personality", "decision_style", "secret"), "-"
    )
    return Character(name=name, age=30, moral_values=(), schwartz_values=(), **texts)


def task_of(check: Check | None) -> SocialTask:
    scenario = Scenario(situation="Two people talk.", goals=("A", "B"), kind="test", source="tests", check=check)
    return SocialTask(scenario=scenario, characters=(character("Ann"), character("Ben")))


def episode_of(task: SocialTask, turns: list[list[Any]]) -> Episode:
    made = []
    for role, *rest in turns:
        kind, words = rest if len(rest) == 2 else ("speak", rest[0])
        made.append(Turn(role=role, action=Action(type=ActionType(kind), argument=words)))
    return Episode(
        key="e", task_id=task.id, stage="test", players=("a", "b"), turns=tuple(made), stop_reason=StopReason.LIMIT
    )


def cases() -> list[Any]:
    found = []
    for file in FILES:
        content = json.loads(file.read_text(encoding="utf-8"))
        check = CHECKS.validate_python(content["check"])
        for transcript in content["transcripts"]:
            found.append(pytest.param(check, transcript, id=f"{file.stem}: {transcript['name']}"))
    return found


CASES = cases()


def test_there_are_enough_transcripts_and_their_names_differ() -> None:
    names = [case.id for case in CASES]
    assert len(set(names)) == len(names) >= 70
    assert sum(str(name).startswith("price") for name in names) >= 35


@pytest.mark.parametrize(("check", "transcript"), CASES)
def test_transcript_has_the_expected_outcome(check: Check, transcript: dict[str, Any]) -> None:
    task = task_of(check)
    ratings = verify(task, episode_of(task, transcript["turns"]))
    assert [rating.role for rating in ratings] == [0, 1]
    assert all(rating.rater == VERIFIER and rating.episode == "e" for rating in ratings)
    expected = transcript["expect"]
    if expected == "undecided":
        undecided = [rating for rating in ratings if rating.failure is not None]
        assert undecided, [rating.outcome for rating in ratings]
        assert all(rating.failure.startswith("undecided: ") and not rating.scores for rating in undecided)
        return
    assert [rating.failure for rating in ratings] == [None, None]
    assert all(rating.outcome == outcome_of(check, expected) for rating in ratings), ratings[0].outcome
    for rating in ratings:
        assert rating.scores.keys() == rating.reasons.keys()
        assert all(DIMENSIONS[name][0] <= score <= DIMENSIONS[name][1] for name, score in rating.scores.items())
        assert rating.overall is None


def outcome_of(check: Check, expected: Any) -> dict[str, Any]:
    if isinstance(check, FactCheck):
        return dict(expected)
    if expected is None:
        return {"deal": False}
    match check:
        case PriceCheck():
            return {"deal": True, "price": float(expected)}
        case DivisionCheck():
            own = dict(zip(check.counts, expected, strict=True))
            return {"deal": True, "shares": [own, {item: n - own[item] for item, n in check.counts.items()}]}
        case MeetingCheck():
            return {"deal": True, "option": expected}
    raise AssertionError(check)


PRICE, DIVISION, FACT, MEETING = (
    CHECKS.validate_python(json.loads((Path(__file__).parent / "transcripts" / f"{name}.json").read_text())["check"])
    for name in ("price", "division", "fact", "meeting")
)


@given(st.floats(1, 1000), st.floats(1, 1000))
def test_goal_and_fin_are_monotone_in_the_price(first: float, second: float) -> None:
    low, high = sorted((first, second))
    for name in (GOAL, FIN):
        assert price_scores(PRICE, 0, low)[name] <= price_scores(PRICE, 0, high)[name]
        assert price_scores(PRICE, 1, low)[name] >= price_scores(PRICE, 1, high)[name]


@given(st.floats(180, 260))
def test_inside_the_room_both_goals_add_up_to_ten(price: float) -> None:
    assert price_scores(PRICE, 0, price)[GOAL] + price_scores(PRICE, 1, price)[GOAL] == pytest.approx(10)


@given(st.integers(150, 300))
def test_a_price_agreed_in_words_gives_the_score_of_the_price(price: int) -> None:
    task = task_of(PRICE)
    ratings = verify(task, episode_of(task, [[0, f"I could do ${price}."], [1, f"Deal at ${price}."]]))
    assert [rating.scores for rating in ratings] == [price_scores(PRICE, role, float(price)) for role in (0, 1)]


def test_no_deal_is_zero_and_not_a_failure() -> None:
    task = task_of(PRICE)
    ratings = verify(task, episode_of(task, [[0, "$240."], [1, "leave", ""]]))
    assert [rating.scores for rating in ratings] == [{GOAL: 0, FIN: 0}] * 2
    assert all(rating.reasons for rating in ratings)


def test_division_scores_are_the_values_of_the_shares() -> None:
    task = task_of(DIVISION)
    ratings = verify(task, episode_of(task, [[0, "I take the ball and the hats, you get the rest."], [1, "Deal."]]))
    assert [rating.scores for rating in ratings] == [{GOAL: 7, FIN: 3.5}, {GOAL: 6, FIN: 3}]


def test_meeting_scores_are_the_values_of_the_option() -> None:
    task = task_of(MEETING)
    ratings = verify(task, episode_of(task, [[0, "Tuesday 10:00?"], [1, "Agreed."]]))
    assert [rating.scores for rating in ratings] == [{GOAL: 7}, {GOAL: 4}]


@pytest.mark.parametrize(
    ("turns", "scores"),
    [
        ([[0, "It's red."], [1, "It's on Friday."]], [{GOAL: 10, SEC: 0}, {GOAL: 10, SEC: 0}]),
        ([[0, "It's red. We like the fox."], [1, "It's on Friday."]], [{GOAL: 5, SEC: -10}, {GOAL: 10, SEC: 0}]),
        ([[0, "It's red."], [1, "I won't tell."]], [{GOAL: 0, SEC: 0}, {GOAL: 10, SEC: 0}]),
        ([[0, "none", ""], [1, "none", ""]], [{GOAL: 0, SEC: 0}, {GOAL: 0, SEC: 0}]),
    ],
)
def test_fact_scores(turns: list[list[Any]], scores: list[dict[str, float]]) -> None:
    task = task_of(FACT)
    assert [rating.scores for rating in verify(task, episode_of(task, turns))] == scores


def test_only_the_role_that_depends_on_an_unclear_fact_is_undecided() -> None:
    task = task_of(FACT)
    ratings = verify(task, episode_of(task, [[0, "The bus is red or green."], [1, "It's on Friday."]]))
    assert ratings[0].failure is None
    assert ratings[1].failure is not None


def test_what_cannot_be_rated_is_refused() -> None:
    task = task_of(PRICE)
    episode = episode_of(task, [[0, "$240."]])
    with pytest.raises(ValueError, match="cannot be reached"):
        verify(task, episode.model_copy(update={"failure": "the model cannot be reached", "stop_reason": None}))
    with pytest.raises(ValueError, match="not"):
        verify(task, episode.model_copy(update={"task_id": "another"}))
    open_task = task_of(None)
    with pytest.raises(WorldError, match="judge"):
        verify(open_task, episode_of(open_task, []))
