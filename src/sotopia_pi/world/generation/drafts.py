"""From a model's reply to a scenario: what it must say, and the first rule it breaks.

A reply is untrusted. Only the fields a scenario has are taken from it, each is checked, and what cannot be used is
named in one sentence, which the model is shown when it is asked again.
"""

from __future__ import annotations

import json
import re
from collections.abc import Collection, Iterable
from dataclasses import dataclass
from typing import Any, NoReturn

from sotopia_pi.errors import WorldError
from sotopia_pi.models.answers import AnswerError, read_reply
from sotopia_pi.models.protocol import Finish, JsonSchema
from sotopia_pi.world.casting import check_castable
from sotopia_pi.world.generation.wording import gendered, minor_role, named
from sotopia_pi.world.overlap import grams, length_of, words
from sotopia_pi.world.records import AgeRange, Casting, Character, Relationship, Scenario, Tie

#: Words of a situation and of a goal, fewest and most.
_SITUATION, _GOAL = (5, 120), (3, 120)
_YOUNGEST, _OLDEST = 18, 120
#: A goal is given away when the situation repeats a run of this many of its words, or this part of its shorter runs.
_REPEATED, _RUN, _PART = 9, 4, 0.5

_NOT_TEXT = re.compile("[\x00-\x08\x0b-\x1f\x7f\ud800-\udfff]")
_MARKUP = re.compile(r"</?\w[^<>]{0,80}>|\[[^\]]*\]|\{[^}]*\}|_{3,}|\*\*|```")
_NUMBERED = re.compile(r"\b(?:agent|person|character|role|participant|player|speaker)\s*(?:[12AB]\b|one\b|two\b)", re.I)
_GIVES_AWAY = re.compile(
    r"\bsecret(?:ly)?\b(?=[^.]*\b(?:wants?|hopes?|plans?|needs?|intends?|hid\w*|afraid|wish\w*)\b)|\bsecretly\b"
    r"|\b(?:hidden|private|ulterior) (?:agenda|motive|reason|aim|goal)s?\b|\bunbeknownst\b|\bunknown to (?:the|their)\b"
    r"|\bwithout the (?:other|second|first)(?: one| person)?(?:'s|’s)? knowing\b|\bwithout telling the other\b"
    r"|\b(?:first|second|other|one|each|their|whose)(?: person| player)?(?:'s|’s)? (?:private )?goal\b"
    r"|\bgoals? (?:is|are) to\b",
    re.IGNORECASE,
)

_TEXT = {"type": "string"}
_PAIR_OF = {"type": "array", "minItems": 2, "maxItems": 2}
#: What a reply must look like, for servers that can hold a model to it.
SCHEMA = JsonSchema(
    "scenario",
    {
        "type": "object",
        "properties": {
            "situation": _TEXT,
            "goals": {**_PAIR_OF, "items": _TEXT},
            "relationship": {"type": "integer", "enum": [level.value for level in Relationship]},
            "ages": {**_PAIR_OF, "items": {**_PAIR_OF, "items": {"type": "integer"}}},
            "occupations": {**_PAIR_OF, "items": {"type": "array", "items": _TEXT}},
        },
        "required": ["situation", "goals", "relationship", "ages", "occupations"],
        "additionalProperties": False,
    },
)


class Violation(Exception):
    """A reply breaks a rule: `rule` in a word or two for counting, the message for the model and for people."""

    def __init__(self, rule: str, message: str) -> None:
        super().__init__(message)
        self.rule = rule


@dataclass(frozen=True)
class Cast:
    """Who can play what is generated."""

    characters: tuple[Character, ...]
    ties: tuple[Tie, ...]

    @property
    def occupations(self) -> list[str]:
        """The occupations of the characters, in alphabetical order."""
        return sorted({character.occupation.lower() for character in self.characters})


def read_scenario(reply: str, kind: str, source: str, people: Cast, finish: Finish = "stop") -> Scenario:
    """The scenario a reply describes that ended with `finish`. Violation names the first rule it breaks."""
    row = _object(reply, finish)
    situation = _string(row.get("situation"), "situation", _SITUATION)
    goals = row.get("goals")
    if not isinstance(goals, list) or len(goals) != 2:
        _violated("two goals", '"goals" must be a list of exactly two texts.')
    made = [_string(goal, f"goals[{number}]", _GOAL) for number, goal in enumerate(goals)]
    if words(made[0]) == words(made[1]):
        _violated("two goals", "Both players have the same goal; give each a goal of their own.")
    _check_wording((situation, *made), [character.name for character in people.characters])
    _check_private(situation, made)
    scenario = Scenario(
        situation=situation,
        goals=tuple(made),
        relationship=_relationship(row.get("relationship")),
        casting=_casting(row, people.occupations),
        kind=kind,
        source=source,
    )
    try:
        check_castable(scenario, people.characters, people.ties)
    except WorldError as error:
        why = str(error).partition('": ')[2] or str(error)
        raise Violation("nobody fits", f"No two characters can play it: {why}") from None
    return scenario


