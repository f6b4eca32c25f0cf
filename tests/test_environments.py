"""Verified kinds: terms decide, words must name them, no side knows the other, and every draw has room for both."""

from __future__ import annotations

from itertools import pairwise
from typing import Any

import pytest
from checks import CHECKS, DIVISION, FAVOUR, FRIEND, HIRING, KINDS, MEETING, PRICE, SPLITS, drawn
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError

from sotopia_pi.environments import FIN, GOAL, TermsError, agreement, environment, generate, kinds, registry
from sotopia_pi.environments.base import ChoiceField, NumberField
from sotopia_pi.environments.division import DivisionCheck
from sotopia_pi.environments.favour import FavourCheck, Gift
from sotopia_pi.environments.friend import FriendCheck, Known, Person
from sotopia_pi.environments.hiring import Contract, HiringCheck
from sotopia_pi.environments.meeting import MeetingCheck
from sotopia_pi.environments.price import PriceCheck
from sotopia_pi.errors import ConfigError


def test_the_kinds_are_found_by_name() -> None:
    assert kinds() == KINDS
    assert environment("price").kind == "price"
    with pytest.raises(ConfigError, match=r"did you mean price or friend\? The kinds are division, favour"):
        environment("prise")
    with pytest.raises(ConfigError, match=r"there is no verified kind 'zzz'\. The kinds are"):
        environment("zzz")


def test_a_package_offers_a_kind_by_an_entry_point(monkeypatch: pytest.MonkeyPatch) -> None:
    class Swap(type(environment("price"))):  # type: ignore[misc]
        """A kind of somebody else's."""

    class Point:
        name, value = "swap", "theirs:Swap"

        def load(self) -> type:
            return Swap

    monkeypatch.setattr(registry, "_REGISTERED", dict(registry._REGISTERED))
    monkeypatch.setattr(registry, "entry_points", lambda group: [Point()])
    registry._load.cache_clear()
    try:
        assert "swap" in kinds()
        assert environment("swap").kind == "swap"
        assert environment("price").kind == "price"
        monkeypatch.setattr(Point, "load", lambda self: 3)
        registry._load.cache_clear()
        with pytest.raises(ConfigError, match="must name an Environment class"):
            kinds()
    finally:
        registry._load.cache_clear()


@pytest.mark.parametrize("kind", KINDS)
def test_splits_share_no_entries_and_scenarios_repeat_for_a_seed(kind: str) -> None:
    env = environment(kind)
    entries = [set(env.entries(split)) for split in SPLITS]
    assert not (entries[0] & entries[1] or entries[0] & entries[2] or entries[1] & entries[2])
    more = generate(kind, "train", 30, 5)
    assert generate(kind, "train", 12, 5) == more[:12]
    assert len({(task.situation, task.goals) for task in more}) == 30
    assert generate(kind, "train", 3, 6) != more[:3]
    with pytest.raises(ConfigError, match="there is no split"):
        generate(kind, "exam", 1, 1)


@given(drawn())
def test_every_draw_has_room_for_both(case: Any) -> None:
    env, check = case
    best = max(env.together(check, terms) for terms in env.outcomes(check))
    both = [
        terms
        for terms in (*env.candidates(check.side(0)), *env.candidates(check.side(1)))
        if all(env.within(check.side(role), terms) and env.points(check, role, terms) > 0 for role in (0, 1))
    ]
    assert both
    assert best > 9.9
    assert max(env.together(check, terms) for terms in both) > 0.7 * best


@given(drawn())
def test_check_survives_storage_and_texts_are_short(case: Any) -> None:
    env, check = case
    assert env.check_type.model_validate(check.model_dump(mode="json")) == check
    assert len(env.situation(check)) < 260
    for role in (0, 1):
        assert len(env.goal(check.side(role))) < 240
        assert len(env.notation(check.side(role))) < 120


