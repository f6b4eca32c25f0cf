"""Exports: round trips lose nothing, chats and folders have the shape that trainers and `datasets` expect."""

from __future__ import annotations

import importlib.util
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from hypothesis import Phase, given, settings
from hypothesis import strategies as st
from sotopia_files import DATA, NAMES, agent, casting, environment, episode, printed, profiles, relationship, write
from support import LIGHT, price_task, turn
from support import episode as played
from support import settings as sets

from sotopia_pi.cli.main import main
from sotopia_pi.episodes.records import SILENT, ActionType, Episode, StopReason, Turn
from sotopia_pi.errors import ConfigError, StoreError
from sotopia_pi.interop.chats import chats
from sotopia_pi.interop.episodes import import_episodes
from sotopia_pi.interop.export import export_episodes, export_profiles
from sotopia_pi.interop.hub import export_hub
from sotopia_pi.interop.sotopia import import_profiles
from sotopia_pi.prompts import default_prompts
from sotopia_pi.ratings.records import DIMENSIONS, Rating
from sotopia_pi.rundir import Run
from sotopia_pi.store import Store
from sotopia_pi.world.records import SocialTask

HUMAN = DATA / "sotopia_pi" / "human_eval"
FILES = (
    "agent_profiles.jsonl",
    "environment_profiles.jsonl",
    "relationship_profiles.jsonl",
    "env_agent_combo_storages.jsonl",
)


@pytest.fixture
def store(tmp_path: Path) -> Iterator[Store]:
    with Store.open(tmp_path / "run.db") as opened:
        yield opened


def contents(folder: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in sorted(folder.iterdir())}


def rows(path: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines()]


def everything(store: Store, stage: str) -> tuple[list[SocialTask], list[Episode], list[Rating]]:
    return store.tasks(stage), list(store.episodes(stage)), list(store.ratings(stage))


# Round trips


def trip(folder: Path, path: Path, name: str = "x") -> Path:
    """Imports a file into a new store and exports it again."""
    folder.mkdir()
    with Store.open(folder / "run.db") as store:
        assert import_episodes(store, [path], name).problems == []
        export_episodes(store, folder / "out.jsonl")
    return folder / "out.jsonl"


def test_imported_episodes_come_out_as_they_went_in(tmp_path: Path) -> None:
    odd = json.dumps(episode("ä\u0000"), ensure_ascii=True, separators=(", ", " :  "))
    records = [episode("b", unknown={"kept": [1.50, None]}), printed(), odd, episode("a", raw_rewards=[0.0, 0.0])]
    first = write(tmp_path / "in.jsonl", records)
    second = trip(tmp_path / "one", first)
    assert second.read_bytes() == first.read_bytes()
    assert trip(tmp_path / "two", second).read_bytes() == first.read_bytes()
    with Store.open(tmp_path / "one" / "run.db") as one, Store.open(tmp_path / "two" / "run.db") as two:
        assert everything(one, "import/x") == everything(two, "import/x")
        assert len(list(one.episodes())) == 4


def test_imported_profiles_come_out_as_they_went_in(tmp_path: Path) -> None:
    people = [agent(0, more="kept"), agent(1), agent(2)]
    folder = profiles(tmp_path / "in", agent=people, hard=["env-ladder"])
    for name in ("one", "two"):
        with Store.open(tmp_path / f"{name}.db") as store:
            assert import_profiles(store, folder).problems == []
            export_profiles(store, tmp_path / name)
        folder = tmp_path / name
    assert contents(tmp_path / "one") == contents(tmp_path / "two")
    for name in FILES:
        assert (tmp_path / "one" / name).read_bytes() == (tmp_path / "in" / name).read_bytes()
    assert json.loads((tmp_path / "two" / "hard_env_ids.json").read_text(encoding="utf-8")) == ["env-ladder"]


@pytest.mark.skipif(not DATA.is_dir(), reason="needs ../shared/data")
def test_published_data_comes_out_as_it_went_in(store: Store, tmp_path: Path) -> None:
    files = sorted(HUMAN.glob("*.jsonl"))
    import_profiles(store, DATA / "sotopia")
    import_episodes(store, files, "human")
    export_profiles(store, tmp_path / "out")
    for name in FILES:
        assert (tmp_path / "out" / name).read_bytes() == (DATA / "sotopia" / name).read_bytes()
    export_episodes(store, tmp_path / "out.jsonl")
    assert rows(tmp_path / "out.jsonl") == [row for file in files for row in rows(file)]


