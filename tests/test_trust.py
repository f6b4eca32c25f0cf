"""How far a judge can be trusted: planted faults are found, a judge without one is left alone, the sums are right."""

from __future__ import annotations

from collections import Counter

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.optimize import isotonic_regression

from sotopia_pi.evaluation.effects import shift, slope
from sotopia_pi.evaluation.multiplicity import holm
from sotopia_pi.evaluation.trust import Change, Judged, Pairing, conclude
from sotopia_pi.evaluation.trust.calibrating import calibration, isotonic, mapped
from sotopia_pi.evaluation.trust.flags import flags
from sotopia_pi.evaluation.trust.page import audit_page, audit_table
from sotopia_pi.evaluation.trust.stability import altered, compared, repeated
from sotopia_pi.evaluation.trust.truth import against_truth, trend

ORDER = ("base", "bc", "bc+sr")
FORMS = ("flattery", "order")


def judged(rng, fault, scenarios=30, policies=ORDER):
    """Rows of a simulated judge: truth from 2 to 8, noise of one point, effects that scenarios share, one fault."""
    rows = []
    for number in range(scenarios):
        ease = rng.normal(0, 0.3)
        for place, policy in enumerate(policies):
            for role in (0, 1):
                truth, words = float(rng.uniform(2, 8)), int(rng.integers(10, 60))
                given_ = truth + ease + rng.normal(0, 1)
                given_ += {"bias": 1.0, "length": words / 15, "grows": 0.8 * place, "score": -0.5 * truth}.get(fault, 0)
                given_ = 10.0 if fault == "saturated" and rng.random() < 0.6 else round(min(10, max(0, given_)))
                rows.append(
                    Judged(policy, f"s{number}", "price", f"{number}/{role}", words, words // 5, truth, float(given_))
                )
    return rows


def simulated(rng, fault=None, scenarios=30):
    """The parts of an audit of a simulated judge."""

    def again():
        return float(rng.normal(0, 3 if fault == "noisy" else 0.7))

    def changes(size=0.0, sign=False):
        return [
            Change(f"s{n}", 5.0, 5.0 + (s * size if sign else size) + again(), s if sign else 1, 5.0 + again())
            for n in range(scenarios)
            for s in (-1, 1)
        ]

    twice = [Pairing(f"s{n}", (5.0 + again(), 5.0 + again())) for n in range(scenarios) for _ in (0, 1)]
    return {
        "truth": against_truth(judged(rng, fault, scenarios), ORDER),
        "itself": {
            "repeat": repeated(twice),
            "swapped": altered(changes(1.0 if fault == "place listed" else 0.0, sign=True)),
            "begun": altered(changes(1.0 if fault == "place first" else 0.0, sign=True)),
            "reworded": altered(changes(-1.0 if fault == "rewording" else 0.0)),
        },
        "susceptibility": {form: altered(changes(1.0 if fault == form else 0.0)) for form in FORMS},
    }


def raised(parts):
    return {name for name, flag in flags(parts).items() if flag.raised}


FAULTS = ("bias", "length", "score", "saturated", "grows", "noisy", "place listed", "place first", "rewording", *FORMS)


@pytest.mark.parametrize("fault", FAULTS)
def test_a_planted_fault_is_found(fault):
    found = [fault in raised(simulated(np.random.default_rng(seed), fault)) for seed in range(10)]
    assert sum(found) >= 9


@pytest.mark.slow
def test_a_judge_without_a_fault_is_flagged_in_at_most_one_audit_in_twenty():
    alarms = [raised(simulated(np.random.default_rng(1000 + seed))) for seed in range(200)]
    assert sum(bool(alarm) for alarm in alarms) <= 10


@pytest.mark.parametrize(
    "measure",
    [
        lambda rng, s: shift(rng.normal(0, 1, len(s)).tolist(), s),
        lambda rng, s: slope(rng.uniform(0, 9, len(s)).tolist(), rng.normal(0, 1, len(s)).tolist(), s),
    ],
    ids=["shift", "slope"],
)
def test_each_interval_misses_zero_about_as_seldom_as_it_says(measure):
    labels = [f"s{n // 2}" for n in range(60)]
    found = [measure(np.random.default_rng(seed), labels) for seed in range(200)]
    assert sum(effect.p < 0.05 for effect in found) <= 18  # 5 % of 200, and two and a half standard errors
    assert all((effect.p < 0.05) == (effect.ci_low > 0 or effect.ci_high < 0) for effect in found)


def test_a_slope_is_that_of_least_squares():
    rng = np.random.default_rng(4)
    x, y = rng.uniform(0, 10, 40), rng.normal(0, 1, 40)
    found = slope(x.tolist(), (2 * x + y).tolist(), list(range(40)))
    assert found.estimate == pytest.approx(np.polyfit(x, 2 * x + y, 1)[0])
    assert found.ci_low < 2 < found.ci_high


def test_a_slope_that_rests_on_too_little_says_so():
    assert "three" in slope([1, 2], [1, 2], ["a", "b"]).why
    assert "the same everywhere" in slope([1, 1, 1], [1, 2, 3], ["a", "b", "c"]).why
    assert "a single scenario" in slope([1, 1, 5], [1, 2, 3], ["a", "b", "c"]).why
    assert "both sides" in shift([], []).why
    assert "one scenario" in shift([1.0, 2.0], ["a", "a"]).why


@given(st.lists(st.one_of(st.none(), st.floats(0, 1)), max_size=20))
def test_holm_never_lowers_a_p_and_keeps_their_order(values):
    found = holm(values)
    assert [p is None for p in found] == [p is None for p in values]
    pairs = [(p, q) for p, q in zip(values, found, strict=True) if p is not None and q is not None]
    assert all(p <= q <= 1 for p, q in pairs)
    assert [q for _, q in sorted(pairs)] == sorted(q for _, q in pairs)


def test_holm_is_as_published():
    assert holm([0.01, 0.04, None, 0.03]) == pytest.approx([0.03, 0.06, None, 0.06])


@given(st.lists(st.tuples(st.integers(0, 10), st.floats(0, 10)), min_size=1, max_size=60))
@settings(max_examples=60)
def test_isotonic_agrees_with_scipy(pairs):
    pairs = sorted(pairs)
    knots = isotonic([x for x, _ in pairs], [y for _, y in pairs])
    scores, counts = np.unique([x for x, _ in pairs], return_counts=True)
    means = [np.mean([y for x, y in pairs if x == score]) for score in scores]
    fitted = isotonic_regression(means, weights=counts).x.tolist()
    assert [mapped(knots, score) for score in scores.tolist()] == pytest.approx(fitted, abs=1e-9)
    assert {x for x, _ in knots} <= set(scores.tolist())
    assert max(Counter(y for _, y in knots).values()) <= 2


def test_a_calibration_takes_away_a_bias_and_says_by_how_much():
    rng = np.random.default_rng(5)
    truth = rng.uniform(0, 10, 200)
    given_ = np.round(5 + truth / 2)
    found = calibration(given_.tolist(), truth.tolist(), [f"s{n // 2}" for n in range(200)])
    assert found["mae_before"] > 2 > 1 > found["mae_after"]
    assert found["gain"]["ci_low"] > 1
    assert mapped(found["knots"], 7.5) == pytest.approx(5, abs=0.7)
    assert "it needs" not in found
    assert "a map needs 10" in calibration([1.0], [2.0], ["s"])["why"]


def test_the_papers_question_is_answered_in_a_sentence():
    rng = np.random.default_rng(6)
    assert "Yes: +" in trend(judged(rng, "grows", 60), ORDER)["sentence"]
    assert "no sign of it" in trend(judged(rng, None), ORDER)["sentence"]
    assert "Not enough episodes" in trend(judged(rng, "grows", 5), ORDER)["sentence"]
    assert "--run" in trend(judged(rng, None), ())["sentence"]
    assert "no task" in trend(judged(rng, None, policies=("base",)), ORDER)["sentence"]


def test_thirds_are_named_by_the_counts_that_are_in_them():
    """The thirds of 1, 2, 3, 4, 5 and 7 words are cut at 2.67 and 4.33: whoever said 3 words is not among "up to 3"."""
    rows = [Judged("p", f"s{words}", "k", "u", words, 2, 1.0, 1.0) for words in (1, 2, 3, 4, 5, 7)]
    found = against_truth(rows)["by"]["words"]
    assert [*found] == ["1: up to 2 words", "2: up to 4 words", "3: over 4 words"]


def test_judges_beside_each_other():
    rng = np.random.default_rng(7)
    rows = [Pairing(f"s{n}", (score, min(10.0, score + 2), 5.0)) for n, score in enumerate(rng.uniform(0, 8, 30))]
    found = compared(["a", "b", "c"], rows)
    first, second, _ = found["pairs"]
    assert first["difference"]["estimate"] == pytest.approx(-2)
    assert first["pearson"] == pytest.approx(1)
    assert (second["pearson"], second["why"][:14]) == (None, "no correlation")
    assert found["alpha"]["value"] < 1


def test_without_enough_nothing_is_promised():
    rng = np.random.default_rng(8)
    told = conclude(simulated(rng, None, 9), 100, 0)
    assert {use["answer"] for use in told["uses"].values()} == {"not enough episodes to say"}
    assert not any(flag["known"] for flag in told["flags"])
    told = conclude(simulated(rng), 100, 60)
    assert {use["answer"] for use in told["uses"].values()} == {"no"}
    assert "60 % of its ratings failed" in told["uses"]["rank"]["sentence"]
    assert conclude({}, 0, 0)["uses"]["rank"]["answer"] == "not enough episodes to say"


def test_answers_follow_the_rules():
    rng = np.random.default_rng(9)
    fine = conclude(simulated(rng), 100, 0)["uses"]
    assert fine["rank"]["answer"] == fine["reward"]["answer"] == fine["select"]["answer"] == "yes"
    grows = conclude(simulated(rng, "grows"), 100, 0)["uses"]
    assert (grows["rank"]["answer"], grows["reward"]["answer"]) == ("with care", "no")
    assert "over-rates trained policies" in grows["reward"]["sentence"]
    flattered = conclude(simulated(rng, "flattery"), 100, 0)["uses"]
    assert (flattered["select"]["answer"], flattered["reward"]["answer"]) == ("with care", "no")
    alone = {"truth": against_truth(judged(rng, None), ORDER)}
    assert "not audited for words meant for a judge" in conclude(alone, 100, 0)["uses"]["reward"]["sentence"]


@pytest.mark.parametrize("rows", [0, 1, 2, 3])
def test_next_to_nothing_gives_reasons_and_no_numbers(rows):
    few = judged(np.random.default_rng(1), None, 2)[:rows]
    nothing = {
        "truth": against_truth(few, ORDER),
        "itself": {"repeat": repeated([])} | {kind: {**altered([]), "n_left_out": 0} for kind in KINDS},
        "susceptibility": {"order": {**altered([]), "n_left_out": 3}},
        "others": {**compared(["judge:a:1", "judge:b:1"], []), "failed": {"judge:a:1": 0, "judge:b:1": 0}},
        "calibration": calibration([], [], []),
    }
    content = {
        "judge": "judge:<b>x</b>:1",
        "created": "2026-11-21T10:00:00+00:00",
        "episodes": "scripted players",
        "n_episodes": rows,
        "n_scenarios": rows,
        "ratings": {"asked": 9, "failed": 1, "causes": {"judge reply": 1}, "first_failure": "<script>"},
        **conclude(nothing, 9, 1),
        "parts": nothing,
    }
    page, text = audit_page(content), audit_table(content)
    assert "not computable, because" in text
    for shown in (page, text):
        assert "nan" not in shown.lower().replace("financial", "")
        assert "None" not in shown
    assert "<script" not in page
    assert "<b>x</b>" not in page


KINDS = ("swapped", "begun", "reworded")
