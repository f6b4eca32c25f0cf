"""The report: what it says, that it is valid and self-contained, and that no text from a model can break it."""

import json
import re
import xml.etree.ElementTree as ET
from dataclasses import replace
from html.parser import HTMLParser
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from sotopia_pi.errors import StoreError
from sotopia_pi.evaluation import (
    ReportData,
    Result,
    Sample,
    SampleTurn,
    build,
    comparisons,
    evaluations,
    figure_svg,
    render_html,
    render_table,
    write,
)
from sotopia_pi.evaluation.causes import invalid_turns
from sotopia_pi.evaluation.theme import DARK, LEGIBLE, LIGHT, contrast
from sotopia_pi.evaluation.wording import duration, headline, interval, number, p_value, share, signed
from sotopia_pi.printable import safe_text

MEANS = {"base": 0.1, "bc": 3.4, "bc+sr": 4.1, "expert": 4.4}
HOSTILE = '<script>alert(1)</script><img src=x onerror="alert(2)">]]><!-- \u202egnp.exe\u2066 \x00\ud800 &amp;'


def results(means=MEANS, scenarios=24, tasks="test", kinds=("price", "division"), failing=2):
    rng = np.random.default_rng(3)
    rows = []
    for policy, mean in means.items():
        for s in range(scenarios):
            ease = np.random.default_rng(s).normal(0, 1.2)
            for role in (0, 1):
                goal = float(np.clip(round(mean + ease + rng.normal(0, 1.5), 1), 0, 10)) if mean > 1 else 0.0
                failed = policy == "bc" and s < failing and role == 0
                turns = int(rng.integers(4, 12))
                rows.append(
                    Result(
                        policy=policy,
                        partner="style mix",
                        tasks=tasks,
                        kind=kinds[s % len(kinds)],
                        scenario_id=f"s{s}",
                        task_id=f"{tasks}{s}",
                        role=role,
                        scores={} if failed else {"goal": goal, "secret": -2.0 * (s % 2)},
                        failure="undecided: two prices were named" if failed else None,
                        deal=None if failed else goal > 0.5,
                        actions=turns // 2,
                        invalid=int(policy == "base") * (s % 3),
                        turns=turns,
                        words=turns * 9,
                        stop_reason=None if failed else ["left", "limit"][s % 2],
                    )
                )
    return rows


def sample(title="A used bicycle", hostile=""):
    return Sample(
        title=title,
        situation="Two neighbours meet in a courtyard. One of them has put a bicycle up for sale at $240." + hostile,
        goals=("You sell the bicycle. You would not take less than $150.", "You want the bicycle for at most $210."),
        characters=("Ilse Marten", "Tomás Oke"),
        turns=[
            SampleTurn("Ilse Marten", "speak", "It had new brakes. I am asking $240.", terms="$240" + hostile),
            SampleTurn("Tomás Oke", "none", "", False, '{"action_type": "speak" "argument": I like it' + hostile),
            SampleTurn("Ilse Marten", "non-verbal communication", "turns the front wheel to show the brakes"),
            SampleTurn("Tomás Oke", "speak", "They look fine. Would you take $160?" + hostile),
            ("Ilse Marten", "speak", "Let us meet at $185.", True, ""),
            SampleTurn("Tomás Oke", "leave", "Deal, $185. Thank you!"),
        ],
        outcome="Agreed on $185.",
        scores=({"goal": 3.9, "financial_and_material_benefits": 1.9}, {"goal": 4.2}),
        policy_role=1,
    )