texts = st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\0"), min_size=1, max_size=30).filter(
    str.strip
)


@settings(max_examples=20, phases=[Phase.generate], database=None)
@given(
    said=st.lists(
        st.tuples(st.sampled_from(list(ActionType)), texts, st.booleans(), st.sampled_from([None, "$15", "$16.50"])),
        min_size=1,
        max_size=6,
    ),
    situation=texts,
    goals=st.tuples(texts, texts),
    fields=st.tuples(texts, texts, texts),
    goal=st.floats(0, 10),
    fail=st.booleans(),
)
def test_our_episodes_survive_a_trip_through_sotopias_format(
    said: Any,
    situation: str,
    goals: Any,
    fields: Any,
    goal: float,
    fail: bool,
    tmp_path_factory: pytest.TempPathFactory,
) -> None:
    folder = tmp_path_factory.mktemp("trip")
    task = price_task()
    scenario = task.scenario.model_copy(update={"situation": situation, "goals": goals})
    people = (
        task.characters[0].model_copy(update=dict(zip(("public_info", "secret", "occupation"), fields, strict=True))),
        task.characters[1],
    )
    task = SocialTask(scenario=scenario, characters=people)
    turns = [
        turn(n % 2, text, kind, None if kind in SILENT else terms, valid=valid)
        for n, (kind, text, valid, terms) in enumerate(said)
    ]
    made = played(task, turns, seed=2**62, repeat=3, seconds=1.5, stop_reason=StopReason.LIMIT)
    scores = {name: float(high) for name, (_, high) in DIMENSIONS.items()} | {"goal": goal, "humour": 3.0}
    ratings = [
        Rating(episode=made.key, role=0, rater="judge:m", scores=scores, reasons={"goal": situation}),
        Rating(episode=made.key, role=1, rater="judge:m", failure="no answer")
        if fail
        else Rating(episode=made.key, role=1, rater="verifier", scores={"goal": goal}, outcome={"deal": True}),
    ]
    with Store.open(folder / "a.db") as store:
        store.add_tasks("train", [task])
        store.add_episode(made, ratings)
        (held,) = store.episodes()
        ratings = list(store.ratings())
        task = store.task(held.task_id)
        export_episodes(store, folder / "a.jsonl")
        export_profiles(store, folder / "a")
    with Store.open(folder / "b.db") as store:
        assert import_profiles(store, folder / "a").problems == []
        assert store.tasks("sotopia/all") == [task]
        assert import_episodes(store, [folder / "a.jsonl"], "a").problems == []
        (found,) = store.episodes()
        assert found == held.model_copy(update={"key": found.key, "stage": "import/a"})
        assert store.task(found.task_id) == task
        assert list(store.ratings()) == [one.model_copy(update={"episode": found.key}) for one in ratings]
        export_episodes(store, folder / "b.jsonl")
        export_profiles(store, folder / "b")
    assert (folder / "a.jsonl").read_bytes() == (folder / "b.jsonl").read_bytes()
    assert contents(folder / "a") == contents(folder / "b")


def test_our_episodes_are_whole_records_for_other_readers(store: Store, tmp_path: Path) -> None:
    """Without the part that only we read, the record still tells the same."""
    task = price_task()
    turns = [turn(0, "19?", terms="$19"), turn(1, "nods", ActionType.NON_VERBAL), turn(0, "", ActionType.LEAVE)]
    made = played(task, turns)
    scores = {name: float(low) for name, (low, _) in DIMENSIONS.items()}
    reasons = {"goal": "It was not sold."}
    ratings = [Rating(episode=made.key, role=0, rater="judge:m", scores=scores, reasons=reasons)]
    ratings += [Rating(episode=made.key, role=1, rater="judge:m", failure="no answer")]
    store.add_tasks("train", [task])
    store.add_episode(made, ratings)
    export_episodes(store, tmp_path / "out.jsonl")
    (record,) = rows(tmp_path / "out.jsonl")
    assert set(record) == {*episode(), "sotopia_pi"}
    assert record["experiment_model_name_pairs"] == ["judge:m", "expert", "expert"]
    assert record["raw_rewards"][1] == 0.0 and record["raw_rewards"][0][1]["goal"] == 0.0
    del record["sotopia_pi"]
    report = import_episodes(store, [write(tmp_path / "bare.jsonl", [record])], "bare")
    assert report.problems == []
    (found,) = store.episodes("import/bare")
    told = [(one.role, one.action.model_copy(update={"terms": None})) for one in turns]
    assert [(one.role, one.action) for one in found.turns] == told
    again = list(store.ratings("import/bare"))
    assert (again[0].scores, again[0].reasons, again[0].rater) == (scores, reasons, "judge:m")
    assert again[1].failure is not None
    bare = store.task(found.task_id)
    assert [who.secret for who in bare.characters] == [who.secret for who in task.characters]
    assert (bare.scenario.situation, bare.scenario.goals) == (task.scenario.situation, task.scenario.goals)


