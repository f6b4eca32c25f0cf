"""Who is evaluated on what: every policy in every role of every held-out task, against the fixed partner.

`plans` lays the episodes down, `results` reads one row per evaluated role back from what was stored.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from sotopia_pi.config import PARTNER
from sotopia_pi.episodes.play import Plan
from sotopia_pi.episodes.records import ActionType, Episode
from sotopia_pi.evaluation.grounding import declared
from sotopia_pi.evaluation.records import Result
from sotopia_pi.ratings.records import Rating
from sotopia_pi.world.records import SocialTask


def stage(policy: str) -> str:
    """The name under which a policy's evaluation episodes are stored."""
    return f"evaluate/{policy}"


def plans(
    policy: str,
    tasks: Iterable[SocialTask],
    repeats: int,
    max_turns: int,
    conditions: Mapping[str, str | int | float],
) -> list[Plan]:
    """`policy` in each role of each task, everybody else played by the partner."""
    return [
        Plan(
            stage=stage(policy),
            task_id=task.id,
            players=tuple(policy if seat == role else PARTNER for seat in task.roles),
            repeat=repeat,
            max_turns=max_turns,
            conditions=dict(conditions),
        )
        for task in tasks
        for role in task.roles
        for repeat in range(repeats)
    ]


def result(
    policy: str,
    tasks: str,
    task: SocialTask,
    episode: Episode,
    ratings: Mapping[int, Rating],
    rater: str = "verifier",
) -> Result:
    """The row of the role that `policy` played, by `rater`; a failed episode or rating is a row with its cause."""
    role = episode.players.index(policy)
    own = [turn for turn in episode.turns if turn.role == role]
    rating = ratings.get(role)
    failure = None
    if not episode.completed:
        failure = f"episode: {episode.failure}"
    elif rating is None:
        failure = "rating: not rated"
    elif rating.failure:
        failure = rating.failure
    outcome = (rating.outcome if rating else None) or {}
    return Result(
        policy=policy,
        partner=PARTNER,
        tasks=tasks,
        kind=task.scenario.kind,
        scenario_id=task.scenario.id,
        task_id=task.id,
        role=role,
        repeat=episode.repeat,
        episode=episode.key,
        scores=dict(rating.scores) if rating and failure is None else {},
        failure=failure,
        deal=outcome.get("deal") if failure is None else None,
        actions=len(own),
        invalid=sum(not turn.valid for turn in own),
        turns=len(episode.turns),
        words=sum(len(turn.action.argument.split()) for turn in own if turn.action.type is ActionType.SPEAK),
        stop_reason=episode.stop_reason.value if episode.stop_reason else None,
        rater=rater,
        declared=declared(task, episode, role, ratings),
    )
