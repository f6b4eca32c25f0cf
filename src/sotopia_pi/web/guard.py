"""Who may do what: the one place that every request passes before a page sees it.

* The Host header must name this server, so that no foreign name can be pointed at it (DNS rebinding).
* Every form carries a token derived from a cookie of the visitor's browser (HMAC), and must come from these pages
  (Origin, Sec-Fetch-Site); what has neither is refused before any handler runs. Bodies are small, urlencoded forms.
* Owner pages need the owner's token where the server has one; annotators reach pages under /rate/ alone, and people
  who were invited to play those under /sit/.
* Every answer carries a content security policy without inline scripts or styles.

The owner's cookie is a nonce with its HMAC under the token, so nothing is stored and a restart logs nobody out.
"""

from __future__ import annotations

import hashlib
import hmac
import secrets
from collections import deque
from collections.abc import Collection
from http.cookies import CookieError, SimpleCookie
from time import monotonic
from urllib.parse import parse_qsl, urlsplit

from starlette.datastructures import Headers, MutableHeaders
from starlette.requests import Request
from starlette.responses import RedirectResponse, Response
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from sotopia_pi.web.rendering import fault

#: The largest form in bytes; a rating with two long reasons per dimension has a few thousand.
LARGEST_FORM = 1_000_000
MOST_FIELDS = 1_000
CSRF_FIELD, CSRF_HEADER = "csrf", "x-csrf-token"
VISITOR, OWNER, ANNOTATOR = "sotopia_pi_visitor", "sotopia_pi_owner", "sotopia_pi_annotator"
#: How long a participant's browser keeps its place, in seconds: 30 days.
KEPT = 30 * 24 * 3600
#: How many wrong tokens are heard in a minute.
TRIES_A_MINUTE = 20
#: The pages of people who take part: they rate, or play by invitation.
PARTICIPANTS = ("/rate/", "/sit/")
#: What is reached without the owner's token.
OPEN = ("/static/", *PARTICIPANTS, "/login", "/health")

POLICY = (
    "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data:; connect-src 'self'; "
    "form-action 'self'; base-uri 'none'; frame-ancestors 'none'"
)
HEADERS = {
    "content-security-policy": POLICY,
    "x-content-type-options": "nosniff",
    "x-frame-options": "DENY",
    "referrer-policy": "same-origin",  # with no-referrer browsers would send forms with the origin "null"
    "cross-origin-opener-policy": "same-origin",
    "cross-origin-resource-policy": "same-origin",
}


def csrf_token(visitor: str) -> str:
    """What a form of this visitor must carry. The cookie cannot be read by scripts and not be learnt from this."""
    return hmac.new(visitor.encode(), b"csrf", hashlib.sha256).hexdigest()


def owner_cookie(token: str) -> str:
    """A cookie that proves that its bearer knew the token."""
    nonce = secrets.token_urlsafe(16)
    return f"{nonce}.{_sealed(nonce, token)}"


def _sealed(nonce: str, token: str) -> str:
    return hmac.new(token.encode(), b"owner " + nonce.encode(), hashlib.sha256).hexdigest()


class Refused(Exception):
    """A request that no page gets to see; the sentence says why."""

    def __init__(self, status: int, sentence: str) -> None:
        super().__init__(sentence)
        self.status, self.sentence = status, sentence


