"""The context that SOTOPIA prints above a transcript: scenario, participants, their backgrounds and goals."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass

from sotopia_pi.interop.problems import RecordError
from sotopia_pi.interop.profiles import validated
from sotopia_pi.world.records import Character

_HEAD = re.compile(r"^Scenario:\s*(?P<scenario>.*?)\nParticipants:\s*(?P<names>[^\n]+)\n", re.DOTALL | re.MULTILINE)
_END = re.compile(r"^(?:Turn #\d|Conversation Starts:)", re.MULTILINE)
_BACKGROUND = re.compile(
    r"is an? (?P<age>\d{1,3})-year-old (?P<gender>\S+) (?P<occupation>.*?)\. (?P<pronouns>\S+) pronouns\.\s*"
    r"(?P<public>.*?)\s*(?:Personality and values description:\s*(?P<personality>.*?)\s*)?"
    r"(?:(?P<first>[^\s.]+)'s secrets?:\s*(?P<secret>.*))?",
    re.DOTALL,
)
#: Where a judge's instructions begin behind a transcript.
_INSTRUCTIONS = ",\nBased on previous interactions, evaluate"
#: What stands where somebody may not see a background or a goal.
HIDDEN = "Unknown"


@dataclass(frozen=True, slots=True)
class Context:
    """Who meets where: texts by role; a text that the one who read this could not see is empty."""

    scenario: str
    names: tuple[str, ...]
    backgrounds: tuple[str, ...]
    goals: tuple[str, ...]

    def filled(self, other: Context) -> Context:
        """This context with what it lacks taken from another view of the same meeting."""
        if other.names != self.names:
            return self
        return Context(
            self.scenario or other.scenario,
            self.names,
            tuple(mine or theirs for mine, theirs in zip(self.backgrounds, other.backgrounds, strict=True)),
            tuple(mine or theirs for mine, theirs in zip(self.goals, other.goals, strict=True)),
        )


def read_context(prompt: str) -> tuple[Context, str]:
    """The context in a prompt and the text that follows it. RecordError when there is none."""
    head = _HEAD.search(prompt)
    if head is None:
        raise RecordError("no scenario and participants stand in its text")
    end = _END.search(prompt, head.end())
    body = prompt[head.end() : end.start() if end else len(prompt)]
    names = _names(head["names"].strip())
    labels = [f"{name}'s {what}:" for name in names for what in ("background", "goal")]
    parts = _parts(body, labels)
    backgrounds = tuple(parts.get(f"{name}'s background:", "") for name in names)
    goals = tuple(parts.get(f"{name}'s goal:", "") for name in names)
    rest = prompt[end.start() :] if end else ""
    if _INSTRUCTIONS in rest:
        rest = rest[: rest.rindex(_INSTRUCTIONS)]
    return Context(head["scenario"].strip(), names, backgrounds, goals), rest


def _names(text: str) -> tuple[str, ...]:
    """`A and B`, or `A, B, and C`."""
    before, _, last = text.rpartition(" and ")
    names = [*(part.strip() for part in before.split(",")), last.strip()]
    found = tuple(name for name in names if name)
    if len(found) < 2 or len(set(found)) != len(found):
        raise RecordError(f"the participants {text[:80]!r} are not two or more different names")
    return found


def _parts(body: str, labels: Sequence[str]) -> dict[str, str]:
    """The texts behind the labels, each up to the next label at the beginning of a line."""
    pattern = re.compile("^(" + "|".join(re.escape(label) for label in labels) + ")", re.MULTILINE)
    marks = list(pattern.finditer(body))
    ends = [*(mark.start() for mark in marks[1:]), len(body)]
    parts = {mark[1]: body[mark.end() : end].strip() for mark, end in zip(marks, ends, strict=True)}
    return {label: "" if text == HIDDEN else text for label, text in parts.items()}


def read_background(name: str, text: str) -> Character:
    """The character that a printed background describes. RecordError when it is not as SOTOPIA prints them."""
    match = _BACKGROUND.fullmatch(text.removeprefix(name).strip())
    if match is None:
        raise RecordError(f"the background of {name} is not as SOTOPIA prints them: {text[:60]!r}")
    values = {
        "name": name,
        "age": int(match["age"]),
        "gender": match["gender"],
        "pronouns": match["pronouns"],
        "occupation": match["occupation"],
        "public_info": match["public"],
        "big_five": "",
        "moral_values": (),
        "schwartz_values": (),
        "personality": match["personality"] or "",
        "decision_style": "",
        "secret": match["secret"] or "",
    }
    return validated(Character, values)
