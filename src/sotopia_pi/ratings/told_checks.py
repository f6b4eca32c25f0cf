"""From the words of a verified scenario back to its check: what somebody who reads a case file can know of it.

The simulated judges of an audit use it. They are shown what any judge is shown, and nothing else.
"""

from __future__ import annotations

import re
from collections.abc import Sequence

from pydantic import ValidationError

from sotopia_pi.world.checks import Check, DivisionCheck, FactCheck, MeetingCheck, PriceCheck

_PRICE = re.compile(r"(Sell|Buy) the (.+)\. Aim for \$([\d.e+]+)\. Never (?:go below|pay more than) \$([\d.e+]+)\.")
_LISTED = re.compile(r"listed at \$([\d.e+]+)\.")
_WORTH = re.compile(r"(\d+) (.+?) worth ([\d.e+-]+)(?: each)?(?:, |\.)")
_MEETING = re.compile(r"Agree on a (time|place)\. Best for you: (.+?\)), then (.+?\))\.(?: Impossible: (.+)\.)?")
_OPTIONS = re.compile(r"Possible \w+: (.+)\.")
_WORTHS = re.compile(r"(.+?) \(([\d.]+)\)(?:, |$)")
_FACT = re.compile(r"Find out (.+?): (.+)\. You know (.+?): (.+)\. Keep (.+) secret: never say (.+)\.")


def told_check(situation: str, goals: Sequence[str]) -> Check | None:
    """The check that a situation and two goals tell of; None where they tell of none, as in open scenarios."""
    if len(goals) != 2:
        return None
    for read in (_price, _division, _meeting, _fact):
        try:
            found = read(situation, goals)
        except (ValidationError, ValueError, KeyError):
            continue
        if found is not None:
            return found
    return None


def _price(situation: str, goals: Sequence[str]) -> Check | None:
    sides, listed = [_PRICE.fullmatch(goal) for goal in goals], _LISTED.search(situation)
    first, second = sides
    if first is None or second is None or listed is None:
        return None
    return PriceCheck(
        item=first[2],
        seller=0 if first[1] == "Sell" else 1,
        limits=(float(first[4]), float(second[4])),
        targets=(float(first[3]), float(second[3])),
        listed=float(listed[1]),
    )


def _division(situation: str, goals: Sequence[str]) -> Check | None:
    if not all("To you: " in goal for goal in goals):
        return None
    sides = [_WORTH.findall(goal.partition("To you: ")[2]) for goal in goals]
    counts = {_thing(name, number): int(number) for number, name, _ in sides[0]}
    values = [{_thing(name, number): float(value) for number, name, value in side} for side in sides]
    return DivisionCheck(counts=counts, values=(values[0], values[1]))


def _thing(name: str, number: str) -> str:
    return name.removesuffix("s") if int(number) > 1 else name


def _meeting(situation: str, goals: Sequence[str]) -> Check | None:
    sides, options = [_MEETING.fullmatch(goal) for goal in goals], _OPTIONS.search(situation)
    first, second = sides
    if first is None or second is None or options is None:
        return None
    names = tuple(options[1].split(", "))
    return MeetingCheck(
        what="time" if first[1] == "time" else "place",
        options=names,
        values=(_worths(first, names), _worths(second, names)),
    )


def _worths(goal: re.Match[str], names: Sequence[str]) -> dict[str, float]:
    given = {name: float(value) for name, value in _WORTHS.findall(f"{goal[2]}, {goal[3]}")}
    return {name: given.get(name, 0.0) for name in names}


def _fact(situation: str, goals: Sequence[str]) -> Check | None:
    first, second = (_FACT.fullmatch(goal) for goal in goals)
    if first is None or second is None:
        return None
    options = [re.split(r", | or ", goal[2]) for goal in (second, first)]  # of the fact that the role itself knows
    return FactCheck(
        subjects=(first[3], second[3]),
        answers=(first[4], second[4]),
        options=(tuple(options[0]), tuple(options[1])),
        guarded_subjects=(first[5], second[5]),
        guarded=(first[6], second[6]),
    )
