"""Figures as hand-made SVG: bars with 95 % intervals by condition, and training loss curves.

Every figure is an <svg role="img"> with a title that tells its numbers, sized for a phone's width, coloured by the
classes of theme.py. `figure_svg` stands alone; the others live in the report's page. plots.py draws distributions.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from html import escape
from typing import Any

from sotopia_pi.evaluation.drawing import finite, svg, text
from sotopia_pi.evaluation.summary import BASE, EXPERT
from sotopia_pi.evaluation.theme import standalone_css
from sotopia_pi.evaluation.wording import number, share
from sotopia_pi.printable import safe_text

_HEIGHT, _TOP, _BOTTOM, _LEFT, _RIGHT = 310, 60, 64, 46, 14
_STEP = 66
_LABEL = 9
_POINTS = 300


@dataclass(frozen=True, slots=True)
class Bar:
    """One bar: a policy's value with its interval, None where there is none, and small notes under the name."""

    policy: str
    value: float | None
    low: float | None = None
    high: float | None = None
    notes: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Scale:
    """A vertical axis from 0 to `top`; `form` writes a value on it."""

    top: float
    form: Callable[[float | None], str]

    def y(self, value: float) -> float:
        """Pixels from the panel's upper edge; values beyond the axis are drawn at its end."""
        return _HEIGHT - _BOTTOM - min(max(value / self.top, 0.0), 1.0) * (_HEIGHT - _BOTTOM - _TOP)


def goal_bars(rows: Sequence[Mapping[str, Any]]) -> list[Bar]:
    """The GOAL of each evaluation in `rows`."""
    return [_bar(row, row["goal"]) for row in rows]


def deal_bars(rows: Sequence[Mapping[str, Any]]) -> list[Bar]:
    """The deal rate of each evaluation in `rows` that has one."""
    return [_bar(row, row["deal_rate"]) for row in rows if row["deal_rate"]]


def invalid_bars(rows: Sequence[Mapping[str, Any]]) -> list[Bar]:
    """The share of invalid actions of each evaluation in `rows`, without intervals."""
    return [
        Bar(row["policy"], row["invalid_share"], notes=(f"of {row['actions']:,}",))
        for row in rows
        if row["invalid_share"] is not None
    ]


def goal_chart(title: str, rows: Sequence[Mapping[str, Any]], top: float) -> str:
    """GOAL by condition with 95 % intervals on an axis up to `top`, the expert as an open bar and a dashed line."""
    return _chart(title, goal_bars(rows), Scale(top, number), reference=EXPERT)


def share_chart(title: str, bars: Sequence[Bar]) -> str:
    """Shares by condition; the axis ends at 100 %, or lower when every share is small."""
    return _chart(title, bars, Scale(axis_top(bars, 1.0), share))


def axis_top(bars: Sequence[Bar], most: float) -> float:
    """The end of an axis that holds every bar and interval, at most `most` (the scale's own end)."""
    highest = max((bar.high or bar.value or 0.0 for bar in bars), default=0.0)
    steps = (0.1, 0.2, 0.4, 0.6, 0.8, 1.0)
    return next((most * step for step in steps if highest * 1.02 <= most * step), most)


def loss_chart(policy: str, points: Sequence[Mapping[str, Any]], top: float) -> str:
    """One policy's training loss by step, from points with "step" and "loss", on an axis up to `top`."""
    known = [(float(p["step"]), float(p["loss"])) for p in points if finite(p.get("step")) and finite(p.get("loss"))]
    shown = known[:: max(1, math.ceil(len(known) / _POINTS))]
    if known and shown[-1] != known[-1]:
        shown.append(known[-1])
    width, scale = 320, Scale(top, number)
    last_step = max((step for step, _ in shown), default=1.0) or 1.0
    parts = [_grid(scale, width)]
    ends = "no points"
    if shown:
        places = [(_LEFT + step / last_step * (width - _LEFT - _RIGHT - 36), scale.y(loss)) for step, loss in shown]
        parts.append(f'<polyline class="curve" points="{" ".join(f"{x:.1f},{y:.1f}" for x, y in places)}"/>')
        x, y = places[-1]
        parts.append(f'<circle class="dot" cx="{x:.1f}" cy="{y:.1f}" r="3.5"/>')
        parts.append(text(x + 7, y + 4, number(known[-1][1]), "v", "start"))
        parts += [text(x, _HEIGHT - _BOTTOM + 20, f"step {number(last_step, 0)}", "m")]
        ends = f"from {number(known[0][1])} to {number(known[-1][1])} in {number(last_step, 0)} steps"
    title = f"Training loss, {policy}"
    return svg(title, f"{title}: {ends}", (width, _HEIGHT), "".join(parts))


