"""SOTOPIA's profile files: what they become, what is refused and where, and that nothing goes in by half."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from sotopia_files import DATA, GOALS, SITUATION, agent, casting, environment, profiles, relationship, write

from sotopia_pi.cli.main import main
from sotopia_pi.errors import StoreError, WorldError
from sotopia_pi.evaluation.published import missing_tasks
from sotopia_pi.interop.sotopia import import_profiles
from sotopia_pi.store import Store
from sotopia_pi.store.imports import Batch, Imports
from sotopia_pi.world.records import Relationship

published = pytest.mark.skipif(not (DATA / "sotopia").is_dir(), reason="needs ../shared/data/sotopia")
LEFT = ["agent", "environment", "relationship", "casting", "hard"]


@pytest.fixture
def store(tmp_path: Path) -> Iterator[Store]:
    with Store.open(tmp_path / "run.db") as opened:
        yield opened


# The published files


@published
def test_the_published_files_are_read_completely(store: Store) -> None:
    report = import_profiles(store, DATA / "sotopia")
    assert dict(report.stored) == {"agent": 40, "environment": 90, "relationship": 120, "casting": 450, "hard": 14}
    assert report.problems == []
    assert [note.line for note in report.notes] == [22]  # one scenario's castings contradict it
    everything, hard = store.tasks("sotopia/all"), store.tasks("sotopia/hard")
    assert (len(everything), len(hard)) == (450, 70)
    assert missing_tasks("all", everything, 180) == missing_tasks("hard", hard, 140) == []
    assert {task.id for task in hard} < {task.id for task in everything}
    assert len({task.scenario.id for task in hard}) == 14
    texts = [text for task in everything for text in (task.scenario.situation, *task.scenario.goals)]
    assert not [text for text in texts if ("<" in text and ">" in text) or "_hint" in text or not text.strip()]
    assert sum("Hint:" in text for text in texts) > 100  # the words of hints stay
    constrained = [task for task in everything if any(c.occupations for c in task.scenario.casting)]
    for task in constrained:
        assert not {"nan", "none", ""} & {o.lower() for c in task.scenario.casting for o in c.occupations}


@published
def test_published_files_twice_add_nothing(store: Store) -> None:
    import_profiles(store, DATA / "sotopia")
    before = [task.id for task in store.tasks("sotopia/all")]
    again = import_profiles(store, DATA / "sotopia")
    assert (again.stored.total(), again.known.total(), again.left_out) == (0, 714, 0)
    assert [task.id for task in store.tasks("sotopia/all")] == before


@published
def test_the_benchmark_plays_the_hard_tasks(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    out = str(tmp_path / "run")
    assert main(["import", "sotopia", str(DATA / "sotopia"), "--out", out]) == 0
    models = ["--policy", "fake:", "--partner", "fake:", "--judge", "fake:judge"]
    for tasks, count in (("hard", 140), ("all", 180)):
        assert main(["evaluate", out, *models, "--tasks", tasks]) == 0
        assert f"{tasks}: {count} episodes, 0 failed" in capsys.readouterr().out


# What records become


def test_every_field_of_a_profile(store: Store, tmp_path: Path) -> None:
    report = import_profiles(store, profiles(tmp_path / "in", hard=["env-ladder"]))
    assert [report.stored[kind] for kind in LEFT] == [2, 1, 1, 1, 1]
    (task,) = store.tasks("sotopia/hard")
    ines = task.characters[0]
    assert (ines.name, ines.age, ines.gender, ines.pronouns) == ("Ines Vale", 40, "Woman", "She/her")
    assert (ines.occupation, ines.big_five, ines.decision_style) == ("Carpenter", "Openness - High", "Intuitive")
    assert (ines.moral_values, ines.schwartz_values) == (("Care", "Fairness"), ("Security", "Tradition"))
    assert ines.public_info and ines.personality and ines.secret == "Ines never learnt to swim"
    scenario = task.scenario
    assert (scenario.situation, scenario.relationship) == (SITUATION, Relationship.ACQUAINTANCE)
    assert scenario.goals == (f"{GOALS[0]} (Hint: offer something in return)", GOALS[1])
    assert [(c.age.low, c.age.high, c.occupations) for c in scenario.casting] == [(18, 70, ()), (18, 70, ())]
    assert (scenario.kind, scenario.source) == ("hand-made", "sotopia/env-ladder")


@pytest.mark.parametrize("none", ["nan", "none", "None", "NaN", "", None, "[]", float("nan")])
def test_no_constraint_is_written_in_many_ways(none: Any, store: Store, tmp_path: Path) -> None:
    changed = environment(age_constraint=none if none != "[]" else "nan", occupation_constraint=none)
    if none == "[]":
        changed["occupation_constraint"] = "[[], []]"
    report = import_profiles(store, profiles(tmp_path / "in", environment=[changed]))
    assert report.problems == []
    (task,) = store.tasks("sotopia/all")
    assert all(not c.occupations and (c.age.low, c.age.high) == (18, 120) for c in task.scenario.casting)


@pytest.mark.parametrize("jobs", ["[carpenter, Carpenter]", "[[carpenter, baker], []]", "['carpenter', 'nan']"])
def test_occupations_by_role(jobs: str, store: Store, tmp_path: Path) -> None:
    report = import_profiles(store, profiles(tmp_path / "in", environment=[environment(occupation_constraint=jobs)]))
    assert (report.problems, report.notes[0].reason) == (
        [],
        "the file is not there, so the group sotopia/hard is not made",
    )
    (task,) = store.tasks("sotopia/all")
    assert "carpenter" in task.scenario.casting[0].occupations


def test_castings_win_over_an_occupation_that_they_do_not_keep_to(store: Store, tmp_path: Path) -> None:
    folder = profiles(tmp_path / "in", environment=[environment(occupation_constraint="[actor, lawyer]")], hard=[])
    report = import_profiles(store, folder)
    assert (report.problems, [note.line for note in report.notes]) == ([], [1])
    assert store.tasks("sotopia/all")[0].scenario.casting[0].occupations == ()


def test_marks_go_and_what_one_role_may_see_is_told_to_it_alone(store: Store, tmp_path: Path) -> None:
    changed = environment(
        scenario=SITUATION + ' <p viewer="agent_1">The ladder is broken.</p><p viewer="environment">Rate it.</p>',
        agent_goals=["Ask <extra_info>Extra information: it rains</extra_info>", "Decide"],
    )
    import_profiles(store, profiles(tmp_path / "in", environment=[changed]))
    scenario = store.tasks("sotopia/all")[0].scenario
    assert scenario.situation == SITUATION
    assert scenario.goals == ("Ask. Extra information: it rains", "Decide The ladder is broken.")


def test_names_of_the_database_and_numbers_in_either_shape(store: Store, tmp_path: Path) -> None:
    people = [agent(0, age="40", mbti=None), agent(1, age=41.0, big_five=None, moral_values=None)]
    people = [{**{k: v for k, v in one.items() if k != "agent_id"}, "pk": one["agent_id"]} for one in people]
    place = {**environment(relationship=2), "pk": "env-ladder"}
    del place["env_id"], place["codename"], place["agent_constraint"]
    tie = {"pk": "r", "agent_1_id": "agent-ines", "agent_2_id": "agent-tom", "relationship": "2.0"}
    cast = {"pk": "c", "env_id": "env-ladder", "agent_ids": ["agent-ines", "agent-tom"], "more": {"x": 1}}
    folder = profiles(tmp_path / "in", agent=people, environment=[place], relationship=[tie], casting=[cast])
    report = import_profiles(store, folder)
    assert report.problems == []
    assert [who.age for who in store.tasks("sotopia/all")[0].characters] == [40, 41]


# What cannot be read


BAD: dict[str, list[tuple[Any, str]]] = {
    "agent": [
        ("{", "not valid JSON"),
        (b'{"agent_id": "\xff"}', "not UTF-8"),
        ("[1]", "not a JSON object"),
        ('{"a":' * 5000 + "1" + "}" * 5000, "not valid JSON"),
        (agent(0), "duplicate id: it is also on line 1"),
        (agent(4, age=7), "age"),
        (agent(5, age="old"), "'age' is not a whole number"),
        (agent(6, first_name=None), "'first_name' is missing"),
        (agent(7, moral_values="Care"), "'moral_values' is not a list"),
        ({"first_name": "Nobody"}, "'agent_id' is missing"),
    ],
    "environment": [
        (environment("e1", agent_goals=["One"]), "goals for 1 roles"),
        (environment("e2", relationship="9"), "levels are 0 to 5"),
        (environment("e3", age_constraint="[(18, 70)]"), "one (low, high) per role"),
        (environment("e4", age_constraint="[(70, 18), (18, 70)]"), "empty"),
        (environment("e5", occupation_constraint="[actor]"), "one entry per role"),
        (environment("e6", scenario=""), "situation"),
        (environment("e7", agent_goals=["", "Two"]), "every role needs a goal"),
        (environment(""), "is empty"),
        (environment("e8", scenario=["a"]), "'scenario' is not a text"),
    ],
    "relationship": [
        (relationship("r1", agent1_id="nobody"), "unknown agent id 'nobody'"),
        (relationship("r2", relationship="friends"), "not a whole number"),
    ],
    "casting": [
        (casting("c1", env_id="nowhere"), "unknown environment id 'nowhere'"),
        (casting("c2", agent_ids=["agent-ines", "nobody"]), "unknown agent id 'nobody'"),
        (casting("c3", agent_ids=["agent-ines"]), "1 characters for 2 roles"),
        (casting("c4", agent_ids=["agent-ines", "agent-ines"]), "the same name"),
        (casting("c5", agent_ids=None), "'agent_ids' is missing"),
    ],
}
GOOD = {"agent": [agent(0), agent(1)], "environment": [environment()], "relationship": [relationship()]}
GOOD["casting"] = [casting()]


def test_every_bad_record_is_listed_with_its_line_and_the_good_ones_go_in(store: Store, tmp_path: Path) -> None:
    folder = profiles(tmp_path / "in", **{kind: [*GOOD[kind], *(bad for bad, _ in BAD[kind])] for kind in BAD})
    report = import_profiles(store, folder)
    assert [report.stored[kind] for kind in LEFT] == [2, 1, 1, 1, 0]
    found = [(problem.file.partition("_")[0], problem.line, problem.reason) for problem in report.problems]
    for kind, name in (
        ("agent", "agent"),
        ("environment", "environment"),
        ("relationship", "relationship"),
        ("casting", "env"),
    ):
        own = [(line, reason) for file, line, reason in found if file == name]
        assert [line for line, _ in own] == [len(GOOD[kind]) + 1 + n for n in range(len(BAD[kind]))]
        for (_, reason), (_, expected) in zip(own, BAD[kind], strict=True):
            assert expected in reason
    assert report.left_out == len(found) == sum(map(len, BAD.values()))


def test_another_record_with_a_stored_id_is_left_out(store: Store, tmp_path: Path) -> None:
    import_profiles(store, profiles(tmp_path / "one"))
    report = import_profiles(store, profiles(tmp_path / "two", agent=[agent(0, age=50), agent(1)]))
    assert [(p.line, p.reason) for p in report.problems] == [(1, "duplicate id: another record with it is stored")]
    assert store.tasks("sotopia/all")[0].characters[0].age == 40


def test_missing_files_and_a_broken_list_of_hard_scenarios(store: Store, tmp_path: Path) -> None:
    folder = profiles(tmp_path / "in", hard=["env-ladder", "env-nowhere"])
    report = import_profiles(store, folder)
    assert [(p.file, p.line, p.id) for p in report.problems] == [("hard_env_ids.json", 2, "env-nowhere")]
    for text in (b"\xff", b"{", b'"x"', b"[1]"):
        (folder / "hard_env_ids.json").write_bytes(text)
        with pytest.raises(WorldError, match=r"hard_env_ids\.json"):
            import_profiles(store, folder)
    (folder / "agent_profiles.jsonl").unlink()
    with pytest.raises(WorldError, match=r"has no agent_profiles\.jsonl"):
        import_profiles(store, folder)


def test_an_import_that_fails_on_the_way_is_completed_by_the_next(
    store: Store, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = profiles(tmp_path / "in", hard=["env-ladder"])
    whole = Imports.add

    def full(self: Imports, batch: Batch) -> None:
        if batch.tasks:
            raise StoreError("the disk is full")
        whole(self, batch)

    monkeypatch.setattr(Imports, "add", full)
    with pytest.raises(StoreError):
        import_profiles(store, folder)
    monkeypatch.undo()
    assert store.tasks("sotopia/all") == []
    report = import_profiles(store, folder)
    assert (report.stored["casting"], report.known["agent"], report.problems) == (1, 2, [])
    assert len(store.tasks("sotopia/hard")) == 1


# The command line


def test_the_command_names_what_is_left_out_and_keeps_a_report(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    hostile = agent(3, first_name=None, agent_id="\x1b[2J" + "x" * 2000)
    folder = profiles(tmp_path / "in", agent=[agent(0), agent(1), hostile])
    assert main(["import", "sotopia", str(folder), "--out", str(tmp_path / "run")]) == 0
    said = capsys.readouterr().out
    assert "agent: 2 imported" in said and "left out: 1" in said and "agent_profiles.jsonl:3" in said
    assert "\x1b" not in said and len(said) < 2000
    kept = json.loads((tmp_path / "run" / "import-sotopia.json").read_text(encoding="utf-8"))
    assert kept["left_out"] == 1 and kept["problems"][0]["line"] == 3


def test_what_is_no_folder_of_profiles(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    file = write(tmp_path / "x.jsonl", [agent(0)])
    for path, said in ((file, "is not a folder"), (tmp_path, "has no agent_profiles.jsonl")):
        assert main(["import", "sotopia", str(path), "--out", str(tmp_path / "run")]) != 0
        assert said in capsys.readouterr().err
    empty = profiles(tmp_path / "in", agent=[], environment=[], relationship=[], casting=[])
    assert main(["import", "sotopia", str(empty), "--out", str(tmp_path / "run")]) != 0
    assert "There are no records" in capsys.readouterr().err
