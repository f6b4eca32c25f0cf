"""What the pages of people who take part in a study share, whether they rate or play: links, ids, cookies."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import TypeVar

from starlette.requests import Request
from starlette.responses import Response

from sotopia_pi.errors import ConfigError
from sotopia_pi.store import Store
from sotopia_pi.studies.identity import participant_of
from sotopia_pi.web.guard import ANNOTATOR, KEPT, VISITOR, cookie
from sotopia_pi.web.places import Place
from sotopia_pi.web.site import form, missing, refused, site

_T = TypeVar("_T")
#: The field of a form that hands the participant's id on.
FIELD = "participant"


def linked(request: Request, find: Callable[[Store, str], _T | None], what: str) -> tuple[Place, _T]:
    """What the link in the path leads to, a study or an invitation, and the run it is in; 404 when it is none."""
    link = request.path_params["link"]
    for place in site(request).places.values():
        if (found := find(place.store, link)) is not None:
            return place, found
    missing(f"This link leads to no {what}; check that you have the whole address.")


def arrived(request: Request, of: Callable[[Mapping[str, str]], str]) -> tuple[str, str | None]:
    """The platform's participant id in the address, and what is wrong where a placeholder stands for it."""
    try:
        return of(request.query_params), None
    except ConfigError as error:
        return "", str(error)


def participant(request: Request, names: Sequence[str]) -> str:
    """The platform's participant id in a form; empty where there is none, refused where a placeholder stands for it."""
    try:
        return participant_of((FIELD, *names), {FIELD: form(request).get(FIELD, "")})
    except ConfigError as error:
        refused(str(error), 403)


def browser(request: Request) -> str:
    """A secret of the visitor's browser, by which somebody without an id is known again."""
    return str(request.state.cookies.get(VISITOR, ""))


def keep_place(request: Request, answer: Response, session: str, value: str, path: str) -> Response:
    """Lets the browser keep its place under `path`, and keeps it out of the owner's pages."""
    answer.headers.append("set-cookie", cookie(request, session, value, path, KEPT))
    answer.headers.append("set-cookie", cookie(request, ANNOTATOR, "1"))
    return answer