def figure_svg(report: Mapping[str, Any]) -> str:
    """The GOAL figure of a report (what `build` returns) as an SVG file of its own, on its own background."""
    panels, x = [], 0
    for title, rows, top in goal_panels(report["evaluations"]):
        chart = goal_chart(title, rows, top)
        panels.append(chart.replace("<svg ", f'<svg x="{x}" y="0" ', 1))
        x += _width(len(rows))
    width = max(x, 320)
    if not panels:
        panels = [text(width / 2, _HEIGHT / 2, "Nothing has been evaluated yet", "m")]
    caption = text(16, _HEIGHT + 12, "GOAL, 0 to 10, with 95 % intervals clustered by scenario", "m", "start")
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" class="f" role="img" aria-label="GOAL by condition" width="{width}" '
        f'height="{_HEIGHT + 30}" viewBox="0 0 {width} {_HEIGHT + 30}"><title>GOAL by condition</title>'
        f'<style>{standalone_css()}</style><rect class="ground" width="100%" height="100%" rx="8"/>'
        f"{''.join(panels)}{caption}</svg>\n"
    )


def goal_panels(
    evaluations: Sequence[Mapping[str, Any]],
) -> list[tuple[str, list[Mapping[str, Any]], float]]:
    """(title, rows, axis end) per task set and partner; one axis for all, so that panels can be compared."""
    settings: dict[tuple[str, str], list[Mapping[str, Any]]] = {}
    for row in evaluations:
        settings.setdefault((row["tasks"], row["partner"]), []).append(row)
    top = axis_top([bar for rows in settings.values() for bar in goal_bars(rows)], 10.0)
    several = len({partner for _, partner in settings}) > 1
    return [
        (f"GOAL, {tasks} tasks" + (f", partner {partner}" if several else ""), rows, top)
        for (tasks, partner), rows in settings.items()
    ]


def _bar(row: Mapping[str, Any], estimate: Mapping[str, Any]) -> Bar:
    notes = (f"n {row['n']}", *([f"{row['n_failed']} failed"] if row["n_failed"] else []))
    return Bar(row["policy"], estimate["mean"], estimate["ci_low"], estimate["ci_high"], notes)


def _width(bars: int) -> int:
    return max(320, _LEFT + _RIGHT + _STEP * bars)


def _chart(title: str, bars: Sequence[Bar], scale: Scale, reference: str | None = None) -> str:
    width = _width(len(bars))
    step = (width - _LEFT - _RIGHT) / max(len(bars), 1)
    parts = [_grid(scale, width)]
    for bar in bars:
        if bar.policy == reference and bar.value is not None:
            y = scale.y(bar.value)
            parts.append(f'<line class="ref" x1="{_LEFT}" x2="{width - _RIGHT}" y1="{y:.1f}" y2="{y:.1f}"/>')
    parts += [_one_bar(bar, _LEFT + (place + 0.5) * step, scale) for place, bar in enumerate(bars)]
    told = "; ".join(_told(bar, scale) for bar in bars)
    return svg(title, f"{title}: {told or 'nothing evaluated'}", (width, _HEIGHT), "".join(parts))


def _told(bar: Bar, scale: Scale) -> str:
    spread = "" if bar.low is None else f" [{scale.form(bar.low)}, {scale.form(bar.high)}]"
    return f"{bar.policy} {scale.form(bar.value)}{spread} ({', '.join(bar.notes)})"


def _one_bar(bar: Bar, x: float, scale: Scale) -> str:
    floor = _HEIGHT - _BOTTOM
    name = bar.policy if len(bar.policy) <= _LABEL else f"{bar.policy[: _LABEL - 1]}…"
    parts = [text(x, floor + 20, name, "v")]
    parts += [text(x, floor + 36 + 15 * line, note, "m") for line, note in enumerate(bar.notes)]
    if bar.value is None:
        parts.append(text(x, floor - 8, "not rated", "m"))
    else:
        y, half = scale.y(bar.value), 19
        style = bar.policy if bar.policy in (BASE, EXPERT) else "policy"
        size = f'width="{2 * half}" height="{floor - y:.1f}"'
        parts += [f'<rect class="{style}" x="{x - half:.1f}" y="{y:.1f}" {size}/>'] if bar.value > 0 else []
        crown = y
        if bar.low is not None and bar.high is not None:
            low, crown = scale.y(bar.low), scale.y(bar.high)
            parts.append(
                f'<path class="whisker" d="M{x - 6:.1f} {crown:.1f}h12M{x:.1f} {crown:.1f}V{low:.1f}'
                f'M{x - 6:.1f} {low:.1f}h12"/>'
            )
        parts.append(text(x, crown - 7, scale.form(bar.value), "v"))
    return f"<g><title>{escape(safe_text(_told(bar, scale)))}</title>{''.join(parts)}</g>"


def _grid(scale: Scale, width: int) -> str:
    parts = []
    steps = {"1": 5, "6": 3}.get(f"{scale.top:e}"[0], 4)
    for place in range(steps + 1):
        value = scale.top * place / steps
        y, style = scale.y(value), "grid" if place else "axis"
        label = share(value) if scale.form is share else f"{value:g}"
        parts.append(f'<line class="{style}" x1="{_LEFT}" x2="{width - _RIGHT}" y1="{y:.1f}" y2="{y:.1f}"/>')
        parts.append(text(_LEFT - 7, y + 4, label, "m", "end"))
    return "".join(parts)
