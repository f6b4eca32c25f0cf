"""What every format gives: records as they are found in a file, and the dialogue that is read from one."""

from __future__ import annotations

import math
import re
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from random import Random
from typing import Any, TypeGuard

from sotopia_pi.environments import Check, TermsError, environment
from sotopia_pi.episodes.records import NOTHING, Action, ActionType, Episode, StopReason, Turn
from sotopia_pi.episodes.terms import agreed, chosen
from sotopia_pi.interop.dialogues.listing import Item
from sotopia_pi.interop.lines import Line
from sotopia_pi.interop.problems import RecordError
from sotopia_pi.interop.profiles import validated
from sotopia_pi.interop.sotopia import make_task
from sotopia_pi.ratings.records import Rating
from sotopia_pi.ratings.verifier import verify
from sotopia_pi.records import content_hash, derive_seed
from sotopia_pi.store.schema import storable
from sotopia_pi.world.records import Character, Scenario, SocialTask

#: Whose ratings follow from what the data say of the outcome.
OUTCOME = "outcome"
_GIVEN = (
    "Alex", "Robin", "Sam", "Kim", "Charlie", "Jamie", "Morgan", "Noor", "Sasha", "Toni", "Jules", "Ariel",
)  # fmt: skip
_FAMILY = ("Alder", "Brook", "Carver", "Dale", "Ebert", "Falk", "Grove", "Hart", "Ibsen", "Jansen", "Keller", "Lund")
#: How data write that there is no value.
_NONE = ("", "-", "na", "n/a", "nan", "none", "null", "unknown")
_CENT = 0.01
_NUMBER = re.compile(r"-?\d{1,12}(?:\.\d{1,12})?")


@dataclass(frozen=True, slots=True)
class Found:
    """A record of a file, at a line or a place in a list (both from 1): its id and content, or what is wrong with it.

    `again`: the format has the same dialogue twice, so that a second one is no problem.
    """

    file: str
    number: int
    id: str = ""
    value: Any = None
    problem: str = ""
    again: bool = False


def finding(paths: Sequence[Path], read: Callable[[Path], Iterator[Line | Item]], id: str) -> Iterator[Found]:
    """The records of the files, by their field `id`; by their content where it holds no text and no whole number."""
    for path in paths:
        for item in read(path):
            if item.record is None:
                yield Found(path.name, item.number, problem=item.problem)
                continue
            given = item.record.get(id)
            known = isinstance(given, int | str) and not isinstance(given, bool) and str(given).strip()
            yield Found(path.name, item.number, str(given) if known else content_hash(item.record), item.record)


@dataclass(frozen=True, slots=True)
class Score:
    """A role's scores by dimension with the reason, or why there are none."""

    scores: dict[str, float] = field(default_factory=dict)
    reason: str = ""
    failure: str | None = None


@dataclass(frozen=True, slots=True)
class Dialogue:
    """A dialogue between people, as a task and what was done in it; `scores` has one entry per role, or none.

    `outcome` is what the data say of it where the task is open: of a verified one it follows from the terms. `note`:
    what else the report of the import says of it.
    """

    task: SocialTask
    turns: tuple[Turn, ...]
    scores: tuple[Score, ...] = ()
    outcome: dict[str, Any] | None = None
    rater: str = OUTCOME
    note: str = ""

    def until_agreed(self) -> Dialogue:
        """Without the turns after an agreement, with which an episode ends; the note says how many there were."""
        found = agreed(self.task.scenario, self.turns)
        over = 0 if found is None else len(self.turns) - found.turn - 1
        if not over:
            return self
        note = f"{f'{over} turns' if over > 1 else '1 turn'} after the agreement left out"
        return replace(self, turns=self.turns[:-over], note="; ".join(filter(None, (self.note, note))))

    def episode(self, key: str, stage: str, player: str) -> tuple[Episode, tuple[Rating, ...]]:
        """The episode and its ratings: those of the data, else the verifier's where the task has a check."""
        episode = Episode(
            key=key,
            task_id=self.task.id,
            stage=stage,
            players=(player,) * len(self.task.roles),
            turns=self.turns,
            stop_reason=self._stop_reason(),
        )
        verified = verify(self.task, episode) if self.task.scenario.verified else ()
        if not self.scores:
            return episode, verified
        outcomes = [rating.outcome for rating in verified] or [self.outcome] * len(self.scores)
        return episode, tuple(
            Rating(
                episode=key,
                role=role,
                rater=self.rater,
                scores=score.scores,
                reasons=dict.fromkeys(score.scores, score.reason) if score.reason else {},
                outcome=outcomes[role],
                failure=score.failure,
            )
            for role, score in enumerate(self.scores)
        )

    def _stop_reason(self) -> StopReason:
        if agreed(self.task.scenario, self.turns):
            return StopReason.AGREED
        return StopReason.LEFT if self.turns[-1].action.type is ActionType.LEAVE else StopReason.LIMIT


def missing(what: str) -> Score:
    """No score, because the data do not tell `what` it would follow from."""
    return Score(failure=f"not in the data: {what}")