@given(drawn())
def test_writing_and_reading_are_inverse_for_both_roles_and_words_name_terms(case: Any) -> None:
    env, check = case
    for role in (0, 1):
        side = check.side(role)
        for terms in env.candidates(side)[:40]:
            assert env.parse(side, env.write(side, terms)) == terms
            assert env.parse(side, f"  {env.write(side, terms)}. ".replace(", ", ",  ")) == terms
            env.check_words(side, terms, f"How about {env.words(side, terms)}?", [])
            assert env.named(side, terms, env.write(side, terms))


@given(drawn())
def test_scores_are_within_bounds_and_nothing_without_an_agreement(case: Any) -> None:
    env, check = case
    assert [scores[GOAL] for scores in env.scores(check, None)] == [0, 0]
    for terms in env.candidates(check.side(0))[::7]:
        for role, scores in enumerate(env.scores(check, terms)):
            assert 0 <= scores[GOAL] <= 10
            assert -5 <= scores.get(FIN, 0) <= 5
            assert scores.keys() == env.scores(check, None)[role].keys()
            if not env.within(check.side(role), terms):
                assert scores[GOAL] == 0
        assert 0 <= env.joint_share(check, terms) <= 1 + 1e-9


@given(drawn())
def test_scores_rise_with_worth(case: Any) -> None:
    env, check = case
    for role in (0, 1):
        side = check.side(role)
        ranked = sorted(env.candidates(side), key=lambda terms: env.worth(side, terms))
        goals = [env.scores(check, terms)[role][GOAL] for terms in ranked]
        if env.kind != "friend":  # who it is cannot be known from one list
            assert all(first <= second + 1e-9 for first, second in pairwise(goals))


OTHERS: dict[str, Any] = {
    "price": {"limits": (200, 260), "targets": (290, 150)},
    "division": {"values": (DIVISION.values[0], {"coin": 2, "pen": 0, "hat": 2})},
    "meeting": {"values": (MEETING.values[0], {"Monday 8:00": 10, "Tuesday 15:00": 1, "Friday 9:00": 0})},
    "hiring": {"weights": ((6, 2, 2), (0, 4, 6)), "late": (True, True), "least": (2, 1)},
    "friend": {
        "lists": (FRIEND.lists[0], (FRIEND.lists[0][1], Person("Ada", "zoo", "chess"), Person("Eva", "zoo", "chess")))
    },
    "favour": {"limits": (10, 90, 20)},
}


@pytest.mark.parametrize("kind", KINDS)
def test_a_side_carries_nothing_of_the_partner(kind: str) -> None:
    """Checks that differ only in the partner's numbers look the same to role 0, in its texts and preferences too."""
    env, check = environment(kind), CHECKS[kind]
    other = type(check).model_validate({**check.model_dump(), **OTHERS[kind]})
    assert other != check
    assert other.side(0) == check.side(0)
    assert other.side(1) != check.side(1)
    assert env.situation(other) == env.situation(check)
    assert env.goal(other.side(0)) == env.goal(check.side(0))
    assert hash(other.side(0)) == hash(check.side(0))


@given(st.lists(st.tuples(st.integers(0, 1), st.none() | st.integers(0, 3)), max_size=12))
def test_an_agreement_is_two_consecutive_turns_with_equal_terms(turns: list[tuple[int, int | None]]) -> None:
    pairs = [
        index
        for index in range(1, len(turns))
        if turns[index][1] is not None
        and turns[index][1] == turns[index - 1][1]
        and turns[index][0] != turns[index - 1][0]
    ]
    found = agreement(turns)
    assert (found.turn if found else None) == (pairs[0] if pairs else None)
    if found:
        assert agreement(turns[: found.turn]) is None
        assert agreement([*turns[: found.turn + 1], (0, 9), (1, 9)]) == found  # locked


def test_a_division_is_equal_from_both_sides() -> None:
    env = environment("division")
    mine = env.parse(DIVISION.side(0), "2 coins, 1 pen")
    assert env.parse(DIVISION.side(1), "1 coin and 2 hats") == mine
    assert env.write(DIVISION.side(1), mine) == "1 coin, 2 hats"
    assert agreement([(0, mine), (1, env.parse(DIVISION.side(1), {"hats": 2, "coin": 1}))])


