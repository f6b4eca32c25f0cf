"""Records to rows and back."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from sqlalchemy import RowMapping

from sotopia_pi.episodes.records import Episode, canonical_reply
from sotopia_pi.ratings.records import Rating
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


def read_episode(row: RowMapping, turns: Iterable[RowMapping]) -> Episode:
    """The episode of a row and of its turns' rows, in order."""
    return Episode.model_validate({**row, "turns": [_read_turn(turn) for turn in turns]})


def _read_turn(row: RowMapping) -> Row:
    """The fields of a turn, which are validated with its episode: one by one would take four times as long."""
    type_, argument, raw = row["action_type"], row["argument"], row["raw"]
    return {
        "role": row["role"],
        "action": {"type": type_, "argument": argument},
        "raw": canonical_reply(type_, argument) if raw is None else raw,
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
    """The rating of a row."""
    fields = dict(row)
    return Rating(episode=fields.pop("episode_key"), **fields)
