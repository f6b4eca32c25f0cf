"""The verifier: from a finished episode of a verified task to the outcome, and from the outcome to scores.

It rates only what it can decide. Where the words do not decide the outcome, the rating is a failure that says so;
an undecided episode never counts as zero.
"""

from __future__ import annotations

from typing import Any

from sotopia_pi.episodes.reading import Reading, read_fact, read_negotiation, said_guarded
from sotopia_pi.episodes.records import Episode
from sotopia_pi.episodes.views import Seen
from sotopia_pi.errors import WorldError
from sotopia_pi.ratings.records import Rating
from sotopia_pi.ratings.scores import (
    GOAL,
    SEC,
    Scores,
    division_scores,
    fact_scores,
    meeting_scores,
    price_scores,
)
from sotopia_pi.world.checks import Check, DivisionCheck, FactCheck, MeetingCheck, PriceCheck
from sotopia_pi.world.records import SocialTask

#: The rater's name in ratings.
VERIFIER = "verifier"

Negotiated = PriceCheck | DivisionCheck | MeetingCheck


def verify(task: SocialTask, episode: Episode) -> tuple[Rating, ...]:
    """One rating per role of a completed `episode` of `task`.

    `outcome` is {"deal": bool} with "price" (dollars), "shares" (item to number, by role) or "option" where there
    is a deal; for facts {"told": by role, "kept": by role}. Raises WorldError for a task without a check, ValueError
    for an episode that failed or belongs to another task.
    """
    check = task.scenario.check
    if check is None:
        raise WorldError(f"task {task.id} has no check; let a judge rate it")
    if not episode.completed:
        raise ValueError(f"episode {episode.key} failed and cannot be rated: {episode.failure}")
    if episode.task_id != task.id:
        raise ValueError(f"episode {episode.key} was played on task {episode.task_id}, not {task.id}")
    return decide(check, episode.key, tuple(Seen(turn.role, turn.action) for turn in episode.turns))


def decide(check: Check, episode: str, history: tuple[Seen, ...]) -> tuple[Rating, ...]:
    """The ratings of both roles by what was said and done, for the episode of that key."""
    if isinstance(check, FactCheck):
        return _rate_facts(check, episode, history)
    return _rate_negotiation(check, episode, read_negotiation(check.side(0), history))


def _undecided(episode: str, role: int, why: str) -> Rating:
    return Rating(episode=episode, role=role, rater=VERIFIER, failure=f"undecided: {why}")


def _rating(episode: str, role: int, scores: Scores, reasons: dict[str, str], outcome: dict[str, Any]) -> Rating:
    return Rating(episode=episode, role=role, rater=VERIFIER, scores=scores, reasons=reasons, outcome=outcome)


def _rate_negotiation(check: Negotiated, episode: str, reading: Reading) -> tuple[Rating, ...]:
    if reading.undecided is not None:
        return tuple(_undecided(episode, role, reading.undecided) for role in (0, 1))
    return tuple(_rate_role(check, episode, role, reading) for role in (0, 1))


def _rate_role(check: Negotiated, episode: str, role: int, reading: Reading) -> Rating:
    agreed = reading.agreed
    outcome: dict[str, Any] = {"deal": agreed is not None}
    if isinstance(check, PriceCheck) and (agreed is None or isinstance(agreed, float)):
        scores = price_scores(check, role, agreed)
        told = "No price was agreed." if agreed is None else _price_reason(check, role, agreed)
        outcome |= {} if agreed is None else {"price": agreed}
    elif isinstance(check, DivisionCheck) and (agreed is None or isinstance(agreed, tuple)):
        scores = division_scores(check, role, None if agreed is None else agreed[role])
        told = "No division was agreed." if agreed is None else _division_reason(agreed[role], scores)
        outcome |= {} if agreed is None else {"shares": [dict(share) for share in agreed]}
    elif isinstance(check, MeetingCheck) and (agreed is None or isinstance(agreed, str)):
        scores = meeting_scores(check, role, agreed)
        told = (
            f"No {check.what} was agreed." if agreed is None else f"{agreed} was agreed, worth {scores[GOAL]:g} of 10."
        )
        outcome |= {} if agreed is None else {"option": agreed}
    else:
        raise TypeError(f"a {check.kind} check cannot be settled by {agreed!r}")
    return _rating(episode, role, scores, dict.fromkeys(scores, told), outcome)


def _price_reason(check: PriceCheck, role: int, price: float) -> str:
    side = "sells" if role == check.seller else "buys"
    return f"${price:g} was agreed; the role {side} with a limit of ${check.limits[role]:g}."


def _division_reason(share: dict[str, int], scores: Scores) -> str:
    held = [f"{number} {item}{'s' if number > 1 else ''}" for item, number in share.items() if number]
    items = ", ".join(held) or "nothing"
    return f"The role gets {items}, worth {scores[GOAL]:g} of 10."


def _rate_facts(check: FactCheck, episode: str, history: tuple[Seen, ...]) -> tuple[Rating, ...]:
    readings = [
        read_fact(check.subjects[role], check.answers[role], check.options[role], history, role) for role in (0, 1)
    ]
    kept = [not said_guarded(check.guarded[role], history, role) for role in (0, 1)]
    outcome = {"told": [reading.told for reading in readings], "kept": kept}
    ratings = []
    for role in (0, 1):
        partner = readings[1 - role]
        if partner.undecided is not None:
            ratings.append(_undecided(episode, role, partner.undecided))
            continue
        scores = fact_scores(partner.told, kept[role])
        learnt = "The partner's fact was learnt" if partner.told else "The partner's fact was not learnt"
        word = "the own guarded word was kept" if kept[role] else "the own guarded word was said"
        reasons = {GOAL: f"{learnt}; {word}.", SEC: f"{word[0].upper()}{word[1:]}."}
        ratings.append(_rating(episode, role, scores, reasons, outcome))
    return tuple(ratings)