def synthetic(**changes):
    """A report with everything in it; numbers are invented for the layout."""
    rounds = [
        {"name": "bc", "method": "bc", "parent": "base", "candidates": 480, "selected": 96, "examples": 512,
         "saturation": {"top_score": 10.0, "share_at_top": 0.08, "n": 480}, "tokens": 30580, "seconds": 205.4},
        {"name": "bc+sr", "method": "sr", "parent": "bc", "candidates": 240, "selected": 48, "examples": 260,
         "saturation": {"top_score": 10.0, "share_at_top": 0.62, "n": 240}, "tokens": 16010, "seconds": 118.0},
    ]  # fmt: skip
    curves = {
        "bc": [{"step": i, "loss": 2.6 * 0.96**i + 0.6 + 0.1 * (i % 3)} for i in range(1, 90)],
        "bc+sr": [{"step": i, "loss": 0.9 * 0.98**i + 0.3} for i in range(1, 50)],
    }
    transfer = results({"base": 0.1, "bc": 1.6, "bc+sr": 1.5, "expert": 5.2}, 12, "transfer", ("meeting", "fact"), 0)
    data = ReportData(
        title="Offline demo",
        created="2025-11-21T10:00:00+00:00",
        run={"config": "demo", "seed": 1, "machine": "2 cores", "versions": {"sotopia-pi": "0.1.0", "torch": "2.13.0"},
             "seconds": {"collect": 41.0, "train": 323.4, "evaluate": 230.0}},
        results=results() + transfer,
        rounds=rounds,
        curves=curves,
        samples={p: [sample(), sample("The community garden"), sample("A second-hand desk")] for p in MEANS},
        notes=["The expert is a script, not a model."],
        invalid=invalid_turns([("base", True, None, 90), ("base", False, "cut off", 9), ("base", False, None, 1)]),
    )  # fmt: skip
    return replace(data, **changes)


class Page(HTMLParser):
    """Collects elements and checks that they nest."""

    VOID = frozenset({"meta", "br", "hr", "img", "link", "input"})
    LOOSE = frozenset({"th", "td", "tr"})

    def __init__(self, text):
        super().__init__()
        self.tags, self.attributes, self.open = [], [], []
        self.feed(text)
        self.close()
        assert self.open == []

    def handle_starttag(self, tag, attrs):
        self.tags.append(tag)
        self.attributes += attrs
        if tag not in self.VOID | self.LOOSE:
            self.open.append(tag)

    def handle_startendtag(self, tag, attrs):
        self.tags.append(tag)
        self.attributes += attrs

    def handle_endtag(self, tag):
        if tag not in self.LOOSE:
            assert self.open.pop() == tag


def is_safe(page):
    parsed = Page(page)
    names = {name for name, _ in parsed.attributes}
    return (
        not {"script", "img", "iframe", "link", "object", "base", "form"} & set(parsed.tags)
        and not any(name.startswith("on") for name in names)
        and all(value.startswith("#") for name, value in parsed.attributes if name in ("href", "src", "xlink:href"))
        and "url(" not in page
        and "@import" not in page
    )


def test_build_is_valid_json_with_the_promised_keys():
    report = build(synthetic())
    assert json.loads(json.dumps(report, allow_nan=False)) == report
    first = report["evaluations"][0]
    assert (first["policy"], first["partner"], first["tasks"], first["n"]) == ("base", "style mix", "test", 48)
    assert {"n_failed", "invalid_actions", "actions", "deal_rate", "kinds"} <= first.keys()
    assert first["goal"] == {"mean": 0.0, "ci_low": 0.0, "ci_high": 0.0}
    assert {"a", "b", "delta", "ci_low", "ci_high", "p", "n"} <= report["comparisons"][0].keys()
    assert [e["policy"] for e in report["evaluations"]] == [*MEANS, *MEANS]


def test_numbers_that_do_not_exist_become_null():
    curves = {"bc": [{"step": 1, "loss": float("nan")}]}
    report = build(synthetic(curves=curves, run={"memory": float("inf"), "p": (1,)}))
    assert report["curves"]["bc"] == [{"step": 1, "loss": None}]
    assert report["run"] == {"memory": None, "p": [1]}


def test_comparisons_follow_the_parents_of_the_rounds():
    rows = results({"base": 0.1, "bc": 3.0, "sr": 1.2, "bc+sr": 3.3}, 6, failing=0)
    rounds = [{"name": n, "parent": p} for n, p in (("bc", "base"), ("sr", "base"), ("bc+sr", "bc"))]
    report = build(ReportData("t", "now", results=rows, rounds=rounds))
    assert [(c["a"], c["b"]) for c in report["comparisons"]] == [
        ("bc", "base"), ("sr", "base"), ("bc+sr", "base"), ("bc+sr", "bc"),
    ]  # fmt: skip


def test_write_leaves_two_whole_files(tmp_path):
    content = write(synthetic(), tmp_path / "run")
    assert sorted(path.name for path in (tmp_path / "run").iterdir()) == ["report.html", "report.json"]
    assert json.loads((tmp_path / "run/report.json").read_text(encoding="utf-8")) == content
    assert (tmp_path / "run/report.html").read_text(encoding="utf-8") == render_html(synthetic())


