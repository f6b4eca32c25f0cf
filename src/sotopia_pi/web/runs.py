"""Which runs there are, and one run at a glance: the figures of its report, its rounds and what is stored."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

import numpy as np
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from sotopia_pi.evaluation import report, wording
from sotopia_pi.pipeline.reporting import round_facts
from sotopia_pi.rundir import DATABASE
from sotopia_pi.web.conditions import conditions
from sotopia_pi.web.filters import Filters
from sotopia_pi.web.places import Place
from sotopia_pi.web.rendering import page
from sotopia_pi.web.site import Site, place, site
from sotopia_pi.web.snapshot import Snapshot, snapshot

Rows = list[dict[str, Any]]
_Computed = tuple[Snapshot, dict[str, Rows], Rows]


def home(request: Request) -> Response:
    """All open runs."""
    shown = site(request)
    return page(request, "runs.html.j2", runs=[_summary(shown, name) for name in shown.places])


def overview(request: Request) -> Response:
    """One run."""
    here, found = place(request), snapshot(site(request), place(request).name)
    figures = figures_of(site(request), here.name)
    stages = here.store.stages()
    rounds = [round_facts(item, stages) for item in here.config.rounds] if here.config else []
    curves = {
        name.removeprefix("train/"): facts["curve"]
        for name, facts in stages.items()
        if name.startswith("train/") and facts.get("curve")
    }
    return page(
        request,
        "run.html.j2",
        place=here,
        tab="run",
        summary=_summary(site(request), here.name),
        found=found,
        settings=report.settings(figures["evaluations"], figures["comparisons"]),
        figures=figures,
        rounds=rounds,
        loss_figures=report.loss_figures(curves),
        stored=_computed(site(request), here.name)[2],
        finished=list(stages),
    )


def figures_of(shown: Site, name: str) -> dict[str, list[dict[str, Any]]]:
    """What `conditions` makes of a place."""
    return _computed(shown, name)[1]


def _computed(shown: Site, name: str) -> _Computed:
    """The figures and the table of stages of a place, computed once per snapshot."""
    found, kept = snapshot(shown, name), shown.state.get(f"figures/{name}")
    if isinstance(kept, tuple) and kept[0] is found:
        return kept
    here = shown.places[name]
    rounds = here.config.rounds if here.config else ()
    parents = {item.name: item.parent for item in rounds}
    made = found, conditions(found, [item.name for item in rounds], parents), _stored(here, found)
    shown.state[f"figures/{name}"] = made
    return made


def _summary(shown: Site, name: str) -> dict[str, Any]:
    """A run in a few words and numbers."""
    here, found, figures = shown.places[name], snapshot(shown, name), figures_of(shown, name)
    written = here.report()
    said = written.get("headline") if written else None
    told = said if isinstance(said, list) and all(isinstance(line, str) for line in said) else None
    return {
        "place": here,
        "rounds": [(item.name, item.method, item.update) for item in here.config.rounds] if here.config else [],
        "policies": found.policies(),
        "episodes": found.episodes,
        "failed": int(np.count_nonzero(found.column("failed")[found.first])),
        "tasks": len(found.tasks.ids),
        "raters": found.raters(),
        "when": _when(here),
        "headline": told or wording.headline(figures["evaluations"], figures["comparisons"]),
        "reported": wording.moment(str(written.get("created", ""))) if written else "",
    }


def _when(here: Place) -> str:
    """When the run's database last changed, as people write it; empty where that is not known."""
    if here.folder is None:
        return ""
    try:
        changed = (here.folder / DATABASE).stat().st_mtime
    except OSError:
        return ""
    return wording.moment(datetime.fromtimestamp(changed, UTC).isoformat(timespec="seconds"))


def _stored(here: Place, found: Snapshot) -> list[dict[str, Any]]:
    """Every stage that has episodes: who played, how many, how many failed, by whom they are rated, with links."""
    stage, player, first = found.labels("stage"), found.labels("player"), found.first
    failed = found.column("failed")
    rows = []
    for code in sorted(range(len(stage.names)), key=lambda code: stage.names[code]):
        own = stage.codes == code
        name, at = stage.names[code], first[own[first]]
        path = f"/run/{here.name}/episodes"
        rows.append(
            {
                "stage": name,
                "players": [player.names[n] for n in np.unique(player.codes[own])],
                "episodes": len(at),
                "failed": int(np.count_nonzero(failed[at])),
                "raters": [rater for rater in found.raters() if _rated(found, rater, own)],
                "link": Filters(stage=name).link(path),
                "failures": Filters(stage=name, failed="episode").link(path),
            }
        )
    return rows


def _rated(found: Snapshot, rater: str, own: Any) -> bool:
    given = any(bool((~np.isnan(found.score(rater, name)[own])).any()) for name in found.dimensions(rater)[:1])
    return given or bool(found.rating_failed(rater)[own].any())


ROUTES = [Route("/", home), Route("/run/{place}", overview)]
