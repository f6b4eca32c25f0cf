"""The page on two raters of the same roles: a judge against the verifier or against people."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
from markupsafe import Markup
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from sotopia_pi.evaluation import plots
from sotopia_pi.evaluation.correlations import Correlated, correlated
from sotopia_pi.evaluation.statistics import paired
from sotopia_pi.ratings.verifier import VERIFIER
from sotopia_pi.web import scoring
from sotopia_pi.web.rendering import page
from sotopia_pi.web.sides import ALL, Asked, asked_of, policies, restrict
from sotopia_pi.web.site import site
from sotopia_pi.web.snapshot import Snapshot, snapshot

Mask = npt.NDArray[np.bool_]


def agreement(request: Request) -> Response:
    """How two raters scored the same roles."""
    asked = asked_of(request)
    current = snapshot(site(request), asked.home.name)
    raters = scoring.raters(current)
    x = asked.choose(request, "x", "rater across", raters, _reference(raters), scoring.shown)
    y = asked.choose_other(request, "y", "rater up", raters, x, _judge(raters, x), scoring.shown)
    common = {"place": asked.home, "tab": "compare", "asked": asked}
    if not (x and y):
        return page(request, "agreement.html.j2", **common, found=None, reference=VERIFIER)
    both = [name for name in scoring.dimensions(current, x) if name in scoring.dimensions(current, y)]
    dimension = asked.choose(request, "dimension", "dimension", both, "goal", scoring.dimension_name)
    asked.choose(request, "policy", "policy", [ALL, *policies(current)], ALL)
    restrict(request, asked, [current], [])
    found = _numbers(asked, current, x, y, dimension) if dimension else None
    return page(request, "agreement.html.j2", **common, found=found, reference=VERIFIER)


ROUTES = [Route("/run/{place}/agreement", agreement)]


def _numbers(asked: Asked, current: Snapshot, x: str, y: str, dimension: str) -> dict[str, Any]:
    within = np.ones(len(current), dtype=bool)
    for column, value in {**asked.restricted, "player": asked.values["policy"]}.items():
        if value != ALL:
            within &= current.where(column, {value})
    scores = scoring.score(current, x, dimension), scoring.score(current, y, dimension)
    both = within & ~np.isnan(scores[0]) & ~np.isnan(scores[1])
    names = scoring.shown(x), scoring.shown(y)
    rows = current.rows(both)
    held = _Held(scores[0][rows], scores[1][rows], current.labels("scenario").codes[rows])
    axis = scoring.axis(dimension, asked.home.config, held.x, held.y)
    across, up = plots.Series(names[0], held.x), plots.Series(names[1], held.y)
    together = correlated(held.x, held.y)
    everybody = _row("all policies", held, together)
    by_policy = _by_policy(current, rows, held)
    return {
        "names": names,
        "verified": VERIFIER in (x, y),
        "dimension": axis.name,
        "all": everybody,
        "rows": [everybody, *by_policy] if asked.values["policy"] == ALL else by_policy or [everybody],
        "gaps": _gaps(by_policy),
        "raters": [_of_rater(current, rater, own, within, both) for rater, own in zip((x, y), scores, strict=True)],
        "figures": [
            Markup(plots.scatter(axis.name, axis, across, up, together)),
            Markup(plots.histogram(f"{axis.name}, roles that both rated", axis, across, up)),
        ],
    }


@dataclass(frozen=True, slots=True, eq=False)
class _Held:
    """The roles that both raters scored: the scores of either and the scenario's code."""

    x: npt.NDArray[np.float64]
    y: npt.NDArray[np.float64]
    scenario: npt.NDArray[np.int32]


def _by_policy(current: Snapshot, rows: npt.NDArray[np.intp], held: _Held) -> list[dict[str, Any]]:
    """One entry per policy that has such a role."""
    player = current.labels("player")
    codes = player.codes[rows]
    order = np.argsort(codes, kind="stable")
    ends = np.cumsum(np.bincount(codes, minlength=len(player.names)))
    found = []
    for policy in policies(current):
        code = player.names.index(policy)
        at = order[ends[code - 1] if code else 0 : ends[code]]
        if len(at):
            own = _Held(held.x[at], held.y[at], held.scenario[at])
            found.append(_row(policy, own, correlated(own.x, own.y)))
    return found


def _row(name: str, held: _Held, found: Correlated) -> dict[str, Any]:
    """One policy's numbers; the difference is y minus x."""
    gap = paired(held.y, held.x, held.scenario)
    means = [float(values.mean()) if len(values) else None for values in (held.x, held.y)]
    together = {"pearson": found.pearson, "spearman": found.spearman, "why": found.why}
    return {"policy": name, "means": means, **asdict(gap), **together}


def _of_rater(
    current: Snapshot, rater: str, scores: npt.NDArray[np.float64], within: Mask, both: Mask
) -> dict[str, Any]:
    """What a rater did with the roles asked for: scored with or without the other, failed, or never asked."""
    given = within & ~np.isnan(scores)
    refused = within & ~given & scoring.failed(current, rater)
    lost = within & ~given & ~refused & np.asarray(current.column("failed"), dtype=bool)
    n = {"roles": within, "n": given, "alone": given & ~both, "rating_failed": refused, "episode_failed": lost}
    counts = {name: int(np.count_nonzero(mask)) for name, mask in n.items()}
    rest = counts["roles"] - counts["n"] - counts["rating_failed"] - counts["episode_failed"]
    return {"name": scoring.shown(rater), **counts, "unrated": rest}


def _gaps(rows: Sequence[dict[str, Any]]) -> tuple[dict[str, Any], dict[str, Any]] | None:
    """The policies with the smallest and the largest gap; None where there is nothing to compare."""
    known = [row for row in rows if row["delta"] is not None and row["n_clusters"] > 1]
    if len(known) < 2:
        return None
    return min(known, key=lambda row: row["delta"]), max(known, key=lambda row: row["delta"])


def _reference(raters: Sequence[str]) -> str:
    """The verifier, else people, else whoever comes first: what a judge is held against."""
    people = next((name for name in raters if name.startswith(scoring.PEOPLE)), "")
    return VERIFIER if VERIFIER in raters else people


def _judge(raters: Sequence[str], than: str) -> str:
    return next((name for name in raters if name.startswith("judge") and name != than), "")
