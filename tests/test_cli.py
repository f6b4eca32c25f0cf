"""The command line: what it prints, one sentence per error, exit codes, and nothing half-written."""

from __future__ import annotations

import json
import re
import resource
import signal
from pathlib import Path

import pytest
from support import LIGHT, character, start, stored, wait_until
from support import settings as sets

from sotopia_pi import __version__
from sotopia_pi.cli.main import main
from sotopia_pi.config import load, to_toml

ROUNDS = 'rounds=[{name="bc", method="bc", repeats=2, select={k=1}}, {name="bc+sr", method="sr", parent="bc"}]'
TRAIN = ('models.policy="fake:"', "world.train={price=2}", "world.test={price=1}", ROUNDS)


def fails(capsys: pytest.CaptureFixture[str], code: int, *arguments: str) -> str:
    """Runs the command line, which must fail with `code` and one sentence; returns the sentence."""
    capsys.readouterr()
    assert main([*arguments, "--quiet"]) == code
    printed = capsys.readouterr()
    assert printed.out == ""
    assert printed.err.startswith("sotopia-pi: ")
    assert printed.err.count("\n") == 1
    return printed.err


@pytest.fixture
def done(tmp_path: Path) -> Path:
    """A finished run without training."""
    assert main(["run", "--out", str(tmp_path / "done"), "--quiet", *sets(*LIGHT)]) == 0
    return tmp_path / "done"


def episodes(folder: Path) -> int:
    return stored(folder)


# Runs that work


