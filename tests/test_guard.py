"""The guard before every page: tokens, forms of other sites, foreign hosts, headers, annotators."""

from __future__ import annotations

import asyncio
import re
from typing import Any

import pytest
from browser import check_accessible, check_fits_a_phone, expect, served
from starlette.requests import Request
from starlette.responses import PlainTextResponse, Response
from starlette.routing import Route
from starlette.testclient import TestClient

from sotopia_pi.errors import StoreError
from sotopia_pi.web import guard
from sotopia_pi.web.app import application
from sotopia_pi.web.assets import asset
from sotopia_pi.web.site import Site, form, missing

TOKEN = "a-long-enough-token"


def echo(request: Request) -> Response:
    return PlainTextResponse(form(request).get("said", "") if request.method == "POST" else "read")


def lost(_: Request) -> Response:
    missing("There is no such <thing>.")


def broken(_: Request) -> Response:
    raise StoreError("the disk that holds run.db is full: free some space")


def client(token: str | None = None, hosts: tuple[str, ...] = (), base: str = "http://127.0.0.1") -> TestClient:
    app = application(Site({}, token), hosts)
    app.router.routes[:0] = [  # before the application's own
        Route("/echo", echo, methods=["GET", "POST"]),
        Route("/rate/x", echo, methods=["GET", "POST"]),
        Route("/lost", lost),
        Route("/broken", broken),
    ]
    return TestClient(app, base, follow_redirects=False)


def csrf(visitor: TestClient) -> str:
    """The form token of a visitor who has seen a page."""
    visitor.get("/rate/x")
    return guard.csrf_token(visitor.cookies[guard.VISITOR])


def logged_in() -> TestClient:
    visitor = client(TOKEN)
    answer = visitor.post("/login", data={"token": TOKEN, "csrf": csrf(visitor)})
    assert answer.status_code == 303
    return visitor


def test_every_answer_has_the_security_headers() -> None:
    visitor = client()
    for path in ("/echo", "/health", "/lost", "/broken", "/nothing", asset("app.js")):
        headers = visitor.get(path).headers
        assert "script-src 'self'" in headers["content-security-policy"]
        assert "unsafe" not in headers["content-security-policy"]
        assert headers["x-content-type-options"] == "nosniff"
        assert headers["referrer-policy"] == "same-origin"


def test_forms_need_the_token_of_the_browser_they_were_made_for() -> None:
    visitor, other = client(), client()
    token = csrf(visitor)
    assert visitor.post("/echo", data={"said": "hi", "csrf": token}).text == "hi"
    assert visitor.post("/echo", data={"said": "hi"}, headers={"x-csrf-token": token}).text == "hi"
    csrf(other)
    for data in ({"said": "hi"}, {"csrf": token}, {"csrf": ""}, {"csrf": "é\udc80"[:1]}):
        assert other.post("/echo", data=data).status_code == 403
    assert client().post("/echo", data={"csrf": token}).status_code == 403  # no cookie at all


@pytest.mark.parametrize(
    "headers",
    [
        {"origin": "http://evil.example"},
        {"origin": "null"},
        {"origin": "http://127.0.0.1:9"},
        {"sec-fetch-site": "cross-site"},
        {"sec-fetch-site": "same-site"},
    ],
)
def test_forms_of_other_sites_are_refused_even_with_the_token(headers: dict[str, str]) -> None:
    visitor = client()
    answer = visitor.post("/echo", data={"csrf": csrf(visitor)}, headers=headers)
    assert answer.status_code == 403
    assert "another site" in answer.text


def test_other_methods_and_other_bodies_are_refused() -> None:
    visitor = client()
    token = {"x-csrf-token": csrf(visitor)}
    assert visitor.put("/echo", headers=token).status_code == 405
    assert visitor.delete("/echo", headers=token).status_code == 405
    assert visitor.post("/echo", json={"said": "hi"}, headers=token).status_code == 415
    assert visitor.post("/echo", data={"said": "x" * (guard.LARGEST_FORM + 1)}, headers=token).status_code == 413
    many = {f"f{n}": "x" for n in range(guard.MOST_FIELDS + 1)}
    assert visitor.post("/echo", data=many, headers=token).status_code == 400
    form_type = {"content-type": "application/x-www-form-urlencoded"}
    assert visitor.post("/echo", content=b"said=%ff", headers={**token, **form_type}).status_code == 400


