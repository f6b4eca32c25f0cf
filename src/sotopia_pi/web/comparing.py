"""Pages that compare two policies: paired differences over all that both played, and one task side by side."""

from __future__ import annotations

from dataclasses import asdict
from typing import Any

import numpy as np
from markupsafe import Markup
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from sotopia_pi.errors import StoreError
from sotopia_pi.evaluation import plots
from sotopia_pi.evaluation.drawing import short
from sotopia_pi.ratings.combine import combined
from sotopia_pi.web import scoring
from sotopia_pi.web.contrast import Contrast, sentence
from sotopia_pi.web.rendering import page
from sotopia_pi.web.sides import Asked, Side, asked_of, rater_and_dimension, restrict, two_sides
from sotopia_pi.web.site import missing
from sotopia_pi.world.records import SocialTask

#: Tasks that are listed in each direction.
MOST_TASKS = 10
_SITUATION = 160


def compare(request: Request) -> Response:
    """Two policies over all tasks that both played."""
    asked = asked_of(request)
    sides = two_sides(request, asked)
    found = None if sides is None else _contrast(request, asked, sides)
    numbers = {} if found is None else _numbers(asked, *found)
    common = {"place": asked.home, "tab": "compare", "asked": asked}
    return page(request, "compare.html.j2", **common, found=numbers or None)


def compare_task(request: Request) -> Response:
    """What two policies played of one task, side by side."""
    asked = asked_of(request)
    sides = two_sides(request, asked)
    if sides is None:
        missing("There are not two policies to compare: choose them on the comparison page.")
    contrast, dimension = _contrast(request, asked, sides)
    task_id = request.path_params["task"]
    slots = contrast.of_task(task_id)
    if not slots:
        missing("Neither policy has played a task of this id in this stage and group.")
    chosen = _chosen(request, slots)
    shown = [
        None if row is None else _episode(side, row, contrast.rater)
        for side, row in zip(sides, chosen["rows"], strict=True)
    ]
    task = next(one["task"] for one in shown if one is not None)
    return page(
        request, "compare_task.html.j2",
        place=asked.home, tab="compare", asked=asked, task_id=task_id, task=task, slots=slots, chosen=chosen,
        columns=list(zip(sides, shown, chosen["scores"], strict=True)), rater=contrast.rater, dimension=dimension,
        dimension_name=scoring.dimension_name, shown_rater=scoring.shown,
    )  # fmt: skip


ROUTES = [
    Route("/run/{place}/compare", compare),
    Route("/run/{place}/compare/{task}", compare_task),
]


def _contrast(request: Request, asked: Asked, sides: tuple[Side, Side]) -> tuple[Contrast, str]:
    restrict(request, asked, [side.snapshot for side in sides], sides)
    rater, dimension = rater_and_dimension(request, asked, sides)
    return Contrast.of(sides, asked.restricted, rater, dimension), dimension


def _numbers(asked: Asked, contrast: Contrast, dimension: str) -> dict[str, Any]:
    overall = contrast.overall()
    n_tasks, by_task, ahead, behind = contrast.tasks(MOST_TASKS)
    scores = (contrast.scores(0, dimension), contrast.scores(1, dimension))
    names = [side.name for side in contrast.sides]
    axis = scoring.axis(dimension, asked.home.config, *scores)
    title = f"{axis.name} by {short(scoring.shown(contrast.rater))}"
    series = [plots.Series(name, values) for name, values in zip(names, scores, strict=True)]
    minus = f"{axis.name} by task, {short(names[0], 12)} minus {short(names[1], 12)}"
    compared = list(
        dict.fromkeys(name for side in contrast.sides for name in scoring.dimensions(side.snapshot, contrast.rater))
    )
    return {
        "names": names,
        "dimension": scoring.dimension_name(dimension),
        "rater": scoring.shown(contrast.rater),
        "sentence": sentence(contrast, overall, dimension),
        "overall": asdict(overall),
        "again": contrast.pairs.again,
        "facts": [contrast.facts(side) for side in (0, 1)],
        "dimensions": [{**row, "label": scoring.dimension_name(row["name"])} for row in contrast.dimensions(compared)],
        "figures": [
            Markup(plots.histogram(title, axis, *series)),
            Markup(plots.difference_chart(minus, by_task, overall)),
        ],
        "n_tasks": n_tasks,
        "lists": [
            (f"Furthest ahead: {names[0]}", _with_situations(contrast, ahead)),
            (f"Furthest ahead: {names[1]}", _with_situations(contrast, behind)),
        ],
    }


def _with_situations(contrast: Contrast, rows: list[dict[str, Any]]) -> list[dict[str, Any]]:
    tasks = contrast.sides[0].snapshot.tasks
    kinds = tasks.kind.values()
    for row in rows:
        at = tasks.place_of[row["id"]]
        row |= {"kind": kinds[at], "situation": short(tasks.situations[at], _SITUATION)}
    return rows


def _chosen(request: Request, slots: list[dict[str, Any]]) -> dict[str, Any]:
    """The pair that the URL names, else the first that both have a score of, else the first."""
    wanted = {name: request.query_params.get(name, "") for name in ("role", "repeat", "nth")}
    for slot in slots:
        if wanted["role"] and all(not value or value == str(slot[name]) for name, value in wanted.items()):
            return slot
    return next((slot for slot in slots if slot["delta"] is not None), slots[0])


def _episode(side: Side, row: int, rater: str) -> dict[str, Any]:
    """One episode as the page shows it: the turns, and what the chosen rater and the others said of the role."""
    key = side.snapshot.key(row)
    role = int(np.asarray(side.snapshot.column("role")[row]))
    store = side.place.store
    try:
        episode = store.episode(key)
        task = store.task(episode.task_id)
    except StoreError:
        missing("This episode was removed while the page was open; go back to the comparison.")
    ratings = [by_role[role] for by_role in combined(store.ratings(episode=key)).values() if role in by_role]
    wanted = scoring.members(side.snapshot, rater)
    return {
        "task": task,
        "episode": episode,
        "role": role,
        "ratings": sorted(ratings, key=lambda rating: (rating.rater not in wanted, rating.rater)),
        "turns": _turns(task, episode.turns, role),
        "words": int(np.asarray(side.snapshot.column("words")[row])),
    }


def _turns(task: SocialTask, turns: Any, role: int) -> list[dict[str, Any]]:
    return [
        {"speaker": task.characters[turn.role].name, "action_type": turn.action.type.value,
         "text": turn.action.argument, "valid": turn.valid, "raw": turn.raw, "terms": turn.action.terms,
         "side": int(turn.role == role)}
        for turn in turns
    ]  # fmt: skip
