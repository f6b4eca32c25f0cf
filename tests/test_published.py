"""The paper's rows beside ours: comparable only where nothing but the policy differs."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from importlib.resources import files

import pytest
from support import character

from sotopia_pi.evaluation.published import PUBLISHED, Setup, beside_the_paper, missing_tasks
from sotopia_pi.world.records import Scenario, SocialTask

SCENARIOS = (files("sotopia_pi.evaluation") / "sotopia_scenarios.txt").read_text(encoding="utf-8")
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


def castings(ids: Sequence[str], of: int = 5) -> list[SocialTask]:
    """`of` castings of a scenario with each of these published ids, whose words are ours."""
    people = [character(f"Ada Moss {number}") for number in range(of + 1)]
    scenarios = [
        Scenario(situation=f"Fair {id}.", goals=("Sell.", "Buy."), kind="x", source=f"sotopia/{id}") for id in ids
    ]
    return [
        SocialTask(scenario=scenario, characters=(people[0], people[number]))
        for scenario in scenarios
        for number in range(1, of + 1)
    ]


HARD = tuple(line.split()[0] for line in SCENARIOS.splitlines() if line.endswith(" hard"))


@pytest.mark.parametrize(
    ("ids", "of", "episodes", "said"),
    [
        (HARD[:13], 5, 130, ["13 of 14 scenarios, 65 of 70 castings, 130 of 140", f"1 scenario missing: {HARD[13]}"]),
        (HARD, 4, 112, ["14 of 14 scenarios, 56 of 70 castings, 112 of 140 episodes"]),
        ((*HARD, "env-x"), 5, 150, ["15 of 14 scenarios, 75 of 70 castings", "1 scenario none of SOTOPIA's: env-x"]),
        ((*HARD[:12], "b", "a"), 5, 140, ["2 scenarios missing: ", "2 scenarios none of SOTOPIA's: a, b"]),
        (HARD, 5, 140, ["14 scenarios in other words than SOTOPIA's: ", " and 11 more"]),
    ],
)
def test_what_a_task_set_lacks_is_said(ids: Sequence[str], of: int, episodes: int, said: list[str]) -> None:
    missing = missing_tasks("hard", castings(ids, of), episodes)
    for part in said:
        assert part in "\n".join(missing)
    text = beside_the_paper(PAPERS, [OURS], missing)
    assert "Not comparable" in text and said[0] in text and "\nComparable" not in text


def test_ones_own_tasks_lack_nothing() -> None:
    assert missing_tasks("test", castings(["a"]), 10) == []
