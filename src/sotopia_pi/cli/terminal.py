"""A person at a terminal: what is shown of an episode and what is typed, with piped input too.

What a model wrote is printed with its control characters spelled out, so that it cannot move the cursor, change the
window or pass for something else.
"""

from __future__ import annotations

import asyncio
import io
import shutil
import sys
import textwrap
from collections.abc import Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import suppress
from itertools import cycle

from sotopia_pi.episodes.briefing import briefing, called, told
from sotopia_pi.episodes.people import STOPPED, Sight, Sitting, declaration, offered, short_words, typed
from sotopia_pi.episodes.records import Action, ActionError, ActionType, Episode
from sotopia_pi.episodes.views import Seen, View, terms_told
from sotopia_pi.printable import safe_text

_HELP = """\
Type what you say, or one of these:
  /do WORDS      do something, such as /do hands over the keys
  /show WORDS    show something without words, such as /show nods
  /pass          do nothing this turn
  /leave WORDS   leave, which ends the conversation; the words are optional
"""
_HELP_ON_TERMS = """\
  /terms TERMS   declare terms with your next line; /terms alone takes them back
  /accept WORDS  accept the other's last terms; the words are optional
"""
_HELP_ENDS = """\
  /help          these lines
  /quit          stop here: what was played is kept as a failed episode
A line that begins with // is spoken with one slash."""

_COMMANDS = {
    "/do": ActionType.ACT,
    "/show": ActionType.NON_VERBAL,
    "/pass": ActionType.NONE,
    "/leave": ActionType.LEAVE,
}
#: The longest text of a model that is printed whole, and the widest line, in characters.
_LIMIT, _WIDTH = 20_000, 100
#: Seconds between two looks at what the other does.
_BLINK = 0.2


def help_lines(seen: View) -> str:
    """What can be typed in this conversation."""
    return f"{_HELP}{'' if seen.environment is None else _HELP_ON_TERMS}{_HELP_ENDS}"


def read_line(line: str, seen: View, terms: str | None = None) -> Action:
    """The action that a line stands for, typed after `terms` were declared. ActionError, with what to do, for none."""
    words = line.strip()
    if not words and terms is None:
        raise ActionError("Type what you say, or /help.")
    if words.startswith("//") or not words.startswith("/"):
        return typed(ActionType.SPEAK, words.removeprefix("/"), seen, terms)
    name, _, rest = words.partition(" ")
    if name == "/accept":
        return _acceptance(rest, seen)
    if name not in _COMMANDS:
        raise ActionError(f"There is no {name}; /help lists what there is, and // begins a line with a slash.")
    return typed(_COMMANDS[name], rest, seen, terms)


def _acceptance(words: str, seen: View) -> Action:
    terms = offered(seen)
    if terms is None and seen.environment is not None:
        raise ActionError("The other has not just declared terms that you could accept; /terms declares your own.")
    return typed(ActionType.SPEAK, words, seen, terms or "")


def _prompt(seen: View, terms: str | None) -> str:
    """What stands before the line that a person types at a terminal."""
    return safe_text(f"\n[turn {seen.turn_number} of {seen.max_turns}{f', terms {terms}' if terms else ''}] > ", 300)


