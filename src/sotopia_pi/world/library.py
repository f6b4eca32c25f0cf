"""Reading worlds: the starter world that comes with the package, and files of users.

A file is a JSON list of rows or has one JSON object per line (JSONL). Every row is checked on reading; the first
row that cannot be used is reported as a WorldError with the file, the row, the field and what to do. Rows of a list
are counted from 1, rows of a JSONL file are called by their line.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from importlib import resources
from pathlib import Path
from typing import Any, TypeVar

from pydantic import ValidationError

from sotopia_pi.errors import WorldError
from sotopia_pi.inputs import read_json, read_text
from sotopia_pi.records import Record
from sotopia_pi.world.records import Character, Scenario, SocialTask, Tie

R = TypeVar("R", bound=Record)
_SPLITS = ("train", "test")
#: How the kind of a scenario begins whose role 0 wants to do harm.
HARM = "harm-"


@dataclass(frozen=True, slots=True)
class World:
    """Characters, how they know each other, and scenarios by split ("train", "test").

    Pairs that `ties` does not name are strangers.
    """

    characters: tuple[Character, ...]
    ties: tuple[Tie, ...]
    scenarios: Mapping[str, tuple[Scenario, ...]]


@cache
def starter_world() -> World:
    """The world that comes with the package: characters, ties, and open scenarios in the splits "train" and "test"."""
    folder = resources.files("sotopia_pi.world").joinpath("starter")

    def text(name: str) -> str:
        return folder.joinpath(name).read_text(encoding="utf-8")

    characters = _characters(text("characters.json"), "characters.json")
    return World(
        characters=characters,
        ties=_ties(text("ties.json"), "ties.json", characters),
        scenarios={split: _scenarios(text(f"scenarios_{split}.json"), f"scenarios_{split}.json") for split in _SPLITS},
    )


@cache
def safety_scenarios() -> tuple[Scenario, ...]:
    """The scenarios with a harmful goal: role 0 wants to do harm, role 1 to prevent it. Nobody is trained on them."""
    name = "scenarios_safety.json"
    text = resources.files("sotopia_pi.world").joinpath("starter", name).read_text(encoding="utf-8")
    return _scenarios(text, name)


def is_harmful(scenario: Scenario) -> bool:
    """Whether role 0 wants to do harm and role 1 to prevent it, as the scenario's kind says ("harm-theft")."""
    return scenario.kind.startswith(HARM)


def load_characters(path: Path | str) -> tuple[Character, ...]:
    """The characters of a JSON list or JSONL file, in file order.

    Raises WorldError for a file or row that cannot be read, an unknown field, a minor, or a name used twice.
    """
    return _characters(_text(path), str(path))


def load_scenarios(path: Path | str) -> tuple[Scenario, ...]:
    """The scenarios of a JSON list or JSONL file, in file order.

    Raises WorldError for a file or row that cannot be read, an unknown field, or a scenario given twice.
    """
    return _scenarios(_text(path), str(path))


def load_ties(path: Path | str, characters: Iterable[Character] | None = None) -> tuple[Tie, ...]:
    """The ties of a JSON list or JSONL file, in file order; with `characters`, every name must be one of theirs.

    The file may be empty of ties: then everybody is a stranger. Raises WorldError for a file or row that cannot be
    read, an unknown field or character, a tie of a character with itself, or a pair tied twice.
    """
    return _ties(_text(path), str(path), characters)


def load_tasks(path: Path | str) -> tuple[SocialTask, ...]:
    """The social tasks (each a scenario with its characters) of a JSON list or JSONL file, in file order.

    Raises WorldError for a file or row that cannot be read, an unknown field, characters who do not fit the
    scenario's constraints, or a task given twice.
    """
    tasks = _records(SocialTask, _text(path), str(path))
    _refuse_repeats(tasks, str(path), lambda task: task.id, "the task")
    return tuple(task for _, task in tasks)


def _characters(text: str, label: str) -> tuple[Character, ...]:
    rows = _records(Character, text, label)
    _refuse_repeats(rows, label, lambda row: row.name, "the name")
    return tuple(row for _, row in rows)


