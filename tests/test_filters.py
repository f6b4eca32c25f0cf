"""Filters are the same after a trip through a URL, and what cannot be read is left out with a sentence."""

from __future__ import annotations

from dataclasses import fields
from pathlib import Path
from urllib.parse import parse_qsl

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from test_snapshot import JUDGE, TASK, filled

from sotopia_pi.store import Store
from sotopia_pi.web.filters import Filters, fitted, mask, parse
from sotopia_pi.web.snapshot import Live, Snapshot

NAMES = st.one_of(st.just(""), st.text(st.characters(exclude_categories=["Cs"]), max_size=300).filter(str.strip))
SCORES = st.none() | st.floats(allow_nan=False, allow_infinity=False)
ANY = st.builds(
    Filters,
    policy=NAMES,
    role=st.none() | st.integers(0, 99),
    stage=NAMES,
    task=NAMES,
    group=NAMES,
    kind=NAMES,
    rater=NAMES,
    dimension=NAMES,
    low=SCORES,
    high=SCORES,
    stop=NAMES,
    failed=st.sampled_from(["", "episode", "rating", "none"]),
    invalid=st.sampled_from(["", "yes", "no"]),
    human=st.sampled_from(["", "yes", "no"]),
    text=NAMES,
    sort=st.sampled_from(["", "highest", "lowest", "longest", "shortest"]),
    page=st.integers(1, 1_000_000),
)


@given(ANY)
def test_filters_survive_a_url(filters: Filters) -> None:
    query = dict(parse_qsl(filters.query(), keep_blank_values=True))
    assert parse(query) == (filters, [])


@given(st.dictionaries(st.sampled_from([field.name for field in fields(Filters)]), st.text(max_size=400)))
def test_any_query_gives_filters_and_a_sentence_for_each_value_left_out(query: dict[str, str]) -> None:
    filters, problems = parse(query)
    given = {name for name, value in query.items() if value.strip()}
    kept = {name for name in given if getattr(filters, name) not in ("", None)}
    assert all(problem.endswith(".") for problem in problems)
    assert len(problems) >= len(given - kept)
    assert filters.query() is not None


@pytest.fixture(scope="module")
def found(tmp_path_factory: pytest.TempPathFactory) -> Snapshot:
    folder: Path = tmp_path_factory.mktemp("filters")
    with Store.open(folder / "run.db") as store:
        return Live(filled(store)).current()


def rows(found: Snapshot, **values: object) -> list[tuple[str, int]]:
    filters, problems = fitted(Filters(**values), found)  # type: ignore[arg-type]
    assert not problems
    return [(found.key(int(row)), int(found.column("role")[row])) for row in found.rows(mask(filters, found))]


def test_each_filter_finds_its_roles(found: Snapshot) -> None:
    everybody = [(key, role) for key in "abc" for role in (0, 1)]
    assert rows(found) == everybody
    assert rows(found, policy="bc") == [("a", 0), ("c", 1)]
    assert rows(found, policy="bc", role=1) == [("c", 1)]
    assert rows(found, stage="collect/bc") == [("b", 0), ("b", 1)]
    assert rows(found, task=TASK.id) == rows(found, group="test") == [("a", 0), ("a", 1)]
    assert rows(found, kind="price") == everybody
    assert rows(found, stop="left") == [("a", 0), ("a", 1), ("c", 0), ("c", 1)]
    assert rows(found, failed="episode") == rows(found, human="yes") == [("b", 0), ("b", 1)]
    assert rows(found, failed="rating") == [("a", 1)]
    assert rows(found, failed="none") == [("a", 0), ("c", 0), ("c", 1)]
    assert rows(found, human="no", invalid="yes") == [("a", 0)]
    assert rows(found, low=7.5) == rows(found, high=7.5, rater="verifier") == [("a", 0)]
    assert rows(found, low=5.6, dimension="goal", rater=JUDGE) == []
    assert rows(found, high=2, dimension="secret") == [("a", 0)]
    assert rows(found, text="anything") == []


def test_a_found_text_chooses_whole_episodes(found: Snapshot) -> None:
    said = np.array([True, False, True])
    assert found.rows(mask(Filters(text="x", role=0), found, said)).tolist() == [0, 4]


@pytest.mark.parametrize(
    "values",
    [{"policy": "who"}, {"stage": "no/where"}, {"rater": "judge:none"}, {"dimension": "charm"}, {"task": "../../etc"}],
)
def test_names_that_are_not_there_are_left_out(found: Snapshot, values: dict[str, str]) -> None:
    filters, problems = fitted(Filters(**values), found)  # type: ignore[arg-type]
    assert len(problems) == 1
    assert filters == Filters()
    assert len(found.rows(mask(filters, found))) == 6