READ = [
    ("price", "$230", 230.0),
    ("price", "230", 230.0),
    ("price", 230, 230.0),
    ("price", 230.5, 230.5),
    ("price", {"price": 230}, 230.0),
    ("price", {"price": "$230"}, 230.0),
    ("price", "1,200 dollars", 1200.0),
    ("price", "USD 230", 230.0),
    ("price", "$230.50", 230.5),
    ("price", "$ 230.", 230.0),
    ("division", "2 coins, 1 pen", (2, 1, 0)),
    ("division", "two coins and a pen", (2, 1, 0)),
    ("division", "1 PEN, 0 hats", (0, 1, 0)),
    ("division", "nothing", (0, 0, 0)),
    ("division", "everything", (3, 1, 2)),
    ("division", {"coins": 2, "pen": 1}, (2, 1, 0)),
    ("division", {"coin": 2.0}, (2, 0, 0)),
    ("meeting", "tuesday  15:00", "Tuesday 15:00"),
    ("meeting", "on Tuesday at 15:00", "Tuesday 15:00"),
    ("meeting", {"time": "Monday 8:00"}, "Monday 8:00"),
    ("hiring", "$40,000, 2 days, June", Contract(40000, 2, "June")),
    ("hiring", "start in june, 40000, two days at home", Contract(40000, 2, "June")),
    ("hiring", "0 days, $44,000 and August", Contract(44000, 0, "August")),
    ("hiring", {"salary": 40000, "days": 2, "start": "July"}, Contract(40000, 2, "July")),
    ("hiring", {"salary": "$40,000", "days": "1", "start": "july"}, Contract(40000, 1, "July")),
    ("friend", "Mia", Known("Mia", "")),
    ("friend", "mia, bakery", Known("Mia", "bakery")),
    ("friend", "Mia from the bakery", Known("Mia", "bakery")),
    ("friend", "Mia who likes chess", Known("Mia", "chess")),
    ("friend", {"person": "Mia, chess"}, Known("Mia", "chess")),
    ("favour", "$20 for a piano", Gift(20.0, "a piano")),
    ("favour", "20 dollars for the piano", Gift(20.0, "a piano")),
    ("favour", {"amount": 20, "purpose": "robes"}, Gift(20.0, "robes")),
]


@pytest.mark.parametrize(("kind", "value", "terms"), READ)
def test_what_is_unambiguous_is_read(kind: str, value: object, terms: object) -> None:
    assert environment(kind).parse(CHECKS[kind].side(0), value) == terms


