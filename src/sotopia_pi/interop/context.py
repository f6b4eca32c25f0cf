"""The context that SOTOPIA prints above a transcript: scenario, participants, their backgrounds and goals."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass

from sotopia_pi.interop.problems import RecordError
from sotopia_pi.interop.profiles import validated
from sotopia_pi.world.records import Character

_HEAD = re.compile(r"^Scenario:\s*(?P<scenario>.*?)\nParticipants:\s*(?P<names>[^\n]+)\n", re.DOTALL | re.MULTILINE)
_START = "Conversation Starts:"
_END = re.compile(rf"^(?:Turn #\d|{_START})", re.MULTILINE)
_BACKGROUND = re.compile(
    r"is an? (?P<age>\d{1,3})-year-old (?P<gender>\S*) (?P<occupation>.*?)\. (?P<pronouns>\S*) pronouns\.\s*"
    r"(?P<public>.*?)\s*(?:Personality and values description:\s*(?P<personality>.*?)\s*)?"
    r"(?:(?P<first>[^\s.]+)'s secrets?:\s*(?P<secret>.*))?",
    re.DOTALL,
)
#: Where a judge's instructions begin behind a transcript.
_INSTRUCTIONS = ",\nBased on previous interactions, evaluate"
#: The sender of what nobody said.
ENVIRONMENT = "Environment"
#: What stands where somebody may not see a background or a goal.
HIDDEN = "Unknown"


@dataclass(frozen=True, slots=True)
class Context:
    """Who meets where: texts by role; a text that the one who read this could not see is empty."""

    scenario: str
    names: tuple[str, ...]
    backgrounds: tuple[str, ...]
    goals: tuple[str, ...]

    def ordered(self, names: Sequence[str]) -> Context:
        """The same meeting with the participants in another order."""
        at = [self.names.index(name) for name in names]
        return Context(
            self.scenario,
            tuple(self.names[i] for i in at),
            tuple(self.backgrounds[i] for i in at),
            tuple(self.goals[i] for i in at),
        )

    def only(self, name: str) -> Context:
        """What a view says of one participant."""
        own = [name == one for one in self.names]
        backgrounds = tuple(text if mine else "" for text, mine in zip(self.backgrounds, own, strict=True))
        goals = tuple(text if mine else "" for text, mine in zip(self.goals, own, strict=True))
        return Context(self.scenario, self.names, backgrounds, goals)

    def filled(self, other: Context) -> Context:
        """This context with what it lacks taken from another view of the same meeting."""
        if set(other.names) != set(self.names):
            return self
        other = other.ordered(self.names)
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
    rest = prompt[end.start() :].removeprefix(_START) if end else ""
    if _INSTRUCTIONS in rest:
        rest = rest[: rest.rindex(_INSTRUCTIONS)]
    return Context(head["scenario"].strip(), names, backgrounds, goals), rest


def _names(text: str) -> tuple[str, ...]:
    """`A and B`, or `A, B, and C`."""
    before, _, last = text.rpartition(" and ")
    names = [*(part.strip() for part in before.split(",")), last.strip()]
    return checked_names(tuple(name for name in names if name))


def checked_names(names: tuple[str, ...]) -> tuple[str, ...]:
    """The names of two or more participants who can be told apart in a transcript; else RecordError."""
    if len(names) < 2 or len(set(names)) != len(names):
        raise RecordError(f"the participants {', '.join(names)[:80]!r} are not two or more different names")
    for name in names:
        if name == ENVIRONMENT or not name.strip() or "\n" in name:
            raise RecordError(f"{name[:80]!r} cannot be the name of a participant")
    return names


def _parts(body: str, labels: Sequence[str]) -> dict[str, str]:
    """The texts behind the labels, each up to the next label at the beginning of a line."""
    pattern = re.compile("^(" + "|".join(re.escape(label) for label in labels) + ")", re.MULTILINE)
    marks = list(pattern.finditer(body))
    ends = [*(mark.start() for mark in marks), len(body)][1:]
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
