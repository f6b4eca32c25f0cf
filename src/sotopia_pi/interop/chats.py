"""Selected examples as chats, in the forms that TRL's trainers read.

The chat is the one that the role saw and that this program trains on: one rendering for all.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from sotopia_pi.errors import StoreError
from sotopia_pi.interop.files import new_file, to_json, write_lines
from sotopia_pi.prompts import Prompts
from sotopia_pi.store import Store
from sotopia_pi.training.examples import example


def export_chats(
    store: Store, path: Path, rounds: Sequence[str], max_turns: int, prompts: Prompts, completions: bool = False
) -> int:
    """Writes the examples that rounds selected; how many lines. StoreError when nothing is selected."""
    with new_file(path) as scratch:
        rows = chats(store, rounds, max_turns, prompts, completions)
        count = write_lines(scratch, (to_json(row) for row in rows))
        if not count:
            raise StoreError("There are no selected examples to export; run `sotopia-pi select` first.")
    return count


def chats(
    store: Store, rounds: Sequence[str], max_turns: int, prompts: Prompts, completions: bool = False
) -> Iterator[dict[str, Any]]:
    """One row per selected role, or with `completions` one per action that is trained on.

    Rows have `messages` and `trained` (which of the assistant messages are imitated: malformed turns are not), or
    `prompt` and `completion`; and `round`, `episode`, `task` and `role`.
    """
    for name in rounds:
        for key, role in store.selection(name):
            episode = store.episode(key)
            made = example(store.task(episode.task_id), episode, role, max_turns, prompts)
            if not any(made.trained):
                continue  # as in training
            origin = {"round": name, "episode": key, "task": made.task_id, "role": role}
            own = [at for at, message in enumerate(made.messages) if message["role"] == "assistant"]
            if not completions:
                yield {"messages": made.messages[: own[-1] + 1], "trained": made.trained, **origin}
                continue
            for at, trained in zip(own, made.trained, strict=True):
                if trained:
                    yield {"prompt": made.messages[:at], "completion": [made.messages[at]], **origin}
