"""Means and paired differences with intervals clustered by scenario, and the numbers made from result rows."""

import json
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import stats

from sotopia_pi.evaluation import Result, clustered_mean, comparisons, evaluations, paired
from sotopia_pi.evaluation.summary import default_pairs

scores = st.floats(0, 10, allow_subnormal=False).map(lambda x: round(x, 2))


@given(st.lists(scores, min_size=2, max_size=40).filter(lambda values: len(set(values)) > 1))
def test_clusters_of_one_give_the_plain_t_interval(values):
    found = clustered_mean(values, range(len(values)))
    low, high = stats.t.interval(0.95, len(values) - 1, loc=np.mean(values), scale=stats.sem(values))
    assert found.mean == pytest.approx(np.mean(values))
    assert (found.ci_low, found.ci_high) == pytest.approx((low, high), abs=1e-9)


@given(st.lists(st.tuples(scores, scores), min_size=2, max_size=40))
def test_clusters_of_one_give_the_plain_paired_t_test(pairs):
    a, b = map(list, zip(*pairs, strict=True))
    differences = np.subtract(a, b)
    found = paired(a, b, range(len(a)))
    assert found.delta == pytest.approx(differences.mean(), abs=1e-9)
    if np.ptp(differences) > 1e-6:
        assert found.p == pytest.approx(stats.ttest_rel(a, b).pvalue, abs=1e-9)


def test_agrees_with_values_computed_by_hand():
    # m = 4; cluster sums of residuals: a (1-4)+(3-4) = -4, b 5-4 = 1, c 7-4 = 3;
    # se² = 3/2 · (16 + 1 + 9) / 4² = 2.4375; t(.975, 2) = 4.302653
    found = clustered_mean([1, 3, 5, 7], ["a", "a", "b", "c"])
    assert found.mean == 4
    assert found.n_clusters == 3
    assert found.ci_high - 4 == pytest.approx(4.302653 * 2.4375**0.5, rel=1e-6)
    assert 4 - found.ci_low == pytest.approx(found.ci_high - 4)


def test_agrees_with_the_regression_formula_of_the_sandwich():
    rng = np.random.default_rng(5)
    clusters = np.repeat(np.arange(8), rng.integers(1, 6, 8))
    values = rng.normal(size=len(clusters)) + rng.normal(size=8)[clusters]
    ones = np.ones((len(values), 1))
    bread = np.linalg.inv(ones.T @ ones)
    residuals = values - values.mean()
    meat = sum((ones[clusters == g].T @ residuals[clusters == g]) ** 2 for g in range(8)).item()
    factor = 8 / 7 * (len(values) - 1) / (len(values) - 1)  # Cameron & Miller (2015), CR1 with K = 1
    error = np.sqrt(bread.item() * meat * bread.item() * factor)
    found = clustered_mean(values, clusters)
    assert found.ci_high - found.mean == pytest.approx(stats.t.ppf(0.975, 7) * error)


def test_standard_error_agrees_with_a_bootstrap_over_clusters():
    rng = np.random.default_rng(7)
    clusters = np.repeat(np.arange(60), 4)
    values = np.repeat(rng.normal(5, 1, 60), 4) + rng.normal(0, 0.5, 240)
    means = [values.reshape(60, 4)[rng.integers(0, 60, 60)].mean() for _ in range(4000)]
    found = clustered_mean(values, clusters)
    error = (found.ci_high - found.ci_low) / 2 / stats.t.ppf(0.975, 59)
    assert error == pytest.approx(np.std(means), rel=0.06)
    plain = clustered_mean(values, range(240))
    assert found.ci_high - found.ci_low > 1.5 * (plain.ci_high - plain.ci_low)


def test_copies_within_a_scenario_add_no_certainty():
    once = clustered_mean([1, 4, 6, 2], "abcd")
    often = clustered_mean([1, 4, 6, 2] * 5, "abcd" * 5)
    assert (often.ci_low, often.ci_high) == pytest.approx((once.ci_low, once.ci_high))
    assert often.n == 20


def test_interval_covers_the_truth_about_as_often_as_it_says():
    rng = np.random.default_rng(11)
    clusters = np.repeat(np.arange(16), 4)
    found = [clustered_mean(rng.normal(0, 1, 16)[clusters] + rng.normal(0, 1, 64), clusters) for _ in range(1500)]
    assert np.mean([each.ci_low < 0 < each.ci_high for each in found]) == pytest.approx(0.95, abs=0.02)


def test_too_little_data_has_no_interval_and_no_p():
    assert clustered_mean([], []).mean is None
    one = clustered_mean([2, 4], ["s", "s"])
    assert (one.mean, one.ci_low, one.ci_high, one.n, one.n_clusters) == (3, None, None, 2, 1)
    assert paired([2.0], [1.0], ["s"]).p is None
    assert paired([], [], []).delta is None


def test_differences_that_do_not_vary():
    same = paired([0.3, 0.1 + 0.2], [0.1 + 0.2, 0.3], "ab")
    assert (same.delta, same.p) == (0, 1)
    always = paired([5.1, 6.1, 7.1], [4.1, 5.1, 6.1], "abc")
    assert always.p == 0
    assert (always.ci_low, always.ci_high) == pytest.approx((1, 1))