def exported(folder: Path, task: SocialTask, *turns: Turn) -> dict[str, Any]:
    """The record of an episode with these turns."""
    with Store.open(folder / "from.db") as store:
        store.add_tasks("train", [task])
        store.add_episode(played(task, turns))
        export_episodes(store, folder / "from.jsonl")
    (record,) = rows(folder / "from.jsonl")
    return record


@pytest.mark.parametrize(
    ("kind", "declared"),
    [
        (ActionType.SPEAK, "$1,000,000"),
        (ActionType.SPEAK, "1 coin"),
        (ActionType.ACT, ""),
        (ActionType.ACT, "9" * 10_000),
        (ActionType.LEAVE, "$19"),
        (ActionType.NONE, "$19"),
    ],
)
def test_terms_that_cannot_be_declared_are_refused(
    store: Store, tmp_path: Path, kind: ActionType, declared: str
) -> None:
    record = exported(tmp_path, price_task(), turn(0, "19?", terms="$19"), turn(1, "No.", ActionType.LEAVE))
    record["sotopia_pi"]["episode"]["turns"][1]["action"] |= {"type": kind.value, "terms": declared}
    report = import_episodes(store, [write(tmp_path / "x.jsonl", [record])], "x")
    assert [problem.reason for problem in report.problems] == [
        "'sotopia_pi' has terms in turn 1 that cannot be declared there"
    ]


def test_an_open_task_has_no_terms(store: Store, tmp_path: Path) -> None:
    record = exported(tmp_path, price_task(), turn(0, "19?", terms="$19"))
    record["sotopia_pi"]["task"]["scenario"]["check"] = None
    report = import_episodes(store, [write(tmp_path / "x.jsonl", [record])], "x")
    assert "terms in turn 0" in report.problems[0].reason


def test_an_episode_from_before_outcomes_were_declared_keeps_its_check_and_ratings(tmp_path: Path) -> None:
    check = {"kind": "fact", "subjects": ["the code", "the name"]}
    record = exported(tmp_path, price_task(), turn(0, "It is blue."))
    ours = record["sotopia_pi"]
    ours["task"]["scenario"] |= {"kind": "fact", "check": check}
    del ours["episode"]["turns"][0]["action"]["terms"]
    ours["ratings"] = [Rating(episode="e1", role=0, rater="verifier", scores={"goal": 5.0}).model_dump(mode="json")]
    path = write(tmp_path / "old.jsonl", [record])
    for name in ("one", "two"):
        with Store.open(tmp_path / f"{name}.db") as store:
            assert import_episodes(store, [path], "x").problems == []
            (task,), (episode_,), (rated,) = everything(store, "import/x")
            assert task.scenario.verified and task.scenario.environment is None
            assert task.scenario.check.model_dump() == check  # type: ignore[union-attr]
            assert (rated.rater, rated.scores) == ("verifier", {"goal": 5.0})
            store.add_tasks("collect/bc", [task])
            store.add_episode(episode_.model_copy(update={"key": "own", "stage": "collect/bc"}), [])
            path = tmp_path / f"{name}.jsonl"
            export_episodes(store, path, ["collect/bc"])
            (written,) = rows(path)
            written["sotopia_pi"]["ratings"] = ours["ratings"]
            write(path, [written])


