"""Ratings: one rater's scores of one role of one episode, or the reason why there are none."""

from __future__ import annotations

from typing import Any

from pydantic import Field

from sotopia_pi.records import Record

#: SOTOPIA-EVAL's seven dimensions and their ranges (paper.md section 2).
DIMENSIONS: dict[str, tuple[int, int]] = {
    "believability": (0, 10),
    "relationship": (-5, 5),
    "knowledge": (0, 10),
    "secret": (-10, 0),
    "social_rules": (-10, 0),
    "financial_and_material_benefits": (-5, 5),
    "goal": (0, 10),
}


class Rating(Record):
    """One rater's view of one role of one episode.

    `scores` and `reasons` are by dimension and may be incomplete: a verifier rates only what it can decide.
    `failure` is set, and `scores` empty, when no rating could be given. `sample` counts the ratings that one rater gave
    one role, from 0. `outcome` is what a verifier found, as JSON-able data for reports.
    """

    episode: str
    role: int
    rater: str
    sample: int = Field(default=0, ge=0)
    scores: dict[str, float] = Field(default_factory=dict)
    reasons: dict[str, str] = Field(default_factory=dict)
    outcome: dict[str, Any] | None = None
    failure: str | None = None

    @property
    def overall(self) -> float | None:
        """Mean of the seven dimensions; None when one of them is missing."""
        if not DIMENSIONS.keys() <= self.scores.keys():
            return None
        return sum(self.scores[dimension] for dimension in DIMENSIONS) / len(DIMENSIONS)
