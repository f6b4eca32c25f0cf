"""Whose scores a page shows, over one snapshot: raters, and all people of a study together as one rater.

A person who rates is a rater of its own, `human:STUDY/NAME`; `human:STUDY` stands for the mean of everybody who rated
in a study, and `human` for that of everybody.
"""

from __future__ import annotations

import math

import numpy as np
import numpy.typing as npt

from sotopia_pi.config import Config
from sotopia_pi.evaluation.drawing import Axis
from sotopia_pi.ratings.records import DIMENSIONS
from sotopia_pi.web.snapshot import Snapshot

Floats = npt.NDArray[np.float64]
Mask = npt.NDArray[np.bool_]

PEOPLE = "human"
OVERALL = "overall"


def raters(snapshot: Snapshot) -> list[str]:
    """Every rater, and the groups of people where several rated: the verifier, judges, groups, single people."""
    single = snapshot.raters()
    people = [name for name in single if name.startswith(f"{PEOPLE}:")]
    groups = [PEOPLE, *dict.fromkeys(name.split("/")[0] for name in people)]
    several = [group for group in groups if group not in single and len(_members(people, group)) > 1]
    if len(several) == 2:  # one study: everybody is everybody of it
        several = several[1:]
    return [name for name in single if name not in people] + several + people


def members(snapshot: Snapshot, rater: str) -> list[str]:
    """The raters that a name stands for: itself, or everybody of a group."""
    return [rater] if rater in snapshot.raters() else _members(snapshot.raters(), rater)


def dimensions(snapshot: Snapshot, rater: str) -> list[str]:
    """What a rater or a group has scored; GOAL first."""
    return list(dict.fromkeys(name for one in members(snapshot, rater) for name in snapshot.dimensions(one)))


def score(snapshot: Snapshot, rater: str, dimension: str) -> Floats:
    """Scores by row, the mean over a group's people; NaN where nobody gave one."""
    held = members(snapshot, rater)
    if len(held) == 1:
        return snapshot.score(held[0], dimension)
    total, n = np.zeros(len(snapshot)), np.zeros(len(snapshot))
    for one in held:
        values = snapshot.score(one, dimension)
        given = ~np.isnan(values)
        total[given] += values[given]
        n += given
    return np.where(n > 0, total / np.maximum(n, 1), np.nan)


def failed(snapshot: Snapshot, rater: str) -> Mask:
    """The rows where a rater, or somebody of a group, was asked and gave no rating."""
    found = np.zeros(len(snapshot), dtype=bool)
    for one in members(snapshot, rater):
        found |= snapshot.rating_failed(one)
    return found


def shown(rater: str) -> str:
    """A rater's name as people read it."""
    if rater == PEOPLE:
        return "people (mean)"
    study = rater.partition(":")[2]
    return f"people of {study} (mean)" if rater.startswith(f"{PEOPLE}:") and "/" not in study else rater


def dimension_name(dimension: str) -> str:
    """A dimension as people read it."""
    return "GOAL" if dimension == "goal" else dimension.replace("_", " ")


def axis(dimension: str, config: Config | None, *values: Floats) -> Axis:
    """The range of a dimension: SOTOPIA's, a config's own, else what `values` span."""
    name = dimension_name(dimension)
    if dimension in DIMENSIONS:
        return Axis(name, *DIMENSIONS[dimension])
    if dimension == OVERALL:
        low, high = (sum(ends) / len(DIMENSIONS) for ends in zip(*DIMENSIONS.values(), strict=True))
        return Axis(name, low, high)
    added = config.judge.dimensions if config is not None and config.judge is not None else ()
    for own in added:
        if own.name == dimension:
            return Axis(name, own.low, own.high)
    known = np.concatenate([part[np.isfinite(part)] for part in values]) if values else np.zeros(0)
    low, high = (math.floor(known.min()), math.ceil(known.max())) if len(known) else (0, 10)
    return Axis(name, low, max(high, low + 1))


def _members(single: list[str], group: str) -> list[str]:
    start = f"{group}:" if group == PEOPLE else f"{group}/"
    return [name for name in single if name.startswith(start)] if group.startswith(PEOPLE) else []
