"""Episode files that are bad, long, cut off or anything at all: what is refused and where, and never by half."""

from __future__ import annotations

import json
import sqlite3
import tracemalloc
from collections.abc import Iterator
from contextlib import closing
from copy import deepcopy
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sotopia_files import (
    IDS,
    NAMES,
    NOBODY,
    STAGE,
    background,
    episode,
    messages,
    only,
    printed,
    read,
    reward,
    write,
)  # fmt: skip
from support import start, stored, wait_until

from sotopia_pi.cli.main import main
from sotopia_pi.errors import StoreError
from sotopia_pi.interop import lines
from sotopia_pi.interop.episodes import import_episodes
from sotopia_pi.interop.problems import RecordError
from sotopia_pi.interop.published import Known, read_episode
from sotopia_pi.store import Store
from sotopia_pi.store.imports import Batch, Imports
from sotopia_pi.world.records import Character, Scenario


@pytest.fixture
def store(tmp_path: Path) -> Iterator[Store]:
    with Store.open(tmp_path / "run.db") as opened:
        yield opened


def count(path: Path, query: str) -> int:
    with closing(sqlite3.connect(path)) as connection:
        return int(connection.execute(query).fetchone()[0])


# What cannot be read

BAD: list[tuple[Any, str]] = [
    ("{", "not valid JSON"),
    (b'{"episode_id": "\xff\xfe"}', "not UTF-8"),
    ('"text"', "not a JSON object"),
    ('{"episode_id": ' + "[" * 100_000, "not valid JSON"),
    ('{"episode_id": ' + '{"a":' * 100 + "1" + "}" * 101, "nested too deeply"),
    ('{"episode_id": "n", "n": ' + "9" * 5000 + "}", "not valid JSON"),
    (episode("good"), "duplicate id: it is also at x.jsonl:1"),
    ({"scenario": "no id"}, "'episode_id' is missing"),
    (episode(""), "'episode_id' is empty"),
    (episode("e1", environment_id=None), "'environment_id' is missing"),
    (episode("e2", agent_ids=["a"]), "1 agent ids for 2 roles"),
    (episode("e3", experiment_model_name_pairs=["a"]), "1 model names for 2 roles and a judge"),
    (episode("e4", raw_rewards=[reward()]), "1 entries for 2 roles"),
    (episode("e5", raw_rewards=[reward(goal=11), reward()]), "the goal of role 0 is 11; it goes from 0 to 10"),
    (episode("e6", raw_rewards=[reward(), reward(secret=1)]), "the secret of role 1 is 1; it goes from -10 to 0"),
    (episode("e7", raw_rewards=[3.5, reward()]), "neither [overall, scores] nor 0.0"),
    (episode("e8", raw_rewards=[{"goal": "high"}, reward()]), "no number that a score can be"),
    (episode("e9", raw_rewards=[{"goal": True}, reward()]), "no number that a score can be"),
    ('{"episode_id": "e10", "environment_id": "e", "raw_rewards": [{"goal": 1e999}, 0]}', "no scenario stands in"),
    (episode("e11", raw_messages=[["x"]]), "not [sender, receiver, text]"),
    (episode("e12", raw_messages={"a": 1}), "not a list of turns"),
    (episode("e13", raw_messages=messages(["sings a song"])), "none of the five actions"),
    (episode("e14", raw_messages=[[["Somebody", "Environment", "did nothing"]]]), "none of the participants"),
    (episode("e15", raw_messages=[[[NAMES[0], "Environment", "did nothing"]] * 2]), "two messages"),
    (episode("e16", raw_messages=[[["Environment", NAMES[0], "hello"]]]), "nobody does anything"),
    (episode("e17", agents_background={NAMES[0]: "A nice person", NAMES[1]: background(1)}), "not as SOTOPIA prints"),
    (episode("e18", agents_background={NAMES[0]: 5}, social_goals={"A": "x", "B": "y"}), "texts by name"),
    ({"episode_id": "e19", "environment_id": "e", "agent_ids": ["a", "b"]}, "unknown environment id 'e'"),
    (printed("e20", rewards_prompt="Scenario: S\nParticipants: A and A\n"), "not two or more different names"),
    (printed("e21", rewards_prompt="Participants: A and B"), "no scenario and participants"),
    (printed("e22", rewards_prompt=printed()["rewards_prompt"].replace("Turn #2", "Turn #7")), "turn 7 follows turn 1"),
    (episode("e23", scenario=["x"]), "'scenario' is not a text"),
    (episode("e24", social_goals={"Environment": "x", "B": "y"}), "cannot be the name"),
    (episode("e25", sotopia_pi={"task": {}, "episode": {}, "ratings": []}), "required"),
    (episode("e26", sotopia_pi=5), "does not hold a task"),
]  # fmt: skip


