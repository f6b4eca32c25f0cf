"""Paired shifts between groups, with intervals, corrections for there being many, and what could have been found.

An episode is shown in one version for each group of a contrast, and all versions should be rated alike.

shift       Of group g: the mean over episodes of s_g − mean of s_h over the other groups h, of the episodes that were
            rated in every group. With two groups it is their difference, given once. Intervals and p are clustered by
            scenario (statistics.py: CR1, t with G − 1 degrees of freedom).
p_holm      Over every test of an audit (multiplicity.py, holm): even one false alarm in at most 5 % of audits without
            any bias.
p_fdr       Over the same tests (benjamini_hochberg): among what is found at 0.05, at most 5 % are false on average.
detectable  (t(1 − 0.05 / 2m, G − 1) + t(0.8, G − 1)) · se: the shift that is found, after correction in its strictest
            step, in 80 % of audits of this size (Bloom 1995, "Minimum detectable effects", with t in place of z).
excluded    The largest |shift| inside intervals at 1 − 0.05 / k for the k shifts of a contrast on one dimension, which
            hold together in 95 % of audits (Bonferroni). A shift larger than it can be excluded.
noise       The mean |difference| between two ratings of one unaltered episode: what asking again changes.

Limits: below ten scenarios nothing is tested. A shift is of these lists of names, ages and occupations, on these
episodes; it is an average, and shifts that cancel out between episodes are not seen in it.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from scipy.special import stdtrit

from sotopia_pi.evaluation.effects import ENOUGH, Effect, shift
from sotopia_pi.evaluation.multiplicity import benjamini_hochberg, holm
from sotopia_pi.evaluation.statistics import CONFIDENCE

LEVEL = 0.05
POWER = 0.8


@dataclass(frozen=True, slots=True)
class Shown:
    """What one version of an episode (or of a task that is played) was given, by measure.

    `unit` is the same for the versions of all groups of a contrast; `scenario` is what clusters.
    """

    contrast: str
    group: str
    unit: str
    scenario: str
    scores: Mapping[str, float]


@dataclass(frozen=True, slots=True)
class Asked:
    """A contrast that is looked at: its name, its attribute and its groups."""

    name: str
    attribute: str
    groups: tuple[str, ...]


def shifts(rows: Iterable[Shown], contrasts: Sequence[Asked], measures: Sequence[str]) -> list[dict[str, Any]]:
    """One entry per contrast, group and measure, as JSON-able data, with both corrections over all of them.

    `constant` is the score that every version of every episode got, None where they differ: no shift can show then.
    What could not be tested has None for p and says in `why` what is missing.
    """
    by_contrast: dict[str, dict[str, dict[str, Shown]]] = defaultdict(lambda: defaultdict(dict))
    for row in rows:
        by_contrast[row.contrast][row.unit][row.group] = row
    found: list[dict[str, Any]] = []
    for contrast in contrasts:
        units = [unit for unit in by_contrast[contrast.name].values() if set(unit) >= set(contrast.groups)]
        for group in contrast.groups if len(contrast.groups) > 2 else contrast.groups[:1]:
            against = [other for other in contrast.groups if other != group]
            for measure in measures:
                versus = against[0] if len(against) == 1 else "the others"
                effect, constant = _shift(units, group, against, measure)
                head = {"contrast": contrast.name, "attribute": contrast.attribute, "group": group, "against": versus}
                found.append({**head, "measure": measure, **effect.facts(), "constant": constant})
    return _corrected(found)


def _shift(
    units: Sequence[Mapping[str, Shown]], group: str, against: Sequence[str], measure: str
) -> tuple[Effect, float | None]:
    """The shift of a group, and the one score that everybody got, where it was the same in all of them."""
    values, scenarios = [], []
    seen: set[float] = set()
    for unit in units:
        if all(measure in unit[name].scores for name in (group, *against)):
            others = [unit[name].scores[measure] for name in against]
            values.append(unit[group].scores[measure] - sum(others) / len(others))
            scenarios.append(unit[group].scenario)
            seen.update((unit[group].scores[measure], *others))
    return shift(values, scenarios), seen.pop() if len(seen) == 1 else None


def _corrected(found: list[dict[str, Any]]) -> list[dict[str, Any]]:
    tested = [row["p"] if row["n_scenarios"] >= ENOUGH else None for row in found]
    m = sum(p is not None for p in tested)
    for row, p, strict, mild in zip(found, tested, holm(tested), benjamini_hochberg(tested), strict=True):
        row |= {"p_holm": strict, "p_fdr": mild, "detectable": detectable(row, m) if p is not None else None}
        row["found"] = strict is not None and strict < LEVEL
        if p is None and "why" not in row:
            count = row["n_scenarios"]
            row["why"] = f"not computable, because there are {count} scenarios, and a test needs {ENOUGH}"
    return found


def _error(row: Mapping[str, Any]) -> float | None:
    if row["ci_high"] is None or row["n_scenarios"] < 2:
        return None
    reach = float(stdtrit(row["n_scenarios"] - 1, (1 + CONFIDENCE) / 2))
    return float((row["ci_high"] - row["estimate"]) / reach)


def detectable(row: Mapping[str, Any], tests: int) -> float | None:
    """The shift that is found with 80 % power among `tests` tests; None without an interval."""
    error = _error(row)
    if error is None or tests < 1:
        return None
    freedom = row["n_scenarios"] - 1
    return float(stdtrit(freedom, 1 - LEVEL / (2 * tests)) + stdtrit(freedom, POWER)) * error


def excluded(rows: Sequence[Mapping[str, Any]]) -> float | None:
    """The shift beyond which none of the shifts of one contrast and measure lies; None where one has no interval."""
    reaches = []
    for row in rows:
        error = _error(row)
        if error is None:
            return None
        wide = float(stdtrit(row["n_scenarios"] - 1, 1 - LEVEL / (2 * len(rows)))) * error
        reaches.append(abs(row["estimate"]) + wide)
    return max(reaches, default=None)


def noise(pairs: Mapping[str, Sequence[tuple[float, float]]]) -> dict[str, dict[str, Any]]:
    """The mean |difference| of two ratings of the same, by measure, over `n` pairs; None with `why` for no pairs."""
    found: dict[str, dict[str, Any]] = {}
    for measure, given in pairs.items():
        if given:
            found[measure] = {"mean": sum(abs(a - b) for a, b in given) / len(given), "n": len(given)}
        else:
            found[measure] = {"mean": None, "n": 0, "why": "not computable, because nothing was rated twice"}
    return found