class Guard:
    """ASGI middleware. `hosts` are the names under which the server may be asked for; empty for any."""

    def __init__(self, app: ASGIApp, token: str | None, hosts: Collection[str]) -> None:
        self._app, self._token, self._hosts = app, token, frozenset(host.lower() for host in hosts)
        self._failures: deque[float] = deque(maxlen=TRIES_A_MINUTE)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Lets a request pass or answers it."""
        if scope["type"] != "http":
            if scope["type"] == "lifespan":
                await self._app(scope, receive, send)
            return
        request = Request(scope, receive)
        cookies = _cookies(request.headers)
        visitor = cookies.get(VISITOR, "")
        fresh = not 20 <= len(visitor) <= 100
        if fresh:
            visitor = secrets.token_urlsafe(32)
        request.state.csrf = csrf_token(visitor)
        request.state.cookies = cookies
        request.state.owner = self._is_owner(request, cookies)

        async def sending(message: Message) -> None:
            if message["type"] == "http.response.start":
                headers = MutableHeaders(scope=message)
                for name, value in HEADERS.items():
                    headers.setdefault(name, value)
                headers.setdefault("cache-control", "no-store")
                if fresh and not request.url.path.startswith("/static/"):
                    headers.append("set-cookie", cookie(request, VISITOR, visitor))
            await send(message)

        try:
            answer = await self._checked(request, None if fresh else visitor)
        except Refused as error:
            answer = fault(request, error.status, error.sentence)
        await (answer or self._app)(scope, receive, sending)

    async def _checked(self, request: Request, visitor: str | None) -> Response | None:
        """An answer in place of the page's, or None. Raises Refused."""
        self._check_host(request)
        path = request.url.path
        if request.method not in ("GET", "HEAD", "POST"):
            raise Refused(405, "Only GET, HEAD and POST are answered here.")
        if request.method == "POST":
            request.state.form = await _form(request)
            bearer = request.headers.get("authorization") and request.state.owner and self._token
            if not bearer:
                self._check_origin(request, visitor)
        if path == "/login" and self._token:
            return self._login(request)
        if path.startswith(OPEN):
            return None
        if ANNOTATOR in request.state.cookies and not (self._token and request.state.owner):
            raise Refused(
                403,
                "This browser takes part in a study, and participants reach only the pages of their study. "
                "To see the other pages, use a private window or another browser, or delete this site's cookies.",
            )
        if not request.state.owner:
            if request.method == "GET" and "authorization" not in request.headers:
                return RedirectResponse("/login", status_code=303)
            raise Refused(401, "This page needs the owner's token: log in at /login.")
        return None

    def _check_host(self, request: Request) -> None:
        host = (urlsplit(f"//{request.headers.get('host', '')}").hostname or "").lower()
        if self._hosts and host not in self._hosts:
            raise Refused(421, "This server is not known under the name it was asked for; start it with --allow-host.")

    def _check_origin(self, request: Request, visitor: str | None) -> None:
        origin = request.headers.get("origin")
        foreign = origin not in (None, "null") and urlsplit(str(origin)).netloc != request.headers.get("host")
        if foreign or origin == "null" or request.headers.get("sec-fetch-site") in ("cross-site", "same-site"):
            raise Refused(403, "This form was sent from another site; open the page here and send it again.")
        given = request.state.form.get(CSRF_FIELD) or request.headers.get(CSRF_HEADER, "")
        if visitor is None or not _same(given, csrf_token(visitor)):
            raise Refused(403, "This form does not belong to this browser; reload the page and send it again.")

    def _is_owner(self, request: Request, cookies: dict[str, str]) -> bool:
        if self._token is None:
            return True
        bearer = request.headers.get("authorization", "")
        if bearer.startswith("Bearer "):
            return self._knows(bearer.removeprefix("Bearer "))
        nonce, _, sealed = cookies.get(OWNER, "").partition(".")
        return bool(nonce) and _same(sealed, _sealed(nonce, self._token))

    def _knows(self, given: str) -> bool:
        """Whether somebody gave the token, compared in constant time; wrong ones are heard only so often."""
        now = monotonic()
        if len(self._failures) == TRIES_A_MINUTE and now - self._failures[0] < 60:
            return False
        right = _same(given, self._token or "")
        if not right:
            self._failures.append(now)
        return right

    def _login(self, request: Request) -> Response | None:
        if request.method != "POST":
            return None
        if not self._knows(request.state.form.get("token", "")):
            raise Refused(403, "This is not the owner's token; wait a minute after many tries, and try again.")
        answer = RedirectResponse("/", status_code=303)
        answer.headers.append("set-cookie", cookie(request, OWNER, owner_cookie(self._token or "")))
        return answer


def cookie(request: Request, name: str, value: str, path: str = "/", age: int | None = None) -> str:
    """A Set-Cookie header: not for scripts, not for other sites' forms, over HTTPS alone where the page came so."""
    made: SimpleCookie = SimpleCookie({name: value})
    morsel = made[name]
    morsel["path"], morsel["samesite"] = path, "Lax"
    morsel["httponly"] = True
    if age is not None:
        morsel["max-age"] = str(age)
    if request.url.scheme == "https":
        morsel["secure"] = True
    return morsel.OutputString()


def _cookies(headers: Headers) -> dict[str, str]:
    """Cookies by name; a cookie twice (set by a neighbour on another port or path) counts as its first."""
    found: dict[str, str] = {}
    for part in headers.get("cookie", "")[:10_000].split(";"):
        try:
            for name, morsel in SimpleCookie(part.strip()).items():
                found.setdefault(name, morsel.value)
        except CookieError:
            continue
    return found


async def _form(request: Request) -> dict[str, str]:
    """The fields of a urlencoded form. Raises Refused."""
    kind = request.headers.get("content-type", "").split(";")[0].strip().lower()
    if kind not in ("", "application/x-www-form-urlencoded"):
        raise Refused(415, "Only plain forms are read here.")
    body = bytearray()
    async for chunk in request.stream():
        body += chunk
        if len(body) > LARGEST_FORM:
            raise Refused(413, f"A form may have {LARGEST_FORM:,} bytes; shorten what you wrote.")
    try:
        pairs = parse_qsl(body.decode("utf-8"), keep_blank_values=True, max_num_fields=MOST_FIELDS, errors="strict")
    except ValueError:
        raise Refused(400, "The form cannot be read; reload the page and send it again.") from None
    return dict(pairs)


def _same(given: str, wanted: str) -> bool:
    """Whether two texts are equal, in a time that does not tell where they differ."""
    return hmac.compare_digest(given.encode("utf-8", "surrogatepass"), wanted.encode("utf-8", "surrogatepass"))
