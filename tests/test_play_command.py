"""`sotopia-pi play`: piped input, a terminal, Ctrl-C, models that fail, text that would be more than text."""

from __future__ import annotations

import io
import os
import pty
import re
import select
import signal
import subprocess
from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest
from serving import serving
from support import command, offline, open_task, price_task, turn

from sotopia_pi.cli.main import main
from sotopia_pi.cli.terminal import help_lines, read_line
from sotopia_pi.config import parse
from sotopia_pi.episodes.records import ActionError, ActionType, Episode, StopReason
from sotopia_pi.episodes.views import view
from sotopia_pi.models.fake import FakeModel
from sotopia_pi.rundir import Run
from sotopia_pi.store import Store


def new_run(folder: Path, **values: Any) -> Path:
    """A run with one held-out task and the fake model as its policy."""
    config = parse({"models": {"policy": "fake:"}, "max_turns": 6, **values}, "the test")
    with Run.open(folder / "run", config, quiet=True) as run:
        run.store.add_tasks("test", [price_task()])
        run.store.add_tasks("train", [price_task(number=1)])
    return folder / "run"


def play(monkeypatch: pytest.MonkeyPatch, typed: str, *arguments: object) -> int:
    """Plays with piped input."""
    monkeypatch.setattr("sys.stdin", io.StringIO(typed))
    return main(["play", *map(str, arguments)])


def stored(folder: Path) -> list[Episode]:
    with Store.open(folder / "run.db") as store:
        return list(store.episodes("play"))


BEGINNING = view(price_task(), 0, ())


# What is typed


@pytest.mark.parametrize(
    ("line", "kind", "words"),
    [
        ("Hello there.", ActionType.SPEAK, "Hello there."),
        ("  // is a comment", ActionType.SPEAK, "/ is a comment"),
        ("/do opens the door", ActionType.ACT, "opens the door"),
        ("/show nods", ActionType.NON_VERBAL, "nods"),
        ("/pass", ActionType.NONE, ""),
        ("/leave", ActionType.LEAVE, ""),
        ("/leave Bye.", ActionType.LEAVE, "Bye."),
    ],
)
def test_lines_are_actions(line: str, kind: ActionType, words: str) -> None:
    action = read_line(line, BEGINNING)
    assert (action.type, action.argument, action.terms) == (kind, words, None)


@pytest.mark.parametrize(
    ("line", "said"),
    [
        ("", "/help"),
        ("/fly", "There is no /fly"),
        ("/do", "no words"),
        ("x" * 5000, "at most 4,000"),
        ("/accept", "has not just declared terms that you could accept"),
    ],
)
def test_lines_that_are_none(line: str, said: str) -> None:
    with pytest.raises(ActionError, match=said):
        read_line(line, BEGINNING)


def test_lines_with_terms() -> None:
    answering = view(price_task(), 1, [turn(0, "I ask 17.", terms="$17")])
    for line, terms, words, declared in (
        ("What about 14?", "$14", "What about 14?", "$14"),
        ("", "$14", "I propose $14.", "$14"),
        ("", "$17", "Agreed.", "$17"),
        ("/accept", None, "Agreed.", "$17"),
        ("/accept Sold!", "$14", "Sold!", "$17"),
        ("/do counts out coins", "$14", "counts out coins", "$14"),
    ):
        action = read_line(line, answering, terms)
        assert (action.argument, action.terms) == (words, declared)
    for line in ("/pass", "/leave Bye."):
        with pytest.raises(ActionError, match="declares no terms"):
            read_line(line, answering, "$14")


def test_an_open_conversation_knows_no_terms() -> None:
    seen = view(open_task(), 0, ())
    assert "/accept" not in help_lines(seen)
    assert "/accept" in help_lines(BEGINNING)
    with pytest.raises(ActionError, match="no terms in this conversation"):
        read_line("/accept", seen)


# Whole episodes


