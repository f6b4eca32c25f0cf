"""What the tests of studies share: a store with episodes to rate, filled-in forms, annotators over HTTP."""

from __future__ import annotations

import html
import re
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from starlette.testclient import TestClient
from support import episode, price_task, turn

from sotopia_pi.episodes.records import Episode
from sotopia_pi.prompts import Prompts
from sotopia_pi.ratings.dimensions import SEVEN
from sotopia_pi.store import Store
from sotopia_pi.studies.answers import reason_field, score_field
from sotopia_pi.studies.choosing import create, settings_from
from sotopia_pi.studies.desk import Desk
from sotopia_pi.studies.records import Reference, Study
from sotopia_pi.web import guard
from sotopia_pi.web.app import application
from sotopia_pi.web.places import Place
from sotopia_pi.web.site import Site

#: Words that give away who is rated, or from what they were made; none of them may reach an annotator.
SECRETS = ("secretpolicy", "secretpartner", "evaluate/secret", "secretstage")
#: Reference scores in the middle of every range.
MIDDLE: Reference = {str(role): {one.name: float((one.low + one.high) // 2) for one in SEVEN} for role in (0, 1)}


def key_of(number: int) -> str:
    """The key of an episode of `filled`."""
    return f"secretkey{number:04d}"


def played(number: int, stage: str = "evaluate/secretpolicy") -> Episode:
    """A short completed episode."""
    said = (
        turn(0, f"Would you take eighteen for lamp {number}?", terms="$18"),
        turn(1, "It is a deal.", terms="$18", raw="secretstage raw words", valid=True),
    )
    return episode(
        price_task(number=number), said, key_of(number), stage=stage, players=("secretpolicy", "secretpartner")
    )


def fill(store: Store, count: int) -> list[str]:
    """Stores `count` episodes, each of a task of its own; their keys."""
    store.add_tasks("test", [price_task(number=number) for number in range(count)])
    store.add_episodes([(played(number), []) for number in range(count)])
    return [key_of(number) for number in range(count)]


def new_study(store: Store, name: str = "first", tests: int = 0, count: int = 3, **values: Any) -> Study:
    """A study of `count` episodes and `tests` more for the qualification; `values` are settings."""
    keys = fill(store, count + tests)
    references = dict.fromkeys(keys[:tests], MIDDLE)
    return create(store, name, settings_from({"reason_characters": 3, **values}, "test"), keys[tests:], references)


def middle(low: int, high: int) -> int:
    """The score in the middle of a range."""
    return (low + high) // 2


def filled(shift: int = 0, places: int = 2, **changes: str) -> dict[str, str]:
    """A whole form: every score `shift` above the middle, and reasons; `changes` by field with _ for -."""
    fields = {}
    for place in range(1, places + 1):
        for one in SEVEN:
            fields[score_field(place, one.name)] = str(max(one.low, min(one.high, middle(one.low, one.high) + shift)))
            fields[reason_field(place, one.name)] = f"Because of turn 2 ({one.name})."
    return {**fields, **changes}


def rate_next(desk: Desk, token: str, shift: int = 0) -> str | None:
    """Rates whatever is next; the episode's key, None at the end."""
    annotator = desk.annotator(token)
    assert annotator is not None
    step = desk.step(annotator)
    if step.assignment is None:
        return None
    handed = desk.submit(annotator, step.assignment, filled(shift))
    assert not handed.read.errors
    return step.assignment.episode


def place_of(store: Store, name: str = "demo") -> Place:
    """A place over a store, without a folder."""
    return Place(name, name, store, None, None, Prompts(None))


@contextmanager
def site_of(path: Path, token: str | None = "owner-token") -> Iterator[tuple[Store, Site]]:
    """A new store and the site over it."""
    with Store.open(path / "run.db") as store:
        yield store, Site({"demo": place_of(store)}, token)


class Visitor:
    """A browser without scripts: keeps cookies, sends the form token, remembers everything it was shown."""

    def __init__(self, site: Site) -> None:
        self.client = TestClient(application(site), "http://127.0.0.1", follow_redirects=True)
        self.seen: list[str] = []

    def get(self, path: str) -> Any:
        """A page."""
        return self._kept(self.client.get(path))

    def post(self, path: str, fields: dict[str, str] | None = None, **options: Any) -> Any:
        """A form."""
        if guard.VISITOR not in self.client.cookies:
            self.client.get("/rate/x")
        token = guard.csrf_token(self.client.cookies[guard.VISITOR])
        return self._kept(self.client.post(path, data={"csrf": token, **(fields or {})}, **options))

    def _kept(self, answer: Any) -> Any:
        self.seen += [answer.text, str(answer.url), str(answer.headers), *(str(one.url) for one in answer.history)]
        self.seen += [str(one.headers) for one in answer.history]
        return answer

    def begin(self, link: str, participant: str = "") -> Any:
        """Reads the welcome page and begins; the page that comes then."""
        self.get(f"/rate/{link}" + (f"?PROLIFIC_PID={participant}" if participant else ""))
        return self.post(f"/rate/{link}/begin", {"participant": participant})

    def log_in(self, token: str = "owner-token") -> None:
        """Becomes the owner."""
        self.post("/login", {"token": token})


def action_of(text: str) -> str:
    """Where the rating form of a page is sent."""
    found = re.search(r'<form method="post" action="(/rate/[^"]+/now/[^"]+)"', text)
    assert found, text
    return html.unescape(found[1])


class Clock:
    """A clock that is moved by hand."""

    def __init__(self) -> None:
        self.now = 1_000_000.0

    def __call__(self) -> float:
        return self.now


def begun(desk: Desk, participant: str = "") -> str:
    found = desk.begin(participant)
    assert found is not None
    return found[1]


def step_of(desk: Desk, token: str) -> Any:
    annotator = desk.annotator(token)
    assert annotator is not None
    return desk.step(annotator)
