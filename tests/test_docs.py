"""What the documents claim: configs load, commands exist, links lead somewhere, documented kinds are the real ones."""

from __future__ import annotations

import re
import tomllib
from itertools import dropwhile
from pathlib import Path

import pytest

from sotopia_pi.cli.main import parser
from sotopia_pi.config import parse
from sotopia_pi.environments import kinds

ROOT = Path(__file__).parent.parent
PAGES = [ROOT / "README.md", *sorted((ROOT / "docs").glob("*.md"))]


def blocks(page: Path, language: str) -> list[str]:
    return re.findall(rf"^```{language}\n(.*?)^```", page.read_text(encoding="utf-8"), re.MULTILINE | re.DOTALL)


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_configs_in_the_docs_are_accepted(page: Path) -> None:
    for text in blocks(page, "toml"):
        assert parse(tomllib.loads(text), page.name).name


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_commands_in_the_docs_are_understood(page: Path) -> None:
    for text in blocks(page, "sh"):
        for line in text.splitlines():
            words = list(dropwhile(lambda word: re.match(r"\w+=", word), line.split("#")[0].split()))
            if words and words[0].endswith("sotopia-pi"):
                assert parser().parse_args(words[1:]).verb
            elif words and words[0] == "make":
                assert f"\n{words[1]}:" in (ROOT / "Makefile").read_text(encoding="utf-8")


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_links_between_files_lead_somewhere(page: Path) -> None:
    for target in re.findall(r"\]\(([^)#:]+)\)", page.read_text(encoding="utf-8")):
        assert (page.parent / target).exists(), f"{page.name} links to {target}"


def test_every_kind_is_documented() -> None:
    text = (ROOT / "docs" / "verified-tasks.md").read_text(encoding="utf-8")
    for kind in kinds():
        assert f"| {kind} |" in text
