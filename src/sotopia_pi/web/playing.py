"""Pages on which the owner plays: choosing task, role and opponent, and the conversation (conversation.py).

What can be played with is what the run knows and what the server was started with, never a model named in a request.
"""

from __future__ import annotations

import asyncio
from collections.abc import Mapping

from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from sotopia_pi import playing
from sotopia_pi.config import PARTNER
from sotopia_pi.episodes.people import human
from sotopia_pi.errors import ConfigError, SotopiaError, StoreError
from sotopia_pi.studies.invitations import invitations, progress
from sotopia_pi.web import conversation
from sotopia_pi.web.conversation import Frame
from sotopia_pi.web.places import Place
from sotopia_pi.web.playroom import Playroom, Table, playroom
from sotopia_pi.web.rendering import page
from sotopia_pi.web.site import form, missing, origin, path_of, place, see, site
from sotopia_pi.world.records import SocialTask

#: Tasks that are offered by name; any other is reached from its own page.
OFFERED = 100


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
        invitations=[(one, *progress(here.store, one)) for one in invitations(here.store)],
        origin=origin(request),
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
    playing.check_pair(task, opponent)
    return task, opponent


def _table(request: Request) -> Table:
    """The table of the path; 404 when there is none here."""
    found = playroom(site(request)).table(place(request), request.path_params["session"])
    if found is None:
        missing("There is no such conversation; it may have ended a while ago, and is then among the episodes.")
    return found


def _frame(request: Request, table: Table) -> Frame:
    here = place(request)
    path = path_of(request, "sitting", place=here.name, session=table.id)
    onward = path_of(request, "play", place=here.name)
    return Frame(path, "place.html.j2", onward, values={"place": here, "tab": "play"})


def sitting(request: Request) -> Response:
    """The conversation as it is now."""
    table = _table(request)
    return conversation.show(request, table, _frame(request, table))


def act(request: Request) -> Response:
    """What the person does on a turn."""
    table = _table(request)
    return conversation.act(request, table, _frame(request, table))


def stop(request: Request) -> Response:
    """The person gives up."""
    table = _table(request)
    return conversation.stop(request, table, _frame(request, table))


ROUTES = [
    Route("/run/{place}/play", choose, methods=["GET"], name="play"),
    Route("/run/{place}/play", begin, methods=["POST"], name="begin_play"),
    Route("/run/{place}/play/{session}", sitting, methods=["GET"], name="sitting"),
    Route("/run/{place}/play/{session}/act", act, methods=["POST"]),
    Route("/run/{place}/play/{session}/stop", stop, methods=["POST"]),
]
