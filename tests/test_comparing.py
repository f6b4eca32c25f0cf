"""Comparison pages: planted differences are found, pairing is the report's, and nothing a URL says is an error."""

import html
import re

import numpy as np
import pytest
from compared import FAILED, HOSTILE, JUDGE, TASKS, goal, opened, results
from hypothesis import given
from hypothesis import strategies as st
from starlette.testclient import TestClient

from sotopia_pi.config import parse
from sotopia_pi.evaluation import Result, comparisons, paired
from sotopia_pi.evaluation.audit import Audited, audit
from sotopia_pi.evaluation.pairing import Played, pair
from sotopia_pi.evaluation.wording import interval, p_value, signed
from sotopia_pi.ratings.records import Rating
from sotopia_pi.web.scoring import axis

AUDITED = [
    Audited(row.policy, JUDGE, row.scenario_id, row.goal, min(10.0, row.goal + (row.policy == "bc")))
    for row in results()
    if row.goal is not None
]


@pytest.fixture(scope="module")
def client(tmp_path_factory):
    with opened(tmp_path_factory.mktemp("runs")) as app, TestClient(app) as client:
        yield client


def read(client, path, status=200):
    """The words of a page, figures as what they tell."""
    response = client.get(path)
    assert response.status_code == status
    assert "style=" not in response.text
    text = re.sub(r'<svg[^>]*aria-label="([^"]*)".*?</svg>', r" \1 ", response.text, flags=re.DOTALL)
    return re.sub(r"\s+", " ", html.unescape(re.sub(r"<[^>]+>", " ", text)))


def test_the_default_is_the_reports_comparison(client):
    (expected,) = comparisons(results(), [("bc", "base")])
    text = read(client, "/run/one/compare")
    assert "bc against base" in text
    assert f"{signed(expected['delta'])} {interval(expected)} {p_value(expected['p'])} {expected['n']} " in text
    assert f"over {expected['n']} pairs from {expected['n_scenarios']} scenarios" in text
    assert "bc is not significantly different from base" in text


def test_failures_and_roles_without_a_counterpart_are_counted(client):
    text = read(client, "/run/one/compare")
    # bc: 32 roles, one episode failed, one met base's unrated one, one that base has not played.
    assert re.search(r"bc 32 31 97 % 29 91 % 2 6\.2 % 1 3\.1 % 0 0 ", text)
    assert re.search(r"base 31 30 97 % 29 94 % 1 3\.2 % 0 1 3\.2 % 0 ", text)
    assert "bc: n 31, mean" in text
    assert "base: n 30, mean" in text


def test_the_tasks_that_differ_most_are_the_planted_ones(client):
    page = client.get("/run/one/compare").text
    ahead, behind = page.split("Furthest ahead: base", maxsplit=1)
    order = re.findall(r"/compare/([^?]+)\?", ahead)
    assert order[0] == TASKS[1].id
    assert re.findall(r"/compare/([^?]+)\?", behind) == [TASKS[0].id]
    assert "Stall 1 at a flea market" in ahead


def test_a_dimension_that_only_the_judge_rates(client):
    text = read(client, f"/run/one/compare?a=bc&b=base&rater={JUDGE}&dimension=secret")
    assert "bc is not significantly different from base (0.00 secret" in text
    assert "GOAL" in text


def test_policies_of_two_runs_are_paired_by_task(client):
    text = read(client, "/run/one/compare?a=two/new&b=base")
    (expected,) = comparisons(results(), [("bc", "base")])
    assert "two/new against base" in text
    assert f"{signed(expected['delta'])} {interval(expected)} {p_value(expected['p'])} {expected['n']} " in text
    same = read(client, "/run/one/compare?a=two/old&b=base")
    assert "two/old is not significantly different from base (0.00 GOAL, 95 % CI 0.00 to 0.00, p = 1.000)" in same
    beside = read(client, f"/run/one/compare/{TASKS[1].id}?a=two/new&b=base&role=1&repeat=1")
    assert f"{signed(goal('bc', 1, 1, 1) - goal('base', 1, 1, 1))}" in beside


@pytest.mark.parametrize(
    "query, said",
    [
        ("a=nobody", "There is no policy A “nobody” here"),
        ("a=bc&b=bc", "“bc” was chosen twice; it is set against “base”."),
        ("rater=x&dimension=y", "There is no rater “x” here; this page shows “verifier”."),
        ("stage=%00&group=..%2F..&partner=%E2%80%AE", "There is no task group “../..” here"),
        (f"a={'x' * 500}", "…” here"),
        ("a=three/bc&with=three", "There is no run to compare with “three” here"),
        ("a=two/nobody", "There is no policy A “two/nobody” here"),
    ],
)
def test_what_a_url_cannot_have_is_said_and_replaced(client, query, said):
    assert said in read(client, f"/run/one/compare?{query}")


