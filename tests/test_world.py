"""The starter world is complete and fair, files of users are read or refused clearly, and casting fits."""

from __future__ import annotations

import json
import random
import re
from collections import Counter
from itertools import combinations, permutations
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from sotopia_pi.errors import WorldError
from sotopia_pi.world import (
    AgeRange,
    Casting,
    Character,
    Relationship,
    Scenario,
    SocialTask,
    cast,
    load_characters,
    load_scenarios,
    load_tasks,
    load_ties,
    starter_world,
)

WORLD = starter_world()
TRAIN, TEST = WORLD.scenarios["train"], WORLD.scenarios["test"]
OPEN = TRAIN + TEST
KINDS = {"norms", "dilemma", "negotiation", "persuasion", "shared friends", "dividing"}
LEVELS = {frozenset(tie.names): tie.relationship for tie in WORLD.ties}
GENDERED = re.compile(
    r"\b(s?he|his|hers?|him|(him|her)self|(wo)?m[ae]n|mother|father|brother|sister|husband|wife|son|daughter"
    r"|boyfriend|girlfriend|uncle|aunt|niece|nephew|lady|gentleman|waitress|waiter)\b",
    re.IGNORECASE,
)


def words(text: str) -> list[str]:
    return re.findall(r"[^\W\d_]+", text)


def texts(scenario: Scenario) -> str:
    return " ".join((scenario.situation, *scenario.goals))


def level(one: Character, other: Character) -> Relationship:
    return LEVELS.get(frozenset((one.name, other.name)), Relationship.STRANGER)


# The starter world


def test_starter_world_counts() -> None:
    assert len(WORLD.characters) >= 44
    assert len(WORLD.ties) >= 70
    assert len(OPEN) >= 66
    assert len(TEST) >= 20
    assert {tie.relationship for tie in WORLD.ties} == set(Relationship) - {Relationship.STRANGER}
    assert {scenario.relationship for scenario in TRAIN} == set(Relationship)
    assert {scenario.relationship for scenario in TEST} == set(Relationship)
    for scenarios in (TRAIN, TEST):
        kinds = Counter(scenario.kind for scenario in scenarios)
        assert set(kinds) == KINDS
        assert min(kinds.values()) >= 3
        assert any(casting.age != AgeRange() for scenario in scenarios for casting in scenario.casting)
        assert any(casting.occupations for scenario in scenarios for casting in scenario.casting)


def test_starter_characters_are_complete_adult_short_and_different() -> None:
    limits = {"public_info": 18, "personality": 14, "secret": 14, "big_five": 8}
    for person in WORLD.characters:
        assert all(person.model_dump().values()), person.name
        assert 18 <= person.age <= 80
        assert person.decision_style in {"directive", "analytical", "conceptual", "behavioral"}
        assert len(person.moral_values) == len(person.schwartz_values) == 2
        for field, limit in limits.items():
            assert len(getattr(person, field).split()) <= limit, (person.name, field)
    for field in ("name", "public_info", "personality", "secret"):
        assert max(Counter(getattr(person, field) for person in WORLD.characters).values()) == 1
    assert max(Counter(person.name.split()[0] for person in WORLD.characters).values()) == 1
    assert len({person.gender for person in WORLD.characters}) >= 3
    assert len({person.occupation for person in WORLD.characters}) >= 40
    assert min(person.age for person in WORLD.characters) < 20
    assert max(person.age for person in WORLD.characters) > 75


def test_starter_ties_name_different_known_characters_once() -> None:
    ages = {person.name: person.age for person in WORLD.characters}
    assert len(LEVELS) == len(WORLD.ties)
    assert all(len(words(tie.background)) >= 3 for tie in WORLD.ties)
    counts = Counter(tie.relationship for tie in WORLD.ties)
    assert min(counts.values()) >= 10
    for tie in WORLD.ties:
        gap = abs(ages[tie.names[0]] - ages[tie.names[1]])
        assert tie.relationship != Relationship.ROMANTIC or gap <= 10, tie


def test_starter_scenarios_are_open_two_role_and_unique() -> None:
    assert len({scenario.id for scenario in OPEN}) == len(OPEN)
    for scenario in OPEN:
        assert len(scenario.goals) == 2
        assert scenario.goals[0] != scenario.goals[1]
        assert not scenario.verified
        assert scenario.source == "starter world"


def test_starter_scenarios_name_nobody_and_are_gender_neutral() -> None:
    names = {part for person in WORLD.characters for part in words(person.name)}
    for scenario in OPEN:
        assert not names & set(words(texts(scenario))), scenario.situation
        assert not GENDERED.search(texts(scenario)), scenario.situation