def test_an_owners_page_asks_for_the_token_where_there_is_one() -> None:
    visitor = client(TOKEN)
    assert visitor.get("/echo").headers["location"] == "/login"
    assert visitor.get("/nothing").headers["location"] == "/login"  # not even which pages exist is told
    assert visitor.post("/echo", data={"csrf": csrf(visitor)}).status_code == 401
    assert visitor.get("/rate/x").text == "read"
    wrong = visitor.post("/login", data={"token": TOKEN + "x", "csrf": csrf(visitor)})
    assert wrong.status_code == 403
    assert TOKEN not in wrong.text
    assert visitor.get("/echo").status_code == 303
    assert logged_in().get("/echo").text == "read"


def test_a_program_may_send_the_token_as_a_bearer() -> None:
    bearer = {"authorization": f"Bearer {TOKEN}"}
    assert client(TOKEN).get("/echo", headers=bearer).text == "read"
    assert client(TOKEN).post("/echo", data={"said": "hi"}, headers=bearer).text == "hi"
    assert client(TOKEN).get("/echo", headers={"authorization": "Bearer wrong"}).status_code == 401


def test_where_there_is_no_token_a_bearer_does_not_replace_the_forms_own() -> None:
    assert client().post("/echo", data={"said": "hi"}, headers={"authorization": "Bearer x"}).status_code == 403


def test_an_owners_cookie_cannot_be_made_without_the_token() -> None:
    visitor = client(TOKEN)
    for value in (guard.owner_cookie("another"), "nonce.", ".", "nonce." + "0" * 64, "nonce.é"):
        visitor.cookies.set(guard.OWNER, value.encode("ascii", "replace").decode())
        assert visitor.get("/echo").status_code == 303
    visitor.cookies.set(guard.OWNER, guard.owner_cookie(TOKEN))
    assert visitor.get("/echo").text == "read"


def at(address: str, server: TestClient) -> TestClient:
    """The same server, as somebody at another address sees it."""
    return TestClient(server.app, "http://127.0.0.1", follow_redirects=False, client=(address, 5000))


def test_wrong_tokens_are_heard_slowly_and_keep_nobody_out(monkeypatch: pytest.MonkeyPatch) -> None:
    paused: list[float] = []

    async def pause(seconds: float) -> None:
        paused.append(seconds)

    monkeypatch.setattr("sotopia_pi.web.guard.asyncio.sleep", pause)
    visitor = client(TOKEN)
    token = csrf(visitor)
    for n in range(guard.TRIES_A_MINUTE):
        assert visitor.post("/login", data={"token": f"guess {n}", "csrf": token}).status_code == 403
    assert paused == []
    for answer in (
        visitor.post("/login", data={"token": "another", "csrf": token}),
        visitor.get("/?token=another"),
        visitor.get("/echo", headers={"authorization": "Bearer another"}),
    ):
        assert answer.status_code in (401, 403) and paused.pop() == guard.PAUSE
    assert visitor.post("/login", data={"token": TOKEN, "csrf": token}).status_code == 303
    assert visitor.get("/echo").text == "read" and paused == [guard.PAUSE]  # the cookie is not held back


@pytest.mark.parametrize("elsewhere", ["203.0.113.9", "2001:db8:1::1"])
def test_who_tries_tokens_elsewhere_slows_nobody_down(elsewhere: str, monkeypatch: pytest.MonkeyPatch) -> None:
    visitor = client(TOKEN)
    stranger = at("2001:db8::1", visitor)
    for n in range(guard.TRIES_A_MINUTE):
        stranger.get("/echo", headers={"authorization": f"Bearer {n}"})
    monkeypatch.setattr("sotopia_pi.web.guard.asyncio.sleep", None)
    bearer = {"authorization": f"Bearer {TOKEN}"}
    assert at(elsewhere, visitor).get("/echo", headers=bearer).text == "read"
    with pytest.raises(TypeError, match="not callable"):  # a neighbour in the same network waits
        at("2001:db8::ffff:1", visitor).get("/echo", headers=bearer)