@pytest.mark.parametrize(
    "path",
    [
        "/run/three/compare",
        "/run/three/agreement",
        "/run/one/compare/unknown",
        "/run/one/compare/..%2F..%2Fetc?a=bc&b=base",
        f"/run/one/compare/{TASKS[0].id}?stage=all&group=all&a=bc&b=base&partner=all".replace(TASKS[0].id, "0" * 16),
    ],
)
def test_unknown_runs_and_tasks_are_not_found(client, path):
    assert "Not found" in read(client, path, 404)


def test_one_task_side_by_side(client):
    text = read(client, f"/run/one/compare/{TASKS[1].id}?a=bc&b=base")
    assert "bc and base on one task" in text
    assert "Stall 1 at a flea market." in text
    assert "GOAL by verifier, role 0, repeat 0: +5.00 (bc 9.25, base 4.25)." in text
    assert "This task has 4 such roles" in text
    assert text.count("Because of Twelve dollars?") == 4
    assert text.count("Ratings of role 0") == 2
    chosen = read(client, f"/run/one/compare/{TASKS[1].id}?a=bc&b=base&role=1&repeat=1")
    assert "role 1, repeat 1: +5.00" in chosen


def test_a_failed_episode_stands_beside_the_other_with_its_cause(client):
    text = read(client, f"/run/one/compare/{TASKS[FAILED[1]].id}?a=bc&b=base&role=0&repeat=0")
    assert "failed: server down" in text
    assert "no difference, because there are not two scores" in text
    assert "No turn was played." in text
    alone = read(client, f"/run/one/compare/{TASKS[7].id}?a=bc&b=base&role=0&repeat=1")
    assert "base has not played this role and repeat." in alone
    unrated = read(client, f"/run/one/compare/{TASKS[3].id}?a=bc&b=base&role=1&repeat=1")
    assert "No rating: no reply" in unrated


def test_agreement_is_the_reports_audit(client):
    text = read(client, "/run/one/agreement")
    assert f"{JUDGE} against verifier" in text
    for expected in audit(AUDITED):
        numbers = f"{expected['policy']} {expected['n']} {expected['verified']:.2f} {expected['judged']:.2f} "
        assert numbers + f"{signed(expected['delta'])} {interval(expected)}" in text
        assert f" {expected['pearson']:.2f} {expected['spearman']:.2f}" in text
    everybody = paired([r.judged for r in AUDITED], [r.verified for r in AUDITED], [r.scenario_id for r in AUDITED])
    assert f"gives {signed(everybody.delta)} GOAL" in text
    assert f"over {everybody.n} roles from 8 scenarios" in text
    assert "from 0.00 (base, n 30)" in text
    assert re.search(r"GOAL: judge:mock:1 against verifier, n 61, Pearson 0\.\d\d, Spearman", text)


def test_agreement_on_one_policy_and_turned_round(client):
    text = read(client, f"/run/one/agreement?policy=base&x={JUDGE}&y=verifier")
    assert "verifier gives 0.00 GOAL" in text
    assert "over 30 roles" in text
    assert re.search(r"verifier 31 30 97 % 0 0 1 3\.2 % 0", text)
    assert "“verifier” was chosen twice" in read(client, "/run/one/agreement?x=verifier&y=verifier")


def test_correlations_that_do_not_exist_say_why(client):
    text = read(client, "/run/one/agreement?stage=all&policy=partner")
    assert "No role has a GOAL score by both raters here." in text


def test_nothing_to_compare_is_said(tmp_path):
    from sotopia_pi.prompts import Prompts
    from sotopia_pi.store import Store
    from sotopia_pi.web.app import application
    from sotopia_pi.web.places import Place
    from sotopia_pi.web.site import Site

    with Store.open(tmp_path / "run.db") as store:
        place = Place("empty", "empty", store, None, None, Prompts(None))
        with TestClient(application(Site({"empty": place}))) as client:
            assert "There are not two policies with episodes here yet." in read(client, "/run/empty/compare")
            assert "There are not two raters" in read(client, "/run/empty/agreement")
            read(client, f"/run/empty/compare/{TASKS[0].id}", 404)


