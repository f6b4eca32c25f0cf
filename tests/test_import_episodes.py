"""Published episode files: what they become, what is refused and where, streamed, and never by half."""

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
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from sotopia_files import (
    DATA,
    GOALS,
    IDS,
    NAMES,
    SAID,
    SITUATION,
    agent,
    background,
    casting,
    environment,
    episode,
    messages,
    printed,
    profiles,
    reward,
    scores,
    write,
)  # fmt: skip
from support import start, stored

from sotopia_pi.cli.main import main
from sotopia_pi.episodes.records import ActionType, Episode, StopReason
from sotopia_pi.episodes.views import messages as chat
from sotopia_pi.episodes.views import view
from sotopia_pi.errors import StoreError
from sotopia_pi.interop import Report, lines
from sotopia_pi.interop.episodes import import_episodes
from sotopia_pi.interop.problems import RecordError
from sotopia_pi.interop.published import Known, read_episode
from sotopia_pi.interop.sotopia import import_profiles
from sotopia_pi.ratings.records import Rating
from sotopia_pi.store import Store
from sotopia_pi.store.imports import Batch, Imports
from sotopia_pi.world.records import Character, Scenario, SocialTask

HUMAN = DATA / "sotopia_pi" / "human_eval"
published = pytest.mark.skipif(not HUMAN.is_dir(), reason="needs ../shared/data/sotopia_pi")
NOBODY = Known({}, {})
STAGE = "import/x"


@pytest.fixture
def store(tmp_path: Path) -> Iterator[Store]:
    with Store.open(tmp_path / "run.db") as opened:
        yield opened


def read(store: Store, path: Path, *records: Any, name: str = "x") -> Report:
    return import_episodes(store, [write(path / f"{name}.jsonl", records)], name)


def only(store: Store, path: Path, record: Any) -> tuple[SocialTask, Episode, list[Rating]]:
    """What the record became, which has to be read."""
    report = read(store, path, record)
    assert report.problems == []
    (found,) = store.episodes(STAGE)
    return store.task(found.task_id), found, list(store.ratings(STAGE))


def count(path: Path, query: str) -> int:
    with closing(sqlite3.connect(path)) as connection:
        return int(connection.execute(query).fetchone()[0])


# The published files


@published
@pytest.mark.parametrize("with_profiles", [True, False])
def test_the_published_episodes_are_read_completely(with_profiles: bool, store: Store) -> None:
    if with_profiles:
        import_profiles(store, DATA / "sotopia")
    report = import_episodes(store, sorted(HUMAN.glob("*.jsonl")), "human")
    assert (report.stored["import/human"], report.problems) == (84, [])
    assert len(report.notes) == (0 if with_profiles else 84)
    episodes = list(store.episodes("import/human"))
    assert len(episodes) == 84
    assert {len(e.players) for e in episodes} == {2}
    assert all("custom_model" in e.players for e in episodes)
    if with_profiles:
        hard = {task.scenario.id for task in store.tasks("sotopia/hard")}
        assert {task.scenario.id for task in store.tasks("import/human")} <= hard
    again = import_episodes(store, sorted(HUMAN.glob("*.jsonl")), "human")
    assert (again.stored.total(), again.known.total(), again.left_out) == (0, 84, 0)


# What a record becomes


def test_every_field_of_the_raw_format(store: Store, tmp_path: Path) -> None:
    task, found, ratings = only(store, tmp_path, episode())
    assert [who.name for who in task.characters] == list(NAMES)
    assert (task.characters[0].age, task.characters[0].occupation) == (40, "carpenter")
    assert task.characters[1].secret == "Tom never learnt to swim"
    assert (task.scenario.situation, task.scenario.source) == (SITUATION, "sotopia/env-ladder")
    assert task.scenario.goals == (f"{GOALS[0]} (Hint: offer something in return)", GOALS[1])
    assert found.players == ("model-one", "model-two")
    assert (found.stop_reason, found.failure) == (StopReason.LEFT, None)
    assert [(t.role, t.action.type, t.action.argument, t.valid) for t in found.turns] == [
        (0, ActionType.SPEAK, "May I have your ladder?", True),
        (1, ActionType.SPEAK, "Until when?", True),
        (0, ActionType.ACT, "points at the calendar", True),
        (1, ActionType.NONE, "", True),
        (0, ActionType.LEAVE, "", True),
    ]
    assert [(r.role, r.rater, r.scores["goal"], r.failure) for r in ratings] == [
        (0, "judge-model", 8.0, None),
        (1, "judge-model", 3.0, None),
    ]
    assert ratings[0].overall == pytest.approx(reward(goal=8)[0])
    assert "overall_score" not in ratings[0].scores
    assert ratings[0].reasons == {"believability": "She spoke naturally.", "goal": "She has the ladder."}
    assert ratings[1].reasons == {"goal": "The ladder is gone."}
    assert [task.id for task in store.tasks(STAGE)] == [task.id]


