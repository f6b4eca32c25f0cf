"""One SOTOPIA profile record into ours, and ours into one of theirs.

A record that this program wrote carries ours under `sotopia_pi`; it is read from there, so that nothing is lost.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any, TypeVar

from pydantic import ValidationError

from sotopia_pi.interop import fields
from sotopia_pi.interop.problems import RecordError
from sotopia_pi.interop.tags import plain, private
from sotopia_pi.records import Record
from sotopia_pi.world.records import AgeRange, Casting, Character, Relationship, Scenario

#: The key under which our own record travels in a published one.
OURS = "sotopia_pi"
#: Under which it says that its task's check is a retired one.
RETIRED_MARK = "retired"
_R = TypeVar("_R", bound=Record)
_NONE = ("", "nan", "none", "null")
_PAIR = re.compile(r"[(\[]\s*(\d{1,3})\s*,\s*(\d{1,3})\s*[)\]]")


def read_character(record: Mapping[str, Any]) -> Character:
    """The character of an agent profile. RecordError when there is none in it."""
    if OURS in record:
        return validated(Character, record[OURS])
    values = {
        "name": f"{fields.text(record, 'first_name')} {fields.text(record, 'last_name', default='')}".strip(),
        "age": fields.whole(record, "age"),
        "gender": fields.text(record, "gender", default=""),
        "pronouns": fields.text(record, "gender_pronoun", default=""),
        "occupation": fields.text(record, "occupation", default=""),
        "public_info": fields.text(record, "public_info", default=""),
        "big_five": fields.text(record, "big_five", default=""),
        "moral_values": _trimmed(fields.texts(record, "moral_values", default=())),
        "schwartz_values": _trimmed(fields.texts(record, "schwartz_personal_values", default=())),
        "personality": fields.text(record, "personality_and_values", default=""),
        "decision_style": fields.text(record, "decision_making_style", default=""),
        "secret": fields.text(record, "secret", default=""),
    }
    return validated(Character, values)


def _trimmed(values: tuple[str, ...]) -> tuple[str, ...]:
    return tuple(value.strip() for value in values if value.strip())


def read_scenario(record: Mapping[str, Any], env_id: str, with_occupations: bool = True) -> Scenario:
    """The scenario of an environment profile, with goals as their roles read them. RecordError when there is none.

    `with_occupations` False leaves its occupation constraint out.
    """
    if OURS in record:
        return validated(Scenario, record[OURS])
    situation, goals = fields.text(record, "scenario"), fields.texts(record, "agent_goals")
    if len(goals) < 2:
        raise RecordError(f"there are goals for {len(goals)} roles; two or more are needed")
    roles = range(len(goals))
    ages = _ages(record.get("age_constraint"), len(goals))
    jobs = _occupations(record.get("occupation_constraint"), len(goals))
    values = {
        "situation": plain(situation),
        "goals": tuple(f"{plain(goals[role], role)} {private(situation, role)}".strip() for role in roles),
        "relationship": read_relationship(record),
        "casting": tuple(Casting(age=ages[i], occupations=jobs[i] if with_occupations else ()) for i in roles),
        "kind": fields.text(record, "source", default="") or "sotopia",
        "source": f"sotopia/{env_id}",
    }
    return validated(Scenario, values)


def read_relationship(record: Mapping[str, Any]) -> Relationship:
    """The relationship level, 0 to 5; strangers where it is missing."""
    if record.get("relationship") is None:
        return Relationship.STRANGER
    level = fields.whole(record, "relationship")
    if level not in set(Relationship):
        raise RecordError(f"'relationship' is {level}; the levels are 0 to 5")
    return Relationship(level)


def _listed(value: Any, what: str) -> str:
    """A constraint as text, "" for none of the many ways to write none."""
    if value is None:
        return ""
    if isinstance(value, list):
        value = str(value)
    if not isinstance(value, str):
        raise RecordError(f"{what!r} is neither a text nor a list")
    return "" if value.strip().lower() in _NONE else value.strip()


def _ages(value: Any, roles: int) -> list[AgeRange]:
    text = _listed(value, "age_constraint")
    if not text:
        return [AgeRange()] * roles
    found = [(int(low), int(high)) for low, high in _PAIR.findall(text)]
    if len(found) != roles or re.sub(r"[\s,\[\]()]", "", _PAIR.sub("", text)):
        raise RecordError(f"'age_constraint' is {text[:80]!r}; it needs one (low, high) per role")
    return [validated(AgeRange, {"low": low, "high": high}) for low, high in found]


def _occupations(value: Any, roles: int) -> list[tuple[str, ...]]:
    """One tuple per role: `[actor, lawyer]` gives a role each, `[[actor, chef], []]` several or none."""
    text = _listed(value, "occupation_constraint")
    if not text:
        return [()] * roles
    inner = re.fullmatch(r"[\[(](.*)[\])]", text, re.DOTALL)
    body = inner[1] if inner else text
    if "[" in body or "(" in body:
        parts = re.findall(r"[\[(]([^\[\]()]*)[\])]", body)
        found = [_names(part) for part in parts]
    else:
        found = [_names(part) for part in body.split(",")]
    if len(found) != roles:
        raise RecordError(f"'occupation_constraint' is {text[:80]!r}; it needs one entry per role")
    return found


def _names(text: str) -> tuple[str, ...]:
    names = (part.strip().strip("'\"").strip() for part in text.split(","))
    return tuple(name for name in names if name.lower() not in _NONE)


def validated(kind: type[_R], values: Any, context: Mapping[str, bool] | None = None) -> _R:
    """A record of `kind`; RecordError in one sentence where the values are not one."""
    try:
        return kind.model_validate(values, context=context)
    except ValidationError as error:
        detail = error.errors()[0]
        where = ".".join(str(part) for part in detail["loc"])
        message = detail["msg"].removeprefix("Value error, ")
        raise RecordError(f"{where}: {message}" if where else message) from None


def write_character(character: Character) -> dict[str, Any]:
    """An agent profile of one of our characters."""
    first, _, last = character.name.rpartition(" ")
    return {
        "agent_id": character.id,
        "first_name": first or last,
        "last_name": last if first else "",
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
        OURS: character.model_dump(mode="json"),
    }


def write_scenario(scenario: Scenario) -> dict[str, Any]:
    """An environment profile of one of our scenarios; its check, which SOTOPIA does not know, travels under OURS."""
    castings = [scenario.casting_of(role) for role in range(len(scenario.goals))]
    jobs = ", ".join("[" + ", ".join(casting.occupations) + "]" for casting in castings)
    return {
        "env_id": scenario.id,
        "codename": f"{scenario.kind}_{scenario.id}",
        "source": scenario.source,
        "scenario": scenario.situation,
        "agent_goals": list(scenario.goals),
        "relationship": str(int(scenario.relationship)),
        "age_constraint": str([(casting.age.low, casting.age.high) for casting in castings]),
        "occupation_constraint": f"[{jobs}]" if any(casting.occupations for casting in castings) else "nan",
        "agent_constraint": "none",
        OURS: scenario.model_dump(mode="json"),
    }
