"""What people said of episodes: the paper's human rows, agreement with planted truths, and files that are wrong."""

from __future__ import annotations

import csv
import json
from collections.abc import Sequence
from math import inf
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from sotopia_files import DATA

from sotopia_pi.cli.main import main
from sotopia_pi.evaluation.people import SCALES, Annotated, Annotation, compare, summary
from sotopia_pi.evaluation.reliability import (
    intraclass_correlation,
    krippendorff_alpha,
    pairwise_agreement,
    randolph_kappa,
)
from sotopia_pi.ratings.records import DIMENSIONS

RELEASED = DATA / "sotopia_pi" / "human_eval"
#: paper.md, section 3: BEL REL KNO SEC SOC FIN GOAL and overall of the target side.
PAPER = {
    "base": (5.25, -0.64, 1.23, 0.00, -1.57, 0.09, 2.89, 1.04),
    "SR": (6.57, 0.46, 1.59, 0.00, -0.89, 0.11, 3.32, 1.59),
    "BC": (7.46, 1.04, 1.55, -0.18, -0.61, 0.07, 3.55, 1.84),
}
SCORES = {"believability": 8.0, "relationship": 1.0, "knowledge": 2.0, "secret": 0.0, "social_rules": 0.0,
          "financial_and_material_benefits": 0.0, "goal": 6.0}  # fmt: skip


@pytest.mark.parametrize("condition", PAPER)
def test_the_papers_human_rows(condition: str, capsys: pytest.CaptureFixture[str]) -> None:
    files = RELEASED / f"{condition}.csv", RELEASED / f"{condition}_episodes.jsonl"
    if not all(file.is_file() for file in files):
        pytest.skip("the released annotations are not here")
    assert main(["human-eval", *map(str, files), "--json", "--quiet"]) == 0
    found = json.loads(capsys.readouterr().out)
    assert (found["n_episodes"], found["n_annotations"], found["n_scenarios"]) == (28, 56, 14)
    for scale, published in zip(SCALES, PAPER[condition], strict=True):
        estimate = found["target"][scale]
        assert estimate["mean"] == pytest.approx(published, abs=0.0051)
        assert estimate["ci_low"] <= estimate["mean"] <= estimate["ci_high"]
        assert found["partner"][scale]["ci_low"] <= found["partner"][scale]["ci_high"]


def test_agreement_of_the_released_annotations_is_about_the_papers(capsys: pytest.CaptureFixture[str]) -> None:
    """The paper's .80 and .60 on GOAL are over six conditions, of which three are released."""
    if not RELEASED.is_dir():
        pytest.skip("the released annotations are not here")
    values = []
    for condition in PAPER:
        files = RELEASED / f"{condition}.csv", RELEASED / f"{condition}_episodes.jsonl"
        assert main(["human-eval", *map(str, files), "--json", "--quiet"]) == 0
        values.append(json.loads(capsys.readouterr().out)["agreement"]["goal"]["pairwise"]["value"])
    assert 0.75 < sum(values) / 3 < 0.9


# Agreement


def test_alpha_of_a_known_example() -> None:
    """The interval alpha of Krippendorff (2011), example C: 0.849."""
    a = [1, 2, 3, 3, 2, 1, 4, 1, 2, None, None, None]
    b = [1, 2, 3, 3, 2, 2, 4, 1, 2, 5, None, 3]
    c = [None, 3, 3, 3, 2, 3, 4, 2, 2, 5, 1, None]
    d = [1, 2, 3, 3, 2, 4, 4, 1, 2, 5, 1, None]
    items = [[float(x) for x in column if x is not None] for column in zip(a, b, c, d, strict=True)]
    assert krippendorff_alpha(items).value == pytest.approx(0.849, abs=0.0005)


def test_icc_of_a_known_example() -> None:
    """Shrout & Fleiss (1979), table 2: ICC(1,1) is .17 and ICC(1,4) is .44."""
    items = [(9, 2, 5, 8), (6, 1, 3, 2), (8, 4, 6, 8), (7, 1, 2, 6), (10, 5, 6, 9), (6, 2, 4, 7)]
    assert intraclass_correlation(items).value == pytest.approx(0.17, abs=0.005)
    assert intraclass_correlation(items, of_means=True).value == pytest.approx(0.44, abs=0.005)


def test_kappa_corrects_for_as_many_parts_as_there_are() -> None:
    items = [(1.0, 2.0), (9.0, 8.0), (1.0, 9.0), (7.0, 10.0), (0.0, 0.0)]
    assert pairwise_agreement(items, (0, 10)).value == pytest.approx(0.8)
    assert randolph_kappa(items, (0, 10)).value == pytest.approx(0.6)
    assert pairwise_agreement([(0.0, 1.9)], (0, 10), bins=5).value == 1
    assert pairwise_agreement([(10.0, 8.0)], (0, 10), bins=5).value == 1


