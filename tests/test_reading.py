"""Reading outcomes out of loose language: which words are offers, and rules that hold for all words."""

from __future__ import annotations

import time
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from sotopia_pi.episodes.reading import Reading, Terms, read_fact, read_negotiation, said_guarded
from sotopia_pi.episodes.records import NOTHING, Action, ActionType
from sotopia_pi.episodes.views import Seen
from sotopia_pi.world.checks import DivisionSide, MeetingSide, PriceSide

BIKE = PriceSide(item="bike", sells=True, limit=180, target=300, listed=300)
SHARES = DivisionSide(counts={"book": 3, "hat": 2, "glass box": 1}, values={"book": 1, "hat": 2, "glass box": 3})
TIMES = MeetingSide("time", ("Tuesday 10:00", "Wednesday 14:00", "Friday 9:00"), {})
SIDES: list[Any] = [BIKE, SHARES, TIMES]


def heard(*turns: str | tuple[str, str]) -> tuple[Seen, ...]:
    """Turns of role 0 and 1 in alternation; a pair is an action type and words."""
    made = []
    for index, turn in enumerate(turns):
        kind, words = turn if isinstance(turn, tuple) else ("speak", turn)
        made.append(Seen(index % 2, Action(type=ActionType(kind), argument=words)))
    return tuple(made)


def offer(side: Any, words: str) -> Terms | None:
    return read_negotiation(side, heard(words)).offers.get(0)


@pytest.mark.parametrize(
    ("words", "price"),
    [
        ("I could do $240.", 240),
        ("How about $180?", 180),
        ("Deal at $210.", 210),
        ("I ask 1,250 dollars.", 1250),
        ("It's 1.2k.", 1200),
        ("Twelve hundred dollars.", 1200),
        ("one thousand two hundred and five dollars", 1205),
        ("Let's say 225 bucks.", 225),
        ("How about ninety-five?", 95),
        ("I paid $400 for it, but I could let it go for $250.", 250),
        ("Would you take 200 for the bike?", 200),
        ("The most I can do is 200.", 200),
        ("I'd go as high as $200.", 200),
        ("$200, not more than that.", 200),
        ("Since you want $300, I'd say $260.", 260),
        ("It'll cost you $260.", 260),
        ("Instead of $300, let us agree on $260.", 260),
        ("I can come down from $300 to $260.", 260),
    ],
)
def test_words_that_offer_a_price(words: str, price: float) -> None:
    assert offer(BIKE, words) == price


@pytest.mark.parametrize(
    "words",
    [
        "I paid $400 for it.",
        "You said $300.",
        "I can't go above $200.",
        "I won't pay $300.",
        "$300 is too much.",
        "New ones go for $500.",
        "Someone else offered $250.",
        "It is 25 years old and has 21 gears.",
        "I bought it in 2020.",
        "I can come at 5 pm or at 18:30.",
        "It is 95% new.",
        "Could you knock $20 off?",
        "The repair would cost me $50.",
        "I ride 100 miles a week.",
        "$20 for the helmet, if you want it.",
        "That is $40 less than I hoped for.",
    ],
)
def test_words_that_offer_no_price(words: str) -> None:
    assert offer(BIKE, words) is None


def test_a_named_accessory_can_be_the_item() -> None:
    lamp = PriceSide(item="desk lamp", sells=False, limit=60, target=30, listed=60)
    assert offer(lamp, "How about $45 for the desk lamp?") == 45


@pytest.mark.parametrize(
    ("words", "own"),
    [
        ("I keep 2 books and 1 hat; you get 1 book, 1 hat and the glass box.", (2, 1, 0)),
        ("I take two books and the glass box, you get the rest.", (2, 0, 1)),
        ("You get the glass box and one hat, I keep everything else.", (3, 1, 0)),
        ("The books for you, everything else for me.", (0, 2, 1)),
        ("One hat each, the books are mine and the glass box is yours.", (3, 1, 0)),
        ("Split the hats evenly; I take all the books, you take the glass box.", (3, 1, 0)),
        ("Give me the hats and I leave the books and the glass box to you.", (0, 2, 0)),
    ],
)
def test_words_that_offer_a_division(words: str, own: tuple[int, ...]) -> None:
    share = dict(zip(SHARES.counts, own, strict=True))
    other = {item: count - share[item] for item, count in SHARES.counts.items()}
    assert offer(SHARES, words) == (share, other)
    assert read_negotiation(SHARES, (Seen(1, heard(words)[0].action),)).offers == {1: (other, share)}


@pytest.mark.parametrize(
    "words",
    ["I want the hats.", "I take 4 books, you get the rest.", "Let's split everything evenly.", "I like books."],
)
def test_words_that_offer_no_division(words: str) -> None:
    assert offer(SHARES, words) is None


@pytest.mark.parametrize(
    ("words", "option"),
    [
        ("Could we meet at Tuesday 10:00?", "Tuesday 10:00"),
        ("How about wednesday?", "Wednesday 14:00"),
        ("2 pm on Wednesday would be good.", "Wednesday 14:00"),
        ("At 9 o'clock in the morning?", "Friday 9:00"),
        ("Tuesday doesn't work for me. Friday?", "Friday 9:00"),
        ("Friday doesn't work for me.", None),
        ("Wednesday at 10:00?", None),
        ("You said Friday.", None),
    ],
)
def test_words_that_offer_a_time(words: str, option: str | None) -> None:
    assert offer(TIMES, words) == option


