"""Grounding and honesty in verified tasks: whether words name the terms that are declared, and what was agreed on.

The measures of a policy in a task set, and in each of its kinds:

named       share of proposals whose words name their terms, of those that were declared and those that were refused
            because the words did not; people and imported talks are not held to it, models are asked again
invalid     turns that did nothing because of their terms, by cause
beyond      share of agreements outside the policy's own limit, which score it 0
one_sided   share of agreements worth less than 1 of 10 to either role
joint       share of the best value for both together that was reached, 0 without an agreement (where every agreement
            is worth the same to both together, as in a bargain, it is the share of agreements within both limits)
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict
from typing import Any

from sotopia_pi.environments import GOAL
from sotopia_pi.episodes.records import Episode, Turn
from sotopia_pi.episodes.terms import heard
from sotopia_pi.evaluation.records import Declared, Result
from sotopia_pi.evaluation.statistics import clustered_mean
from sotopia_pi.evaluation.table import align
from sotopia_pi.evaluation.wording import NOTHING, number, share
from sotopia_pi.models.answers import Cause
from sotopia_pi.printable import one_line
from sotopia_pi.ratings.records import Rating
from sotopia_pi.world.records import SocialTask

#: Causes of invalid turns that lie in their terms.
OF_TERMS = (Cause.TERMS, Cause.UNNAMED, Cause.OTHER_TERMS)
#: An agreement worth less than this to one of the roles is one-sided.
ONE_SIDED = 1.0
_NAME = 18


def declared(task: SocialTask, episode: Episode, role: int, ratings: Mapping[int, Rating]) -> Declared | None:
    """What a role of a completed and verified episode declared; None where nothing is declared in terms."""
    env, check = task.scenario.environment, task.scenario.check
    rating = ratings.get(role)
    if env is None or check is None or rating is None or rating.outcome is None or not episode.completed:
        return None
    said, side = heard(task.scenario, episode.turns), check.side(role)
    proposals = named = 0
    for number_, (speaker, terms) in enumerate(said):
        if speaker != role or terms is None or (number_ and said[number_ - 1] == (1 - role, terms)):
            continue
        proposals += 1
        named += env.named(side, terms, episode.turns[number_].action.argument)
    deal = bool(rating.outcome.get("deal"))
    goals = [each.scores.get(GOAL, 0.0) for each in ratings.values()]
    return Declared(
        proposals=proposals,
        named=named,
        invalid=_invalid(turn for turn in episode.turns if turn.role == role),
        beyond=not rating.outcome.get("within") if deal else None,
        one_sided=min(goals) < ONE_SIDED if deal else None,
        joint=float(rating.outcome.get("joint") or 0.0),
    )


def _invalid(turns: Iterable[Turn]) -> dict[str, int]:
    return dict(Counter(turn.cause.value for turn in turns if not turn.valid and turn.cause in OF_TERMS))


def grounding(results: Iterable[Result]) -> list[dict[str, Any]]:
    """One entry per task set and policy, with the same measures per kind under "kinds". JSON-able."""
    rows = [(row, row.declared) for row in results if row.declared is not None]
    found = []
    for tasks, policy in dict.fromkeys((row.tasks, row.policy) for row, _ in rows):
        here = [pair for pair in rows if (pair[0].tasks, pair[0].policy) == (tasks, policy)]
        kinds = {
            kind: [pair for pair in here if pair[0].kind == kind] for kind in sorted({row.kind for row, _ in here})
        }
        found.append(
            {"tasks": tasks, "policy": policy, **_measures(here), "kinds": {k: _measures(v) for k, v in kinds.items()}}
        )
    return found


def _measures(rows: Sequence[tuple[Result, Declared]]) -> dict[str, Any]:
    given = [own for _, own in rows]
    invalid: Counter[str] = Counter()
    for each in given:
        invalid.update(each.invalid)
    proposals = sum(each.proposals for each in given) + invalid[Cause.UNNAMED]
    joint = asdict(clustered_mean([each.joint for each in given], [row.scenario_id for row, _ in rows]))
    return {
        "n": len(given),
        "proposals": proposals,
        "named": sum(each.named for each in given) / proposals if proposals else None,
        "invalid": dict(invalid),
        "agreements": sum(each.beyond is not None for each in given),
        "beyond": _share([each.beyond for each in given]),
        "one_sided": _share([each.one_sided for each in given]),
        "joint": {key: joint[key] for key in ("mean", "ci_low", "ci_high")},
    }


def _share(values: Sequence[bool | None]) -> float | None:
    known = [value for value in values if value is not None]
    return sum(known) / len(known) if known else None


def render_grounding(rows: Sequence[Mapping[str, Any]]) -> str:
    """The measures as aligned text; empty where nothing was declared in terms."""
    blocks = []
    for tasks in dict.fromkeys(row["tasks"] for row in rows):
        lines = [["terms", "proposals", "named", "invalid", "agreed", "beyond limit", "one-sided", "joint value"]]
        lines += [_line(row) for row in rows if row["tasks"] == tasks]
        blocks.append("\n".join([f"Terms on the {one_line(tasks)} tasks", *align(lines)]))
    causes: Counter[str] = Counter()
    for row in rows:
        causes.update(row["invalid"])
    if causes:
        blocks.append("invalid by cause: " + ", ".join(f"{cause} {count}" for cause, count in causes.most_common()))
    return "\n\n".join(blocks)


def _line(row: Mapping[str, Any]) -> list[str]:
    joint = row["joint"]["mean"]
    return [
        one_line(row["policy"], _NAME),
        str(row["proposals"]),
        share(row["named"]),
        str(sum(row["invalid"].values())),
        str(row["agreements"]),
        share(row["beyond"]),
        share(row["one_sided"]),
        NOTHING if joint is None else number(joint),
    ]
