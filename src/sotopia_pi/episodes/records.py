"""Actions, turns and episodes: what is said and done, and what is kept of it."""

from __future__ import annotations

import json
import re
from enum import StrEnum

from pydantic import Field

from sotopia_pi.models.jsontext import mended_object
from sotopia_pi.models.protocol import JsonSchema
from sotopia_pi.records import Record

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


def canonical_reply(type: str, argument: str) -> str:
    """The JSON of an action, as a model is asked to write it."""
    return _ENCODE({"action_type": type, "argument": argument})


class Action(Record):
    """What a role does on its turn. `argument` is the words said or a description; empty for none."""

    type: ActionType
    argument: str = ""

    def to_json(self) -> str:
        """The canonical reply: what a model is asked to write and is trained to write."""
        return canonical_reply(self.type.value, self.argument)


NOTHING = Action(type=ActionType.NONE)

#: What a reply must look like, for servers that can hold a model to it; the order of keys is the canonical one.
ACTION_SCHEMA = JsonSchema(
    "action",
    {
        "type": "object",
        "properties": {
            "action_type": {"type": "string", "enum": [kind.value for kind in ActionType]},
            "argument": {"type": "string"},
        },
        "required": ["action_type", "argument"],
        "additionalProperties": False,
    },
)

#: NUL and halves of surrogate pairs, which JSON can write but tokenizers or databases cannot take.
_NOT_TEXT = re.compile("[\x00\ud800-\udfff]")


_DECODER = json.JSONDecoder(strict=False)
_TYPES = {kind.value: kind for kind in ActionType}


class ActionError(ValueError):
    """A reply is not an action; the message says what is wrong with it, for the model that wrote it."""


def parse_action(text: str) -> Action:
    """Reads the first JSON object of a reply as an action.

    Text around the object (a code fence, a preface) is ignored, and so are unknown keys; slips of writing with one
    possible meaning are mended. Raises ActionError.
    """
    start = text.find("{")
    if start < 0:
        raise ActionError("the reply has no JSON object")
    try:
        value, _ = _DECODER.raw_decode(text, start)
    except (ValueError, RecursionError) as error:  # a ValueError without msg: a number of thousands of digits
        value = mended_object(text)
        if value is None:
            said = getattr(error, "msg", "too deep or too long")
            raise ActionError(f"the reply is not valid JSON ({said})") from None
    kind, argument = value.get("action_type"), value.get("argument", "")
    if not isinstance(kind, str) or kind.strip().lower() not in _TYPES:
        raise ActionError(f'"action_type" must be one of: {", ".join(ActionType)}')
    if not isinstance(argument, str):
        raise ActionError('"argument" must be a text')
    words = _NOT_TEXT.sub("\ufffd", argument).strip()
    action = Action(type=_TYPES[kind.strip().lower()], argument=words)
    if not action.argument and action.type not in (ActionType.NONE, ActionType.LEAVE):
        raise ActionError(f'"argument" must not be empty for {action.type.value!r}')
    return action


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
    """One role's turn. An invalid turn did nothing (`action` is none) and keeps the model's words in `raw`."""

    role: int
    action: Action
    raw: str = ""
    valid: bool = True
    reasked: bool = False
    usage: Usage = NO_USAGE


class StopReason(StrEnum):
    """Why an episode that was played to its end ended."""

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
