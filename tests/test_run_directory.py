"""A run directory while it is used: one process at a time, the config it was begun with, nothing lost unsaid."""

from __future__ import annotations

import os
import shutil
import sqlite3
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from pathlib import Path

import pytest
from starlette.testclient import TestClient
from stores import TASK, episode, rating
from support import LIGHT, settings

from sotopia_pi.cli.main import main
from sotopia_pi.config import load
from sotopia_pi.errors import ConfigError, StoreError
from sotopia_pi.rundir import Run
from sotopia_pi.store import Store
from sotopia_pi.store.session import LOCK
from sotopia_pi.web.app import application
from sotopia_pi.web.places import close_places, open_places
from sotopia_pi.web.site import Site

SETTINGS = (*LIGHT, 'models.policy="scripted:fair"', "max_turns=16")


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = tmp_path_factory.mktemp("whole") / "run"
    assert main(["run", "--quiet", "--out", str(out), *settings(*SETTINGS)]) == 0
    return out


@pytest.fixture
def run(whole: Path, tmp_path: Path) -> Path:
    """A finished run."""
    return shutil.copytree(whole, tmp_path / "run")


def fails(capsys: pytest.CaptureFixture[str], code: int, *arguments: str) -> str:
    """The one sentence that a command ends with."""
    capsys.readouterr()
    assert main([*arguments, "--quiet"]) == code
    said = capsys.readouterr().err
    assert said.startswith("sotopia-pi: ") and said.count("\n") == 1
    return said


# One process at a time


def test_a_second_process_is_told_who_works_there(run: Path, capsys: pytest.CaptureFixture[str]) -> None:
    with Run.open(run, quiet=True):
        for verb in ("run", "evaluate", "rate", "report", "collect"):
            said = fails(capsys, 4, verb, str(run))
            assert f"{run} is in use: `sotopia-pi" in said and f"(process {os.getpid()} on " in said
    assert not (run / LOCK).exists()
    assert main(["report", str(run), "--quiet"]) == 0


def test_who_reads_or_plays_works_beside_it(run: Path, tmp_path: Path) -> None:
    with Run.open(run, quiet=True) as working:
        assert main(["export", str(run), "--format", "episodes", "--out", str(tmp_path / "e"), "--quiet"]) == 0
        assert main(["safety", str(run), "--quiet"]) == 0
        assert main(["study", "create", str(run), "--name", "pilot", "--quiet"]) == 0
        assert main(["study", "list", str(run)]) == 0
        with Run.open(run, quiet=True, alone=False) as beside:
            beside.store.add_tasks("more", [TASK])
        assert working.store.task_groups()["more"] == 1
        with visiting(run) as browser:
            assert browser.get("/run/run").status_code == 200
        working.store.set_meta("still", "works")


def test_a_lock_ends_with_its_process(run: Path, tmp_path: Path) -> None:
    with Run.open(run, quiet=True):
        killed = shutil.copytree(run, tmp_path / "killed")  # what `kill -9` leaves
    assert (killed / LOCK).exists()
    with Run.open(killed, quiet=True):
        pass
    assert not (killed / LOCK).exists()