def test_with_imported_profiles_the_task_is_made_of_them(store: Store, tmp_path: Path) -> None:
    import_profiles(store, profiles(tmp_path / "in"))
    report = read(store, tmp_path, episode(), printed())
    assert (report.problems, report.notes) == ([], [])
    (task,) = store.tasks("sotopia/all")
    assert [found.task_id for found in store.episodes(STAGE)] == [task.id] * 2


def test_without_the_judge_among_the_models(store: Store, tmp_path: Path) -> None:
    _, found, ratings = only(store, tmp_path, episode(experiment_model_name_pairs=["one", "two"]))
    assert found.players == ("one", "two")
    assert {rating.rater for rating in ratings} == {"published"}


@pytest.mark.parametrize("zero", [0, 0.0, [0.0, {}], None, [0.0, None]])
def test_a_rating_that_failed_is_a_failure_and_no_score(zero: Any, store: Store, tmp_path: Path) -> None:
    _, _, ratings = only(store, tmp_path, episode(raw_rewards=[zero, reward(goal=4)]))
    assert ratings[0].scores == {} and (ratings[0].failure or "").startswith("the published rating failed")
    assert (ratings[1].scores["goal"], ratings[1].failure) == (4.0, None)


def test_one_zero_for_both_and_no_rewards_at_all(store: Store, tmp_path: Path) -> None:
    bare = {"raw_rewards": None, "rewards": []}
    read(store, tmp_path, episode("a", raw_rewards=0.0), episode("b", **bare))
    assert [r.failure is not None for r in store.ratings(STAGE)] == [True, True]


@pytest.mark.parametrize(
    "rewards",
    [
        [scores(goal=8), scores(goal=3)],
        [reward(goal=8), scores(goal=3)],
        {NAMES[1]: scores(goal=3), NAMES[0]: reward(goal=8)},
        [[NAMES[1], scores(goal=3)], [NAMES[0], scores(goal=8)]],
        [["3.5", {"goal": "8", "secret": None}], ["1", {"GOAL": "3.0", "overall": 2}]],
    ],
)
@pytest.mark.parametrize("field", ["raw_rewards", "rewards"])
def test_rewards_in_either_shape(rewards: Any, field: str, store: Store, tmp_path: Path) -> None:
    _, _, ratings = only(store, tmp_path, {**episode(raw_rewards=None, rewards=None), field: rewards})
    assert [rating.scores["goal"] for rating in ratings] == [8.0, 3.0]


@pytest.mark.parametrize("missing", sorted(set(episode()) - {"episode_id", "environment_id"}))
def test_a_field_that_is_told_elsewhere_may_be_missing(missing: str, store: Store, tmp_path: Path) -> None:
    whole = read_episode(episode(), STAGE, NOBODY)
    for value in (None, ...):
        record = episode(f"without-{value is None}", **{missing: value})
        if value is ...:
            del record[missing]
        assert read(store, tmp_path, record).problems == []
    for found in store.episodes(STAGE):
        assert store.task(found.task_id) == whole.task
        if missing != "raw_messages":  # the printed transcript does not show that somebody left
            assert [turn.action for turn in found.turns] == [turn.action for turn in whole.episode.turns]


def test_messages_alone_are_enough(store: Store, tmp_path: Path) -> None:
    record = {key: episode()[key] for key in ("episode_id", "environment_id", "raw_messages")}
    task, found, ratings = only(store, tmp_path, record)
    assert task == read_episode(episode(), STAGE, NOBODY).task
    assert (len(found.turns), found.players, ratings) == (5, ("unknown", "unknown"), [])


def test_the_order_of_the_agent_ids_is_the_order_of_roles(store: Store, tmp_path: Path) -> None:
    import_profiles(store, profiles(tmp_path / "in"))
    swapped = episode(agent_ids=[*reversed(IDS)], environment_id="env-other")
    report = read(store, tmp_path, swapped)
    assert report.problems == [] and "unknown environment id 'env-other'" in report.notes[0].reason
    (found,) = store.episodes(STAGE)
    task = store.task(found.task_id)
    assert [who.name for who in task.characters] == [NAMES[1], NAMES[0]]
    assert task.scenario.goals[0] == GOALS[1]
    assert (found.turns[0].role, found.players[0]) == (1, "model-one")
    assert [rating.scores["goal"] for rating in store.ratings(STAGE)] == [8.0, 3.0]


def test_what_contradicts_the_profiles_is_taken_from_the_record_and_noted(store: Store, tmp_path: Path) -> None:
    import_profiles(store, profiles(tmp_path / "in", agent=[agent(0), agent(1), agent(2)], casting=[casting()]))
    other = {NAMES[0]: "Sell the ladder", NAMES[1]: "Buy it"}
    report = read(store, tmp_path, episode("a", social_goals=other), episode("b", agent_ids=["agent-2", IDS[1]]))
    assert report.problems == []
    assert [note.line for note in report.notes] == [1, 2]
    assert "those of environment env-ladder" in report.notes[0].reason
    assert "agent agent-2 is Guest" in report.notes[1].reason
    assert {store.task(e.task_id).scenario.goals[0] for e in store.episodes(STAGE)} >= {"Sell the ladder"}