def test_several_offers_of_a_turn_are_all_kept() -> None:
    reading = read_negotiation(TIMES, heard("Either Tuesday or Friday works for me."))
    assert reading.also == {0: ("Tuesday 10:00", "Friday 9:00")}
    assert reading.offers == {0: "Friday 9:00"}


def test_offers_stand_until_they_are_replaced_or_withdrawn() -> None:
    history = heard("$280.", "$180.", "$250.", "Hm.", "The $250 offer is off the table.")
    assert read_negotiation(BIKE, history[:2]).offers == {0: 280, 1: 180}
    assert read_negotiation(BIKE, history[:4]).offers == {0: 250, 1: 180}
    assert read_negotiation(BIKE, history).offers == {1: 180}


def test_rejected_tells_about_the_last_turn() -> None:
    history = heard("$280.", "That is too much for me.", "Well, it is a good bike.")
    assert read_negotiation(BIKE, history[:2]).rejected
    assert not read_negotiation(BIKE, history).rejected
    assert not read_negotiation(BIKE, heard("$280.", "How about $250?")).rejected


def test_nothing_said_is_nothing_read() -> None:
    assert read_negotiation(BIKE, ()) == Reading()
    assert read_negotiation(BIKE, (Seen(0, NOTHING), Seen(1, Action(type=ActionType.LEAVE)))) == Reading()


TRAILING = st.sampled_from(
    [
        "Thanks!",
        "Thank you, see you tomorrow.",
        "Great, I'll bring cash.",
        "Bye!",
        "Have a nice day.",
        "It was a pleasure.",
        "See you then.",
        "Perfect, when can I come by?",
    ]
)


@given(st.lists(TRAILING, max_size=5), st.integers(0, 2))
def test_an_agreement_outlives_thanks_and_arrangements(trailing: list[str], kind: int) -> None:
    words = ("I could do $240.", "I take the books, you get the rest.", "Tuesday 10:00?")[kind]
    agreed = read_negotiation(SIDES[kind], heard(words, "Agreed.")).agreed
    assert agreed is not None
    assert read_negotiation(SIDES[kind], heard(words, "Agreed.", *trailing)).agreed == agreed


@given(st.integers(20, 5000))
def test_every_price_offered_and_accepted_is_the_price_agreed(price: int) -> None:
    for text in (f"${price}", f"${price:,}", f"{price} dollars"):
        assert read_negotiation(BIKE, heard(f"I could do {text}.", "Deal!")).agreed == price


_CUES = (
    "deal", "no", "not", "$200", "$1,200", "220", "but", "if", "or", "I", "you", "take", "back", "books", "2 hats",
    "the rest", "each", "Tuesday", "10:00", "works", "?", ".", ",", "okay", "too much", "forget", "<0>", "@1", "half",
    "split", "everything", "glass box", "red", "it is", "yes", "two", "hundred", "and", "-", "%", "\u00bd", "\u2026",
)  # fmt: skip
WORDS = st.one_of(st.text(max_size=200), st.lists(st.sampled_from(_CUES), max_size=25).map(" ".join))
KINDS = st.sampled_from([kind.value for kind in ActionType])


@settings(max_examples=300)
@given(st.lists(st.tuples(st.integers(0, 1), KINDS, WORDS), max_size=8))
def test_any_words_can_be_read(turns: list[tuple[int, str, str]]) -> None:
    history = [Seen(role, Action(type=ActionType(kind), argument=words)) for role, kind, words in turns]
    for side in SIDES:
        reading = read_negotiation(side, history)
        assert reading.agreed is None or reading.undecided is None
        assert reading == read_negotiation(side, history)
    division = read_negotiation(SHARES, history).agreed
    if division is not None:
        assert isinstance(division, tuple)
        assert {item: division[0][item] + division[1][item] for item in SHARES.counts} == SHARES.counts
    reading_of_fact = read_fact("the bus colour", "red", ("red", "blue"), history, 0)
    assert not reading_of_fact.told or reading_of_fact.claimed == "red"
    said_guarded("fox", history, 0)


@pytest.mark.parametrize(
    "piece",
    [
        "a",
        "1",
        "$",
        " ",
        "\n",
        ",",
        "no ",
        "two ",
        "hundred ",
        "$1 ",
        "1,",
        "if you ",
        "the ",
        "\ufdfa",
        "\u0301",
        "ok ",
    ],
)
def test_a_megabyte_of_anything_is_read_at_once(piece: str) -> None:
    history = heard(piece * (1_000_000 // len(piece)), "Deal.")
    started = time.perf_counter()
    for side in SIDES:
        read_negotiation(side, history)
    read_fact("the bus colour", "red", ("red", "blue"), history, 0)
    said_guarded("fox", history, 0)
    assert time.perf_counter() - started < 3


def test_a_guarded_word_is_found_wherever_it_is_hidden() -> None:
    assert said_guarded("fox", heard("x " * 10_000 + "ＦＯＸ"), 0)
    assert said_guarded("bake", heard("We were baking."), 0)
    assert said_guarded("cherry", heard("I like cherries."), 0)
    assert not said_guarded("fox", heard("I'd rather play the foxtrot."), 0)
    assert not said_guarded("fox", heard("Hello.", "A fox!"), 0)


def test_a_conversation_is_read_fast_enough_for_every_turn() -> None:
    history = heard(*["I like it, but I paid $400 and could only do $240 today.", "Hm, how about $180, in cash?"] * 10)
    read_negotiation(BIKE, history)
    started = time.perf_counter()
    for _ in range(20):
        read_negotiation(BIKE, history)
    assert (time.perf_counter() - started) / 20 < 0.1