ANY_KIND = ["?", "x" * 10_000, "deal", "whatever you want", True, ["$230", "$240"], {}, {"offer": "$230"}, -1, 1e300]
REFUSED: list[tuple[str, object, str]] = [
    *((kind, value, "") for kind in KINDS for value in ANY_KIND),
    ("price", "$220 or $230", "not several"),
    ("price", "$220-$230", "not several"),
    ("price", "-$230", "one amount"),
    ("price", "$0", "between"),
    ("price", "$999999", "between \\$0.01 and \\$2,900"),
    ("price", "€230", "in dollars"),
    ("price", "230 pounds", "in dollars"),
    ("price", "two thirty", "such as"),
    ("price", "$２３０", "digits 0 to 9"),
    ("price", "$2٣0", "digits 0 to 9"),
    ("price", "1.2k", "such as"),
    ("price", "$1e5", "such as"),
    ("price", "23,0", "such as"),
    ("price", {"price": 230, "gift": "strap"}, "one value for each of price"),
    ("price", {"price": {"price": 230}}, "such as"),
    ("hiring", {"salary": 40000, "days": 2}, "salary, days and start"),
    ("division", "4 coins", "only 3 coins"),
    ("division", "-1 coins", "below 0"),
    ("division", "2 coins, 1 coin", "twice"),
    ("division", "2 vases", "no vases"),
    ("division", "coins", "number before"),
    ("division", "2.5 coins", "number before"),
    ("division", "２ coins", "digits"),
    ("division", {"coins": 1.5}, "whole number"),
    ("division", {"coins": 1, "coin": 2}, "one whole number"),
    ("division", {"coins": None}, "whole number"),
    ("meeting", "Tuesday", "possible times"),
    ("meeting", "Tuesday 15:00 or Friday 9:00", "possible times"),
    ("meeting", "Tuеsday 15:00", "possible times"),  # a Cyrillic letter
    ("meeting", "Sunday 9:00", "possible times"),
    ("hiring", "$40,000, 2 days", "lack start"),
    ("hiring", "$40,000, 2 days, 3 days, June", "two days"),
    ("hiring", "$41,000, 2 days, June", "must be \\$36,000"),
    ("hiring", "$40,000.50, 2 days, June", "must be"),
    ("hiring", "$40,000, 9 days, June", "0 to 4"),
    ("hiring", "$40,000, 2 days, May", "must be in"),
    ("hiring", "€40,000, 2 days, June", "in dollars"),
    ("friend", "Zoe", "you know"),
    ("friend", "Mia, bank", "true thing"),
    ("friend", "Mia, bakery, chess", "true thing"),
    ("friend", "Мia", "you know"),
    ("friend", "Miap", "you know"),
    ("favour", "$20", "such as"),
    ("favour", "$20 for the roof", "a gift is for"),
    ("favour", "$2000 for robes", "between"),
    ("favour", "$20 for robes and trips", "a gift is for"),
    ("favour", "$20 for robes, $10 for trips", ""),
    ("favour", "-$20 for robes", "one amount"),
]


@pytest.mark.parametrize(("kind", "value", "reason"), REFUSED)
def test_everything_else_is_refused_with_a_sentence(kind: str, value: object, reason: str) -> None:
    for role in (0, 1):
        with pytest.raises(TermsError, match=reason or None) as error:
            environment(kind).parse(CHECKS[kind].side(role), value)
        assert 15 < len(str(error.value)) < 300


@given(
    st.sampled_from(KINDS),
    st.text(max_size=30)
    | st.integers()
    | st.floats()
    | st.dictionaries(st.text(max_size=5), st.text(max_size=5), max_size=2),
)
def test_no_value_does_more_than_be_refused(kind: str, value: object) -> None:
    env, side = environment(kind), CHECKS[kind].side(0)
    try:
        terms = env.parse(side, value)
    except TermsError:
        return
    assert env.parse(side, env.write(side, terms)) == terms


@pytest.mark.parametrize("kind", KINDS)
def test_nothing_declared_is_no_terms(kind: str) -> None:
    env, side = environment(kind), CHECKS[kind].side(0)
    assert env.declared(side, None) is None
    assert env.declared(side, " \n") is None
    with pytest.raises(TermsError):
        env.parse(side, "")


