"""The verifier: from a finished episode of a verified task to the agreement, and from the agreement to scores.

Nothing is read from words. An agreement exists exactly when two consecutive turns declare equal terms, so every
completed episode is decided.
"""

from __future__ import annotations

from typing import Any

from sotopia_pi.environments import GOAL, AnyEnvironment
from sotopia_pi.episodes.records import Episode
from sotopia_pi.episodes.terms import agreed
from sotopia_pi.errors import WorldError
from sotopia_pi.ratings.records import Rating
from sotopia_pi.world.records import SocialTask

#: The rater's name in ratings.
VERIFIER = "verifier"


def verify(task: SocialTask, episode: Episode) -> tuple[Rating, ...]:
    """One rating per role of a completed `episode` of `task`.

    `outcome` is {"deal": bool}, where there is a deal with "terms" (as the role would write them), "within" (the role's
    own limit) and "joint" (the share of the best for both together that was reached). Raises WorldError for a task
    without a check or with a retired one, ValueError for an episode that failed or belongs to another task.
    """
    check, env = task.scenario.check, task.scenario.environment
    if check is None:
        raise WorldError(f"task {task.id} has no check; let a judge rate it")
    if env is None:
        raise WorldError(
            f"task {task.id} is from before outcomes were declared in terms; its ratings stay as they are, and no "
            "program can give new ones"
        )
    if not episode.completed:
        raise ValueError(f"episode {episode.key} failed and cannot be rated: {episode.failure}")
    if episode.task_id != task.id:
        raise ValueError(f"episode {episode.key} was played on task {episode.task_id}, not {task.id}")
    found = agreed(task.scenario, episode.turns)
    terms = None if found is None else found.terms
    joint = env.joint_share(check, terms)
    return tuple(
        _rating(episode.key, env, check.side(role), scores, terms, joint)
        for role, scores in enumerate(env.scores(check, terms))
    )


def _rating(episode: str, env: AnyEnvironment, side: Any, scores: dict[str, float], terms: Any, joint: float) -> Rating:
    outcome: dict[str, Any] = {"deal": terms is not None}
    if terms is None:
        reason = "Nothing was agreed."
    else:
        written, within = env.write(side, terms), env.within(side, terms)
        outcome |= {"terms": written, "within": within, "joint": joint}
        worth = f"worth {scores[GOAL]:.3g} of 10" if within else "outside the role's own limit"
        reason = f"Agreed: {written}, {worth}."
    return Rating(
        episode=episode,
        role=side.role,
        rater=VERIFIER,
        scores=scores,
        reasons=dict.fromkeys(scores, reason),
        outcome=outcome,
    )