def test_nobody_fills_the_server_by_waiting() -> None:
    tries = guard._Tries(TOKEN)
    for _ in range(guard.TRIES_A_MINUTE):
        tries._wrong.add("a")
    tries._waiting["a"] = guard._WAITING
    with pytest.raises(guard.Refused, match="wait a minute") as refused:
        asyncio.run(tries.right(TOKEN, "a"))
    assert refused.value.status == 429


def test_the_printed_link_becomes_a_cookie_and_leaves_the_address() -> None:
    visitor = client(TOKEN, base="http://127.0.0.1:8642")
    wrong = visitor.get("/?token=wrong")
    assert wrong.status_code == 403 and "the one that it printed" in wrong.text
    answer = visitor.get(f"/?token={TOKEN}")
    assert (answer.status_code, answer.headers["location"]) == (303, "/")
    assert answer.headers["referrer-policy"] == "no-referrer" and TOKEN not in str(answer.headers)
    assert visitor.get("/echo").text == "read"
    assert visitor.get("/?token=of-an-earlier-start").status_code == 303  # who is in stays in


def test_two_servers_of_one_machine_do_not_log_each_others_owner_out() -> None:
    first, second = client(TOKEN, base="http://127.0.0.1:8642"), client("another-token", base="http://127.0.0.1:8643")
    first.get(f"/?token={TOKEN}")
    second.cookies = first.cookies  # browsers send cookies to every port
    assert second.get("/echo").status_code == 303
    second.get("/?token=another-token")
    assert (first.get("/echo").text, second.get("/echo").text) == ("read", "read")


def test_a_proxys_own_authorization_does_not_replace_the_forms_token() -> None:
    owner = logged_in()
    assert owner.post("/echo", data={"said": "hi"}, headers={"authorization": "Basic a2lt"}).status_code == 403


def test_an_annotators_browser_reaches_the_rating_pages_alone() -> None:
    visitor = client()
    visitor.cookies.set(guard.ANNOTATOR, "1")
    assert visitor.get("/echo").status_code == 403
    assert visitor.get("/").status_code == 403
    assert visitor.get("/rate/x").text == "read"
    owner = logged_in()
    owner.cookies.set(guard.ANNOTATOR, "1")  # who knows the token may look at a study from both sides
    assert owner.get("/echo").text == "read"


def test_a_foreign_name_for_this_server_is_refused() -> None:
    local = ("127.0.0.1", "localhost")
    assert client(hosts=local).get("/echo").text == "read"
    assert client(hosts=local, base="http://localhost:8642").get("/echo").text == "read"
    assert client(hosts=local, base="http://evil.example").get("/echo").status_code == 421


def raw(
    app: Any, *headers: tuple[bytes, bytes], path: str = "/echo", method: str = "GET"
) -> tuple[int, dict[str, str]]:
    """The status and the headers of an answer to headers that no client would send."""
    sent: list[Any] = []
    scope = {"type": "http", "method": method, "path": path, "query_string": b"", "scheme": "http", "headers": headers}

    async def send(message: Any) -> None:
        sent.append(message)

    async def receive() -> Any:
        return {"type": "http.request", "body": b"", "more_body": False}

    asyncio.run(app(scope, receive, send))
    return sent[0]["status"], {key.decode(): value.decode() for key, value in sent[0]["headers"]}


NO_HOSTS = r"""
127.0.0.1/static/ 127.0.0.1/static/? 127.0.0.1#/static/ 127.0.0.1:99999 127.0.0.1:0 127.0.0.1: 127.0.0.1:80:80
127.0.0.1:8o kim@127.0.0.1 [::1 ::1 [::1]x [::1%25lo] [1.2.3.4] 127.0.0.1,x a..b 127.0.0.1\static löcalhost
"""


