"""Published episode files: what every field becomes, in whatever shape it comes, and what the command says of it."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from sotopia_files import (
    DATA,
    GOALS,
    IDS,
    NAMES,
    NOBODY,
    SAID,
    SITUATION,
    STAGE,
    agent,
    casting,
    environment,
    episode,
    messages,
    only,
    printed,
    profiles,
    read,
    reward,
    scores,
    write,
)  # fmt: skip

from sotopia_pi.cli.main import main
from sotopia_pi.episodes.records import ActionType, StopReason
from sotopia_pi.episodes.views import messages as chat
from sotopia_pi.episodes.views import view
from sotopia_pi.interop.episodes import import_episodes
from sotopia_pi.interop.published import read_episode
from sotopia_pi.interop.sotopia import import_profiles
from sotopia_pi.store import Store

HUMAN = DATA / "sotopia_pi" / "human_eval"
published = pytest.mark.skipif(not HUMAN.is_dir(), reason="needs ../shared/data/sotopia_pi")


@pytest.fixture
def store(tmp_path: Path) -> Iterator[Store]:
    with Store.open(tmp_path / "run.db") as opened:
        yield opened


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
