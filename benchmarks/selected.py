"""Episodes to train on, for the training benchmarks, in both forms: a sequence per role, and an example per turn."""

from __future__ import annotations

import tempfile
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from sotopia_pi.episodes.records import Episode, StopReason, Turn, parse_action
from sotopia_pi.models.mocktexts import action
from sotopia_pi.records import derive_seed
from sotopia_pi.training.examples import Example, Tokens, example, tokenize
from sotopia_pi.world.records import SocialTask

PUBLISHED = Path(__file__).parent.parent.parent / "shared" / "data" / "sotopia_pi" / "human_eval"
#: No sequence of either set is longer, so neither form loses anything.
CUTOFF = 4096

Played = tuple[SocialTask, Episode]


@dataclass(frozen=True, slots=True)
class Selected:
    """A role of an episode: its one sequence, and its prompt and completion per trained turn, as text."""

    tokens: Tokens
    turns: list[dict[str, str]]

    @property
    def ends(self) -> list[int]:
        """Where each trained turn ends in the sequence, which is how long its example is."""
        targets = self.tokens.targets
        return [at + 1 for at, after in zip(targets, [*targets[1:], -1], strict=True) if after != at + 1]


def published() -> tuple[list[Played], str]:
    """The 84 published episodes, read as `sotopia-pi import` reads them; made ones of like length without them."""
    from sotopia_pi.interop.episodes import import_episodes
    from sotopia_pi.store import Store

    if not PUBLISHED.is_dir():
        return list(made(42, 9)), "84 made episodes of 9 turns; the published ones are not here"
    with tempfile.TemporaryDirectory() as folder, Store.open(Path(folder) / "run.db") as store:
        import_episodes(store, sorted(PUBLISHED.glob("*_episodes.jsonl")), "published")
        found = [(store.task(episode.task_id), episode) for episode in store.episodes() if episode.completed]
    turns = sum(len(episode.turns) for _, episode in found) / len(found)
    return found, f"{len(found)} published episodes of {turns:.1f} turns"


def made(tasks: int, turns: int, repeats: int = 2) -> Iterator[Played]:
    """Episodes of `turns` turns on the starter world's open scenarios, in the words of the mock server."""
    for number, task in enumerate(open_tasks(tasks)):
        for repeat in range(repeats):
            yield task, made_episode(task, turns, f"{number}/{repeat}", repeat)


def open_tasks(count: int) -> list[SocialTask]:
    """`count` castings of the starter world's open scenarios to train on."""
    from sotopia_pi.world import cast, starter_world

    world = starter_world()
    scenarios = world.scenarios["train"]
    castings = -(-count // len(scenarios))
    made = [task for scenario in scenarios for task in cast(scenario, world.characters, world.ties, 1, castings)]
    return made[:count]


def made_episode(task: SocialTask, turns: int, key: str, repeat: int = 0) -> Episode:
    """An episode in which two talk in the mock server's words until the last turn."""
    said = [action(" " * (derive_seed(1, f"{key}/{number}") % 997)) for number in range(turns)]
    return Episode(
        key=key,
        task_id=task.id,
        stage="collect/bc",
        players=("expert", "expert"),
        repeat=repeat,
        turns=tuple(Turn(role=n % 2, action=parse_action(raw), raw=raw) for n, raw in enumerate(said)),
        stop_reason=StopReason.LIMIT,
    )


def selected(tokenizer: Any, played: Sequence[Played]) -> list[Selected]:
    """Every role that has something to train on, those of one task and role side by side."""
    found = []
    for task, episode in played:
        for role in task.roles:
            item = example(task, episode, role)
            (cut,) = tokenize(tokenizer, [item], CUTOFF)
            found += [Selected(tokens, turns_of(tokenizer, item)) for tokens in cut.items]
    return sorted(found, key=lambda one: one.tokens.group)


def turns_of(tokenizer: Any, item: Example) -> list[dict[str, str]]:
    """A role's chat as a prompt and a completion per trained turn; the trainer adds the end-of-turn token."""
    replies = [index for index, message in enumerate(item.messages) if message["role"] == "assistant"]
    return [
        {
            "prompt": tokenizer.apply_chat_template(item.messages[:index], tokenize=False, add_generation_prompt=True),
            "completion": item.messages[index]["content"],
        }
        for index, trained in zip(replies, item.trained, strict=True)
        if trained
    ]
