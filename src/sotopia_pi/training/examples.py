"""Training examples: one sequence per (episode, role), rendered exactly as the role saw the episode.

The loss is on the role's own actions only. Turns that were invalid stay in the history but are not imitated.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from sotopia_pi.episodes.records import Episode
from sotopia_pi.episodes.views import MAX_TURNS, messages, view
from sotopia_pi.models.chat import encode_chat
from sotopia_pi.models.protocol import Message
from sotopia_pi.prompts import Prompts
from sotopia_pi.world.records import SocialTask


@dataclass(frozen=True, slots=True)
class Example:
    """A role's chat, and for each of its assistant messages whether it is trained on."""

    episode: str
    role: int
    task_id: str
    messages: list[Message]
    trained: list[bool]


@dataclass(frozen=True, slots=True)
class Tokens:
    """An example as tokens: `ids`, and `targets` with the positions whose token is to be predicted.

    Examples of one `group` (a task and role) begin with the same prompt.
    """

    ids: list[int]
    targets: list[int]
    group: str = ""


def example(
    task: SocialTask, episode: Episode, role: int, max_turns: int = MAX_TURNS, prompts: Prompts | None = None
) -> Example:
    """The example of one role: its view after the last turn, whose assistant messages are its actions."""
    seen = view(task, role, episode.turns, max_turns)
    own = [turn for turn in episode.turns if turn.role == role]
    return Example(episode.key, role, task.id, messages(seen, "chat", prompts), [turn.valid for turn in own])


def tokenize(tokenizer: Any, item: Example, cutoff: int) -> Tokens | None:
    """The example's tokens, cut after the last whole action within `cutoff` tokens; None when none fits."""
    encoded = encode_chat(tokenizer, item.messages)
    spans = [span for span, trained in zip(encoded.replies, item.trained, strict=True) if trained and span[1] <= cutoff]
    if not spans:
        return None
    targets = [at for start, end in spans for at in range(start, end)]
    return Tokens(encoded.ids[: spans[-1][1]], targets, f"{item.task_id}/{item.role}")


def token_counts(items: Sequence[Tokens]) -> dict[str, int]:
    """How many sequences, tokens and trained tokens there are."""
    return {
        "sequences": len(items),
        "tokens": sum(len(item.ids) for item in items),
        "trained_tokens": sum(len(item.targets) for item in items),
    }
