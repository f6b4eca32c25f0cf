"""Studies as their owner meets them: making one, how far it is, what is taken away, the command line."""

from __future__ import annotations

import csv
import io
import json
import math
import re
import sqlite3
import tomllib
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

import pytest
from sotopia_files import DATA
from studying import MIDDLE, begun, fill, filled, key_of, new_study, played, rate_next

from sotopia_pi.cli.main import main
from sotopia_pi.errors import ConfigError, StoreError
from sotopia_pi.ratings.records import Rating
from sotopia_pi.store import Store
from sotopia_pi.studies import choosing
from sotopia_pi.studies.desk import Desk
from sotopia_pi.studies.export import export_csv, export_jsonl, header
from sotopia_pi.studies.records import End, StudySettings
from sotopia_pi.studies.status import status
from sotopia_pi.web.places import close_places, open_places


@pytest.fixture
def store(where: str) -> Iterator[Store]:
    """An empty store, on SQLite and on PostgreSQL."""
    with Store.open(where) as opened:
        yield opened


# What the owner sees and takes away


def test_the_export_has_the_released_columns(store: Store) -> None:
    desk = Desk(store, new_study(store, count=2))
    for n in range(2):
        token = begun(desk, f"p{n}")
        while rate_next(desk, token):
            pass
    rows = list(csv.DictReader(io.StringIO("".join(export_csv(store, desk.study)))))
    assert [row["pk"] for row in rows] == [key_of(0)] * 2 + [key_of(1)] * 2
    assert {row["model"] for row in rows} == {"secretpolicy"}
    assert rows[0]["goal_1"] == rows[0]["goal_2"] == "5"
    assert rows[0]["goal_reasoning_2"] == "Because of turn 2 (goal)."
    assert json.loads(rows[0]["data"])["names"] == ["Ada Moss", "Bo Lind"]
    lines = [json.loads(line) for line in export_jsonl(store, desk.study)]
    assert len(lines) == 4
    assert lines[0]["scores"]["0"]["goal"] == 5


def test_the_header_is_that_of_the_released_file() -> None:
    released = DATA / "sotopia_pi" / "human_eval" / "BC.csv"
    if not released.is_file():
        pytest.skip("the released human ratings are not on this machine")
    with released.open(encoding="utf-8", newline="") as file:
        assert next(csv.reader(file)) == header(StudySettings().dimensions)


def test_a_reason_that_a_spreadsheet_would_run_is_quoted(store: Store) -> None:
    desk = Desk(store, new_study(store, count=1, annotators=1))
    annotator = desk.annotator(begun(desk))
    assert annotator is not None
    own = desk.step(annotator).assignment
    assert own is not None
    desk.submit(annotator, own, filled(**{"reason-1-goal": "=1+1", "reason-2-goal": "=1+1"}))
    (row,) = csv.DictReader(io.StringIO("".join(export_csv(store, desk.study))))
    assert row["goal_reasoning_1"] == "'=1+1"
    assert all(one.reasons["goal"] == "=1+1" for one in store.ratings())


def test_agreement_counts_what_people_said(store: Store) -> None:
    desk = Desk(store, new_study(store, count=3))
    for shift in (0, 1):
        token = begun(desk, f"p{shift}")
        while rate_next(desk, token, shift):
            pass
    goal = next(one for one in status(store, desk.study).agreement if one.dimension == "goal")
    assert (goal.units, goal.ratings, goal.mean) == (6, 12, 5.5)
    assert goal.pairwise[2].value == 1.0
    assert goal.alpha.value is not None and goal.alpha.value < 0  # everybody differs by one, and items by nothing


# Making one


def test_the_same_tasks_are_drawn_from_every_stage(store: Store) -> None:
    fill(store, 12)
    twins = [played(n, "evaluate/other").model_copy(update={"key": f"twin{n:04d}"}) for n in range(12)]
    store.add_episodes([(one, []) for one in twins])
    keys = choosing.choose(store, n=6, seed=3)
    drawn = Counter(one.task_id for one in store.studies.candidates(keys=keys))
    assert len(keys) == 6 and set(drawn.values()) == {2}
    assert choosing.choose(store, n=6, seed=3) == keys != choosing.choose(store, n=6, seed=4)
    assert choosing.choose(store, ["evaluate/other"], n=2)[0].startswith("twin")
    with pytest.raises(ConfigError, match="no completed episodes of 'x'; the stages are: evaluate/other, evaluate/sec"):
        choosing.choose(store, ["x"])
    with pytest.raises(ConfigError, match="No completed episode fits"):
        choosing.choose(store, policies=["nobody"])


