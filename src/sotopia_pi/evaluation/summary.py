"""From results to numbers: one evaluation per condition, and paired differences between conditions.

A row counts as rated when it has a GOAL score and no failure. Everything else is failed: counted with its cause,
never scored. Outputs are JSON-able; a number that does not exist is None.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Hashable, Iterable, Mapping, Sequence
from dataclasses import asdict
from typing import Any

from sotopia_pi.evaluation.records import Result
from sotopia_pi.evaluation.statistics import clustered_mean, paired
from sotopia_pi.ratings.records import DIMENSIONS

BASE = "base"
EXPERT = "expert"
_UNRATED = "no GOAL score"


def rated(row: Result) -> bool:
    """Whether the row has a GOAL score that counts."""
    return row.failure is None and row.goal is not None


def policy_order(results: Iterable[Result], order: Sequence[str] = ()) -> list[str]:
    """The policies of `results`: base, then as in `order`, then by first appearance, the expert last."""
    present = dict.fromkeys(row.policy for row in results)
    ranked = dict.fromkeys([BASE, *(name for name in order if name != EXPERT), *(p for p in present if p != EXPERT)])
    return [policy for policy in (*ranked, EXPERT) if policy in present]


def evaluations(results: Sequence[Result], order: Sequence[str] = ()) -> list[dict[str, Any]]:
    """One evaluation per (task set, partner, policy), each with the same numbers per kind under "kinds".

    "n" counts rated rows, "n_failed" the others, by cause in "failures" (the text before ':'). GOAL, other scores
    and "deal_rate" carry 95 % intervals clustered by scenario; the deal rate's is cut to 0–1, and it is None where
    no rated row's kind knows a deal. "actions", "invalid_actions" and "invalid_share" count every row,
    "words_per_turn" (over the policy's own turns), "turns" and "stop_reasons" the rated ones.
    """
    found = []
    for tasks, partner in _settings(results):
        for policy in policy_order(results, order):
            rows = [row for row in results if (row.policy, row.partner, row.tasks) == (policy, partner, tasks)]
            if not rows:
                continue
            kinds = {kind: [row for row in rows if row.kind == kind] for kind in sorted({row.kind for row in rows})}
            names = {"policy": policy, "partner": partner, "tasks": tasks, "rater": rows[0].rater}
            found.append({**names, **_summary(rows), "kinds": {k: _summary(v) for k, v in kinds.items()}})
    return found


def default_pairs(policies: Sequence[str], parents: Mapping[str, str] | None = None) -> list[tuple[str, str]]:
    """Which policies to compare: each with base, with its parent (else the one before it), and with the expert."""
    learners = [policy for policy in policies if policy != EXPERT]
    pairs: dict[tuple[str, str], None] = {}
    for place, policy in enumerate(learners):
        if policy != BASE and BASE in learners:
            pairs[policy, BASE] = None
        before = (parents or {}).get(policy) or (learners[place - 1] if place else policy)
        if before in learners and before != policy:
            pairs[policy, before] = None
    if EXPERT in policies:
        pairs |= {(policy, EXPERT): None for policy in learners}
    return list(pairs)


def comparisons(
    results: Sequence[Result], pairs: Sequence[tuple[str, str]] | None = None, order: Sequence[str] = ()
) -> list[dict[str, Any]]:
    """Paired GOAL differences a - b, per task set and partner; `pairs` defaults to `default_pairs`.

    Rows are paired by (task, role, repeat) where both are rated; "n" counts the pairs, "n_unpaired" the rows of
    either policy that found no rated counterpart. Raises ValueError when a policy has two rows for one key.
    """
    found = []
    for tasks, partner in _settings(results):
        rows = [row for row in results if (row.tasks, row.partner) == (tasks, partner)]
        policies = policy_order(rows, order)
        for a, b in default_pairs(policies) if pairs is None else pairs:
            if a in policies and b in policies:
                found.append({"a": a, "b": b, "tasks": tasks, "partner": partner, **_compare(rows, a, b)})
    return found


def _settings(results: Iterable[Result]) -> list[tuple[str, str]]:
    """(tasks, partner) in order of first appearance, the test tasks first."""
    return sorted(dict.fromkeys((row.tasks, row.partner) for row in results), key=lambda setting: setting[0] != "test")


def _summary(rows: Sequence[Result]) -> dict[str, Any]:
    counted = [row for row in rows if rated(row)]
    actions, invalid = sum(row.actions for row in rows), sum(row.invalid for row in rows)
    return {
        "n": len(counted),
        "n_failed": len(rows) - len(counted),
        "invalid_actions": invalid,
        "actions": actions,
        "goal": _mean(counted, lambda row: row.goal),
        "n_scenarios": len({row.scenario_id for row in counted}),
        "deal_rate": _deal_rate(counted),
        "invalid_share": _ratio(invalid, actions),
        "words_per_turn": _ratio(sum(row.words for row in counted), sum(row.actions for row in counted)),
        "turns": _ratio(sum(row.turns for row in counted), len(counted)),
        "stop_reasons": _counts(row.stop_reason for row in counted if row.stop_reason),
        "scores": _other_scores(counted),
        "failures": _counts(_cause(row) for row in rows if not rated(row)),
    }


def _mean(rows: Sequence[Result], value: Callable[[Result], float | None]) -> dict[str, float | None]:
    pairs = [(number, row.scenario_id) for row in rows if (number := value(row)) is not None]
    estimate = clustered_mean([number for number, _ in pairs], [scenario for _, scenario in pairs])
    return {key: number for key, number in asdict(estimate).items() if key in ("mean", "ci_low", "ci_high")}


def _deal_rate(rows: Sequence[Result]) -> dict[str, float | None] | None:
    known = [row for row in rows if row.deal is not None]
    if not known:
        return None
    rate = _mean(known, lambda row: float(row.deal or False))
    return {key: None if number is None else min(1.0, max(0.0, number)) for key, number in rate.items()}


def _other_scores(rows: Sequence[Result]) -> dict[str, dict[str, float | None]]:
    scores: dict[str, dict[str, float | None]] = {}
    for name in dict.fromkeys([*DIMENSIONS, *(name for row in rows for name in row.scores)]):
        holders = [row for row in rows if name in row.scores]
        if holders and name != "goal":
            scores[name] = {"n": len(holders), **_mean(holders, _score(name))}
    complete = [row for row in rows if row.scores.keys() >= DIMENSIONS.keys()]
    if complete and "overall" not in scores:
        overall = _mean(complete, lambda row: sum(row.scores[name] for name in DIMENSIONS) / len(DIMENSIONS))
        scores["overall"] = {"n": len(complete), **overall}
    return scores


def _score(name: str) -> Callable[[Result], float | None]:
    return lambda row: row.scores.get(name)


def _cause(row: Result) -> str:
    return (row.failure or _UNRATED).split(":", 1)[0].strip() or _UNRATED


def _counts(items: Iterable[str]) -> dict[str, int]:
    return dict(sorted(Counter(items).items(), key=lambda item: (-item[1], item[0])))


def _ratio(total: float, count: int) -> float | None:
    return total / count if count else None


def _compare(rows: Sequence[Result], a: str, b: str) -> dict[str, Any]:
    first, second = _by_key(rows, a), _by_key(rows, b)
    shared = [key for key, row in first.items() if rated(row) and key in second and rated(second[key])]
    comparison = paired(
        [first[key].scores["goal"] for key in shared],
        [second[key].scores["goal"] for key in shared],
        [first[key].scenario_id for key in shared],
    )
    return {
        "n": comparison.n,
        "n_unpaired": len(first) + len(second) - 2 * len(shared),
        "n_scenarios": comparison.n_clusters,
        "delta": comparison.delta,
        "ci_low": comparison.ci_low,
        "ci_high": comparison.ci_high,
        "p": comparison.p,
    }


def _by_key(rows: Sequence[Result], policy: str) -> dict[Hashable, Result]:
    found: dict[Hashable, Result] = {}
    for row in rows:
        key = (row.task_id, row.role, row.repeat)
        if row.policy == policy and found.setdefault(key, row) is not row:
            raise ValueError(f"{policy} has two results for task {row.task_id}, role {row.role}, repeat {row.repeat}")
    return found
