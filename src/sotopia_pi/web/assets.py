"""The application's own files: style and scripts, read once, served from memory under names that change with them."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from importlib.resources import files

from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from sotopia_pi.evaluation.theme import shared_css
from sotopia_pi.web.site import missing

_TYPES = {"css": "text/css; charset=utf-8", "js": "text/javascript; charset=utf-8"}
#: A file's name holds its hash, so a browser may keep it for a year.
_KEEP = "public, max-age=31536000, immutable"


@dataclass(frozen=True, slots=True)
class Asset:
    """A file in memory."""

    content: bytes
    digest: str
    kind: str


@cache
def assets() -> Mapping[str, Asset]:
    """Every file that may be asked for, by name."""
    static = files("sotopia_pi.web") / "static"
    texts = {name: (static / name).read_text(encoding="utf-8") for name in ("app.css", "app.js", "htmx.min.js")}
    texts["theme.css"] = shared_css()
    return {name: _asset(name, text.encode()) for name, text in texts.items()}


def asset(name: str) -> str:
    """The path of a file."""
    return f"/static/{assets()[name].digest}/{name}"


def _asset(name: str, content: bytes) -> Asset:
    return Asset(content, hashlib.sha256(content).hexdigest()[:12], _TYPES[name.rsplit(".", 1)[1]])


def _serve(request: Request) -> Response:
    found = assets().get(request.path_params["name"])
    if found is None:
        missing("There is no such file.")
    return Response(found.content, media_type=found.kind, headers={"cache-control": _KEEP})


ROUTES = [Route("/static/{digest}/{name}", _serve)]
