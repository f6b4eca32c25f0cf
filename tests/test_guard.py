"""The guard before every page: tokens, forms of other sites, foreign hosts, headers, annotators."""

from __future__ import annotations

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


def test_tokens_cannot_be_guessed_one_after_the_other() -> None:
    visitor = client(TOKEN)
    token = csrf(visitor)
    for n in range(guard.TRIES_A_MINUTE):
        assert visitor.post("/login", data={"token": f"guess {n}", "csrf": token}).status_code == 403
    assert visitor.post("/login", data={"token": TOKEN, "csrf": token}).status_code == 403


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
