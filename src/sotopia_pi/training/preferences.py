"""Preference pairs from rated episodes: of one task and role, what was selected against what was not.

Two episodes whose views are identical up to one of the role's own turns, where its actions differ, give an action pair:
one view, two actions. Others give an episode pair: what is shared, then each episode's own way on, of which only the
role's own valid actions count; the partners' turns, even an opening one, are the world's and are masked.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any, Literal

from sotopia_pi.episodes.records import Episode, Turn
from sotopia_pi.episodes.views import MAX_TURNS, messages, view
from sotopia_pi.models.answers import without_thoughts
from sotopia_pi.models.chat import encode_chat
from sotopia_pi.models.protocol import Message
from sotopia_pi.prompts import Prompts
from sotopia_pi.training.examples import Example, Tokens, trained_tokens
from sotopia_pi.world.records import SocialTask

#: In how many pairs one role of one episode is at most.
MOST_PAIRS = 3


@dataclass(frozen=True, slots=True)
class Rated:
    """One role of a rated episode: its score (GOAL), and whether the round selected it."""

    episode: Episode
    role: int
    score: float
    selected: bool


@dataclass(frozen=True, slots=True)
class Pair:
    """What `role` did in the episode `preferred` against what it did in `rejected`, by their keys.

    The first `shared` turns are alike in both. `margin` is how much higher the preferred one scores.
    """

    kind: Literal["action", "episode"]
    task_id: str
    role: int
    preferred: str
    rejected: str
    shared: int
    margin: float


@dataclass(frozen=True, slots=True)
class PairTokens:
    """A pair as tokens. Both sides begin with the same prompt; their targets are what the update compares."""

    preferred: Tokens
    rejected: Tokens


def pairs(rated: Iterable[Rated], margin: float, most: int = MOST_PAIRS) -> list[Pair]:
    """Pairs of a selected role with one of the same task and role that was not and scores at least `margin` less.

    Each role of an episode is in at most `most` pairs. The best ones choose first, one partner a time: preferably one
    that gives an action pair, then the one in the fewest pairs, then the lowest score. Ties are broken by id, so the
    result does not depend on the order of `rated`.
    """
    groups: dict[tuple[str, int], list[Rated]] = defaultdict(list)
    for item in rated:
        groups[item.episode.task_id, item.role].append(item)
    return [pair for _, group in sorted(groups.items()) for pair in _pairs_of(group, margin, most)]


def _pairs_of(group: Sequence[Rated], margin: float, most: int) -> list[Pair]:
    """The pairs of one task and role."""
    best = sorted((item for item in group if item.selected), key=lambda item: (-item.score, item.episode.key))
    worst = sorted((item for item in group if not item.selected), key=lambda item: (item.score, item.episode.key))
    possible = {item.episode.key: [pair for other in worst if (pair := _pair(item, other, margin))] for item in best}
    used: Counter[str] = Counter()
    found: list[Pair] = []
    for _ in range(most):
        for item in best:
            left = [pair for pair in possible[item.episode.key] if used[pair.rejected] < most]
            if left:  # `min` takes the first of equals, and `possible` begins with the lowest score
                taken = min(left, key=lambda pair: (pair.kind != "action", used[pair.rejected]))
                possible[item.episode.key].remove(taken)
                used[taken.rejected] += 1
                found.append(taken)
    return found


def _pair(preferred: Rated, rejected: Rated, margin: float) -> Pair | None:
    """The pair that two rated roles make; None when they are too close or differ in no action of the role."""
    gap = preferred.score - rejected.score
    if gap < margin:
        return None
    a, b, role = preferred.episode, rejected.episode, preferred.role
    shared = shared_turns(a, b, role)
    here = [episode.turns[shared] for episode in (a, b) if len(episode.turns) > shared]
    kind: Literal["action", "episode"]
    if len(here) == 2 and here[0].role == here[1].role == role and here[0].valid and _written(here[1]) is not None:
        kind = "action"
    else:
        kind = "episode"
        own, others = ([t.action for t in e.turns[shared:] if t.role == role and t.valid] for e in (a, b))
        if not own or not others or own == others:
            return None
    return Pair(kind, a.task_id, role, a.key, b.key, shared, gap)


def shared_turns(a: Episode, b: Episode, role: int) -> int:
    """How many turns two episodes of one task begin with that are alike for `role`: its view stays the same.

    An own turn that was valid in one of them only is not alike, though both may have done nothing.
    """

    def alike(one: Turn, other: Turn) -> bool:
        return (one.role, one.action) == (other.role, other.action) and (one.role != role or one.valid == other.valid)

    count = 0
    for one, other in zip(a.turns, b.turns, strict=False):
        if not alike(one, other):
            break
        count += 1
    return count


def _written(turn: Turn) -> str | None:
    """What a turn wrote, to be rejected: its action, or the words of an invalid reply to the view itself.

    The words of an invalid second attempt answered a complaint that is not in the view, so they are no reply to it.
    Thoughts are no words.
    """
    if turn.valid:
        return turn.action.to_json()
    return None if turn.reasked else without_thoughts(turn.raw) or None


def sides(
    task: SocialTask,
    pair: Pair,
    preferred: Episode,
    rejected: Episode,
    max_turns: int = MAX_TURNS,
    prompts: Prompts | None = None,
) -> tuple[Example, Example]:
    """Both sides as chats whose trained messages are those that count, in the one rendering of a role's view."""
    made = _action_side if pair.kind == "action" else _episode_side
    a, b = (made(task, pair, episode, max_turns, prompts) for episode in (preferred, rejected))
    return a, b


def _action_side(task: SocialTask, pair: Pair, episode: Episode, max_turns: int, prompts: Prompts | None) -> Example:
    past, turn = episode.turns[: pair.shared], episode.turns[pair.shared]
    chat = messages(view(task, pair.role, past, max_turns), "chat", prompts)
    own = sum(message["role"] == "assistant" for message in chat)
    reply = Message(role="assistant", content=_written(turn) or "")
    return Example(episode.key, pair.role, task.id, [*chat, reply], [False] * own + [True])


def _episode_side(task: SocialTask, pair: Pair, episode: Episode, max_turns: int, prompts: Prompts | None) -> Example:
    chat = messages(view(task, pair.role, episode.turns, max_turns), "chat", prompts)
    trained = [turn.valid and at >= pair.shared for at, turn in enumerate(episode.turns) if turn.role == pair.role]
    return Example(episode.key, pair.role, task.id, chat, trained)


def encode(tokenizer: Any, preferred: Example, rejected: Example, cutoff: int) -> PairTokens | None:
    """Both sides as tokens, each cut after its last whole action within `cutoff` tokens.

    None when a side has no action left that counts.
    """
    a, b = _tokens(tokenizer, preferred, cutoff), _tokens(tokenizer, rejected, cutoff)
    return None if a is None or b is None else PairTokens(a, b)


def _tokens(tokenizer: Any, item: Example, cutoff: int) -> Tokens | None:
    encoded = encode_chat(tokenizer, item.messages)
    fit = [turn for turn, (_, end) in zip(encoded.turns, encoded.replies, strict=True) if end <= cutoff]
    wanted = [turn for turn in fit if item.trained[turn]]
    return trained_tokens(encoded, wanted) if wanted else None
