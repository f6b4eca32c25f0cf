"""Deal or No Deal (Lewis et al. 2017, arXiv 1706.05125): `train.txt`, `val.txt` and `test.txt` of `data/negotiate`.

A line is a dialogue from one side: `<input>` with count and value of books, hats and balls, `<dialogue>`, `<output>`
with who takes what (own items first), `<partner_input>` with the other side's values. Most dialogues stand there
twice, once from each side; both are read as the side that speaks first, and the second one is left out.

The task is a division (environments/division.py). Whoever chooses first (`<selection>`) ends the talk, and both fill in
a form: two turns whose terms are what each takes, so that they agree exactly when the forms do. Forms that disagree, or
take what there is not, are no agreement. Where the file has no forms (the two chose differently, or gave up), whoever
chose first leaves.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from sotopia_pi.environments import environment
from sotopia_pi.environments.division import DivisionCheck
from sotopia_pi.episodes.records import ActionType
from sotopia_pi.errors import StoreError
from sotopia_pi.inputs import open_text
from sotopia_pi.interop.dialogues.records import Dialogue, Found, Talk, cast
from sotopia_pi.interop.lines import LONGEST
from sotopia_pi.interop.problems import RecordError
from sotopia_pi.interop.profiles import validated
from sotopia_pi.records import content_hash
from sotopia_pi.world.records import Scenario

_THINGS = ("book", "hat", "ball")
_TAGS = ("input", "dialogue", "output", "partner_input")
_PARTS = {tag: re.compile(rf"<{tag}>(.*?)</{tag}>") for tag in _TAGS}
_SIDES = {"YOU:": 0, "THEM:": 1}
_TAKEN = re.compile(r"item([012])=(\d{1,2})")
_SELECTION = "<selection>"
_NO_FORMS = ("<disagree>", "<no_agreement>")
_CUT = "<disconnect>"
#: The corpus has a space before every mark.
_SPACED = re.compile(r" (?=[.,!?;:]|'s\b)")


def find(paths: Sequence[Path]) -> Iterator[Found]:
    """The dialogues of the files, line by line, with an id that is the same from both sides."""
    for path in paths:
        try:
            with open_text(path, errors="replace") as file:
                number = 0
                while line := file.readline(LONGEST):
                    number += 1
                    if line.strip():
                        yield _found(path.name, number, line)
        except OSError as error:
            raise StoreError(f"{path} cannot be read ({error.strerror}); check the path.") from error


def _found(file: str, number: int, line: str) -> Found:
    try:
        value = _parsed(line)
    except RecordError as error:
        return Found(file, number, problem=str(error))
    return Found(file, number, content_hash(value), value, again=True)


def _parsed(line: str) -> dict[str, Any]:
    """The line as the side that speaks first: counts, values by role, messages and what each role takes."""
    parts = {tag: match[1].split() for tag, pattern in _PARTS.items() if (match := pattern.search(line))}
    missing = [tag for tag in _TAGS if tag not in parts]
    if missing:
        raise RecordError(f"there is no <{missing[0]}>")
    counts, own = _numbers(parts["input"], "input")
    same, other = _numbers(parts["partner_input"], "partner_input")
    if counts != same:
        raise RecordError("the two sides have different counts")
    messages = _messages(" ".join(parts["dialogue"]))
    taken = _output(parts["output"])
    swap = messages[0][0] == 1
    values = [other, own] if swap else [own, other]
    said = [[1 - role if swap else role, text] for role, text in messages]
    if isinstance(taken, list) and swap:
        taken = [taken[1], taken[0]]
    return {"counts": counts, "values": values, "said": said, "taken": taken}


def _numbers(words: Sequence[str], tag: str) -> tuple[list[int], list[int]]:
    if len(words) != 2 * len(_THINGS) or not all(word.isascii() and word.isdigit() and len(word) < 4 for word in words):
        raise RecordError(f"<{tag}> is not a count and a value for each of {', '.join(_THINGS)}")
    numbers = [int(word) for word in words]
    return numbers[0::2], numbers[1::2]


def _messages(text: str) -> list[list[Any]]:
    found: list[list[Any]] = []
    for part in text.split("<eos>"):
        who, _, words = part.strip().partition(" ")
        if not who:
            continue
        if who not in _SIDES:
            raise RecordError(f"a message begins with {who[:20]!r}, not with YOU: or THEM:")
        found.append([_SIDES[who], _SPACED.sub("", words.strip())])
    if not found:
        raise RecordError("nobody says anything in it")
    return found


def _output(words: Sequence[str]) -> list[list[int]] | str:
    """What each side takes, own first; or the mark that says why nobody takes anything."""
    if words and words[0] in (*_NO_FORMS, _CUT):
        return words[0]
    found = [_TAKEN.fullmatch(word) for word in words]
    if len(found) != 6 or [match[1] for match in found if match] != ["0", "1", "2"] * 2:
        raise RecordError("<output> says neither who takes what nor that there is no deal")
    numbers = [int(match[2]) for match in found if match]
    return [numbers[:3], numbers[3:]]


def read(value: Any) -> Dialogue:
    """The dialogue of a found record. RecordError says why there is none."""
    if value["taken"] == _CUT:
        raise RecordError("the connection broke, so the dialogue has no end")
    counts = dict(zip(_THINGS, value["counts"], strict=True))
    values = tuple(dict(zip(_THINGS, map(float, side), strict=True)) for side in value["values"])
    check = validated(DivisionCheck, {"counts": counts, "values": values})
    env = environment(check.kind)
    scenario = Scenario(
        situation=env.situation(check),
        goals=tuple(env.goal(check.side(role)) for role in (0, 1)),
        kind=check.kind,
        source="dealornodeal",
        check=check,
    )
    talk = Talk(check)
    for role, text in value["said"]:
        if text != _SELECTION:
            talk.say(role, text)
    first = next((role for role, text in value["said"] if text == _SELECTION), 1 - value["said"][-1][0])
    if isinstance(value["taken"], str):
        talk.act(first, "", ActionType.LEAVE)
    else:
        for role in (first, 1 - first):
            side = check.side(role)
            terms = side.mine(tuple(value["taken"][role]))
            talk.offer(role, f"fills in the form: {env.words(side, terms)}", terms)
    return Dialogue(cast(scenario, ("neighbour", "neighbour")), talk.done())
