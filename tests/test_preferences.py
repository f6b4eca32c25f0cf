"""Preference pairs: selected against not selected, at the same history where there is one; bounded; the same always."""

from __future__ import annotations

from collections import Counter

import pytest
from hypothesis import given
from hypothesis import strategies as st
from support import episode, price_task, turn

from sotopia_pi.episodes.records import NOTHING, ActionType, Episode, Turn
from sotopia_pi.episodes.views import messages, view
from sotopia_pi.training.preferences import MOST_PAIRS, Pair, Rated, pairs, shared_turns, sides

TASK, OTHER = price_task(), price_task(number=1)
GARBAGE = "garbage zq"


def nothing(role: int, **fields: object) -> Turn:
    return turn(role, "", ActionType.NONE, raw=GARBAGE, valid=False, **fields)


def played(key: str, *turns: Turn) -> Episode:
    return episode(TASK, turns, key)


def only(preferred: Episode, rejected: Episode, role: int = 0) -> Pair | None:
    """The pair of two episodes, the first of them selected."""
    found = pairs([Rated(preferred, role, 8.0, True), Rated(rejected, role, 2.0, False)], margin=1.0)
    assert len(found) <= 1
    return found[0] if found else None


def said(items: list[dict[str, str]], trained: list[bool]) -> list[str]:
    """The assistant's messages that count."""
    own = [message["content"] for message in items if message["role"] == "assistant"]
    return [text for text, counts in zip(own, trained, strict=True) if counts]


# What two episodes make


def test_actions_at_the_same_history_are_compared() -> None:
    a = played("a", turn(0, "Nineteen."), turn(1, "Twelve."), turn(0, "Eighteen."), turn(1, "Deal."))
    b = played("b", turn(0, "Nineteen."), turn(1, "Twelve."), turn(0, "Eleven."), turn(1, "Ten."), turn(0, "Nine."))
    assert only(a, b) == Pair("action", TASK.id, 0, "a", "b", 2, 6.0)
    pair = only(a, b)
    assert pair is not None
    one, other = sides(TASK, pair, a, b)
    prompt = messages(view(TASK, 0, a.turns[:2]))
    assert one.messages[:-1] == other.messages[:-1] == prompt
    assert said(one.messages, one.trained) == [a.turns[2].action.to_json()]
    assert said(other.messages, other.trained) == [b.turns[2].action.to_json()]


def test_episodes_are_compared_where_the_partner_differed_first() -> None:
    a = played("a", turn(0, "Hi."), turn(1, "Twelve."), nothing(0), turn(1, "So?"), turn(0, "Eighteen."))
    b = played("b", turn(0, "Hi."), turn(1, "Ten."), turn(0, "Eleven."), turn(1, "Ten."), turn(0, "Nine."))
    pair = only(a, b)
    assert pair == Pair("episode", TASK.id, 0, "a", "b", 1, 6.0)
    one, other = sides(TASK, pair, a, b)
    shared = messages(view(TASK, 0, a.turns[:1]))[:-1]
    assert one.messages[: len(shared)] == other.messages[: len(shared)] == shared
    assert said(one.messages, one.trained) == [
        a.turns[4].action.to_json()
    ]  # neither what is shared nor what is invalid
    assert said(other.messages, other.trained) == [b.turns[2].action.to_json(), b.turns[4].action.to_json()]


def test_the_opening_of_the_partner_is_the_worlds() -> None:
    a = played("a", turn(0, "Nineteen."), turn(1, "Twelve."))
    b = played("b", turn(0, "Twenty."), turn(1, "Eleven."))
    assert only(a, b, role=1) == Pair("episode", TASK.id, 1, "a", "b", 0, 6.0)
    c = played("c", turn(0, "Twenty."), turn(1, "Twelve."))
    assert only(a, c, role=1) is None  # the role did the same in both


def test_an_invalid_action_is_never_preferred() -> None:
    ok, bad = played("a", turn(0, "Nineteen.")), played("b", nothing(0))
    assert only(bad, ok) is None
    longer = played("c", nothing(0), turn(1, "So?"), turn(0, "Eighteen."))
    pair = only(longer, ok)
    assert pair is not None
    assert pair.kind == "episode"
    assert said(*_chat(pair, longer, ok, 0)) == [longer.turns[2].action.to_json()]


def test_invalid_words_are_rejected_where_they_answered_the_view() -> None:
    ok, bad = played("a", turn(0, "Nineteen.")), played("b", nothing(0))
    pair = only(ok, bad)
    assert pair is not None
    assert pair.kind == "action"
    assert said(*_chat(pair, ok, bad, 1)) == [GARBAGE]
    assert only(ok, played("b", nothing(0, reasked=True))) is None  # those answered a complaint


def _chat(pair: Pair, a: Episode, b: Episode, side: int) -> tuple[list[dict[str, str]], list[bool]]:
    made = sides(TASK, pair, a, b)[side]
    return made.messages, made.trained


def test_equal_episodes_and_small_differences_make_no_pair() -> None:
    a, b = played("a", turn(0, "Nineteen.")), played("b", turn(0, "Nineteen."))
    assert only(a, b) is None
    c = played("c", turn(0, "Twenty."))
    close = [Rated(a, 0, 3.0, True), Rated(c, 0, 2.5, False)]
    assert pairs(close, margin=1.0) == []
    assert len(pairs(close, margin=0.5)) == 1