def test_what_cannot_be_a_study_is_refused(store: Store) -> None:
    keys = fill(store, 2)
    usual = StudySettings()
    with pytest.raises(ConfigError, match="cannot be a study's name"):
        choosing.create(store, "Not A Slug", usual, keys)
    with pytest.raises(ConfigError, match="no completed episode here"):
        choosing.create(store, "a", usual, ["nothing"])
    with pytest.raises(ConfigError, match="besides those of its qualification"):
        choosing.create(store, "a", usual, keys, dict.fromkeys(keys, MIDDLE))
    with pytest.raises(ConfigError, match="name the role 2; its roles are 0, 1"):
        choosing.create(store, "a", usual, keys[1:], {keys[0]: {"1": {"goal": 8.0}, "2": {"goal": 3.0}}})
    with pytest.raises(ConfigError, match="are of no dimension of the study; those are believability"):
        choosing.create(store, "a", usual, keys[1:], {keys[0]: {"1": {"joy": 8.0}}})
    choosing.create(store, "a", usual, keys)
    with pytest.raises(StoreError, match="already: choose another name"):
        choosing.create(store, "a", usual, keys)
    with pytest.raises(ConfigError, match="annotator is not a setting of a study"):
        choosing.settings_from({"annotator": 3}, "s.toml")
    for unmeasured in ({"qualification": {"tolerance": math.inf}}, {"reannotation": {"threshold": math.nan}}):
        with pytest.raises(ConfigError, match="finite number"):
            choosing.settings_from(unmeasured, "s.toml")
    with pytest.raises(ConfigError, match="web address"):
        choosing.settings_from({"done": {"url": "javascript:alert(1)"}}, "s.toml")


def test_a_study_that_cannot_be_read_is_an_error_with_a_sentence(tmp_path: Path) -> None:
    with Store.open(tmp_path / "run.db") as store:
        choosing.create(store, "a", StudySettings(), fill(store, 1))
    with sqlite3.connect(tmp_path / "run.db") as connection:
        connection.execute("UPDATE studies SET settings = '{\"annotators\": 0}'")
    connection.close()
    with Store.open(tmp_path / "run.db") as store:
        for read in (store.studies.all, lambda: store.studies.find("a")):
            with pytest.raises(StoreError, match="holds a record that cannot be read"):
                read()


def test_references_come_from_a_rater_or_a_file(store: Store, tmp_path: Path) -> None:
    fill(store, 3)
    store.add_ratings(
        [Rating(episode=key_of(1), role=role, rater="human:me/x", scores={"goal": 7.0}) for role in (0, 1)]
    )
    assert choosing.references_of(store, "human:me/x", []) == {key_of(1): {"0": {"goal": 7.0}, "1": {"goal": 7.0}}}
    with pytest.raises(ConfigError, match="has not rated"):
        choosing.references_of(store, "human:me/x", [key_of(0)])
    with pytest.raises(ConfigError, match="no ratings by 'judge'"):
        choosing.references_of(store, "judge", [])
    path = tmp_path / "r.csv"
    path.write_text("pk,goal_1,goal_2\nk,8,2\nk,6,\n", encoding="utf-8")
    assert choosing.read_references(path, StudySettings()) == {"k": {"0": {"goal": 7.0}, "1": {"goal": 2.0}}}
    path = tmp_path / "r.json"
    path.write_text('{"k": {"0": {"goal": 8}}}', encoding="utf-8")
    assert choosing.read_references(path, StudySettings()) == {"k": {"0": {"goal": 8.0}}}
    for wrong in (
        '{"k": {"0": {"goal": 80}}}',
        '{"k": {"0": {"joy": 1}}}',
        "[]",
        "{}",
        "no",
        '{"k": {"a": {}}}',
        '{"k": 1}',
    ):
        path.write_text(wrong, encoding="utf-8")
        with pytest.raises(ConfigError, match="reference scores"):
            choosing.read_references(path, StudySettings())


def test_a_study_lives_in_another_database_with_copies(store: Store, tmp_path: Path) -> None:
    keys = fill(store, 3)
    store.add_ratings([Rating(episode=key_of(0), role=0, rater="judge:x", scores={"goal": 1.0})])
    with Store.open(tmp_path / "other.db") as other:
        assert choosing.copy_episodes(store, other, "first", keys[:2]) == 2
        assert choosing.copy_episodes(store, other, "first", keys[:2]) == 0
        assert list(other.ratings()) == []
        desk = Desk(other, choosing.create(other, "first", StudySettings(), keys[:2]))
        assert rate_next(desk, begun(desk)) in keys
        assert list(other.episodes()) == list(store.episodes(keys=keys[:2]))


def test_the_documented_settings_are_the_defaults() -> None:
    page = (Path(__file__).parent.parent / "docs" / "studies.md").read_text(encoding="utf-8")
    (shown,) = re.findall(r"^```toml study.toml\n(.*?)^```", page, re.MULTILINE | re.DOTALL)
    found = choosing.settings_from(tomllib.loads(shown), "docs/studies.md")
    assert found.done.code is not None
    assert found.model_copy(update=dict.fromkeys(("done", "screened_out", "nothing_left"), End())) == StudySettings()


