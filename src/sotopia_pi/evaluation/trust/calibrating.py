"""From a judge's GOAL to the true one: the best rising map, and whether it helps on scenarios it has not seen.

map     Isotonic regression: of all maps that never fall, the one with the least Σ (truth − map(judge))², by pooling
        adjacent violators (Barlow et al. 1972). Scores between two that were seen are interpolated, scores beyond
        them get the nearest.
error   Mean and root mean square |truth − score| before and after, the latter by cross-validation: scenarios are dealt
        into five parts, and each part is mapped by what the other four say.

Limits: a rising map takes away a bias that depends on the score, and nothing else (length, place, policy); it cannot
put two roles into another order. It is learnt on GOAL of verified scenarios.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import numpy as np

from sotopia_pi.evaluation.effects import ENOUGH, shift
from sotopia_pi.records import derive_seed

_PARTS = 5
Knots = list[tuple[float, float]]


def isotonic(x: Sequence[float], y: Sequence[float]) -> Knots:
    """The rising map as (score, calibrated score): the ends of its flat parts. ValueError for no values."""
    if not x or len(x) != len(y):
        raise ValueError(f"{len(x)} scores for {len(y)} truths")
    scores, inverse = np.unique(np.asarray(x, dtype=np.float64), return_inverse=True)
    weights = np.bincount(inverse.reshape(-1)).astype(np.float64)
    means = np.bincount(inverse.reshape(-1), weights=np.asarray(y, dtype=np.float64)) / weights
    blocks: list[list[float]] = []  # mean, weight, how many scores
    for mean, weight in zip(means, weights, strict=True):
        blocks.append([float(mean), float(weight), 1])
        while len(blocks) > 1 and blocks[-2][0] >= blocks[-1][0]:
            second, first = blocks.pop(), blocks.pop()
            total = first[1] + second[1]
            pooled = (first[0] * first[1] + second[0] * second[1]) / total
            blocks.append([pooled, total, first[2] + second[2]])
    knots: Knots = []
    start = 0
    for mean, _, count in blocks:
        end = start + int(count) - 1
        knots += [(float(scores[at]), mean) for at in dict.fromkeys((start, end))]  # between them it is flat
        start = end + 1
    return knots


def mapped(knots: Sequence[Sequence[float]], score: float) -> float:
    """The calibrated score."""
    return float(np.interp(score, [knot[0] for knot in knots], [knot[1] for knot in knots]))


def calibration(given: Sequence[float], truth: Sequence[float], scenarios: Sequence[str]) -> dict[str, Any]:
    """Knots over all values and the errors before and after; or `why` there are none."""
    labels = sorted(set(scenarios))
    if len(labels) < ENOUGH:
        many = f"there are {len(labels)} scenarios with a true and a judged GOAL, and a map needs {ENOUGH}"
        return {"n": len(given), "n_scenarios": len(labels), "why": f"not computable, because {many}"}
    dealt = sorted(labels, key=lambda label: derive_seed("calibration", label))
    part = {label: at % _PARTS for at, label in enumerate(dealt)}
    after = np.empty(len(given))
    for number in range(_PARTS):
        kept = [at for at, label in enumerate(scenarios) if part[label] != number]
        knots = isotonic([given[at] for at in kept], [truth[at] for at in kept])
        for at, label in enumerate(scenarios):
            if part[label] == number:
                after[at] = mapped(knots, given[at])
    before = np.abs(np.asarray(given, dtype=np.float64) - np.asarray(truth, dtype=np.float64))
    rest = np.abs(after - np.asarray(truth, dtype=np.float64))
    return {
        "n": len(given),
        "n_scenarios": len(labels),
        "knots": isotonic(given, truth),
        "mae_before": float(before.mean()),
        "mae_after": float(rest.mean()),
        "rmse_before": math.sqrt(float(np.square(before).mean())),
        "rmse_after": math.sqrt(float(np.square(rest).mean())),
        "gain": shift((before - rest).tolist(), scenarios).facts(),
    }