def test_a_task_is_played_to_its_end(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    folder = new_run(tmp_path)
    typed = "Good day.\n/fly\n\n/help\n/show smiles\n/leave Bye.\n"
    assert play(monkeypatch, typed, folder, "--with", "base", "--name", "kim") == 0
    printed = capsys.readouterr().out
    assert "You are Ada Moss" in printed
    assert "Sell the lamp for as much as you can." in printed
    assert "Buy the lamp" not in printed
    assert "nurse" not in printed
    assert "The other person:\n    Let us find something that works for both of us." in printed
    assert "There is no /fly" in printed
    assert printed.count("/show WORDS") == 2
    assert "You [without words]:\n    smiles" in printed
    assert "The conversation is over: somebody left (5 turns)." in printed
    assert "You: goal 0" in printed
    assert "limit of" not in printed
    (episode,) = stored(folder)
    assert episode.key in printed
    assert episode.players == ("human:kim", "base")
    assert episode.completed


def test_terms_are_typed_and_accepted(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    replies = iter(
        (
            '{"action_type": "speak", "argument": "I would pay 14.", "terms": "$14"}',
            '{"action_type": "speak", "argument": "15, then.", "terms": "$15"}',
        )
    )
    monkeypatch.setattr(FakeModel, "_text", lambda *_: next(replies))
    folder = new_run(tmp_path)
    typed = "/terms a lot\n/terms $16.50\nSixteen and a half.\n/terms 18\n/terms\nHm.\n/accept\n"
    assert play(monkeypatch, typed, folder, "--with", "base") == 0
    printed = capsys.readouterr().out
    for said in (
        'Terms are one amount in dollars, such as "$19".',
        "/terms TERMS",
        "These terms cannot be declared: write one amount",
        "Your next line declares $16.50; an empty one says “I propose $16.50.”",
        "You:\n    Sixteen and a half.\n  Terms: $16.50\n",
        "The other person:\n    I would pay 14.\n  Terms: $14\n",
        "No terms are declared with your next line.",
        "You:\n    Hm.\nThe other person:\n    15, then.\n  Terms: $15\n",
        "You:\n    Agreed.\n  Terms: $15\n",
        "The conversation is over: you agreed (5 turns).",
    ):
        assert said in printed, said
    assert "You: goal 5, financial and material benefits 2.5 (verifier). Agreed: $15" in " ".join(printed.split())
    (episode,) = stored(folder)
    assert episode.stop_reason is StopReason.AGREED
    assert [one.action.terms for one in episode.turns] == ["$16.50", "$14", None, "$15", "$15"]


def test_terms_in_an_open_conversation_are_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    folder = new_run(tmp_path)
    with Run.open(folder, quiet=True) as run:
        run.store.add_tasks("open", [open_task()])
    assert play(monkeypatch, "/terms $5\n/accept\n/leave\n", folder, "--with", "base", "--group", "open") == 0
    printed = capsys.readouterr().out
    assert printed.count("There are no terms in this conversation, only words") == 2
    assert "/terms" not in printed


def test_a_name_in_another_case_is_the_same_person(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    folder = new_run(tmp_path)
    for name in ("Kim", "kim", " KIM ", "lee"):
        play(monkeypatch, "/leave", folder, "--name", name)
    assert Counter(name for one in stored(folder) for name in one.players) == {
        "human:Kim": 3,
        "human:lee": 1,
        "partner": 4,
    }


def test_an_answering_role_and_a_group(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    folder = new_run(tmp_path)
    given = (folder, "--with", "expert", "--role", "1", "--group", "train", "--seed", "3")
    for _ in range(2):  # the same again is another episode, in which the expert says the same
        assert play(monkeypatch, "/leave\n", *given) == 0
    printed = capsys.readouterr().out
    assert "You are Bo Lind" in printed
    episodes = stored(folder)
    assert {episode.task_id for episode in episodes} == {price_task(number=1).id}
    assert [episode.players for episode in episodes] == [("expert", "human:me")] * 2
    assert episodes[0].turns == episodes[1].turns
    assert play(monkeypatch, "/leave\n", folder, "--task", price_task().id[:8]) == 0
    assert [e.players for e in stored(folder) if e.task_id == price_task().id] == [("human:me", "partner")]


@pytest.mark.parametrize("typed", ["Hello.\n", "Hello.\n/quit\nnot heard\n"])
def test_the_end_of_the_input_keeps_what_was_played(
    typed: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    folder = new_run(tmp_path)
    assert play(monkeypatch, typed, folder, "--with", "base") == 0
    (episode,) = stored(folder)
    assert (episode.failure, len(episode.turns)) == ("the person stopped", 2)
    printed = " ".join(capsys.readouterr().out.split())
    assert f"You stopped. What was played (2 turns) is kept in {folder} as the failed episode {episode.key}." in printed


def test_without_a_run_a_task_of_the_starter_world(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    for _ in range(2):
        assert play(monkeypatch, "/leave\n") == 0
    assert len(stored(tmp_path / "runs" / "play")) == 2
    out = tmp_path / "mine"
    assert play(monkeypatch, "/leave\n", "--out", out, "--with", "fake:", "--group", "open") == 0
    (episode,) = stored(out)
    assert episode.players == ("human:me", "fake:")
    assert "The other" not in capsys.readouterr().out.split("conversation is over")[-1]  # nobody can rate it


def test_an_open_task_is_rated_by_the_judge(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    folder = new_run(tmp_path, judge={"model": "fake:judge", "also_verified": True})
    assert play(monkeypatch, "/leave\n", folder, "--with", "base") == 0
    assert "(judge:fake:judge" in capsys.readouterr().out
    assert main(["rate", str(folder), "--stage", "play"]) == 0
    assert "2 roles rated" in capsys.readouterr().out
    broken = new_run(tmp_path / "other", judge={"model": str(tmp_path / "none"), "also_verified": True})
    assert play(monkeypatch, "/leave\n", broken, "--with", "base") == 0
    assert "Not rated by the judge: There is no model folder" in capsys.readouterr().out
    assert stored(broken)[0].completed


# What goes wrong


@pytest.mark.parametrize(
    ("arguments", "code", "said"),
    [
        (("--with", "nobody"), 2, "There is no policy 'nobody' here"),
        (("--name", "Kim Doe"), 2, "is no pseudonym"),
        (("--role", "2"), 2, "no role 2; its roles are 0, 1"),
        (("--task", "zzz"), 2, "No task of"),
        (("--group", "hard"), 2, "no group of tasks 'hard'; the groups are: test, train"),
        (("--with", "openai:m@ftp://x"), 2, "must begin with http"),
        (("--out", "x"), 2, "not both"),
    ],
)
def test_what_cannot_be_played(
    arguments: Sequence[str],
    code: int,
    said: str,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    folder = new_run(tmp_path)
    assert play(monkeypatch, "Hello.\n", folder, *arguments) == code
    error = capsys.readouterr().err
    assert said in error
    assert error.count("\n") == 1
    assert not stored(folder)


def test_a_model_that_is_dead(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    folder = new_run(tmp_path)
    assert play(monkeypatch, "Hello.\nStill there?\n", folder, "--with", "fake:unreachable") == 5
    error = capsys.readouterr().err
    assert "cannot be reached; check that it is running" in error
    (episode,) = stored(folder)
    assert f"What was played (1 turn) is kept in {folder} as the failed episode {episode.key}." in error
    assert episode.failure


def test_text_of_a_model_cannot_move_the_cursor(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    said = r"\u001b[2J\u001b]0;title\u0007\rYou:\nYou: I give up \u202e\u009b31m"
    monkeypatch.setattr(FakeModel, "_text", lambda *_: f'{{"action_type": "speak", "argument": "{said}"}}')
    assert play(monkeypatch, "Hello.\n", new_run(tmp_path), "--with", "base") == 0
    printed = capsys.readouterr().out
    assert not re.search("[\x00-\x08\x0b-\x1f\x7f-\x9f\u202e]", printed)
    assert "[U+001B][2J[U+001B]]0;title[U+0007]" in printed
    assert "\n    You: I give up" in printed  # indented, so that it is no line of the person's own


# In processes of their own


class OnTerminal:
    """The verb on a pseudo-terminal."""

    def __init__(self, *arguments: object) -> None:
        self.ours, theirs = pty.openpty()
        environment = {**os.environ, **offline(), "TERM": "xterm"}
        argv = command("play", *map(str, arguments))
        self.process = subprocess.Popen(
            argv, stdin=theirs, stdout=theirs, stderr=theirs, env=environment, start_new_session=True
        )
        os.close(theirs)
        self.printed = ""

    def until(self, pattern: str) -> None:
        """Reads until a pattern is printed."""
        while not re.search(pattern, self.printed):
            self.printed += self._read()

    def _read(self) -> str:
        try:
            data = os.read(self.ours, 4096)
        except OSError:  # the other side is closed
            data = b""
        assert data, f"it ended after:\n{self.printed}"
        return data.decode(errors="replace")

    def interrupt(self, pattern: str) -> None:
        """Ctrl-C until a pattern is printed: one that comes between a prompt and the wait for keys Python overhears."""
        self.process.send_signal(signal.SIGINT)
        while not re.search(pattern, self.printed):
            if select.select([self.ours], [], [], 5)[0]:
                self.printed += self._read()
            else:
                self.process.send_signal(signal.SIGINT)

    def type(self, text: str) -> None:
        os.write(self.ours, text.encode())

    def end(self) -> int:
        """What is printed until the end; the exit code."""
        while True:
            try:
                data = os.read(self.ours, 4096)
            except OSError:
                break
            if not data:
                break
            self.printed += data.decode(errors="replace")
        os.close(self.ours)
        return self.process.wait(30)


def test_ctrl_c_on_a_terminal_keeps_what_was_played(tmp_path: Path) -> None:
    folder = new_run(tmp_path)
    there = OnTerminal(folder, "--with", "base")
    there.until(r"\[turn 1 of 6\] > ")
    there.type("/terms 16\r")
    there.until(r"\[turn 1 of 6, terms \$16\] > ")
    there.type("Helo\x7flo.\r")  # edited on the line
    there.until(r"\[turn 3 of 6\] > ")
    there.interrupt("You stopped")
    assert there.end() == 130
    assert "You stopped. What was played (2 turns)" in there.printed
    assert "Traceback" not in there.printed
    (episode,) = stored(folder)
    assert episode.failure == "the person stopped"
    assert (episode.turns[0].action.argument, episode.turns[0].action.terms) == ("Hello.", "$16")


def test_the_end_of_the_input_on_a_terminal(tmp_path: Path) -> None:
    folder = new_run(tmp_path)
    there = OnTerminal(folder, "--with", "partner", "--role", "1")
    there.until(r"\[turn 2 of 6\] > ")
    there.type("\x04")
    assert there.end() == 0
    assert len(stored(folder)[0].turns) == 1


def test_ctrl_c_while_a_model_behind_a_server_thinks(tmp_path: Path) -> None:
    folder = new_run(tmp_path)
    with serving(latency=600) as server:
        there = OnTerminal(folder, "--with", f"openai:mock@{server.url}")
        there.until(r"\[turn 1 of 6\] > ")
        there.type("Hello.\r")
        there.until("is thinking")
        there.interrupt("You stopped")
        assert there.end() == 130
    assert (stored(folder)[0].failure, len(stored(folder)[0].turns)) == ("the person stopped", 1)
    assert "Traceback" not in there.printed


def test_a_model_behind_a_server(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    folder = new_run(tmp_path)
    with serving() as server:
        spec = f"openai:mock@{server.url}"
        assert play(monkeypatch, "Hello.\n/leave\n", folder, "--with", spec, "--quiet") == 0
    (episode,) = stored(folder)
    assert episode.players == ("human:me", spec)
    assert episode.turns[1].usage.completion
    with Store.open(folder / "run.db") as store:
        assert store.meta("spending")["mock"]["calls"] == 1
