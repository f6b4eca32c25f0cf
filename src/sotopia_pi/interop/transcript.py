"""Transcripts as SOTOPIA prints them: `Turn #3` on a line of its own or before the text, then who did what.

What cannot be read is refused, never guessed: a reader would otherwise train on words that nobody said.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass

from sotopia_pi.episodes.records import NOTHING, Action, ActionType, Turn
from sotopia_pi.interop.problems import RecordError

_MARK = re.compile(r"^Turn #(\d{1,4})(?::[ \t]*(?P<text>.*)|,?[ \t]*)$")
_TAGGED = re.compile(r"\[(action|non-verbal communication)\]\s*(.*)", re.DOTALL)
_ACT = re.compile(r"said:|\[(?:action|non-verbal communication)\]|(?:did nothing|left the conversation)\s*[.,!]?$")
_LEFT = re.compile(r"left the conversation\s*[.,!]?")
_NOTHING = re.compile(r"did nothing\s*[.,!]?")


def read_action(text: str, alone: bool = False) -> tuple[Action, bool]:
    """The action that a message tells of, without the name, and whether it is a whole one.

    `alone`: the text is known to be one message, so that a speech may lack its quotes. An empty message or one with
    empty words did nothing and is not whole. RecordError for anything else.
    """
    text = text.strip()
    if _NOTHING.fullmatch(text):
        return NOTHING, True
    if _LEFT.fullmatch(text):
        return Action(type=ActionType.LEAVE), True
    if not text or text == "none":
        return NOTHING, False
    if tagged := _TAGGED.fullmatch(text):
        kind, words = ActionType(tagged[1]), tagged[2].strip()
    elif text.startswith("said:"):
        kind, words = ActionType.SPEAK, _quoted(text.removeprefix("said:").strip(), alone)
    else:
        raise RecordError(f"{_short(text)} is none of the five actions")
    return (Action(type=kind, argument=words), True) if words else (NOTHING, False)


def _quoted(text: str, alone: bool) -> str:
    if len(text) < 2 or text[0] != '"' or text[-1] != '"':
        if alone:
            return text
        raise RecordError(f"{_short(text)} is not in quotes, so where the speech ends is not known")
    return text[1:-1].strip()


def _short(text: str) -> str:
    return repr(text if len(text) <= 60 else text[:57] + "…")


def make_turn(role: int, text: str, alone: bool = False) -> Turn:
    """The turn of a role that a message tells of. Turns that are not whole are kept but not imitated."""
    action, whole = read_action(text, alone)
    return Turn(role=role, action=action, raw=action.to_json() if whole else text.strip(), valid=whole)


@dataclass(slots=True)
class _Segment:
    number: int
    lines: list[str]

    def text(self) -> str:
        return "\n".join(self.lines).strip()


def read_transcript(text: str, names: Sequence[str]) -> tuple[Turn, ...]:
    """The turns of a printed transcript. RecordError says at which turn it cannot be read.

    Speech may hold line breaks, and lines that look like the transcript's own as long as they are of the other
    layout or out of order. Empty turns did nothing; whose they are follows from whose turn it was before.
    """
    segments = _segments(text, names)
    if not segments:
        raise RecordError("there are no turns in it")
    last = segments[-1]
    if (ending := last.text()).endswith(","):
        last.lines = [ending[:-1]]  # the comma stands behind every printed transcript
    turns: list[Turn] = []
    for segment in segments:
        role, rest = _actor(segment.text(), names)
        if role is None:
            role = (turns[-1].role + 1) % len(names) if turns else 0
        try:
            turns.append(make_turn(role, rest))
        except RecordError as error:
            raise RecordError(f"turn {segment.number}: {error}") from None
    return tuple(turns)


def without_name(text: str, name: str) -> str:
    """A message without the name of its sender before it."""
    return _actor(text.strip(), [name])[1]


def _actor(text: str, names: Sequence[str]) -> tuple[int | None, str]:
    for role, name in enumerate(names):
        if text.startswith((name + " ", name + ": ")) or text in (name, name + ":"):
            return role, text[len(name) :].removeprefix(":").strip()
    return None, text


def _segments(text: str, names: Sequence[str]) -> list[_Segment]:
    """The transcript cut at its own marks: the next number, in the first mark's layout, outside a speech."""
    found: list[_Segment] = []
    inline: bool | None = None
    lines = text.split("\n")
    for at, line in enumerate(lines):
        mark = _MARK.match(line)
        if mark is None:
            if found:
                found[-1].lines.append(line)
            elif line.strip():
                return _unnumbered(lines[at:], names)
            continue
        own = mark["text"] is not None
        inline = own if inline is None else inline
        number = int(mark[1])
        begins = mark["text"] or next((later for later in lines[at + 1 :] if later.strip()), "")
        if own == inline and (not found or (_follows(found[-1], number, begins, names) and _closed(found[-1], names))):
            found.append(_Segment(number, [mark["text"] or ""]))
        elif own == inline and _closed(found[-1], names) and _actor(begins, names)[0] is not None:
            raise RecordError(f"turn {number} follows turn {found[-1].number}")
        else:
            found[-1].lines.append(line)
    return found


def _follows(last: _Segment, number: int, text: str, names: Sequence[str]) -> bool:
    """Whether a turn can come after another: the next number, or the same one where both act at a time."""
    if number != last.number:
        return number == last.number + 1
    role = _actor(text, names)[0]
    return role is not None and role != _actor(last.text(), names)[0]


def _unnumbered(lines: Sequence[str], names: Sequence[str]) -> list[_Segment]:
    """A transcript without numbers, cut where somebody named says or does something."""
    found: list[_Segment] = []
    for line in lines:
        role, rest = _actor(line, names)
        acts = role is not None and _ACT.match(rest)
        if acts and (not found or _closed(found[-1], names)):
            found.append(_Segment(len(found), [line]))
        elif found:
            found[-1].lines.append(line)
        elif line.strip():
            raise RecordError(f"the transcript begins with {_short(line)}, not with a turn")
    return found


def _closed(segment: _Segment, names: Sequence[str]) -> bool:
    """Whether nobody is in the middle of a speech."""
    text = segment.text()
    _, rest = _actor(text, names)
    return not rest.startswith("said:") or (rest.endswith('"') and len(rest) > len('said: "'))
