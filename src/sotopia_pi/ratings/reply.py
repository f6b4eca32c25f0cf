"""The contract between a judge's reply and numbers: which object of it counts, and what must stand in it.

Only an object that carries the token of this case counts, and of several the last (models/answers.py): what is thought
or drafted before it does not. Whoever spoke in the transcript cannot know the token, so ratings that the judge quotes
from there are never read as its own. Scores belong to a role by the role's key and the name beside it, never by
position. Every violation names its offender, for the judge that is asked again and for the reason of a failed rating.
"""

from __future__ import annotations

import json
import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, TypeGuard

from sotopia_pi.models.answers import AnswerError, read_reply
from sotopia_pi.models.jsontext import JsonObject
from sotopia_pi.models.protocol import Finish, JsonSchema
from sotopia_pi.ratings.dimensions import Dimension

_MOST_NAMED = 5
#: A score that was written as a text.
_NUMBER = re.compile(r"\s*([-+−]?\d{1,4})(?:\.0+)?\s*")


class ReplyError(AnswerError):
    """A reply breaks the contract; the message names every offender (the first few)."""


@dataclass(frozen=True, slots=True)
class Verdict:
    """What a judge said about one role, by dimension."""

    scores: dict[str, float]
    reasons: dict[str, str]


def role_key(role: int) -> str:
    """What a role is called in prompt and reply: role_1 acts first."""
    return f"role_{role + 1}"


def reply_schema(roles: int, dimensions: Sequence[Dimension]) -> JsonSchema:
    """What a reply must look like. It is the same for every episode, because servers compile a schema once."""
    rated = {
        dimension.name: _object(
            {
                "reasoning": {"type": "string"},
                "score": {"type": "integer", "minimum": dimension.low, "maximum": dimension.high},
            }
        )
        for dimension in dimensions
    }
    each = _object({"name": {"type": "string"}, **rated})
    return JsonSchema(
        "rating", _object({"token": {"type": "string"}} | {role_key(role): each for role in range(roles)})
    )


def _object(properties: dict[str, Any]) -> dict[str, Any]:
    return {
        "type": "object",
        "properties": properties,
        "required": list(properties),
        "additionalProperties": False,
    }


def parse_reply(
    text: str, token: str, names: Sequence[str], dimensions: Sequence[Dimension], finish: Finish = "stop"
) -> tuple[Verdict, ...]:
    """One verdict per role of `names`, in their order, of a reply that ended with `finish`. Raises ReplyError."""

    def verdicts(value: JsonObject) -> tuple[Verdict, ...]:
        if "token" not in value:
            raise AnswerError(f'"token" is missing; it is "{token}"')
        if value["token"] != token:
            raise AnswerError(f'"token" is not "{token}"')
        problems: list[str] = []
        found = _verdicts(value, names, dimensions, problems)
        if problems:
            more = f" and {len(problems) - _MOST_NAMED} more" if len(problems) > _MOST_NAMED else ""
            raise AnswerError("; ".join(problems[:_MOST_NAMED]) + more)
        return found

    try:
        return read_reply(text, finish, token, lambda value: value.get("token") == token, verdicts)
    except AnswerError as error:
        raise ReplyError(str(error), error.cause) from None


def _verdicts(
    value: dict[str, Any], names: Sequence[str], dimensions: Sequence[Dimension], problems: list[str]
) -> tuple[Verdict, ...]:
    """The verdicts of an object with the right token; what breaks the contract is added to `problems`."""
    _no_repeats(value, "the answer", problems)
    verdicts = []
    for role, name in enumerate(names):
        key = role_key(role)
        given = value.get(key)
        if not isinstance(given, dict):
            problems.append(f'"{key}" ({_short(name)}) is missing' if given is None else f'"{key}" is not an object')
            continue
        _no_repeats(given, f'"{key}"', problems)
        if _plain(given.get("name")) != _plain(name):
            problems.append(f'"name" of "{key}" is {_short(given.get("name"))} and not {_short(name)}')
        verdicts.append(_verdict(given, key, dimensions, problems))
    return tuple(verdicts)


def _verdict(given: dict[str, Any], key: str, dimensions: Sequence[Dimension], problems: list[str]) -> Verdict:
    scores: dict[str, float] = {}
    reasons: dict[str, str] = {}
    for dimension in dimensions:
        where, part = f'"{dimension.name}" of "{key}"', given.get(dimension.name)
        if not isinstance(part, dict):
            problems.append(f"{where} is missing" if part is None else f"{where} is not an object")
            continue
        _no_repeats(part, where, problems)
        score, reason = _number(part.get("score")), part.get("reasoning")
        if not _whole(score):
            problems.append(f"{where} has the score {_short(score)}, which is not a whole number")
        elif not dimension.low <= score <= dimension.high:
            problems.append(f"{where} has the score {_short(score)}, which is not from {dimension.range}")
        elif not isinstance(reason, str) or not reason.strip():
            problems.append(f"{where} has no reasoning")
        else:
            scores[dimension.name], reasons[dimension.name] = float(score), reason.strip()
    return Verdict(scores, reasons)


def _no_repeats(value: dict[str, Any], where: str, problems: list[str]) -> None:
    if isinstance(value, JsonObject) and value.repeated:
        problems.append(f"{where} has {_short(value.repeated[0])} twice")


def _number(score: Any) -> Any:
    """A score that was written as a text, as the number it is."""
    match = _NUMBER.fullmatch(score) if isinstance(score, str) else None
    return int(match[1].replace("−", "-")) if match else score


def _whole(value: Any) -> TypeGuard[int | float]:
    return (isinstance(value, int) and not isinstance(value, bool)) or (isinstance(value, float) and value.is_integer())


def _plain(name: Any) -> str | None:
    return " ".join(name.split()).casefold() if isinstance(name, str) else None


def _short(value: Any) -> str:
    if isinstance(value, dict | list):
        return "an object" if isinstance(value, dict) else "a list"
    text = json.dumps(value)
    return text if len(text) <= 60 else f"{text[:59]}…"
