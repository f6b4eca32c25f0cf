"""Pages on which a person plays: choosing task, role and opponent, the conversation, and its end.

A page shows the view of the person's role and nothing else of the task. What can be played with is what the run knows
and what the server was started with, never a model named in a request.
"""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from time import monotonic
from typing import Any

from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from sotopia_pi import playing
from sotopia_pi.config import PARTNER
from sotopia_pi.episodes.briefing import briefing, called, told
from sotopia_pi.episodes.people import STOPPED, human, typed
from sotopia_pi.episodes.records import ActionError, ActionType, Episode
from sotopia_pi.errors import ConfigError, SotopiaError, StoreError
from sotopia_pi.ratings.verifier import VERIFIER
from sotopia_pi.web.places import Place
from sotopia_pi.web.playroom import Playroom, Table, playroom
from sotopia_pi.web.rendering import page
from sotopia_pi.web.site import form, missing, place, see, site
from sotopia_pi.world.records import SocialTask

#: What a person can do, as the form names it.
KINDS = {
    ActionType.SPEAK: "say it",
    ActionType.NON_VERBAL: "show it without words",
    ActionType.ACT: "do it",
    ActionType.NONE: "do nothing this turn",
    ActionType.LEAVE: "leave, which ends the conversation",
}
ENDS = {"left": "Somebody left.", "stale": "Nobody did anything for three turns.", "limit": "There are no more turns."}
#: Tasks that are offered by name; any other is reached from its own page.
OFFERED = 100
#: Seconds that an answer to a form waits for the model, so that quick models need no second page.
PATIENCE = 1.0
_LOOK = 0.05


def choose(request: Request) -> Response:
    """The page on which a sitting is chosen; `?group=NAME`, `?task=ID&role=N` choose beforehand."""
    return _choosing(request, dict(request.query_params))


def _choosing(request: Request, chosen: Mapping[str, str], fault: str | None = None) -> Response:
    here, room = place(request), playroom(site(request))
    values = {"task": "", "role": "0", "opponent": PARTNER, "name": "me", **chosen}
    groups = here.store.task_groups()
    usual = playing.HELD_OUT if playing.HELD_OUT in groups else next(iter(groups), None)
    group = values.get("group") or usual
    if group is not None and group not in groups:
        missing("This run has no group of tasks of this name.")
    ids = here.store.task_ids(group)[:OFFERED] if group else []
    offered = list(here.store.tasks_with(ids).values())
    if values["task"] and values["task"] not in ids:
        offered.insert(0, _task(here, values["task"]))
    answer = page(
        request,
        "play_choose.html.j2",
        place=here,
        tab="play",
        group=group,
        groups=groups,
        tasks=[(task.id, f"{task.scenario.kind}: {_short(task.scenario.situation)}") for task in offered],
        opponents=room.opponents(here, tuple(site(request).opponents)),
        chosen=values,
        fault=fault,
        busy=room.playing,
        most=room.most,
    )
    answer.status_code = 400 if fault else 200
    return answer


def _short(text: str) -> str:
    return text if len(text) <= 90 else f"{text[:89]}…"


def _task(here: Place, id: str) -> SocialTask:
    """The task of this id; 404 when the run has none."""
    try:
        return here.store.task(id)
    except StoreError:
        missing("This run has no task of this id.")


async def begin(request: Request) -> Response:
    """Begins the sitting that the form describes."""
    here, room, given = place(request), playroom(site(request)), form(request)
    try:
        task, opponent = await asyncio.to_thread(_wanted, here, room, given, tuple(site(request).opponents))
        table = await room.seat(here, task, int(given["role"]), given.get("name", ""), opponent)
    except SotopiaError as error:
        kept = {key: given[key] for key in ("task", "group", "role", "opponent", "name") if key in given}
        return await asyncio.to_thread(_choosing, request, kept, str(error))
    return see(request, "sitting", place=here.name, session=table.id)


