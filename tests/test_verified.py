"""Generated verified scenarios: solvable, short, private, deterministic, and disjoint across splits."""

from __future__ import annotations

import re
from itertools import combinations, product

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from sotopia_pi.errors import ConfigError
from sotopia_pi.world.checks import DivisionCheck, FactCheck, MeetingCheck, PriceCheck
from sotopia_pi.world.records import Relationship, Scenario
from sotopia_pi.world.verified import KINDS, SPLITS, entries, generate
from sotopia_pi.world.verified.catalogue import FACTS, PLACES, PRICES, THINGS

CASES = list(product(KINDS, SPLITS))


def numbers(text: str) -> list[float]:
    return [float(number) for number in re.findall(r"\d+(?:\.\d+)?", text)]


@pytest.mark.parametrize(("kind", "split"), CASES)
def test_a_smaller_count_gives_the_first_of_the_same_scenarios(kind: str, split: str) -> None:
    many = generate(kind, split, 60, seed=3)
    assert generate(kind, split, 60, seed=3) == many
    assert generate(kind, split, 17, seed=3) == many[:17]
    assert generate(kind, split, 60, seed=4) != many


@pytest.mark.parametrize(("kind", "split"), CASES)
def test_scenarios_are_distinct_short_and_generated(kind: str, split: str) -> None:
    scenarios = generate(kind, split, 150, seed=0)
    assert len({scenario.id for scenario in scenarios}) == 150
    assert len({(scenario.situation, scenario.goals) for scenario in scenarios}) == 150
    for scenario in scenarios:
        assert (scenario.kind, scenario.source, len(scenario.goals)) == (kind, "generated", 2)
        assert all(len(text.split()) <= 30 for text in (scenario.situation, *scenario.goals))
        assert "$$" not in scenario.situation and "{" not in scenario.situation + "".join(scenario.goals)
        assert scenario.check is not None and scenario.check.kind == kind
        assert Scenario.model_validate_json(scenario.model_dump_json()) == scenario


def test_relationships_are_mostly_strangers() -> None:
    counts = dict.fromkeys(Relationship, 0)
    for kind in KINDS:
        for scenario in generate(kind, "train", 100, seed=0):
            counts[scenario.relationship] += 1
    assert counts[Relationship.STRANGER] > 200
    assert counts[Relationship.KNOWS_NAME] > counts[Relationship.ACQUAINTANCE] > 0
    assert sum(counts.values()) == 400 == sum(counts[relationship] for relationship in (0, 1, 2))


def test_no_catalogue_entry_is_in_two_splits() -> None:
    for first, second in combinations(SPLITS, 2):
        assert entries(first) and not entries(first) & entries(second)
        assert not {name.split(": ")[1] for name in entries(first)} & {name.split(": ")[1] for name in entries(second)}
    assert sum(len(PRICES[split]) for split in SPLITS) >= 60


@pytest.mark.parametrize("kind", KINDS)
def test_no_scenario_is_in_two_splits(kind: str) -> None:
    made = {split: [s for seed in (0, 1, 2) for s in generate(kind, split, 150, seed)] for split in SPLITS}
    for first, second in combinations(SPLITS, 2):
        assert not {s.id for s in made[first]} & {s.id for s in made[second]}
        assert not {s.situation for s in made[first]} & {s.situation for s in made[second]}
        if kind != "meeting":  # the same times may suit a role for two occasions
            assert not {g for s in made[first] for g in s.goals} & {g for s in made[second] for g in s.goals}


def test_what_a_scenario_is_about_comes_from_its_split() -> None:
    for split in SPLITS:
        for kind in KINDS:
            for scenario in generate(kind, split, 60, seed=5):
                assert about(scenario) <= entries(split)


def about(scenario: Scenario) -> set[str]:
    match scenario.check:
        case PriceCheck(item=item):
            return {f"price: {item}"}
        case DivisionCheck(counts=counts):
            return {f"division: {thing}" for thing in counts}
        case MeetingCheck(what=what, options=options):
            occasion = re.fullmatch(r"You want to (.*) together\. .*", scenario.situation)
            assert occasion is not None
            return {f"occasion: {occasion[1]}"} | ({f"place: {o}" for o in options} if what == "place" else set())
        case FactCheck(subjects=subjects, guarded_subjects=guarded):
            return {f"fact: {subject}" for subject in (*subjects, *guarded)}
    raise AssertionError(scenario)