#: kind, terms, words, declared before (by the partner last), whether the words pass.
WORDS: list[tuple[str, str, str, list[str], bool]] = [
    ("price", "$230", "I could live with $230.", [], True),
    ("price", "$230", "Let us say 230, all right?", [], True),
    ("price", "$230", "230 dollars is what I have.", [], True),
    ("price", "$1,200", "I ask 1.2k or 1200.", [], True),
    ("price", "$230", "Two thirty and it is yours.", [], False),
    ("price", "$230", "A fair price, please.", [], False),
    ("price", "$230", "I could do $240.", [], False),
    ("price", "$230", "I can do $230, or $220 in cash.", [], False),
    ("price", "$230", "$250 is too much, I can do $230.", ["$250"], True),
    ("price", "$230", "$250 is too much, I can do $230.", [], False),
    ("price", "$230", "It is listed at $290, I ask $230.", [], True),
    ("price", "$230", "I am 33 and can do $230.", [], True),
    ("price", "$230", "10% off: $230.", [], True),
    ("price", "$230", "€230 would be fine.", [], False),
    ("price", "$230", "I say $230,000.", [], False),
    ("price", "$230", "I say $２３０.", [], False),
    ("price", "$230", "Deal!", ["$230"], True),
    ("price", "$230", "Deal!", ["$230", "$240"], False),  # what was offered before the last turn is a proposal again
    ("price", "$230", "Deal at $290!", ["$230"], True),  # the listed price is always known
    ("price", "$230", "Deal at $295!", ["$230"], False),
    ("division", "2 coins, 1 pen", "I take 2 coins and the pen.", [], True),
    ("division", "2 coins, 1 pen", "Two coins and a pen for me.", [], True),
    ("division", "2 coins, 1 pen", "You get 1 coin and 2 hats.", [], True),
    ("division", "2 coins, 1 pen", "I take 2 coins.", [], False),
    ("division", "2 coins, 1 pen", "I take 3 coins and 1 pen.", [], False),
    ("division", "2 coins, 1 pen", "There are 3 coins; I take 2 coins and 1 pen.", [], True),
    ("division", "2 coins, 1 pen", "2 coins and 1 pen for me, and 1 hat.", [], False),
    ("division", "2 coins, 1 pen", "Not 1 hat, but 2 coins and 1 pen.", ["1 hat"], True),
    ("division", "2 coins, 1 pen", "Agreed.", ["1 coin, 2 hats"], True),
    ("meeting", "Tuesday 15:00", "How about Tuesday at 15:00?", [], True),
    ("meeting", "Tuesday 15:00", "How about Tuesday?", [], False),
    ("meeting", "Tuesday 15:00", "Tuesday 15:00 or Friday 9:00.", [], False),
    ("meeting", "Tuesday 15:00", "Friday 9:00 is impossible. Tuesday 15:00?", ["Friday 9:00"], True),
    ("hiring", "$40,000, 2 days, June", "40k with two days at home from June.", [], True),
    ("hiring", "$40,000, 2 days, June", "$40,000 from June.", [], False),
    ("hiring", "$40,000, 2 days, June", "$40,000, 2 days at home, June; $42,000 later.", [], False),
    ("hiring", "$40,000, 2 days, June", "I work 5 days. $40,000, 2 days at home, June.", [], True),
    ("hiring", "$40,000, 2 days, June", "$40,000, 2 days, June or July.", [], False),
    ("friend", "Mia, bakery", "Do you know Mia from the bakery?", [], True),
    ("friend", "Mia, bakery", "Do you know Mia?", [], False),
    ("friend", "Mia, bakery", "Mia from the bakery, who likes chess?", [], True),
    ("friend", "Mia, bakery", "Mia from the bakery, or Tom?", [], False),
    ("friend", "Mia, bakery", "Not Tom. Mia from the bakery?", ["Tom, school"], True),
    ("favour", "$20 for a piano", "Would you give $20 for the piano?", [], True),
    ("favour", "$20 for a piano", "Would you give $20?", [], False),
    ("favour", "$20 for a piano", "$20 for the piano and $10 for robes.", [], False),
    ("favour", "$20 for a piano", "Not $5 for robes: $20 for a piano.", ["$5 for robes"], True),
]  # fmt: skip


@pytest.mark.parametrize(("kind", "terms", "words", "before", "passes"), WORDS)
def test_words_name_their_terms_and_no_others(
    kind: str, terms: str, words: str, before: list[str], passes: bool
) -> None:
    env, side, other = environment(kind), CHECKS[kind].side(0), CHECKS[kind].side(1)
    heard = [(1, env.parse(other, text)) for text in before]
    if passes:
        env.check_words(side, env.parse(side, terms), words, heard)
    else:
        with pytest.raises(TermsError, match="your words"):
            env.check_words(side, env.parse(side, terms), words, heard)


