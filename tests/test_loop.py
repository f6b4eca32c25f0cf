"""The whole method in miniature, on the real weights, through the command line."""

from __future__ import annotations

import json
from html.parser import HTMLParser
from pathlib import Path

import pytest
from support import price_task, stored

from sotopia_pi.cli.main import main
from sotopia_pi.config import parse, to_toml
from sotopia_pi.models.fitting import quiet_peft
from sotopia_pi.models.weights import load_model
from sotopia_pi.training.lineage import read_examples
from sotopia_pi.world.records import SocialTask

pytestmark = pytest.mark.weights

HOSTILE = "<script>alert(1)</script><img src='http://example.org/x.png'>"
BC = {"name": "bc", "method": "bc", "repeats": 2, "select": {"rule": "top_k", "k": 1}}
SR = {"name": "bc+sr", "method": "sr", "parent": "bc", "repeats": 1, "tasks": 1, "replay": ["bc"], "select": {"k": 1}}
CONFIG = {
    "seed": 3,
    "max_turns": 3,
    "world": {"train": {"price": 1}},
    "sampling": {"temperature": 0.7, "max_tokens": 24},
    "training": {"epochs": 1, "learning_rate": 2e-3, "warmup": 0.0, "batch": 2, "micro_batch": 2, "lora_layers": 4},
    "rounds": [BC, SR],
    "evaluation": {"sampling": {"temperature": 0.3, "max_tokens": 12}, "samples": 2},
}
NUMBERS = {"mean", "ci_low", "ci_high"}


class Page(HTMLParser):
    """The tags of a page and everything it would load."""

    def __init__(self) -> None:
        super().__init__()
        self.tags: set[str] = set()
        self.links: list[str] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.add(tag)
        self.links += [value or "" for name, value in attrs if name in ("src", "href", "xlink:href", "data")]


def held_out(folder: Path) -> Path:
    """A file with one task to be tested on, whose words would be a script if they were not escaped."""
    task = price_task()
    scenario = task.scenario.model_copy(update={"situation": f"At a stall. {HOSTILE}"})
    path = folder / "tasks.json"
    path.write_text(
        f"[{SocialTask(scenario=scenario, characters=task.characters).model_dump_json()}]", encoding="utf-8"
    )
    return path


def test_the_whole_method(weights: str, tmp_path: Path) -> None:
    out, config = tmp_path / "run", tmp_path / "loop.toml"
    config.write_text(to_toml(parse({**CONFIG, "models": {"policy": weights}}, "test")), encoding="utf-8")
    arguments = ["run", str(config), "--out", str(out), "--quiet", "--set", f"world.test_tasks={held_out(tmp_path)}"]
    assert main(arguments) == 0

    report = json.loads((out / "report.json").read_text(encoding="utf-8"))
    rows = {row["policy"]: row for row in report["evaluations"]}
    assert list(rows) == ["base", "bc", "bc+sr", "expert"]
    for row in rows.values():
        assert (row["partner"], row["tasks"], row["n"] + row["n_failed"]) == ("partner", "test", 2)
        assert 0 <= row["invalid_actions"] <= row["actions"] >= 2
        assert row["goal"].keys() == NUMBERS
        assert row["stop_reasons"].keys() <= {"left", "stale", "limit"}
    assert rows["expert"]["n"] == 2
    assert {("bc", "base"), ("bc+sr", "bc"), ("bc+sr", "base")} <= {(c["a"], c["b"]) for c in report["comparisons"]}
    assert all(c.keys() >= {"a", "b", "delta", "ci_low", "ci_high", "p"} for c in report["comparisons"])
    assert all(report["curves"][name] for name in ("bc", "bc+sr"))

    from peft import PeftModel

    for name, parent in (("bc", "base"), ("bc+sr", "bc")):
        folder = out / "policies" / name
        with quiet_peft():
            assert PeftModel.from_pretrained(load_model(weights), str(folder)).peft_config["default"].r == 16
        made = json.loads((folder / "policy.json").read_text(encoding="utf-8"))
        assert (made["name"], made["base"], made["parent"]) == (name, weights, parent)
        assert len(list(read_examples(folder))) == made["sequences"] >= 2
    assert sorted(path.name for path in (out / "policies").iterdir()) == ["bc", "bc+sr"]

    html = (out / "report.html").read_text(encoding="utf-8")
    page = Page()
    page.feed(html)
    assert {"html", "svg", "table"} <= page.tags
    assert not page.tags & {"script", "img", "link", "iframe", "object", "embed"}
    assert not [link for link in page.links if not link.startswith("#")]
    assert "&lt;script&gt;alert(1)" in html
    assert "@import" not in html
    assert "url(" not in html

    count = stored(out)
    assert count == 2 + 1 + 4 * 2  # BC, SR, evaluation
    written = {path: path.stat().st_mtime_ns for path in (out / "policies").rglob("*")}
    assert main(arguments) == 0
    assert stored(out) == count
    assert {path: path.stat().st_mtime_ns for path in (out / "policies").rglob("*")} == written
    again = json.loads((out / "report.json").read_text(encoding="utf-8"))
    assert all(again[part] == report[part] for part in report if part != "created")
