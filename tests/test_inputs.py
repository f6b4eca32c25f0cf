"""Files that users give: marks are passed over, what is no file or no UTF-8 is named, nothing is lost."""

from __future__ import annotations

import json
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from dialogue_files import TRANSCRIPT, bargain, camp, files
from sotopia_files import agent, episode, profiles

from sotopia_pi.config import load
from sotopia_pi.errors import ModelError, SotopiaError
from sotopia_pi.inputs import Unreadable, check_columns, open_file, open_text, read_json, read_text, read_toml
from sotopia_pi.interop.annotations import read_annotated
from sotopia_pi.interop.dialogues import import_dialogues
from sotopia_pi.interop.dialogues.listing import read_list
from sotopia_pi.interop.episodes import import_episodes
from sotopia_pi.interop.lines import read_lines
from sotopia_pi.interop.sotopia import HARD_FILE, import_profiles
from sotopia_pi.models import weights
from sotopia_pi.models.remote.prices import load_prices
from sotopia_pi.prompts import Prompts
from sotopia_pi.ratings.calibration import read_calibration
from sotopia_pi.ratings.safety import load_words
from sotopia_pi.store import Store
from sotopia_pi.studies.choosing import load_settings, read_references
from sotopia_pi.studies.records import StudySettings
from sotopia_pi.training.lineage import read_lineage
from sotopia_pi.world.generation.sources import read_prompts
from sotopia_pi.world.library import load_characters, load_scenarios, load_tasks, load_ties
from sotopia_pi.world.overlap_files import read_texts

MARK = "\ufeff"


def prompts(path: Path) -> Prompts:
    folder = path.parent / "prompts"
    folder.mkdir(exist_ok=True)
    path.replace(folder / "system.txt")
    return Prompts(folder)


def ready_prompts(path: Path) -> list[Any]:
    return list(read_prompts(str(path), None, lambda row: None))


def lineage(path: Path) -> Any:
    path.replace(path.parent / "policy.json")
    return read_lineage(path.parent)


#: How each kind of file is read.
READERS: dict[str, Callable[[Path], Any]] = {
    "config": load,
    "prices": load_prices,
    "study settings": load_settings,
    "references": lambda path: read_references(path, StudySettings()),
    "characters": load_characters,
    "scenarios": load_scenarios,
    "tasks": load_tasks,
    "ties": load_ties,
    "overlap": lambda path: read_texts(str(path)),
    "calibration": read_calibration,
    "words": load_words,
    "prompts to write from": ready_prompts,
    "prompt texts": prompts,
    "lines": lambda path: list(read_lines(path)),
    "list": lambda path: list(read_list(path)),
    "annotations": lambda path: read_annotated(path, path),
    "lineage": lineage,
}
#: What good files of some kinds hold, and what is read of them.
GOOD: dict[str, str] = {
    "config": 'name = "mine"\n',
    "prices": '["m"]\ninput = 1\noutput = 2\n',
    "study settings": 'title = "Mine"\n',
    "overlap": json.dumps({"situation": "At a fair.", "goals": ["Sell.", "Buy."]}),
    "words": "fool\n",
    "prompts to write from": "Two people share a shelf.\n",
    "prompt texts": "You are $name.\n",
    "lines": '{"a": 1}\n',
    "list": '[{"a": 1}]',
    "ties": "[]",
}


@pytest.mark.parametrize("kind", GOOD)
def test_a_byte_order_mark_is_passed_over(kind: str, tmp_path: Path) -> None:
    read = {}
    for name, before in (("plain", ""), ("marked", MARK)):
        folder = tmp_path / name
        folder.mkdir()
        path = folder / "file.txt"
        path.write_text(before + GOOD[kind], encoding="utf-8")
        read[name] = READERS[kind](path)
    if kind == "prompt texts":
        read = {name: text.version for name, text in read.items()}
    elif kind == "words":
        read = {name: words.entries for name, words in read.items()}
    assert read["plain"] == read["marked"]