def example(scenario: Scenario) -> str:
    """A scenario as the reply that would describe it."""
    castings = [scenario.casting_of(role) for role in range(len(scenario.goals))]
    row = {
        "situation": scenario.situation,
        "goals": list(scenario.goals),
        "relationship": scenario.relationship.value,
        "ages": [[casting.age.low, casting.age.high] for casting in castings],
        "occupations": [list(casting.occupations) for casting in castings],
    }
    return json.dumps(row, ensure_ascii=False)


def _violated(rule: str, message: str) -> NoReturn:
    raise Violation(rule, message)


def _object(reply: str, finish: Finish) -> dict[str, Any]:
    try:
        return read_reply(reply, finish, "situation", lambda value: "situation" in value, dict)
    except AnswerError as error:
        raise Violation("no JSON", f"{str(error)[:1].upper()}{str(error)[1:]}.") from None


def _string(value: Any, name: str, length: tuple[int, int]) -> str:
    if not isinstance(value, str) or not value.strip():
        _violated("two goals" if name.startswith("goals") else "fields", f'"{name}" must be a text that is not empty.')
    if _NOT_TEXT.search(value):
        _violated("markup", f'"{name}" holds control characters; write plain text.')
    text = " ".join(value.split())
    if match := _MARKUP.search(text):
        _violated("markup", f'"{name}" holds {match.group()!r}; write plain sentences without markup or placeholders.')
    if match := _NUMBERED.search(text):
        _violated("markup", f'"{name}" says {match.group()!r}; the players do not know who that is, write "you".')
    fewest, most = length
    if not fewest <= (own := length_of(words(text))) <= most:
        _violated("length", f'"{name}" has {own} words; write {fewest} to {most}.')
    return text


def _check_wording(texts: Iterable[str], names: Collection[str]) -> None:
    for text in texts:
        if found := gendered(text):
            _violated("gender", f'"{found[0]}" says a gender; write {found[1]} instead, everywhere.')
        if name := named(text, names):
            _violated(
                "name", f'"{name}" is a name; call people by what they are, such as "a friend" or "the neighbour".'
            )
        if minor := minor_role(text):
            _violated("adults", f'"{minor}": both players must be adults.')


def _check_private(situation: str, goals: Iterable[str]) -> None:
    """Whether the situation, which both players read, tells what a goal keeps to one of them."""
    if match := _GIVES_AWAY.search(situation):
        _violated("private goal", f'The situation says "{match.group()}"; both read it, move private aims into a goal.')
    told = words(situation)
    for number, goal in enumerate(goals, 1):
        own = words(goal)
        runs = grams([own], _RUN)
        repeated = len(runs & grams([told], _RUN)) / max(1, len(runs))
        if grams([own], _REPEATED) & grams([told], _REPEATED) or repeated >= _PART:
            _violated("private goal", f"The situation repeats goal {number}; both players read it, so leave that out.")


def _relationship(value: Any) -> Relationship:
    if isinstance(value, str):
        value = int(value) if value.strip().isdecimal() and len(value) < 3 else value
    if isinstance(value, int) and not isinstance(value, bool) and value in {level.value for level in Relationship}:
        return Relationship(value)
    return _violated("fields", '"relationship" must be a number from 0 (strangers) to 5 (family).')


def _casting(row: dict[str, Any], known: Collection[str]) -> tuple[Casting, ...]:
    ages, jobs = row.get("ages"), row.get("occupations")
    made = tuple(
        Casting(age=_age(pair, role), occupations=_occupations(listed, role, known))
        for role, (pair, listed) in enumerate(zip(_two(ages, "ages"), _two(jobs, "occupations"), strict=True))
    )
    return () if all(casting == Casting() for casting in made) else made


def _two(value: Any, name: str) -> list[Any]:
    if value is None:
        return [None, None]
    if not isinstance(value, list) or len(value) != 2:
        _violated("fields", f'"{name}" must be a list with one entry per player.')
    return value


def _age(value: Any, role: int) -> AgeRange:
    if value is None:
        return AgeRange()
    if not isinstance(value, list) or len(value) != 2 or not all(type(bound) is int for bound in value):
        _violated("fields", f'"ages[{role}]" must be two whole numbers, the youngest and the oldest age.')
    low, high = value
    if low < _YOUNGEST:
        _violated(
            "adults", f'"ages[{role}]" begins at {str(low)[:6]}; both players must be adults, at least {_YOUNGEST}.'
        )
    if not low <= high <= _OLDEST:
        _violated("fields", f'"ages[{role}]" must go from the youngest to the oldest age, at most {_OLDEST}.')
    return AgeRange(low=low, high=high)


def _occupations(value: Any, role: int, known: Collection[str]) -> tuple[str, ...]:
    if value is None:
        return ()
    if not isinstance(value, list) or not all(isinstance(entry, str) for entry in value):
        _violated("fields", f'"occupations[{role}]" must be a list of texts, empty for anybody.')
    listed = tuple(dict.fromkeys(entry.strip().lower() for entry in value if entry.strip()))
    unknown = [entry for entry in listed if entry not in known]
    if unknown:
        _violated("nobody fits", f'No character is "{unknown[0][:60]}"; choose from the list, or leave the list empty.')
    return listed
