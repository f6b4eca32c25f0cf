"""A judge that need not keep a format: its opinion is read from the probabilities that it gives to numbers.

For each role and dimension the model is shown the case file and asked for that one number s of the range. With p(s),
the probability that the answer is s (the product over its tokens and what ends it, models/likelihood.py),

    mass  = Σ p(s)              how much of the model's probability is on whole numbers of the range at all
    score = Σ s · p(s) / mass   the expectation over them: a decimal, not a whole number

as G-Eval weights scores by their probabilities (Liu et al. 2023, section 2). A rating fails where the mass of any
dimension is below LEAST_MASS: what is left would be an opinion that the model hardly has.

Limits: nothing is reasoned before the number; the expectation of an undecided model lies in the middle of the range,
so that scores vary little and are to be compared rather than taken at their word; and a bias towards certain digits is
read as an opinion. The audit shows all three.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from pathlib import Path

from sotopia_pi.episodes.records import Episode
from sotopia_pi.errors import ModelError
from sotopia_pi.models.protocol import Message, NumberQuestion, ReadsNumbers
from sotopia_pi.prompts import Prompts
from sotopia_pi.ratings.casefile import evidence, line
from sotopia_pi.ratings.dimensions import SEVEN, Dimension
from sotopia_pi.ratings.judge import check_ratable
from sotopia_pi.ratings.records import Rating
from sotopia_pi.ratings.reply import role_key
from sotopia_pi.world.records import SocialTask

#: Share of the probability that must be on whole numbers of a dimension's range.
LEAST_MASS = 0.1


def likelihood_prompts(folder: Path | None = None) -> Prompts:
    """The texts: those in the subfolder `judge/likelihood` of the prompt folder where it has them, else ours."""
    return Prompts(folder, part="judge/likelihood")


def questions(
    task: SocialTask, episode: Episode, dimensions: Sequence[Dimension], prompts: Prompts
) -> list[NumberQuestion]:
    """One question per role and dimension, roles outermost; all begin with the same case file."""
    system = prompts.fill("system")
    shown = evidence(task, episode)
    asked = []
    for role in task.roles:
        who = {"role": role_key(role), "name": line(task.characters[role].name)}
        for one in dimensions:
            what = {"dimension": one.name, "description": one.description, "low": one.low, "high": one.high}
            chat = [
                Message(role="system", content=system),
                Message(role="user", content=prompts.fill("case", **shown, **who, **what)),
            ]
            answer = prompts.fill("answer", low=one.low, high=one.high)
            asked.append(NumberQuestion(chat, answer, range(one.low, one.high + 1)))
    return asked


def expectation(numbers: Sequence[int], logs: Sequence[float]) -> tuple[float, float]:
    """(score, mass) of numbers with these logarithms of probabilities; the score is within their range.

    It is computed relative to the likeliest one, so that tiny probabilities do not vanish.
    """
    most = max(logs)
    weights = [math.exp(log - most) for log in logs]
    mean = sum(number * weight for number, weight in zip(numbers, weights, strict=True)) / sum(weights)
    mass = min(1.0, sum(math.exp(log) for log in logs))
    return min(max(mean, float(min(numbers))), float(max(numbers))), mass


class LikelihoodJudge:
    """A model whose probabilities rate. `rater` is its name in ratings."""

    def __init__(
        self,
        rater: str,
        model: ReadsNumbers,
        dimensions: Sequence[Dimension] = SEVEN,
        prompts: Prompts | None = None,
    ) -> None:
        self.rater = rater
        self.model = model
        self.dimensions = tuple(dimensions)
        self.prompts = prompts or likelihood_prompts()

    async def rate(self, task: SocialTask, episode: Episode, sample: int = 0) -> tuple[Rating, ...]:
        """One rating per role of a completed `episode` of `task`; each is given or failed. Every sample is the same.

        Raises ValueError for an episode that failed or belongs to another task.
        """
        check_ratable(task, episode)
        asked = questions(task, episode, self.dimensions, self.prompts)
        try:
            logs = await self.model.log_probabilities(asked)
        except ModelError as error:
            why = f"judge unreachable: {error}"
            return tuple(
                Rating(episode=episode.key, role=role, rater=self.rater, sample=sample, failure=why)
                for role in task.roles
            )
        read = [expectation(question.numbers, found) for question, found in zip(asked, logs, strict=True)]
        each = len(self.dimensions)
        return tuple(self._rating(episode, role, sample, read[role * each : (role + 1) * each]) for role in task.roles)

    def _rating(self, episode: Episode, role: int, sample: int, read: Sequence[tuple[float, float]]) -> Rating:
        rating = Rating(episode=episode.key, role=role, rater=self.rater, sample=sample)
        for dimension, (_, mass) in zip(self.dimensions, read, strict=True):
            if not mass >= LEAST_MASS:
                why = (
                    f"judge likelihood: {mass:.1%} of the probability is on whole numbers from {dimension.range} for "
                    f"{dimension.name}, and {LEAST_MASS:.0%} is needed"
                )
                return rating.model_copy(update={"failure": why})
        scores = {dimension.name: score for dimension, (score, _) in zip(self.dimensions, read, strict=True)}
        reasons = {
            dimension.name: f"Read from probabilities, {mass:.1%} of them on whole numbers from {dimension.range}."
            for dimension, (_, mass) in zip(self.dimensions, read, strict=True)
        }
        return rating.model_copy(update={"scores": scores, "reasons": reasons})