def test_a_full_disk_keeps_the_earlier_report(tmp_path, monkeypatch):
    write(synthetic(), tmp_path)
    before = (tmp_path / "report.json").read_bytes()

    def full(path, text, **_):
        path.touch()
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(Path, "write_text", full)
    with pytest.raises(StoreError, match="No space left on device"):
        write(synthetic(title="later"), tmp_path)
    assert (tmp_path / "report.json").read_bytes() == before
    assert len(list(tmp_path.iterdir())) == 2


def test_page_is_self_contained_and_says_everything():
    page = render_html(synthetic())
    assert is_safe(page)
    told = ["bc+sr", "style mix", "undecided", "tie-breaking", "Training loss, bc+sr", "Transfer", "meeting"]
    told += ["Agreed on $185.", "The expert is a script", "trained from", "3 min 25 s", "Offline demo"]
    told += ["cut off", "raise sampling.max_tokens", "not recorded"]
    assert [text for text in told if text not in page] == []
    assert page.count('<details class="card"') == 12
    assert page.count("Not a readable action") == 12
    assert page.count('<span class="terms" dir="auto">Terms: $240</span>') == 12
    assert "&#34;argument&#34;: I like it" in page


def test_sections_linked_to_exist():
    page = Page(render_html(synthetic()))
    links = {value[1:] for name, value in page.attributes if name == "href"}
    assert links == {value for name, value in page.attributes if name == "id"}


def test_an_empty_report_says_so():
    data = ReportData("Nothing yet", "now")
    assert is_safe(render_html(data))
    assert "Invalid turns" not in render_html(data)
    assert "Nothing has been evaluated yet." in render_html(data)
    ET.fromstring(figure_svg(build(data)))
    assert render_table([], []) == "Nothing has been evaluated yet."


def test_text_from_models_is_escaped_everywhere():
    hostile = {"kind": HOSTILE, "partner": HOSTILE, "tasks": HOSTILE}
    rows = [replace(row, policy=row.policy + HOSTILE, **hostile) for row in results()]
    rows += [replace(rows[0], task_id="x", failure=HOSTILE, stop_reason=HOSTILE, scores={})]
    rows += [replace(rows[0], task_id="y", scores={"goal": 1.0, HOSTILE: 1.0}, stop_reason=HOSTILE)]
    data = ReportData(
        invalid=invalid_turns([(HOSTILE, False, HOSTILE, 1)]),
        title=HOSTILE, created=HOSTILE, run={HOSTILE: HOSTILE, "list": [HOSTILE], "more": {HOSTILE: HOSTILE}},
        results=rows, rounds=[{"name": HOSTILE, "method": HOSTILE, "parent": HOSTILE, HOSTILE: HOSTILE}],
        curves={HOSTILE: [{"step": 1, "loss": 2.0}]}, samples={HOSTILE: [sample(HOSTILE, HOSTILE)]}, notes=[HOSTILE],
    )  # fmt: skip
    page = render_html(data)
    assert is_safe(page)
    assert "&lt;script&gt;alert(1)" in page
    assert not set("\u202e\u2066\x00\ud800") & set(page)
    assert "[U+202E]gnp.exe[U+2066]" in page
    page.encode()
    drawn = figure_svg(build(data))
    ET.fromstring(drawn)
    assert "<script" not in drawn
    json.dumps(build(data)).encode()
    assert all(len(line) <= 110 for line in render_table(*both(rows)).splitlines())


def test_hostile_text_can_be_written(tmp_path):
    write(synthetic(title=HOSTILE, samples={HOSTILE: [sample(HOSTILE, HOSTILE)]}), tmp_path)
    assert json.loads((tmp_path / "report.json").read_text(encoding="utf-8"))["title"].startswith("<script>")


@settings(max_examples=25)
@given(st.text(st.characters(), max_size=40))
def test_no_text_breaks_the_page_or_the_figure(text):
    row = results(scenarios=2, failing=0)[0]
    data = ReportData(text, "now", results=[replace(row, policy=text, kind=text)], samples={text: [sample(text, text)]})
    assert is_safe(render_html(data))
    ET.fromstring(figure_svg(build(data)))


def test_very_long_text_is_cut_and_the_cut_is_told():
    page = render_html(synthetic(samples={"bc": [sample(hostile="x" * 1_000_000)]}))
    assert len(page) < 300_000
    assert "more characters]" in page


