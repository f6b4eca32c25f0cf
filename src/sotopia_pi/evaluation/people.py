"""What people say of episodes: means per side with intervals, agreement, and a judge held against them.

An *annotated* episode has the scores of one or several people for both roles. One role was played by the policy under
test (the target), the other by its partner; in self-play both roles are target and partner. Scores of a role are first
averaged over its annotators, so that it counts once however many people rated it; means and intervals are then over
roles, clustered by scenario. Whatever cannot be computed says why; nothing is ever NaN.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from math import sqrt
from statistics import fmean, stdev
from typing import Any

from sotopia_pi.evaluation.correlations import correlated
from sotopia_pi.evaluation.reliability import (
    Measure,
    intraclass_correlation,
    krippendorff_alpha,
    pairwise_agreement,
    randolph_kappa,
)
from sotopia_pi.evaluation.statistics import clustered_mean, paired
from sotopia_pi.ratings.records import DIMENSIONS

OVERALL = "overall"
SCALES = (*DIMENSIONS, OVERALL)
SIDES = ("target", "partner")

Scores = Mapping[str, float]


@dataclass(frozen=True, slots=True)
class Annotation:
    """One person's scores of both roles, by dimension; a dimension that was left out is missing."""

    annotator: str
    scores: tuple[Scores, Scores]


@dataclass(slots=True)
class Annotated:
    """An episode that people rated. `target` is the role of the policy under test, None where it played both.

    `judged` has the scores of judges, empty for a role that a judge did not rate.
    """

    key: str
    scenario: str
    target: int | None
    annotations: list[Annotation] = field(default_factory=list)
    judged: dict[str, tuple[Scores, Scores]] = field(default_factory=dict)

    def roles(self, side: str) -> tuple[int, ...]:
        """The roles of a side."""
        if self.target is None:
            return (0, 1)
        return (self.target,) if side == SIDES[0] else (1 - self.target,)

    def scores(self, role: int, scale: str) -> list[float]:
        """What each person gave a role, in the order of the annotations; without those who left the scale out."""
        given = (on(annotation.scores[role], scale) for annotation in self.annotations)
        return [score for score in given if score is not None]

    def scores_by_person(self, role: int, scale: str) -> list[float]:
        """As `scores`, with one score per person: a second one by the same hand would agree too well."""
        first = {one.annotator: one for one in reversed(self.annotations)}
        given = (on(annotation.scores[role], scale) for annotation in first.values())
        return [score for score in given if score is not None]

    def means(self, side: str, scale: str) -> list[tuple[int, float]]:
        """The roles of a side with the mean over people; without a role that nobody gave a score."""
        given = ((role, self.scores(role, scale)) for role in self.roles(side))
        return [(role, fmean(scores)) for role, scores in given if scores]


def role_of(policy: str, players: Sequence[str]) -> int | None:
    """The `target` of an episode of two roles: the role of the policy, None for both. ValueError for neither."""
    return None if players[0] == players[1] == policy else players.index(policy)


def on(scores: Scores, scale: str) -> float | None:
    """A score on a scale; `overall` is the mean of the seven and exists only where all seven do."""
    if scale != OVERALL:
        return scores.get(scale)
    return fmean(scores[name] for name in DIMENSIONS) if scores.keys() >= DIMENSIONS.keys() else None


def summary(episodes: Sequence[Annotated]) -> dict[str, Any]:
    """Everything about one condition, as JSON-able data; see the module and docs/human-evaluation.md for each part."""
    judges = sorted({judge for episode in episodes for judge in episode.judged})
    return {
        "n_episodes": len(episodes),
        "n_annotations": sum(len(episode.annotations) for episode in episodes),
        "n_annotators": len({one.annotator for episode in episodes for one in episode.annotations}),
        "n_scenarios": len({episode.scenario for episode in episodes}),
        **{side: {scale: _mean(episodes, side, scale) for scale in SCALES} for side in SIDES},
        "agreement": {scale: _agreement(episodes, scale) for scale in DIMENSIONS},
        "judges": {judge: {side: _held_against(episodes, judge, side) for side in SIDES} for judge in judges},
    }


def compare(first: Sequence[Annotated], second: Sequence[Annotated]) -> dict[str, Any]:
    """The target side of two conditions by scenario: the paired t-test of the scenario means, per scale.

    As the paper did: a scenario's value is the mean over its roles, and the test has one degree of freedom less than
    there are scenarios that both conditions have.
    """
    return {scale: _scenario_test(first, second, scale) for scale in SCALES}