scores = st.lists(st.lists(st.integers(-10, 10).map(float), min_size=0, max_size=5), max_size=12)


@given(scores)
def test_every_measure_is_a_number_within_its_range_or_says_why_not(items: Sequence[Sequence[float]]) -> None:
    measures = [
        (krippendorff_alpha(items), -inf, 1.0),
        (intraclass_correlation(items), -1.0, 1.0),
        (intraclass_correlation(items, of_means=True), -inf, 1.0),
        (pairwise_agreement(items, (-10, 10)), 0.0, 1.0),
        (randolph_kappa(items, (-10, 10)), -1.0, 1.0),
    ]
    for found, low, high in measures:
        assert found.n == sum(len(item) > 1 for item in items)
        if found.value is None:
            assert (found.why or "").startswith("not computable, because ")
        else:
            assert low - 1e-9 <= found.value <= high + 1e-9
            assert found.why is None


@given(st.lists(st.integers(0, 10).map(float), min_size=2, max_size=9).filter(lambda row: len(set(row)) > 1))
def test_raters_who_always_agree_agree_fully(row: list[float]) -> None:
    items = [(score, score, score) for score in row]
    assert krippendorff_alpha(items).value == pytest.approx(1)
    assert intraclass_correlation(items).value == pytest.approx(1)
    assert randolph_kappa(items, (0, 10)).value == 1


# The summary


def annotated(key: str, scenario: str, goals: Sequence[tuple[float, float]], target: int = 0) -> Annotated:
    people = [
        Annotation(f"p{n}", ({**SCORES, "goal": first}, {**SCORES, "goal": second}))
        for n, (first, second) in enumerate(goals)
    ]
    return Annotated(key, scenario, target, people)


def test_an_episode_counts_once_however_many_people_rated_it() -> None:
    found = summary([annotated("a", "s1", [(10, 0)] * 5), annotated("b", "s2", [(4, 2)])])
    assert found["target"]["goal"]["mean"] == 7
    assert found["partner"]["goal"]["mean"] == 1
    assert found["target"]["goal"]["n"] == 2
    assert found["n_annotations"] == 6


def test_the_target_may_have_played_either_role() -> None:
    found = summary([annotated("a", "s1", [(10, 0)], target=0), annotated("b", "s2", [(0, 10)], target=1)])
    assert found["target"]["goal"]["mean"] == 10
    assert found["partner"]["goal"]["mean"] == 0


def test_what_cannot_be_computed_says_why() -> None:
    alone = summary([annotated("a", "s1", [(10, 0)])])
    assert alone["target"]["goal"]["mean"] == 10
    assert "only one scenario" in alone["target"]["goal"]["why"]
    assert alone["agreement"]["goal"]["icc"] == {
        "value": None,
        "why": "not computable, because nothing was rated by two people",
    }
    constant = summary([annotated(key, key, [(5, 5), (5, 5)]) for key in "abc"])
    assert "all ratings are equal" in constant["agreement"]["goal"]["krippendorff_alpha"]["why"]
    assert "NaN" not in json.dumps(constant)
    unrated = summary([Annotated("a", "s", 0, [Annotation("p", ({}, {"goal": 1.0}))])])
    assert "nobody rated it" in unrated["target"]["goal"]["why"]
    assert unrated["target"]["overall"]["mean"] is None


def test_a_judge_is_held_against_the_mean_of_the_people() -> None:
    episodes = [annotated(f"e{n}", f"s{n}", [(n, n), (n + 1, n)]) for n in range(6)]
    for n, episode in enumerate(episodes):
        episode.judged["judge"] = ({**SCORES, "goal": min(10.0, n + 2.5)}, {**SCORES, "goal": 1.0})
    found = summary(episodes)["judges"]["judge"]
    assert found["target"]["goal"]["gap"] == pytest.approx(2)
    assert found["target"]["goal"]["pearson"] == pytest.approx(1)
    assert found["partner"]["goal"]["pearson"] is None
    assert "the judge gave everybody the same" in found["partner"]["goal"]["why"]