@settings(max_examples=30)
@given(st.sampled_from(SPLITS), st.integers(0, 10**9))
def test_prices_leave_room_and_are_round(split: str, seed: int) -> None:
    for scenario in generate("price", split, 5, seed):
        check = scenario.check
        assert isinstance(check, PriceCheck)
        low, high = check.limits[check.seller], check.limits[1 - check.seller]
        ask, bid = check.targets[check.seller], check.targets[1 - check.seller]
        assert 0.3 <= (high - low) / ((high + low) / 2) <= 0.6
        assert low < ask <= check.listed and bid < high and bid < ask
        step = 10 if check.listed >= 100 else 5
        assert all(amount % step == 0 for amount in (low, high, ask, bid, check.listed))
        assert numbers(scenario.situation) == [check.listed]
        for role in (0, 1):
            assert numbers(scenario.goals[role]) == [check.targets[role], check.limits[role]]
            assert scenario.goals[role].startswith("Sell" if role == check.seller else "Buy")


def test_both_roles_sell() -> None:
    sellers = {s.check.seller for s in generate("price", "test", 30, 0) if isinstance(s.check, PriceCheck)}
    assert sellers == {0, 1}


@settings(max_examples=20)
@given(st.sampled_from(SPLITS), st.integers(0, 10**9))
def test_divisions_can_be_traded(split: str, seed: int) -> None:
    for scenario in generate("division", split, 3, seed):
        check = scenario.check
        assert isinstance(check, DivisionCheck)
        assert len(check.counts) == 3 and 5 <= sum(check.counts.values()) <= 6
        assert all(1 <= count <= 3 for count in check.counts.values())
        assert check.values[0] != check.values[1]
        assert all(value == int(value) for values in check.values for value in values.values())
        assert sum(max(a, check.values[1][thing]) * check.counts[thing] for thing, a in check.values[0].items()) >= 13
        for role in (0, 1):
            told = [*check.counts.values(), *check.values[role].values()]
            assert sorted(numbers(scenario.goals[role])) == sorted(told)


@settings(max_examples=20)
@given(st.sampled_from(SPLITS), st.integers(0, 10**9))
def test_meetings_conflict_and_have_a_compromise(split: str, seed: int) -> None:
    for scenario in generate("meeting", split, 3, seed):
        check = scenario.check
        assert isinstance(check, MeetingCheck) and len(set(check.options)) == 5
        favourites = [max(values, key=lambda option, v=values: v[option]) for values in check.values]
        assert favourites[0] != favourites[1]
        assert max(min(check.values[0][option], check.values[1][option]) for option in check.options) >= 4
        words = [word for option in check.options for word in option.split()]
        assert len(set(words)) == len(words)
        for role in (0, 1):
            for option, value in check.values[role].items():
                assert f"{option} ({value:g})" in scenario.goals[role] or (
                    value == 0 and option in scenario.goals[role].split("Impossible")[1]
                )


@settings(max_examples=20)
@given(st.sampled_from(SPLITS), st.integers(0, 10**9))
def test_facts_share_no_answer(split: str, seed: int) -> None:
    for scenario in generate("fact", split, 3, seed):
        check = scenario.check
        assert isinstance(check, FactCheck)
        options = {option.lower() for group in check.options for option in group}
        assert len(options) == 8 and not {word.lower() for word in check.guarded} & options
        assert len({*check.subjects, *check.guarded_subjects}) == 4
        for role in (0, 1):
            assert check.answers[role] in scenario.goals[role] and check.guarded[role] in scenario.goals[role]
            assert check.guarded[1 - role] not in scenario.goals[role]
            assert check.subjects[1 - role] in scenario.situation


def test_names_can_be_told_apart() -> None:
    for split in SPLITS:
        words = [word for place in PLACES[split] for word in place.split()]
        assert len(set(words)) == len(words)
        assert all(not thing.endswith(("s", "x", "y", "ch", "sh")) and " " not in thing for thing in THINGS[split])
        for answers in FACTS[split].values():
            assert len(set(answers)) == 4 and all(" " not in answer for answer in answers)


@pytest.mark.parametrize(("kind", "split"), [("duel", "train"), ("price", "validation")])
def test_unknown_names_are_refused(kind: str, split: str) -> None:
    with pytest.raises(ConfigError, match="there is no"):
        generate(kind, split, 1, 0)
