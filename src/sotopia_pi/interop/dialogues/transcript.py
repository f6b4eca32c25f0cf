"""Our own format for dialogues between people: one JSON object a line, simple enough to write by hand.

See docs/dialogues.md for every field. Unknown fields are refused, because a misspelt one would be lost in silence.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from pydantic import Field

from sotopia_pi.environments import TermsError
from sotopia_pi.episodes.records import SILENT, ActionType, Turn
from sotopia_pi.episodes.terms import chosen
from sotopia_pi.interop.context import checked_names
from sotopia_pi.interop.dialogues.records import OUTCOME, Dialogue, Found, Score, Talk, character, finding
from sotopia_pi.interop.lines import read_lines
from sotopia_pi.interop.problems import RecordError
from sotopia_pi.interop.profiles import validated
from sotopia_pi.interop.scores import check_scores
from sotopia_pi.interop.sotopia import make_task
from sotopia_pi.ratings.verifier import VERIFIER
from sotopia_pi.records import Record
from sotopia_pi.world.records import Character, Relationship, Scenario


class Person(Record):
    """Who plays a role: a name, the goal, and what else is known of the person."""

    name: str = Field(min_length=1)
    goal: str = Field(min_length=1)
    secret: str = ""
    profile: dict[str, Any] = Field(default_factory=dict)


class Line(Record):
    """A turn: `text` is said, `action` is done; a `type` of its own for the other kinds of actions.

    `terms` is what it declares in a verified dialogue: text, a number or an object, as in a model's reply.
    """

    role: int | str
    text: str = ""
    action: str = ""
    type: ActionType | None = None
    terms: Any = None


class Transcript(Record):
    """A dialogue. `scores` are by dimension, one entry per role; null where nobody scored the role."""

    id: str = ""
    scenario: str = Field(min_length=1)
    relationship: str = "stranger"
    roles: tuple[Person, ...] = Field(min_length=2)
    turns: tuple[Line, ...] = Field(min_length=1)
    scores: tuple[dict[str, float] | None, ...] = ()
    rater: str = Field(default=OUTCOME, min_length=1)
    kind: str = "dialogue"
    source: str = "transcript"
    check: dict[str, Any] | None = None


def find(paths: Sequence[Path]) -> Iterator[Found]:
    """The dialogues of the files, line by line."""
    return finding(paths, read_lines, "id")


def read(value: Any) -> Dialogue:
    """The dialogue of a found record. RecordError says why there is none."""
    if isinstance(value.get("id"), int):
        value = {**value, "id": str(value["id"])}
    given = validated(Transcript, value)
    names = checked_names(tuple(person.name for person in given.roles))
    people = [_person(person) for person in given.roles]
    levels = {level.name.lower(): level for level in Relationship}
    if given.relationship not in levels:
        raise RecordError(f"the relationship {given.relationship[:40]!r} is none of {', '.join(levels)}")
    scenario = validated(
        Scenario,
        {
            "situation": given.scenario,
            "goals": tuple(person.goal for person in given.roles),
            "relationship": levels[given.relationship],
            "kind": given.check.get("kind") if given.check else given.kind,
            "source": given.source,
            "check": given.check,
        },
    )
    scores = _scores(given)
    if scores and given.rater == VERIFIER:
        raise RecordError(f"the rater cannot be called {VERIFIER!r}, which is a program")
    return Dialogue(make_task(scenario, people), _turns(given, names, scenario), scores, rater=given.rater)


def _person(given: Person) -> Character:
    if {"name", "secret"} & given.profile.keys():
        raise RecordError("name and secret stand beside a profile, not in it")
    return character(given.name, **given.profile, secret=given.secret)


def _scores(given: Transcript) -> tuple[Score, ...]:
    if given.scores and len(given.scores) != len(given.roles):
        raise RecordError(f"there are {len(given.scores)} scores for {len(given.roles)} roles")
    if not any(given.scores):
        return ()
    found = [check_scores(scores or {}, role) for role, scores in enumerate(given.scores)]
    return tuple(Score(scores) if scores else Score(failure="nobody scored this role") for scores in found)


def _turns(given: Transcript, names: tuple[str, ...], scenario: Scenario) -> tuple[Turn, ...]:
    talk = Talk()
    for place, line in enumerate(given.turns, 1):
        role = names.index(line.role) if isinstance(line.role, str) and line.role in names else line.role
        if not isinstance(role, int) or isinstance(role, bool) or role not in range(len(names)):
            raise RecordError(f"turn {place} is of role {str(role)[:40]}, which there is not")
        kind = line.type or (ActionType.ACT if line.action else ActionType.SPEAK)
        words = line.action or line.text
        if line.text and line.action:
            raise RecordError(f"turn {place} has a text and an action; make two turns of it")
        if bool(words) != (kind is not ActionType.NONE) and kind is not ActionType.LEAVE:
            raise RecordError(f"turn {place} is of type {kind.value!r} and has {'a text' if words else 'no words'}")
        terms = _terms(scenario, role, kind, line.terms, place)
        if kind is ActionType.SPEAK:
            talk.say(role, words, terms)
        else:
            talk.act(role, words, kind, terms)
    return talk.done()


def _terms(scenario: Scenario, role: int, kind: ActionType, value: Any, place: int) -> str | None:
    """The terms of a turn as its role writes them."""
    if value is None:
        return None
    env = scenario.environment
    if env is None or scenario.check is None:
        raise RecordError(f"turn {place} declares terms, but the dialogue has no check; add one or leave them out")
    if kind in SILENT:
        raise RecordError(f"turn {place} is of type {kind.value!r}, which declares no terms")
    try:
        return chosen(env, scenario.check.side(role), value)
    except TermsError as error:
        raise RecordError(f"the terms of turn {place} cannot be read: {error}") from None