def test_one_stage_alone(store: Store, tmp_path: Path) -> None:
    import_episodes(store, [write(tmp_path / "x.jsonl", [episode()])], "x")
    task = price_task()
    store.add_tasks("train", [task])
    store.add_episode(played(task, [turn(0, "Hello")]))
    store.add_episode(played(task, [turn(0, "Lost")], key="e2", stop_reason=None, failure="the server is gone"))
    for stages, ids in (((), ["ep-1", "e1"]), (("import/x",), ["ep-1"]), (("collect/bc",), ["e1"])):
        export_episodes(store, tmp_path / "out.jsonl", stages)
        assert [row["episode_id"] for row in rows(tmp_path / "out.jsonl")] == ids
    store.add_episode(played(task, [], key="e3", stage="collect/none", stop_reason=None, failure="no server"))
    with pytest.raises(StoreError, match="no completed episodes"):
        export_episodes(store, tmp_path / "none.jsonl", ("collect/none",))
    with pytest.raises(ConfigError, match=r"no stage 'collect/non'.* did you mean 'collect/none'"):
        export_episodes(store, tmp_path / "none.jsonl", ("collect/non",))
    assert not (tmp_path / "none.jsonl").exists()
    assert [path.name for path in tmp_path.iterdir() if "partial" in path.name] == []