def test_marked_files_are_imported_like_others(tmp_path: Path) -> None:
    folder = profiles(tmp_path / "profiles", hard=["env-ladder"])
    hard = folder / HARD_FILE
    hard.write_text(MARK + hard.read_text(encoding="utf-8"), encoding="utf-8")
    talks = tmp_path / "talks.json"
    talks.write_text(MARK + json.dumps([bargain()]), encoding="utf-8")
    lines = tmp_path / "set.jsonl"
    lines.write_text("".join(f"{MARK}{json.dumps(episode(name))}\n" for name in "ab"), encoding="utf-8")
    deals = files(tmp_path, "dealornodeal")[0]
    deals.write_text(MARK + deals.read_text(encoding="utf-8"), encoding="utf-8")
    with Store.open(tmp_path / "run.db") as store:
        assert import_profiles(store, folder).stored["hard"] > 0
        assert import_dialogues(store, [talks], "craigslist", "c").left_out == 0
        assert import_dialogues(store, [deals], "dealornodeal", "d").left_out == 0
        assert import_episodes(store, [lines], "e").stored["import/e"] == 2


@pytest.mark.parametrize("kind", READERS)
@pytest.mark.parametrize("encoding", ["utf-16", "utf-16-be", "utf-32"])
def test_wide_encodings_are_named(kind: str, encoding: str, tmp_path: Path) -> None:
    path = tmp_path / "file.txt"
    path.write_bytes((MARK if encoding == "utf-16-be" else "").encode(encoding) + "[{}]\n".encode(encoding))
    with pytest.raises(SotopiaError, match=f"it is {encoding[:6].upper()} text; save it as UTF-8"):
        READERS[kind](path)


@pytest.mark.parametrize("kind", READERS)
def test_what_is_no_file_is_refused_and_nothing_waits_for_it(kind: str, tmp_path: Path) -> None:
    path = tmp_path / "file.txt"
    os.mkfifo(path)
    with pytest.raises(SotopiaError, match="it is a pipe; save what comes out of it to a file first") as caught:
        READERS[kind](path)
    assert "Errno" not in str(caught.value)


@pytest.mark.parametrize(
    ("path", "why"),
    [("/dev/null", "it is a device"), ("/", "it is a folder"), ("/nowhere", "No such file"), ("a\x00b", "this name")],
)
def test_other_things_are_named(path: str, why: str) -> None:
    for read in (open_file, open_text, read_text):
        with pytest.raises(OSError, match=why):
            read(Path(path))


def test_text_that_is_no_utf8_is_named_with_its_place(tmp_path: Path) -> None:
    path = tmp_path / "file.txt"
    path.write_bytes(MARK.encode() + b"one\r\ntwo \xff\n")
    with pytest.raises(Unreadable, match=r"not UTF-8 text \(line 2, byte 10\)"):
        read_text(path)
    path.write_bytes(MARK.encode() + b"one\r\ntwo\rthree\n")
    assert read_text(path) == "one\ntwo\nthree\n"


@pytest.mark.parametrize(
    ("text", "why"),
    [
        ('{"a": 1, "b": 2, "a": 3}', "the key 'a' stands twice in one object"),
        ('[{"x": {"deep": {"k": 1, "k": 1}}}]', "the key 'k' stands twice"),
        ('{"a": 1, "\\u0061": 2}', "the key 'a' stands twice"),
        ('{"a": NaN}', "NaN is no number of JSON"),
        ("[" * 100_000, "nested too deeply"),
        ("9" * 5_000, "a number in it is too long"),
        ("{", "Expecting property name"),
    ],
)
def test_json_that_could_be_read_in_two_ways_is_not_read(text: str, why: str) -> None:
    with pytest.raises(ValueError, match=why):
        read_json(text)


