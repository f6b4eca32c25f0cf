"""What policies can do in general, beside their base: accuracies and paired differences, each with its interval.

Every policy answers the same questions. For MMLU a value is 1 for a right answer and 0 otherwise, accuracy is the mean
over all questions (as the authors count it, so large subjects weigh more), and intervals and p are cluster-robust with
the subject as cluster (statistics.py), because questions of one subject resemble each other. For other tasks each
question is a cluster of its own. A difference is policy minus base, paired by question.

Limits: an interval over subjects says what other subjects of this kind would give, not another prompt or answer rule.
"""

from __future__ import annotations

from collections.abc import Hashable, Mapping, Sequence
from typing import Any

from sotopia_pi.evaluation.harness import Answers
from sotopia_pi.evaluation.mmlu import GROUPS, group_of, subject_of
from sotopia_pi.evaluation.statistics import clustered_mean, paired
from sotopia_pi.evaluation.table import align

BASE = "base"
#: A question: the task it belongs to, and its id there.
Question = tuple[str, str]
Values = dict[Question, float]


def estimate(values: Sequence[float], clusters: Sequence[Hashable], of: str) -> dict[str, Any]:
    """A mean with its interval as JSON-able data; `why` says why there is no interval, or no mean."""
    found = clustered_mean(values, clusters)
    why = _why(found.mean, found.ci_low, found.n_clusters, of)
    return {"mean": found.mean, "ci_low": found.ci_low, "ci_high": found.ci_high, "n": found.n, **why}


def difference(policy: Values, base: Values, clusters: Mapping[Question, Hashable], of: str) -> dict[str, Any]:
    """The mean difference on the questions that both answered, with interval and p; `why` as in `estimate`."""
    shared = [question for question in policy if question in base]
    found = paired([policy[q] for q in shared], [base[q] for q in shared], [clusters[q] for q in shared])
    why = _why(found.delta, found.ci_low, found.n_clusters, of)
    return {"mean": found.delta, "ci_low": found.ci_low, "ci_high": found.ci_high, "p": found.p, "n": found.n, **why}


def _why(mean: float | None, low: float | None, clusters: int, of: str) -> dict[str, str]:
    if mean is None:
        return {"why": "not computable, because there is no question"}
    if low is None:
        return {"why": f"interval not computable, because there is {clusters} {of} and it takes two"}
    return {}


def mmlu_summary(found: Mapping[str, Answers], metric: str) -> dict[str, Any]:
    """Accuracy of each policy: in all, by group and by subject; and what it gains or loses to the base."""
    values = {name: _values(answers, metric) for name, answers in found.items()}
    policies = []
    for name, own in values.items():
        missed = sum(len(ids) for ids in found[name].unanswered.values())
        row: dict[str, Any] = {"policy": name, "accuracy": _by_subject(own), "unanswered": missed}
        row["groups"] = {
            group: _by_subject(part)
            for group in GROUPS
            if (part := {q: v for q, v in own.items() if group_of(subject_of(q[0])) == group})
        }
        row["subjects"] = {subject_of(task): _by_question(own, task) for task in sorted({q[0] for q in own})}
        if name != BASE and BASE in values:
            row["difference_to_base"] = difference(own, values[BASE], {q: q[0] for q in own}, "subject")
        policies.append(row)
    return {"policies": policies}


def _by_subject(values: Values) -> dict[str, Any]:
    return estimate(list(values.values()), [task for task, _ in values], "subject")


def _by_question(values: Values, task: str) -> dict[str, Any]:
    own = [value for (of, _), value in values.items() if of == task]
    return estimate(own, range(len(own)), "question")


def _values(answers: Answers, metric: str) -> Values:
    return {
        (task, id): held[metric]
        for task, questions in answers.questions.items()
        for id, held in questions.items()
        if metric in held
    }


def tasks_summary(found: Mapping[str, Answers]) -> dict[str, Any]:
    """Every metric that lm-eval gives for each task and policy, and the difference to the base."""
    rows = []
    for name, answers in found.items():
        for task, totals in answers.totals.items():
            for metric, total in totals.items():
                if "_stderr," in metric:
                    continue
                own = {q: v for q, v in _values(answers, metric).items() if q[0] == task}
                row: dict[str, Any] = {"policy": name, "task": task, "metric": metric, "value": total}
                row["interval"] = (
                    estimate(list(own.values()), list(own), "question")
                    if own
                    else {"why": "not computable, because the metric has no value per question"}
                )
                if name != BASE and BASE in found and own:
                    base = {q: v for q, v in _values(found[BASE], metric).items() if q[0] == task}
                    row["difference_to_base"] = difference(own, base, {q: q for q in own}, "question")
                rows.append(row)
    return {"rows": rows}


def mmlu_lines(summary: Mapping[str, Any]) -> list[str]:
    """The summary as a table: policies, their groups, their gain; then subjects."""
    policies = summary["policies"]
    groups = [group for group in GROUPS if any(group in row["groups"] for row in policies)]
    head = ["policy", "MMLU %", "[95 % CI]", *groups, "n", "unanswered", "− base", "[95 % CI]", "p"]
    rows = []
    for row in policies:
        gain = row.get("difference_to_base", {})
        of_groups = [_percent(row["groups"].get(group, {}).get("mean")) for group in groups]
        whole = row["accuracy"]
        own = [row["policy"], _percent(whole["mean"]), _interval(whole), *of_groups, str(whole["n"])]
        beside = [_percent(gain.get("mean"), "+"), _interval(gain, "+"), _p(gain)]
        rows.append([*own, str(row["unanswered"]), *beside])
    lines = align([head, *rows])
    subjects = list(dict.fromkeys(subject for row in policies for subject in row["subjects"]))
    names = [row["policy"] for row in policies]
    table = [[s, *(_percent(row["subjects"].get(s, {}).get("mean")) for row in policies)] for s in subjects]
    return [*lines, *_reasons(policies), "", *align([["subject", *names], *table])]


def _reasons(policies: Sequence[Mapping[str, Any]]) -> list[str]:
    reasons = [row["accuracy"].get("why") for row in policies]
    return [f"  {why}" for why in dict.fromkeys(reasons) if why]


def tasks_lines(summary: Mapping[str, Any]) -> list[str]:
    """The summary of other tasks as a table."""
    rows = []
    for row in summary["rows"]:
        gain = row.get("difference_to_base", {})
        shown = [_number(row["value"]), _interval(row["interval"], scale=1)]
        shown += [_number(gain.get("mean"), "+"), _interval(gain, "+", 1), _p(gain)]
        rows.append([row["task"], row["metric"], row["policy"], *shown])
    rows.sort(key=lambda row: (row[0], row[1]))
    return align([["task", "metric", "policy", "value", "[95 % CI]", "− base", "[95 % CI]", "p"], *rows])


def _percent(value: float | None, sign: str = "") -> str:
    return "–" if value is None else f"{100 * value:{sign}.2f}"


def _number(value: float | None, sign: str = "") -> str:
    return "–" if value is None else f"{value:{sign}.4g}"


def _interval(found: Mapping[str, Any], sign: str = "", scale: int = 100) -> str:
    if found.get("ci_low") is None:
        return "–"
    low, high = scale * found["ci_low"], scale * found["ci_high"]
    form = f"{sign}.2f" if scale == 100 else f"{sign}.4g"
    return f"[{low:{form}}, {high:{form}}]"


def _p(found: Mapping[str, Any]) -> str:
    return "–" if found.get("p") is None else f"{found['p']:.3f}"
