"""Training examples: one sequence per (episode, role), rendered exactly as the role saw the episode.

The loss is on the role's own actions only. Turns that were invalid stay in the history but are not imitated.
"""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Any

from sotopia_pi.episodes.records import Episode
from sotopia_pi.episodes.views import MAX_TURNS, messages, view
from sotopia_pi.models.chat import EncodedChat, encode_chats
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


@dataclass(slots=True)
class Cut:
    """An example as the sequences that train it: one, or several where it is longer than the cut-off.

    `turns_dropped` turns (an observation and the reply to it) are missing at the beginning of later sequences;
    `actions_dropped` actions are trained nowhere, because one turn by itself is too long.
    """

    items: list[Tokens]
    cut: bool = False
    turns_dropped: int = 0
    actions_dropped: int = 0


def tokenize(tokenizer: Any, items: Sequence[Example], cutoff: int) -> list[Cut]:
    """Each example as sequences of at most `cutoff` tokens.

    A sequence holds as many turns as fit. Actions behind them get sequences of their own, which have the system
    message and the latest turns that fill half of the cut-off as history: what is dropped is the oldest, and never half
    a turn. A template that rewrites earlier messages gives one sequence per action.
    """
    encoded = encode_chats(tokenizer, [item.messages for item in items])
    return [_cut(tokenizer, item, texts, cutoff) for item, texts in zip(items, encoded, strict=True)]


def _cut(tokenizer: Any, item: Example, texts: Sequence[EncodedChat], cutoff: int) -> Cut:
    made = Cut([])
    head, turns = _turns(item.messages)
    for text in texts:
        left = [turn for turn in text.turns if item.trained[turn]]
        fit = [turn for turn, end in _ends(text) if turn in left and end <= cutoff]
        _add(made, item, text, fit)
        left = left[len(fit) :]
        made.cut |= bool(left)
        sizes = [after - before for before, after in pairwise((0, *(end for _, end in _ends(text))))]
        while left:
            # Where each reply is a text of its own, the text ends with it; else it goes on as far as may fit.
            start, end = (0, left[0] + 1) if len(texts) > 1 else _window(left[0], sizes, cutoff)
            window, start = _latest(tokenizer, head, turns[:end], start, left[0], cutoff)
            fit = [turn for turn, at in _ends(window) if turn in left and at <= cutoff] if window else []
            if window and fit:
                _add(made, item, window, fit)
                made.turns_dropped += start
            else:
                made.actions_dropped += 1
            left = left[max(len(fit), 1) :]
    return made


def _ends(text: EncodedChat) -> list[tuple[int, int]]:
    """Each turn of a text and where its reply ends."""
    return [(turn, end) for turn, (_, end) in zip(text.turns, text.replies, strict=True)]


def _add(made: Cut, item: Example, text: EncodedChat, wanted: Sequence[int]) -> None:
    """Adds the sequence that trains the turns `wanted` of a text, if there are any."""
    if wanted:
        made.items.append(trained_tokens(text, wanted, f"{item.task_id}/{item.role}"))


def trained_tokens(text: EncodedChat, wanted: Collection[int], group: str = "") -> Tokens:
    """A text in which the replies of the turns `wanted` are trained; it ends with the last of them."""
    spans = [span for span, turn in zip(text.replies, text.turns, strict=True) if turn in wanted]
    return Tokens(text.ids[: spans[-1][1]], [at for start, end in spans for at in range(start, end)], group)


def _window(turn: int, sizes: Sequence[int], cutoff: int) -> tuple[int, int]:
    """From which to which turn a sequence that trains `turn` and what follows may go, by their tokens alone."""
    start, held = turn, 0
    while start > 0 and held + sizes[start - 1] <= cutoff // 2:
        start -= 1
        held += sizes[start]
    end, held = turn + 1, held + sizes[turn]
    while end < len(sizes) and held + sizes[end] <= cutoff:
        held += sizes[end]
        end += 1
    return start, end


def _latest(
    tokenizer: Any, head: list[Message], turns: Sequence[list[Message]], start: int, wanted: int, cutoff: int
) -> tuple[EncodedChat | None, int]:
    """The text of the turns from `start` on, or from a later one, so that the reply of turn `wanted` fits."""
    for first in range(start, wanted + 1):
        chat = [*head, *(message for turn in turns[first:] for message in turn)]
        text = encode_chats(tokenizer, [chat])[0][-1]
        text.turns = [first + turn for turn in text.turns]
        if dict(_ends(text))[wanted] <= cutoff:
            return text, first
    return None, wanted


def _turns(messages: Sequence[Message]) -> tuple[list[Message], list[list[Message]]]:
    """The system message, and the messages up to and with each reply."""
    head = [message for message in messages[:1] if message["role"] == "system"]
    turns: list[list[Message]] = [[]]
    for message in messages[len(head) :]:
        turns[-1].append(message)
        if message["role"] == "assistant":
            turns.append([])
    return head, turns[:-1]
