"""A judge's GOAL beside the verifier's, which knows what the outcome was worth: bias, error, order, saturation, trend.

With gap = judge − truth over all roles that both rated:

bias         mean gap. Interval: clustered by scenario.
MAE, RMSE    mean |gap|, √ mean gap².
Pearson, Spearman  of judge and truth over roles; not computable below three roles or where one side never varies.
saturation   share of roles with the highest score of the scale (10), the judge's and the truth's, and their difference.
slopes       of the gap on the role's words, on the episode's turns, and on the true score (a judge that gives
             everybody the middle has a slope of −1 on the score; independent noise alone has none).
trend        the paper's question, whether the gap grows from base to BC to BC+SR. Policies stand in order of training
             at 0, 1, … K − 1; for every task, role and repeat that all of them played, the slope of the gap over these
             places; their mean, clustered by scenario. "points per policy"; last − first beside it.

Source: the gap and its growth are those of Wang et al. 2024 (arXiv 2403.08715v3, section 5), who held a judge against
people. Limits: it says how a judge does on verified scenarios and on GOAL, and nothing about other dimensions.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Sequence
from dataclasses import asdict
from typing import Any

import numpy as np

from sotopia_pi.evaluation.correlations import correlated
from sotopia_pi.evaluation.effects import ENOUGH, Effect, missing, shift, slope
from sotopia_pi.evaluation.statistics import clustered_mean
from sotopia_pi.evaluation.trust.records import Judged

TOP = 10.0
_LEVELS = ((0.0, 2.0, "0 to 2"), (2.0, 5.0, "above 2 to 5"), (5.0, 8.0, "above 5 to 8"), (8.0, TOP, "above 8"))


def against_truth(rows: Sequence[Judged], order: Sequence[str] = ()) -> dict[str, Any]:
    """Everything above as JSON-able data; `order` names the policies in order of training, two or more for a trend."""
    scenarios = [row.scenario for row in rows]
    return {
        **_summary(rows),
        "saturation": _saturation(rows, scenarios),
        "slopes": {
            "words": _slope(rows, lambda row: row.words),
            "turns": _slope(rows, lambda row: row.turns),
            "truth": _slope(rows, lambda row: row.truth),
        },
        "by": {
            "policy": _by(rows, lambda row: row.policy, order),
            "words": _by(rows, _thirds([row.words for row in rows], lambda row: row.words, "words")),
            "turns": _by(rows, _thirds([row.turns for row in rows], lambda row: row.turns, "turns")),
            "score": _by(rows, lambda row: _level(row.truth), [name for *_, name in _LEVELS]),
            "kind": _by(rows, lambda row: row.kind),
        },
        "trend": trend(rows, order),
    }


def _summary(rows: Sequence[Judged]) -> dict[str, Any]:
    """The measures that every group has, too."""
    gaps, scenarios = [row.gap for row in rows], [row.scenario for row in rows]
    truths, given = [row.truth for row in rows], [row.given for row in rows]
    return {
        "n": len(rows),
        "n_scenarios": len(set(scenarios)),
        "truth": float(np.mean(truths)) if rows else None,
        "judge": float(np.mean(given)) if rows else None,
        "bias": shift(gaps, scenarios).facts(),
        "mae": asdict(clustered_mean([abs(gap) for gap in gaps], scenarios)),
        "rmse": float(np.sqrt(np.mean(np.square(gaps)))) if rows else None,
        **correlated(given, truths, ("the judge gave everybody the same", "every outcome was worth the same")).facts(),
    }


def _saturation(rows: Sequence[Judged], scenarios: Sequence[str]) -> dict[str, Any]:
    judged, true = [float(row.given >= TOP) for row in rows], [float(row.truth >= TOP) for row in rows]
    more = shift([a - b for a, b in zip(judged, true, strict=True)], scenarios)
    return {
        "judge": float(np.mean(judged)) if rows else None,
        "truth": float(np.mean(true)) if rows else None,
        "difference": more.facts(),
    }


def _slope(rows: Sequence[Judged], of: Callable[[Judged], float]) -> dict[str, Any]:
    """The slope of the gap, and what it makes between the first and the third quartile of what it depends on."""
    values = [float(of(row)) for row in rows]
    found = slope(values, [row.gap for row in rows], [row.scenario for row in rows])
    low, high = np.percentile(values, (25, 75)) if rows else (0.0, 0.0)
    across = None if found.estimate is None else found.estimate * float(high - low)
    return {**found.facts(), "from": float(low), "to": float(high), "across": across}


def _by(rows: Sequence[Judged], key: Callable[[Judged], str], order: Sequence[str] = ()) -> dict[str, Any]:
    groups: dict[str, list[Judged]] = defaultdict(list)
    for row in rows:
        groups[key(row)].append(row)
    names = [*(name for name in order if name in groups), *sorted(set(groups) - set(order))]
    return {name: _summary(groups[name]) for name in names}


def _thirds(values: Sequence[float], of: Callable[[Judged], float], what: str) -> Callable[[Judged], str]:
    """Names the third of all roles that a role is in; one name where the values, counts, do not differ enough."""
    low, high = np.floor(np.percentile(values, (100 / 3, 200 / 3))) if values else (0.0, 0.0)

    def name(row: Judged) -> str:
        if of(row) <= low:
            return f"1: up to {low:.0f} {what}"
        return f"3: over {high:.0f} {what}" if of(row) > high else f"2: up to {high:.0f} {what}"

    return name


def _level(truth: float) -> str:
    return next(name for low, high, name in _LEVELS if truth <= high)


def trend(rows: Sequence[Judged], order: Sequence[str]) -> dict[str, Any]:
    """Whether the gap grows along `order`: points per policy, last minus first, and the answer in a sentence."""
    step, ends = _trend(rows, order)
    return {
        "order": list(order),
        "step": step.facts(),
        "last_minus_first": ends.facts(),
        "sentence": _said(step, order),
    }


def _trend(rows: Sequence[Judged], order: Sequence[str]) -> tuple[Effect, Effect]:
    if len(order) < 2:
        none = missing("there are no policies in order of training; audit a run with --run")
        return none, none
    gaps: dict[str, dict[str, float]] = defaultdict(dict)
    scenario = {row.unit: row.scenario for row in rows}
    for row in rows:
        gaps[row.unit][row.policy] = row.gap
    units = [unit for unit, found in gaps.items() if all(policy in found for policy in order)]
    if not units:
        none = missing("no task was played and rated for all of the policies")
        return none, none
    places = np.arange(len(order)) - (len(order) - 1) / 2
    table = np.array([[gaps[unit][policy] for policy in order] for unit in units])
    steps = table @ places / float(places @ places)
    clusters = [scenario[unit] for unit in units]
    return shift(steps.tolist(), clusters), shift((table[:, -1] - table[:, 0]).tolist(), clusters)


def _said(step: Effect, order: Sequence[str]) -> str:
    question = (
        f"Does the gap grow from {' to '.join(order)}? " if len(order) > 1 else "Does the gap grow with training? "
    )
    if step.estimate is None:
        return f"{question}{(step.why or '').capitalize()}."
    if step.n_scenarios < ENOUGH or step.ci_low is None or step.ci_high is None:
        return f"{question}Not enough episodes to say ({step.n_scenarios} scenarios; it needs {ENOUGH})."
    measured = f"{step.estimate:+.2f} points of GOAL per policy, 95 % CI {step.ci_low:+.2f} to {step.ci_high:+.2f}"
    if step.ci_low > 0:
        return f"{question}Yes: {measured}."
    if step.ci_high < 0:
        return f"{question}No, it shrinks: {measured}."
    return f"{question}There is no sign of it: {measured}."
