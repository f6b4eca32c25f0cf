"""A run whose policies differ in a way that is known: what tests of the comparison pages open."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

from starlette.applications import Starlette
from support import episode, price_task, turn

from sotopia_pi.evaluation import Result
from sotopia_pi.prompts import Prompts
from sotopia_pi.ratings.records import Rating
from sotopia_pi.store import Store
from sotopia_pi.web.app import application
from sotopia_pi.web.places import Place, close_places
from sotopia_pi.web.site import Site

JUDGE = "judge:mock:1"
HOSTILE = "<script>alert(1)</script>\u202e"
TASKS = [price_task(number=number) for number in range(8)]
#: bc is 1 above base, but 4 below on the first task and 5 above on the second; the judge adds 1 for bc.
PLANTED = {0: -4.0, 1: 5.0}
FAILED, UNRATED = ("bc", 2, 0, 0), ("base", 3, 1, 1)
REPEATS = 2


def goal(policy: str, number: int, role: int, repeat: int) -> float:
    """The verifier's GOAL score."""
    base = 4.0 + 0.25 * (number % 4) + 0.5 * role - 0.5 * repeat
    return base + (PLANTED.get(number, 1.0) if policy == "bc" else 0.0)


def plays(policy: str) -> Iterator[tuple[int, int, int]]:
    """(task, role, repeat) that a policy plays; base leaves out one."""
    for number in range(len(TASKS)):
        for role in (0, 1):
            for repeat in range(REPEATS):
                if (policy, number, role, repeat) != ("base", 7, 0, 1):
                    yield number, role, repeat


def results() -> list[Result]:
    """The run as the report's statistics read it."""
    found = []
    for policy in ("base", "bc"):
        for number, role, repeat in plays(policy):
            at = (policy, number, role, repeat)
            failure = {FAILED: "episode: server down", UNRATED: "no reply"}.get(at)
            task = TASKS[number]
            scores = {} if failure else {"goal": goal(*at)}
            names = (policy, "partner", "test", "price", task.scenario.id, task.id)
            found.append(Result(*names, role, repeat, scores=scores, failure=failure))
    return found


def filled(store: Store, policies: Mapping[str, str], said: str = "Twelve dollars?") -> Store:
    """Stores the run; `policies` says under which names base and bc played."""
    store.add_tasks("test", TASKS)
    entries = []
    for policy, name in policies.items():
        for number, role, repeat in plays(policy):
            at = (policy, number, role, repeat)
            key = f"{name}-{number}-{role}-{repeat}"
            players = (name, "partner") if role == 0 else ("partner", name)
            talk = [turn(0, said, terms="$12"), turn(1, "No, thank you very much.")]
            more = {"stage": f"evaluate/{name}", "players": players, "repeat": repeat}
            if at == FAILED:
                lost = episode(TASKS[number], [], key, **more, stop_reason=None, failure="server down")
                entries.append((lost, []))
                continue
            score = goal(*at)
            reasons = {"goal": f"Because of {said}"}
            verdict = Rating(episode=key, role=role, rater="verifier", scores={"goal": score}, reasons=reasons)
            if at == UNRATED:
                verdict = Rating(episode=key, role=role, rater="verifier", failure="no reply")
            judged = Rating(
                episode=key, role=role, rater=JUDGE,
                scores={"goal": min(10.0, score + (policy == "bc")), "secret": -1.0 * number}, reasons=reasons,
            )  # fmt: skip
            entries.append((episode(TASKS[number], talk, key, **more), [verdict, judged]))
    store.add_episodes(entries)
    return store


@contextmanager
def opened(folder: Path, said: str = "Twelve dollars?") -> Iterator[Starlette]:
    """The application over two runs: `one` with base and bc, `two` with the same under the names old and new."""
    places = [
        Place(name, name, filled(Store.open(folder / f"{name}.db"), policies, said), None, None, Prompts(None))
        for name, policies in (("one", {"base": "base", "bc": "bc"}), ("two", {"base": "old", "bc": "new"}))
    ]
    try:
        yield application(Site({place.name: place for place in places}))
    finally:
        close_places(places)
