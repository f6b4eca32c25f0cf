"""Small files in the formats of SOTOPIA's published data, and importing them; every text is our own."""

from __future__ import annotations

import json
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from sotopia_pi.episodes.records import Episode
from sotopia_pi.interop import Report
from sotopia_pi.interop.episodes import import_episodes
from sotopia_pi.interop.published import Known
from sotopia_pi.ratings.records import DIMENSIONS, Rating
from sotopia_pi.store import Store
from sotopia_pi.world.records import SocialTask

Record = dict[str, Any]

#: The published data, beside the repository where there is any.
DATA = Path(__file__).parent.parent.parent / "shared" / "data"
NAMES = ("Ines Vale", "Tom Reed")
IDS = ("agent-ines", "agent-tom")
GOALS = ("Borrow the ladder until Sunday", "Keep the ladder, but stay on good terms")
SITUATION = "Two neighbours meet at the garden fence"
#: Where `read` and `only` put episodes.
STAGE = "import/x"
#: No imported profiles.
NOBODY = Known({}, {})
HINT = "(<strategy_hint>Hint: offer something in return</strategy_hint>)"


def agent(number: int, **changes: Any) -> Record:
    """An agent profile; numbers above 1 are other people."""
    first, last = (NAMES[number] if number < 2 else f"Guest Number{number}").split()
    values = {
        "agent_id": IDS[number] if number < 2 else f"agent-{number}",
        "first_name": first,
        "last_name": last,
        "age": 40 + number,
        "occupation": "Carpenter",
        "gender": ("Woman", "Man")[number % 2],
        "gender_pronoun": ("She/her", "He/him")[number % 2],
        "public_info": f"{first} {last} collects old maps.",
        "big_five": "Openness - High",
        "moral_values": ["Care", " Fairness"],
        "schwartz_personal_values": ["Security", " Tradition"],
        "personality_and_values": f"{first} {last} is calm and values fairness.",
        "decision_making_style": "Intuitive",
        "secret": f"{first} never learnt to swim",
        "mbti": "INFP",
    }
    return {**values, **changes}


def environment(id: str = "env-ladder", **changes: Any) -> Record:
    """An environment profile."""
    values = {
        "env_id": id,
        "codename": "ladder",
        "source": "hand-made",
        "scenario": SITUATION,
        "agent_goals": [f"{GOALS[0]} {HINT}", GOALS[1]],
        "relationship": "2",
        "age_constraint": "[(18, 70), (18, 70)]",
        "occupation_constraint": "nan",
        "agent_constraint": "none",
    }
    return {**values, **changes}


def relationship(id: str = "rel-1", **changes: Any) -> Record:
    """A relationship profile."""
    values = {"relationship_id": id, "agent1_id": IDS[0], "agent2_id": IDS[1], "relationship": "2"}
    return {**values, "background_story": "They share a fence.", **changes}


def casting(id: str = "combo-1", **changes: Any) -> Record:
    """A casting."""
    return {"combo_id": id, "env_id": "env-ladder", "agent_ids": list(IDS), **changes}


def background(number: int) -> str:
    """A character as SOTOPIA prints one."""
    who = agent(number)
    adjective = {"Woman": "female", "Man": "male"}[who["gender"]]
    return (
        f"{who['first_name']} {who['last_name']} is a {who['age']}-year-old {adjective} {who['occupation'].lower()}. "
        f"{who['gender_pronoun']} pronouns. {who['public_info']} Personality and values description: "
        f"{who['personality_and_values']} {who['first_name']}'s secrets: {who['secret']}"
    )


def context(role: int | None = None) -> str:
    """The printed context, as `role` sees it."""
    seen = (role in (None, 0), role in (None, 1))
    lines = [
        "Here is the context of this interaction:",
        f"Scenario: {SITUATION}",
        f"Participants: {NAMES[0]} and {NAMES[1]}",
        *(f"{NAMES[i]}'s background: {background(i) if seen[i] else 'Unknown'}" for i in (0, 1)),
        *(f"{NAMES[i]}'s goal: {goal(i) if seen[i] else 'Unknown'}" for i in (0, 1)),
        "Conversation Starts:",
        "",
    ]
    return "\n".join(lines)


def goal(role: int) -> str:
    """A goal as it is printed: without the marks of its hint."""
    return (f"{GOALS[0]} (Hint: offer something in return)", GOALS[1])[role]


SAID = ('said: "May I have your ladder?"', 'said: "Until when?"', "[action] points at the calendar", "did nothing")


