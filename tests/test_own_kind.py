"""A kind of one's own, as docs/verified-tasks.md has it, installed as a package and used from the command line."""

from __future__ import annotations

import json
import os
import re
import subprocess
from pathlib import Path

import pytest
from support import LIGHT, command, offline, settings, stored

from sotopia_pi.cli.main import main

EXIT_STORE = 4
PAGE = Path(__file__).parent.parent / "docs" / "verified-tasks.md"


@pytest.fixture(scope="module")
def installed(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder of packages, as installers leave it, with the kind of the page in it."""
    folder = tmp_path_factory.mktemp("packages")
    section = PAGE.read_text(encoding="utf-8").split("## A kind of your own\n")[1]
    (code,) = re.findall(r"^```python\n(.*?)^```", section, re.M | re.S)
    (group, points) = re.findall(r'^\[project\.entry-points\."(.+)"\]\n(.*?)^```', section, re.M | re.S)[0]
    (folder / "days_kind.py").write_text(code, encoding="utf-8")
    about = folder / "days_kind-1.0.dist-info"
    about.mkdir()
    (about / "METADATA").write_text("Metadata-Version: 2.1\nName: days-kind\nVersion: 1.0\n", encoding="utf-8")
    (about / "entry_points.txt").write_text(f"[{group}]\n{points.replace(chr(34), '')}", encoding="utf-8")
    return folder


def sotopia_pi(packages: Path | None, *arguments: str) -> subprocess.CompletedProcess[str]:
    """The command line in a process of its own that has these packages."""
    path = os.pathsep.join(filter(None, (str(packages or ""), os.environ.get("PYTHONPATH"))))
    env = {**os.environ, **offline(), "PYTHONPATH": path}
    return subprocess.run(command(*arguments), capture_output=True, text=True, env=env, check=False)


def test_the_kind_of_the_page_is_played_and_scored(installed: Path, tmp_path: Path) -> None:
    run = tmp_path / "run"
    light = settings(*LIGHT[:2], "world.train={days=1}", "world.test={days=3}", "evaluation.repeats=1")
    done = sotopia_pi(installed, "run", "--out", str(run), "--quiet", *light)
    assert done.returncode == 0, done.stderr
    report = json.loads((run / "report.json").read_text(encoding="utf-8"))
    rows = {row["policy"]: row for row in report["evaluations"]}
    assert rows["base"]["n_failed"] == rows["expert"]["n_failed"] == 0
    agreed = "from episodes where stage = 'evaluate/expert' and stop_reason = 'agreed'"
    deals = stored(run, f"select count(*) {agreed}")
    assert deals >= 3
    declared = f"terms like '% days' and episode_key in (select key {agreed})"
    assert stored(run, f"select count(distinct episode_key) from turns where {declared}") == deals
    scored = "json_extract(scores, '$.goal') > 0 and json_extract(outcome, '$.joint') = 1"
    assert stored(run, f"select count(*) from ratings where rater = 'verifier' and {scored}") >= deals

    missing = sotopia_pi(None, "report", str(run))
    assert missing.returncode == EXIT_STORE
    assert "there is no verified kind 'days'" in missing.stderr
    assert "Traceback" not in missing.stderr


def test_a_kind_that_cannot_be_loaded_is_named(installed: Path, tmp_path: Path) -> None:
    broken = tmp_path / "broken"
    (broken / "days_kind-1.0.dist-info").mkdir(parents=True)
    for name in ("METADATA", "entry_points.txt"):
        text = (installed / "days_kind-1.0.dist-info" / name).read_text(encoding="utf-8")
        (broken / "days_kind-1.0.dist-info" / name).write_text(text, encoding="utf-8")
    (broken / "days_kind.py").write_text("import nothing_of_this_name\n", encoding="utf-8")
    done = sotopia_pi(broken, "tasks", str(tmp_path / "run"), *settings(*LIGHT[:2], "world.test={price=1}"))
    assert done.returncode == 2
    assert "the environment 'days' of days_kind:Days cannot be loaded: No module named" in done.stderr


@pytest.mark.parametrize(
    ("name", "said"),
    [("prices", "'prices'; did you mean price"), ("fact", "'fact'. The kinds are"), ("../x", "'../x'. The kinds")],
)
def test_a_kind_that_is_not_there_is_named_with_its_place(
    name: str, said: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    wrong = settings(*LIGHT[:2], f'world.transfer={{"{name}"=1}}')
    assert main(["tasks", str(tmp_path / "run"), *wrong]) == 2
    assert f"world.transfer: there is no verified kind {said}" in capsys.readouterr().err