def _wanted(
    here: Place, room: Playroom, given: Mapping[str, str], specs: tuple[str, ...]
) -> tuple[SocialTask, playing.Opponent]:
    """The task and opponent of a form, checked with its role and name."""
    human(given.get("name", ""))
    name = given.get("opponent", "")
    if name not in room.opponents(here, specs):
        raise ConfigError("Nobody of this name can be played with here; choose one of the list.")
    opponent = playing.opponent(room.run(here), name)
    id = given.get("task", "")
    task = _task(here, id) if id else playing.draw_task(room.run(here), given.get("group") or None, opponent, None)
    if given.get("role", "") not in [str(role) for role in task.roles]:
        raise ConfigError("This task has no such role; choose one of the list.")
    if opponent.scripted and not task.scenario.verified:
        raise ConfigError(f"{opponent.name} is a script and cannot play a task without a check; choose a model.")
    return task, opponent


def _table(request: Request) -> Table:
    """The table of the path; 404 when there is none here."""
    found = playroom(site(request)).table(place(request), request.path_params["session"])
    if found is None:
        missing("There is no such conversation; it may have ended a while ago, and is then among the episodes.")
    return found


def sitting(request: Request) -> Response:
    """The conversation as it is now; to htmx only the part that changes."""
    return _show(request, _table(request))


def act(request: Request) -> Response:
    """What the person does on a turn."""
    table, given = _table(request), form(request)
    kind = next((kind for kind in KINDS if kind.value == given.get("kind")), None)
    words, fault = given.get("words", ""), None
    try:
        if kind is None:
            raise ActionError("Choose what you do with the words.")
        action = typed(kind, words)
    except ActionError as error:
        return _show(request, table, str(error), words)
    turn, there = given.get("turn", ""), table.sitting
    if there is None or not turn.isdecimal() or not there.act(action, int(turn[:6])):
        fault = "This was not sent: it is not your turn, or the turn was answered already."
        return _show(request, table, fault, words)
    return _answer(request, table)


def stop(request: Request) -> Response:
    """The person gives up."""
    table = _table(request)
    table.stop(STOPPED)
    return _answer(request, table)


def _answer(request: Request, table: Table) -> Response:
    """After a form: the conversation itself to htmx, to other browsers a page that may be reloaded."""
    until = monotonic() + PATIENCE
    while table.running and (seen := table.sight) and not table.asked and (left := until - monotonic()) > 0:
        table.wait(seen, min(left, _LOOK))
    if "hx-request" in request.headers:
        return _show(request, table)
    return see(request, "sitting", place=table.place, session=table.id)


def _show(request: Request, table: Table, fault: str | None = None, words: str = "") -> Response:
    seen = table.view
    partial = "hx-request" in request.headers
    episode = table.episode
    answer = page(
        request,
        "play_now.html.j2" if partial else "play.html.j2",
        place=place(request),
        tab="play",
        table=table,
        view=seen,
        parts=briefing(seen),
        said=[(event.role == seen.role, called(seen, event.role), *told(event)) for event in seen.history],
        asked=table.asked,
        loading=table.sight is None,
        waiting=table.running and not table.asked,
        kinds=[(kind.value, label) for kind, label in KINDS.items()],
        fault=fault,
        words=words,
        partial=partial,
        end=None if episode is None else _end(table, episode),
    )
    answer.status_code = 400 if fault and not partial else 200  # htmx shows only what succeeded
    return answer


def _end(table: Table, episode: Episode) -> dict[str, Any]:
    """How it ended, and the scores; what a rater says of the other role is left to the episode's own page."""
    why = ENDS[episode.stop_reason] if episode.stop_reason else _failed(episode.failure or "")
    rows = []
    for rating in table.ratings:
        own = rating.role == table.role
        scores = ", ".join(f"{name.replace('_', ' ')} {score:g}" for name, score in rating.scores.items())
        reason = rating.reasons.get("goal", "") if own and rating.rater == VERIFIER else ""
        rows.append(("You" if own else "The other", rating.rater, scores or f"not rated, {rating.failure}", reason))
    return {"why": why, "rows": rows, "key": episode.key, "completed": episode.completed}


def _failed(cause: str) -> str:
    return "You stopped." if cause == STOPPED else f"It failed: {cause.rstrip('.')}."


ROUTES = [
    Route("/run/{place}/play", choose, methods=["GET"], name="play"),
    Route("/run/{place}/play", begin, methods=["POST"], name="begin_play"),
    Route("/run/{place}/play/{session}", sitting, methods=["GET"], name="sitting"),
    Route("/run/{place}/play/{session}/act", act, methods=["POST"]),
    Route("/run/{place}/play/{session}/stop", stop, methods=["POST"]),
]
