"""The paper's rows beside ours: comparable only where nothing but the policy differs."""

from __future__ import annotations

from dataclasses import replace

import pytest

from sotopia_pi.evaluation.published import PUBLISHED, Setup, beside_the_paper

PAPERS = Setup("hard", "gpt-3.5-turbo-0613", "gpt-4", "SOTOPIA")
OURS = {
    "policy": "bc",
    "goal": {"mean": 5.0, "ci_low": 4.0, "ci_high": 6.0},
    "scores": {"overall": {"n": 140, "mean": 2.5, "ci_low": 2.0, "ci_high": 3.0}},
    "n": 139,
    "n_failed": 1,
}


def test_the_papers_rows_are_those_of_its_tables() -> None:
    rows = {(row.setup.tasks, row.setup.judge, row.agent): (row.goal, row.overall) for row in PUBLISHED}
    assert len(rows) == len(PUBLISHED) == 24
    assert rows["hard", "gpt-4", "BC+SR"] == (5.34, 2.76)
    assert rows["all", "gpt-4", "Mistral-7B"] == (5.07, 2.33)
    assert rows["hard-28", "people", "GPT-4"] == (5.25, 2.07)


def test_only_the_same_setup_is_comparable() -> None:
    text = beside_the_paper(PAPERS, [OURS])
    assert "Comparable with the paper's rows" in text and "Not comparable" not in text
    assert "bc" in text.splitlines()[2] and "[4.00, 6.00]" in text


@pytest.mark.parametrize("field", ["partner", "judge", "prompts"])
def test_every_difference_is_spelled_out(field: str) -> None:
    ours = replace(PAPERS, **{field: "another"})
    text = beside_the_paper(ours, [OURS])
    assert "Not comparable" in text and "\nComparable" not in text
    theirs = {"partner": "gpt-3.5-turbo-0613", "judge": "gpt-4", "prompts": "SOTOPIA"}[field]
    assert f"{field}: {theirs}, not another" in text


def test_tasks_that_the_paper_does_not_have() -> None:
    text = beside_the_paper(replace(PAPERS, tasks="test"), [OURS])
    assert "no rows for the tasks 'test'" in text and "Comparable" not in text