def test_a_printed_transcript_with_or_without_numbers(store: Store, tmp_path: Path) -> None:
    plain = "\n\n".join(f"{NAMES[i % 2]}{':' if act.startswith('[') else ''} {act}" for i, act in enumerate(SAID))
    twice = "\n".join(f"Turn #{i // 2}: {NAMES[i % 2]} {act}" for i, act in enumerate(SAID))
    bare = {"raw_messages": None, "raw_rewards_prompt": ""}
    for id, text in (("plain", plain), ("twice", twice)):
        assert read(store, tmp_path, episode(id, social_interactions=text, **bare)).problems == []
    assert read(store, tmp_path, printed()).problems == []
    wanted = [turn.action for turn in read_episode(episode(), STAGE, NOBODY).episode.turns[:4]]
    for found in store.episodes(STAGE):
        assert [turn.action for turn in found.turns] == wanted


def test_odd_turns_are_kept_and_not_imitated(store: Store, tmp_path: Path) -> None:
    speech = f'{NAMES[1]} said: "Two\nlines, and a "quote" in it."'
    acts = ['said: ""', speech, "said: no quotes", "[action] ", "did nothing"]
    _, found, _ = only(store, tmp_path, episode(raw_messages=messages(acts)))
    assert [(t.role, t.action.argument, t.valid) for t in found.turns] == [
        (0, "", False),
        (1, 'Two\nlines, and a "quote" in it.', True),
        (0, "no quotes", True),
        (1, "", False),
        (0, "", True),
    ]


def test_a_role_is_never_shown_what_only_its_partner_may_know(store: Store, tmp_path: Path) -> None:
    task, found, _ = only(store, tmp_path, episode(scenario=f'{SITUATION} <p viewer="agent_1">Tom sold it.</p>'))
    for role in (0, 1):
        text = json.dumps(chat(view(task, role, found.turns)))
        assert task.scenario.goals[role].split("(")[0] in text
        for hidden in (task.scenario.goals[1 - role], task.characters[1 - role].secret):
            assert hidden not in text
    assert "Tom sold it." in task.scenario.goals[1] and "Tom sold it." not in task.scenario.situation


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
    while stored(out) < 200:
        assert process.poll() is None, process.communicate()
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


@settings(max_examples=300, deadline=None, suppress_health_check=[HealthCheck.too_slow])
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


# The command line


def test_the_command_reports_what_it_did(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    out = tmp_path / "run"
    path = write(tmp_path / "set.jsonl", [episode("a"), "{", episode("\x1b[2Jb", agent_ids=["a"])])
    assert main(["import", "episodes", str(path), "--out", str(out)]) == 0
    said = capsys.readouterr().out
    assert "import/set: 1 imported" in said and "left out: 2" in said
    assert "set.jsonl:2: the line is not valid JSON" in said and "\x1b" not in said
    kept = json.loads((out / "import-episodes-set.json").read_text(encoding="utf-8"))
    assert [(p["line"], bool(p["reason"])) for p in kept["problems"]] == [(2, True), (3, True)]
    assert kept["stored"] == {"import/set": 1}


@pytest.mark.parametrize(
    ("content", "said"),
    [
        ([], "There are no records"),
        (["", "  ", ""], "There are no records"),
        ([agent(0), agent(1)], "None of 2 records could be read"),
        ([b"\x89PNG\r\n\x1a\n\x00\x00", b"\xff\xd8"], "could be read"),
        ([environment()], "None of 1 records"),
    ],
)
def test_files_that_are_none(content: list[Any], said: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = write(tmp_path / "x.jsonl", content)
    assert main(["import", "episodes", str(path), "--out", str(tmp_path / "run")]) != 0
    assert said in capsys.readouterr().err


@pytest.mark.parametrize("name", ["../x", "a/b", "", ".x", "a b", "x\n"])
def test_names_that_cannot_be(name: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = write(tmp_path / "x.jsonl", [episode()])
    out = tmp_path / "run"
    code = main(["import", "episodes", str(path), "--out", str(out), "--name", name, "--quiet"])
    if name:
        assert code != 0 and "--name" in capsys.readouterr().err
        assert not (out / "run.db").exists()
    else:
        assert code == 0  # as if it was not given


def test_what_is_no_file(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    for path in (tmp_path, tmp_path / "missing.jsonl"):
        assert main(["import", "episodes", str(path), "--out", str(tmp_path / "run")]) != 0
        assert "is not a file" in capsys.readouterr().err