def test_an_export_that_cannot_be_written(store: Store, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    import_episodes(store, [write(tmp_path / "x.jsonl", [episode()])], "x")
    with pytest.raises(StoreError, match="is a folder"):
        export_episodes(store, tmp_path)
    with pytest.raises(StoreError, match="cannot be written"):
        export_episodes(store, tmp_path / "x.jsonl" / "y")
    (tmp_path / "full").mkdir()
    kept = write(tmp_path / "full" / "mine.txt", ["mine"])
    with pytest.raises(StoreError, match="is there already"):
        export_profiles(store, tmp_path / "full")
    assert kept.exists()
    with Store.open(tmp_path / "empty.db") as empty:
        for export in (lambda: export_profiles(empty, tmp_path / "p"), lambda: export_episodes(empty, tmp_path / "e")):
            with pytest.raises(StoreError, match="There are no"):
                export()
    assert not (tmp_path / "p").exists()


# Chats and folders


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run with one collected and selected round of scripted players, and imported episodes."""
    out = tmp_path_factory.mktemp("chat") / "run"
    rounds = 'rounds=[{name="bc", method="bc", repeats=2, select={rule="top_k", k=1}}]'
    assert main(["tasks", str(out), "--quiet", *sets(*LIGHT, "world.train={price=2}", rounds)]) == 0
    for verb in ("collect", "select"):
        assert main([verb, str(out), "--quiet"]) == 0
    path = write(out.parent / "x.jsonl", [episode(), episode("failed", raw_rewards=[0.0, 0.0]), printed()])
    assert main(["import", "episodes", str(path), "--out", str(out), "--quiet"]) == 0
    return out


def export(run: Path, out: Path, *options: str) -> Path:
    assert main(["export", str(run), "--out", str(out), "--quiet", *options]) == 0
    return out


def test_chats_are_what_the_roles_saw(run: Path, tmp_path: Path) -> None:
    whole = rows(export(run, tmp_path / "chat.jsonl", "--format", "chat"))
    assert len(whole) == 4
    for row in whole:
        assert [message["role"] for message in row["messages"][:2]] == ["system", "user"]
        assert {tuple(message) for message in row["messages"]} == {("role", "content")}
        assert row["messages"][-1]["role"] == "assistant"
        assert len(row["trained"]) == sum(message["role"] == "assistant" for message in row["messages"])
        assert (row["round"], row["role"] in (0, 1)) == ("bc", True)
    parts = rows(export(run, tmp_path / "parts.jsonl", "--format", "chat", "--completions"))
    assert len(parts) == sum(sum(row["trained"]) for row in whole)
    for row in parts:
        assert row["prompt"][-1]["role"] == "user"
        assert [message["role"] for message in row["completion"]] == ["assistant"]
        assert "action_type" in row["completion"][0]["content"]
    with Run.open(run, quiet=True) as opened:
        assert list(chats(opened.store, ["bc"], opened.config.max_turns, default_prompts())) == whole


def test_nothing_selected_is_said(run: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    out = tmp_path / "run"
    assert main(["tasks", str(out), "--quiet", *sets(*LIGHT)]) == 0
    assert main(["export", str(out), "--format", "chat", "--out", str(tmp_path / "c.jsonl")]) != 0
    assert "no selected examples" in capsys.readouterr().err
    assert main(["export", str(run), "--format", "chat", "--round", "none", "--out", str(tmp_path / "c.jsonl")]) != 0
    assert "There is no round 'none'" in capsys.readouterr().err
    assert main(["export", str(tmp_path / "none"), "--format", "hf", "--out", str(tmp_path / "h")]) != 0
    assert not (tmp_path / "none").exists()


def test_trl_takes_the_chats(run: Path, tmp_path: Path) -> None:
    pytest.importorskip("datasets")
    if importlib.util.find_spec("trl") is None:
        pytest.skip("needs trl")
    from trl.data_utils import is_conversational

    for options in ((), ("--completions",)):
        for row in rows(export(run, tmp_path / "c.jsonl", "--format", "chat", *options)):
            assert is_conversational({key: row[key] for key in ("messages", "prompt", "completion") if key in row})


def test_the_folder_has_rows_of_one_shape_and_a_card_that_names_them(run: Path, tmp_path: Path) -> None:
    folder = export(run, tmp_path / "hf", "--format", "hf")
    assert sorted(contents(folder)) == ["README.md", "chats.jsonl", "episodes.jsonl", "tasks.jsonl"]
    card = (folder / "README.md").read_text(encoding="utf-8")
    episodes = rows(folder / "episodes.jsonl")
    assert len(episodes) == 4 + 3
    for row in episodes:
        assert list(row) == list(episodes[0])
        assert all(name in card for name in row)
        assert all(list(rating["scores"]) == list(DIMENSIONS) for rating in row["ratings"])
        assert all(isinstance(one["terms"], str) for one in row["turns"])
    with Store.open(run / "run.db") as store:
        terms = {found.key: [one.action.terms or "" for one in found.turns] for found in store.episodes()}
    assert {row["episode"]: [one["terms"] for one in row["turns"]] for row in episodes} == terms
    assert any(declared for row in terms.values() for declared in row)
    failed = [rating for row in episodes for rating in row["ratings"] if rating["failure"]]
    assert len(failed) == 2 and {rating["overall"] for rating in failed} == {None}
    assert len(rows(export(run, tmp_path / "one", "--format", "hf", "--stage", "import/x") / "episodes.jsonl")) == 3


def test_datasets_loads_the_folder(run: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    datasets = pytest.importorskip("datasets")
    folder = export(run, tmp_path / "hf", "--format", "hf")
    for name, count in (("episodes", 7), ("chats", 4), ("tasks", 2 + 2 + 1)):
        loaded = datasets.load_dataset(str(folder), name, split="train", cache_dir=str(tmp_path / "cache"))
        assert len(loaded) == count
        assert loaded.column_names == list(rows(folder / f"{name}.jsonl")[0])
    assert datasets.load_dataset(str(folder), split="train", cache_dir=str(tmp_path / "cache")).num_rows == 7


def test_hostile_names_stay_in_their_files(store: Store, tmp_path: Path) -> None:
    name = "---\nconfigs: ../../x <script>"
    who = agent(0, first_name="../../etc", last_name="passwd", agent_id="../../../id")
    place = environment("../env", scenario=f"{name} at the fence")
    cast = casting("../c", env_id="../env", agent_ids=["../../../id", "agent-tom"])
    tie = relationship(agent1_id="../../../id")
    folder = profiles(tmp_path / "in", agent=[who, agent(1)], environment=[place], casting=[cast], relationship=[tie])
    assert import_profiles(store, folder).problems == []
    assert import_episodes(store, [write(tmp_path / "x.jsonl", [episode("../../e")])], "x").problems == []
    before = set(tmp_path.rglob("*"))
    export_profiles(store, tmp_path / "out")
    export_hub(store, tmp_path / "hf", "run", (), (), 20, default_prompts())
    made = set(tmp_path.rglob("*")) - before
    assert {path.parent.name for path in made} == {tmp_path.name, "out", "hf"}
    assert name not in (tmp_path / "hf" / "README.md").read_text(encoding="utf-8")
    assert NAMES[1] in (tmp_path / "hf" / "tasks.jsonl").read_text(encoding="utf-8")
