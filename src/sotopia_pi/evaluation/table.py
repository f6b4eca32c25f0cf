"""The result table for a terminal: conditions with their intervals, all dimensions where a judge rated, paired
differences, and the audit of judges. At most 110 columns.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from sotopia_pi.evaluation.wording import NOTHING, interval, number, p_value, share, signed
from sotopia_pi.printable import one_line

WIDTH = 110
_NAME = 18
_PAIR = 34
_JUDGE = 28
_LONGEST = 32
_BESIDE = 3


def render_table(
    evaluations: Sequence[Mapping[str, Any]],
    comparisons: Sequence[Mapping[str, Any]],
    audit: Sequence[Mapping[str, Any]] = (),
) -> str:
    """What `evaluations` and `comparisons` of summary.py and `audit` hold, as aligned text without a final newline."""
    blocks = []
    for tasks, partner in dict.fromkeys((row["tasks"], row["partner"]) for row in evaluations):
        here = [row for row in evaluations if (row["tasks"], row["partner"]) == (tasks, partner)]
        rows = [_condition(row) for row in here]
        head = ["policy", "GOAL", "[95 % CI]", "n", "failed", "deals", "invalid", "words/turn", "turns"]
        rater = f", rated by {here[0]['rater']}" if here[0].get("rater") else ""
        blocks.append([one_line(f"{tasks} tasks against {partner}{rater}", WIDTH), *align([head, *rows])])
        blocks += _dimensions(here)
        pairs = [_pair(pair) for pair in comparisons if (pair["tasks"], pair["partner"]) == (tasks, partner)]
        if pairs:
            head = ["paired difference", "GOAL", "[95 % CI]", "p", "pairs", "scenarios"]
            blocks.append(align([head, *pairs]))
    if audit:
        head = ["judge against verifier", "policy", "n", "Pearson", "Spearman", "judge − verifier", "[95 % CI]"]
        blocks.append(align([head, *(_audited(row) for row in audit)]))
    return "\n\n".join("\n".join(block) for block in blocks) or "Nothing has been evaluated yet."


def _condition(row: Mapping[str, Any]) -> list[str]:
    return [
        one_line(row["policy"], _NAME),
        number(row["goal"]["mean"]),
        interval(row["goal"]) or NOTHING,
        str(row["n"]),
        str(row["n_failed"]),
        share(row["deal_rate"]["mean"] if row["deal_rate"] else None),
        share(row["invalid_share"]),
        number(row["words_per_turn"], 1),
        number(row["turns"], 1),
    ]


def _dimensions(rows: Sequence[Mapping[str, Any]]) -> list[list[str]]:
    """Every score with its interval, a few policies beside each other; nothing where no judge rated all dimensions."""
    if not any("overall" in row["scores"] for row in rows):
        return []
    names = [name for name in dict.fromkeys(name for row in rows for name in row["scores"]) if name != "overall"]
    blocks = []
    for start in range(0, len(rows), _BESIDE):
        shown = rows[start : start + _BESIDE]
        lines = [["dimension", *(one_line(row["policy"], _NAME) for row in shown)]]
        lines += [[one_line(n, _LONGEST), *(_estimate(row["scores"].get(n)) for row in shown)] for n in names]
        lines.append(["goal", *(_estimate(row["goal"]) for row in shown)])
        lines.append(["overall", *(_estimate(row["scores"].get("overall")) for row in shown)])
        lines.append(["n (failed)", *(f"{row['n']} ({row['n_failed']})" for row in shown)])
        blocks.append(align(lines))
    return blocks


def _estimate(found: Mapping[str, Any] | None) -> str:
    return NOTHING if found is None else f"{number(found['mean'])} {interval(found)}".strip()


def _audited(row: Mapping[str, Any]) -> list[str]:
    return [
        one_line(row["judge"].removeprefix("judge:"), _JUDGE),
        one_line(row["policy"], _NAME),
        str(row["n"]),
        number(row["pearson"]),
        number(row["spearman"]),
        signed(row["delta"]),
        interval(row) or NOTHING,
    ]


def _pair(pair: Mapping[str, Any]) -> list[str]:
    return [
        one_line(f"{one_line(pair['a'], _NAME)} − {pair['b']}", _PAIR),
        signed(pair["delta"]),
        interval(pair) or NOTHING,
        p_value(pair["p"]),
        str(pair["n"]),
        str(pair["n_scenarios"]),
    ]


def align(rows: Sequence[Sequence[str]]) -> list[str]:
    """Rows in columns two spaces apart, the first to the left and the others to the right, a rule under the head."""
    shown = [[one_line(cell) for cell in row] for row in rows]
    widths = [max(len(cell) for cell in column) for column in zip(*shown, strict=True)]
    lines = []
    for name, *numbers in shown:
        cells = [name.ljust(widths[0]), *(n.rjust(width) for n, width in zip(numbers, widths[1:], strict=True))]
        lines.append("  ".join(cells).rstrip())
    return [lines[0], "  ".join("─" * width for width in widths), *lines[1:]]
