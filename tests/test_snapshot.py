"""The columns of a snapshot say what the store's records say, and follow the store."""

from __future__ import annotations

import math
import os
import uuid
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
from sqlalchemy import create_engine, make_url, text
from support import episode, price_task, turn

from sotopia_pi.episodes.records import ActionType, Episode
from sotopia_pi.ratings.combine import combined
from sotopia_pi.ratings.records import DIMENSIONS, Rating
from sotopia_pi.store import Store
from sotopia_pi.web import snapshot
from sotopia_pi.web.snapshot import Live, Snapshot

TASK, OTHER = price_task(), price_task(number=1)
JUDGE = "judge:mock:1"


def entries() -> list[tuple[Episode, list[Rating]]]:
    talk = [turn(0, "Eighteen  dollars,\nplease."), turn(1, "waves", ActionType.NON_VERBAL), turn(0, "No", valid=False)]
    seven = dict.fromkeys(DIMENSIONS, 2.0)
    return [
        (
            episode(TASK, talk, "a", stage="evaluate/bc", players=("bc", "partner"), seconds=2.5),
            [
                Rating(episode="a", role=0, rater="verifier", scores={"goal": 7.5}, outcome={"deal": True}),
                Rating(episode="a", role=1, rater="verifier", failure="undecided: two prices"),
                Rating(episode="a", role=0, rater=JUDGE, sample=0, scores=seven),
                Rating(episode="a", role=0, rater=JUDGE, sample=1, scores={**seven, "goal": 9}),
                Rating(episode="a", role=0, rater=JUDGE, sample=2, failure="no JSON"),
            ],
        ),
        (episode(OTHER, talk[:1], "b", stop_reason=None, failure="server down", players=("human:Kim", "base")), []),
        (episode(OTHER, [], "c", stage="evaluate/bc", players=("partner", "bc"), repeat=1), []),
    ]


def databases() -> list[str]:
    return ["sqlite", *(["postgresql"] if os.environ.get("SOTOPIA_PI_TEST_POSTGRES") else [])]


@pytest.fixture(params=databases())
def store(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Store]:
    if request.param == "sqlite":
        with Store.open(tmp_path / "run.db") as store:
            yield filled(store)
        return
    url, schema = os.environ["SOTOPIA_PI_TEST_POSTGRES"], f"test_{uuid.uuid4().hex}"
    engine = create_engine(url)
    with engine.begin() as connection:
        connection.execute(text(f"CREATE SCHEMA {schema}"))
    own = make_url(url).update_query_dict({"options": f"-csearch_path={schema}"})
    with Store.open(own.render_as_string(hide_password=False)) as store:
        yield filled(store)
    with engine.begin() as connection:
        connection.execute(text(f"DROP SCHEMA {schema} CASCADE"))
    engine.dispose()


def filled(store: Store) -> Store:
    store.add_tasks("test", [TASK])
    store.add_tasks("train", [OTHER, TASK])
    store.add_episodes(entries())
    return store


def row(found: Snapshot, key: str, role: int) -> int:
    return int(found.first[found.place_of[key]]) + role


def test_every_role_has_the_numbers_of_its_episode(store: Store) -> None:
    found = Live(store).current()
    assert (found.keys, len(found), found.episodes) == (["a", "b", "c"], 6, 3)
    for played, ratings in entries():
        means = combined(ratings)
        for role in (0, 1):
            at = row(found, played.key, role)
            own = [item for item in played.turns if item.role == role]
            said = [item.action.argument for item in own if item.action.type is ActionType.SPEAK]
            assert found.key(at) == played.key
            numbers = {name: found.column(name)[at] for name in ("role", "turns", "actions", "invalid", "words")}
            assert numbers == {
                "role": role,
                "turns": len(played.turns),
                "actions": len(own),
                "invalid": sum(not item.valid for item in own),
                "words": sum(len(words.split()) for words in said),
            }
            assert found.column("failed")[at] == (played.failure is not None)
            assert found.column("human")[at] == (played.key == "b")
            assert (found.column("seconds")[at], found.column("repeat")[at]) == (played.seconds, played.repeat)
            assert found.column("player")[at] == played.players[role]
            assert found.column("partner")[at] == played.players[1 - role]
            assert found.column("stage")[at] == played.stage
            assert f"{found.column('verb')[at]}/{found.column('part')[at]}" == played.stage
            assert found.column("task")[at] == played.task_id
            assert found.column("stop_reason")[at] == (played.stop_reason or "")
            assert found.column("failure")[at] == (played.failure or "")
            for rater in ("verifier", JUDGE):
                given = means.get(rater, {}).get(role)
                expected = given.scores.get("goal") if given and given.failure is None else None
                assert (None if np.isnan(score := found.score(rater, "goal")[at]) else score) == expected
                assert found.rating_failed(rater)[at] == bool(given and given.failure)


def test_tasks_raters_and_dimensions_are_named(store: Store) -> None:
    found = Live(store).current()
    assert found.policies() == ["base", "bc", "human:Kim", "partner"]
    assert found.raters() == ["verifier", JUDGE]
    assert found.dimensions("verifier") == ["goal"]
    assert found.dimensions(JUDGE) == ["goal", *(name for name in DIMENSIONS if name != "goal"), "overall"]
    assert found.dimensions("nobody") == []
    assert np.isnan(found.score("nobody", "goal")).all()
    at = row(found, "a", 0)
    assert found.score(JUDGE, "overall")[at] == pytest.approx((6 * 2 + 5.5) / 7)
    assert found.deal("verifier")[at] == 1
    assert np.isnan(found.deal(JUDGE)).all()
    assert found.column("group")[at] == "test"
    assert found.tasks.groups[found.tasks.place_of[TASK.id]] == ("test", "train")
    assert found.rows(found.where("player", ["bc"])).tolist() == [at, row(found, "c", 1)]
    assert found.tasks.situations[found.tasks.place_of[OTHER.id]] == OTHER.scenario.situation


def test_an_empty_store_has_no_rows(tmp_path: Path) -> None:
    with Store.open(tmp_path / "run.db") as store:
        found = Live(store).current()
    assert (len(found), found.policies(), found.raters()) == (0, [], [])
    assert not found.where("player", ["bc"]).any()
    assert found.stored_rows.tolist() == []


@pytest.mark.parametrize("in_background", [False, True])
def test_a_snapshot_follows_the_store_and_stays_while_nothing_changes(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, in_background: bool
) -> None:
    monkeypatch.setattr(snapshot, "_SHORT", 0.0 if in_background else math.inf)
    monkeypatch.setattr(snapshot, "_SHARE", math.inf)
    with Store.open(tmp_path / "run.db") as store:
        live = Live(filled(store))
        before = live.current()
        assert live.current() is before
        with Store.open(tmp_path / "run.db") as other:  # another process
            other.add_episode(episode(TASK, [turn(0, "Hi.")], "d"))
        live.current()
        live.close()
        found = live.current()
        assert (before.episodes, found.episodes) == (3, 4)
        assert live.current() is found


def test_ratings_of_roles_that_nobody_played_are_left_out(tmp_path: Path) -> None:
    with Store.open(tmp_path / "run.db") as store:
        filled(store).add_ratings([Rating(episode="a", role=5, rater="odd", scores={"goal": 1})])
        found = Live(store).current()
    assert np.isnan(found.score("odd", "goal")).all()
