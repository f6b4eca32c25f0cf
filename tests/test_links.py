"""A run or a policy from a stranger: what is no file of its own is refused by name, and nothing outside is touched."""

from __future__ import annotations

import json
import os
import shutil
import sqlite3
from collections.abc import Callable
from pathlib import Path

import pytest
from support import LIGHT, settings
from test_search import hits, opened

from sotopia_pi.cli.main import main
from sotopia_pi.errors import StoreError
from sotopia_pi.evaluation.harness import Asked, Settings, Weights, answers
from sotopia_pi.files import check_plain, check_tree, within, write_whole
from sotopia_pi.interop.files import new_file, new_folder
from sotopia_pi.rundir import Run
from sotopia_pi.store import Store
from sotopia_pi.training.push import pushed
from sotopia_pi.web.search import FILE, TextIndex

SECRET = "precious"


@pytest.fixture
def victim(tmp_path: Path) -> Path:
    """A file of the user's that is nobody else's business."""
    path = tmp_path / "victim"
    path.write_text(SECRET, encoding="utf-8")
    return path


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = tmp_path_factory.mktemp("whole") / "run"
    assert main(["run", "--quiet", "--out", str(out), *settings(*LIGHT, 'models.policy="scripted:fair"')]) == 0
    return out


@pytest.fixture
def run(whole: Path, tmp_path: Path) -> Path:
    return shutil.copytree(whole, tmp_path / "run")


def symlink(at: Path, to: Path) -> None:
    at.symlink_to(to)


def dangling(at: Path, to: Path) -> None:
    at.symlink_to(to.with_name("not there"))


def pipe(at: Path, to: Path) -> None:
    os.mkfifo(at)


def hard_link(at: Path, to: Path) -> None:
    at.hardlink_to(to)


TRAPS = (symlink, dangling, pipe)


