"""What reaches a terminal: no commands in anybody's words, no character that it lacks, no traceback when it is gone."""

from __future__ import annotations

import errno
import io
import json
import os
import re
import signal
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from support import LIGHT, start, wait_until
from support import settings as sets

from sotopia_pi.cli import interrupting, policy
from sotopia_pi.cli.console import Console, console, print_data
from sotopia_pi.cli.main import main
from sotopia_pi.evaluation.table import align
from sotopia_pi.printable import one_line, safe_text

COMMANDS = "\x1b]0;title\x07\x1b[2J\x1b[31mRED\r\x9b31m\u202eevil\u2066\x7f\x00"
#: What no terminal may be sent, but for the line feeds of ours.
UNSAFE = re.compile("[\x00-\x09\x0b-\x1f\x7f-\x9f\u200b\u200e\u200f\u202a-\u202e\u2066-\u2069]")


def lineage(folder: Path, name: str = "bc") -> str:
    """A policy of a stranger with `name` in every field that takes a text; its folder."""
    texts = dict.fromkeys(("name", "base", "parent", "method", "update", "tune", "run"), name)
    numbers = dict.fromkeys(("sequences", "tokens", "trained_tokens"), 1)
    mixed: dict[str, Any] = {
        "settings": {name: name},
        "versions": {name: name},
        "curve": [{"step": 1, "loss": 2.0}] * 2,
    }
    folder.mkdir()
    (folder / "policy.json").write_text(json.dumps({**texts, **numbers, **mixed}), encoding="utf-8")
    row = json.dumps({"episode": name, "role": 0})
    (folder / "examples.jsonl").write_text(f"{row}\n", encoding="utf-8")
    return str(folder)


class Output(io.TextIOWrapper):
    """Standard output of another encoding, kept in memory."""

    def __init__(self, encoding: str, terminal: bool = False) -> None:
        super().__init__(io.BytesIO(), encoding=encoding, errors="strict", write_through=True)
        self._terminal = terminal

    def isatty(self) -> bool:
        return self._terminal

    @property
    def said(self) -> bytes:
        assert isinstance(self.buffer, io.BytesIO)
        return self.buffer.getvalue()


class Broken(io.StringIO):
    """An output that takes `room` characters and then fails, as a full disk or a pipe that nobody reads."""

    def __init__(self, number: int, room: int = 0) -> None:
        super().__init__()
        self._number, self._room = number, room

    def write(self, text: str) -> int:
        if self.tell() + len(text) > self._room:
            raise OSError(self._number, os.strerror(self._number))
        return super().write(text)


# Words are no commands


