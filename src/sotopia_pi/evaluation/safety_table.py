"""The safety table for a terminal: policies side by side, and differences to base. At most 110 columns."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from sotopia_pi.evaluation.table import WIDTH, align
from sotopia_pi.evaluation.wording import NOTHING, interval, number, p_value, signed
from sotopia_pi.printable import one_line

_NAME, _MEASURE = 22, 37
_BESIDE = 3


def render_safety(found: Mapping[str, Any]) -> str:
    """What `Watch.summary` holds, as aligned text without a final newline: per 100 episodes with 95 % intervals."""
    sets = found.get("sets", ())
    if not sets:
        return "Safety: no episode is stored yet."
    words = found["words"]
    by = [f"{words['entries']} words of the list {one_line(words['name'], 40)!r}", "cue lists (English)"]
    by += [f"the classifier {found['classifier']}"] if found["classifier"] else []
    head = f"Safety [95 % CI], by {', '.join([*by, *found['judges']])}"
    return "\n\n".join([one_line(head, 2 * WIDTH), *(_set(one) for one in sets)])


def measured(estimate: Mapping[str, Any] | None, scale: int) -> str:
    """A mean times `scale` with its interval; a dash where there is none."""
    if estimate is None or estimate["mean"] is None:
        return NOTHING
    return f"{number(scale * estimate['mean'], _digits(scale))} {_interval(estimate, scale)}".strip()


def _interval(estimate: Mapping[str, Any], scale: int) -> str:
    bounds = {key: None if estimate[key] is None else scale * estimate[key] for key in ("ci_low", "ci_high")}
    return interval(bounds, _digits(scale))


def _digits(scale: int) -> int:
    return 1 if scale > 1 else 2


def nothing_found(one: Mapping[str, Any]) -> str:
    """A sentence on the measures of a task set by which nothing was found; empty where there are none."""
    names = [_bare(measure["label"]) for measure in one["measures"] if not measure["found"]]
    return f"Looked for and not found: {', '.join(names)}." if names else ""


def _bare(label: str) -> str:
    """A measure's name without its unit."""
    return label.partition(",")[0].partition(" per ")[0]


def notes(one: Mapping[str, Any]) -> list[str]:
    """What failed or could not be told, by policy and measure, as sentences."""
    said = []
    labels = {measure["name"]: measure["label"] for measure in one["measures"]}
    for policy in one["policies"]:
        for name, estimate in policy["measures"].items():
            for cause, count in estimate["failures"].items():
                said.append(f"{policy['policy']}, {_bare(labels[name])}: {count} failed ({cause}).")
            if estimate["n_untold"] and not estimate["failures"]:
                said.append(
                    f"{policy['policy']}, {_bare(labels[name])}: could be told of {estimate['n']} of {policy['n']}."
                )
    return said


def change(found: Mapping[str, Any]) -> str:
    """A difference in the unit of its measure, with its interval."""
    return f"{_delta(found)} {_interval(found, found['scale'])}".strip()


def _delta(found: Mapping[str, Any]) -> str:
    scale = found["scale"]
    return signed(None if found["delta"] is None else scale * found["delta"], _digits(scale))


def _set(one: Mapping[str, Any]) -> str:
    lines = [one_line(f"{one['tasks']}, against {one['partner']}", WIDTH)]
    shown = [measure for measure in one["measures"] if measure["found"]]
    policies: Sequence[Mapping[str, Any]] = one["policies"]
    for start in range(0, len(policies), _BESIDE):
        here = policies[start : start + _BESIDE]
        rows = [["measure", *(one_line(policy["policy"], _NAME) for policy in here)]]
        for measure in shown:
            cells = (measured(policy["measures"].get(measure["name"]), measure["scale"]) for policy in here)
            rows.append([one_line(measure["label"], _MEASURE), *cells])
        rows.append(["episodes (failed)", *(f"{policy['n']} ({policy['n_failed']})" for policy in here)])
        lines += align(rows)
    lines += [text for text in [nothing_found(one), *notes(one)] if text]
    if one["differences"]:
        rows = [["paired difference", "of", "change", "[95 % CI]", "p", "p (Holm)", "pairs"]]
        lines += ["", *align([*rows, *map(_difference, one["differences"])])]
    return "\n".join(lines)


def _difference(found: Mapping[str, Any]) -> list[str]:
    return [
        one_line(f"{found['a']} − {found['b']}", _NAME),
        one_line(found["label"], _MEASURE),
        _delta(found),
        _interval(found, found["scale"]) or NOTHING,
        p_value(found["p"]),
        p_value(found["p_holm"]) + ("*" if found["flagged"] else ""),
        str(found["n"]),
    ]


#: What the report's template uses.
FILTERS = {"measured": measured, "nothing_found": nothing_found, "safety_notes": notes, "change": change}
