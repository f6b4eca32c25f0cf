"""The LLM judge: one call rates every role of an episode; a reply that breaks the contract is asked for once more.

Three outcomes: a rating with all dimensions, or a failure that says whether the reply or the model was at fault. A
judge that cannot be reached fails the rating and never the episode.
"""

from __future__ import annotations

import asyncio
import re
from collections.abc import Callable, Iterable, Iterator, Sequence
from pathlib import Path, PurePath
from typing import Protocol

from sotopia_pi.episodes.records import Episode
from sotopia_pi.errors import ModelError
from sotopia_pi.models.answers import shown_again
from sotopia_pi.models.protocol import ChatModel, Message, Sampling
from sotopia_pi.prompts import Prompts
from sotopia_pi.ratings.casefile import case_file
from sotopia_pi.ratings.dimensions import SEVEN, Dimension
from sotopia_pi.ratings.records import Rating
from sotopia_pi.ratings.reply import ReplyError, Verdict, parse_reply, reply_schema
from sotopia_pi.records import content_hash, derive_seed
from sotopia_pi.world.records import SocialTask

JUDGE = "judge:"
_KEPT = 300

#: An episode to be rated: its task, the episode, and which sample this is.
Job = tuple[SocialTask, Episode, int]


def judge_prompts(folder: Path | None = None) -> Prompts:
    """The judge's texts: those in the subfolder `judge` of the prompt folder where it has them, else the package's."""
    return Prompts(folder, part="judge")


def rater_name(
    spec: str, dimensions: Sequence[Dimension] = SEVEN, prompts: Prompts | None = None, method: str = ""
) -> str:
    """How a judge is called in ratings: the model without URLs and folders, and a hash of all that it is asked.

    Ratings by other texts or on other dimensions are those of another rater, and so are those by another `method`
    than a reply, which is named beside the model.
    """
    asked = [(prompts or judge_prompts()).version, *(dimension.model_dump(mode="json") for dimension in dimensions)]
    model = re.split(r"@https?://", spec.strip())[0]
    if PurePath(model).is_absolute() or model.startswith((".", "~")):
        model = PurePath(model).name
    return f"{JUDGE}{model}{'+' if method else ''}{method}:{content_hash(asked)[:8]}"


def unusable(cause: str) -> str:
    """How the reason begins of a rating that failed because both replies were unusable, the second for this cause."""
    return f"judge reply, {cause}"


class Rates(Protocol):
    """Whoever rates an episode: a model by its reply, or by its probabilities."""

    async def rate(self, task: SocialTask, episode: Episode, sample: int = 0) -> tuple[Rating, ...]:
        """One rating per role of a completed episode, each given or failed."""
        ...


def check_ratable(task: SocialTask, episode: Episode) -> None:
    """ValueError for an episode that failed or belongs to another task (a programming error)."""
    if not episode.completed:
        raise ValueError(f"episode {episode.key} failed and cannot be rated: {episode.failure}")
    if episode.task_id != task.id:
        raise ValueError(f"episode {episode.key} was played on task {episode.task_id}, not {task.id}")


class Judge:
    """A model that rates. `rater` is its name in ratings."""

    def __init__(
        self,
        rater: str,
        model: ChatModel,
        sampling: Sampling,
        dimensions: Sequence[Dimension] = SEVEN,
        prompts: Prompts | None = None,
    ) -> None:
        self.rater = rater
        self.model = model
        self.sampling = sampling
        self.dimensions = tuple(dimensions)
        self.prompts = prompts or judge_prompts()

    async def rate(self, task: SocialTask, episode: Episode, sample: int = 0) -> tuple[Rating, ...]:
        """One rating per role of a completed `episode` of `task`, all given or all failed with the same reason.

        Raises ValueError for an episode that failed or belongs to another task.
        """
        check_ratable(task, episode)
        conversation = f"{self.rater}/{episode.key}/{sample}"
        try:
            verdicts = await self._ask(task, episode, sample, conversation)
        except ReplyError as error:
            why = f"{unusable(error.cause)}: {error}"
            return tuple(self._failed(episode, role, sample, why) for role in task.roles)
        except ModelError as error:
            return tuple(self._failed(episode, role, sample, f"judge unreachable: {error}") for role in task.roles)
        finally:
            await self.model.release(conversation)
        return tuple(
            Rating(
                episode=episode.key,
                role=role,
                rater=self.rater,
                sample=sample,
                scores=verdict.scores,
                reasons=verdict.reasons,
            )
            for role, verdict in zip(task.roles, verdicts, strict=True)
        )

    async def _ask(self, task: SocialTask, episode: Episode, sample: int, conversation: str) -> tuple[Verdict, ...]:
        """The verdicts of the first reply that keeps the contract. ReplyError, with how the reply began, after two."""
        chat, token = case_file(task, episode, self.dimensions, self.prompts, sample)
        names = [character.name for character in task.characters]
        schema = reply_schema(len(names), self.dimensions)
        seeds = [derive_seed("judge", episode.key, episode.seed, sample, attempt) for attempt in (0, 1)]
        first = await self.model.complete(chat, self.sampling, seeds[0], conversation, schema=schema)
        try:
            return parse_reply(first.text, token, names, self.dimensions, first.finish)
        except ReplyError as error:
            complaint = self.prompts.fill("reask", violation=error)
        shown = shown_again(first.text)
        chat += [Message(role="assistant", content=shown), Message(role="user", content=complaint)]
        second = await self.model.complete(chat, self.sampling, seeds[1], conversation, schema=schema)
        try:
            return parse_reply(second.text, token, names, self.dimensions, second.finish)
        except ReplyError as error:
            raise ReplyError(f"{error}. The reply began: {second.text[:_KEPT]!r}", error.cause) from None

    def _failed(self, episode: Episode, role: int, sample: int, why: str) -> Rating:
        return Rating(episode=episode.key, role=role, rater=self.rater, sample=sample, failure=why)


async def rate_all(
    judge: Rates, jobs: Iterable[Job], keep: Callable[[Sequence[Rating]], None], concurrency: int = 32
) -> None:
    """Rates all jobs, up to `concurrency` at once, and hands the ratings of each to `keep` as they come.

    An error of `keep` (a full disk) stops everything; what was kept before stays kept.
    """
    waiting: Iterator[Job] = iter(jobs)

    async def worker() -> None:
        for task, episode, sample in waiting:
            keep(await judge.rate(task, episode, sample))
            await asyncio.sleep(0)

    workers = [asyncio.ensure_future(worker()) for _ in range(concurrency)]
    try:
        await asyncio.gather(*workers)
    finally:
        for work in workers:
            work.cancel()
        await asyncio.gather(*workers, return_exceptions=True)
