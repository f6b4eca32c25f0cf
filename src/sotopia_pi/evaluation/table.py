"""The result table for a terminal: conditions with their intervals, then paired differences. At most 110 columns."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from sotopia_pi.evaluation.wording import NOTHING, interval, number, p_value, safe_text, share, signed

WIDTH = 110
_NAME = 18
_PAIR = 34


def render_table(evaluations: Sequence[Mapping[str, Any]], comparisons: Sequence[Mapping[str, Any]]) -> str:
    """What `evaluations` and `comparisons` of summary.py hold, as aligned plain text without a final newline."""
    blocks = []
    for tasks, partner in dict.fromkeys((row["tasks"], row["partner"]) for row in evaluations):
        rows = [_condition(row) for row in evaluations if (row["tasks"], row["partner"]) == (tasks, partner)]
        head = ["policy", "GOAL", "[95 % CI]", "n", "failed", "deals", "invalid", "words/turn", "turns"]
        blocks.append([_cut(f"{tasks} tasks against {partner}", WIDTH), *align([head, *rows])])
        pairs = [_pair(pair) for pair in comparisons if (pair["tasks"], pair["partner"]) == (tasks, partner)]
        if pairs:
            head = ["paired difference", "GOAL", "[95 % CI]", "p", "pairs", "scenarios"]
            blocks.append(align([head, *pairs]))
    return "\n\n".join("\n".join(block) for block in blocks) or "Nothing has been evaluated yet."


def _condition(row: Mapping[str, Any]) -> list[str]:
    return [
        _cut(row["policy"], _NAME),
        number(row["goal"]["mean"]),
        interval(row["goal"]) or NOTHING,
        str(row["n"]),
        str(row["n_failed"]),
        share(row["deal_rate"]["mean"] if row["deal_rate"] else None),
        share(row["invalid_share"]),
        number(row["words_per_turn"], 1),
        number(row["turns"], 1),
    ]


def _pair(pair: Mapping[str, Any]) -> list[str]:
    return [
        _cut(f"{_cut(pair['a'], _NAME)} − {pair['b']}", _PAIR),
        signed(pair["delta"]),
        interval(pair) or NOTHING,
        p_value(pair["p"]),
        str(pair["n"]),
        str(pair["n_scenarios"]),
    ]


def _cut(text: str, width: int) -> str:
    text = " ".join(safe_text(text).split())
    return text if len(text) <= width else f"{text[: width - 1]}…"


def align(rows: Sequence[Sequence[str]]) -> list[str]:
    """Rows in columns two spaces apart, the first to the left and the others to the right, a rule under the head."""
    widths = [max(len(cell) for cell in column) for column in zip(*rows, strict=True)]
    lines = []
    for name, *numbers in rows:
        cells = [name.ljust(widths[0]), *(n.rjust(width) for n, width in zip(numbers, widths[1:], strict=True))]
        lines.append("  ".join(cells).rstrip())
    return [lines[0], "  ".join("─" * width for width in widths), *lines[1:]]
