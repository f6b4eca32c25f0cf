"""The part of a form in which a person picks terms: the kind's own controls, all of them empty for no terms."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from sotopia_pi.environments.base import ChoiceField, Field
from sotopia_pi.episodes.people import offered, typed
from sotopia_pi.episodes.records import SILENT, Action, ActionError, ActionType
from sotopia_pi.episodes.views import View

#: What a control is called in a form, before its number: the names and options of a kind may be anything.
_NAME = "terms-"


@dataclass(frozen=True, slots=True)
class Control:
    """A control as a page shows it: a choice where there are `options`, as (value, label), else a number."""

    name: str
    label: str
    value: str
    options: tuple[tuple[str, str], ...] = ()
    low: str = ""
    high: str = ""
    step: str = ""


def controls(seen: View, given: Mapping[str, str]) -> list[Control]:
    """The controls with which this role picks terms, filled with what was `given`; none where there are no terms."""
    return [_control(at, one, given.get(f"{_NAME}{at}", "")) for at, one in enumerate(_fields(seen))]


def acted(seen: View, kind: ActionType, given: Mapping[str, str]) -> Action:
    """The action of a filled form: words with the terms that were picked, or Accept. ActionError says what is wrong."""
    words = given.get("words", "")
    if "accept" not in given:
        return typed(kind, words, seen, _picked(seen, given))
    terms = offered(seen)
    if terms is None:
        raise ActionError("The other has not just declared terms that you could accept.")
    return typed(kind if words.strip() and kind not in SILENT else ActionType.SPEAK, words, seen, terms)


def _picked(seen: View, given: Mapping[str, str]) -> object:
    """What the controls hold, by the names of the kind; None where all are empty."""
    held = {name: value.strip() for name, value in given.items() if name.startswith(_NAME) and value.strip()}
    fields = _fields(seen)
    if not held or not fields:
        return held or None
    if empty := [one.label for at, one in enumerate(fields) if f"{_NAME}{at}" not in held]:
        raise ActionError(f"Fill in “{empty[0]}” as well, or leave all terms empty to declare none.")
    return {one.name: _value(one, held[f"{_NAME}{at}"]) for at, one in enumerate(fields)}


def _value(one: Field, held: str) -> str:
    if not isinstance(one, ChoiceField):
        return held
    options = {str(at): option for at, option in enumerate(one.options)}
    if held not in options:
        raise ActionError(f"Choose “{one.label}” from the list.")
    return options[held]


def _fields(seen: View) -> tuple[Field, ...]:
    env = seen.environment
    return () if env is None else tuple(env.form(seen.side))


def _control(at: int, one: Field, value: str) -> Control:
    name = f"{_NAME}{at}"
    if isinstance(one, ChoiceField):
        return Control(name, one.label, value, tuple((str(n), option) for n, option in enumerate(one.options)))
    low, high, step = (f"{number:.12g}" for number in (one.low, one.high, one.step))
    return Control(name, one.label, value, (), low, high, step)