def test_a_run_reports_and_is_continued(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    out = tmp_path / "run"
    assert main(["run", "--out", str(out), *sets(*LIGHT)]) == 0
    printed = capsys.readouterr().out
    assert "2 held out" in printed
    assert "base − expert" in printed
    assert str(out / "report.html") in printed
    report = json.loads((out / "report.json").read_text(encoding="utf-8"))
    assert [(e["policy"], e["partner"], e["tasks"], e["n"]) for e in report["evaluations"]] == [
        ("base", "partner", "test", 4),
        ("expert", "partner", "test", 4),
    ]
    assert episodes(out) == 8
    for again in (["run", "--out", str(out)], ["run", "--out", str(out), *sets("runtime.concurrency=1")]):
        assert main([*again, "--quiet"]) == 0
        assert episodes(out) == 8
    assert capsys.readouterr().out == ""
    assert not [path for path in out.iterdir() if "partial" in path.name]


def test_stages_are_verbs(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    out = str(tmp_path / "run")
    assert main(["tasks", out, *sets(*TRAIN)]) == 0
    assert main(["collect", out, "--round", "bc"]) == 0
    assert stored(tmp_path / "run") == 4
    ratings = stored(tmp_path / "run", "select count(*) from ratings")
    assert ratings == 8
    assert main(["rate", out]) == 0
    assert stored(tmp_path / "run", "select count(*) from ratings") == ratings
    assert main(["select", out, "--round", "bc"]) == 0
    assert "2 to train on" in capsys.readouterr().out
    assert stored(tmp_path / "run", "select count(*) from selections") == 4


def test_own_tasks_and_characters(tmp_path: Path) -> None:
    people, ties = tmp_path / "people.json", tmp_path / "ties.json"
    folk = [character(name).model_dump(mode="json") for name in ("Ada Moss", "Bo Lind", "Cy Hale")]
    people.write_text(json.dumps(folk), encoding="utf-8")
    known = [["Ada Moss", "Bo Lind", 0], ["Ada Moss", "Cy Hale", 1], ["Bo Lind", "Cy Hale", 2]]
    rows = [{"names": [a, b], "relationship": level} for a, b, level in known]
    ties.write_text(json.dumps(rows), encoding="utf-8")
    own = (f"world.characters={people}", f"world.ties={ties}", "world.test={price=12}", 'models.policy="scripted:fair"')
    assert main(["run", "--out", str(tmp_path / "run"), "--quiet", *sets(*LIGHT, *own)]) == 0
    assert stored(tmp_path / "run", "select count(*) from characters") <= 3
    assert stored(tmp_path / "run", "select count(*) from task_groups") == 12


def test_version(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as stopped:
        main(["--version"])
    assert stopped.value.code == 0
    assert capsys.readouterr().out == f"sotopia-pi {__version__}\n"


@pytest.mark.parametrize("arguments", [[], ["rune"], ["run", "--outt", "x"], ["collect"]])
def test_bad_usage(arguments: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as stopped:
        main(arguments)
    assert stopped.value.code == 2
    assert "usage: sotopia-pi" in capsys.readouterr().err


# Configs and directories that are wrong


def test_bad_configs_start_nothing(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    out = tmp_path / "run"
    assert "training.epoch is not a setting" in fails(capsys, 2, "run", "--out", str(out), "--set", "training.epoch=1")
    assert "my.toml cannot be read" in fails(capsys, 2, "run", str(tmp_path / "my.toml"), "--out", str(out))
    assert "--set needs key=value" in fails(capsys, 2, "run", "--out", str(out), "--set", "seed")
    assert not out.exists()


@pytest.mark.parametrize(
    ("setting", "code", "complaint"),
    [
        ("models.policy=/no/such/folder", 5, "There is no model folder /no/such/folder"),
        ("models.policy=TMP", 5, "has no config.json"),
        ("models.partner=scripted:nobody", 2, "no scripted player 'nobody'"),
        ("models.prompts=/no/such/folder", 2, "The prompt folder /no/such/folder does not exist"),
        ("rounds.0.select={rule='best'}", 2, "no selection rule 'best'"),
        ("rounds.0.select={rule='top_k', top=3}", 2, "does not know top"),
        ("world.characters=/no/such/file", 3, "/no/such/file cannot be read"),
        ("world.train_tasks=/no/such/file", 3, "/no/such/file cannot be read"),
    ],
)
def test_a_setting_that_names_nothing_can_be_corrected(
    setting: str, code: int, complaint: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """It is found before any episode is played, and the same directory takes the corrected config."""
    out = str(tmp_path / "run")
    wrong = setting.replace("TMP", str(tmp_path))
    sentence = fails(capsys, code, "run", "--out", out, *sets(*TRAIN, wrong))
    assert complaint in sentence
    assert episodes(tmp_path / "run") == 0
    config = tmp_path / "right.toml"
    config.write_text(to_toml(load(None)), encoding="utf-8")
    assert main(["run", str(config), "--out", out, "--quiet", *sets(*LIGHT)]) == 0


def test_own_characters_whom_no_scenario_fits(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    people = tmp_path / "people.json"
    people.write_text(json.dumps([character("Ada Moss").model_dump(mode="json")]), encoding="utf-8")
    sentence = fails(capsys, 3, "run", "--out", str(tmp_path / "run"), *sets(*LIGHT, f"world.characters={people}"))
    assert "Nobody fits the scenario" in sentence
    assert "add such a tie, or leave this scenario out" in sentence
    assert stored(tmp_path / "run", "select count(*) from tasks") == 0


def test_another_config_is_refused(done: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    before = (done / "config.toml").read_bytes()
    assert "seed: 1 → 2" in fails(capsys, 2, "run", "--out", str(done), "--set", "seed=2")
    assert "another config" in fails(capsys, 2, "tasks", str(done), "--set", "max_turns=3")
    other = tmp_path / "other.toml"
    other.write_text('name = "other"\n', encoding="utf-8")
    assert re.search(r"\(.+;.+;.+;.+ and \d+ more\)", fails(capsys, 2, "run", str(other), "--out", str(done)))
    assert (done / "config.toml").read_bytes() == before


def test_changed_prompts_are_refused(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    prompts = tmp_path / "prompts"
    prompts.mkdir()
    arguments = ("run", "--out", str(tmp_path / "run"), *sets(*LIGHT, f"models.prompts={prompts}"))
    assert main([*arguments, "--quiet"]) == 0
    (prompts / "begin.txt").write_text("Turn $turn. Please begin.", encoding="utf-8")
    assert "The prompts changed" in fails(capsys, 2, *arguments)
    (prompts / "begin.txt").write_text("Turn $number.", encoding="utf-8")
    assert "unknown placeholder" in fails(capsys, 2, *arguments)


def test_no_run_directory(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    for verb in ("collect", "rate", "select", "train", "evaluate", "report"):
        assert "is not a run directory" in fails(capsys, 2, verb, str(tmp_path / "none"))
    assert not (tmp_path / "none").exists()
    file = tmp_path / "file"
    file.write_text("", encoding="utf-8")
    assert "cannot be written" in fails(capsys, 4, "run", "--out", str(file), *sets(*LIGHT))


def test_damaged_database(done: Path, capsys: pytest.CaptureFixture[str]) -> None:
    for path in done.glob("run.db*"):
        path.write_bytes(b"no database, " * 500)
    for verb in (("run", "--out"), ("report",)):
        assert "run.db is damaged or not a database" in fails(capsys, 4, *verb, str(done))
    assert (done / "run.db").read_bytes() == b"no database, " * 500


# Stages that cannot be done


def test_stages_out_of_order(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    out = str(tmp_path / "run")
    assert main(["tasks", out, "--quiet", *sets(*TRAIN)]) == 0
    assert f"collect/bc is not finished; run `sotopia-pi collect {out}`" in fails(capsys, 2, "select", out)
    assert "select/bc is not finished" in fails(capsys, 2, "train", out)
    assert "The policy 'bc' is not trained yet" in fails(capsys, 5, "collect", out, "--round", "bc+sr")
    assert "no round 'sr'; the rounds are: bc, bc+sr" in fails(capsys, 2, "collect", out, "--round", "sr")
    assert "no stage 'collect/sr'" in fails(capsys, 2, "rate", out, "--stage", "collect/sr")


def test_nothing_selected(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    out = str(tmp_path / "run")
    sentence = fails(capsys, 6, "run", "--out", out, *sets(*TRAIN, "rounds.0.select.at_least=11"))
    assert "Round 'bc' selected none of 8 candidates" in sentence
    assert episodes(tmp_path / "run") == 4
    assert not (tmp_path / "run" / "policies").exists()


def test_unreachable_policy(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    out = tmp_path / "run"
    arguments = ("run", "--out", str(out))
    unreachable = sets(*LIGHT, 'models.policy="fake:unreachable"')
    sentence = fails(capsys, 5, *arguments, *unreachable)
    assert "None of 4 episodes of evaluate/base could be played" in sentence
    assert "cannot be reached" in sentence
    assert stored(out, "select count(*) from episodes where failure is not null") == 4
    assert "None of 4 episodes" in fails(capsys, 5, *arguments)  # not played again unless asked for
    assert "None of 4 episodes" in fails(capsys, 5, *arguments, "--retry-failed")
    assert main(["report", str(out), "--quiet"]) == 0
    (base,) = json.loads((out / "report.json").read_text(encoding="utf-8"))["evaluations"]
    assert (base["n"], base["n_failed"], base["goal"]["mean"], base["failures"]) == (0, 4, None, {"episode": 4})


# Interrupted


def test_interrupt_keeps_what_was_stored(tmp_path: Path) -> None:
    out = tmp_path / "run"
    many = sets(*LIGHT, 'models.policy="scripted:fair"', "evaluation.repeats=400")

    def heed() -> None:  # a shell's background jobs, and all they start, ignore it
        signal.signal(signal.SIGINT, signal.SIG_DFL)

    process = start("run", "--out", str(out), *many, preexec_fn=heed)
    wait_until(lambda: stored(out) >= 3, process)
    process.send_signal(signal.SIGINT)
    _, err = process.communicate(timeout=30)
    assert process.returncode == 130
    assert err.endswith("sotopia-pi: interrupted; what was stored is kept. Run the same command to continue.\n")
    assert "Traceback" not in err
    assert 3 <= stored(out) < 1600
    assert stored(out, "select count(*) from ratings") == 2 * stored(out)


def test_full_disk_keeps_what_was_stored(tmp_path: Path) -> None:
    """A limit on the size of files stands for the full disk."""
    out = tmp_path / "run"
    arguments = ("run", "--quiet", "--out", str(out), *sets(*LIGHT, 'models.policy="scripted:fair"'))
    more = sets("evaluation.repeats=36")

    def limit() -> None:
        resource.setrlimit(resource.RLIMIT_FSIZE, (700_000, 700_000))

    process = start(*arguments, *more, preexec_fn=limit)
    _, err = process.communicate(timeout=60)
    assert (process.returncode, err.count("\n")) == (4, 1)
    assert "run.db failed" in err
    kept = stored(out)
    assert 0 < kept < 288
    again = start(*arguments, *more)
    assert again.communicate(timeout=60) == ("", "")
    assert stored(out) == 288
