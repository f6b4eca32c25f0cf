"""Actions, turns and episodes: what is said and done, and what is kept of it."""

from __future__ import annotations

import json
from collections.abc import Callable
from enum import StrEnum
from functools import cache
from typing import Any

from pydantic import Field

from sotopia_pi.environments import environment
from sotopia_pi.models.answers import AnswerError, Cause, read_reply
from sotopia_pi.models.jsontext import JsonObject
from sotopia_pi.models.protocol import Finish, JsonSchema
from sotopia_pi.records import NOT_TEXT, Record

#: How players and raters who are people begin: `human:NAME`.
HUMAN = "human:"


class ActionType(StrEnum):
    """The five things a role can do on its turn."""

    NONE = "none"
    SPEAK = "speak"
    NON_VERBAL = "non-verbal communication"
    ACT = "action"
    LEAVE = "leave"


#: json.dumps would make an encoder for every call.
_ENCODE = json.JSONEncoder(ensure_ascii=False).encode


def canonical_reply(type: str, argument: str, terms: str | None = None) -> str:
    """The JSON of an action, as a model is asked to write it."""
    shown = {"action_type": type, "argument": argument}
    return _ENCODE(shown if terms is None else {**shown, "terms": terms})


class Action(Record):
    """What a role does on its turn.

    `argument` is the words said or a description; empty for none. `terms` is what it proposes or accepts in a verified
    task, as its environment writes it for this role.
    """

    type: ActionType
    argument: str = ""
    terms: str | None = None

    def to_json(self) -> str:
        """The canonical reply: what a model is asked to write and is trained to write."""
        return canonical_reply(self.type.value, self.argument, self.terms)


NOTHING = Action(type=ActionType.NONE)

#: What can be done where no terms can be declared: what is declared is said or shown.
SILENT = (ActionType.NONE, ActionType.LEAVE)


@cache
def action_schema(kind: str | None = None) -> JsonSchema:
    """What a reply must look like, for servers that can hold a model to it: one for each verified kind, one for others.

    The order of keys is the canonical one.
    """
    properties: dict[str, Any] = {
        "action_type": {"type": "string", "enum": [kind.value for kind in ActionType]},
        "argument": {"type": "string"},
    }
    if kind is not None:
        properties["terms"] = dict(environment(kind).schema)
    schema = {"type": "object", "properties": properties, "required": [*properties], "additionalProperties": False}
    return JsonSchema("action" if kind is None else f"action_{kind}", schema)


_TYPES = {kind.value: kind for kind in ActionType}
_KEY, _WORDS, _TERMS = "action_type", "argument", "terms"
#: From what stands under "terms" and the words beside it to terms as they are written. AnswerError.
Declare = Callable[[Any, str], str | None]


class ActionError(AnswerError):
    """A reply is not an action; the message says what is wrong with it, for the model that wrote it."""


def parse_action(text: str, finish: Finish = "stop", declare: Declare | None = None) -> Action:
    """The action of a reply that ended with `finish`: which part of it counts is in docs/replies.md.

    `declare` reads its terms; without it, and of any other key, what is there is ignored. Raises ActionError.
    """
    try:
        return read_reply(text, finish, _KEY, _is_action, lambda value: _action(value, declare))
    except AnswerError as error:
        raise ActionError(str(error), error.cause) from None


def _is_action(value: JsonObject) -> bool:
    return _KEY in value


def _action(value: JsonObject, declare: Declare | None) -> Action:
    kind, argument = value.get(_KEY), value.get(_WORDS, "")
    asked = (_KEY, _WORDS, _TERMS) if declare else (_KEY, _WORDS)
    if value.repeated and (twice := [key for key in value.repeated if key in asked]):
        raise AnswerError(f'"{twice[0]}" stands twice in the object')
    if not isinstance(kind, str) or kind.strip().lower() not in _TYPES:
        raise AnswerError(f'"action_type" must be one of: {", ".join(ActionType)}')
    if not isinstance(argument, str):
        raise AnswerError('"argument" must be a text')
    words = NOT_TEXT.sub("\ufffd", argument).strip()
    action = Action(type=_TYPES[kind.strip().lower()], argument=words)
    if not action.argument and action.type not in (ActionType.NONE, ActionType.LEAVE):
        raise AnswerError(f'"argument" must not be empty for {action.type.value!r}')
    terms = declare(value.get(_TERMS), words) if declare else None
    if terms is None:
        return action
    if action.type in SILENT:
        raise AnswerError(f'{action.type.value!r} declares no terms; "speak" to propose or accept', Cause.TERMS)
    return action.model_copy(update={"terms": terms})


class Usage(Record):
    """Tokens of one or several model calls; `cached` of the prompt tokens did not have to be computed.

    `cost` is in US dollars: 0 where nothing is paid, None where a price is not known.
    """

    prompt: int = 0
    cached: int = 0
    completion: int = 0
    cost: float | None = 0.0

    def __add__(self, other: Usage) -> Usage:
        return Usage(
            prompt=self.prompt + other.prompt,
            cached=self.cached + other.cached,
            completion=self.completion + other.completion,
            cost=None if self.cost is None or other.cost is None else self.cost + other.cost,
        )


NO_USAGE = Usage()


class Turn(Record):
    """One role's turn. An invalid turn did nothing (`action` is none) and keeps what the model wrote in `raw`.

    `cause` says why a turn is invalid; None where nobody recorded it.
    """

    role: int
    action: Action
    raw: str = ""
    valid: bool = True
    reasked: bool = False
    usage: Usage = NO_USAGE
    cause: Cause | None = None


class StopReason(StrEnum):
    """Why an episode that was played to its end ended."""

    AGREED = "agreed"
    LEFT = "left"
    STALE = "stale"
    LIMIT = "limit"


class Episode(Record):
    """A played task.

    `players` names who played each role. A completed episode has a `stop_reason`, a failed one a `failure`
    (what could not be reached or went wrong) and the turns played before it.
    """

    key: str
    task_id: str
    stage: str
    players: tuple[str, ...]
    repeat: int = 0
    seed: int = 0
    turns: tuple[Turn, ...] = ()
    stop_reason: StopReason | None = None
    failure: str | None = None
    seconds: float = Field(default=0.0, ge=0)

    @property
    def usage(self) -> Usage:
        """The tokens of all turns and what they cost."""
        return sum((turn.usage for turn in self.turns), NO_USAGE)

    @property
    def completed(self) -> bool:
        """Whether it was played to its end; only completed episodes are rated."""
        return self.failure is None