@pytest.mark.parametrize(
    "host", [*NO_HOSTS.split(), "", " ", "127.0.0.1 x", "127.0.0.1\0", "a" * 300, None, "127.0.0.1\n127.0.0.1"]
)
def test_a_host_that_is_none_is_refused(host: str | None) -> None:
    values = [] if host is None else host.encode().split(b"\n")
    for token in (None, TOKEN):
        status, headers = raw(client(token).app, *((b"host", value) for value in values))
        assert status == 400
        assert {*guard.HEADERS} <= {*headers}


NO_ORIGINS = """
http:// 127.0.0.1 http://127.0.0.1/ http://127.0.0.1/x http://kim@127.0.0.1 http://127.0.0.1:99999 http://[::1 http://löcal
"""


@pytest.mark.parametrize("origin", [*NO_ORIGINS.split(), "", "null, null", "http://127.0.0.1\nhttp://127.0.0.1"])
@pytest.mark.parametrize("method", ["GET", "POST"])
def test_an_origin_that_is_none_is_refused(origin: str, method: str) -> None:
    values = [(b"origin", value) for value in origin.encode().split(b"\n")]
    status, headers = raw(client().app, (b"host", b"127.0.0.1"), *values, method=method)
    assert status == 400
    assert {*guard.HEADERS} <= {*headers}


@pytest.mark.parametrize(
    ("host", "origin"),
    [
        ("127.0.0.1:8642", "http://127.0.0.1:8642"),
        ("127.0.0.1:80", "http://127.0.0.1"),
        ("LOCALHOST", "http://localhost"),
        ("[::1]:8642", "http://[0:0:0:0:0:0:0:1]:8642"),
        ("runs.example.org", "https://runs.example.org"),
    ],
)
def test_a_form_of_this_server_is_known_by_host_and_port(host: str, origin: str) -> None:
    visitor = client(hosts=("127.0.0.1", "localhost", "::1", "runs.example.org"))
    token = csrf(visitor)
    cookies = f"{guard.VISITOR}={visitor.cookies[guard.VISITOR]}"
    answer = visitor.post("/echo", data={"csrf": token}, headers={"host": host, "origin": origin, "cookie": cookies})
    assert answer.status_code == 200


def test_what_is_open_is_decided_on_the_path_alone() -> None:
    host = (b"host", b"127.0.0.1")
    for path in ("/echo", "/loginx", "/healthy", "/static", "//static/x", "http://127.0.0.1/static/", "*", ""):
        assert raw(client(TOKEN).app, host, path=path)[0] == 303, path
    assert raw(client(TOKEN).app, host, path="/health")[0] == 200


@pytest.mark.parametrize("path", ["/lost", "/nothing", "/static/x/../../secret", "/static/x/%2e%2e%2fapp.py"])
def test_what_is_not_there_is_a_page_with_a_sentence(path: str) -> None:
    answer = client().get(path)
    assert answer.status_code == 404
    assert re.search(r"<p>There is no such (page|file|&lt;thing&gt;)\.</p>", answer.text)


def test_an_error_of_ours_is_a_page_with_its_sentence() -> None:
    answer = client().get("/broken")
    assert answer.status_code == 503
    assert "free some space" in answer.text


def test_cookies_are_out_of_reach_of_scripts_and_other_sites() -> None:
    told = client().get("/echo").headers["set-cookie"]
    assert "HttpOnly" in told
    assert "SameSite=Lax" in told
    assert "Secure" not in told
    assert "Secure" in client(base="https://127.0.0.1").get("/echo").headers["set-cookie"]


def test_scripts_and_styles_may_be_kept_and_pages_not() -> None:
    visitor = client()
    assert "immutable" in visitor.get(asset("app.css")).headers["cache-control"]
    assert visitor.get("/echo").headers["cache-control"] == "no-store"


def test_login_in_a_browser(page: Any) -> None:
    with served(application(Site({}, TOKEN), ("127.0.0.1",))) as address:
        page.goto(address)
        page.wait_for_url("**/login")
        check_accessible(page)
        check_fits_a_phone(page)
        page.get_by_label("Token").fill(TOKEN)
        page.get_by_role("button", name="Log in").click()
        expect(page.locator("h1")).to_have_text("Runs")
