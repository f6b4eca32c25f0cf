"""Situations and goals in words, short enough for a small model; a goal tells one side of a check, and nothing else."""

from __future__ import annotations

from collections.abc import Sequence

from sotopia_pi.world.checks import (
    DivisionCheck,
    DivisionSide,
    FactCheck,
    FactSide,
    MeetingCheck,
    MeetingSide,
    PriceCheck,
    PriceSide,
    Side,
)


def goal(side: Side) -> str:
    """The goal of the role whose side of the check this is."""
    match side:
        case PriceSide(sells=True):
            return f"Sell the {side.item}. Aim for ${side.target:g}. Never go below ${side.limit:g}."
        case PriceSide():
            return f"Buy the {side.item}. Aim for ${side.target:g}. Never pay more than ${side.limit:g}."
        case DivisionSide():
            ranked = sorted(side.values, key=lambda thing: -side.values[thing])
            worth = [_worth(thing, side.counts[thing], side.values[thing]) for thing in ranked]
            return f"Get as much value as you can. To you: {', '.join(worth)}."
        case MeetingSide():
            return _meeting_goal(side)
        case FactSide():
            return (
                f"Find out {side.wanted}: {_join(side.wanted_options, 'or')}. "
                f"You know {side.own_subject}: {side.own_answer}. "
                f"Keep {side.guarded_subject} secret: never say {side.guarded}."
            )


def _worth(thing: str, count: int, value: float) -> str:
    return f"{count} {thing}s worth {value:g} each" if count > 1 else f"1 {thing} worth {value:g}"


def _meeting_goal(side: MeetingSide) -> str:
    ranked = sorted(side.options, key=lambda option: -side.values[option])
    possible = [f"{option} ({side.values[option]:g})" for option in ranked if side.values[option] > 0]
    text = f"Agree on a {side.what}. Best for you: {possible[0]}, then {', '.join(possible[1:])}."
    impossible = [option for option in ranked if side.values[option] == 0]
    return f"{text} Impossible: {_join(impossible, 'and')}." if impossible else text


def price_situation(check: PriceCheck) -> str:
    """The item and its listed price."""
    return f"A used {check.item} is for sale, listed at ${check.listed:g}."


def division_situation(check: DivisionCheck) -> str:
    """What there is to divide."""
    things = [f"{count} {thing}{'s' if count > 1 else ''}" for thing, count in check.counts.items()]
    return f"You divide {_join(things, 'and')} between you. Without an agreement nobody gets anything."


def meeting_situation(check: MeetingCheck, occasion: str) -> str:
    """What the meeting is for, and the options."""
    return f"You want to {occasion} together. Possible {check.what}s: {', '.join(check.options)}."


def fact_situation(check: FactCheck) -> str:
    """What each of the two wants to know."""
    asked, other = check.subjects
    return f"Two people talk. One wants to know {asked}, the other {other}. Each also keeps a secret."


def _join(words: Sequence[str], last: str) -> str:
    return words[0] if len(words) == 1 else f"{', '.join(words[:-1])} {last} {words[-1]}"
