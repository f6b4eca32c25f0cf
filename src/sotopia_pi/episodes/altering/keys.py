"""The identity of an altered episode: it follows from the original's and from what was done to it."""

from __future__ import annotations

from collections.abc import Sequence

from sotopia_pi.episodes.records import Episode, Turn
from sotopia_pi.records import content_hash


def altered_key(key: str, name: str) -> str:
    """The key of the episode that the alteration `name` makes of the one with `key`."""
    return content_hash(["altered", key, name])


def with_turns(episode: Episode, name: str, turns: Sequence[Turn]) -> Episode:
    """The episode with other turns, under the key of the alteration `name`."""
    return episode.model_copy(update={"key": altered_key(episode.key, name), "turns": tuple(turns)})


def with_words(turn: Turn, words: str) -> Turn:
    """The turn with other words, and the terms that it had."""
    action = turn.action.model_copy(update={"argument": words})
    return turn.model_copy(update={"action": action, "raw": action.to_json()})
