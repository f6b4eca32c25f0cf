"""Tasks: the list of a run's, and one task with what each of its roles may see."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import asdict, replace
from typing import Any

import numpy as np
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from sotopia_pi.episodes.views import view
from sotopia_pi.errors import StoreError
from sotopia_pi.web.filters import Filters, parse
from sotopia_pi.web.rendering import page
from sotopia_pi.web.shown import own_numbers, pager, relationship_words
from sotopia_pi.web.site import missing, place, site
from sotopia_pi.web.snapshot import Snapshot, snapshot
from sotopia_pi.world.records import SocialTask

PAGE = 50


def tasks(request: Request) -> Response:
    """The tasks that the filters group, kind and text find."""
    here, found = place(request), snapshot(site(request), place(request).name)
    asked, notes = parse({k: v for k, v in request.query_params.items() if k in ("group", "kind", "text", "page")})
    asked, notes = _known(asked, found, notes)
    chosen = _chosen(found, asked)
    pages = max(1, math.ceil(len(chosen) / PAGE))
    number = min(asked.page, pages)
    path = f"/run/{here.name}/tasks"
    counts = np.bincount(found.labels("task").codes[found.first], minlength=len(found.tasks.ids))
    return page(
        request,
        "tasks.html.j2",
        place=here,
        tab="tasks",
        filters=asked,
        notes=notes,
        total=len(chosen),
        groups=sorted({name for names in found.tasks.groups for name in names}),
        kinds=sorted(found.tasks.kind.names),
        rows=[_row(found, here.name, at, counts) for at in chosen[(number - 1) * PAGE : number * PAGE]],
        pager=pager(path, asked, number, pages),
    )


def _known(asked: Filters, found: Snapshot, notes: list[str]) -> tuple[Filters, list[str]]:
    groups = {name for names in found.tasks.groups for name in names}
    if asked.group and asked.group not in groups:
        notes.append("There is no such group here; this filter was left out.")
        asked = replace(asked, group="")
    if asked.kind and asked.kind not in found.tasks.kind.names:
        notes.append("There is no such kind here; this filter was left out.")
        asked = replace(asked, kind="")
    return asked, notes


def _chosen(found: Snapshot, asked: Filters) -> list[int]:
    """The places of the tasks that are asked for."""
    words, columns = asked.text.casefold().split(), found.tasks
    kind = columns.kind.names.index(asked.kind) if asked.kind else -1
    codes = columns.kind.codes.tolist()
    return [
        at
        for at in range(len(columns.ids))
        if (kind < 0 or codes[at] == kind)
        and (not asked.group or asked.group in columns.groups[at])
        and (not words or _says(f"{columns.ids[at]} {columns.situations[at]}".casefold(), words))
    ]


def _says(text: str, words: Sequence[str]) -> bool:
    return all(word in text for word in words)


def _row(found: Snapshot, name: str, at: int, counts: Any) -> dict[str, Any]:
    columns = found.tasks
    return {
        "id": columns.ids[at],
        "kind": columns.kind.names[columns.kind.codes[at]],
        "groups": columns.groups[at],
        "situation": columns.situations[at],
        "verified": bool(columns.verified[at]),
        "episodes": int(counts[at]),
        "link": f"/run/{name}/tasks/{columns.ids[at]}",
        "played": Filters(task=columns.ids[at]).link(f"/run/{name}/episodes"),
    }


def task(request: Request) -> Response:
    """One task: the people, the goals, what each role sees, and the episodes of it."""
    here, found = place(request), snapshot(site(request), place(request).name)
    try:
        shown = here.store.task(request.path_params["task"])
    except StoreError:
        missing("There is no such task in this run.")
    held = found.tasks.place_of.get(shown.id)
    return page(
        request,
        "task.html.j2",
        place=here,
        tab="tasks",
        task=shown,
        relationship=relationship_words(shown.scenario.relationship),
        groups=found.tasks.groups[held] if held is not None else (),
        roles=[_role(shown, role) for role in shown.roles],
        check=shown.scenario.check.model_dump(mode="json") if shown.scenario.check else None,
        players=_players(found, here.name, shown.id),
        played=Filters(task=shown.id).link(f"/run/{here.name}/episodes"),
    )


def _role(shown: SocialTask, role: int) -> dict[str, Any]:
    """What a role is, and what it may see: from `episodes.views`, as the player's prompt is made."""
    seen = view(shown, role, ())
    return {
        "number": role,
        "character": seen.own,
        "goal": seen.goal,
        "side": own_numbers(seen),
        "sees": [
            {k: v for k, v in asdict(other).items() if v is not None and k != "role"} | {"who": other.role}
            for other in seen.partners
        ],
        "casting": shown.scenario.casting_of(role),
    }


def _players(found: Snapshot, name: str, task: str) -> list[dict[str, Any]]:
    """Who played the task: per player how often, failures, and the mean GOAL of the first rater with its n."""
    rows = found.rows(found.where("task", [task]))
    player, made = found.labels("player"), []
    rater = next(iter(found.raters()), "")
    for code in np.unique(player.codes[rows]):
        own = rows[player.codes[rows] == code]
        scores = found.score(rater, "goal")[own]
        known = scores[~np.isnan(scores)]
        made.append(
            {
                "player": player.names[code],
                "roles": len(own),
                "failed": int(np.count_nonzero(found.column("failed")[own])),
                "n": len(known),
                "goal": float(known.mean()) if len(known) else None,
                "rater": rater,
                "link": Filters(task=task, policy=player.names[code]).link(f"/run/{name}/episodes"),
            }
        )
    return sorted(made, key=lambda row: str(row["player"]))


ROUTES = [Route("/run/{place}/tasks", tasks), Route("/run/{place}/tasks/{task}", task)]