def test_two_conditions_are_paired_by_scenario() -> None:
    """A hand-made table: scenario means 6, 5, 8 against 4, 4, 3; differences 2, 1, 5; t = (8/3) / sqrt(13/3 / 3)."""
    first = [annotated("a1", "x", [(5, 0)]), annotated("a2", "x", [(7, 0)]), annotated("b", "y", [(5, 0)])]
    first += [annotated("c", "z", [(8, 0)]), annotated("d", "only here", [(1, 0)])]
    second = [annotated("e", "x", [(4, 0)]), annotated("f", "y", [(4, 0)]), annotated("g", "z", [(3, 0)])]
    found = compare(first, second)["goal"]
    assert found["n_scenarios"] == 3
    assert found["n_unpaired"] == 1
    assert found["delta"] == pytest.approx(8 / 3)
    assert found["t"] == pytest.approx((8 / 3) / (13 / 3 / 3) ** 0.5)
    assert found["df"] == 2
    assert "share 1 scenarios" in compare(first[:1], second[:1])["goal"]["why"]
    alike = compare(first, first)["goal"]
    assert "differs by the same" in alike["why"]
    assert (alike["delta"], alike["ci_low"], alike["t"], alike["p"]) == (0, None, None, None)


# Files


def write(folder: Path, rows: Sequence[dict[str, object]], episodes: Sequence[dict[str, object]]) -> list[str]:
    columns = ["pk", "annotator", *(f"{name}_{role}" for role in (1, 2) for name in DIMENSIONS)]
    with (folder / "a.csv").open("w", newline="", encoding="utf-8") as file:
        writer = csv.DictWriter(file, columns)
        writer.writeheader()
        writer.writerows(rows)
    (folder / "e.jsonl").write_text("".join(json.dumps(item) + "\n" for item in episodes), encoding="utf-8")
    return [str(folder / "a.csv"), str(folder / "e.jsonl")]


def row(pk: str, annotator: str = "p1", **cells: object) -> dict[str, object]:
    filled = {f"{name}_{role}": score for role in (1, 2) for name, score in SCORES.items()}
    return {"pk": pk, "annotator": annotator, **filled, **cells}


def record(pk: str, scenario: str = "s", **fields: object) -> dict[str, object]:
    models = ["gpt-4", "gpt-3.5-turbo", "custom_model"]
    return {"pk": pk, "environment": scenario, "models": models, "target_model": "custom_model", **fields}


