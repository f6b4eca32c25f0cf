"""From prompts to scenarios: many at once, in a fixed order, and never the same question twice.

Prompts are asked about concurrently and the answers kept as they come. What is accepted is decided afterwards in the
order of the prompts, so that speed, concurrency and interruptions change nothing: a scenario is accepted when it
breaks no rule and is no near-duplicate of what policies are evaluated on, of the training world or of one accepted
before it.
"""

from __future__ import annotations

import asyncio
import random
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import islice
from typing import TypeAlias

from sotopia_pi.errors import BudgetError, ModelError
from sotopia_pi.models.answers import shown_again
from sotopia_pi.models.protocol import ChatModel, Completion, Message, Sampling
from sotopia_pi.prompts import Prompts
from sotopia_pi.records import derive_seed
from sotopia_pi.world.generation.drafts import SCHEMA, Cast, Violation, example, read_scenario
from sotopia_pi.world.generation.journal import Attempt, Journal
from sotopia_pi.world.generation.ledger import Ledger
from sotopia_pi.world.generation.sources import Prompt
from sotopia_pi.world.overlap import OverlapIndex, text_of
from sotopia_pi.world.records import Scenario

#: Prompts in flight or answered out of turn, per one that may be asked at a time.
_AHEAD = 4
#: So many prompts in a row that could not be asked mean that the next one cannot either.
_GIVE_UP = 5
#: So many new answers in a row that cannot be used mean that this model cannot write scenarios.
_HOPELESS = 30

Answer: TypeAlias = "Attempt | asyncio.Future[Attempt]"


@dataclass(frozen=True, slots=True)
class Writer:
    """Whom to ask and how. `examples` are shown `shots` at a time, drawn anew for each prompt."""

    model: ChatModel
    sampling: Sampling
    seed: int
    examples: Sequence[Scenario]
    shots: int
    people: Cast
    texts: Prompts

    async def attempt(self, prompt: Prompt) -> Attempt:
        """Asks about a prompt, and once more where the reply breaks a rule. ModelError when nobody answers."""
        chat = self._chat(prompt)
        conversation = f"generate/{self.seed}/{prompt.id}"
        made = Attempt(prompt=prompt)
        try:
            for number in range(2):
                seed = derive_seed("generate", self.seed, prompt.id, number)
                reply = await self.model.complete(chat, self.sampling, seed, conversation, schema=SCHEMA)
                made = _with(made, reply)
                try:
                    source = f"generated from {prompt.source} {prompt.id}"
                    scenario = read_scenario(reply.text, prompt.kind, source, self.people, reply.finish)
                    return made.model_copy(update={"scenario": scenario, "rule": ""})
                except Violation as error:
                    made = made.model_copy(update={"rule": error.rule, "violations": (*made.violations, str(error))})
                    complaint = self.texts.fill("reask", violation=error)
                shown = shown_again(reply.text)
                chat = [*chat, Message(role="assistant", content=shown), Message(role="user", content=complaint)]
        finally:
            await self.model.release(conversation)
        return made

    def _chat(self, prompt: Prompt) -> list[Message]:
        drawn = random.Random(derive_seed("examples", self.seed, prompt.id))
        shown = drawn.sample(list(self.examples), min(self.shots, len(self.examples)))
        ask = self.texts.fill("ask", examples="\n".join(example(s) for s in shown) or "(none)", prompt=prompt.text)
        system = self.texts.fill("system", occupations=", ".join(self.people.occupations))
        return [Message(role="system", content=system), Message(role="user", content=ask)]


def _with(made: Attempt, reply: Completion) -> Attempt:
    cost = None if made.cost is None or reply.cost is None else made.cost + reply.cost
    return made.model_copy(
        update={
            "replies": (*made.replies, reply.text),
            "prompt_tokens": made.prompt_tokens + reply.prompt_tokens,
            "completion_tokens": made.completion_tokens + reply.completion_tokens,
            "cost": cost,
        }
    )


@dataclass
class Rejection:
    """An attempt that gave no scenario: the rule that was broken, and why in a sentence."""

    attempt: Attempt
    rule: str
    why: str


@dataclass
class Outcome:
    """What a generation came to. `failed` are prompts that nobody answered, with the cause; they were not used."""

    accepted: list[Attempt] = field(default_factory=list)
    rejected: list[Rejection] = field(default_factory=list)
    failed: dict[str, str] = field(default_factory=dict)

    @property
    def rules(self) -> Mapping[str, int]:
        """How many were rejected by each rule, the commonest first."""
        counted: dict[str, int] = {}
        for item in self.rejected:
            counted[item.rule] = counted.get(item.rule, 0) + 1
        return dict(sorted(counted.items(), key=lambda entry: (-entry[1], entry[0])))


