"""Pages from templates.

Text of models is untrusted: everything is escaped, every text that is printed first passes `safe_text`, and nothing
that comes from outside becomes markup, a link's address or a style.
"""

from __future__ import annotations

from functools import cache
from typing import Any

from jinja2 import Environment, PackageLoader
from markupsafe import Markup
from starlette.requests import Request
from starlette.responses import HTMLResponse

from sotopia_pi.evaluation.report import environment
from sotopia_pi.web.assets import asset
from sotopia_pi.web.site import path_of

#: Characters of one text that a page shows.
LONGEST_TEXT = 20_000


def page(request: Request, template: str, **values: Any) -> HTMLResponse:
    """A page from a template in web/templates, given `values` and what every page needs."""
    return HTMLResponse(render(request, template, **values))


def render(request: Request, template: str, **values: Any) -> str:
    """The HTML of a template."""
    return templates().get_template(template).render(**_common(request), **values)


def fault(request: Request, status: int, sentence: str) -> HTMLResponse:
    """A page that says in one sentence what is wrong."""
    parts = request.scope["path"].split("/")
    back = "/".join(parts[:3]) if parts[1:2] in (["rate"], ["sit"]) else None  # participants have no other pages
    return HTMLResponse(render(request, "fault.html.j2", status=status, sentence=sentence, back=back), status)


def _common(request: Request) -> dict[str, Any]:
    token = request.state.csrf

    def csrf_field() -> Markup:
        return Markup('<input type="hidden" name="csrf" value="{}">').format(token)

    return {
        "asset": asset,
        "csrf_field": csrf_field,
        "path": request.scope["path"],
        "owner": request.state.owner,
        "url_for": lambda route, **parameters: path_of(request, route, **parameters),
    }


@cache
def templates() -> Environment:
    """The templates of the application, and those of the report."""
    return environment(PackageLoader("sotopia_pi.web", "templates"), longest=LONGEST_TEXT)