def test_train_and_test_scenarios_are_disjoint() -> None:
    assert not {scenario.id for scenario in TRAIN} & {scenario.id for scenario in TEST}
    lines = [{text.lower() for s in split for text in (s.situation, *s.goals)} for split in (TRAIN, TEST)]
    assert not lines[0] & lines[1]


def test_no_two_starter_scenarios_are_alike() -> None:
    """Two scenarios share less than a third of their words of five letters or more (Jaccard)."""
    bags = {s.situation: {word.lower() for word in words(texts(s)) if len(word) >= 5} for s in OPEN}
    for (one, left), (other, right) in combinations(bags.items(), 2):
        assert len(left & right) / len(left | right) < 1 / 3, (one, other)


@pytest.mark.parametrize("scenario", OPEN, ids=lambda scenario: scenario.situation[:40])
def test_every_starter_scenario_can_be_cast_with_two_pairs(scenario: Scenario) -> None:
    tasks = cast(scenario, WORLD.characters, WORLD.ties, seed=1, count=10_000)
    assert len({frozenset(person.name for person in task.characters) for task in tasks}) >= 2


# Casting


def scenario_for(relationship: Relationship, *casting: Casting, roles: int = 2) -> Scenario:
    return Scenario(
        situation="Somebody waits.",
        goals=tuple(f"Goal {role}." for role in range(roles)),
        relationship=relationship,
        casting=casting,
        kind="test",
        source="test",
    )


ages = st.tuples(st.integers(15, 95), st.integers(15, 95)).map(sorted).map(lambda x: AgeRange(low=x[0], high=x[1]))
jobs = st.lists(
    st.sampled_from([person.occupation for person in WORLD.characters] + ["Nurse", "astronaut"]), max_size=12
)
castings = st.builds(Casting, age=ages, occupations=jobs.map(tuple))


@settings(max_examples=60)
@given(st.sampled_from(Relationship), st.one_of(st.just(()), st.tuples(castings, castings)), st.integers(1, 12))
def test_casting_gives_exactly_what_fits_or_says_that_nobody_does(
    relationship: Relationship, casting: tuple[Casting, ...], count: int
) -> None:
    scenario = scenario_for(relationship, *casting)
    fitting = {
        (one.name, other.name)
        for one, other in permutations(WORLD.characters, 2)
        if level(one, other) == relationship and scenario.casting_of(0).fits(one) and scenario.casting_of(1).fits(other)
    }
    if not fitting:
        with pytest.raises(WorldError, match=r"(age of role|occupation of role|relationship)"):
            cast(scenario, WORLD.characters, WORLD.ties, seed=3, count=count)
        return
    found = [
        tuple(person.name for person in task.characters)
        for task in cast(scenario, WORLD.characters, WORLD.ties, seed=3, count=count)
    ]
    assert len(found) == len(set(found)) == min(count, len(fitting))
    assert set(found) <= fitting


@settings(max_examples=20)
@given(st.sampled_from(OPEN), st.integers(), st.randoms(use_true_random=False))
def test_casting_does_not_depend_on_input_order(scenario: Scenario, seed: int, shuffler: random.Random) -> None:
    people, ties = list(WORLD.characters), list(WORLD.ties)
    shuffler.shuffle(people)
    shuffler.shuffle(ties)
    assert cast(scenario, people, ties, seed, 5) == cast(scenario, WORLD.characters, WORLD.ties, seed, 5)


def test_casting_appends_with_count_and_changes_with_seed() -> None:
    scenario = scenario_for(Relationship.FRIEND)
    tasks = cast(scenario, WORLD.characters, WORLD.ties, 7, 10)
    assert cast(scenario, WORLD.characters, WORLD.ties, 7) == tasks[:1]
    assert cast(scenario, WORLD.characters, WORLD.ties, 8, 10) != tasks


def test_casting_returns_all_when_fewer_fit_and_counts_both_orders() -> None:
    three = [
        person for person in WORLD.characters if person.name in {"Ngozi Adeyemi", "Tunde Adeyemi", "Gia Marchetti"}
    ]
    found = cast(scenario_for(Relationship.FAMILY), three, WORLD.ties, 0, 99)
    assert {tuple(p.name for p in task.characters) for task in found} == {
        ("Ngozi Adeyemi", "Tunde Adeyemi"),
        ("Tunde Adeyemi", "Ngozi Adeyemi"),
    }


