"""What an audit measures with: one row per rated role, and pairs of ratings of the same role."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Judged:
    """One role of one episode: its true GOAL (`truth`, by the verifier) and what the judge gave.

    `unit` names what is the same for all policies (task, role and repeat); `words` are those the role said, `turns`
    all turns of the episode.
    """

    policy: str
    scenario: str
    kind: str
    unit: str
    words: int
    turns: int
    truth: float
    given: float

    @property
    def gap(self) -> float:
        """Judge minus truth, in points of GOAL."""
        return self.given - self.truth


@dataclass(frozen=True, slots=True)
class Change:
    """A role's GOAL before and after an alteration that should change nothing.

    `sign` is 1 where the alteration should raise the score of somebody who is biased in the direction that is looked
    for (for places: moved to the first place), -1 where it should lower it. `again` is a second rating of the
    unaltered episode, where there is one.
    """

    scenario: str
    before: float
    after: float
    sign: int = 1
    again: float | None = None


@dataclass(frozen=True, slots=True)
class Pairing:
    """The GOAL that two or more judges gave one role, in the order of the judges."""

    scenario: str
    scores: tuple[float, ...]
