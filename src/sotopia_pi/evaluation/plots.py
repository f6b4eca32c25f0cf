"""Figures of many scores: two distributions, one rater against another, and differences by task.

Points are counted in bins before anything is drawn, so that 200,000 of them make a figure as small and quick as 200.
Every number that is shown is also in the figure's text for readers who cannot see it.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from sotopia_pi.evaluation.correlations import Correlated, correlated
from sotopia_pi.evaluation.drawing import Axis, Floats, binned, scores, short, svg, text
from sotopia_pi.evaluation.statistics import Comparison
from sotopia_pi.evaluation.wording import interval, number, share, signed

_WIDTH, _LEFT, _RIGHT, _TOP, _BOTTOM = 340, 46, 14, 84, 44
_PLOT = _WIDTH - _LEFT - _RIGHT
_HIGH = 180  # pixels of the plots that are not square
_CELLS = 40
_DOTS = 200
_LARGEST_RADIUS, _SMALLEST_RADIUS = 9.0, 1.6
_LEGEND, _AXIS = 18, 36

Numbers = Sequence[float] | npt.NDArray[Any]


@dataclass(frozen=True, slots=True)
class Series:
    """Scores under a name; a missing score is NaN and is counted, not drawn."""

    name: str
    values: Numbers


def histogram(title: str, axis: Axis, first: Series, second: Series | None = None) -> str:
    """One or two distributions over the bins of `axis`, each in shares of its own n."""
    shown = [_Distribution.of(series, axis) for series in (first, second) if series is not None]
    top = _share_end(max(float(one.shares.max()) for one in shown))
    bottom = _TOP + _HIGH
    parts = []
    for place in range(5):
        y, value = bottom - _HIGH * place / 4, top * place / 4
        parts.append(f'<line class="{_rule(place)}" x1="{_LEFT}" x2="{_WIDTH - _RIGHT}" y1="{y:.1f}" y2="{y:.1f}"/>')
        parts.append(text(_LEFT - 7, y + 4, share(value), "m", "end"))
    step = _PLOT / len(shown[0].counts)
    wide = step * 0.84 / len(shown)
    for number_, one in enumerate(shown):
        for place in np.flatnonzero(one.counts).tolist():
            high = float(one.shares[place]) / top * _HIGH
            x = _LEFT + step * (place + 0.08) + wide * number_
            box = f'x="{x:.1f}" y="{bottom - high:.1f}" width="{wide:.1f}" height="{high:.1f}"'
            parts.append(f'<rect class="{"ab"[number_]}" {box}/>')
        y = 44 + 18 * number_
        parts.append(f'<rect class="{"ab"[number_]}" x="{_LEFT}" y="{y - 9}" width="11" height="11"/>')
        parts.append(text(_LEFT + 18, y + 1, one.legend(_LEGEND), "m", "start"))
    parts += _scale(axis, bottom, bins=True)
    told = f"{title}: " + "; ".join(f"{one.legend()}{one.left_out}" for one in shown)
    return svg(title, told, (_WIDTH, bottom + _BOTTOM), "".join(parts), _told_bins(axis, shown, top))


def scatter(title: str, axis: Axis, x: Series, y: Series, known: Correlated | None = None) -> str:
    """`y` against `x`, score by score: a circle's area is how many pairs lie there, the dashed line is equality.

    `known` is their correlation where it has been computed already.
    """
    found = known or correlated(x.values, y.values)
    cells = _cells(axis, found)
    bottom = _TOP + _PLOT
    parts = []
    for value in axis.ticks():
        across, down = _on(axis, value), bottom - _on(axis, value)
        style = _rule(int(value != axis.low))
        parts.append(f'<line class="{style}" x1="{_LEFT}" x2="{_WIDTH - _RIGHT}" y1="{down:.1f}" y2="{down:.1f}"/>')
        parts.append(text(_LEFT - 7, down + 4, axis.label(value), "m", "end"))
        parts.append(
            f'<line class="{style}" x1="{_LEFT + across:.1f}" x2="{_LEFT + across:.1f}" y1="{_TOP}" y2="{bottom}"/>'
        )
    parts.append(f'<line class="same" x1="{_LEFT}" x2="{_WIDTH - _RIGHT}" y1="{bottom}" y2="{_TOP}"/>')
    most = max((count for _, _, count in cells), default=1)
    for across, up, count in cells:
        radius = max(_SMALLEST_RADIUS, _LARGEST_RADIUS * (count / most) ** 0.5)
        parts.append(f'<circle class="point" cx="{_LEFT + across:.1f}" cy="{bottom - up:.1f}" r="{radius:.1f}"/>')
    upright, level = f"↑ {short(y.name, _AXIS)}", f"→ {short(x.name, _AXIS)}"
    parts += [text(_LEFT, 46, upright, "m", "start"), text(_LEFT, 62, level, "m", "start")]
    parts += [*_scale(axis, bottom), text(16, bottom + 42, found.sentence, "v", "start")]
    largest = f"n {found.n:,}, in the largest circle {most:,}" if cells else "n 0: no pair has both scores"
    parts.append(text(16, bottom + 60, largest, "m", "start"))
    told = f"{title}: {short(y.name)} against {short(x.name)}, n {found.n:,}, {found.sentence}"
    return svg(title, told, (_WIDTH, bottom + 70), "".join(parts), f"{_ends(axis)} {largest}. {_means(x, y, found)}")


def difference_chart(title: str, values: Numbers, overall: Comparison, unit: str = "task") -> str:
    """Paired differences, one per `unit`, sorted: how many go which way and how far; `overall` is the band."""
    known, _ = scores(values)
    ordered = np.sort(known)
    group = max(1, -(-len(ordered) // _DOTS))
    dots = [float(part.mean()) for part in np.split(ordered, range(group, len(ordered), group)) if len(part)]
    bounds = [bound for bound in (overall.ci_low, overall.ci_high) if bound is not None]
    reach = _reach([*dots[:1], *dots[-1:], *bounds])
    middle, bottom = _TOP + _HIGH / 2, _TOP + _HIGH

    def y(value: float) -> float:
        return middle - min(max(value / reach, -1.0), 1.0) * _HIGH / 2

    parts = []
    if len(bounds) == 2:
        high, low = y(bounds[1]), y(bounds[0])
        box = f'y="{high:.1f}" width="{_PLOT}" height="{max(low - high, 1):.1f}"'
        parts.append(f'<rect class="band" x="{_LEFT}" {box}/>')
    for value in (reach, reach / 2, 0.0, -reach / 2, -reach):
        parts.append(
            f'<line class="{_rule(int(value != 0))}" x1="{_LEFT}" x2="{_WIDTH - _RIGHT}" '
            f'y1="{y(value):.1f}" y2="{y(value):.1f}"/>'
        )
        parts.append(text(_LEFT - 7, y(value) + 4, signed(value, 1), "m", "end"))
    for place, value in enumerate(dots):
        x = _LEFT + (place + 0.5) / len(dots) * _PLOT
        parts.append(f'<circle class="dot" cx="{x:.1f}" cy="{y(value):.1f}" r="2.2"/>')
    ways = f"above 0: {int((ordered > 0).sum()):,}, equal: {int((ordered == 0).sum()):,}"
    ways += f", below 0: {int((ordered < 0).sum()):,}"
    mean = f"mean {signed(overall.delta)} {interval(_bounds(overall))}".rstrip()
    each = f"each dot {group:,} {unit}s" if group > 1 else f"each dot one {unit}"
    count = f"n {len(ordered):,} {unit}{'' if len(ordered) == 1 else 's'}"
    parts += [text(_LEFT, 46, f"{mean}, n {overall.n:,} pairs", "m", "start"), text(_LEFT, 64, ways, "m", "start")]
    parts.append(text(_LEFT, bottom + 24, f"{count}, {each}", "m", "start"))
    told = f"{title}: {mean}, n {overall.n:,} pairs; {count}; {ways}"
    ends = f"from {signed(float(ordered[0]))} to {signed(float(ordered[-1]))}" if len(ordered) else "nothing to show"
    axis = f"Axis from {signed(-reach, 1)} to {signed(reach, 1)}, labels {signed(-reach / 2, 1)}, 0 and"
    numbers = f"{axis} {signed(reach / 2, 1)} between; {each}; {ends}."
    return svg(title, told, (_WIDTH, bottom + _BOTTOM), "".join(parts), numbers)


@dataclass(frozen=True, slots=True)
class _Distribution:
    """A series counted in bins."""

    name: str
    counts: npt.NDArray[np.int64]
    n: int
    missing: int
    mean: float | None

    @classmethod
    def of(cls, series: Series, axis: Axis) -> _Distribution:
        known, missing = scores(series.values)
        mean = float(known.mean()) if len(known) else None
        return cls(series.name, binned(known, axis.edges()), len(known), missing, mean)

    @property
    def shares(self) -> Floats:
        return np.asarray(self.counts / max(self.n, 1), dtype=np.float64)

    def legend(self, most: int = 60) -> str:
        return f"{short(self.name, most)}: n {self.n:,}, mean {number(self.mean)}"

    @property
    def left_out(self) -> str:
        return f", {self.missing:,} without a score" if self.missing else ""


def _told_bins(axis: Axis, shown: Sequence[_Distribution], top: float) -> str:
    edges = axis.edges()
    middles = [number(middle, 0 if axis.whole else 2) for middle in ((edges[:-1] + edges[1:]) / 2).tolist()]
    lines = [f"{_ends(axis)} Shares up to {share(top)}, lines at {', '.join(share(top * n / 4) for n in range(4))}."]
    for one in shown:
        held = [
            f"{middle}: {count:,} ({share(part)})"
            for middle, count, part in zip(middles, one.counts.tolist(), one.shares.tolist(), strict=True)
            if count
        ]
        lines.append(f"{short(one.name)} by score: {', '.join(held) or 'no score'}.")
    return " ".join(lines)


def _cells(axis: Axis, found: Correlated) -> list[tuple[float, float, int]]:
    """(pixels across, pixels up, pairs) of each cell that holds pairs, at the mean of its pairs."""
    if not found.n:
        return []
    side = _CELLS if not axis.whole else int(axis.high - axis.low) * max(1, round(_CELLS / (axis.high - axis.low)))
    x, y = (np.clip((v - axis.low) / (axis.high - axis.low), 0.0, 1.0) for v in (found.x, found.y))
    column, row = (np.rint(v * side).astype(np.int64) for v in (x, y))
    cell = column * (side + 1) + row
    counts = np.bincount(cell, minlength=(side + 1) ** 2)
    held = np.flatnonzero(counts)
    across, up = (np.bincount(cell, weights=v, minlength=len(counts))[held] / counts[held] * _PLOT for v in (x, y))
    return list(zip(across.tolist(), up.tolist(), counts[held].tolist(), strict=True))


def _means(x: Series, y: Series, found: Correlated) -> str:
    if not found.n:
        return ""
    means = (f"mean of {short(series.name)} {number(float(v.mean()))}" for series, v in ((x, found.x), (y, found.y)))
    return f"{'; '.join(means)}."


def _scale(axis: Axis, bottom: float, bins: bool = False) -> list[str]:
    """The labels under an axis; over bins the ends stand under the middle of the outer bins."""
    edges = axis.edges()
    low, high = (float(edges[0]), float(edges[-1])) if bins else (axis.low, axis.high)
    return [
        text(_LEFT + (value - low) / (high - low) * _PLOT, bottom + 20, axis.label(value), "m")
        for value in axis.ticks()
    ]


def _ends(axis: Axis) -> str:
    return f"{short(axis.name)}: axis with labels at {', '.join(axis.label(value) for value in axis.ticks())}."


def _on(axis: Axis, value: float) -> float:
    return (value - axis.low) / (axis.high - axis.low) * _PLOT


def _bounds(overall: Comparison) -> dict[str, float | None]:
    return {"ci_low": overall.ci_low, "ci_high": overall.ci_high}


def _share_end(highest: float) -> float:
    return next((end for end in (0.04, 0.1, 0.2, 0.4, 0.6, 0.8) if highest <= end), 1.0)


def _reach(values: Sequence[float]) -> float:
    """The end of an axis around 0 that holds `values`: a round number."""
    highest = max((abs(value) for value in values), default=1.0)
    step = 10.0 ** np.ceil(np.log10(max(highest, 1.0)))
    return float(next(step * part for part in (0.2, 0.4, 0.6, 1.0) if highest <= step * part * 1.000001))


def _rule(place: int) -> str:
    return "grid" if place else "axis"