@given(drawn())
def test_a_filled_form_is_read(case: Any) -> None:
    env, check = case
    for role in (0, 1):
        side = check.side(role)
        filled: dict[str, object] = {}
        for field in env.form(side):
            match field:
                case NumberField():
                    filled[field.name] = str(int(field.low))
                case ChoiceField():
                    filled[field.name] = field.options[-1]
        assert env.write(side, env.parse(side, filled))


IMPOSSIBLE: list[tuple[type[Any], dict[str, object]]] = [
    (PriceCheck, {**PRICE.model_dump(), "limits": (300, 200)}),
    (PriceCheck, {**PRICE.model_dump(), "targets": (190, 180)}),
    (PriceCheck, {**PRICE.model_dump(), "listed": float("nan")}),
    (DivisionCheck, {**DIVISION.model_dump(), "counts": {"coin": 3, "pen": 1, "hat": 1}}),
    (DivisionCheck, {**DIVISION.model_dump(), "values": ({"coin": 10}, {"coin": 10})}),
    (MeetingCheck, {**MEETING.model_dump(), "options": ("Monday 8:00", "Monday")}),
    (MeetingCheck, {**MEETING.model_dump(), "values": (MEETING.values[0], {**MEETING.values[1], "Friday 9:00": 4})}),
    (HiringCheck, {**HIRING.model_dump(), "weights": ((6, 2, 2), (6, 2, 2))}),
    (HiringCheck, {**HIRING.model_dump(), "least": (9, 9)}),
    (HiringCheck, {**HIRING.model_dump(), "months": ("June", "Juno")}),
    (FriendCheck, {"lists": (FRIEND.lists[0], FRIEND.lists[0])}),
    (FriendCheck, {"lists": (FRIEND.lists[0], FRIEND.lists[1][1:])}),
    (FavourCheck, {**FAVOUR.model_dump(), "limits": (60, 60, 10)}),
    (FavourCheck, {**FAVOUR.model_dump(), "purposes": ("red robes", "robes", "trips")}),
]  # fmt: skip


@pytest.mark.parametrize(("check_type", "fields"), IMPOSSIBLE)
def test_a_check_cannot_be_built_wrong(check_type: type[Any], fields: dict[str, object]) -> None:
    with pytest.raises(ValidationError):
        check_type.model_validate(fields)


FORMULAS = [
    ("price", 230.0, (3.0, 7.0), 1.0),
    ("price", 190.0, (0.0, 10.0), 0.0),  # below the seller's limit
    ("division", (2, 1, 0), (8.0, 6.0), 14 / 16),
    ("division", (3, 1, 2), (10.0, 0.0), 10 / 16),
    ("meeting", "Tuesday 15:00", (6.0, 7.0), 1.0),
    ("meeting", "Friday 9:00", (0.0, 10.0), 0.0),
    ("hiring", Contract(36000, 4, "September"), (8.0, 6.0), 1.0),
    ("hiring", Contract(36000, 0, "June"), (8.0, 0.0), 0.0),  # below the applicant's least
    ("friend", Known("Mia", "chess"), (10.0, 10.0), 1.0),
    ("friend", Known("Tom", "school"), (0.0, 0.0), 0.0),
    ("favour", Gift(20.0, "robes"), (10 / 3, 20 / 3), 1.0),
    ("favour", Gift(20.0, "a piano"), (10 / 3, 10 / 6), 0.5),
    ("favour", Gift(20.0, "trips"), (10 / 3, 0.0), 0.0),  # more than the giver would give for it
]


@pytest.mark.parametrize(("kind", "terms", "goals", "joint"), FORMULAS)
def test_the_formulas(kind: str, terms: object, goals: tuple[float, float], joint: float) -> None:
    env, check = environment(kind), CHECKS[kind]
    assert [scores[GOAL] for scores in env.scores(check, terms)] == pytest.approx(goals)
    assert env.joint_share(check, terms) == pytest.approx(joint)