def test_a_strangers_policy_cannot_command_the_terminal(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    folder = lineage(tmp_path / "policy", f"bc{COMMANDS}\nmerged     all is well")
    assert main(["policy", "show", folder, "--examples"]) == 0
    printed = capsys.readouterr().out
    assert not UNSAFE.search(printed) and "[U+001B]]0;title[U+0007]" in printed
    assert not re.search("^merged", printed, re.MULTILINE)


@pytest.mark.parametrize("terminal", [True, False])
def test_json_is_shown_and_stays_what_it_is(terminal: bool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    folder = lineage(tmp_path / "policy", f"bc{COMMANDS}\n→ 二")
    for encoding in ("utf-8", "cp1252", "ascii"):
        output = Output(encoding, terminal)
        monkeypatch.setattr(sys, "stdout", output)
        assert main(["policy", "show", folder, "--json"]) == 0
        text = output.said.decode(encoding)
        assert not UNSAFE.search(text)
        assert json.loads(text)["name"] == f"bc{COMMANDS}\n→ 二"


@pytest.mark.parametrize(
    "arguments",
    [
        ["policy", "show", f"/nowhere/{COMMANDS}"],
        ["run", f"/nowhere/{COMMANDS}.toml"],
        ["overlap", f"/nowhere/{COMMANDS}\nall is well", "starter:test"],
        ["study", "list", f"/nowhere/{COMMANDS}"],
        ["human-eval", f"/nowhere/{COMMANDS}.csv", "x.jsonl"],
    ],
    ids=lambda arguments: arguments[0],
)
def test_errors_repeat_no_commands(arguments: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    assert main([argument.replace("\x00", "") for argument in arguments]) != 0
    said = capsys.readouterr().err
    assert not UNSAFE.search(said) and said.count("\n") == 1


def test_every_cell_of_a_table_is_one_line_without_commands() -> None:
    lines = align([["policy", "n"], [f"a\n{COMMANDS}", "1"], ["b\u2028c", "2"]])
    assert len(lines) == 4 and not any(UNSAFE.search(line) for line in lines)


@pytest.mark.parametrize(
    ("written", "seen"),
    [
        ("\r 3 of 9", "\r 3 of 9"),
        ("\x1b[A", "\x1b[A"),
        ("\r\x1b[K", "\r\x1b[K"),
        ("\rjudge \x1b[2J", "\rjudge [U+001B][2J"),
        ("a\rb", "a[U+000D]b"),
        ("a\x1b[A", "a[U+001B][A"),
        ("one\r\ntwo", "one\ntwo"),
        ("👩\u200d🚀 ok", "👩\u200d🚀 ok"),
    ],
)
def test_what_the_program_does_to_a_line_passes(written: str, seen: str) -> None:
    below = io.StringIO()
    Console(below, vital=True).write(written)
    assert below.getvalue() == seen


def test_a_text_on_one_line_is_cut() -> None:
    assert one_line("a\n\tb  c", 4) == "a b…"
    assert safe_text("x" * 50, None) == "x" * 50


# Consoles of other encodings


@pytest.mark.parametrize(
    ("encoding", "arrow"), [("cp1252", "<-"), ("ascii", "<-"), ("latin-1", "<-"), ("cp437", "<-"), ("utf-8", "←")]
)
def test_characters_that_the_console_lacks_are_replaced(
    encoding: str, arrow: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    output = Output(encoding)
    monkeypatch.setattr(sys, "stdout", output)
    monkeypatch.setattr(sys, "stderr", Output(encoding))
    assert main(["policy", "show", lineage(tmp_path / "policy", "二é")]) == 0
    said = output.said.decode(encoding)
    assert f" {arrow} " in said
    assert ("二" in said) == (encoding == "utf-8") and ("é" in said) == (encoding != "ascii")


@pytest.mark.parametrize("encoding", ["cp1252", "ascii"])
def test_a_run_ends_well_on_such_a_console(encoding: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    output, errors = Output(encoding), Output(encoding)
    monkeypatch.setattr(sys, "stdout", output)
    monkeypatch.setattr(sys, "stderr", errors)
    assert main(["run", "--out", str(tmp_path / "run"), *sets(*LIGHT)]) == 0
    said = output.said.decode(encoding)
    assert "base - expert" in said or "base − expert" in said
    assert "------" in said and "?" not in said
    with pytest.raises(SystemExit) as stopped:
        main(["--help"])
    assert stopped.value.code == 0


def test_data_for_programs_are_utf8_and_untouched(monkeypatch: pytest.MonkeyPatch) -> None:
    line = "pk,二→\u202e\r\n"
    pipe, terminal = Output("cp1252"), Output("utf-8", terminal=True)
    for output in (pipe, terminal):
        monkeypatch.setattr(sys, "stdout", output)
        with console():
            print_data([line])
    assert pipe.said == line.encode()
    assert b"\xe2\x80\xae" not in terminal.said and "二→[U+202E]" in terminal.said.decode()


# Outputs that are full, closed or gone


@pytest.mark.parametrize(
    ("number", "code", "said"),
    [
        (errno.ENOSPC, 1, "cannot be written (No space left on device)"),
        (errno.EIO, 1, "(Input/output error)"),
        (errno.EPIPE, 141, ""),
    ],
)
@pytest.mark.parametrize("room", [0, 60])
def test_an_output_that_takes_no_more_ends_the_program_in_order(
    number: int, code: int, said: str, room: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    errors = io.StringIO()
    monkeypatch.setattr(sys, "stdout", Broken(number, room))
    monkeypatch.setattr(sys, "stderr", errors)
    folder = lineage(tmp_path / "policy")
    assert main(["policy", "show", folder]) == code
    assert said in errors.getvalue() and errors.getvalue().count("\n") == (code == 1)


def test_what_was_played_is_kept_when_the_output_is_full(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    run = ["run", "--out", str(tmp_path / "run"), *sets(*LIGHT)]
    monkeypatch.setattr(sys, "stdout", Broken(errno.ENOSPC, 100))
    monkeypatch.setattr(sys, "stderr", io.StringIO())
    assert main(run) == 1
    monkeypatch.setattr(sys, "stdout", io.StringIO())
    assert main(run) == 0


@pytest.mark.parametrize("closed", ["stdout", "stderr", "both"])
def test_closed_outputs(closed: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    folder, kept = lineage(tmp_path / "policy"), io.StringIO()
    monkeypatch.setattr(sys, "stdout", io.StringIO() if closed == "stderr" else None)
    monkeypatch.setattr(sys, "stderr", kept if closed == "stdout" else None)
    assert main(["policy", "show", folder]) == (0 if closed == "stderr" else 1)
    assert ("(it is closed)" in kept.getvalue()) == (closed == "stdout")
    assert main(["policy", "show", "/nowhere"]) == 5


@pytest.mark.parametrize("arguments", [["--help"], ["--version"], ["policy", "show", "--help"]])
def test_help_on_a_full_disk(arguments: list[str], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "stdout", Broken(errno.ENOSPC))
    monkeypatch.setattr(sys, "stderr", io.StringIO())
    assert main(arguments) == 1


def test_errors_that_nobody_reads_are_no_errors(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "stderr", Broken(errno.ENOSPC))
    assert main(["run", "--out", str(tmp_path / "run"), *sets(*LIGHT)]) == 0
    assert main(["policy", "show", "/nowhere"]) == 5


@pytest.mark.parametrize(
    ("error", "said"),
    [
        (PermissionError(errno.EACCES, "Permission denied", "/x/y\nz"), "/x/y z: Permission denied"),
        (OSError(errno.ENOSPC, "No space left on device"), "No space left on device"),
        (ConnectionResetError("by peer"), "by peer"),
    ],
)
def test_what_the_system_refuses_is_a_sentence(
    error: OSError, said: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(policy, "policy_folder", raising(error))
    assert main(["policy", "show", "x"]) == 4
    assert capsys.readouterr().err == f"sotopia-pi: {said}; what was stored is kept.\n"


def raising(error: BaseException) -> Callable[..., Any]:
    def fail(*_: Any, **__: Any) -> Any:
        raise error

    return fail


# Ctrl-C


def test_an_interruption_is_a_sentence(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    monkeypatch.setattr(policy, "policy_folder", raising(KeyboardInterrupt()))
    assert main(["policy", "show", "x"]) == 130
    assert capsys.readouterr().err == f"\nsotopia-pi: {interrupting.SENTENCE}\n"


def test_what_a_library_makes_of_an_interruption_is_one(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(interrupting, "_first", [0.0])
    monkeypatch.setattr(policy, "policy_folder", raising(ImportError("could not import datetime")))
    assert main(["policy", "show", "x"]) == 130
    assert "datetime" not in capsys.readouterr().err


def test_the_next_second_counts_as_one_and_then_it_ends_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    now, ended = [100.0], list[int]()
    monkeypatch.setattr(interrupting, "_first", [])
    monkeypatch.setattr(interrupting.time, "monotonic", lambda: now[0])
    monkeypatch.setattr(interrupting.os, "_exit", ended.append)
    before, told = signal.getsignal(signal.SIGINT), sys.unraisablehook
    try:
        signal.signal(signal.SIGINT, signal.default_int_handler)
        interrupting.handle_interrupts()
        with pytest.raises(KeyboardInterrupt):
            signal.raise_signal(signal.SIGINT)
        for later in (0.0, 0.5, 0.9):
            now[0] = 100.0 + later
            signal.raise_signal(signal.SIGINT)
        assert ended == []
        now[0] = 101.5
        signal.raise_signal(signal.SIGINT)
        assert ended == [130]
    finally:
        signal.signal(signal.SIGINT, before)
        sys.unraisablehook = told


def test_pressed_again_and_again_a_program_ends_with_one_sentence(tmp_path: Path) -> None:
    more = ("world.test={price=3000}", "models.policy='fake:'")
    process = start("run", "--out", str(tmp_path / "run"), *sets(*LIGHT, *more))
    wait_until((tmp_path / "run" / "run.db").is_file, process)
    for _ in range(4):
        process.send_signal(signal.SIGINT)
    _, errors = process.communicate(timeout=60)
    assert process.returncode == 130
    assert errors.count(interrupting.SENTENCE) == 1 and "Traceback" not in errors and "ignored" not in errors