def test_every_bad_record_is_listed_with_its_line_and_the_good_ones_go_in(store: Store, tmp_path: Path) -> None:
    report = read(store, tmp_path, episode("good"), *(bad for bad, _ in BAD), episode("last"))
    assert report.stored[STAGE] == 2
    assert [problem.line for problem in report.problems] == list(range(2, len(BAD) + 2))
    for problem, (_, expected) in zip(report.problems, BAD, strict=True):
        assert expected in problem.reason
    assert len(list(store.episodes(STAGE))) == len(store.imports.find(STAGE, ["good", "last"])) == 2
    assert len(store.tasks(STAGE)) == 1  # nothing of the others


def test_nothing_is_added_twice_and_another_record_of_the_same_id_is_refused(store: Store, tmp_path: Path) -> None:
    read(store, tmp_path, episode("a"), episode("b"))
    spaced = json.dumps(episode("a"), indent=None, separators=(" ,  ", ":"))
    report = read(store, tmp_path, spaced, episode("b", experiment_tag="changed"), episode("c"))
    assert (report.stored[STAGE], report.known[STAGE]) == (1, 1)
    assert [(p.line, p.id) for p in report.problems] == [(2, "b")]
    assert report.problems[0].reason == "duplicate id: another record with it is stored"
    assert len(list(store.episodes(STAGE))) == 3
    assert read(store, tmp_path, episode("a"), name="y").stored["import/y"] == 1  # under another name it is another