@given(st.lists(st.tuples(scores, scores, st.integers(0, 5)), min_size=1, max_size=30))
def test_significant_exactly_when_the_interval_excludes_zero(rows):
    a, b, clusters = map(list, zip(*rows, strict=True))
    found, turned = paired(a, b, clusters), paired(b, a, clusters)
    if found.p is not None and abs(found.p - 0.05) > 1e-9:
        assert (found.p < 0.05) == (found.ci_low > 0 or found.ci_high < 0)
    assert turned.delta == pytest.approx(-found.delta)
    assert turned.p == pytest.approx(found.p)


@pytest.mark.parametrize("values, clusters", [([1.0], ["a", "b"]), ([float("nan"), 1.0], ["a", "b"])])
def test_bad_input_is_refused(values, clusters):
    with pytest.raises(ValueError, match=r"cluster labels|not finite"):
        clustered_mean(values, clusters)


def row(policy, scenario, goal, role=0, **more):
    result = Result(
        policy=policy, partner="mix", tasks="test", kind="price", scenario_id=scenario, task_id=f"t{scenario}",
        role=role, scores={} if goal is None else {"goal": goal}, deal=None if goal is None else goal > 0,
        actions=4, invalid=1, turns=8, words=40, stop_reason="left",
    )  # fmt: skip
    return replace(result, **more)


def test_evaluation_counts_failures_and_never_scores_them():
    results = [
        row("base", "a", 2.0),
        row("base", "b", 6.0),
        row("base", "c", None, failure="unreachable: port 8000", turns=1, actions=1, stop_reason=None),
        row("base", "d", 9.0, failure="undecided: two prices"),
        row("base", "e", None),
    ]
    (found,) = evaluations(results)
    assert (found["n"], found["n_failed"], found["goal"]["mean"]) == (2, 3, 4.0)
    assert found["failures"] == {"no GOAL score": 1, "undecided": 1, "unreachable": 1}
    assert (found["invalid_actions"], found["actions"]) == (5, 17)
    assert (found["words_per_turn"], found["turns"], found["stop_reasons"]) == (10, 8, {"left": 2})
    assert found["deal_rate"]["mean"] == 1.0
    assert found["kinds"]["price"]["goal"] == found["goal"]


def test_nothing_rated_is_none_and_valid_json():
    found = evaluations([row("base", "a", None, actions=0, invalid=0)])
    assert found[0]["goal"] == {"mean": None, "ci_low": None, "ci_high": None}
    assert (found[0]["deal_rate"], found[0]["invalid_share"], found[0]["turns"]) == (None, None, None)
    json.dumps(found, allow_nan=False)
    assert evaluations([]) == comparisons([]) == []


def test_deal_rate_skips_kinds_without_deals_and_stays_a_share():
    results = [row("bc", s, 5.0) for s in "abcdefg"] + [row("bc", "h", 0.0), row("bc", "i", 3.0, deal=None)]
    rate = evaluations(results)[0]["deal_rate"]
    assert rate["mean"] == 7 / 8
    assert rate["ci_high"] == 1.0


def test_other_dimensions_are_averaged_where_they_are_present():
    results = [row("bc", "a", 5.0, scores={"goal": 5.0, "secret": -4.0}), row("bc", "b", 5.0)]
    assert evaluations(results)[0]["scores"] == {"secret": {"n": 1, "mean": -4.0, "ci_low": None, "ci_high": None}}


def test_comparison_pairs_by_task_role_and_repeat():
    base = [row("base", s, g) for s, g in zip("abc", (1.0, 2.0, 3.0), strict=True)]
    bc = [row("bc", s, g) for s, g in zip("abd", (2.0, 4.0, 9.0), strict=True)] + [row("bc", "a", 9.0, role=1)]
    (found,) = comparisons([*bc, *base])
    assert (found["a"], found["b"], found["n"], found["n_unpaired"], found["delta"]) == ("bc", "base", 2, 3, 1.5)
    failed = comparisons([*base, *(replace(each, failure="undecided") for each in bc)])
    assert (failed[0]["n"], failed[0]["delta"], failed[0]["p"]) == (0, None, None)


def test_comparison_refuses_two_results_for_one_place():
    with pytest.raises(ValueError, match="two results"):
        comparisons([row("bc", "a", 1.0), row("bc", "a", 2.0), row("base", "a", 1.0)])


def test_conditions_come_base_first_and_expert_last():
    results = [row(policy, "a", 1.0) for policy in ("expert", "bc+sr", "bc", "base")]
    assert [e["policy"] for e in evaluations(results, order=["bc", "bc+sr"])] == ["base", "bc", "bc+sr", "expert"]


def test_default_pairs():
    assert default_pairs(["base", "bc", "bc+sr", "expert"]) == [
        ("bc", "base"), ("bc+sr", "base"), ("bc+sr", "bc"), ("base", "expert"), ("bc", "expert"), ("bc+sr", "expert"),
    ]  # fmt: skip
    branches = default_pairs(["base", "bc", "sr", "bc+sr"], {"bc": "base", "sr": "base", "bc+sr": "bc"})
    assert branches == [("bc", "base"), ("sr", "base"), ("bc+sr", "base"), ("bc+sr", "bc")]
    assert default_pairs(["expert"]) == []


def test_task_sets_and_partners_are_kept_apart():
    results = [row("bc", "a", 1.0, tasks="transfer"), row("bc", "a", 5.0), row("bc", "a", 9.0, partner="other")]
    assert [(e["tasks"], e["partner"], e["goal"]["mean"]) for e in evaluations(results)] == [
        ("test", "mix", 5.0), ("test", "other", 9.0), ("transfer", "mix", 1.0),
    ]  # fmt: skip