@pytest.mark.parametrize("text", ["a = 1\na = 2", "a = " + "[" * 100_000, "a = " + "9" * 5_000])
def test_toml_that_cannot_be_read_is_a_value_error(text: str) -> None:
    with pytest.raises(ValueError, match=r"overwrite|nested|too long"):
        read_toml(text)


def twice(record: dict[str, Any], key: str) -> str:
    """The record as JSON with `key` a second time, for which another reader would give another value."""
    return f'{json.dumps(record)[:-1]}, "{key}": null}}'


@pytest.mark.parametrize(
    ("kind", "name", "text", "place"),
    [
        ("craigslist", "talks.json", f"[{twice(bargain(), 'events')}]", "talks.json:1"),
        ("casino", "talks.json", f"[{json.dumps(camp())}, {twice(camp(2), 'chat_logs')}]", "talks.json:2"),
        ("transcript", "talks.jsonl", twice(TRANSCRIPT, "turns") + "\n", "talks.jsonl:1"),
        ("episodes", "set.jsonl", twice(episode("a"), "raw_messages") + "\n", "set.jsonl:1"),
        ("profiles", "agent_profiles.jsonl", twice(agent(1), "secret") + "\n", "agent_profiles.jsonl:1"),
    ],
)
def test_a_key_that_stands_twice_is_a_problem_with_its_place(
    kind: str, name: str, text: str, place: str, tmp_path: Path
) -> None:
    folder = profiles(tmp_path / "profiles") if kind == "profiles" else tmp_path
    path = folder / name
    path.write_text(text, encoding="utf-8")
    with Store.open(tmp_path / "run.db") as store:
        if kind == "profiles":
            report = import_profiles(store, folder)
        elif kind == "episodes":
            report = import_episodes(store, [path], "e")
        else:
            report = import_dialogues(store, [path], kind, "d")
    [found] = [str(problem) for problem in report.problems if "stands twice" in problem.reason]
    assert found.startswith(place)


@pytest.mark.parametrize(
    "kind", ["characters", "tasks", "scenarios", "ties", "overlap", "references", "calibration", "lineage"]
)
def test_a_key_that_stands_twice_is_refused_by_name(kind: str, tmp_path: Path) -> None:
    path = tmp_path / "file.json"
    path.write_text('{"situation": "a", "goals": ["b", "c"], "situation": "d"}', encoding="utf-8")
    with pytest.raises(SotopiaError, match=r"the key .*situation.* stands twice"):
        READERS[kind](path)


def test_a_column_that_stands_twice_is_refused_by_name(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="the column 'a' stands twice"):
        check_columns(["a", "b", "a", "", ""])
    path = tmp_path / "norms.csv"
    path.write_text("setting,behavior,norm,norm\nhome,sing,ok,bad\n", encoding="utf-8")
    with pytest.raises(SotopiaError, match="the column 'norm' stands twice"):
        list(read_prompts(str(path), "normbank", lambda row: None))
    path.write_text("Unit,B2,B4,B4\nHello,d,0,1\n", encoding="utf-8")
    with Store.open(tmp_path / "run.db") as store, pytest.raises(SotopiaError, match="the column 'B4' stands twice"):
        import_dialogues(store, [path], "persuasion", "p")


# No home directory


def test_without_a_home_directory_a_folder_is_asked_for(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    def homeless() -> Path:
        raise RuntimeError("Could not determine home directory.")

    for name in ("SOTOPIA_PI_CACHE", "XDG_CACHE_HOME"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setattr(Path, "home", homeless)
    with pytest.raises(ModelError, match="SOTOPIA_PI_CACHE"):
        weights.cache_folder()
    monkeypatch.setenv("XDG_CACHE_HOME", "relative")
    with pytest.raises(ModelError, match="SOTOPIA_PI_CACHE"):
        weights.cache_folder()
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    assert weights.cache_folder() == tmp_path / "sotopia-pi"
    assert weights.at_home("~nobody-has-this-home/x") == Path("~nobody-has-this-home/x")
