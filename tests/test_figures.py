"""Figures of many scores: what they draw, what they tell those who cannot see them, and how fast they are made."""

import re
import time
import xml.etree.ElementTree as ET

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import stats

from sotopia_pi.evaluation import paired
from sotopia_pi.evaluation.correlations import correlated
from sotopia_pi.evaluation.drawing import Axis
from sotopia_pi.evaluation.plots import Series, difference_chart, histogram, scatter

GOAL = Axis("GOAL", 0, 10)
AXES = st.sampled_from([GOAL, Axis("secret", -10, 0), Axis("overall", -25 / 7, 40 / 7), Axis("percent", 0, 100)])
SCORES = st.one_of(
    st.floats(allow_nan=True, allow_infinity=True),
    st.floats(-10, 10),
    st.integers(-10, 10).map(float),
)
NAMES = st.text(max_size=60)
HOSTILE = '"><script>alert(1)</script>\u202e\x00'


def read(drawn):
    """The root of a figure, after what holds for every figure: valid, labelled, no inline style, only real numbers."""
    root = ET.fromstring(drawn)
    assert root.get("role") == "img"
    drawing = re.sub(r'aria-label="[^"]*"|<(title|desc|text)[^>]*>[^<]*<', "", drawn)
    assert not re.search(r"\b(nan|inf)\b", drawing, re.I)
    assert not any("style" in element.attrib for element in root.iter())
    for element in root.iter():
        for key in ("x", "y", "cx", "cy", "r", "x1", "x2", "y1", "y2", "width", "height"):
            assert np.isfinite(float(element.get(key, 0)))
    return root


def words(root):
    """(what is told, what is shown) by a figure."""
    told = " ".join([root.get("aria-label"), *(e.text or "" for e in root if e.tag in ("title", "desc"))])
    return told, " ".join(e.text or "" for e in root.iter("text"))


def numbers(text):
    return set(re.findall(r"[−+]?\d+(?:,\d{3})*(?:\.\d+)?", text))


def tells_all(root):
    told, shown = words(root)
    return numbers(shown) <= numbers(told) | {n.lstrip("+") for n in numbers(told)} | {"0.0"}


@settings(max_examples=60)
@given(AXES, st.lists(SCORES, max_size=30), st.lists(SCORES, max_size=30), NAMES)
def test_a_histogram_of_anything_is_drawn_and_told(axis, first, second, name):
    read(histogram("Scores", axis, Series(name, first), Series("other", second)))
    assert tells_all(read(histogram("Scores", axis, Series("bc", first), Series("base", second))))


@settings(max_examples=60)
@given(AXES, st.lists(st.tuples(SCORES, SCORES), max_size=30), NAMES)
def test_a_scatter_of_anything_is_drawn_and_told(axis, pairs, name):
    x, y = [pair[0] for pair in pairs], [pair[1] for pair in pairs]
    read(scatter("Scores", axis, Series(name, x), Series("judge", y)))
    assert tells_all(read(scatter("Scores", axis, Series("verifier", x), Series("judge", y))))


@settings(max_examples=60)
@given(st.lists(st.floats(-20, 20), max_size=300), st.integers(1, 5))
def test_differences_of_anything_are_drawn_and_told(values, scenarios):
    overall = paired(values, [0.0] * len(values), [place % scenarios for place in range(len(values))])
    assert tells_all(read(difference_chart("Differences", values, overall)))


def test_bars_are_shares_of_each_distribution():
    first, second = [0.0] * 3 + [10.0], [5.0, 5.2, np.nan]
    root = read(histogram("GOAL", GOAL, Series("bc", first), Series("base", second)))
    bars = [e for e in root.iter("rect") if e.get("height") != "11"]
    assert [e.get("class") for e in bars] == ["a", "a", "b"]
    heights = [float(e.get("height")) for e in bars]
    assert heights[0] == pytest.approx(3 * heights[1], abs=0.2)
    assert heights[2] == pytest.approx(4 * heights[1], abs=0.2)
    told, _ = words(root)
    assert "bc: n 4, mean 2.50; base: n 2, mean 5.10, 1 without a score" in told
    assert "bc by score: 0: 3 (75 %), 10: 1 (25 %)." in told
    assert "base by score: 5: 2 (100 %)." in told


def test_points_that_coincide_are_one_circle_with_their_count_as_area():
    x, y = [2.0] * 9 + [8.0], [3.0] * 9 + [8.0]
    circles = list(read(scatter("GOAL", GOAL, Series("verifier", x), Series("judge", y))).iter("circle"))
    assert len(circles) == 2
    radii = sorted(float(circle.get("r")) for circle in circles)
    assert radii[1] ** 2 == pytest.approx(9 * radii[0] ** 2, rel=0.1)


