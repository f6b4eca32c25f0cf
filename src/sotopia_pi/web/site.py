"""What the handlers of every page share: the site they belong to, the place and the form of a request."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass, field
from threading import Lock
from typing import NoReturn, TypeVar, cast

from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import RedirectResponse

from sotopia_pi.web.places import Place

Kept = TypeVar("Kept")
_MAKING = Lock()


@dataclass(frozen=True, slots=True, eq=False)
class Site:
    """The open application.

    `token` is what owners must give, None where everybody who can connect is the owner. `opponents` are model specs
    that may be played with besides those a run knows. Page modules add to `on_start` and `on_stop` what is to be
    done on the server's loop; `state` holds what they keep between requests, under a name of their own.
    """

    places: Mapping[str, Place]
    token: str | None = None
    opponents: Sequence[str] = ()
    on_start: list[Callable[[], Awaitable[None]]] = field(default_factory=list)
    on_stop: list[Callable[[], Awaitable[None]]] = field(default_factory=list)
    state: dict[str, object] = field(default_factory=dict)

    def once(self, name: str, make: Callable[[], Kept]) -> Kept:
        """What `state` keeps under a name, made when somebody first asks for it; threads get the same one."""
        with _MAKING:
            if name not in self.state:
                self.state[name] = make()
            return cast(Kept, self.state[name])


def site(request: Request) -> Site:
    """The site that a request came to."""
    return cast(Site, request.app.state.site)


def place(request: Request) -> Place:
    """The place that the path of a request names; 404 if there is none."""
    name = request.path_params["place"]
    found = site(request).places.get(name)
    if found is None:
        missing("No run of this name is open here.")
    return found


def form(request: Request) -> Mapping[str, str]:
    """The fields of a posted form, each name's last value; the guard has read them and checked where they come from."""
    return cast(Mapping[str, str], request.state.form)


def missing(sentence: str) -> NoReturn:
    """Answers with a 404 page that says `sentence`."""
    raise HTTPException(404, sentence)


def refused(sentence: str, status: int = 400) -> NoReturn:
    """Answers with a page that says why nothing was done."""
    raise HTTPException(status, sentence)


def path_of(request: Request, route: str, **parameters: str) -> str:
    """The path of a page, by the name of its route."""
    return str(request.app.url_path_for(route, **parameters))


def origin(request: Request) -> str:
    """How the visitor's browser reaches this server, for links to send on; the guard has checked the host."""
    scheme = "https" if request.scope["scheme"] == "https" else "http"
    return f"{scheme}://{request.headers['host']}"


def see(request: Request, route: str, **parameters: str) -> RedirectResponse:
    """Sends the browser to another page after a form was accepted (303)."""
    return RedirectResponse(path_of(request, route, **parameters), status_code=303)
