"""PersuasionForGood (Wang et al. 2019, arXiv 1906.06725): `full_dialog.csv`, and `full_info.csv` for the donations.

In the dialogue file `Unit` is a message, `Turn` its number, `B4` who writes (0 persuader, 1 persuadee) and `B2` the
dialogue. In the other `B2` and `B4` name a participant and `B6` is what they gave, in dollars. GOAL of the persuader =
10 x what the persuadee gave / 2, since 2 dollars is the most that was asked for; more counts as 2. Whether the
persuadee reached a goal does not follow. The task is open, because a favour (environments/favour.py) is for one of
several purposes, and here there is one charity. Nothing else of the second file (age, sex, race, values, …) is read.
"""

from __future__ import annotations

import csv
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from sotopia_pi.environments import GOAL
from sotopia_pi.errors import StoreError
from sotopia_pi.inputs import check_columns, open_text
from sotopia_pi.interop.dialogues.records import Dialogue, Found, Score, Talk, amount, cast, missing, money
from sotopia_pi.interop.problems import RecordError
from sotopia_pi.store.schema import storable
from sotopia_pi.world.records import Scenario

_MOST = 2.0
_SPEAKERS = {"0": 0, "1": 1}
_SCENARIO = Scenario(
    situation=(
        "Two people who do not know each other chat online. One of them has something to say about Save the Children, "
        "a charity. Both are paid for the chat, and at the end each may give a part of that pay, up to $2."
    ),
    goals=(
        "Bring the other person to give some of their pay to Save the Children.",
        "Have a pleasant chat, and decide for yourself whether to give anything, and how much.",
    ),
    kind="persuasion",
    source="persuasionforgood",
)


def find(paths: Sequence[Path]) -> Iterator[Found]:
    """The dialogues of the files; a file with donations (column B6) is read first, wherever it stands."""
    kinds = {path: _columns(path) for path in paths}
    donations: dict[str, Any] = {}
    for path, columns in kinds.items():
        if "B6" in columns:
            for _, row in _rows(path):
                if isinstance(row, dict) and (row.get("B4") or "").strip() == "1":
                    donations[(row.get("B2") or "").strip()] = row.get("B6")
        elif not {"Unit", "B2", "B4"} <= columns:
            raise StoreError(
                f"{path} has no columns Unit, B2 and B4, nor B6; give full_dialog.csv, and full_info.csv for donations."
            )
    if all("B6" in columns for columns in kinds.values()):
        raise StoreError("There is no file with dialogues; give full_dialog.csv too.")
    for path, columns in kinds.items():
        if "B6" not in columns:
            yield from _dialogues(path, donations)


def _dialogues(path: Path, donations: dict[str, Any]) -> Iterator[Found]:
    """The dialogues of a file: the rows that stand together under one id."""
    id, first, said = "", 0, list[tuple[str, str]]()
    problem = ""
    for number_, row in _rows(path):
        if isinstance(row, str):
            yield Found(path.name, number_, id, problem=row)
            continue
        own = storable((row.get("B2") or "").strip())
        if not own:
            yield Found(path.name, number_, problem="the row names no dialogue (B2)")
            continue
        if own != id:
            if id:
                yield _found(path.name, first, id, said, donations, problem)
            id, first, said, problem = own, number_, [], ""
        who = (row.get("B4") or "").strip()
        if who not in _SPEAKERS:
            problem = problem or f"line {number_}: the speaker (B4) is {who[:20]!r}, neither 0 nor 1"
        said.append((who, row.get("Unit") or ""))
    if id:
        yield _found(path.name, first, id, said, donations, problem)


def _found(
    file: str, line: int, id: str, said: Sequence[tuple[str, str]], donations: dict[str, Any], problem: str
) -> Found:
    if problem:
        return Found(file, line, id, problem=problem)
    return Found(file, line, id, {"said": list(said), "donation": donations.get(id), "known": bool(donations)})


def _columns(path: Path) -> set[str]:
    for _, row in _rows(path):
        if isinstance(row, dict):
            return {name for name in row if name}
    return set()


def _rows(path: Path) -> Iterator[tuple[int, dict[str, str] | str]]:
    """The rows of a file by their last line, or what is wrong with the rest of it."""
    try:
        with open_text(path, errors="replace", newline="") as file:
            reader = csv.DictReader(file, restval="")
            try:
                check_columns(reader.fieldnames or ())
                for row in reader:
                    yield reader.line_num, row
            except ValueError as error:
                raise StoreError(f"{path}: {error}.") from None
            except csv.Error as error:
                yield reader.line_num, f"the file is no CSV from here on ({error})"
    except OSError as error:
        raise StoreError(f"{path} cannot be read ({error.strerror}); check the path.") from error


def read(value: Any) -> Dialogue:
    """The dialogue of a found record. RecordError says why there is none."""
    talk = Talk()
    for who, text in value["said"]:
        talk.say(_SPEAKERS[who], text)
    turns = talk.done()
    if {turn.role for turn in turns} != {0, 1}:
        raise RecordError("only one of the two says anything")
    task = cast(_SCENARIO, ("volunteer", "clerk"))
    if not value["known"]:
        return Dialogue(task, turns)
    given = amount(value["donation"], "the donation (B6)")
    if given is None:
        persuader = missing("what the other person gave")
    else:
        persuader = Score({GOAL: 10 * min(given, _MOST) / _MOST}, f"The other person gave {money(given)}.")
    persuadee = missing("whether the persuadee reached the goal")
    outcome = None if given is None else {"given": given}
    return Dialogue(task, turns, (persuader, persuadee), outcome)
