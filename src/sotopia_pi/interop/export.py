"""Exports in SOTOPIA's own formats: profile files and episode files. What was imported comes out as it came in."""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from sotopia_pi.episodes.records import ActionType, Episode, Turn
from sotopia_pi.errors import StoreError
from sotopia_pi.interop.files import new_file, new_folder, to_json, write_lines
from sotopia_pi.interop.profiles import OURS, RETIRED_MARK, write_character, write_scenario
from sotopia_pi.interop.sotopia import FILES, HARD, HARD_FILE
from sotopia_pi.ratings.records import DIMENSIONS, Rating
from sotopia_pi.store import Store
from sotopia_pi.store.store import PAGE
from sotopia_pi.world.records import Character, RetiredCheck, SocialTask

_ENVIRONMENT = "Environment"


def export_profiles(store: Store, folder: Path) -> dict[str, int]:
    """Writes SOTOPIA's profile files of every task of a run; how many records of each kind.

    Imported records are as they were published; ours have their ids and carry the whole record under `sotopia_pi`.
    """
    own = _own_tasks(store)
    with new_folder(folder) as scratch:
        counts = {
            kind: write_lines(scratch / name, _profiles(store, kind, own)) for kind, name in FILES.items()
        }  # fmt: skip
        hard = [item.source_id for item in store.imports.all("hard")]
        if hard or HARD in store.task_groups():
            (scratch / HARD_FILE).write_text(json.dumps(hard, indent=1) + "\n", encoding="utf-8")
            counts["hard"] = len(hard)
        if not any(counts.values()):
            raise StoreError("There are no tasks to export; run `sotopia-pi tasks` or import some first.")
    return counts


def _own_tasks(store: Store) -> list[SocialTask]:
    """The tasks that the run drew itself, each once; not those of imported episodes, which their file tells of."""
    known = {task.id for task in store.imports.tasks().values()}
    tasks = {task.id: task for group in store.task_groups() if "/" not in group for task in store.tasks(group)}
    return [task for id, task in tasks.items() if id not in known]


def _profiles(store: Store, kind: str, own: Sequence[SocialTask]) -> Iterator[str]:
    seen: set[str] = set()
    for item in store.imports.all(kind):
        seen.add(item.our_id)
        yield item.text
    if kind == "agent":
        agents = {who.id: who for task in own for who in task.characters if who.id not in seen}
        yield from (to_json(write_character(who)) for who in agents.values())
    elif kind == "environment":
        scenarios = {task.scenario.id: task.scenario for task in own if task.scenario.id not in seen}
        yield from (to_json(write_scenario(scenario)) for scenario in scenarios.values())
    elif kind == "casting" and own:
        published = _published_ids(store)
        yield from (to_json(_casting(task, published)) for task in own)


def _published_ids(store: Store) -> dict[str, str]:
    """The published id of each imported character and scenario, by ours; the first where two are the same."""
    found: dict[str, str] = {}
    for kind in ("agent", "environment"):
        for item in store.imports.all(kind):
            found.setdefault(item.our_id, item.source_id)
    return found


def _casting(task: SocialTask, published: dict[str, str]) -> dict[str, Any]:
    return {
        "combo_id": task.id,
        "env_id": published.get(task.scenario.id, task.scenario.id),
        "agent_ids": [published.get(who.id, who.id) for who in task.characters],
    }


def export_episodes(store: Store, path: Path, stages: Sequence[str] = ()) -> int:
    """Writes the completed episodes of the stages (default: all) as SOTOPIA's episode records; how many.

    Terms, which SOTOPIA does not know, are in the whole record under `sotopia_pi` and in none of the printed texts.
    """
    for stage in stages:
        store.check_stage(stage)
    with new_file(path) as scratch:
        count = write_lines(scratch, episode_records(store, stages))
        if not count:
            raise StoreError(
                "There are no completed episodes to export; check the stage and play or import some first."
            )
    return count


def rated_episodes(store: Store, stages: Sequence[str]) -> Iterator[list[tuple[Episode, list[Rating]]]]:
    """Pages of completed episodes with their ratings, by stage in the given order."""
    for stage in stages or (None,):
        page: list[tuple[Episode, list[Rating]]] = []
        ratings = store.ratings(stage)
        held = next(ratings, None)
        for episode in store.episodes(stage):
            own: list[Rating] = []
            while held is not None and held.episode <= episode.key:
                if held.episode == episode.key:
                    own.append(held)
                held = next(ratings, None)
            if episode.completed:
                page.append((episode, own))
            if len(page) == PAGE:
                yield page
                page = []
        if page:
            yield page


def episode_records(store: Store, stages: Sequence[str] = ()) -> Iterator[str]:
    """Episodes as lines of an episode file: imported ones letter for letter, the others written in their form."""
    published = _published_ids(store)
    imported = [kind for kind in store.imports.counts() if kind.startswith("import/")]
    for stage in imported:
        if not stages or stage in stages:
            yield from (item.text for item in store.imports.all(stage))
    tasks: dict[str, SocialTask] = {}
    for page in rated_episodes(store, [stage for stage in stages if stage not in imported] or _only_ours(stages)):
        for episode, ratings in page:
            if episode.stage in imported:
                continue
            if episode.task_id not in tasks:
                tasks[episode.task_id] = store.task(episode.task_id)
            yield to_json(_record(tasks[episode.task_id], episode, ratings, published))


