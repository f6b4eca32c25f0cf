"""A Hugging Face dataset folder: JSONL files and a card that names them, read by `datasets.load_dataset(folder)`.

Every column has one type in every row, and the card names it, so that loading does not depend on which rows come first.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from sotopia_pi.episodes.records import Episode
from sotopia_pi.errors import StoreError
from sotopia_pi.interop.chats import chats
from sotopia_pi.interop.export import rated_episodes
from sotopia_pi.interop.files import new_folder, to_json, write_lines
from sotopia_pi.prompts import Prompts
from sotopia_pi.ratings.records import DIMENSIONS, Rating
from sotopia_pi.store import Store
from sotopia_pi.world.records import SocialTask

Row = dict[str, Any]
Schema = Mapping[str, Any]

_CHAT = [{"role": "string", "content": "string"}]
_CHARACTER: Schema = {
    **dict.fromkeys(["name", "gender", "pronouns", "occupation", "public_info", "big_five", "personality"], "string"),
    "age": "int64",
    "moral_values": ["string"],
    "schwartz_values": ["string"],
    "decision_style": "string",
    "secret": "string",
}
_TASK: Schema = {
    "situation": "string",
    "goals": ["string"],
    "relationship": "int64",
    "kind": "string",
    "source": "string",
    "check": "string",
    "characters": [_CHARACTER],
}
#: The columns of each configuration; the first that has rows is the one that is loaded by default.
SCHEMAS: dict[str, Schema] = {
    "episodes": {
        "episode": "string",
        "stage": "string",
        "task": "string",
        "players": ["string"],
        "stop_reason": "string",
        "turns": [
            {
                "role": "int64",
                **dict.fromkeys(["name", "action_type", "argument", "terms"], "string"),
                "valid": "bool",
            },
        ],
        "ratings": [
            {
                "role": "int64",
                "rater": "string",
                "failure": "string",
                "overall": "float64",
                "scores": dict.fromkeys(DIMENSIONS, "float64"),
                "reasons": dict.fromkeys(DIMENSIONS, "string"),
                "more": "string",
            }
        ],
        **_TASK,
    },
    "chats": {
        "messages": _CHAT,
        "trained": ["bool"],
        "round": "string",
        "episode": "string",
        "task": "string",
        "role": "int64",
    },
    "tasks": {"task": "string", "group": "string", **_TASK},
}


def export_hub(
    store: Store,
    folder: Path,
    name: str,
    stages: Sequence[str],
    rounds: Sequence[str],
    max_turns: int,
    prompts: Prompts,
) -> dict[str, int]:
    """Writes the folder; how many rows each configuration has. StoreError when there is nothing to write."""
    rows: dict[str, Callable[[], Iterator[Row]]] = {
        "episodes": lambda: _episodes(store, stages),
        "chats": lambda: chats(store, rounds, max_turns, prompts),
        "tasks": lambda: _tasks(store),
    }
    for stage in stages:
        store.check_stage(stage)
    counts = {}
    with new_folder(folder) as scratch:
        for part, make in rows.items():
            path = scratch / f"{part}.jsonl"
            counts[part] = write_lines(path, (to_json(row) for row in make()))
            if not counts[part]:
                path.unlink()  # no library can tell the columns of an empty file
        if not any(counts.values()):
            raise StoreError("There are no tasks, episodes or selected examples to export; play or import some first.")
        (scratch / "README.md").write_text(card(name, counts), encoding="utf-8")
    return counts


def _task_row(task: SocialTask) -> Row:
    record = task.model_dump(mode="json")
    scenario = record["scenario"]
    return {
        "situation": scenario["situation"],
        "goals": scenario["goals"],
        "relationship": scenario["relationship"],
        "kind": scenario["kind"],
        "source": scenario["source"],
        "check": to_json(scenario["check"]) if scenario["check"] else "",
        "characters": record["characters"],
    }


def _tasks(store: Store) -> Iterator[Row]:
    for group in store.task_groups():
        yield from ({"task": task.id, "group": group, **_task_row(task)} for task in store.tasks(group))


def _episodes(store: Store, stages: Sequence[str]) -> Iterator[Row]:
    tasks: dict[str, SocialTask] = {}
    for page in rated_episodes(store, stages):
        for episode, ratings in page:
            if episode.task_id not in tasks:
                tasks[episode.task_id] = store.task(episode.task_id)
            yield _episode_row(tasks[episode.task_id], episode, ratings)


def _episode_row(task: SocialTask, episode: Episode, ratings: Sequence[Rating]) -> Row:
    turns = [
        {
            "role": turn.role,
            "name": task.characters[turn.role].name,
            "action_type": turn.action.type.value,
            "argument": turn.action.argument,
            "terms": turn.action.terms or "",
            "valid": turn.valid,
        }
        for turn in episode.turns
    ]
    return {
        "episode": episode.key,
        "stage": episode.stage,
        "task": task.id,
        "players": list(episode.players),
        "stop_reason": episode.stop_reason.value if episode.stop_reason else "",
        "turns": turns,
        "ratings": [_rating_row(rating) for rating in ratings],
        **_task_row(task),
    }


def _rating_row(rating: Rating) -> Row:
    more = {
        "scores": {name: score for name, score in rating.scores.items() if name not in DIMENSIONS},
        "outcome": rating.outcome,
    }
    return {
        "role": rating.role,
        "rater": rating.rater,
        "failure": rating.failure or "",
        "overall": rating.overall,
        "scores": {name: rating.scores.get(name) for name in DIMENSIONS},
        "reasons": {name: rating.reasons.get(name, "") for name in DIMENSIONS},
        "more": to_json(more) if any(more.values()) else "",
    }


def card(name: str, counts: Mapping[str, int]) -> str:
    """The dataset card: which files there are, their columns, and what they hold."""
    parts = [part for part in SCHEMAS if counts.get(part)]
    lines = ["---", "configs:"]
    for part in parts:
        lines += [f"- config_name: {part}", f"  data_files: {part}.jsonl"]
        lines += ["  default: true"] if part == parts[0] else []
    lines.append("dataset_info:")
    for part in parts:
        lines += [f"- config_name: {part}", "  features:", *_features(SCHEMAS[part], "  ")]
    lines += ["---", "", f"# {name}", "", "Social interactions exported by sotopia-pi.", ""]
    lines += [f"- `{part}`: {counts[part]} rows" for part in parts]
    lines += [
        "",
        "`goals`, `characters` and `players` are by role; a turn names its role, and `terms` is what it proposed or",
        "accepted with it, in the role's own notation, empty for nothing. `scores` are SOTOPIA-EVAL's seven",
        "dimensions, empty where a rater did not give one; `failure` says why there is no rating. `chats` are the",
        "examples that a round selected, as the role saw them; `trained` says which of its messages are imitated.",
    ]
    if any(counts.values()):
        lines += ["", "Imported records keep the licence under which they were published.", ""]
    return "\n".join(lines)


def _features(schema: Schema, indent: str) -> list[str]:
    """The columns in the card's notation."""
    lines = []
    for name, kind in schema.items():
        lines.append(f"{indent}- name: {name}")
        lines += _feature(kind, indent + "  ")
    return lines


def _feature(kind: Any, indent: str) -> list[str]:
    if isinstance(kind, str):
        return [f"{indent}dtype: {kind}"]
    if isinstance(kind, list):
        if isinstance(kind[0], str):
            return [f"{indent}list: {kind[0]}"]
        return [f"{indent}list:", *_features(kind[0], indent)]
    return [f"{indent}struct:", *_features(kind, indent)]
