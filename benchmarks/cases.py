"""The tasks of the comparison with the package sotopia, as plain JSON that both sides read.

They are SOTOPIA's published castings where those are at hand, else scenarios of the starter world. Each scenario and
goal carries a mark such as "(case 17 A)", by which the mock server knows which conversation a prompt belongs to.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

PUBLISHED = Path(__file__).parent.parent.parent / "shared" / "data" / "sotopia"
#: What names a conversation: the mark of the role's own goal, which its partner never sees.
MARK = r"\(case \d+ [AB]\)"

Case = dict[str, Any]


def cases(count: int) -> tuple[list[Case], str]:
    """`count` tasks and where they are from; more than there are begin again, under other marks."""
    found, source = (_published(), "SOTOPIA's castings") if PUBLISHED.is_dir() else (_starter(), "the starter world")
    return [_marked(found[index % len(found)], index) for index in range(count)], source


def _marked(case: Case, index: int) -> Case:
    goals = [f"{goal} (case {index} {'AB'[role]})" for role, goal in enumerate(case["goals"])]
    return {**case, "goals": goals}


def _published() -> list[Case]:
    people = {item["agent_id"]: item for item in _lines("agent_profiles.jsonl")}
    scenarios = {item["env_id"]: item for item in _lines("environment_profiles.jsonl")}
    made = []
    for casting in _lines("env_agent_combo_storages.jsonl"):
        scenario = scenarios[casting["env_id"]]
        made.append(
            {
                "scenario": scenario["scenario"],
                "goals": scenario["agent_goals"],
                "relationship": int(scenario["relationship"]),
                "characters": [_person(people[id]) for id in casting["agent_ids"]],
            }
        )
    return made


def _person(profile: Case) -> Case:
    return {key: value for key, value in profile.items() if key not in ("agent_id", "mbti")}


def _starter() -> list[Case]:
    from sotopia_pi.world import cast, starter_world

    world = starter_world()
    made = []
    for scenario in world.scenarios["train"]:
        for task in cast(scenario, world.characters, world.ties, 1, 4):
            made.append(
                {
                    "scenario": scenario.situation,
                    "goals": list(scenario.goals),
                    "relationship": int(scenario.relationship),
                    "characters": [_profile(character) for character in task.characters],
                }
            )
    return made


def _profile(character: Any) -> Case:
    first, _, last = character.name.partition(" ")
    return {
        "first_name": first,
        "last_name": last,
        "age": character.age,
        "occupation": character.occupation,
        "gender": character.gender,
        "gender_pronoun": character.pronouns,
        "public_info": character.public_info,
        "big_five": character.big_five,
        "moral_values": list(character.moral_values),
        "schwartz_personal_values": list(character.schwartz_values),
        "personality_and_values": character.personality,
        "decision_making_style": character.decision_style,
        "secret": character.secret,
    }


def _lines(name: str) -> list[Case]:
    return [json.loads(line) for line in (PUBLISHED / name).read_text(encoding="utf-8").splitlines() if line.strip()]


def tasks_of(found: list[Case]) -> list[Any]:
    """The cases as social tasks."""
    from sotopia_pi.world.records import Character, Relationship, Scenario, SocialTask

    made = []
    for case in found:
        characters = [
            Character(
                name=f"{person['first_name']} {person['last_name']}".strip(),
                age=max(18, person["age"]),
                gender=person["gender"],
                pronouns=person["gender_pronoun"],
                occupation=person["occupation"],
                public_info=person["public_info"],
                big_five=person["big_five"],
                moral_values=tuple(value.strip() for value in person["moral_values"]),
                schwartz_values=tuple(value.strip() for value in person["schwartz_personal_values"]),
                personality=person["personality_and_values"],
                decision_style=person["decision_making_style"],
                secret=person["secret"],
            )
            for person in case["characters"]
        ]
        scenario = Scenario(
            situation=case["scenario"],
            goals=tuple(case["goals"]),
            relationship=Relationship(case["relationship"]),
            kind="open",
            source="benchmark",
        )
        made.append(SocialTask(scenario=scenario, characters=tuple(characters)))
    return made