def _scenarios(text: str, label: str) -> tuple[Scenario, ...]:
    rows = _records(Scenario, text, label)
    _refuse_repeats(rows, label, lambda row: row.id, "the scenario")
    return tuple(row for _, row in rows)


def _ties(text: str, label: str, characters: Iterable[Character] | None) -> tuple[Tie, ...]:
    rows = _records(Tie, text, label, may_be_empty=True)
    known = None if characters is None else {character.name for character in characters}
    for place, tie in rows:
        if tie.names[0] == tie.names[1]:
            raise WorldError(f"{label}, {place}, field names: {tie.names[0]!r} is tied to itself; name two characters.")
        for name in tie.names:
            if known is not None and name not in known:
                raise WorldError(
                    f"{label}, {place}, field names: no character is called {name!r}; "
                    "correct the name or add the character."
                )
    _refuse_repeats(rows, label, lambda tie: " and ".join(sorted(tie.names)), "the pair")
    return tuple(tie for _, tie in rows)


def _text(path: Path | str) -> str:
    try:
        return read_text(Path(path))
    except OSError as error:
        raise WorldError(
            f"{path} cannot be read ({error.strerror or error}); check the path and its permissions."
        ) from None


def _json(text: str, label: str, first_line: int = 1) -> Any:
    try:
        return read_json(text)
    except json.JSONDecodeError as error:
        where = f"line {first_line + error.lineno - 1}, column {error.colno}"
        raise WorldError(
            f"{label}, {where}: not valid JSON ({error.msg}); write one JSON list of rows, or one JSON object per line."
        ) from None
    except ValueError as error:
        raise WorldError(f"{label}, line {first_line}: not valid JSON ({error}); correct it.") from None


def _rows(text: str, label: str) -> list[tuple[str, Any]]:
    """The rows with the words for where each stands."""
    if text.lstrip().startswith("["):
        return [(f"row {number}", value) for number, value in enumerate(_json(text, label), 1)]
    lines = text.split("\n")
    return [(f"line {number}", _json(line, label, number)) for number, line in enumerate(lines, 1) if line.strip()]


def _records(kind: type[R], text: str, label: str, may_be_empty: bool = False) -> list[tuple[str, R]]:
    found: list[tuple[str, R]] = []
    for place, value in _rows(text, label):
        if not isinstance(value, dict):
            raise WorldError(f"{label}, {place}: expected a JSON object with the fields {_fields(kind)}.")
        try:
            found.append((place, kind.model_validate(value)))
        except ValidationError as error:
            raise WorldError(f"{label}, {place}, {_explain(kind, error)}") from None
    if not found and not may_be_empty:
        raise WorldError(f"{label} has no rows; add at least one object with the fields {_fields(kind)}.")
    return found


def _fields(kind: type[Record]) -> str:
    return ", ".join(kind.model_fields)


def _explain(kind: type[Record], error: ValidationError) -> str:
    """The first problem of a row: the field, what is wrong with it and what to do."""
    problem = error.errors(include_url=False, include_input=False)[0]
    where = ".".join(str(part) for part in problem["loc"])
    message = problem["msg"].removeprefix("Value error, ")
    if not where:
        return f"{kind.__name__}: {message}; correct the row."
    match problem["type"]:
        case "extra_forbidden":
            known = f" (a {kind.__name__} has {_fields(kind)})" if len(problem["loc"]) == 1 else ""
            advice = f"unknown field; remove it or correct its name{known}."
        case "missing":
            advice = "missing; add it."
        case "greater_than_equal" if problem["loc"][-1] == "age":
            advice = "characters must be adults; give an age of 18 or more, or leave this character out."
        case _:
            advice = f"{message}; correct the value."
    return f"field {where}: {advice}"


def _refuse_repeats(rows: Sequence[tuple[str, R]], label: str, key: Callable[[R], str], what: str) -> None:
    """Refuses two rows with the same key: names must be unique, and what is planned twice would be played once."""
    seen: dict[str, str] = {}
    for place, row in rows:
        value = key(row)
        if value in seen:
            raise WorldError(
                f"{label}, {place}: {what} {value!r} stands already in {seen[value]}; change or remove one of the two."
            )
        seen[value] = place
