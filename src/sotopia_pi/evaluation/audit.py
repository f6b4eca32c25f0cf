"""How far a judge agrees with the verifier, where both gave a GOAL score: per judge and policy.

A judge that is used to train a policy can come to over-rate it, so the agreement is given for each policy by itself.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from sotopia_pi.evaluation.correlations import correlated
from sotopia_pi.evaluation.statistics import paired


@dataclass(frozen=True, slots=True)
class Audited:
    """One role's GOAL by the verifier and by a judge."""

    policy: str
    judge: str
    scenario_id: str
    verified: float
    judged: float


def audit(rows: Sequence[Audited]) -> list[dict[str, Any]]:
    """One entry per judge and policy, in the order of `rows`.

    "n" pairs; "pearson" and "spearman", None below three pairs or where either rater gave one value only; "delta", the
    judge's mean GOAL minus the verifier's, with a 95 % interval clustered by scenario.
    """
    found = []
    for judge, policy in dict.fromkeys((row.judge, row.policy) for row in rows):
        own = [row for row in rows if (row.judge, row.policy) == (judge, policy)]
        judged, verified = [row.judged for row in own], [row.verified for row in own]
        difference = paired(judged, verified, [row.scenario_id for row in own])
        together = correlated(judged, verified)
        found.append(
            {
                "judge": judge,
                "policy": policy,
                "n": len(own),
                "pearson": together.pearson,
                "spearman": together.spearman,
                "verified": sum(verified) / len(own),
                "judged": sum(judged) / len(own),
                "delta": difference.delta,
                "ci_low": difference.ci_low,
                "ci_high": difference.ci_high,
            }
        )
    return found
