"""How numbers and untrusted text are written in tables, figures and reports, and what the headline says.

The headline is generated from the numbers: a difference whose interval includes zero is called not significant, and
failures that were left out are mentioned.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any

from sotopia_pi.evaluation.summary import BASE, EXPERT

NOTHING = "–"
SIGNIFICANT = 0.05
_MANY_FAILED = 0.05


def number(value: float | None, digits: int = 2) -> str:
    """A number with a true minus sign; an en dash where there is none."""
    if value is None:
        return NOTHING
    text = f"{value:,.{digits}f}"
    return f"−{text[1:]}" if text.startswith("-") and float(text.replace(",", "")) != 0 else text.removeprefix("-")


def signed(value: float | None, digits: int = 2) -> str:
    """A difference: always with its sign, except zero."""
    text = number(value, digits)
    positive = value is not None and not text.startswith("−") and float(text.replace(",", "")) != 0
    return f"+{text}" if positive else text


def interval(estimate: Mapping[str, Any], digits: int = 2) -> str:
    """The bounds "[low, high]" of anything with ci_low and ci_high; empty where there are none."""
    low, high = estimate.get("ci_low"), estimate.get("ci_high")
    return "" if low is None or high is None else f"[{number(low, digits)}, {number(high, digits)}]"


def share(value: float | None) -> str:
    """A share as a percentage, with one decimal where it is small but not zero."""
    if value is None:
        return NOTHING
    return f"{100 * value:.1f} %" if 0 < value < 0.0995 else f"{100 * value:.0f} %"


def p_value(p: float | None) -> str:
    """p as usually written: "< .001", ".034", "1.000"; an en dash where there is none."""
    if p is None:
        return NOTHING
    return "< .001" if p < 0.001 else f"{p:.3f}".removeprefix("0")


def duration(seconds: float | None) -> str:
    """Seconds in the units a reader thinks in: "8.2 s", "3 min 20 s", "1 h 5 min"."""
    if seconds is None:
        return NOTHING
    if seconds < 59.95:
        return f"{seconds:.1f} s"
    minutes, rest = divmod(round(seconds), 60)
    return f"{minutes} min {rest} s" if minutes < 60 else f"{minutes // 60} h {minutes % 60} min"


def moment(created: str) -> str:
    """An ISO 8601 time as people write it, to the minute; any other text as it is."""
    try:
        when = datetime.fromisoformat(created)
    except ValueError:
        return created
    return f"{when:%Y-%m-%d %H:%M} {when.tzname() or ''}".strip()


def difference(found: Mapping[str, Any], dimension: str = "GOAL") -> str:
    """What a comparison of `comparisons` found, as a clause; one whose interval holds zero is not significant."""
    a, b, delta, p = found["a"], found["b"], found["delta"], found["p"]
    if delta is None:
        return f"{a} and {b} share no rated episode"
    if p is None:
        return f"{a} differs from {b} by {signed(delta)} {dimension}, on too few scenarios for an interval"
    spread = f"95 % CI {number(found['ci_low'])} to {number(found['ci_high'])}"
    written = f"p {p_value(p)}" if p < 0.001 else f"p = {p_value(p)}"
    if p >= SIGNIFICANT:
        return f"{a} is not significantly different from {b} ({signed(delta)} {dimension}, {spread}, {written})"
    return f"{a} scores {number(abs(delta))} {dimension} {'above' if delta > 0 else 'below'} {b} ({spread}, {written})"


def headline(evaluations: Sequence[Mapping[str, Any]], comparisons: Sequence[Mapping[str, Any]]) -> list[str]:
    """What was found on the first task set, in one to three sentences.

    The first and the last trained policy are set against base, the last one against the one before it and the
    expert; none is chosen by its result.
    """
    if not evaluations:
        return ["Nothing has been evaluated yet."]
    tasks, partner = evaluations[0]["tasks"], evaluations[0]["partner"]
    here = [row for row in evaluations if (row["tasks"], row["partner"]) == (tasks, partner)]
    deltas = {(c["a"], c["b"]): c for c in comparisons if (c["tasks"], c["partner"]) == (tasks, partner)}
    trained = [row["policy"] for row in here if row["policy"] not in (BASE, EXPERT)]
    first_and_last = list(dict.fromkeys([*trained[:1], *trained[-1:]]))
    last = trained[-1] if trained else BASE
    against_base = [deltas[policy, BASE] for policy in first_and_last if (policy, BASE) in deltas]
    before = next((name for name in reversed(trained[:-1]) if (last, name) in deltas), None)
    against_rest = [deltas[last, rival] for rival in (before, EXPERT) if (last, rival) in deltas]
    sentences = [f"{_join(group)}." for group in (against_base, against_rest) if group]
    if sentences:
        sentences[0] = f"On the {tasks} tasks, {sentences[0]}"
    return [*(sentences or [_single(here, tasks)]), *_left_out(here)]


def _join(found: Sequence[Mapping[str, Any]]) -> str:
    return "; ".join(difference(comparison) for comparison in found)


def _single(rows: Sequence[Mapping[str, Any]], tasks: str) -> str:
    row = rows[-1]
    spread = interval(row["goal"])
    return f"On the {tasks} tasks, {row['policy']} scores {number(row['goal']['mean'])} GOAL {spread}".strip() + "."


def _left_out(rows: Sequence[Mapping[str, Any]]) -> list[str]:
    """One sentence about failures when any condition lost more than a twentieth of its rows."""
    many = [row for row in rows if row["n_failed"] > _MANY_FAILED * (row["n"] + row["n_failed"])]
    if not many:
        return []
    parts = [f"{row['n_failed']} of {row['n'] + row['n_failed']} for {row['policy']}" for row in many]
    return [f"Failed and left out of these numbers: {', '.join(parts)}."]