def test_text_of_models_is_never_markup(tmp_path):
    with opened(tmp_path, HOSTILE) as app, TestClient(app) as client:
        for path in (f"/run/one/compare/{TASKS[0].id}?a=bc&b=base", f"/run/one/compare?a={HOSTILE}&rater={HOSTILE}"):
            page = client.get(path).text
            assert "<script>alert" not in page
            assert "\u202e" not in page
            assert "[U+202E]" in page


def test_a_very_long_text_is_cut_and_says_so(tmp_path):
    with opened(tmp_path, "x" * 25_000) as app, TestClient(app) as client:
        page = client.get(f"/run/one/compare/{TASKS[0].id}?a=bc&b=base").text
        assert "x" * 20_001 not in page
        assert "[5,000 more characters]" in page


POSITIONS = st.tuples(st.integers(0, 3), st.integers(0, 1), st.integers(0, 2))


@given(*(st.dictionaries(POSITIONS, st.none() | st.integers(0, 10)) for _ in range(2)))
def test_pairing_agrees_with_the_reports(a, b):
    rows = [
        Result("bc" if own is a else "base", "p", "test", "k", f"s{t}", f"t{t}", role, repeat,
               scores={} if score is None else {"goal": float(score)}, failure=None if score is not None else "x")
        for own in (a, b)
        for (t, role, repeat), score in own.items()
    ]  # fmt: skip
    first, second = played(a), played(b)
    found = pair(first, second)
    one, two = first.score[found.first[found.scored]], second.score[found.second[found.scored]]
    mine = paired(one, two, first.task[found.first[found.scored]])
    expected = comparisons(rows, [("bc", "base")])
    if not expected:
        assert not (a and b)
        return
    assert (mine.n, mine.n_clusters) == (expected[0]["n"], expected[0]["n_scenarios"])
    for name in ("delta", "ci_low", "ci_high", "p"):
        assert getattr(mine, name) == pytest.approx(expected[0][name], abs=1e-9)


def played(own):
    table = np.array(list(own) or np.zeros((0, 3)), dtype=np.int64).reshape(-1, 3)
    scores = np.array([np.nan if score is None else score for score in own.values()], dtype=float)
    return Played(table[:, 0], table[:, 1], table[:, 2], np.zeros(len(table), dtype=np.int64), scores)


@given(st.lists(st.tuples(st.integers(0, 2), st.integers(0, 1), st.integers(0, 1), st.integers(0, 2)), max_size=30))
def test_equal_positions_are_paired_in_order_and_each_role_once(rows):
    table = np.array(rows or np.zeros((0, 4)), dtype=np.int64).reshape(-1, 4)
    own = Played(*table.T, np.zeros(len(table)))
    found = pair(own, own)
    assert sorted(found.first.tolist()) == sorted(found.second.tolist()) == list(range(len(rows)))
    assert (found.first == found.second).all()
    assert found.again == 2 * (len(rows) - len(set(rows)))


def test_people_of_a_study_are_one_rater_with_the_mean_of_their_scores(tmp_path):
    row = next(row for row in results() if row.policy == "bc" and row.goal is not None)
    key = f"bc-{TASKS.index(next(t for t in TASKS if t.id == row.task_id))}-{row.role}-{row.repeat}"
    given = {"human:pilot/ann": 2.0, "human:pilot/bob": 5.0}
    with opened(tmp_path) as app:
        app.state.site.places["one"].store.add_ratings(
            [Rating(episode=key, role=row.role, rater=r, scores={"goal": g}) for r, g in given.items()]
        )
        with TestClient(app) as client:
            text = read(client, "/run/one/agreement?x=human:pilot&y=verifier")
            assert "verifier against people of pilot (mean)" in text
            assert (
                f"all policies 1 3.50 {row.goal:.2f} {signed(row.goal - 3.5)} – 1 – there are fewer than 3 pairs –"
                in text
            )
            assert "human:pilot/ann" in text
            one = read(client, "/run/one/agreement?x=human:pilot/bob&y=verifier")
            assert f"all policies 1 5.00 {row.goal:.2f}" in one


def test_axes_are_the_dimensions_own():
    assert (axis("secret", None).low, axis("secret", None).high) == (-10, 0)
    overall = axis("overall", None)
    assert (overall.low, overall.high) == pytest.approx((-30 / 7, 40 / 7))
    config = parse(
        {"name": "x", "judge": {"model": "fake:", "dimensions": [
            {"name": "warmth", "low": 1, "high": 5, "description": "How warm."}]}}, "test",
    )  # fmt: skip
    assert (axis("warmth", config).low, axis("warmth", config).high) == (1, 5)
    assert (axis("odd", None, np.array([np.nan, 2.5])).low, axis("odd", None).high) == (2, 10)
