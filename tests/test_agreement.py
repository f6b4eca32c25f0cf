"""Agreement between raters: against figures worked out by hand, and what holds for all ratings."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sotopia_pi.evaluation.agreement import agreement, binned


def test_a_worked_example() -> None:
    """Two units of two raters and one of three; in five bins of 0 to 10: same, different, two of three."""
    found = agreement("goal", [[7, 6], [1, 9], [2, 3, 8], [5]], 0, 10)
    assert (found.units, found.ratings) == (3, 8)
    assert found.pairwise == pytest.approx((1 + 0 + 1 / 3) / 3)
    assert found.kappa == pytest.approx((4 / 9 - 0.2) / 0.8)
    assert found.mean == pytest.approx(41 / 8)


def test_the_papers_pair_is_one_of_two_bins() -> None:
    found = agreement("goal", [[9, 8]] * 4 + [[1, 9]], 0, 10, bins=2)
    assert (found.pairwise, found.kappa) == (pytest.approx(0.8), pytest.approx(0.6))


def test_nothing_rated_twice_has_no_agreement() -> None:
    found = agreement("goal", [[3], [4]], 0, 10)
    assert (found.units, found.ratings, found.pairwise, found.kappa, found.mean) == (0, 2, None, None, 3.5)
    assert agreement("goal", [], 0, 10).mean is None


@pytest.mark.parametrize(("score", "bin"), [(-10, 0), (-8, 1), (-8.1, 0), (0, 4), (-2, 4), (-2.1, 3)])
def test_bins_have_equal_width_and_hold_the_ends(score: float, bin: int) -> None:
    assert binned(score, -10, 0, 5) == bin


@given(st.lists(st.lists(st.integers(-5, 5), max_size=5), max_size=8), st.sampled_from([None, 2, 5]))
def test_agreement_is_a_share_and_kappa_at_most_one(units: list[list[int]], bins: int | None) -> None:
    found = agreement("relationship", units, -5, 5, bins)
    if found.pairwise is None:
        assert all(len(unit) < 2 for unit in units)
    else:
        assert 0 <= found.pairwise <= 1
        assert found.kappa is not None and -1 <= found.kappa <= 1
        assert (found.kappa == pytest.approx(1)) == (found.pairwise == pytest.approx(1))
