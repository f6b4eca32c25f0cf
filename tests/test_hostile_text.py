"""Text of models is never markup: every page is crawled over a run whose every text is an attack."""

from __future__ import annotations

from collections import Counter, deque
from html.parser import HTMLParser
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, urljoin, urlsplit

import pytest
from browser import check_fits_a_phone, expect, served
from starlette.testclient import TestClient
from support import LIGHT, character, episode, turn

from sotopia_pi.cli.main import main
from sotopia_pi.episodes.records import ActionType
from sotopia_pi.ratings.records import DIMENSIONS, Rating
from sotopia_pi.rundir import DATABASE
from sotopia_pi.store import Store
from sotopia_pi.web.app import application
from sotopia_pi.web.places import open_places
from sotopia_pi.web.site import Site
from sotopia_pi.world.records import Relationship, Scenario, SocialTask

ATTACKS = [
    "<script>window.hacked=1</script>",
    "</script><script>window.hacked=1</script>",
    '"><img src=x onerror="window.hacked=1">',
    "' onmouseover='window.hacked=1' x='",
    "[click](javascript:window.hacked=1) javascript:window.hacked=1",
    '<a href="javascript:window.hacked=1">click</a>',
    "<style>body{display:none}</style><svg onload=window.hacked=1>",
    "{{ 7*7 }}{% raw %}<iframe src=//evil.example></iframe>",
    "safe \u202egpj.exe\u202c \u2066hidden\u2069 \u200b\ufeff",
    "\x1b[2J\x07 bell and escape",
]
#: What no answer may hold: direction overrides, invisible marks, control characters.
NEVER = ("\u202e", "\u202c", "\u2066", "\u2069", "\u200b", "\x1b", "\x07")
LONG = "A" * 1_000_000


def hostile_run(folder: Path) -> Path:
    """A run whose tasks, players, turns, raw replies, reasons and failures are all attacks."""
    run = folder / "run"
    sets = [part for value in LIGHT for part in ("--set", value)]
    assert main(["run", "--out", str(run), "--quiet", *sets]) == 0
    with Store.open(run / DATABASE) as store:
        for number, attack in enumerate(ATTACKS):
            names = (f"Ada {attack}", f"Bo {attack}")
            cast = tuple(character(name, public_info=attack, secret=attack, personality=attack) for name in names)
            scenario = Scenario(
                situation=attack,
                goals=(attack, f"other {attack}"),
                relationship=Relationship.FRIEND,
                kind=attack,
                source=attack,
            )
            task = SocialTask(scenario=scenario, characters=cast)
            said = [
                turn(0, attack, terms=attack, raw=attack),
                turn(1, attack, ActionType.ACT, terms=attack),
                turn(0, LONG if number == 0 else "ok"),
            ]
            said += [turn(1, "", ActionType.NONE, raw=attack, valid=False)]
            store.add_tasks(f"group {attack}", [task])
            made = episode(
                task, said, f"hostile{number}", stage=f"evaluate/{attack}", players=(attack, f"human:{number}")
            )
            failed = made.model_copy(update={"key": f"failed{number}", "failure": attack, "stop_reason": None})
            ratings = [
                Rating(
                    episode=made.key,
                    role=role,
                    rater=f"judge:{attack}",
                    scores={**{name: float(low) for name, (low, _) in DIMENSIONS.items()}, attack: 1.0},
                    reasons=dict.fromkeys([*DIMENSIONS, attack], attack),
                    outcome={attack: attack},
                )
                for role in (0, 1)
            ]
            broken = Rating(episode=made.key, role=0, rater="judge:other", failure=attack)
            store.add_episodes([(made, [*ratings, broken]), (failed, [])])
    return run


class Page(HTMLParser):
    """What a browser would make of an answer: elements, attributes, addresses."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.text = text
        self.addresses: list[str] = []
        self.faults: list[str] = []
        self.feed(text)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        given = {name: value or "" for name, value in attrs}
        if tag in ("iframe", "object", "embed", "style", "img", "base") or (tag == "script" and "src" not in given):
            self.faults.append(f"<{tag}>")
        for name, value in given.items():
            if name.startswith("on") or name in ("style", "srcdoc"):
                self.faults.append(f"{tag} {name}={value[:60]}")
            if name in ("href", "src", "action", "hx-get", "hx-post", "formaction"):
                there = urlsplit(value.strip())
                if there.netloc or (there.scheme and value != "data:,"):
                    self.faults.append(f"{tag} {name}={value[:60]}")
                elif name in ("href", "hx-get") and not there.scheme:
                    self.addresses.append(value)


def kind(address: str) -> tuple[str, int, tuple[str, ...]]:
    """What the pages of one kind have in common: where they are and what they are asked for, not of what."""
    parts = urlsplit(address)
    where = parts.path.split("/")
    return "/".join(where[3:4]), len(where), tuple(sorted(parse_qs(parts.query, keep_blank_values=True)))


def crawl(client: TestClient, first: str) -> dict[str, Page]:
    """The HTML pages that links lead to, by address: two per attack of a kind, of kinds with more settings fewer."""
    waiting, found, kinds = deque([first]), dict[str, Page](), Counter[tuple[str, int, tuple[str, ...]]]()
    while waiting:
        address = waiting.popleft()
        own = kind(address)
        if address in found or kinds[own] >= 2 * len(ATTACKS) / (1 + len(own[2])):
            continue
        kinds[own] += 1
        answer = client.get(address)
        assert answer.status_code == 200, f"{address}: {answer.status_code}"
        found[address] = Page(answer.text if "html" in answer.headers["content-type"] else "")
        for link in found[address].addresses:
            there = urlsplit(urljoin(address, link))
            if not there.netloc and not there.path.startswith("/static/"):
                waiting.append(there._replace(fragment="").geturl())
    return found


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return hostile_run(tmp_path_factory.mktemp("hostile"))


def test_no_page_lets_text_become_markup(run: Path) -> None:
    places = open_places([str(run)])
    app = application(Site({place.name: place for place in places}))
    with TestClient(app, "http://127.0.0.1") as client:
        pages = crawl(client, "/")
    for place in places:
        place.store.close()
    assert {"episodes", "tasks", "compare", "studies", "play"} <= {kind(address)[0] for address in pages}
    assert len(pages) > 200
    for address, page in pages.items():
        assert not page.faults, address
        assert not [char for char in NEVER if char in page.text], address
        assert len(page.text) < 400_000, address
    for shown in ("&lt;script&gt;", "[U+202E]", "more characters"):
        assert any(shown in page.text for page in pages.values())


@pytest.mark.slow
def test_nothing_runs_in_a_real_browser(run: Path, page: Any) -> None:
    places = open_places([str(run)])
    app = application(Site({place.name: place for place in places}))
    try:
        with served(app) as address:
            for number in (0, 2, 6, 8):
                page.goto(f"{address}/run/run/episodes/hostile{number}")
                assert page.evaluate("window.hacked") is None
                expect(page.locator("main")).to_be_visible()
                check_fits_a_phone(page)
    finally:
        for place in places:
            place.store.close()
