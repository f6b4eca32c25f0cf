"""The contract between a judge's reply and numbers: which object of it counts, and what must stand in it.

Only an object that carries the token of this case counts; whoever spoke in the transcript cannot know the token, so
ratings that the judge quotes from there are never read as its own. Scores belong to a role by the role's key and the
name beside it, never by position. Every violation names its offender, for the judge that is asked again and for the
reason of a failed rating.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, TypeGuard

from sotopia_pi.models.protocol import JsonSchema
from sotopia_pi.ratings.dimensions import Dimension

#: Characters of a reply that are read; a rating of ten roles is shorter.
LONGEST = 100_000
#: Opening braces at which an object is looked for, so that a reply full of them costs nothing.
_MOST_BRACES = 2_000
_MOST_NAMED = 5


class ReplyError(ValueError):
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


def parse_reply(text: str, token: str, names: Sequence[str], dimensions: Sequence[Dimension]) -> tuple[Verdict, ...]:
    """One verdict per role of `names`, in their order. Raises ReplyError.

    Text and objects without the token are passed over. Where several objects carry it, those that break the contract
    are passed over if one keeps it; two that keep it and differ are refused.
    """
    if len(text) > LONGEST:
        raise ReplyError(f"the reply is longer than {LONGEST:,} characters")
    found = _objects(text)
    own = [value for value in found if value.get("token") == token]
    if not own:
        raise ReplyError(_without_token(found, token))
    kept: list[tuple[Verdict, ...]] = []
    broken: list[str] = []
    for value in own:
        problems: list[str] = []
        verdicts = _verdicts(value, names, dimensions, problems)
        if problems:
            broken = broken or problems
        elif verdicts not in kept:
            kept.append(verdicts)
    if not kept:
        more = f" and {len(broken) - _MOST_NAMED} more" if len(broken) > _MOST_NAMED else ""
        raise ReplyError("; ".join(broken[:_MOST_NAMED]) + more)
    if len(kept) > 1:
        raise ReplyError(f"there are {len(kept)} different answers with the token, and only one can count")
    return kept[0]


def _without_token(found: Sequence[dict[str, Any]], token: str) -> str:
    if not found:
        return "there is no JSON object"
    if any("token" in value for value in found):
        return f'"token" is not "{token}"'
    return f'"token" is missing; it is "{token}"'


class _Object(dict[str, Any]):
    """A JSON object that remembers a key which stood in it twice."""

    repeated: str | None = None


def _remembering(pairs: list[tuple[str, Any]]) -> _Object:
    made = _Object(pairs)
    if len(made) < len(pairs):
        keys = [key for key, _ in pairs]
        made.repeated = next(key for key in keys if keys.count(key) > 1)
    return made


def _objects(text: str) -> list[dict[str, Any]]:
    """The JSON objects of a text from left to right; what stands inside an object or its strings is not looked at."""
    decoder = json.JSONDecoder(object_pairs_hook=_remembering, strict=False)
    found: list[dict[str, Any]] = []
    start = text.find("{")
    for _ in range(_MOST_BRACES):
        if start < 0:
            break
        try:
            value, end = decoder.raw_decode(text, start)
        except (ValueError, RecursionError):  # broken, too deep, or a number of thousands of digits
            end = start + 1
        else:
            found.append(value)
        start = text.find("{", end)
    return found


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
        score, reason = part.get("score"), part.get("reasoning")
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
    repeated = getattr(value, "repeated", None)
    if repeated is not None:
        problems.append(f"{where} has {_short(repeated)} twice")


def _whole(value: Any) -> TypeGuard[int | float]:
    return (isinstance(value, int) and not isinstance(value, bool)) or (isinstance(value, float) and value.is_integer())


def _plain(name: Any) -> str | None:
    return " ".join(name.split()).casefold() if isinstance(name, str) else None


def _short(value: Any) -> str:
    if isinstance(value, dict | list):
        return "an object" if isinstance(value, dict) else "a list"
    text = json.dumps(value)
    return text if len(text) <= 60 else f"{text[:59]}…"
