"""The numbers of the report from a snapshot: every evaluated policy, paired differences, the audit of judges.

The same definitions as in `evaluation.summary`, over columns instead of rows, so that they are there at once for any
number of episodes and for a run that has no report yet. A test holds both against each other.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np

from sotopia_pi.evaluation.correlations import correlated
from sotopia_pi.evaluation.statistics import Clusters, Floats, clustered_mean, paired
from sotopia_pi.evaluation.summary import BASE, EXPERT, default_pairs
from sotopia_pi.ratings.panel import is_judge
from sotopia_pi.ratings.records import DIMENSIONS
from sotopia_pi.ratings.verifier import VERIFIER
from sotopia_pi.web.snapshot import Indices, Mask, Snapshot

_SETS = ("test", "transfer")
Row = dict[str, Any]


@dataclass(frozen=True, slots=True, eq=False)
class Setting:
    """The evaluated roles of one task set against one partner, all scored by `rater`."""

    tasks: str
    partner: str
    rater: str
    rows: Indices


def conditions(
    snapshot: Snapshot, order: Sequence[str] = (), parents: Mapping[str, str] | None = None
) -> dict[str, list[Row]]:
    """What report.json has under "evaluations", "comparisons" and "audit", for all that is stored by now.

    `order` are the policies of the rounds in their order, `parents` what each was trained from.
    """
    rated: list[Row] = []
    compared: list[Row] = []
    for setting in settings_of(snapshot):
        policies = _ordered(snapshot, setting.rows, order)
        own = {policy: _of(snapshot, setting.rows, policy) for policy in policies}
        names = {"partner": setting.partner, "tasks": setting.tasks}
        for policy, rows in own.items():
            kinds = snapshot.labels("kind")
            codes = kinds.codes[rows]
            by_kind = {kinds.names[code]: rows[codes == code] for code in np.unique(codes)}
            summaries = {kind: _summary(snapshot, by_kind[kind], setting.rater) for kind in sorted(by_kind)}
            summary = _summary(snapshot, rows, setting.rater)
            rated.append({"policy": policy, **names, "rater": setting.rater, **summary, "kinds": summaries})
        for a, b in default_pairs(policies, parents):
            compared.append({"a": a, "b": b, **names, **_compare(snapshot, own[a], own[b], setting.rater)})
    return {"evaluations": rated, "comparisons": compared, "audit": _audit(snapshot)}


def settings_of(snapshot: Snapshot) -> list[Setting]:
    """The task sets and partners of the evaluation stages, the test tasks first."""
    rows = _evaluated(snapshot)
    labels = _set_labels(snapshot, rows)
    partner = snapshot.labels("partner")
    found = []
    for label in sorted(set(labels.tolist()), key=lambda name: (name != "test", name)):
        here = rows[labels == label]
        rater = VERIFIER
        if not snapshot.tasks.verified[snapshot.labels("task").codes[here]].all():
            judges = [name for name in snapshot.raters() if is_judge(name)]
            rater = max(
                judges, key=lambda name: int(_known(snapshot.score(name, "goal")[here]).sum()), default=VERIFIER
            )
        for code in np.unique(partner.codes[here]):
            found.append(Setting(label, partner.names[code], rater, here[partner.codes[here] == code]))
    return found


def _evaluated(snapshot: Snapshot) -> Indices:
    """The role of the evaluated policy in each evaluation episode."""
    player, part = snapshot.labels("player"), snapshot.labels("part")
    same = np.array([player.names.index(name) if name in player.names else -1 for name in part.names], dtype=np.int64)
    rows = snapshot.rows(snapshot.where("verb", ["evaluate"]))
    rows = rows[same[part.codes[rows]] == player.codes[rows]]
    _, first = np.unique(snapshot.column("episode")[rows], return_index=True)
    found: Indices = rows[np.sort(first)]
    return found


def _set_labels(snapshot: Snapshot, rows: Indices) -> Any:
    """The set of each row; open tasks among verified ones are a set of their own, because another rater scores them."""
    group, task = snapshot.labels("group"), snapshot.labels("task").codes[rows]
    verified = snapshot.tasks.verified
    names: list[str] = []
    for code, name in enumerate(group.names):
        members = verified[snapshot.tasks.group.codes == code]
        names.append(f"open {name}" if name in _SETS and members.any() and not members.all() else name)
    plain = np.array([name or "other" for name in group.names], dtype=object)
    opened = np.array([name or "other" for name in names], dtype=object)
    codes = group.codes[rows]
    if not len(codes):
        return np.zeros(0, dtype=object)
    return np.where(verified[task], plain[codes], opened[codes])


def _ordered(snapshot: Snapshot, rows: Indices, order: Sequence[str]) -> list[str]:
    player = snapshot.labels("player")
    present = [player.names[code] for code in np.unique(player.codes[rows])]
    ranked = dict.fromkeys([BASE, *(name for name in order if name != EXPERT), *(n for n in present if n != EXPERT)])
    return [name for name in (*ranked, EXPERT) if name in present]


def _of(snapshot: Snapshot, rows: Indices, policy: str) -> Indices:
    found: Indices = rows[snapshot.where("player", [policy])[rows]]
    return found


def _known(values: Floats) -> Mask:
    known: Mask = ~np.isnan(values)
    return known


def _rated(snapshot: Snapshot, rows: Indices, rater: str) -> Indices:
    """Those rows that have a GOAL score that counts."""
    found: Indices = rows[_known(snapshot.score(rater, "goal")[rows]) & ~snapshot.column("failed")[rows]]
    return found


def _summary(snapshot: Snapshot, rows: Indices, rater: str) -> Row:
    counted = _rated(snapshot, rows, rater)
    scenario = snapshot.labels("scenario").codes
    actions, invalid = (int(snapshot.column(name)[rows].sum()) for name in ("actions", "invalid"))
    own = int(snapshot.column("actions")[counted].sum())
    return {
        "n": len(counted),
        "n_failed": len(rows) - len(counted),
        "invalid_actions": invalid,
        "actions": actions,
        "goal": _mean(snapshot.score(rater, "goal")[counted], scenario[counted]),
        "n_scenarios": len(np.unique(scenario[counted])),
        "deal_rate": _deal_rate(snapshot, counted, rater),
        "invalid_share": _ratio(invalid, actions),
        "words_per_turn": _ratio(int(snapshot.column("words")[counted].sum()), own),
        "turns": _ratio(int(snapshot.column("turns")[counted].sum()), len(counted)),
        "stop_reasons": _counts(snapshot, counted),
        "scores": _other_scores(snapshot, counted, rater),
        "failures": _failures(snapshot, rows, counted, rater),
    }


def _mean(values: Floats, clusters: Clusters) -> dict[str, float | None]:
    estimate = asdict(clustered_mean(values, clusters))
    return {name: estimate[name] for name in ("mean", "ci_low", "ci_high")}


def _deal_rate(snapshot: Snapshot, rows: Indices, rater: str) -> dict[str, float | None] | None:
    known = rows[_known(snapshot.deal(rater)[rows])]
    if not len(known):
        return None
    rate = _mean(snapshot.deal(rater)[known], snapshot.labels("scenario").codes[known])
    return {name: None if value is None else min(1.0, max(0.0, value)) for name, value in rate.items()}


def _counts(snapshot: Snapshot, rows: Indices) -> dict[str, int]:
    reasons = snapshot.labels("stop_reason")
    counts = np.bincount(reasons.codes[rows], minlength=len(reasons.names))
    found = {name: int(count) for name, count in zip(reasons.names, counts, strict=True) if name and count}
    return dict(sorted(found.items(), key=lambda item: (-item[1], item[0])))


def _other_scores(snapshot: Snapshot, rows: Indices, rater: str) -> dict[str, Row]:
    scenario, found = snapshot.labels("scenario").codes, {}
    names = [name for name in snapshot.dimensions(rater) if name != "goal"]
    for name in sorted(names, key=lambda name: list(DIMENSIONS).index(name) if name in DIMENSIONS else 9):
        holders = rows[_known(snapshot.score(rater, name)[rows])]
        if len(holders):
            found[name] = {"n": len(holders), **_mean(snapshot.score(rater, name)[holders], scenario[holders])}
    return found


def _failures(snapshot: Snapshot, rows: Indices, counted: Indices, rater: str) -> dict[str, int]:
    failed, unrated = snapshot.column("failed")[rows], snapshot.rating_failed(rater)[rows]
    episodes, ratings = int(failed.sum()), int((unrated & ~failed).sum())
    rest = len(rows) - len(counted) - episodes - ratings
    found = {"episode": episodes, "rating failed": ratings, "not rated": rest}
    return {name: count for name, count in sorted(found.items(), key=lambda item: -item[1]) if count}


def _ratio(total: float, count: int) -> float | None:
    return total / count if count else None


def _compare(snapshot: Snapshot, a: Indices, b: Indices, rater: str) -> Row:
    first, second = _rated(snapshot, a, rater), _rated(snapshot, b, rater)
    identity = _identities(snapshot)
    _, at, to = np.intersect1d(identity[first], identity[second], return_indices=True)
    scores, scenario = snapshot.score(rater, "goal"), snapshot.labels("scenario").codes
    found = paired(scores[first[at]], scores[second[to]], scenario[first[at]])
    return {
        "n": found.n,
        "n_unpaired": len(a) + len(b) - 2 * found.n,
        "n_scenarios": found.n_clusters,
        "delta": found.delta,
        "ci_low": found.ci_low,
        "ci_high": found.ci_high,
        "p": found.p,
    }


def _identities(snapshot: Snapshot) -> Any:
    """A number per row that is the same for the same task, role and repeat."""
    repeat, role = snapshot.column("repeat"), snapshot.column("role")
    tasks = snapshot.labels("task").codes.astype(np.int64)
    return (tasks * (int(repeat.max(initial=0)) + 1) + repeat) * (int(role.max(initial=0)) + 1) + role


def _audit(snapshot: Snapshot) -> list[Row]:
    """Per judge and policy how far GOAL agrees with the verifier's, on the evaluation episodes."""
    rows = _evaluated(snapshot)
    verified, scenario, found = snapshot.score(VERIFIER, "goal"), snapshot.labels("scenario").codes, []
    for judge in snapshot.raters() if len(rows) else ():
        judged = snapshot.score(judge, "goal")
        both = rows[_known(verified[rows]) & _known(judged[rows])]
        for policy in _ordered(snapshot, both, ()) if is_judge(judge) else ():
            own = _of(snapshot, both, policy)
            by_judge, by_program = judged[own], verified[own]
            difference = paired(by_judge, by_program, scenario[own])
            together = correlated(by_judge, by_program)
            row = {"judge": judge, "policy": policy, "n": len(own)}
            row |= {"pearson": together.pearson, "spearman": together.spearman}
            row |= {"verified": float(by_program.mean()), "judged": float(by_judge.mean())}
            found.append(row | {name: getattr(difference, name) for name in ("delta", "ci_low", "ci_high")})
    return found
