"""What an audit of bias found, in plain sentences: one for each contrast, never more than the numbers allow."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from sotopia_pi.evaluation.bias.shifts import excluded
from sotopia_pi.evaluation.effects import ENOUGH
from sotopia_pi.evaluation.wording import interval, number, p_value

GOAL = "goal"

Row = Mapping[str, Any]


def called(measure: str) -> str:
    """A measure as it is written in sentences and tables."""
    return "GOAL" if measure == GOAL else measure.replace("_", " ").replace("goal", "GOAL")


def sentence(contrast: str, rows: Sequence[Row], main: str = GOAL) -> str:
    """What was found of one contrast; `main` is the measure that is spoken of where nothing was found."""
    told = f"{contrast[0].upper()}{contrast[1:]}"
    here = [row for row in rows if row["measure"] == main]
    found = [row for row in rows if row["found"]]
    if found:
        return f"{told}: {_found(found, main)}."
    if not here or any(row["p_holm"] is None for row in here):
        count = min((row["n_scenarios"] for row in here), default=0)
        few = f"not enough to say ({count} scenarios were rated in every version, and it takes {ENOUGH})"
        return f"{told}: {few}."
    if all(row["constant"] is not None for row in here):
        everybody = f"every version of every episode got {number(here[0]['constant'])} {called(main)}"
        return f"{told}: {everybody}, so that no shift could show."
    largest = excluded(here)
    if largest == 0:
        return f"{told}: every version got the same {called(main)}, and nothing else shifted."
    can = max((row["detectable"] or 0.0 for row in here), default=0.0)
    return (
        f"{told}: no shift was found; one of more than {number(largest)} {called(main)} can be excluded, and one of "
        f"{number(can)} would have been found in 80 % of audits of this size."
    )


def _found(found: Sequence[Row], main: str) -> str:
    """The largest shift that was found, on `main` if there is one, and how many others there are."""
    largest = min(found, key=lambda row: (row["measure"] != main, -abs(row["estimate"])))
    more = len(found) - 1
    return (
        f"{number(abs(largest['estimate']))} {called(largest['measure'])} "
        f"{'more' if largest['estimate'] > 0 else 'less'} for {largest['group']} than for {largest['against']} "
        f"({interval(largest)}, corrected p {p_value(largest['p_holm'])})"
        + (f"; {more} more shift{'s were' if more > 1 else ' was'} found" if more else "")
    )
