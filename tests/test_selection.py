"""Selection rules: the right candidates, whatever order they come in; and how saturated the scores are."""

from __future__ import annotations

import math
import random
from collections import Counter
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from sotopia_pi.errors import ConfigError
from sotopia_pi.training.selection import RULES, Candidate, Saturation, saturation, select

SCORES = st.sampled_from([0.0, 2.5, 5.0, 7.5, 10.0])


@st.composite
def _pools(draw: st.DrawFn) -> list[Candidate]:
    """Rated episodes with one candidate per role, some roles unrated."""
    pool = []
    for number in range(draw(st.integers(0, 14))):
        for role in (0, 1):
            if draw(st.booleans()) or draw(st.booleans()):
                overall = draw(st.none() | st.sampled_from([1.0, 2.0]))
                pool.append(Candidate(f"e{number:02}", role, f"t{number % 3}", draw(SCORES), overall))
    return pool


RULES_AND_PARAMETERS: list[tuple[str, dict[str, Any]]] = [
    ("top_k", {"k": 1}),
    ("top_k", {"k": 3, "at_least": 5.0}),
    ("paper", {}),
    ("paper", {"k": 1}),
    ("top_fraction", {"fraction": 0.2}),
    ("top_fraction", {"fraction": 0.5, "at_least": 2.5}),
    ("threshold", {"at_least": 7.5}),
]


@pytest.mark.parametrize(("name", "parameters"), RULES_AND_PARAMETERS)
@given(pool=_pools(), seed=st.integers(0, 9))
@settings(max_examples=60)
def test_rules_do_not_depend_on_order(name: str, parameters: dict[str, Any], pool: list[Candidate], seed: int) -> None:
    chosen = select(pool, name, **parameters)
    shuffled = random.Random(seed).sample(pool, len(pool))
    assert select(shuffled, name, **parameters) == chosen
    assert Counter(chosen) <= Counter(pool)  # candidates only, none twice
    assert saturation(shuffled) == saturation(pool)


def by_group(pool: list[Candidate]) -> dict[tuple[str, int], list[Candidate]]:
    groups: dict[tuple[str, int], list[Candidate]] = {}
    for candidate in pool:
        groups.setdefault((candidate.task_id, candidate.role), []).append(candidate)
    return groups


@given(_pools(), st.integers(1, 4), SCORES)
def test_top_k_takes_the_best_of_each_task_and_role(pool: list[Candidate], k: int, bar: float) -> None:
    chosen = by_group(select(pool, "top_k", k=k))
    for key, group in by_group(pool).items():
        assert len(chosen[key]) == min(k, len(group))
        left = [c for c in group if c not in chosen[key]]
        assert all(c.score <= min(d.score for d in chosen[key]) for c in left)
    with_bar = select(pool, "top_k", k=k, at_least=bar)
    assert with_bar == [c for c in select(pool, "top_k", k=k) if c.score >= bar]


@given(_pools(), st.floats(0.01, 1))
def test_top_fraction_rounds_up(pool: list[Candidate], fraction: float) -> None:
    chosen = by_group(select(pool, "top_fraction", fraction=fraction))
    for key, group in by_group(pool).items():
        assert len(chosen[key]) == math.ceil(fraction * len(group)) >= 1


@given(_pools(), SCORES)
def test_threshold_takes_all_that_reach_it(pool: list[Candidate], bar: float) -> None:
    assert set(select(pool, "threshold", at_least=bar)) == {c for c in pool if c.score >= bar}


@given(_pools())
def test_paper_rule_contains_top_k_and_adds_whole_ranks(pool: list[Candidate]) -> None:
    chosen, top = select(pool, "paper"), select(pool, "top_k", k=2)
    assert set(top) <= set(chosen)
    added = [c for c in chosen if c not in top]
    roles = {c.task_id: {d.role for d in pool if d.task_id == c.task_id} for c in added}
    per_role = Counter((c.task_id, c.role) for c in added)
    for task, present in roles.items():
        assert len({per_role[task, role] for role in present}) == 1


def test_paper_rule_by_hand() -> None:
    scores = {0: [10, 9, 8, 4, 1], 1: [8, 8, 7, 6, 0]}
    pool = [Candidate(f"e{i}", role, "t1", s) for role, row in scores.items() for i, s in enumerate(row)]
    pool += [Candidate(f"f{i}", role, "t2", 2.0) for role in (0, 1) for i in range(3)]
    # Means: everywhere 73/16 = 4.56; t1 role 0 6.4, role 1 5.8; t2 2.0. Bars: t1 4.56 for both, t2 2.0.
    # Rank 3 of t1 (8 and 7) is above both bars; rank 4 (4 and 6) is not, for role 0 alone; t2's third (2.0) is not.
    chosen = {(c.episode, c.role) for c in select(pool, "paper")}
    assert chosen == {
        *(("e0", 0), ("e1", 0), ("e2", 0), ("e0", 1), ("e1", 1), ("e2", 1)),
        *(("f0", 0), ("f1", 0), ("f0", 1), ("f1", 1)),
    }


def test_ties_go_by_overall_and_then_by_id() -> None:
    pool = [Candidate("c", 0, "t", 5.0), Candidate("b", 0, "t", 5.0), Candidate("a", 0, "t", 5.0, overall=-1.0)]
    assert [c.episode for c in select(pool, "top_k", k=3)] == ["b", "c", "a"]
    assert [c.episode for c in select([*pool, Candidate("d", 0, "t", 5.0, 3.0)], "top_k", k=1)] == ["d"]


@pytest.mark.parametrize("name", RULES)
def test_rules_take_no_candidates(name: str) -> None:
    assert select([], name) == []


@pytest.mark.parametrize(
    ("name", "parameters", "complaint"),
    [
        ("best", {}, "no selection rule 'best'; the rules are: top_k, paper, top_fraction, threshold"),
        ("top_k", {"K": 2}, "'top_k' does not know K; it knows: at_least, k"),
        ("paper", {"k": 2, "fraction": 0.1}, "does not know fraction"),
        ("top_k", {"k": "two"}, "'k' .* must be a whole number"),
        ("top_k", {"k": 0}, "'k' .* must be at least 1"),
        ("top_k", {"k": 1.5}, "'k' .* must be a whole number"),
        ("top_k", {"k": True}, "'k' .* must be a whole number"),
        ("threshold", {"at_least": "high"}, "'at_least' .* must be a number"),
        ("top_fraction", {"fraction": -0.5}, "'fraction' .* must be above 0 and at most 1"),
        ("top_fraction", {"fraction": 20}, "'fraction' .* must be above 0 and at most 1"),
    ],
)
def test_bad_rules_are_refused(name: str, parameters: dict[str, Any], complaint: str) -> None:
    with pytest.raises(ConfigError, match=complaint):
        select([Candidate("e", 0, "t", 5.0)], name, **parameters)


def test_saturation_by_hand() -> None:
    scores = {("t1", 0): [10, 10, 3], ("t1", 1): [10, 9], ("t2", 0): [4, 4], ("t2", 1): [1]}
    pool = [Candidate(f"e{i}", role, task, s) for (task, role), row in scores.items() for i, s in enumerate(row)]
    assert saturation(pool) == Saturation(n=8, top_score=10, share_at_top=3 / 8, groups=4, tied_groups=2)
    assert saturation([]) == Saturation(0, 0.0, 0.0, 0, 0)
