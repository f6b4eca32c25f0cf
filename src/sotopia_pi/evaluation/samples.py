"""Episodes to read in the report: of each policy a good one, a middling one and a bad one."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from sotopia_pi.episodes.records import Episode
from sotopia_pi.evaluation.records import Result
from sotopia_pi.evaluation.report import Sample, SampleTurn
from sotopia_pi.ratings.records import Rating
from sotopia_pi.world.records import SocialTask


def choose(results: Sequence[Result], count: int) -> list[Result]:
    """`count` rated rows spread evenly from the best to the worst GOAL; ties by episode key."""
    rated = sorted((row for row in results if row.goal is not None), key=lambda row: (-(row.goal or 0.0), row.episode))
    if count <= 0 or not rated:
        return []
    if count == 1:
        return rated[:1]
    last = len(rated) - 1
    return [rated[at] for at in dict.fromkeys(round(i * last / (count - 1)) for i in range(count))]


def sample(row: Result, task: SocialTask, episode: Episode, ratings: Mapping[int, Rating]) -> Sample:
    """The episode behind a row, for reading."""
    names = [character.name for character in task.characters]
    rating = ratings[row.role]
    return Sample(
        title=f"{task.scenario.kind}: GOAL {row.goal:.1f}",
        situation=task.scenario.situation,
        goals=task.scenario.goals,
        characters=names,
        turns=[
            SampleTurn(
                names[turn.role],
                turn.action.type.value,
                turn.action.argument,
                turn.valid,
                turn.raw,
                turn.action.terms or "",
            )
            for turn in episode.turns
        ],
        outcome=rating.reasons.get("goal", ""),
        scores=[dict(ratings[role].scores) if role in ratings else {} for role in task.roles],
        policy_role=row.role,
    )