def _mean(episodes: Sequence[Annotated], side: str, scale: str) -> dict[str, Any]:
    found = [(mean, one.scenario) for one in episodes for _, mean in one.means(side, scale)]
    estimate = clustered_mean([mean for mean, _ in found], [scenario for _, scenario in found])
    told = {"mean": estimate.mean, "ci_low": estimate.ci_low, "ci_high": estimate.ci_high, "n": estimate.n}
    if estimate.mean is None:
        return {**told, "why": "not computable, because nobody rated it"}
    if estimate.ci_low is None:
        return {**told, "why": "no interval is computable, because there is only one scenario"}
    return told


_MEASURES: Mapping[str, Callable[[Sequence[Sequence[float]], tuple[float, float]], Measure]] = {
    "pairwise": pairwise_agreement,
    "randolph_kappa": randolph_kappa,
    "krippendorff_alpha": lambda items, _: krippendorff_alpha(items),
    "icc": lambda items, _: intraclass_correlation(items),
    "icc_of_means": lambda items, _: intraclass_correlation(items, of_means=True),
}


def _agreement(episodes: Sequence[Annotated], scale: str) -> dict[str, Any]:
    """Agreement over both sides: an item is one role of one episode, with the first score of each person."""
    items = [episode.scores_by_person(role, scale) for episode in episodes for role in (0, 1)]
    found: dict[str, Any] = {"n": sum(len(item) > 1 for item in items)}
    for name, measure in _MEASURES.items():
        told = measure(items, DIMENSIONS[scale])
        found[name] = {"value": told.value} if told.why is None else {"value": None, "why": told.why}
    return found


def _held_against(episodes: Sequence[Annotated], judge: str, side: str) -> dict[str, Any]:
    return {scale: _against(episodes, judge, side, scale) for scale in SCALES}


def _against(episodes: Sequence[Annotated], judge: str, side: str, scale: str) -> dict[str, Any]:
    """A judge's scores of a side and the people's: the mean gap (judge minus people) and the correlations."""
    rows: list[tuple[float, float, str]] = []
    for one in episodes:
        for role, people in one.means(side, scale) if judge in one.judged else ():
            given = on(one.judged[judge][role], scale)
            if given is not None:
                rows.append((given, people, one.scenario))
    judged, rated = [row[0] for row in rows], [row[1] for row in rows]
    gap = paired(judged, rated, [row[2] for row in rows])
    flat = ("the judge gave everybody the same", "the people gave everybody the same")
    told = {
        "n": len(rows),
        "gap": gap.delta,
        "ci_low": gap.ci_low,
        "ci_high": gap.ci_high,
        **correlated(judged, rated, flat).facts(),
    }
    if not rows:
        told["why"] = "not computable, because the judge and the people rated nothing in common"
    elif gap.n_clusters < 2:
        alone = "no interval is computable, because there is only one scenario"
        told["why"] = f"{alone}; {told['why']}" if "why" in told else alone
    return told


def _scenario_test(first: Sequence[Annotated], second: Sequence[Annotated], scale: str) -> dict[str, Any]:
    ours, theirs = _by_scenario(first, scale), _by_scenario(second, scale)
    both = [name for name in ours if name in theirs]
    a, b = [ours[name] for name in both], [theirs[name] for name in both]
    test = paired(a, b, both)
    told: dict[str, Any] = {
        "n_scenarios": len(both),
        "n_unpaired": len(ours) + len(theirs) - 2 * len(both),
        "delta": test.delta,
        "ci_low": test.ci_low,
        "ci_high": test.ci_high,
        "t": None,
        "df": len(both) - 1 if both else None,
        "p": test.p,
    }
    if len(both) < 2:
        told["why"] = f"no test is computable, because the conditions share {len(both)} scenarios, and it needs two"
        return told
    differences = [x - y for x, y in zip(a, b, strict=True)]
    error = stdev(differences) / sqrt(len(both))
    if error < 1e-12:
        told |= {"ci_low": None, "ci_high": None, "p": None}
        told["why"] = "no test is computable, because every scenario differs by the same"
    else:
        told["t"] = fmean(differences) / error
    return told


def _by_scenario(episodes: Sequence[Annotated], scale: str) -> dict[str, float]:
    found: dict[str, list[float]] = defaultdict(list)
    for one in episodes:
        found[one.scenario] += [mean for _, mean in one.means(SIDES[0], scale)]
    return {scenario: fmean(means) for scenario, means in found.items() if means}
