"""Records to rows and back. A row that cannot be a record is refused by its table and key."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from typing import Any

from pydantic import ValidationError
from sqlalchemy import RowMapping

from sotopia_pi.episodes.records import Episode, canonical_reply
from sotopia_pi.ratings.records import Rating
from sotopia_pi.store.checking import named
from sotopia_pi.store.schema import storable

Row = dict[str, Any]


def episode_row(episode: Episode) -> Row:
    """The row of an episode, without its turns."""
    return {
        "key": episode.key,
        "task_id": episode.task_id,
        "stage": episode.stage,
        "players": list(episode.players),
        "repeat": episode.repeat,
        "seed": episode.seed,
        "stop_reason": episode.stop_reason and episode.stop_reason.value,
        "failure": episode.failure,
        "seconds": episode.seconds,
    }


def turn_rows(episode: Episode) -> list[Row]:
    """One row per turn; `raw` is left out where the action says it all."""
    rows = []
    for number, turn in enumerate(episode.turns):
        action, raw = turn.action, storable(turn.raw)
        if (argument := storable(action.argument)) is not action.argument:
            action = action.model_copy(update={"argument": argument})
        rows.append(
            {
                "episode_key": episode.key,
                "number": number,
                "role": turn.role,
                "action_type": action.type.value,
                "argument": action.argument,
                "terms": action.terms,
                "raw": None if raw == action.to_json() else raw,
                "valid": turn.valid,
                "reasked": turn.reasked,
                "prompt_tokens": turn.usage.prompt,
                "cached_tokens": turn.usage.cached,
                "completion_tokens": turn.usage.completion,
                "cost": turn.usage.cost,
                "cause": turn.cause and turn.cause.value,
            }
        )
    return rows


def read_episode(row: RowMapping, turns: Sequence[RowMapping]) -> Episode:
    """The episode of a row and of its turns' rows, in order. UnreadableRow."""
    try:
        episode = Episode.model_validate({**row, "turns": [_read_turn(turn) for turn in turns]})
    except (ValueError, TypeError) as error:
        raise UnreadableRow("episodes", [row["key"]], why(error)) from None
    roles = range(len(episode.players))
    if not (roles and episode.repeat >= 0 and math.isfinite(episode.seconds)):
        raise UnreadableRow("episodes", [episode.key], "nobody played, or numbers that cannot be")
    for number, (turn, found) in enumerate(zip(episode.turns, turns, strict=True)):
        if found["number"] != number:
            raise UnreadableRow("turns", [episode.key, number], "there is none")
        usage = turn.usage
        amounts = (usage.prompt, usage.cached, usage.completion, usage.cost or 0)
        if turn.role not in roles or not all(0 <= amount < math.inf for amount in amounts):
            raise UnreadableRow("turns", [episode.key, number], "a role that nobody plays, or numbers that cannot be")
    return episode


def _read_turn(row: RowMapping) -> Row:
    """The fields of a turn, which are validated with its episode: one by one would take four times as long."""
    type_, argument, terms, raw = row["action_type"], row["argument"], row["terms"], row["raw"]
    return {
        "role": row["role"],
        "action": {"type": type_, "argument": argument, "terms": terms},
        "raw": canonical_reply(type_, argument, terms) if raw is None else raw,
        "valid": row["valid"],
        "reasked": row["reasked"],
        "usage": {
            "prompt": row["prompt_tokens"],
            "cached": row["cached_tokens"],
            "completion": row["completion_tokens"],
            "cost": row["cost"],
        },
        "cause": row["cause"],
    }


def rating_row(rating: Rating) -> Row:
    """The row of a rating."""
    row = rating.model_dump(mode="json")
    return {"episode_key": row.pop("episode"), **row}


def read_rating(row: RowMapping) -> Rating:
    """The rating of a row. UnreadableRow."""
    fields = dict(row)
    key = [row[name] for name in ("episode_key", "role", "rater", "sample")]
    try:
        rating = Rating(episode=fields.pop("episode_key"), **fields)
    except (ValueError, TypeError) as error:
        raise UnreadableRow("ratings", key, why(error)) from None
    deal = (rating.outcome or {}).get("deal")
    if rating.role < 0 or not all(map(math.isfinite, rating.scores.values())) or deal not in (True, False, None):
        raise UnreadableRow("ratings", key, "a role, a score or an outcome that cannot be")
    return rating


#: What stages store of themselves that reports count with: numbers, texts and groups of facts.
_NUMBERS = """
    planned completed failed judged judge_failed read read_failed seconds goal n candidates unrated selected calibrated
    mean_of_candidates mean_of_selected sequences tokens trained_tokens cut turns_dropped dropped pairs action_pairs
    train test transfer dev safety
"""
_FACTS: dict[str, Callable[[Any], bool]] = {
    **dict.fromkeys(_NUMBERS.split(), lambda value: value is None or _is_number(value)),
    **dict.fromkeys(("raters", "notes"), lambda value: _all(value, lambda item: isinstance(item, str))),
    **dict.fromkeys(("saturation", "settings"), lambda value: isinstance(value, dict)),
    "curve": lambda value: _all(value, _is_point),
}


def read_facts(name: str, facts: Any) -> Row:
    """The facts of a finished stage. UnreadableRow."""
    if not isinstance(facts, dict):
        raise UnreadableRow("stages", [name], "no facts")
    for fact, value in facts.items():
        if fact in _FACTS and not _FACTS[fact](value):
            raise UnreadableRow("stages", [name], fact)
    return facts


def _is_number(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool) and math.isfinite(value)


def _is_point(value: Any) -> bool:
    """A point of a training curve."""
    return isinstance(value, dict) and all(number is None or _is_number(number) for number in value.values())


def _all(value: Any, fits: Callable[[Any], bool]) -> bool:
    return isinstance(value, list) and all(map(fits, value))


class UnreadableRow(ValueError):
    """A row that cannot be a record; the message names it."""

    def __init__(self, table: str, key: Sequence[object], problem: str) -> None:
        super().__init__(f"{named(table, key)}: {problem}")


def why(error: Exception) -> str:
    """What a record objects to, in a few words."""
    if isinstance(error, ValidationError):
        first = error.errors()[0]
        return f"{'.'.join(str(part) for part in first['loc'])}: {first['msg']}"
    return str(error)