# The command line


def test_the_verbs(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    with Store.open(tmp_path / "run.db") as store:
        keys = fill(store, 4)
        store.add_ratings([Rating(episode=keys[3], role=0, rater="judge:x", scores={"goal": 5.0})])
    (tmp_path / "study.toml").write_text('annotators = 1\n[done]\ncode = "ABC"\n', encoding="utf-8")
    run = str(tmp_path)
    made = ["study", "create", run, "--name", "one", "--config", str(tmp_path / "study.toml"), "--n", "2"]
    assert main([*made, "--reference-rater", "judge:x"]) == 0
    assert "2 episodes, 1 for the qualification" in capsys.readouterr().out
    with Store.open(tmp_path / "run.db") as store:
        desk = Desk(store, choosing.find(store, "one"))
        token = begun(desk, "p")
        while rate_next(desk, token):
            pass
    assert main(["study", "list", run]) == 0
    assert "one  open  2 of 2 episodes  /rate/" in capsys.readouterr().out
    assert main(["study", "status", run, "--name", "one"]) == 0
    said = capsys.readouterr().out
    assert "ratings    2 of 2; 0 in hand" in said and "qualified, 2 rated" in said and "goal" in said
    assert main(["study", "export", run, "--name", "one", "--out", str(tmp_path / "out.csv")]) == 0
    assert "2 submissions" in capsys.readouterr().out
    assert main(["study", "export", run, "--name", "one", "--qualification"]) == 0
    assert len(capsys.readouterr().out.splitlines()) == 2
    assert main(["study", "close", run, "--name", "one"]) == 0
    assert main(["study", "status", run, "--name", "one"]) == 0
    assert "one (closed)" in capsys.readouterr().out
    assert main(["study", "open", run, "--name", "none"]) == StoreError.exit_code
    assert "has no study 'none': the studies are one" in capsys.readouterr().err
    assert main(["study", "list", str(tmp_path / "nowhere")]) == ConfigError.exit_code
    other = ["study", "create", run, "--name", "two", "--stage", "evaluate/secretpolicy"]
    assert main([*other, "--database", str(tmp_path / "other.db")]) == 0
    assert main(["study", "list", str(tmp_path / "other.db")]) == 0
    assert "two  open  0 of 4" in capsys.readouterr().out
    (place,) = open_places([str(tmp_path / "other.db")])
    assert [study.name for study in place.store.studies.all()] == ["two"]
    close_places([place])


def test_human_eval_reads_studies(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    with Store.open(tmp_path / "run.db") as store:
        desk = Desk(store, new_study(store, count=4))
        for name in ("p", "q"):
            token = begun(desk, name)
            while rate_next(desk, token):
                pass
        key = next(iter(store.ratings())).episode
        store.add_ratings([Rating(episode=key, role=role, rater="judge:x", scores={"goal": 9.0}) for role in (0, 1)])
    run = str(tmp_path)
    assert main(["human-eval", run, "--json"]) == 0
    found = json.loads(capsys.readouterr().out)
    assert (found["n_episodes"], found["n_annotations"], found["n_annotators"]) == (4, 8, 2)
    assert found["target"]["goal"]["mean"] == 5.0
    assert found["judges"]["judge:x"]["target"]["goal"]["gap"] == 4.0
    assert main(["human-eval", run, "--study", "none"]) == StoreError.exit_code
    assert "has no study 'none': the studies are first" in capsys.readouterr().err
    assert main(["study", "create", run, "--name", "new", "--n", "1"]) == 0
    assert main(["human-eval", run, "--study", "new"]) == ConfigError.exit_code
    assert "rated nothing in the study 'new' yet" in capsys.readouterr().err
    assert main(["human-eval", run, "--policy", "nobody"]) == ConfigError.exit_code
    assert "they did of secretpolicy" in capsys.readouterr().err
    assert main(["human-eval", run, "--target", "x"]) == ConfigError.exit_code


def test_human_eval_counts_both_roles_of_self_play(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    with Store.open(tmp_path / "run.db") as store:
        fill(store, 1)
        alone = played(0, "collect/sr").model_copy(update={"key": "alone", "players": ("sr", "sr")})
        store.add_episodes([(alone, [])])
        for role, rater, goal in ((0, "human:one/p", 4.0), (1, "human:one/p", 5.0), (1, "judge:x", 9.0)):
            store.add_ratings([Rating(episode="alone", role=role, rater=rater, scores={"goal": goal})])
    assert main(["human-eval", str(tmp_path), "--json"]) == 0
    found = json.loads(capsys.readouterr().out)
    assert (found["target"]["goal"]["mean"], found["target"]["goal"]["n"]) == (4.5, 2)
    assert (found["judges"]["judge:x"]["target"]["goal"]["gap"], found["agreement"]["goal"]["n"]) == (4.0, 0)
