"""Property tests draw the same examples at every run, in whatever order and company; `make fuzz` draws others."""

from __future__ import annotations

import importlib.util
import sys
from pathlib import Path

import fuzz
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st


def drawn() -> list[tuple[str, int]]:
    found: list[tuple[str, int]] = []

    @given(st.text(max_size=30), st.integers())
    def example(text: str, number: int) -> None:
        found.append((text, number))

    example()
    return found


def test_examples_depend_on_nothing_that_was_imported(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    before = drawn()
    path = tmp_path / "product.py"
    path.write_text("\n".join(f"word_{n} = 'word number {n}', {n + 10_000_003}" for n in range(200)), encoding="utf-8")
    spec = importlib.util.spec_from_file_location("product", path)
    assert spec is not None and spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    monkeypatch.setitem(sys.modules, "product", module)
    spec.loader.exec_module(module)
    assert len(before) == settings.default.max_examples
    assert drawn() == before
    settings.load_profile("random")
    try:
        assert {text for text, _ in drawn()} != {text for text, _ in before}
    finally:
        settings.load_profile("same")


@pytest.mark.slow
def test_what_is_found_fails_and_says_how_to_keep_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(fuzz, "TESTS", tmp_path)
    (tmp_path / "fuzz.py").symlink_to(fuzz.__file__)
    (tmp_path / "conftest.py").write_text(
        "from hypothesis import settings\nsettings.register_profile('random', database=None)\n", encoding="utf-8"
    )
    test = tmp_path / "test_sums.py"
    head = "from hypothesis import given, strategies as st\n"
    body = head + "\n@given(st.integers())\ndef test_sum(n):\n    assert n {}\n"
    test.write_text(body.format("== n"), encoding="utf-8")
    assert fuzz.fuzz(0.01, seed=1, processes=1) == 0
    assert "nothing was found in" in capsys.readouterr().out
    test.write_text(body.format("< 1000"), encoding="utf-8")
    assert fuzz.fuzz(1, seed=1, processes=2) == 1
    said = capsys.readouterr().out
    assert "n=1000" in said
    assert "--hypothesis-profile=random --hypothesis-seed=" in said
    assert "as @example(...) under the @given of test_sum in" in said