def test_casting_more_than_two_roles_relates_all_of_them() -> None:
    (task,) = cast(scenario_for(Relationship.FAMILY, roles=3), WORLD.characters, WORLD.ties, 5)
    assert len({person.name for person in task.characters}) == 3
    assert all(level(one, other) == Relationship.FAMILY for one, other in combinations(task.characters, 2))


@pytest.mark.parametrize(
    ("casting", "relationship", "named"),
    [
        (
            (Casting(age=AgeRange(low=95, high=99)), Casting()),
            Relationship.STRANGER,
            "age of role 0: nobody is 95 to 99",
        ),
        ((Casting(), Casting(occupations=("astronaut",))), Relationship.STRANGER, "occupation of role 1: .*astronaut"),
        (
            (Casting(age=AgeRange(high=19)), Casting(age=AgeRange(high=19))),
            Relationship.ROMANTIC,
            r"relationship: .*level 4 \(romantic\)",
        ),
    ],
)
def test_casting_names_the_constraint_nobody_fits(
    casting: tuple[Casting, ...], relationship: Relationship, named: str
) -> None:
    with pytest.raises(WorldError, match=f'"Somebody waits.": {named}.*, or leave this scenario out'):
        cast(scenario_for(relationship, *casting), WORLD.characters, WORLD.ties, 0)


def test_casting_refuses_a_count_of_nothing() -> None:
    with pytest.raises(ValueError, match="count must be at least 1"):
        cast(OPEN[0], WORLD.characters, WORLD.ties, 0, count=0)


# Files of users

PERSON = WORLD.characters[0].model_dump(mode="json")
OTHER = WORLD.characters[1].model_dump(mode="json")
SCENARIO = OPEN[0].model_dump(mode="json")
TASK = cast(OPEN[0], WORLD.characters, WORLD.ties, 0)[0].model_dump(mode="json")
TIE = {"names": [PERSON["name"], OTHER["name"]], "relationship": 5}


def test_lists_and_json_lines_read_the_same(tmp_path: Path) -> None:
    listed, lines = tmp_path / "a.json", tmp_path / "b.jsonl"
    listed.write_text("\ufeff" + json.dumps([PERSON, OTHER], indent=2), encoding="utf-8")
    lines.write_text(f"{json.dumps(PERSON)}\n\n{json.dumps(OTHER, ensure_ascii=False)}\r\n", encoding="utf-8")
    assert load_characters(listed) == load_characters(str(lines)) == WORLD.characters[:2]


def test_scenarios_ties_and_tasks_read_back(tmp_path: Path) -> None:
    path = tmp_path / "rows.json"
    path.write_text(json.dumps([scenario.model_dump(mode="json") for scenario in OPEN]))
    assert load_scenarios(path) == OPEN
    path.write_text(json.dumps([tie.model_dump(mode="json") for tie in WORLD.ties]))
    assert load_ties(path) == load_ties(path, WORLD.characters) == WORLD.ties
    path.write_text(json.dumps([TASK]))
    assert load_tasks(path) == (SocialTask.model_validate(TASK),)


def test_a_world_may_have_no_ties(tmp_path: Path) -> None:
    path = tmp_path / "ties.json"
    path.write_text("[]")
    assert load_ties(path, WORLD.characters) == ()


@pytest.mark.parametrize(
    ("content", "said"),
    [
        ("", "has no rows; add at least one"),
        ("[]", "has no rows; add at least one"),
        ("[{]", "line 1, column 3: not valid JSON"),
        (json.dumps(PERSON) + "\n{oops}", "line 2, column 2: not valid JSON"),
        (json.dumps(PERSON, indent=1), "line 1, column 2: not valid JSON .*one JSON object per line"),
        ("[" * 100_000, "nested too deeply"),
        ("[" + "9" * 5000 + "]", "not valid JSON .a number in it is too long"),
        ("[3]", "row 1: expected a JSON object with the fields name, age"),
        (json.dumps([PERSON, OTHER | {"hobby": "go"}]), "row 2, field hobby: unknown field; remove it"),
        (json.dumps([PERSON, OTHER | {"age": 17}]), "row 2, field age: characters must be adults; give an age of 18"),
        (json.dumps([PERSON | {"age": "old"}]), "row 1, field age: .*correct the value"),
        (json.dumps([PERSON | {"name": ""}]), "row 1, field name: "),
        (json.dumps([PERSON | {"name": " \t"}]), "row 1, field name: a name is one line and not empty; correct"),
        (json.dumps([PERSON | {"name": "Ada\nMoss"}]), "row 1, field name: a name is one line"),
        (json.dumps([PERSON | {"name": "Ada\u2028"}]), "row 1, field name: a name is one line"),
        (
            json.dumps([PERSON | {"name": "\ud800"}]),
            "row 1, field name: the text holds NUL or half",
        ),
        (json.dumps([PERSON | {"secret": "a\0b"}]), "row 1, field secret: the text holds NUL"),
        (json.dumps([OTHER, PERSON | {"moral_values": ["care", "\udfff"]}]), "row 2, field moral_values.1: the text"),
        (json.dumps([{"name": "A"}]), "row 1, field age: missing; add it"),
        (json.dumps([PERSON, OTHER, PERSON]), "row 3: the name 'Ngozi Adeyemi' stands already in row 1; change"),
    ],
)
def test_bad_character_files_are_refused_with_the_place(tmp_path: Path, content: str, said: str) -> None:
    path = tmp_path / "people.json"
    path.write_text(content, encoding="utf-8")
    with pytest.raises(WorldError, match=f"people.json.*{said}"):
        load_characters(path)


