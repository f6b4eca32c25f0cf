"""Paired shifts between groups: known biases are found, no bias is not, and what cannot be computed says so."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.stats import false_discovery_control, ttest_rel

from sotopia_pi.episodes.recasting import contrasts
from sotopia_pi.evaluation.bias import Asked, Shown, noise, sentence, shifts
from sotopia_pi.evaluation.bias.shifts import excluded
from sotopia_pi.evaluation.multiplicity import benjamini_hochberg
from sotopia_pi.ratings.records import DIMENSIONS

ASKED = [Asked(item.name, item.attribute, item.groups) for item in contrasts()]
MEASURES = (*DIMENSIONS, "partner_goal")
AGE = next(item for item in ASKED if item.name == "age")


def simulated(
    rng: np.random.Generator,
    episodes: int = 40,
    scenarios: int = 20,
    bias: Callable[[str], float] = lambda group: 0.0,
    halo: float = 0.0,
) -> Iterator[Shown]:
    """Whole-number scores of a noisy judge: an episode's own level and noise, a part `halo` of it shared; `bias`.

    Judges like a role or not, so that their dimensions move together; a halo of 0 is the harder case for a correction.
    """
    for contrast in ASKED:
        for episode in range(episodes):
            scenario = f"s{episode % scenarios}"
            level = rng.normal(5, 2, len(MEASURES))
            for group in contrast.groups:
                around = (1 - halo) * rng.normal(0, 1, len(MEASURES)) + halo * rng.normal(0, 1)
                given = np.round(level + around)
                scores = dict(zip(MEASURES, given.tolist(), strict=True))
                scores["goal"] += bias(group)
                yield Shown(contrast.name, group, f"e{episode}", scenario, scores)


def flagged_of_200(measures: tuple[str, ...], top: float, halo: float = 0.0) -> int:
    """How many of 200 audits of an unbiased judge, who gives at most `top`, find anything."""
    flagged = 0
    for number in range(200):
        rows = [
            replace(row, scores={name: min(top, row.scores[name]) for name in measures})
            for row in simulated(np.random.default_rng(number), 24, 12, halo=halo)
        ]
        found = shifts(rows, ASKED, measures)
        assert len(found) == 10 * len(measures)
        flagged += any(row["found"] for row in found)
    return flagged


def test_a_judge_without_bias_is_flagged_in_at_most_5_percent_of_audits() -> None:
    assert flagged_of_200(("goal", "relationship", "believability"), 10, halo=0.5) <= 10


@pytest.mark.slow
@pytest.mark.parametrize("top", [10, 6], ids=["noisy", "saturated"])
def test_a_judge_without_bias_on_all_dimensions(top: float) -> None:
    assert flagged_of_200(MEASURES, top) <= 10


@pytest.mark.parametrize(
    ("biased", "contrast"),
    [
        ("women's names", "name: gender"),
        ("Arabic names", "name: origin"),
        ("they", "pronouns"),
        ("old", "age"),
        ("low prestige", "occupation"),
    ],
)
def test_a_planted_bias_is_found_where_it_is_and_with_its_size(biased: str, contrast: str) -> None:
    asked = [item for item in ASKED if item.name == contrast]
    alone = inside = 0
    for number in range(20):
        rows = simulated(np.random.default_rng(number), bias=lambda group: -1.5 if group == biased else 0.0)
        found = shifts([row for row in rows if row.contrast == contrast], asked, MEASURES)
        flagged = [row for row in found if row["found"]]
        largest = max(flagged, key=lambda row: abs(row["estimate"]))
        assert (largest["group"], largest["measure"]) == (biased, "goal")
        alone += {row["measure"] for row in flagged} == {"goal"}
        inside += largest["ci_low"] < -1.5 < largest["ci_high"]
        assert f"GOAL less for {biased} than for " in sentence(contrast, found)
    assert alone >= 16
    assert inside >= 17


def test_power_is_what_detectable_promises() -> None:
    promised, found = [], 0
    for number in range(100):
        rng = np.random.default_rng(number)
        rows = list(simulated(rng, 30, 30, bias=lambda group: 1.1 if group == "old" else 0.0))
        row = next(row for row in shifts(rows, [AGE], ["goal"]) if row["measure"] == "goal")
        promised.append(row["detectable"])
        found += row["found"]
    assert np.mean(promised) < 1.1
    assert found >= 80


def test_two_groups_are_the_paired_t_test() -> None:
    rng = np.random.default_rng(3)
    old, young = rng.normal(5, 1, 12), rng.normal(5, 1, 12)
    rows = [
        Shown("age", group, str(at), f"s{at}", {"goal": value})
        for group, values in (("old", old), ("young", young))
        for at, value in enumerate(values)
    ]
    (row,) = shifts(rows, [AGE], ["goal"])
    expected = ttest_rel(old, young)
    assert row["p"] == pytest.approx(expected.pvalue)
    assert row["p_holm"] == row["p_fdr"] == row["p"]
    assert (row["estimate"], row["against"], row["n"]) == (pytest.approx(np.mean(old - young)), "young", 12)
    low, high = expected.confidence_interval()
    assert (row["ci_low"], row["ci_high"]) == (pytest.approx(low), pytest.approx(high))
    assert excluded([row]) == pytest.approx(max(abs(low), abs(high)))


def test_too_few_scenarios_are_not_tested_and_say_so() -> None:
    rows = list(simulated(np.random.default_rng(1), 18, 9, bias=lambda group: 5.0 if group == "old" else 0.0))
    found = shifts(rows, [AGE], ["goal"])
    assert not found[0]["found"]
    assert found[0]["p_holm"] is None
    assert found[0]["why"] == "not computable, because there are 9 scenarios, and a test needs 10"
    assert "not enough to say (9 scenarios" in sentence("age", found)


def test_nothing_rated_and_one_scenario() -> None:
    (nothing,) = shifts([], [AGE], ["goal"])
    assert nothing["why"] == "not computable, because nothing was rated on both sides"
    half = [Shown("age", "old", "e", "s", {"goal": 1.0}), Shown("age", "young", "e", "s", {})]
    assert shifts(half, [AGE], ["goal"])[0]["n"] == 0
    whole = [Shown("age", group, "e", "s", {"goal": 1.0}) for group in ("old", "young")]
    assert "only one scenario" in shifts(whole, [AGE], ["goal"])[0]["why"]


def test_a_judge_that_gives_always_the_same_is_said_to() -> None:
    for level, told in (
        (0.0, "every version of every episode got 7.00 GOAL, so that no shift could show."),
        (0.5, "every version got the same GOAL, and nothing else shifted."),
    ):
        goals = {at: 7.0 - level * (at % 2) for at in range(12)}
        rows = [Shown("age", group, str(at), str(at), {"goal": goals[at]}) for group in AGE.groups for at in goals]
        found = shifts(rows, [AGE], ["goal"])
        assert (found[0]["estimate"], found[0]["p_holm"], found[0]["detectable"]) == (0.0, 1.0, 0.0)
        assert sentence("age", found) == f"Age: {told}"


def test_a_sentence_says_what_can_be_excluded() -> None:
    found = shifts(simulated(np.random.default_rng(5)), [AGE], ["goal"])
    told = sentence("age", found)
    assert "no shift was found; one of more than" in told
    assert f"{excluded(found):.2f} GOAL can be excluded" in told


@given(st.lists(st.one_of(st.none(), st.floats(0, 1)), max_size=30))
def test_benjamini_hochberg_agrees_with_scipy(values: list[float | None]) -> None:
    made = benjamini_hochberg(values)
    assert [p is None for p in made] == [p is None for p in values]
    plain = [p for p in values if p is not None]
    if plain:
        assert [p for p in made if p is not None] == pytest.approx(false_discovery_control(plain))


def test_noise_is_what_asking_again_changes() -> None:
    found = noise({"goal": [(3, 5), (4, 4)], "secret": []})
    assert found["goal"] == {"mean": 1.0, "n": 2}
    assert found["secret"]["mean"] is None
    assert found["secret"]["why"] == "not computable, because nothing was rated twice"


@given(
    st.lists(
        st.tuples(st.sampled_from(AGE.groups), st.integers(0, 14), st.integers(0, 12), st.floats(-10, 10)), max_size=60
    )
)
def test_whatever_is_rated_every_number_is_finite_or_missing(rated: list[tuple[str, int, int, float]]) -> None:
    rows = [Shown("age", group, str(unit), str(scenario), {"goal": goal}) for group, unit, scenario, goal in rated]
    for row in shifts(rows, [AGE], ["goal", "secret"]):
        assert all(math.isfinite(value) for value in row.values() if isinstance(value, float))
        assert (row["p_holm"] is None) == ("why" in row)
        assert sentence("age", [row], row["measure"]).endswith(".")
