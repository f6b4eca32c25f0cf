"""Who may do what: the one place that every request passes before a page sees it.

What is decided is decided on the request as the server received it (`scope`: its path, its headers), never on an
address that is put together from them: a Host header can hold anything.

* The Host header must name this server, so that no foreign name can be pointed at it (DNS rebinding).
* Every form carries a token derived from a cookie of the visitor's browser (HMAC), and must come from these pages
  (Origin, Sec-Fetch-Site); what has neither is refused before any handler runs. Bodies are small, urlencoded forms.
* Owner pages need the owner's token where the server has one; annotators reach pages under /rate/ alone, and people
  who were invited to play those under /sit/.
* Every answer carries a content security policy without inline scripts or styles.

The owner's cookie is a nonce with its HMAC under a key that is stretched from the token, so nothing is stored, a
restart with the same token logs nobody out, and cookies are no quicker way to try tokens.
"""

from __future__ import annotations

import asyncio
import hashlib
import hmac
import secrets
from collections import Counter, defaultdict
from collections.abc import Collection
from functools import cache
from http.cookies import CookieError, SimpleCookie
from urllib.parse import parse_qsl

from starlette.datastructures import Headers, MutableHeaders
from starlette.requests import ClientDisconnect, Request
from starlette.responses import RedirectResponse, Response
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from sotopia_pi.web.hosts import Authority, host_of, origin_of, plain_host, usual
from sotopia_pi.web.rendering import fault
from sotopia_pi.web.tally import Tally, client

#: The largest form in bytes; a rating with two long reasons per dimension has a few thousand.
LARGEST_FORM = 1_000_000
MOST_FIELDS = 1_000
CSRF_FIELD, CSRF_HEADER = "csrf", "x-csrf-token"
VISITOR, OWNER, ANNOTATOR = "sotopia_pi_visitor", "sotopia_pi_owner", "sotopia_pi_annotator"
#: How long a participant's browser keeps its place, in seconds: 30 days.
KEPT = 30 * 24 * 3600
#: How many wrong tokens an address may give in a minute; the next from there wait their turn, `PAUSE` seconds each.
TRIES_A_MINUTE = 20
PAUSE = 0.5
#: How many from one address wait at once; the others are turned away.
_WAITING = 16
#: The pages of people who take part: they rate, or play by invitation.
PARTICIPANTS = ("/rate/", "/sit/")
#: What is reached without the owner's token: what begins so, and these two pages.
OPEN = ("/static/", *PARTICIPANTS)
OPEN_PAGES = ("/login", "/health")

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
    return hmac.new(_stretched(token), b"owner " + nonce.encode("utf-8", "replace"), hashlib.sha256).hexdigest()


@cache
def _stretched(token: str) -> bytes:
    """A key that takes a while to compute, so that nobody finds the token by making cookies for likely ones."""
    return hashlib.scrypt(token.encode(), salt=b"sotopia-pi owner", n=2**14, r=8, p=1)


class Refused(Exception):
    """A request that no page gets to see; the sentence says why."""

    def __init__(self, status: int, sentence: str) -> None:
        super().__init__(sentence)
        self.status, self.sentence = status, sentence


class _Tries:
    """Tokens that are tried. An address that gave many wrong ones is heard slowly; nobody's right one is refused.

    Addresses are counted apart, so that nobody keeps the owner out from elsewhere.
    """

    def __init__(self, token: str) -> None:
        self._token = token
        self._wrong = Tally(TRIES_A_MINUTE, 60)
        self._turns: defaultdict[str, asyncio.Lock] = defaultdict(asyncio.Lock)
        self._waiting: Counter[str] = Counter()

    async def right(self, given: str, address: str) -> bool:
        """Whether this is the token. Raises Refused where many wait already."""
        if self._wrong.full(address):
            await self._turn(address)
        right = _same(given, self._token)
        if not right:
            self._wrong.add(address)
        return right

    async def _turn(self, address: str) -> None:
        if self._waiting[address] >= _WAITING:
            raise Refused(429, "Many tokens are being tried from your address; wait a minute and try again.")
        self._waiting[address] += 1
        try:
            async with self._turns[address]:
                await asyncio.sleep(PAUSE)
        finally:
            self._waiting[address] -= 1
            if not self._waiting[address]:
                del self._waiting[address], self._turns[address]


