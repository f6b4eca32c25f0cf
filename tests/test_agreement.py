"""Agreement between annotators of a study: against figures worked out by hand, and what holds for all ratings."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sotopia_pi.evaluation.agreement import BINNINGS, agreement
from sotopia_pi.evaluation.reliability import pairwise_agreement


def test_a_worked_example() -> None:
    """Two units of two raters and one of three; in five bins of 0 to 10: same, different, two of three."""
    found = agreement("goal", [[7, 6], [1, 9], [2, 3, 8], [5]], 0, 10)
    assert (found.units, found.ratings) == (3, 8)
    assert found.pairwise[5].value == pytest.approx((1 + 0 + 1 / 3) / 3)
    assert found.kappa[5].value == pytest.approx((4 / 9 - 0.2) / 0.8)
    assert found.mean == pytest.approx(41 / 8)


def test_the_papers_pair_is_one_of_two_bins() -> None:
    found = agreement("goal", [[9, 8]] * 4 + [[1, 9]], 0, 10)
    assert (found.pairwise[2].value, found.kappa[2].value) == (pytest.approx(0.8), pytest.approx(0.6))


def test_nothing_rated_twice_has_no_agreement() -> None:
    found = agreement("goal", [[3], [4]], 0, 10)
    assert (found.units, found.ratings, found.mean) == (0, 2, 3.5)
    for measure in (found.pairwise[2], found.kappa[5], found.alpha, found.icc):
        assert measure.value is None
        assert measure.why == "not computable, because nothing was rated by two people"
    assert agreement("goal", [], 0, 10).mean is None


@pytest.mark.parametrize(("score", "bin"), [(-10, 0), (-8, 1), (-8.1, 0), (0, 4), (-2, 4), (-2.1, 3)])
def test_bins_have_equal_width_and_hold_the_ends(score: float, bin: int) -> None:
    for other, middle in enumerate((-9, -7, -5, -3, -1)):
        assert pairwise_agreement([[score, middle]], (-10, 0), 5).value == (1.0 if other == bin else 0.0)


@given(st.lists(st.lists(st.integers(-5, 5), max_size=5), max_size=8))
def test_agreement_is_a_share_and_kappa_at_most_one(units: list[list[int]]) -> None:
    found = agreement("relationship", units, -5, 5)
    for bins in BINNINGS:
        pairwise, kappa = found.pairwise[bins].value, found.kappa[bins].value
        if pairwise is None or kappa is None:
            assert all(len(unit) < 2 for unit in units)
        else:
            assert 0 <= pairwise <= 1
            assert -1 <= kappa <= 1
            assert (kappa == pytest.approx(1)) == (pairwise == pytest.approx(1))