def test_a_line_that_is_too_long_is_not_held_in_memory(
    store: Store, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(lines, "LONGEST", 20_000)
    path = write(tmp_path / "x.jsonl", [episode("a"), '{"x": "' + "y" * 20_000_000 + '"}', episode("b")])
    tracemalloc.start()
    try:
        report = import_episodes(store, [path], "x")
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert [(p.line, p.reason.startswith("the line is longer")) for p in report.problems] == [(2, True)]
    assert report.stored[STAGE] == 2
    assert peak < 10_000_000


def test_files_are_streamed(store: Store, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Records are read when there is room for them: never more than a batch ahead of what is stored."""
    handed, whole = [], Imports.add

    def counted(self: Imports, batch: Batch) -> None:
        handed.append(len(batch.originals))
        assert produced[0] <= sum(handed) + 1
        whole(self, batch)

    produced = [0]

    def counting(path: Path) -> Iterator[lines.Line]:
        for line in lines.read_lines(path):
            produced[0] += 1
            yield line

    monkeypatch.setattr("sotopia_pi.interop.episodes.read_lines", counting)
    monkeypatch.setattr(Imports, "add", counted)
    report = read(store, tmp_path, *(episode(f"e{n}") for n in range(450)))
    assert (report.stored[STAGE], handed) == (450, [200, 200, 50])


def test_a_file_that_ends_in_an_error_keeps_whole_batches(
    store: Store, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    whole = Imports._add_originals

    def full(connection: Any, items: Any) -> None:
        whole(connection, items)
        if items[0].source_id == "e200":
            raise StoreError("the disk is full")  # after everything of the batch was written

    monkeypatch.setattr(Imports, "_add_originals", staticmethod(full))
    records = [episode(f"e{n}") for n in range(300)]
    with pytest.raises(StoreError):
        read(store, tmp_path, *records)
    for table in ("episodes", "imports"):
        assert count(tmp_path / "run.db", f"select count(*) from {table}") == 200
    monkeypatch.undo()
    report = read(store, tmp_path, *records)
    assert (report.stored[STAGE], report.known[STAGE], report.left_out) == (100, 200, 0)
    assert count(tmp_path / "run.db", "select count(*) from ratings") == 600


def test_a_killed_import_is_completed_by_the_next(tmp_path: Path) -> None:
    path = write(tmp_path / "many.jsonl", (episode(f"e{n}") for n in range(1200)))
    out = tmp_path / "run"
    arguments = ["import", "episodes", str(path), "--out", str(out), "--quiet"]
    process = start(*arguments)
    wait_until(lambda: stored(out) >= 200, process)
    process.kill()
    process.communicate()
    found = stored(out)
    assert found % 200 == 0
    assert stored(out, "select count(*) from imports") == found
    assert stored(out, "select count(*) from ratings") == 2 * found
    assert main(arguments) == 0
    assert (stored(out), stored(out, "select count(*) from imports")) == (1200, 1200)
    assert stored(out, "select count(distinct position) from imports") == 1200


# Anything at all

words = st.text(max_size=8) | st.sampled_from(NAMES)
json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | words,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(words, inner, max_size=3),
    max_leaves=6,
)


def places(value: Any, path: tuple[Any, ...] = ()) -> list[tuple[Any, ...]]:
    """The paths to everything inside a value."""
    inner = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    return [at for key, item in inner for at in ((*path, key), *places(item, (*path, key)))]


@settings(max_examples=300)
@given(st.data())
def test_a_record_is_read_or_refused_whatever_stands_in_it(data: st.DataObject) -> None:
    record = deepcopy(data.draw(st.sampled_from([episode(), printed(), OURS])))
    for _ in range(data.draw(st.integers(1, 3))):
        *parents, last = data.draw(st.sampled_from(places(record)))
        inner = record
        for key in parents:
            inner = inner[key]
        inner[last] = data.draw(json_values)
        if not places(record):
            break
    known = data.draw(st.sampled_from([NOBODY, KNOWN]))
    try:
        made = read_episode(record, STAGE, known)
    except RecordError as error:
        assert str(error)
        return
    assert made.episode.turns or "sotopia_pi" in record
    assert all(turn.role in made.task.roles for turn in made.episode.turns)
    assert {rating.role for rating in made.ratings} <= set(made.task.roles)
    assert len(made.episode.players) == len(made.task.roles)
    with Store.open(":memory:") as store:
        store.imports.add(Batch(tasks={STAGE: [made.task]}, episodes=[(made.episode, made.ratings)]))


def _ours() -> dict[str, Any]:
    made = read_episode(episode(), STAGE, NOBODY)
    return episode(
        sotopia_pi={
            "task": made.task.model_dump(mode="json"),
            "episode": made.episode.model_dump(mode="json"),
            "ratings": [rating.model_dump(mode="json") for rating in made.ratings],
        }
    )


OURS = _ours()
_TASK = read_episode(episode(), STAGE, NOBODY).task
KNOWN = Known(
    dict(zip(IDS, _TASK.characters, strict=True)),
    {"env-ladder": Scenario.model_validate({**_TASK.scenario.model_dump(), "relationship": 2})},
)


def test_names_that_look_like_paths_or_markup_are_only_names(store: Store, tmp_path: Path) -> None:
    name = "../../Ines <b>'; drop table episodes;--"
    text = json.dumps(episode()).replace(NAMES[0], name).replace(f"{name} is a", f"{name} is a")
    task, _, _ = only(store, tmp_path, text)
    assert task.characters[0].name == name
    assert isinstance(task.characters[0], Character)
    assert len(list(store.episodes())) == 1
