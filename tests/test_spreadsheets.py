"""CSV that a spreadsheet only shows, and that reads back as it was."""

from __future__ import annotations

import csv
import io
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from studying import begun, filled, step_of
from support import episode as episode_of
from support import price_task, turn

from sotopia_pi.ratings.dimensions import SEVEN
from sotopia_pi.spreadsheets import cell, line, unmarked
from sotopia_pi.store import Store
from sotopia_pi.studies.choosing import create, read_references
from sotopia_pi.studies.desk import Desk
from sotopia_pi.studies.export import export_csv
from sotopia_pi.studies.records import StudySettings

FORMULAS = [
    "=1+1",
    "+1",
    "-2+3",
    "@SUM(A1)",
    "\t=1",
    "\r",
    "\tx",
    "  =1",
    "\n\x00=1",
    "\u200b\ufeff@x",
    "\u00a0-1",
    "'=1",
    "''+1",
]
FORMULAS += [
    "＝1",
    "＋1",
    "－1",
    "＠x",
    " ＝1",
    "﹦1",
    "﹢1",
    "﹣1",
    "﹫x",
    "\u3000＝1",
    '=HYPERLINK("http://evil","x")',
]


@pytest.mark.parametrize("text", FORMULAS)
def test_a_text_that_might_be_run_is_only_shown(text: str) -> None:
    assert cell(text) == f"'{text}" and unmarked(f"'{text}") == text


@pytest.mark.parametrize("value", [-5, -2.5, 0, "", "5", "a=b", "x@y.org", "'quoted'", "a\n=1", None, "– dash", "*"])
def test_everything_else_stays(value: object) -> None:
    assert cell(value) == value


TEXTS = st.text(st.sampled_from("='+-@＝ \t\r\n\u200bax,;\""), max_size=6)


@given(st.lists(TEXTS, min_size=2, max_size=4))
def test_what_is_written_reads_back_as_it_was(texts: list[str]) -> None:
    (row,) = csv.reader(io.StringIO(line(texts), newline=""))
    assert [unmarked(text) for text in row] == texts
    assert not any(text.lstrip(" \t\r\n\u200b")[:1] in tuple("=+-@＝") for text in row)


def test_no_column_of_a_study_is_a_formula_and_its_own_file_is_read_again(tmp_path: Path) -> None:
    key, model = '=HYPERLINK("http://evil","x")', "＝cmd|' /C calc'!A0"
    with Store.open(tmp_path / "run.db") as store:
        store.add_tasks("test", [price_task(number=0)])
        said = [turn(0, "Twenty."), turn(1, "Yes.")]
        store.add_episodes(
            [(episode_of(price_task(number=0), said, key, stage="import/h", players=(model, "-2+3")), [])]
        )
        desk = Desk(store, create(store, "pilot", StudySettings(annotators=1), [key]))
        token = begun(desk)
        own = step_of(desk, token).assignment
        desk.submit(
            desk.annotator(token), own, filled(**{"reason-1-goal": "＠SUM(1) and more", "score-1-secret": "-3"})
        )
        lines = list(export_csv(store, desk.study))
        path = tmp_path / "pilot.csv"
        path.write_text("".join(lines), encoding="utf-8")
        (row,) = csv.DictReader(io.StringIO("".join(lines)))
        assert row["model"] == f"'{model} / -2+3" and row["pk"] == f"'{key}"
        assert {row["goal_reasoning_1"], row["goal_reasoning_2"]} >= {"'＠SUM(1) and more"}
        assert "-3" in (row["secret_1"], row["secret_2"])
        references = read_references(path, StudySettings())
        assert list(references) == [key] and len(references[key]["0"]) == len(SEVEN)
