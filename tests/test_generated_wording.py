"""What a reply must be: every rule catches what it is for, says what to do, and leaves good scenarios alone."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from sotopia_pi.models.fake_scenarios import MISBEHAVIOURS, scenario_answer
from sotopia_pi.models.protocol import Message
from sotopia_pi.world import AgeRange, Casting, starter_world
from sotopia_pi.world.generation import Cast, Violation, read_scenario
from sotopia_pi.world.generation.drafts import SCHEMA, example
from sotopia_pi.world.generation.wording import gendered, minor_role, named

WORLD = starter_world()
PEOPLE = Cast(WORLD.characters, WORLD.ties)
NAMES = [character.name for character in WORLD.characters]
GOOD: dict[str, Any] = {
    "situation": "Two friends share an allotment and have found a nest of hedgehogs under the shed.",
    "goals": ["You want to tear the shed down this week.", "Keep the shed standing until the animals have left."],
    "relationship": 3,
    "ages": [[18, 120], [30, 60]],
    "occupations": [[], []],
}


def read(**changes: Any) -> Any:
    return read_scenario(json.dumps({**GOOD, **changes}), "norms", "test", PEOPLE)


def violation(**changes: Any) -> Violation:
    with pytest.raises(Violation) as caught:
        read(**changes)
    return caught.value


def test_a_good_reply_becomes_a_scenario() -> None:
    made = read_scenario(f"Here it is:\n```json\n{json.dumps(GOOD)}\n``` Enjoy {{!}}", "norms", "test", PEOPLE)
    assert made.situation == GOOD["situation"]
    assert made.goals == tuple(GOOD["goals"])
    assert made.casting == (Casting(), Casting(age=AgeRange(low=30, high=60)))
    assert (made.relationship, made.kind, made.source, made.check) == (3, "norms", "test", None)
    assert read(title="x", check={"kind": "price"}, id=4) == made  # what a scenario does not have is not taken
    assert read(ages=None, occupations=None, relationship="3").casting == ()
    assert read(occupations=[["Baker", "baker"], []]).casting[0].occupations == ("baker",)


@pytest.mark.parametrize("scenario", [s for split in WORLD.scenarios.values() for s in split], ids=lambda s: s.id)
def test_every_starter_scenario_keeps_the_rules(scenario: Any) -> None:
    assert read_scenario(example(scenario), scenario.kind, scenario.source, PEOPLE) == scenario


def test_examples_fit_the_schema() -> None:
    shown = json.loads(example(WORLD.scenarios["train"][0]))
    assert list(shown) == SCHEMA.schema["required"] == list(SCHEMA.schema["properties"])


@pytest.mark.parametrize(
    ("changes", "rule", "says"),
    [
        ({"goals": GOOD["goals"][:1]}, "two goals", "exactly two"),
        ({"goals": [*GOOD["goals"], "A third goal for nobody at all."]}, "two goals", "exactly two"),
        ({"goals": "abc"}, "two goals", "exactly two"),
        ({"goals": [GOOD["goals"][0], " "]}, "two goals", "not empty"),
        ({"goals": [GOOD["goals"][0], None]}, "two goals", "not empty"),
        ({"goals": [GOOD["goals"][0], GOOD["goals"][0].upper()]}, "two goals", "same goal"),
        ({"situation": None}, "fields", "not empty"),
        ({"situation": "Hm."}, "length", "1 words"),
        ({"situation": "long " * 121}, "length", "121 words"),
        ({"relationship": 6}, "fields", "0 (strangers) to 5"),
        ({"relationship": True}, "fields", "0 (strangers) to 5"),
        ({"relationship": "²"}, "fields", "0 (strangers) to 5"),
        ({"relationship": 3.5}, "fields", "0 (strangers) to 5"),
        ({"ages": [[17, 40], [18, 120]]}, "adults", "at least 18"),
        ({"ages": [[-(10**400), 40], [18, 120]]}, "adults", "at least 18"),
        ({"ages": [[40, 30], [18, 120]]}, "fields", "youngest to the oldest"),
        ({"ages": [[18, 400], [18, 120]]}, "fields", "at most 120"),
        ({"ages": [[18.5, 40], [18, 120]]}, "fields", "whole numbers"),
        ({"ages": [[18, 40]]}, "fields", "one entry per player"),
        ({"ages": [[119, 120], [18, 120]]}, "nobody fits", "nobody is 119 to 120"),
        ({"occupations": [["dragon tamer"], []]}, "nobody fits", "dragon tamer"),
        ({"occupations": [[3], []]}, "fields", "list of texts"),
        ({"situation": f"{GOOD['situation']} Agent 1 is angry."}, "markup", "Agent 1"),
        ({"situation": f"{GOOD['situation']} <b>Now</b>"}, "markup", "<b>"),
        ({"situation": f"{GOOD['situation']} [name] waits."}, "markup", "[name]"),
        ({"situation": f"{GOOD['situation']} {{place}}"}, "markup", "{place}"),
        ({"situation": f"{GOOD['situation']}\x00"}, "markup", "control characters"),
        ({"situation": f"{GOOD['situation']}\ud800"}, "markup", "control characters"),
        ({"situation": f"{GOOD['situation']} Her shed is old."}, "gender", "they, them, their"),
        ({"goals": [GOOD["goals"][0], "Win over your friend's wife, who owns the key."]}, "gender", "partner"),
        ({"situation": f"Maria and her friend share it. {GOOD['situation']}"}, "gender", "her"),
        ({"situation": f"It belongs to Maria. {GOOD['situation']}"}, "name", "Maria"),
        ({"situation": f"Tunde has the key. {GOOD['situation']}"}, "name", "Tunde"),
        ({"goals": [GOOD["goals"][0], "You are a teenager and fear the dark shed."]}, "adults", "must be adults"),
        ({"situation": "Two friends garden. One secretly wants to sell the plot."}, "private goal", "secretly"),
        ({"situation": "Two friends garden. The first person's goal is to sell it."}, "private goal", "goal"),
        ({"situation": f"{GOOD['situation']} {GOOD['goals'][1]}"}, "private goal", "repeats goal 2"),
    ],
)  # fmt: skip
def test_what_breaks_a_rule_is_named(changes: dict[str, Any], rule: str, says: str) -> None:
    found = violation(**changes)
    assert found.rule == rule
    assert says in str(found)
    assert len(str(found)) < 400


@pytest.mark.parametrize(
    "reply", ["", "no", "{", '{"situation": ', "[1, 2]", "{]}", '{"a":' * 5_000 + "1" + "}" * 5_000]
)
def test_what_is_no_object_is_refused(reply: str) -> None:
    with pytest.raises(Violation) as caught:
        read_scenario(reply, "k", "s", PEOPLE)
    assert caught.value.rule in ("no JSON", "fields")


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=20),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3),
    max_leaves=6,
)


@given(st.dictionaries(st.sampled_from(list(GOOD)), JSON))
@settings(max_examples=300)
def test_any_json_is_read_or_refused_with_a_reason(changes: dict[str, Any]) -> None:
    try:
        made = read(**changes)
    except Violation as error:
        assert str(error) and error.rule
    else:
        assert len(made.goals) == 2 and all(casting.age.low >= 18 for casting in made.casting)


@given(st.text(max_size=400))
def test_any_text_is_read_or_refused_with_a_reason(reply: str) -> None:
    with pytest.raises(Violation, match=r"\w"):
        read_scenario(reply, "k", "s", PEOPLE)


# Words


@pytest.mark.parametrize(
    ("text", "word"),
    [
        ("Ask him to wait.", "him"),
        ("SHE knows.", "SHE"),
        ("It is the mother’s coat.", "mother's"),
        ("Your brother-in-law calls.", "brother-in-law"),
        ("A policewoman comes in.", "policewoman"),
        ("Their fiancée is late.", "fiancée"),
        ("Ask them and their sibling.", None),
        ("The woman's hat", "woman's"),
        ("Human kindness, a manual, a mandate, a hero, and the others", None),
        ("Manage the heritage of the shed.", None),
    ],
)
def test_words_that_say_a_gender(text: str, word: str | None) -> None:
    found = gendered(text)
    assert (found and found[0]) == word
    assert found is None or found[1]


@pytest.mark.parametrize(
    ("text", "name"),
    [
        ("You owe money to Fatima since May.", "Fatima"),
        ("Wei's bicycle is broken.", "Wei"),
        ("Ngozi Adeyemi is here.", "Ngozi"),
        ("Ask ngozi adeyemi about it.", "Ngozi Adeyemi"),
        ("A dog called Rexo barks.", "called Rexo"),
        ("Ask Dr. Okonjo about it.", "Dr. Okonjo"),
        ("Zorblat and Quimby share a room.", "Zorblat and Quimby"),
        ("You hope Will pays.", "Will"),
        ("Will the neighbour pay? Mark the date. Hope is left.", None),
        ("The film starts in Paris on Monday in June.", None),
        ("Speak Spanish and French. The Internet is slow.", None),
        ("You mean the dean of the law school.", None),
    ],
)
def test_names(text: str, name: str | None) -> None:
    assert named(text, NAMES) == name


@pytest.mark.parametrize(
    "text",
    [
        "You are a teenager who wants a motorbike.",
        "You're only a shy child at heart and in years.",
        "You are 15 years old and late.",
        "You are just 16, and want to vote.",
        "Two teenagers argue over a bike.",
        "Two young kids play.",
        "Both high school students failed.",
        "A pupil and a teacher talk.",
        "A 12-year-old asks a neighbour for work.",
        "Two people meet; one of them is a minor.",
        "One of them is 17 years old.",
    ],
)
def test_minors_in_a_role(text: str) -> None:
    assert minor_role(text) is not None


@pytest.mark.parametrize(
    "text",
    [
        "You are worried about your child.",
        "You are a child minder with three charges.",
        "You are 15 minutes late and at stop 5.",
        "You are a parent of a teenager.",
        "Two parents of children in one class meet.",
        "Two school teachers plan a trip with kids.",
        "You are 45 years old.",
        "Both have children.",
        "A kids' football coach waits.",
        "Two kids' coaches argue.",
    ],
)
def test_adults_may_speak_of_children(text: str) -> None:
    assert minor_role(text) is None


# The fake that writes scenarios


def chat(note: str, *more: str) -> list[Message]:
    texts = ["system", f"Note: {note}", *more]
    return [Message(role="user", content=text) for text in texts]


@given(st.text(max_size=30), st.integers(0, 2**63))
@settings(max_examples=60)
def test_the_fake_writes_valid_scenarios(note: str, seed: int) -> None:
    assert len(read_scenario(scenario_answer()(chat(note), seed), "k", "s", PEOPLE).goals) == 2
    assert scenario_answer()(chat(note), seed) == scenario_answer()(chat(note), seed)


@pytest.mark.parametrize("way", MISBEHAVIOURS)
def test_every_misbehaviour_of_the_fake_breaks_a_rule(way: str) -> None:
    with pytest.raises(Violation):
        read_scenario(scenario_answer(every=1, ways=(way,))(chat("x"), 1), "k", "s", PEOPLE)