class Talk:
    """Turns as they come. What one role says in several messages without a break is one turn, line by line.

    With a `check` the events of a form or a chat program declare terms. An offer stands there until it is answered,
    and terms only in consecutive turns; so what its maker says meanwhile declares it again, and of an acceptance that
    was put in words first the words declare the terms.
    """

    def __init__(self, check: Check | None = None) -> None:
        self.turns: list[Turn] = []
        self._check = check
        self._saying = False
        self._offer: tuple[int, Any] | None = None

    def say(self, role: int, text: str, terms: str | None = None) -> None:
        """A message; nothing where it has no words. Of several messages the last terms count."""
        words = storable(text).strip()
        if not words:
            return
        terms = terms or (self._written(role, self._offer[1]) if self._offer and self._offer[0] == role else None)
        if self._saying and self.turns[-1].role == role:
            before = self.turns.pop().action
            words, terms = f"{before.argument}\n{words}", terms or before.terms
        self._add(role, Action(type=ActionType.SPEAK, argument=words, terms=terms))
        self._saying = True

    def act(self, role: int, what: str, kind: ActionType = ActionType.ACT, terms: str | None = None) -> None:
        """Something that is done rather than said."""
        words = storable(what).strip()
        self._add(role, Action(type=kind, argument=words, terms=terms) if kind is not ActionType.NONE else NOTHING)
        self._saying = False

    def offer(self, role: int, what: str, terms: Any) -> None:
        """An offer that takes the place of any other; None where nobody knows of what."""
        self._offer = None if terms is None else (role, terms)
        self.act(role, what, terms=self._written(role, terms))

    def accept(self, role: int, what: str) -> Any:
        """The other's offer is accepted: its terms, None where there is none."""
        terms = self._offer[1] if self._offer and self._offer[0] != role else None
        written = self._written(role, terms)
        if written and self._saying and self.turns[-1].role == role:
            self._add(role, self.turns.pop().action.model_copy(update={"terms": written}))
        else:
            self.act(role, what, terms=written)
        return terms

    def reject(self, role: int, what: str) -> None:
        """No offer stands any more."""
        self._offer = None
        self.act(role, what)

    def _written(self, role: int, terms: Any) -> str | None:
        """Terms as the role writes them; None in an open task, and for what there is not."""
        if self._check is None or terms is None:
            return None
        env, side = environment(self._check.kind), self._check.side(role)
        try:
            return chosen(env, side, env.write(side, terms))
        except TermsError:
            return None

    def _add(self, role: int, action: Action) -> None:
        self.turns.append(Turn(role=role, action=action, raw=action.to_json()))

    def done(self) -> tuple[Turn, ...]:
        """All turns. RecordError where nobody said anything."""
        if not any(turn.action.type is ActionType.SPEAK for turn in self.turns):
            raise RecordError("nobody says anything in it")
        return tuple(self.turns)


def cast(scenario: Scenario, occupations: Sequence[str]) -> SocialTask:
    """The scenario with invented characters: the same ones whenever the same scenario is played."""
    rng = Random(derive_seed("dialogue cast", scenario.id))
    names = zip(rng.sample(_GIVEN, len(occupations)), rng.sample(_FAMILY, len(occupations)), strict=True)
    people = [
        character(f"{given} {family}", occupation=occupation)
        for (given, family), occupation in zip(names, occupations, strict=True)
    ]
    return make_task(scenario, people)


def character(name: str, **given: Any) -> Character:
    """A character of whom nothing is known but what is given."""
    nothing: dict[str, Any] = {
        "age": 30, "gender": "person", "pronouns": "they/them", "occupation": "", "public_info": "", "big_five": "",
        "moral_values": (), "schwartz_values": (), "personality": "", "decision_style": "", "secret": "",
    }  # fmt: skip
    return validated(Character, {**nothing, "name": name, **given})


def number(value: Any, what: str) -> float:
    """A finite number, also one written as text. RecordError names `what` is not one."""
    if isinstance(value, str) and _NUMBER.fullmatch(plain := value.strip().removeprefix("$").replace(",", "")):
        value = float(plain)
    if isinstance(value, bool) or not isinstance(value, int | float) or not math.isfinite(value) or abs(value) > 1e9:
        raise RecordError(f"{what} is not a number")
    return float(value)


def is_told(value: Any) -> TypeGuard[str]:
    """Whether a value is a text that says something, and none of the words that data write in place of one."""
    return isinstance(value, str) and value.strip().lower() not in _NONE


def amount(value: Any, what: str) -> float | None:
    """A number from 0, or None for what data write in place of one: nothing, a word such as "nan", a number below 0.

    RecordError names `what` is neither.
    """
    if value is None or (isinstance(value, str) and not is_told(value)):
        return None
    found = number(value, what)
    return found if found >= 0 else None


def price(value: Any, what: str) -> float | None:
    """As `amount`, of at least a cent: nobody asks or pays less, so data that say so have no price."""
    found = amount(value, what)
    return None if found is None or found < _CENT else found


def money(amount: float) -> str:
    """An amount in dollars: $1,250 or $12.50."""
    return f"${amount:,.0f}" if amount == int(amount) else f"${amount:,.2f}"


def mapping(value: Any, what: str) -> dict[str, Any]:
    """A JSON object. RecordError names `what` is not one."""
    if not isinstance(value, dict):
        raise RecordError(f"{what} is missing or not an object")
    return value


def sequence(value: Any, what: str) -> list[Any]:
    """A JSON list. RecordError names `what` is not one."""
    if not isinstance(value, list):
        raise RecordError(f"{what} is missing or not a list")
    return value