@dataclass
class Generation:
    """One generation: its order of prompts, what it must not resemble, and where it keeps what it did."""

    prompts: Sequence[Prompt]
    count: int
    index: OverlapIndex
    journal: Journal
    ledger: Ledger
    tell: Callable[[Outcome], None] = lambda outcome: None
    outcome: Outcome = field(default_factory=Outcome)

    async def run(self, writer: Writer, concurrency: int) -> Outcome:
        """Asks until `count` scenarios are accepted or the prompts run out; never about more than can be needed.

        ModelError when several prompts in a row could not be asked, or many in a row gave nothing that can be used.
        What was answered until then is kept.
        """
        gate = asyncio.Semaphore(concurrency)
        order = iter(self.prompts)
        waiting: deque[tuple[Prompt, Answer]] = deque()
        silent = useless = 0
        try:
            while len(self.outcome.accepted) < self.count:
                room = min(_AHEAD * concurrency, self.count - len(self.outcome.accepted)) - len(waiting)
                waiting.extend((p, self._answer(p, writer, gate)) for p in islice(self._usable(order), room))
                if not waiting:
                    break
                prompt, answer = waiting.popleft()
                try:
                    attempt = answer if isinstance(answer, Attempt) else await answer
                    silent = 0
                except ModelError as error:
                    silent += 1
                    self._unanswered(prompt, error, silent)
                    continue
                self._settle(attempt)
                useless = useless + 1 if attempt.scenario is None and attempt is not answer else 0
                if useless == _HOPELESS and len(self.outcome.accepted) < self.count:
                    raise self._hopeless(attempt)
        except BudgetError:  # what is being asked has been paid for
            await asyncio.gather(*(a for _, a in waiting if not isinstance(a, Attempt)), return_exceptions=True)
            raise
        finally:
            await self._stop(answer for _, answer in waiting)
        if len(self.outcome.accepted) == self.count:  # else they are tried again when the command is repeated
            for prompt in self.prompts:
                if prompt.id in self.outcome.failed and prompt.id not in self.journal.attempts:
                    self.journal.add(Attempt(prompt=prompt, violations=(self.outcome.failed[prompt.id],)))
        return self.outcome

    def _usable(self, order: Iterator[Prompt]) -> Iterator[Prompt]:
        for prompt in order:
            if prompt.id in self.journal.attempts or self.ledger.claim(prompt, self.journal.generation):
                yield prompt

    def _answer(self, prompt: Prompt, writer: Writer, gate: asyncio.Semaphore) -> Answer:
        """The stored attempt, or one in the making."""

        async def ask() -> Attempt:
            async with gate:
                attempt = await writer.attempt(prompt)
            self.journal.add(attempt)
            return attempt

        return self.journal.attempts.get(prompt.id) or asyncio.ensure_future(ask())

    def _settle(self, attempt: Attempt) -> None:
        """Accepts or rejects the next attempt in the order of the prompts."""
        scenario, prompt = attempt.scenario, attempt.prompt
        if not attempt.replies:
            self.outcome.failed[prompt.id] = attempt.violations[-1]
        elif scenario is None:
            self.outcome.rejected.append(Rejection(attempt, attempt.rule, attempt.violations[-1]))
        else:
            text = text_of(scenario, f"the scenario from prompt {prompt.id}")
            match = self.index.find(text)
            if match is None:
                self.index.add([text])
                self.outcome.accepted.append(attempt)
            else:
                self.outcome.rejected.append(Rejection(attempt, "overlap", match.describe()))
        self.tell(self.outcome)

    def _unanswered(self, prompt: Prompt, error: ModelError, in_a_row: int) -> None:
        self.outcome.failed[prompt.id] = str(error)
        self.ledger.release([prompt.id], self.journal.generation)
        if in_a_row >= _GIVE_UP:
            raise ModelError(
                f"{in_a_row} prompts in a row could not be asked, so the generation stopped; what was answered is "
                f"kept, run the same command again to continue. The last cause: {error}"
            )

    def _hopeless(self, attempt: Attempt) -> ModelError:
        return ModelError(
            f"{_HOPELESS} prompts in a row gave nothing that can be used, so the generation stopped; see the replies "
            "in the report, give another --model, or run the same command again to go on. "
            f"The last: {attempt.violations[-1]}"
        )

    async def _stop(self, answers: Iterable[Answer]) -> None:
        """Ends what is still being asked, and gives back the prompts that were not answered."""
        asked = [answer for answer in answers if not isinstance(answer, Attempt)]
        for task in asked:
            task.cancel()
        await asyncio.gather(*asked, return_exceptions=True)
        unanswered = [p.id for p in self.prompts if p.id not in self.journal.attempts]
        self.ledger.release(unanswered, self.journal.generation)
