"""The list of a run's episodes by filters, and the same list as a file."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

import numpy as np
from starlette.requests import Request
from starlette.responses import RedirectResponse, Response, StreamingResponse
from starlette.routing import Route

from sotopia_pi.spreadsheets import line
from sotopia_pi.web.filters import parse
from sotopia_pi.web.listing import Listing, listing
from sotopia_pi.web.places import Place
from sotopia_pi.web.rendering import page
from sotopia_pi.web.shown import pager
from sotopia_pi.web.site import missing, place, site
from sotopia_pi.web.snapshot import Snapshot

_BATCH = 200


def episodes(request: Request) -> Response:
    """The episodes that the filters find."""
    here = place(request)
    path = f"/run/{here.name}/episodes"
    address = parse(request.query_params)[0].link(path)
    live = "hx-request" in request.headers
    if not live and any(not value.strip() for value in request.query_params.values()):
        return RedirectResponse(
            address, status_code=303
        )  # a form sent all its fields; the shared link has no empty ones
    found = listing(site(request), here.name, request.query_params)
    snapshot, filters = found.snapshot, found.filters
    rater, dimension = _scores(found)
    answer = page(
        request,
        "episodes.html.j2",
        place=here,
        tab="episodes",
        list=found,
        filters=filters,
        rows=[_row(found, int(at), here.name, rater, dimension) for at in found.shown()],
        rater=rater,
        dimension=dimension,
        choices=_choices(snapshot),
        pager=pager(path, filters, found.page, found.pages),
        csv=filters.link(f"{path}.csv", page=1),
        jsonl=filters.link(f"{path}.jsonl", page=1),
    )
    if live:
        answer.headers["hx-push-url"] = address
    return answer


def _scores(found: Listing) -> tuple[str, str]:
    """The rater and the dimension that the list shows."""
    filters, snapshot = found.filters, found.snapshot
    rater = filters.rater or next(iter(snapshot.raters()), "")
    return rater, filters.dimension or next(iter(snapshot.dimensions(rater)), "")


def _choices(snapshot: Snapshot) -> dict[str, list[str]]:
    dimensions = dict.fromkeys(name for rater in snapshot.raters() for name in snapshot.dimensions(rater))
    roles = range(int(snapshot.column("role").max(initial=1)) + 1)
    return {
        "policy": snapshot.policies(),
        "role": [str(role) for role in roles],
        "stage": sorted(snapshot.names("stage")),
        "group": sorted(snapshot.names("group")),
        "kind": sorted(snapshot.names("kind")),
        "rater": snapshot.raters(),
        "dimension": list(dimensions),
        "stop": sorted(snapshot.names("stop_reason")),
    }


def _row(found: Listing, at: int, name: str, rater: str, dimension: str) -> dict[str, Any]:
    snapshot, filters = found.snapshot, found.filters
    first = int(snapshot.first[at])
    last = int(snapshot.first[at + 1]) if at + 1 < snapshot.episodes else len(snapshot)

    def text(column: str, row: int) -> str:
        labels = snapshot.labels(column)
        return labels.names[int(labels.codes[row])]

    scores = snapshot.score(rater, dimension)[first:last]
    unrated = snapshot.rating_failed(rater)[first:last]
    situation = snapshot.tasks.situations[int(snapshot.labels("task").codes[first])]
    key = snapshot.keys[at]
    return {
        "key": key,
        "link": filters.link(f"/run/{name}/episodes/{key}", page=1),
        "stage": text("stage", first),
        "kind": text("kind", first),
        "situation": situation,
        "players": [text("player", row) for row in range(first, last)],
        "scores": [None if np.isnan(score) else float(score) for score in scores],
        "unrated": unrated.tolist(),
        "turns": int(snapshot.column("turns")[first]),
        "invalid": int(snapshot.column("invalid")[first:last].sum()),
        "ended": text("stop_reason", first) or "failed",
        "failure": text("failure", first),
        "human": bool(snapshot.column("human")[first]),
    }


def download(request: Request) -> Response:
    """The list as a file: roles as CSV, or whole episodes with their ratings as JSON lines."""
    here, form = place(request), request.path_params["form"]
    if form not in ("csv", "jsonl"):
        missing("Lists are downloaded as .csv or .jsonl.")
    found = listing(site(request), here.name, request.query_params)
    lines = _csv(found) if form == "csv" else _jsonl(here, found)
    kind = "text/csv; charset=utf-8" if form == "csv" else "application/x-ndjson"
    headers = {"content-disposition": f'attachment; filename="{here.name}-episodes.{form}"'}
    return StreamingResponse(lines, media_type=kind, headers=headers)


_TEXTS = ("task", "scenario", "kind", "group", "stage", "player", "partner", "stop_reason", "failure")
_NUMBERS = ("role", "repeat", "turns", "actions", "invalid", "words", "seconds", "failed", "human")


def _csv(found: Listing) -> Iterator[str]:
    """A line per role that the filters found, in the order of the list."""
    snapshot = found.snapshot
    rank = np.full(snapshot.episodes, -1, dtype=np.intp)
    rank[found.order] = np.arange(len(found.order))
    rows = found.rows[np.argsort(rank[snapshot.column("episode")[found.rows]], kind="stable")]
    scored = [(rater, dimension) for rater in snapshot.raters() for dimension in snapshot.dimensions(rater)]
    head = ["episode", *_TEXTS, *_NUMBERS, *(f"{rater} {dimension}" for rater, dimension in scored)]
    yield line(head)
    for start in range(0, len(rows), _BATCH):
        part = rows[start : start + _BATCH]
        columns: list[list[Any]] = [[snapshot.key(int(row)) for row in part]]
        for name in _TEXTS:
            labels = snapshot.labels(name)
            columns.append([labels.names[code] for code in labels.codes[part]])
        columns += [snapshot.column(name)[part].tolist() for name in _NUMBERS]
        for rater, dimension in scored:
            columns.append(
                ["" if np.isnan(value) else float(value) for value in snapshot.score(rater, dimension)[part]]
            )
        yield "".join(line(cells) for cells in zip(*columns, strict=True))


def _jsonl(here: Place, found: Listing) -> Iterator[str]:
    """An episode per line with all its ratings, in the order of the list."""
    keys = [found.snapshot.keys[at] for at in found.order.tolist()]
    for start in range(0, len(keys), _BATCH):
        part = keys[start : start + _BATCH]
        stored = {episode.key: episode for episode in here.store.episodes(keys=part)}
        for key in part:
            if key in stored:
                ratings = [rating.model_dump(mode="json") for rating in here.store.ratings(episode=key)]
                record = {**stored[key].model_dump(mode="json"), "ratings": ratings}
                yield json.dumps(record, ensure_ascii=False) + "\n"


ROUTES = [
    Route("/run/{place}/episodes", episodes),
    Route("/run/{place}/episodes.{form}", download),
]