class Guard:
    """ASGI middleware. `hosts` are the names under which the server may be asked for; empty for any."""

    def __init__(self, app: ASGIApp, token: str | None, hosts: Collection[str]) -> None:
        self._app, self._token, self._hosts = app, token, frozenset(plain_host(host) for host in hosts)
        self._tries = None if token is None else _Tries(token)

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
        request.state.owner = False

        async def sending(message: Message) -> None:
            if message["type"] == "http.response.start":
                headers = MutableHeaders(scope=message)
                for name, value in HEADERS.items():
                    headers.setdefault(name, value)
                headers.setdefault("cache-control", "no-store")
                if fresh and not scope["path"].startswith("/static/"):
                    headers.append("set-cookie", cookie(request, VISITOR, visitor))
            await send(message)

        try:
            answer = await self._checked(request, None if fresh else visitor)
        except Refused as error:
            answer = fault(request, error.status, error.sentence)
        except ClientDisconnect:
            return
        await (answer or self._app)(scope, receive, sending)

    async def _checked(self, request: Request, visitor: str | None) -> Response | None:
        """An answer in place of the page's, or None. Raises Refused."""
        host, origin = self._addresses(request.scope)
        path = request.scope["path"]
        if request.method not in ("GET", "HEAD", "POST"):
            raise Refused(405, "Only GET, HEAD and POST are answered here.")
        request.state.owner = self._token is None or self._has_cookie(request, host)
        bearer = await self._bears_token(request)
        request.state.owner = request.state.owner or bearer
        if request.method == "POST":
            request.state.form = await _form(request)
            if not bearer:
                self._check_form(request, visitor, host, origin)
            if path == "/login" and self._token:
                return await self._login(request, host, request.state.form.get("token", ""))
        elif path == "/" and self._token and (given := request.query_params.get("token")) is not None:
            return await self._login(request, host, given)
        if path.startswith(OPEN) or path in OPEN_PAGES:
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

    def _addresses(self, scope: Scope) -> tuple[Authority, Authority | str | None]:
        """Under which name the server was asked for, and from where. Raises Refused."""
        try:
            host, origin = host_of(scope), origin_of(scope)
        except ValueError:
            raise Refused(400, "The request does not say properly where it is going to, or where from.") from None
        if self._hosts and host.host not in self._hosts:
            raise Refused(421, "This server is not known under the name it was asked for; start it with --allow-host.")
        return host, origin

    @staticmethod
    def _check_form(request: Request, visitor: str | None, host: Authority, origin: Authority | str | None) -> None:
        foreign = origin not in (None, usual(host), host)
        if foreign or request.headers.get("sec-fetch-site") in ("cross-site", "same-site"):
            raise Refused(403, "This form was sent from another site; open the page here and send it again.")
        given = request.state.form.get(CSRF_FIELD) or request.headers.get(CSRF_HEADER, "")
        if visitor is None or not _same(given, csrf_token(visitor)):
            raise Refused(403, "This form does not belong to this browser; reload the page and send it again.")

    def _has_cookie(self, request: Request, host: Authority) -> bool:
        nonce, _, sealed = request.state.cookies.get(_owner_name(host), "").partition(".")
        return bool(nonce) and _same(sealed, _sealed(nonce, self._token or ""))

    async def _bears_token(self, request: Request) -> bool:
        """Whether a program sends the token. Raises Refused."""
        kind, _, given = request.headers.get("authorization", "").partition(" ")
        if self._tries is None or kind != "Bearer":
            return False
        return await self._tries.right(given, client(request.scope))

    async def _login(self, request: Request, host: Authority, given: str) -> Response:
        """Gives the owner's browser its cookie, and an address without the token. Raises Refused."""
        assert self._token is not None and self._tries is not None
        by_link = request.method != "POST"
        if not ((by_link and request.state.owner) or await self._tries.right(given, client(request.scope))):
            link = "This link is not of the server as it runs now; open the one that it printed when it was started."
            raise Refused(403, link if by_link else "This is not the owner's token; try again.")
        answer = RedirectResponse("/", status_code=303, headers={"referrer-policy": "no-referrer"})
        answer.headers.append("set-cookie", cookie(request, _owner_name(host), owner_cookie(self._token)))
        return answer


def _owner_name(host: Authority) -> str:
    """What the owner's cookie is called; browsers send cookies to every port, and each server has its own token."""
    return OWNER if host.port is None else f"{OWNER}_{host.port}"


def cookie(request: Request, name: str, value: str, path: str = "/", age: int | None = None) -> str:
    """A Set-Cookie header: not for scripts, not for other sites' forms, over HTTPS alone where the page came so."""
    made: SimpleCookie = SimpleCookie({name: value})
    morsel = made[name]
    morsel["path"], morsel["samesite"] = path, "Lax"
    morsel["httponly"] = True
    if age is not None:
        morsel["max-age"] = str(age)
    if request.scope["scheme"] == "https":
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
