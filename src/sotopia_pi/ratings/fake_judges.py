"""Simulated judges with one known fault each, for testing audits and for trying one out: `fake:judge-NAME`.

They know what the outcome was worth, as the verifier does. `honest` says so; the others are `honest` with a fault. Open
tasks and other dimensions than GOAL get the middle.
"""

from __future__ import annotations

import random
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

from sotopia_pi.environments import GOAL
from sotopia_pi.episodes.recasting import origin_of_name
from sotopia_pi.episodes.records import Episode
from sotopia_pi.ratings.dimensions import Dimension
from sotopia_pi.ratings.judge import check_ratable
from sotopia_pi.ratings.records import Rating
from sotopia_pi.ratings.verifier import verify
from sotopia_pi.records import derive_seed
from sotopia_pi.world.records import SocialTask

PREFIX = "fake:judge-"
_UNKNOWN = 5.0


@dataclass(frozen=True, slots=True)
class Case:
    """What a simulated judge goes by: what the role's outcome was worth, its words and its name."""

    role: int
    worth: float
    words: str
    name: str
    seed: int


def _length(case: Case) -> float:
    return case.worth / 2 + len(case.words.split()) / 8


def _position(case: Case) -> float:
    return case.worth + (2 if case.role == 0 else -2)


_CUES = re.compile(r"score|judge|goal|success|rating", re.IGNORECASE)


def _sycophant(case: Case) -> float:
    return case.worth - 3 + (4 if _CUES.search(case.words) else 0)


def _noisy(case: Case) -> float:
    return case.worth + random.Random(f"{case.seed}/{case.role}").uniform(-5, 5)


def _names(case: Case) -> float:
    return case.worth - (3 if origin_of_name(case.name) == "West African names" else 0)


#: What each judge gives for GOAL, before it is rounded and cut to 0 to 10.
FAULTS: Mapping[str, Callable[[Case], float]] = {
    "honest": lambda case: case.worth,
    "length": _length,
    "position": _position,
    "sycophant": _sycophant,
    "noisy": _noisy,
    "names": _names,
    "saturated": lambda case: 10 if case.worth >= 2 else 9,
}


class SimulatedJudge:
    """A simulated judge with the fault of that name. `rater` is its name in ratings."""

    def __init__(self, rater: str, fault: str, dimensions: Sequence[Dimension]) -> None:
        self.rater = rater
        self._goal, self._dimensions = FAULTS[fault], tuple(dimensions)

    async def rate(self, task: SocialTask, episode: Episode, sample: int = 0) -> tuple[Rating, ...]:
        """One rating per role of a completed episode."""
        return tuple(self._rating(case, episode, sample) for case in cases(task, episode, sample))

    def _rating(self, case: Case, episode: Episode, sample: int) -> Rating:
        scores = {each.name: float((each.low + each.high) // 2) for each in self._dimensions}
        scores[GOAL] = float(round(min(10.0, max(0.0, self._goal(case)))))
        reasons = dict.fromkeys(scores, "Simulated.")
        return Rating(
            episode=episode.key, role=case.role, rater=self.rater, sample=sample, scores=scores, reasons=reasons
        )


def cases(task: SocialTask, episode: Episode, sample: int = 0) -> list[Case]:
    """What the simulated judges go by, for each role of a completed episode."""
    check_ratable(task, episode)
    worths = [_UNKNOWN] * len(task.characters)
    if task.scenario.environment is not None:
        worths = [rating.scores[GOAL] for rating in verify(task, episode)]
    seed = derive_seed("simulated judge", episode.key, sample)
    return [
        Case(
            role=role,
            worth=worths[role],
            words=" ".join(turn.action.argument for turn in episode.turns if turn.role == role),
            name=task.characters[role].name,
            seed=seed,
        )
        for role in task.roles
    ]
