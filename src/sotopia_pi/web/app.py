"""The application: pages, and the guard before them."""

from __future__ import annotations

import contextlib
import logging
from collections.abc import AsyncIterator, Collection
from http import HTTPStatus

from starlette.applications import Starlette
from starlette.exceptions import HTTPException
from starlette.middleware import Middleware
from starlette.requests import Request
from starlette.responses import PlainTextResponse, Response
from starlette.routing import Route

from sotopia_pi.errors import SotopiaError, StoreError
from sotopia_pi.web import (
    agreeing,
    assets,
    comparing,
    episode,
    episodes,
    invited,
    playing,
    rating,
    reading,
    runs,
    studying,
    tasks,
)
from sotopia_pi.web.guard import PARTICIPANTS, Guard
from sotopia_pi.web.rendering import fault, page
from sotopia_pi.web.site import Site


def application(site: Site, hosts: Collection[str] = ()) -> Starlette:
    """The application over a site. `hosts` are the names under which it may be asked for; empty for any."""
    reading.prepare(site)
    app = Starlette(
        routes=[
            Route("/health", _health),
            Route("/login", _login, methods=["GET"]),
            *assets.ROUTES,
            *runs.ROUTES,
            *tasks.ROUTES,
            *episodes.ROUTES,
            *episode.ROUTES,
            *comparing.ROUTES,
            *agreeing.ROUTES,
            *playing.ROUTES,
            *invited.ROUTES,
            *rating.ROUTES,
            *studying.ROUTES,
        ],
        middleware=[Middleware(Guard, token=site.token, hosts=hosts)],
        exception_handlers={HTTPException: _http_error, SotopiaError: _our_error},
        lifespan=_lifespan,
    )
    app.state.site = site
    return app


@contextlib.asynccontextmanager
async def _lifespan(app: Starlette) -> AsyncIterator[None]:
    site: Site = app.state.site
    for begin in site.on_start:
        await begin()
    try:
        yield
    finally:
        for end in site.on_stop:
            await end()


def _health(_: Request) -> Response:
    return PlainTextResponse("ok")


def _login(request: Request) -> Response:
    return page(request, "login.html.j2")


def _http_error(request: Request, error: Exception) -> Response:
    assert isinstance(error, HTTPException)
    said = error.detail
    if said == HTTPStatus(error.status_code).phrase:  # Starlette's own, such as for a path that no route has
        said = "There is no such page." if error.status_code == 404 else f"{said}."
    return fault(request, error.status_code, said)


def _our_error(request: Request, error: Exception) -> Response:
    if request.scope["path"].startswith(PARTICIPANTS):  # our own sentences may name files and models of the owner's
        logging.getLogger(__name__).warning("%s", error)
        said = "This cannot be read or stored now. Go back and try again in some minutes; what was saved is kept."
        return fault(request, 503, said)
    return fault(request, 503 if isinstance(error, StoreError) else 400, str(error))