def test_a_folder_that_cannot_be_locked_is_used_all_the_same(run: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    import errno
    import fcntl

    def unsupported(*_: object) -> None:
        raise OSError(errno.ENOLCK, "No locks available")

    monkeypatch.setattr(fcntl, "flock", unsupported)
    with Run.open(run, quiet=True):
        assert (run / LOCK).exists()


# Moved, deleted, replaced


def delete(run: Path) -> None:
    shutil.rmtree(run)


def move(run: Path) -> None:
    run.rename(run.with_name("moved"))


def delete_database(run: Path) -> None:
    (run / "run.db").unlink()


def replace_database(run: Path) -> None:
    shutil.copy(run / "run.db", run / "other")
    (run / "other").replace(run / "run.db")


def delete_log(run: Path) -> None:
    (run / "run.db-wal").unlink()


@pytest.mark.parametrize("vanish", [delete, move, delete_database, replace_database, delete_log])
def test_a_run_that_vanishes_is_noticed(vanish: Callable[[Path], None], run: Path) -> None:
    with pytest.raises(StoreError, match="while it was in use"), Run.open(run, quiet=True) as working:
        working.store.set_meta("before", 1)
        vanish(run)
        with pytest.raises(StoreError, match="while it was in use"):
            working.store.set_meta("after", 1)
        if vanish is not delete_log:
            with pytest.raises(StoreError, match="while it was in use"):
                working.store.stages()
    for place in (run, run.with_name("moved")):
        if vanish in (move, delete_log) and place.exists():
            with Run.open(place, quiet=True) as again:
                assert again.store.meta("before") == 1
    assert run.exists() == (vanish not in (delete, move))


def test_nothing_is_reported_of_a_run_that_is_gone(run: Path) -> None:
    from sotopia_pi import pipeline

    with pytest.raises(StoreError, match="while it was in use"), Run.open(run, quiet=True) as working:
        delete(run)
        pipeline.run_all(working)
    assert not run.exists()


# What a killed process had stored


@pytest.fixture
def killed(run: Path, tmp_path: Path) -> Path:
    """What is left of a run whose process was killed after it had stored much that is only in the log."""
    with Run.open(run, quiet=True) as working:
        working.store.add_tasks("more", [TASK])
        for n in range(40):
            working.store.add_episode(episode(f"k{n}"), [rating(f"k{n}")])
        return shutil.copytree(run, tmp_path / "killed")


def without_log(killed: Path) -> None:
    (killed / "run.db-wal").unlink()


def with_half_a_log(killed: Path) -> None:
    log = killed / "run.db-wal"
    log.write_bytes(log.read_bytes()[: log.stat().st_size // 2])


def with_a_damaged_log(killed: Path) -> None:
    log = killed / "run.db-wal"
    content = bytearray(log.read_bytes())
    content[len(content) // 3] ^= 255
    log.write_bytes(content)


def with_an_older_database(killed: Path) -> None:
    without_log(killed)
    (killed / "run.db").unlink()


@pytest.mark.parametrize("lose", [without_log, with_half_a_log, with_a_damaged_log, with_an_older_database])
def test_what_is_lost_is_said(lose: Callable[[Path], None], killed: Path, capsys: pytest.CaptureFixture[str]) -> None:
    for ending in ("-wal", ""):
        assert (killed / f"run.db{ending}").exists()
    lose(killed)
    assert "transactions that were stored in it" in fails(capsys, 4, "report", str(killed))
    assert (killed / LOCK).exists()
    with pytest.raises(StoreError, match=r"put it back, or remove run\.lock"):
        Run.reading(killed)
    (killed / LOCK).unlink()
    if lose is not with_an_older_database:
        with Run.open(killed, quiet=True) as going_on:
            assert going_on.store.counts("collect")[0] < 40


def test_what_is_whole_goes_on(killed: Path) -> None:
    (killed / "run.db-shm").unlink()
    with Run.reading(killed) as looking:
        assert looking.store.counts("collect") == (40, 0)
    with Run.open(killed, quiet=True) as going_on:
        assert going_on.store.counts("collect") == (40, 0)


def test_the_file_alone_is_complete_when_a_stage_ends(run: Path, tmp_path: Path) -> None:
    with Run.open(run, quiet=True) as working:
        working.store.add_tasks("more", [TASK])
        working.store.add_episode(episode("k"))
        working.store.finish_stage("collect", {})
        with Store.open(shutil.copy(run / "run.db", tmp_path / "copy.db"), create=False) as copy:
            assert copy.episode_keys("collect") == {"k"} and copy.stage("collect") == {}


def test_a_run_without_episodes_is_not_reported(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["tasks", str(tmp_path / "run"), "--quiet", *settings(*SETTINGS)]) == 0
    assert "holds no episodes to report on" in fails(capsys, 2, "report", str(tmp_path / "run"))


# The config and its copy


@pytest.mark.parametrize(
    ("edit", "said"),
    [
        (lambda text: text.replace("seed = 1", "seed = 2"), "seed: 1 → 2"),
        (lambda text: text.replace("max_turns = 16", "max_turns = 2"), "max_turns: 16 → 2"),
        (lambda text: text.replace("scripted:fair", "scripted:tough"), "models.policy: scripted:fair → scripted:tough"),
        (lambda text: 'name = "run"\n', " more)"),
    ],
)
def test_a_copy_that_was_edited_is_named(
    edit: Callable[[str], str], said: str, run: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = run / "config.toml"
    before = path.read_text(encoding="utf-8")
    edited = edit(before)
    assert edited != before
    path.write_text(edited, encoding="utf-8")
    for verb in ("run", "report"):
        sentence = fails(capsys, 2, verb, str(run))
        assert "was changed after the run had begun" in sentence and said in sentence
    assert path.read_text(encoding="utf-8") == edited
    with Run.reading(run) as looking:  # as it is stored, whatever the copy says
        assert (looking.config.seed, looking.config.max_turns) == (1, 16)
    path.unlink()
    assert main(["report", str(run), "--quiet"]) == 0
    assert path.read_text(encoding="utf-8") == before


@pytest.mark.parametrize("left", [None, "", " \n"])
def test_a_missing_or_empty_copy_is_written_again(left: str | None, run: Path, tmp_path: Path) -> None:
    path = run / "config.toml"
    before = path.read_text(encoding="utf-8")
    for arguments in (["run", str(run)], ["run", "--out", str(run)], ["tasks", str(run)]):
        if left is None:
            path.unlink()
        else:
            path.write_text(left, encoding="utf-8")
        if arguments[0] == "tasks":
            export = ["export", str(run), "--format", "episodes", "--out", str(tmp_path / "e"), "--quiet"]
            assert main(export) == 0
        assert main([*arguments, "--quiet"]) == 0
        assert path.read_text(encoding="utf-8") == before


def test_a_copy_that_cannot_be_read_is_named(run: Path, capsys: pytest.CaptureFixture[str]) -> None:
    for text in (b"seed = ", b"\xff\xfe", b"sead = 1\n"):
        (run / "config.toml").write_bytes(text)
        assert "config.toml" in fails(capsys, 2, "report", str(run))
        assert (run / "config.toml").read_bytes() == text
        with Run.reading(run) as looking:
            assert looking.config.models.policy == "scripted:fair"


def test_what_changes_no_episode_may_be_edited(run: Path) -> None:
    path = run / "config.toml"
    path.write_text(path.read_text(encoding="utf-8").replace("concurrency = 32", "concurrency = 3"), encoding="utf-8")
    with Run.open(run, quiet=True) as working:
        assert working.config.runtime.concurrency == 3


def test_a_run_from_before_its_config_was_stored_is_taken_at_its_word(run: Path) -> None:
    with closing(sqlite3.connect(run / "run.db")) as connection, connection:
        connection.execute("DELETE FROM meta WHERE key IN ('config.toml', 'transactions')")
    with Run.open(run, quiet=True):
        pass
    text = (run / "config.toml").read_text(encoding="utf-8")
    (run / "config.toml").write_text(text.replace("seed = 1", "seed = 2"), encoding="utf-8")
    with pytest.raises(ConfigError, match="seed: 1 → 2"):
        Run.open(run, quiet=True)


def test_a_config_may_be_corrected_until_tasks_are_drawn(tmp_path: Path) -> None:
    first, second = (load(None, [f"seed={seed}"]) for seed in (1, 2))
    for config in (first, second):
        with Run.open(tmp_path / "run", config, quiet=True) as begun:
            assert begun.config.seed == config.seed
    with pytest.raises(ConfigError, match="missing or empty, and nothing was drawn"):
        (tmp_path / "run" / "config.toml").write_text("", encoding="utf-8")
        Run.open(tmp_path / "run", quiet=True)


# A folder that may not be written


@contextmanager
def visiting(run: Path) -> Iterator[TestClient]:
    places = open_places([str(run)])
    try:
        site = Site({place.name: place for place in places})
        with TestClient(application(site), base_url="http://127.0.0.1") as browser:
            yield browser
    finally:
        close_places(places)


@contextmanager
def nobody() -> Iterator[None]:
    """A user whom modes bind; nothing changes where the tests run as one."""
    if os.geteuid():
        yield
        return
    os.seteuid(65534)
    try:
        yield
    finally:
        os.seteuid(0)


def let_others_in(folder: Path) -> None:
    """Lets every user come as far as a folder of the tests' own, however deep it is."""
    for above in [folder, *folder.parents]:
        mode = above.stat().st_mode
        if mode & 0o005 != 0o005:
            above.chmod(mode | 0o055)


@pytest.fixture
def closed(run: Path) -> Iterator[Path]:
    """A run in a folder that may be read and not be written, with a study."""
    let_others_in(run)
    assert main(["study", "create", str(run), "--name", "pilot", "--quiet"]) == 0
    for path in [*run.iterdir(), run]:
        path.chmod(0o555 if path.is_dir() else 0o444)
    with nobody():
        if os.access(run, os.W_OK, effective_ids=True):
            pytest.skip("this user may write every folder")
        yield run
    run.chmod(0o755)


def test_a_run_that_may_not_be_written_is_read(
    closed: Path, tmp_path_factory: pytest.TempPathFactory, capsys: pytest.CaptureFixture[str]
) -> None:
    with Run.reading(closed) as looking:
        assert looking.store.read_only
        assert sum(1 for _ in looking.store.episodes()) == 8
        with pytest.raises(StoreError, match="may not be written: copy the run"):
            looking.store.set_meta("x", 1)
    assert main(["safety", str(closed), "--quiet"]) == 0
    assert main(["study", "list", str(closed)]) == 0
    for verb in ("report", "rate", "run"):
        assert "may not be written" in fails(capsys, 4, verb, str(closed))
    assert sorted(path.name for path in closed.iterdir()) == ["config.toml", "report.html", "report.json", "run.db"]


def test_a_run_that_may_not_be_written_is_viewed(closed: Path) -> None:
    with visiting(closed) as browser:
        for page in ("/run/run", "/run/run/episodes?text=lamp", "/run/run/studies", "/run/run/tasks"):
            assert browser.get(page).status_code == 200


def test_a_log_that_cannot_be_read_there_is_named(killed: Path) -> None:
    (killed / "run.db-shm").unlink()
    let_others_in(killed)
    for path in [*killed.iterdir(), killed]:
        path.chmod(0o555 if path.is_dir() else 0o444)
    with nobody(), pytest.raises(StoreError, match=r"run\.db-wal, which cannot be read then: copy the run"):
        Run.reading(killed)
    killed.chmod(0o755)