class Terminal:
    """Standard input and output of one sitting. Typed lines can be edited where both are a terminal."""

    def __init__(self) -> None:
        self._interactive = sys.stdin.isatty() and sys.stdout.isatty()
        self._wheel = cycle(("   ", ".  ", ".. ", "..."))
        if isinstance(sys.stdin, io.TextIOWrapper):
            sys.stdin.reconfigure(errors="replace")
        if self._interactive:
            with suppress(ImportError):
                import readline  # noqa: F401  (input() edits lines once it is loaded)

    def converse(self, sitting: Sitting) -> tuple[Episode, bool]:
        """Plays a sitting to its end; the episode, and whether Ctrl-C ended it."""
        interrupted = False
        with ThreadPoolExecutor(1) as pool:
            playing = pool.submit(asyncio.run, sitting.play())
            try:
                self._talk(sitting, playing)
            except KeyboardInterrupt:
                interrupted = True
                self._clear()
            finally:
                sitting.stop(STOPPED)
            return playing.result(), interrupted

    def _talk(self, sitting: Sitting, playing: Future[Episode]) -> None:
        self._brief(sitting.sight.view)
        shown = 0
        while not playing.done():
            sight = sitting.sight
            shown = self._show(sight.view, shown)
            if sight.over:
                return
            if not sight.asked:
                self._wait(sitting, sight)
                continue
            action = self._ask(sight.view)
            if action is None:
                sitting.stop(STOPPED)
                playing.result()
            else:
                sitting.act(action, sight.view.turn_number)
        self._show(sitting.sight.view, shown)

    def say(self, text: str, indent: str = "") -> None:
        """Prints a text, broken into lines of the terminal's width; never more than text."""
        wrapper = textwrap.TextWrapper(
            min(_WIDTH, shutil.get_terminal_size().columns),
            initial_indent=indent,
            subsequent_indent=indent,
            break_long_words=False,
            break_on_hyphens=False,
        )
        for line in safe_text(text, _LIMIT).expandtabs(4).split("\n"):
            print(wrapper.fill(line))
        sys.stdout.flush()

    def _brief(self, seen: View) -> None:
        for part in briefing(seen):
            self.say(part.title)
            for line in part.lines:
                self.say(line, "  ")
            print()
        self.say(help_lines(seen))
        print()

    def _show(self, seen: View, shown: int) -> int:
        """Prints what happened since; what the person typed at a terminal stands there already."""
        for event in seen.history[shown:]:
            if event.role != seen.role or not self._interactive:
                self._print(seen, event)
        return len(seen.history)

    def _print(self, seen: View, event: Seen) -> None:
        note, words = told(event)
        who = called(seen, event.role)
        self.say(f"{who[0].upper()}{who[1:]}{f' [{note}]' if note else ''}{':' if words else ''}")
        if words:
            self.say(words, "    ")
        if terms := terms_told(seen, event):
            self.say(f"Terms: {terms}", "  ")

    def _ask(self, seen: View) -> Action | None:
        """What the person does; None when the person stops, or nothing more can be read."""
        terms: str | None = None
        while True:
            try:
                line = input(_prompt(seen, terms) if self._interactive else "")
            except EOFError:
                if self._interactive:
                    print()
                return None
            command, _, rest = line.strip().partition(" ")
            if line.strip() == "/quit":
                return None
            if line.strip() == "/help":
                self.say(help_lines(seen))
                continue
            try:
                if command == "/terms":
                    terms = self._declare(seen, rest)
                else:
                    return read_line(line, seen, terms)
            except ActionError as error:
                self.say(str(error))

    def _declare(self, seen: View, text: str) -> str | None:
        """The terms of the next line."""
        terms = declaration(seen, text)
        if terms is None:
            self.say("No terms are declared with your next line.")
        else:
            self.say(f"Your next line declares {terms}; an empty one says “{short_words(seen, terms)}”")
        return terms

    def _wait(self, sitting: Sitting, sight: Sight) -> None:
        """Waits for the other, showing that it thinks."""
        if self._interactive:
            print(f"\r{self._thinks(sight.view)}{next(self._wheel)}", end="", flush=True)
        if sitting.wait(sight, _BLINK) is not sight:
            self._clear()

    def _thinks(self, seen: View) -> str:
        role = len(seen.history) % (len(seen.partners) + 1)
        who = called(seen, role)
        return safe_text("Waiting" if role == seen.role else f"{who[0].upper()}{who[1:]} is thinking", 60)

    def _clear(self) -> None:
        if self._interactive:
            print("\r\x1b[K", end="", flush=True)

    def lines(self, texts: Sequence[str]) -> None:
        """Prints some lines."""
        for text in texts:
            self.say(text)