@pytest.mark.parametrize("trap", TRAPS)
@pytest.mark.parametrize(
    "name",
    ["report.html", ".report.html.partial", ".report.json.partial", "config.toml", "run.db", "run.db-wal", "run.lock"],
)
def test_no_verb_follows_what_is_no_file(
    name: str, trap: Callable[[Path, Path], None], run: Path, victim: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (run / name).unlink(missing_ok=True)
    trap(run / name, victim)
    before = sorted(path.name for path in victim.parent.iterdir())
    assert main(["report", str(run), "--quiet"]) == 4
    said = capsys.readouterr().err
    assert f"{name} is a {'pipe' if trap is pipe else 'link'}" in said and said.count("\n") == 1
    assert victim.read_text(encoding="utf-8") == SECRET
    assert sorted(path.name for path in victim.parent.iterdir()) == before


@pytest.mark.parametrize("name", ["run.db", "run.lock"])
def test_what_is_changed_in_place_has_one_name(name: str, run: Path, tmp_path: Path) -> None:
    (run / name).touch()
    (tmp_path / "second").hardlink_to(run / name)
    with pytest.raises(StoreError, match="has a second name elsewhere"):
        Run.open(run)
    if name == "run.db":
        with Run.reading(run) as looking:
            assert looking.store.read_only


def test_a_run_that_is_reached_over_a_link_is_the_users_own(run: Path, tmp_path: Path) -> None:
    (tmp_path / "shortcut").symlink_to(run)
    assert main(["report", str(tmp_path / "shortcut"), "--quiet"]) == 0


def test_a_journal_that_names_another_file_is_not_played_back(run: Path, victim: Path) -> None:
    """SQLite would remove the file that it names."""
    name = str(victim).encode()
    magic = bytes.fromhex("d9d505f920a163d7")
    ending = name + len(name).to_bytes(4, "big") + sum(name).to_bytes(4, "big") + magic
    (run / "run.db-journal").write_bytes(magic + bytes(504) + ending)
    for open_ in (Run.open, Run.reading):
        with pytest.raises(StoreError, match="names another file"):
            open_(run)
    assert victim.exists()


@pytest.mark.parametrize("trap", [*TRAPS, hard_link])
def test_files_appear_only_where_nothing_else_is(
    trap: Callable[[Path, Path], None], victim: Path, tmp_path: Path
) -> None:
    folder = tmp_path / "folder"
    folder.mkdir()
    trap(folder / ".x.partial", victim)
    if trap is hard_link:  # a leftover like any other: it is removed, and the other name stays what it was
        write_whole(folder / "x", "new")
    else:
        with pytest.raises(StoreError, match="only files are followed"):
            write_whole(folder / "x", "new")
        for new in (new_file, new_folder):
            with pytest.raises(StoreError, match="only files are followed"), new(folder / "x"):
                pass
    assert victim.read_text(encoding="utf-8") == SECRET


def test_leftovers_of_a_killed_process_are_removed(tmp_path: Path) -> None:
    (tmp_path / ".x.partial").mkdir()
    (tmp_path / ".x.partial" / "half").touch()
    write_whole(tmp_path / "x", "new")
    assert [path.name for path in tmp_path.iterdir()] == ["x"]


def test_devices_are_not_replaced() -> None:
    with pytest.raises(StoreError, match="is a device"):
        write_whole(Path(os.devnull), "x")


def test_folders_that_are_links_are_named(run: Path, tmp_path: Path, victim: Path) -> None:
    (tmp_path / "outside").mkdir()
    for name in ("policies", "ability", "bias"):
        (run / name).symlink_to(tmp_path / "outside")
        with pytest.raises(StoreError, match=f"{name} is a link"):
            within(run, name, "x")
    with Run.open(run, quiet=True) as opened_run, pytest.raises(StoreError, match="policies is a link"):
        opened_run.place_of_policy("bc")
    tree = tmp_path / "tree"
    (tree / "checkpoint-1").mkdir(parents=True)
    (tree / "checkpoint-1" / "metrics\x1b[2J.jsonl").symlink_to(victim)
    with pytest.raises(StoreError, match=r"metrics\\x1b\[2J.jsonl' is a link"):
        check_tree(tree)
    check_plain(tmp_path / "no" / "such" / "path")


def test_pushing_uploads_files_of_the_policy_only(tmp_path: Path, victim: Path) -> None:
    folder = tmp_path / "bc"
    folder.mkdir()
    (folder / "policy.json").write_text(json.dumps({"name": "bc", "base": "smollm2-135m"}), encoding="utf-8")
    (folder / "adapter_model.safetensors").touch()
    assert dict(pushed(folder)).keys() == {"README.md", "policy.json", "adapter_model.safetensors"}
    for name in ("metrics.jsonl", "vocab.txt", "notes"):
        (folder / name).symlink_to(victim)
        with pytest.raises(StoreError, match=f"{name} is a link"):
            dict(pushed(folder))
        (folder / name).unlink()


def test_kept_answers_are_read_and_written_in_their_folder_only(tmp_path: Path, victim: Path) -> None:
    weights, asked, kept = Weights("base", "m"), Asked(("t",)), tmp_path / "ability"
    kept.mkdir()
    with pytest.raises(Exception, match="cannot be started"):
        answers(weights, asked, Settings(python="/no/such/python", device="cpu"), kept)
    (log,) = kept.iterdir()
    log.unlink()
    log.symlink_to(victim)
    with pytest.raises(StoreError, match="log is a link"):
        answers(weights, asked, Settings(python="/no/such/python", device="cpu"), kept)
    assert victim.read_text(encoding="utf-8") == SECRET


@pytest.mark.parametrize("trap", [symlink, dangling, hard_link])
def test_an_index_of_words_goes_nowhere_else(
    trap: Callable[[Path, Path], None], tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    other = tmp_path / "other.db"
    with sqlite3.connect(other) as connection:
        connection.execute("CREATE TABLE mine (x)")
    connection.close()
    before = other.read_bytes()
    (tmp_path / "run").mkdir()
    store, snapshot = opened(tmp_path / "run")
    trap(tmp_path / "run" / FILE, other)
    index = TextIndex(store, tmp_path / "run")
    assert hits(index, snapshot, "lamp") == "ab"
    assert "search.db" in caplog.text
    index.close()
    store.close()
    assert other.read_bytes() == before and not (tmp_path / "not there").exists()


def test_a_database_that_the_user_names_may_be_reached_over_a_link(run: Path, tmp_path: Path) -> None:
    (tmp_path / "mine.db").symlink_to(run / "run.db")
    with Store.open(tmp_path / "mine.db", create=False) as store:
        assert store.stages_played()