def test_unreadable_files_are_refused(tmp_path: Path) -> None:
    with pytest.raises(WorldError, match=r"none.json cannot be read \(No such file.*check the path"):
        load_characters(tmp_path / "none.json")
    with pytest.raises(WorldError, match="cannot be read"):
        load_scenarios(tmp_path)
    (tmp_path / "latin.json").write_bytes('[{"name": "Zoë"}]'.encode("latin-1"))
    with pytest.raises(
        WorldError, match=r"latin.json cannot be read .it is not UTF-8 text .line 1, byte 14.; save it as UTF-8"
    ):
        load_tasks(tmp_path / "latin.json")


@pytest.mark.parametrize(
    ("row", "said"),
    [
        (
            TIE | {"names": [PERSON["name"], "Nobody Known"]},
            "row 2, field names: no character is called 'Nobody Known'",
        ),
        (TIE | {"names": [PERSON["name"], PERSON["name"]]}, "row 2, field names: .* is tied to itself"),
        (TIE | {"names": [OTHER["name"], PERSON["name"]]}, "row 2: the pair .* stands already in row 1"),
        (TIE | {"relationship": 6}, "row 2, field relationship: "),
        (TIE | {"since": 1990}, "row 2, field since: unknown field"),
        (TIE | {"background": "\ud800"}, "row 2, field background: the text holds NUL or half"),
    ],
)
def test_bad_ties_are_refused(tmp_path: Path, row: dict[str, object], said: str) -> None:
    path = tmp_path / "ties.json"
    path.write_text(json.dumps([TIE, row]))
    with pytest.raises(WorldError, match=said):
        load_ties(path, WORLD.characters)


@pytest.mark.parametrize(
    ("row", "said"),
    [
        (SCENARIO, "row 2: the scenario .* stands already in row 1"),
        (SCENARIO | {"situation": "\n"}, "row 2, field situation: a scenario needs a situation; correct the value"),
        (
            SCENARIO | {"situation": "A \udead end."},
            "row 2, field situation: the text holds NUL",
        ),
        (SCENARIO | {"goals": ["Fine.", "\0"]}, "row 2, field goals.1: the text holds NUL"),
        (SCENARIO | {"goals": ["Only one."]}, "row 2, field goals: "),
        (SCENARIO | {"goals": ["One.", " "]}, "row 2, field goals: every role needs a goal; correct the value"),
        (SCENARIO | {"casting": [{}]}, "row 2, Scenario: 1 castings for 2 goals; correct the row"),
        (SCENARIO | {"casting": [{"job": 1}, {}]}, "row 2, field casting.0.job: unknown field"),
    ],
)
def test_bad_scenarios_are_refused(tmp_path: Path, row: dict[str, object], said: str) -> None:
    path = tmp_path / "scenarios.json"
    path.write_text(json.dumps([SCENARIO, row]))
    with pytest.raises(WorldError, match=said):
        load_scenarios(path)


def test_bad_tasks_are_refused(tmp_path: Path) -> None:
    path = tmp_path / "tasks.jsonl"
    path.write_text(f"{json.dumps(TASK)}\n{json.dumps(TASK)}")
    with pytest.raises(WorldError, match=r"line 2: the task .* stands already in line 1"):
        load_tasks(path)
    path.write_text(json.dumps(TASK | {"characters": [PERSON, OTHER | {"age": 12}]}))
    with pytest.raises(WorldError, match=r"line 1, field characters.1.age: characters must be adults"):
        load_tasks(path)
    path.write_text(json.dumps(TASK | {"characters": [PERSON, PERSON]}))
    with pytest.raises(WorldError, match="line 1, SocialTask: two roles are played by characters of the same name"):
        load_tasks(path)