def test_a_point_with_equal_scores_lies_on_the_line_of_equality():
    root = read(scatter("GOAL", GOAL, Series("verifier", [7.3] * 3), Series("judge", [7.3] * 3)))
    (line,) = (e for e in root.iter("line") if e.get("class") == "same")
    (circle,) = root.iter("circle")
    x1, x2, y1, y2 = (float(line.get(key)) for key in ("x1", "x2", "y1", "y2"))
    part = (float(circle.get("cx")) - x1) / (x2 - x1)
    assert part == pytest.approx(0.73, abs=0.01)
    assert float(circle.get("cy")) == pytest.approx(y1 + part * (y2 - y1), abs=0.2)


def test_every_difference_up_to_two_hundred_is_a_dot_and_more_are_grouped():
    few = [1.0, -1.0, 0.0, 2.0]
    root = read(difference_chart("By task", few, paired(few, [0.0] * 4, "abcd")))
    assert len(list(root.iter("circle"))) == 4
    assert "above 0: 2, equal: 1, below 0: 1" in words(root)[0]
    many = np.linspace(-3, 3, 1000)
    root = read(difference_chart("By task", many, paired(many, np.zeros(1000), range(1000))))
    assert len(list(root.iter("circle"))) == 200
    assert "each dot 5 tasks" in words(root)[0]


@given(st.lists(st.tuples(st.integers(0, 10), st.integers(0, 10)), min_size=3, max_size=60))
def test_correlations_agree_with_scipy(pairs):
    x, y = (np.array(side, dtype=float) for side in zip(*pairs, strict=True))
    found = correlated(x, y)
    if np.ptp(x) and np.ptp(y):
        assert found.pearson == pytest.approx(stats.pearsonr(x, y).statistic, abs=1e-9)
        assert found.spearman == pytest.approx(stats.spearmanr(x, y).statistic, abs=1e-9)
    else:
        assert (found.pearson, found.spearman) == (None, None)
        assert "var" in found.why


@pytest.mark.parametrize(
    "x, y, n, why",
    [
        ([1, 2], [1, 2], 2, "there are fewer than 3 pairs"),
        ([1, 2, 3, np.nan], [np.nan, 2, 3, 4], 2, "there are fewer than 3 pairs"),
        ([1, 2, 3], [4, 4, 4], 3, "the side going up does not vary"),
        ([5, 5, 5], [4, 4, 4], 3, "neither side varies"),
    ],
)
def test_no_correlation_says_why(x, y, n, why):
    found = correlated(x, y)
    assert (found.n, found.pearson, found.spearman, found.why) == (n, None, None, why)
    assert why in words(read(scatter("GOAL", GOAL, Series("verifier", x), Series("judge", y))))[0]


def test_names_from_models_are_never_markup():
    for drawn in (
        histogram(HOSTILE, GOAL, Series(HOSTILE, [1.0])),
        scatter(HOSTILE, Axis(HOSTILE, 0, 1), Series(HOSTILE, [1.0]), Series(HOSTILE, [1.0])),
        difference_chart(HOSTILE, [1.0], paired([1.0], [0.0], "a"), HOSTILE),
    ):
        root = read(drawn)
        assert not list(root.iter("script"))
        assert "\u202e" not in drawn


def test_an_axis_needs_a_length():
    with pytest.raises(ValueError, match="no length"):
        Axis("GOAL", 1, 1)


def test_two_hundred_thousand_points_take_well_under_a_tenth_of_a_second():
    rng = np.random.default_rng(4)
    x, y = rng.normal(6, 2, 200_000), rng.normal(5, 2, 200_000)
    overall = paired(x[:50], y[:50], range(50))
    for draw in (
        lambda: histogram("GOAL", GOAL, Series("bc", x), Series("base", y)),
        lambda: scatter("GOAL", GOAL, Series("verifier", x), Series("judge", y)),
        lambda: difference_chart("By task", x - y, overall),
    ):
        seconds = []
        for _ in range(3):
            started = time.process_time()
            drawn = draw()
            seconds.append(time.process_time() - started)
        assert min(seconds) < 0.25  # measured: 0.01 to 0.05 on an idle core
        assert len(drawn) < 150_000


@pytest.mark.parametrize("digits", [0, 2, 4, 12])
def test_spearman_agrees_with_scipy_for_scores_of_any_precision(digits):
    x, y = np.random.default_rng(digits).normal(0, 4, (2, 500)).round(digits)
    found = correlated(x, x + y)
    assert found.spearman == pytest.approx(stats.spearmanr(x, x + y).statistic, abs=1e-9)
