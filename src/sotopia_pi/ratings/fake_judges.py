"""Simulated judges with one known fault each, for testing audits and for trying one out: `fake:judge-NAME`.

They read the case file that any judge is shown, and nothing else. `honest` reads the outcome from goals and transcript
with the verifier's own readers; the others are `honest` with a fault. Other dimensions than GOAL get the middle.
"""

from __future__ import annotations

import json
import random
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from sotopia_pi.episodes.recasting import origin_of_name
from sotopia_pi.episodes.records import Action, ActionType
from sotopia_pi.episodes.views import Seen
from sotopia_pi.models.fake import FakeModel
from sotopia_pi.models.protocol import JsonSchema, Message
from sotopia_pi.ratings.scores import GOAL
from sotopia_pi.ratings.told_checks import told_check
from sotopia_pi.ratings.verifier import decide

PREFIX = "fake:judge-"
_UNKNOWN = 5.0


@dataclass(frozen=True, slots=True)
class Case:
    """What a case file says of one role: its goal's true worth (None where nothing decides it), and its words."""

    role: int
    truth: float | None
    words: str
    seed: int
    name: str = ""

    @property
    def worth(self) -> float:
        """The true GOAL, the middle where nothing decides it."""
        return _UNKNOWN if self.truth is None else self.truth


def _length(case: Case) -> float:
    return case.worth / 2 + len(case.words.split()) / 8


def _position(case: Case) -> float:
    return case.worth + (2 if case.role == 0 else -2)


_CUES = re.compile(r"score|judge|goal|success|rating", re.IGNORECASE)


def _sycophant(case: Case) -> float:
    return case.worth - 3 + (4 if _CUES.search(case.words) else 0)


def _noisy(case: Case) -> float:
    return case.worth + random.Random(f"{case.seed}/{case.role}").uniform(-5, 5)


def _names(case: Case) -> float:
    return case.worth - (3 if origin_of_name(case.name) == "West African names" else 0)


#: What each judge gives for GOAL, before it is rounded and cut to 0 to 10.
FAULTS: Mapping[str, Callable[[Case], float]] = {
    "honest": lambda case: case.worth,
    "length": _length,
    "position": _position,
    "sycophant": _sycophant,
    "noisy": _noisy,
    "names": _names,
    "saturated": lambda case: 10 if case.worth >= 2 else 9,
}


class FaultyJudge(FakeModel):
    """A simulated judge with the fault of that name."""

    def __init__(self, fault: str) -> None:
        super().__init__(name=f"judge-{fault}")
        self._goal = FAULTS[fault]

    def _text(self, messages: Sequence[Message], seed: int, schema: JsonSchema | None) -> str:
        if schema is None:
            return super()._text(messages, seed, schema)
        case = next(m["content"] for m in messages if m["role"] == "user")
        given: dict[str, Any] = json.loads(case.splitlines()[-1])
        answer: dict[str, Any] = {"token": given["token"]}
        for read in read_case(case, seed):
            key = f"role_{read.role + 1}"
            parts = schema.schema["properties"][key]["properties"]
            scores = {name: _middle(part) for name, part in parts.items() if name != "name"}
            scores[GOAL] = round(min(10.0, max(0.0, self._goal(read))))
            rated = {name: {"reasoning": "Simulated.", "score": score} for name, score in scores.items()}
            answer[key] = {"name": given[key]["name"], **rated}
        return json.dumps(answer, ensure_ascii=False)


def _middle(part: Mapping[str, Any]) -> int:
    score = part["properties"]["score"]
    return (int(score["minimum"]) + int(score["maximum"])) // 2


def read_case(case: str, seed: int = 0) -> list[Case]:
    """What a case file says of each role."""
    values = [json.loads(line) for line in case.splitlines()[:-1] if line.startswith("{")]
    situation = next((value["situation"] for value in values if "situation" in value), "")
    roles = [value for value in values if "goal" in value and "turn" not in value]
    turns = [value for value in values if "turn" in value and "did" in value]
    keys = [value["role"] for value in roles]
    history = tuple(
        Seen(keys.index(turn["role"]), Action(type=ActionType(turn["did"]), argument=turn["words"]))
        for turn in turns
        if turn["role"] in keys
    )
    check = told_check(situation, [value["goal"] for value in roles])
    truths = [rating.scores.get(GOAL) for rating in decide(check, "", history)] if check else [None] * len(roles)
    said = [" ".join(seen.action.argument for seen in history if seen.role == role) for role in range(len(roles))]
    return [Case(role, truth, said[role], seed, roles[role].get("name", "")) for role, truth in enumerate(truths)]