def _only_ours(stages: Sequence[str]) -> Sequence[str]:
    """No stage at all, where all that were asked for are imported ones; else every stage."""
    return ("",) if stages else ()


def _record(task: SocialTask, episode: Episode, ratings: Sequence[Rating], published: dict[str, str]) -> dict[str, Any]:
    raters = list(dict.fromkeys(rating.rater for rating in ratings))
    by_role = {rating.role: rating for rating in ratings if raters and rating.rater == raters[0]}
    names = [who.name for who in task.characters]
    return {
        "episode_id": episode.key,
        "environment_id": published.get(task.scenario.id, task.scenario.id),
        "agent_ids": [published.get(who.id, who.id) for who in task.characters],
        "experiment_tag": episode.stage,
        "experiment_model_name_pairs": [*raters[:1], *episode.players],
        "raw_messages": _messages(task, episode.turns),
        "raw_rewards": [_reward(by_role.get(role)) for role in task.roles] if raters else [],
        "raw_rewards_prompt": "",
        "scenario": task.scenario.situation,
        "codename": f"{task.scenario.kind}_{task.scenario.id}",
        "agents_background": {who.name: background(who) for who in task.characters},
        "social_goals": dict(zip(names, task.scenario.goals, strict=True)),
        "social_interactions": "\n\n".join(
            f"Turn #{number}: {names[turn.role]} {describe(turn)}" for number, turn in enumerate(episode.turns)
        ),
        "reasoning": _reasoning(by_role),
        "rewards": [_scores(by_role.get(role)) for role in task.roles] if raters else [],
        OURS: {
            "task": task.model_dump(mode="json"),
            "episode": episode.model_dump(mode="json"),
            "ratings": [rating.model_dump(mode="json") for rating in ratings],
            **({RETIRED_MARK: True} if isinstance(task.scenario.check, RetiredCheck) else {}),
        },
    }


def describe(turn: Turn) -> str:
    """A turn in SOTOPIA's words, without the name."""
    match turn.action.type:
        case ActionType.NONE:
            return "did nothing"
        case ActionType.SPEAK:
            return f'said: "{turn.action.argument}"'
        case ActionType.LEAVE:
            return "left the conversation"
        case _:
            return f"[{turn.action.type.value}] {turn.action.argument}"


def _messages(task: SocialTask, turns: Sequence[Turn]) -> list[list[list[str]]]:
    """Every turn has a message of every participant, and what the environment shows comes first."""
    names = [who.name for who in task.characters]
    messages = [[[_ENVIRONMENT, name, _view(task, role)] for role, name in enumerate(names)]]
    for turn in turns:
        messages.append(
            [
                [name, _ENVIRONMENT, describe(turn) if role == turn.role else "did nothing"]
                for role, name in enumerate(names)
            ]
        )
    return messages


def _view(task: SocialTask, role: int) -> str:
    """The context as a role is first told it: what it may not know is Unknown."""
    names = [who.name for who in task.characters]
    lines = [
        "Here is the context of this interaction:",
        f"Scenario: {task.scenario.situation}",
        f"Participants: {', '.join(names[:-1])} and {names[-1]}",
    ]
    own = range(len(names))
    lines += [f"{names[i]}'s background: {background(task.characters[i]) if i == role else 'Unknown'}" for i in own]
    lines += [f"{names[i]}'s goal: {task.scenario.goals[i] if i == role else 'Unknown'}" for i in own]
    return "\n".join([*lines, "Conversation Starts:", ""])


def background(who: Character) -> str:
    """A character in one paragraph, as SOTOPIA prints them."""
    return (
        f"{who.name} is a {who.age}-year-old {who.gender.lower()} {who.occupation.lower()}. {who.pronouns} pronouns. "
        f"{who.public_info} Personality and values description: {who.personality} "
        f"{who.name.split()[0]}'s secrets: {who.secret}"
    )


def _scores(rating: Rating | None) -> dict[str, float]:
    """The scores by dimension in their usual order, with their overall; empty where there are none."""
    if rating is None or not rating.scores:
        return {}
    first = {name: rating.scores[name] for name in DIMENSIONS if name in rating.scores}
    scores = {**first, **rating.scores}
    overall = rating.overall
    return {**scores, "overall_score": sum(scores.values()) / len(scores) if overall is None else overall}


def _reward(rating: Rating | None) -> Any:
    """`[overall, scores]`, or 0.0 where the rating failed."""
    scores = _scores(rating)
    return [scores["overall_score"], scores] if scores else 0.0


def _reasoning(by_role: dict[int, Rating]) -> str:
    parts = []
    for role, rating in sorted(by_role.items()):
        lines = [f"{name}: {reason}" for name, reason in rating.reasons.items()]
        parts.append("\n".join([f"Agent {role + 1} comments:", *lines]))
    return "\n".join(parts)