@given(st.text(st.characters(), max_size=30))
def test_safe_text_leaves_no_hidden_character(text):
    safe = safe_text(text)
    safe.encode()
    assert not re.search("[\u200b\u200e\u200f\u202a-\u202e\u2066-\u2069\u061c\ufeff\x00-\x08\x7f-\x9f]", safe)


def test_safe_text_keeps_what_people_write():
    text = "Grüße, 東京 — $1,200\n👩‍🌾 שלום"
    assert safe_text(text) == text


def both(rows):
    return evaluations(rows), comparisons(rows)


def test_headline_reports_what_is_significant_and_what_is_not():
    text = " ".join(build(synthetic())["headline"])
    spread = r"95 % CI \d\.\d\d to \d\.\d\d"
    assert re.search(rf"On the test tasks, bc scores \d\.\d\d GOAL above base \({spread}, p < \.001\)", text)
    assert "bc+sr" in text
    assert re.search(r"bc\+sr is not significantly different from expert \([+−]\d\.\d\d GOAL", text)


def test_headline_tells_of_worse_results_and_of_failures():
    rows = results({"base": 4.0, "bc": 1.2}, failing=12)
    text = " ".join(headline(*both(rows)))
    assert "GOAL below base" in text
    assert "12 of 48 for bc" in text


def test_headline_without_an_interval_or_a_pair():
    rows = results({"base": 2.0, "bc": 4.0}, scenarios=1, failing=0)
    assert "too few scenarios" in headline(*both(rows))[0]
    apart = [replace(row, task_id="other") if row.policy == "bc" else row for row in rows]
    assert "share no rated episode" in headline(*both(apart))[0]
    assert headline(*both([row for row in rows if row.policy == "bc"]))[0].startswith("On the test tasks, bc scores")


def test_figure_shows_every_condition_and_stands_alone():
    drawn = figure_svg(build(synthetic()))
    root = ET.fromstring(drawn)
    text = " ".join(root.itertext())
    assert root.tag == "{http://www.w3.org/2000/svg}svg"
    assert all(policy in text for policy in MEANS)
    assert "var(" not in drawn
    assert "95 % intervals" in text


def test_bars_are_as_high_as_their_values():
    rows = results({"base": 2.0, "bc": 4.0}, failing=0)
    rows = [replace(row, scores={"goal": 2.0 if row.policy == "base" else 4.0}) for row in rows]
    root = ET.fromstring(figure_svg(build(ReportData("t", "now", results=rows))))
    drawn = [rect for rect in root.iter("{http://www.w3.org/2000/svg}rect") if rect.get("class") != "ground"]
    heights = [float(rect.get("height")) for rect in drawn]
    assert heights[1] == pytest.approx(2 * heights[0])


@pytest.mark.parametrize("theme", [LIGHT, DARK])
def test_colours_are_legible(theme):
    assert contrast("#ffffff", "#000000") == pytest.approx(21)
    assert LIGHT.keys() == DARK.keys()
    for foreground, background, least in LEGIBLE:
        assert contrast(theme[foreground], theme[background]) >= least, (foreground, background)


def test_table_is_aligned_and_narrow():
    text = render_table(*both(synthetic().results))
    lines = text.splitlines()
    assert max(map(len, lines)) <= 110
    assert lines[0] == "test tasks against style mix, rated by verifier"
    assert len({len(line) for line in lines[1:7]}) == 1
    assert "bc − base" in text
    assert lines[4].split()[:2] == ["bc", f"{build(synthetic())['evaluations'][1]['goal']['mean']:.2f}"]


@pytest.mark.parametrize(
    "written, expected",
    [
        (number(-1.5), "−1.50"),
        (number(-0.001), "0.00"),
        (number(1234.5, 1), "1,234.5"),
        (number(None), "–"),
        (signed(0.2), "+0.20"),
        (signed(0.001), "0.00"),
        (signed(-3.0), "−3.00"),
        (share(0.017), "1.7 %"),
        (share(0.0), "0 %"),
        (share(1.0), "100 %"),
        (p_value(0.0004), "< .001"),
        (p_value(0.034), ".034"),
        (p_value(1.0), "1.000"),
        (p_value(None), "–"),
        (duration(8.21), "8.2 s"),
        (duration(59.97), "1 min 0 s"),
        (duration(3900), "1 h 5 min"),
        (interval({"ci_low": -0.5, "ci_high": 1}), "[−0.50, 1.00]"),
        (interval({}), ""),
    ],
)
def test_numbers_are_written_plainly(written, expected):
    assert written == expected