def test_rows_that_cannot_be_used_are_left_out_and_named(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    rows = [
        row("e1"), row("e1", "p2", goal_2=""), row("nowhere"), row("e2", ""), row("e2", goal_1="ten"),
        row("e2", goal_1=11), row("e2", goal_1="inf"), row("e3", "p1"), row("e3", "p1"),
    ]  # fmt: skip
    files = write(tmp_path, rows, [record("e1"), record("e2"), record("e3", "t"), record("e1"), {"pk": 3}])
    assert main(["human-eval", *files, "--json"]) == 0
    told = capsys.readouterr()
    found = json.loads(told.out)
    assert (found["n_episodes"], found["n_annotations"], found["n_annotators"]) == (2, 4, 2)
    for why in ("no episode with this pk", "annotator is missing", "not a number", "not from 0 to 10", "same pk"):
        assert why in told.err
    assert "in an earlier row" in told.err
    assert main(["human-eval", *files]) == 0
    assert "Krippendorff" in capsys.readouterr().out


def test_spellings_of_an_annotator_are_one_person(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    rows = [row("a", "Ann Lee"), row("a", "bob"), row("b", " ann lee "), row("b", "ＢＯＢ")]
    files = write(tmp_path, rows, [record("a"), record("b", "t")])
    main(["human-eval", *files, "--json"])
    assert json.loads(capsys.readouterr().out)["n_annotators"] == 2


def test_judges_in_the_records_are_read(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    rewards = [[1.0, SCORES], [2.0, {**SCORES, "goal": 9}]]
    files = write(
        tmp_path, [row(f"e{n}") for n in range(3)], [record(f"e{n}", f"s{n}", rewards=rewards) for n in range(3)]
    )
    assert main(["human-eval", *files, "--json"]) == 0
    found = json.loads(capsys.readouterr().out)
    assert found["judges"]["gpt-4"]["target"]["goal"]["gap"] == 3  # the target is the second role
    assert main(["human-eval", *files]) == 0
    assert "gpt-4 held against the people, target side" in capsys.readouterr().out


def test_a_policy_that_played_itself_is_target_and_partner_in_both_roles(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """As in the paper: its human GOAL of GPT-3.5, 4.08, is no mean of the 56 scores of one role, but of 112 it is."""
    alone = {"models": ["gpt-4", "gpt-3.5-turbo", "gpt-3.5-turbo"], "target_model": "gpt-3.5-turbo"}
    rewards = [[1.0, {**SCORES, "goal": 3}], [1.0, {**SCORES, "goal": 9}]]
    records = [record(f"e{n}", f"s{n}", rewards=rewards, **alone) for n in range(2)]
    rows = [row("e0", goal_1=2, goal_2=8), row("e1", goal_1=3, goal_2=5), row("e1", "p2", goal_1=5, goal_2="")]
    assert main(["human-eval", *write(tmp_path, rows, records), "--json"]) == 0
    found = json.loads(capsys.readouterr().out)
    assert found["target"]["goal"]["mean"] == pytest.approx((2 + 8 + 4 + 5) / 4)
    assert found["target"]["goal"]["n"] == 4
    assert found["partner"]["goal"] == found["target"]["goal"]
    assert found["judges"]["gpt-4"]["target"]["goal"]["gap"] == pytest.approx(6 - 19 / 4)
    assert found["agreement"]["goal"]["n"] == 1


@pytest.mark.parametrize("rewards", [[3.1, 2.2], [[3, {**SCORES, "goal": 12}], [2, SCORES]], "good"])
def test_what_a_judge_said_that_cannot_be_read_costs_no_persons_score(
    rewards: object, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    files = write(tmp_path, [row("e1"), row("e2")], [record("e1", rewards=rewards), record("e2", "t")])
    assert main(["human-eval", *files, "--json"]) == 0
    told = capsys.readouterr()
    found = json.loads(told.out)
    assert (found["n_episodes"], found["judges"]) == (2, {})
    assert "e1): the judge's scores are left out: " in told.err
    assert "imported" not in told.err


def test_a_judge_that_rated_one_role_is_held_against_people_there(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    files = write(tmp_path, [row("e1"), row("e2")], [record("e1", rewards=[0.0, [2, SCORES]]), record("e2", "t")])
    assert main(["human-eval", *files, "--json"]) == 0
    found = json.loads(capsys.readouterr().out)["judges"]["gpt-4"]
    assert (found["target"]["goal"]["n"], found["target"]["goal"]["gap"], found["partner"]["goal"]["n"]) == (1, 0, 0)
    assert "no interval is computable, because there is only one scenario; no corr" in found["target"]["goal"]["why"]
    assert "rated nothing in common" in found["partner"]["goal"]["why"]


def test_ids_may_be_whole_numbers(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    numbered = [{**record(""), "pk": number, "environment": number % 2} for number in range(1, 4)]
    rows = [row("1"), row("2", " nan "), row(" 3 ")]
    assert main(["human-eval", *write(tmp_path, rows, numbered), "--json"]) == 0
    told = capsys.readouterr()
    found = json.loads(told.out)
    assert (found["n_episodes"], found["n_scenarios"]) == (2, 1)
    assert "annotator is missing" in told.err


@pytest.mark.parametrize("separator", [";", "\t"])
def test_columns_may_be_separated_as_spreadsheets_do(
    separator: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    files = write(tmp_path, [row("e1"), row("e1", annotator="b")], [record("e1")])
    assert main(["human-eval", *files, "--json"]) == 0
    expected = capsys.readouterr().out
    with Path(files[0]).open(encoding="utf-8", newline="") as file:
        rows = list(csv.reader(file))
    with Path(files[0]).open("w", encoding="utf-8-sig", newline="") as file:
        csv.writer(file, delimiter=separator).writerows(rows)
    assert main(["human-eval", *files, "--json"]) == 0
    assert capsys.readouterr().out == expected


def test_files_that_are_something_else_end_with_a_sentence(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    csv_file, jsonl = write(tmp_path, [row("e1")], [record("e1")])
    empty = tmp_path / "empty"
    empty.write_bytes(b"")
    listed = tmp_path / "listed"
    listed.write_text(json.dumps([record("e1")], indent=1), encoding="utf-8")
    binary = tmp_path / "binary"
    binary.write_bytes(bytes(range(256)))
    for first, second, said in [
        (jsonl, csv_file, "no episode"),
        (csv_file, str(empty), "no episode"),
        (csv_file, str(listed), "give one JSON object per line"),
        (str(empty), jsonl, "lacks the columns"),
        (str(binary), jsonl, "no CSV"),
        (str(tmp_path / "gone"), jsonl, "cannot be read"),
        (str(tmp_path), jsonl, "cannot be read"),
    ]:
        assert main(["human-eval", first, second]) != 0
        assert said in capsys.readouterr().err
    assert main(["human-eval", csv_file]) != 0
    assert "Give the episodes that were rated, too" in capsys.readouterr().err
    other = write(tmp_path, [row("e1")], [record("e1", target_model="gpt-9")])
    assert main(["human-eval", *other]) != 0
    assert "give --target" in capsys.readouterr().err
    assert main(["human-eval", *other, "--target", "gpt-3.5-turbo", "--json", "--quiet"]) == 0
    assert json.loads(capsys.readouterr().out)["n_episodes"] == 1