def test_an_episode_that_ended_earlier_is_compared_by_what_follows() -> None:
    a = played("a", turn(0, "Nineteen."), turn(1, "Deal."), turn(0, "Deal."))
    assert only(a, played("b", turn(0, "Nineteen."), turn(1, "Deal."))) is None


def test_the_best_choose_first_and_share_the_rejected() -> None:
    good = [Rated(played(f"good{n}", turn(0, f"G{n}")), 0, 9.0 - n, True) for n in range(2)]
    bad = [Rated(played(f"bad{n}", turn(0, f"B{n}")), 0, float(n), False) for n in range(3)]
    found = [(pair.preferred, pair.rejected) for pair in pairs([*bad, *good], margin=1.0, most=2)]
    assert found == [("good0", "bad0"), ("good1", "bad1"), ("good0", "bad2"), ("good1", "bad0")]


# For all inputs

ARGUMENTS = st.sampled_from(["a", "b"])


@st.composite
def rated(draw: st.DrawFn) -> list[Rated]:
    """Up to twelve rated roles of two tasks whose episodes resemble each other."""
    found = []
    for number in range(draw(st.integers(0, 12))):
        task = draw(st.sampled_from([TASK, OTHER]))
        turns = []
        for at in range(draw(st.integers(0, 4))):
            invalid = draw(st.integers(0, 5)) == 0
            made = nothing(at % 2, reasked=draw(st.booleans())) if invalid else turn(at % 2, draw(ARGUMENTS))
            turns.append(made)
        of = episode(task, turns, f"e{number}")
        found += [
            Rated(of, role, draw(st.integers(0, 10)) / 2, draw(st.booleans()))
            for role in draw(st.sampled_from([(0,), (1,), (0, 1)]))
        ]
    return found


@given(rated(), st.integers(1, 4), st.integers(1, 6).map(lambda n: n / 2), st.randoms(use_true_random=False))
def test_pairs_keep_their_rules(items: list[Rated], most: int, margin: float, random: object) -> None:
    found = pairs(items, margin, most)
    by = {(item.episode.key, item.role): item for item in items}
    for pair in found:
        a, b = by[pair.preferred, pair.role], by[pair.rejected, pair.role]
        assert (a.selected, b.selected) == (True, False)
        assert a.episode.task_id == b.episode.task_id == pair.task_id
        assert a.score - b.score == pair.margin >= margin
        assert pair.shared == shared_turns(a.episode, b.episode, pair.role)
        task = TASK if pair.task_id == TASK.id else OTHER
        seen = [view(task, pair.role, item.episode.turns[: pair.shared]) for item in (a, b)]
        assert seen[0] == seen[1]
        one, other = sides(task, pair, a.episode, b.episode)
        good, bad = said(one.messages, one.trained), said(other.messages, other.trained)
        assert good
        assert bad
        assert GARBAGE not in good
        assert good != bad
        if pair.kind == "action":
            here = [item.episode.turns[pair.shared] for item in (a, b)]
            assert {turn.role for turn in here} == {pair.role}
            assert (len(good), len(bad)) == (1, 1)
            assert one.messages[:-1] == other.messages[:-1] == messages(seen[0])
    for side in ("preferred", "rejected"):
        uses = Counter((getattr(pair, side), pair.role) for pair in found)
        assert max(uses.values(), default=0) <= most
    assert len(set(found)) == len(found)
    random.shuffle(items)  # type: ignore[attr-defined]
    assert pairs(items, margin, most) == found


@given(rated())
def test_whoever_can_be_paired_is(items: list[Rated]) -> None:
    """A selected role without a pair has nobody it could be paired with who is not taken as often as may be."""
    found = pairs(items, 1.0)
    used = Counter((pair.rejected, pair.role) for pair in found)
    paired = {(pair.preferred, pair.role) for pair in found}
    for item in items:
        if item.selected and (item.episode.key, item.role) not in paired:
            for other in items:
                if (other.episode.task_id, other.role) == (item.episode.task_id, item.role) and not other.selected:
                    full = used[other.episode.key, other.role] >= MOST_PAIRS
                    assert full or not pairs([item, other], 1.0)


def test_a_valid_nothing_is_an_action() -> None:
    silent = played("a", Turn(role=0, action=NOTHING, raw=NOTHING.to_json()))
    pair = only(silent, played("b", nothing(0)))
    assert pair is not None
    assert pair.kind == "action"
    assert said(*_chat(pair, silent, played("b", nothing(0)), 0)) == [NOTHING.to_json()]


@pytest.mark.parametrize("role", [0, 1])
def test_no_side_shows_what_the_role_could_not_see(role: int) -> None:
    a = played("a", turn(0, "Nineteen."), turn(1, "Twelve."), turn(0, "Eighteen."), turn(1, "Fine."))
    b = played("b", turn(0, "Nineteen."), nothing(1), turn(0, "Nineteen!"), turn(1, "Never."))
    pair = only(a, b, role)
    assert pair is not None
    other = TASK.scenario.goals[1 - role]
    for side in sides(TASK, pair, a, b):
        text = "\n".join(message["content"] for message in side.messages)
        assert other not in text
        assert (GARBAGE in text) == (role == 1 and side.episode == "b")