def messages(acts: Iterable[str] = (*SAID, "left the conversation")) -> list[Any]:
    """`raw_messages` in which the roles act in turns, Ines first."""
    turns: list[Any] = [[["Environment", NAMES[role], context(role)] for role in (0, 1)]]
    for number, act in enumerate(acts):
        own = number % 2
        turn = [[NAMES[i], "Environment", act if i == own else "did nothing"] for i in (0, 1)]
        if number == 0:
            turns[0] += turn
        else:
            turns.append([["Environment", NAMES[i], f"Turn #{number}: something happened"] for i in (0, 1)] + turn)
    return turns


def scores(**changes: float) -> dict[str, float]:
    """SOTOPIA-EVAL's seven with their overall."""
    found = {name: float((low + high) // 2) for name, (low, high) in DIMENSIONS.items()} | changes
    return {**found, "overall_score": sum(found.values()) / len(found)}


def reward(**changes: float) -> list[Any]:
    """`[overall, scores]`."""
    found = scores(**changes)
    return [found["overall_score"], found]


def episode(id: str = "ep-1", **changes: Any) -> Record:
    """A published episode with every field that SOTOPIA's episode files have."""
    transcript = "\n\n".join(f"Turn #{i}: {NAMES[i % 2]} {act}" for i, act in enumerate(SAID))
    values = {
        "episode_id": id,
        "environment_id": "env-ladder",
        "agent_ids": list(IDS),
        "experiment_tag": "a-test",
        "experiment_model_name_pairs": ["judge-model", "model-one", "model-two"],
        "raw_messages": messages(),
        "raw_rewards": [reward(goal=8), reward(goal=3)],
        "raw_rewards_prompt": f"Prompt after formatting:\n{context()}{transcript},\nBased on previous interactions, "
        "evaluate how well they did.",
        "scenario": SITUATION,
        "codename": "ladder",
        "agents_background": {NAMES[i]: background(i) for i in (0, 1)},
        "social_goals": {NAMES[0]: f"{GOALS[0]} {HINT}", NAMES[1]: GOALS[1]},
        "social_interactions": transcript,
        "reasoning": "Agent 1 comments:\nbelievability: She spoke naturally.\ngoal: She has the ladder.\n"
        "Agent 2 comments:\ngoal: The ladder is gone.\n",
        "rewards": [scores(goal=8), scores(goal=3)],
    }
    return {**values, **changes}


def printed(id: str = "pk-1", **changes: Any) -> Record:
    """An episode as the human evaluation's files have them: context and transcript in one printed text."""
    turns = "\n".join(f"Turn #{i + 1}\n{NAMES[i % 2]} {act}" for i, act in enumerate(SAID))
    values = {
        "pk": id,
        "environment": "env-ladder",
        "tag": "a-test",
        "models": ["judge-model", "model-one", "model-two"],
        "rewards_prompt": f"Prompt after formatting:\n{context().removesuffix('Conversation Starts:' + chr(10))}"
        f"{turns},\nBased on previous interactions, evaluate how well they did.",
        "target_model": "model-two",
    }
    return {**values, **changes}


def write(path: Path, records: Iterable[Any]) -> Path:
    """Writes records as lines; a text or bytes as it is."""
    lines = [one if isinstance(one, str | bytes) else json.dumps(one, ensure_ascii=False) for one in records]
    path.write_bytes(b"".join((line.encode() if isinstance(line, str) else line) + b"\n" for line in lines))
    return path


def profiles(folder: Path, **files: Iterable[Any]) -> Path:
    """A folder of profile files; `files` replaces the records of a kind (`hard`: a list of ids)."""
    folder.mkdir(parents=True, exist_ok=True)
    held: dict[str, Iterable[Any]] = {
        "agent": [agent(0), agent(1)],
        "environment": [environment()],
        "relationship": [relationship()],
        "casting": [casting()],
        **files,
    }
    names = {"agent": "agent_profiles", "environment": "environment_profiles"}
    names |= {"relationship": "relationship_profiles", "casting": "env_agent_combo_storages"}
    for kind, name in names.items():
        write(folder / f"{name}.jsonl", held[kind])
    if "hard" in held:
        (folder / "hard_env_ids.json").write_text(json.dumps(held["hard"]), encoding="utf-8")
    return folder


def read(store: Store, path: Path, *records: Any, name: str = "x") -> Report:
    """Imports the records as episodes of the stage "import/NAME"."""
    return import_episodes(store, [write(path / f"{name}.jsonl", records)], name)


def only(store: Store, path: Path, record: Any) -> tuple[SocialTask, Episode, list[Rating]]:
    """What the record became, which has to be read."""
    report = read(store, path, record)
    assert report.problems == []
    (found,) = store.episodes(STAGE)
    return store.task(found.task_id), found, list(store.ratings(STAGE))
