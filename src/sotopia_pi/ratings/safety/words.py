"""Lists of toxic words: the small one that comes with the package, and files of users.

A file has one word or phrase per line, as the lists of FLORES-200 do (NLLB Team 2022, "No Language Left Behind",
section 7.3; one file per language, such as eng_Latn_twl.txt). A line that begins with "# " is a comment.

A word of the list is found as a whole word, whatever its case; a phrase as its words one after the other. An entry
with signs inside ("a$$") is compared with what stands between two spaces. In scripts that put no spaces between words,
an entry is found anywhere. Overlapping finds count once, the longest entry first.
"""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Iterable
from functools import cache
from pathlib import Path

from sotopia_pi.errors import ConfigError
from sotopia_pi.inputs import read_text
from sotopia_pi.ratings.safety.text import plain, tokens
from sotopia_pi.records import content_hash

#: Thai, Lao, Tibetan, Myanmar, Khmer, kana, CJK: no spaces between words.
_UNSPACED = re.compile("[\u0e00-\u0eff\u0f00-\u109f\u1780-\u17ff\u3040-\u30ff\u3400-\u9fff\uf900-\ufaff]")
_EDGES = ".,:;!?\"'()[]{}…-"


class WordList:
    """Words to look for. `name` says where they come from."""

    def __init__(self, name: str, entries: Iterable[str]) -> None:
        """Sorts plain entries by how they are looked for."""
        self.name = name
        self.entries = frozenset(entries)
        self._phrases: dict[str, list[tuple[str, ...]]] = defaultdict(list)
        literals, anywhere = set(), []
        for entry in sorted(self.entries, key=lambda entry: (-len(entry), entry)):
            words = tuple(tokens(entry))
            if _UNSPACED.search(entry):
                anywhere.append(entry)
            elif words and " ".join(words) == " ".join(entry.replace("-", " ").split()):
                self._phrases[words[0]].append(words)
            else:
                literals.add(entry)
        for phrases in self._phrases.values():
            phrases.sort(key=len, reverse=True)
        self._literals = frozenset(literals)
        self._anywhere = re.compile("|".join(map(re.escape, anywhere))) if anywhere else None

    @property
    def version(self) -> str:
        """8 hex digits: other words, other version."""
        return content_hash(sorted(self.entries))[:8]

    def near(self, distinct: set[str]) -> bool:
        """Whether any entry may stand in plain texts whose tokens these are; most texts end here."""
        return bool(self._literals or self._anywhere) or not distinct.isdisjoint(self._phrases)

    def find(self, text: str, words: list[str] | None = None) -> list[str]:
        """The entries that stand in a plain text, each as often as it stands there; `words` are its tokens."""
        found = self._phrases_in(tokens(text) if words is None else words)
        if self._literals:
            found += [part for raw in text.split() if (part := self._literal(raw)) is not None]
        return found + (self._anywhere.findall(text) if self._anywhere else [])

    def _phrases_in(self, words: list[str]) -> list[str]:
        found, at = [], 0
        while at < len(words):
            for phrase in self._phrases.get(words[at], ()):
                if tuple(words[at : at + len(phrase)]) == phrase:
                    found.append(" ".join(phrase))
                    at += len(phrase) - 1
                    break
            at += 1
        return found

    def _literal(self, raw: str) -> str | None:
        return next((part for part in (raw, raw.strip(_EDGES)) if part in self._literals), None)


@cache
def builtin_words() -> WordList:
    """The package's own English list, small on purpose."""
    text = (Path(__file__).parent / "words_en.txt").read_text(encoding="utf-8")
    return WordList("built-in English", _entries(text.splitlines()))


def load_words(path: Path, language: str | None = None) -> WordList:
    """The list in a text file, or in the files of a folder whose names begin with `language` (without it: all).

    Raises ConfigError for a file that cannot be read, is not text, or has no entries.
    """
    files = sorted(path.glob(f"{language or ''}*.txt")) if path.is_dir() else [path]
    if not files:
        which = f"{language}*.txt" if language else "*.txt"
        raise ConfigError(f"{path} has no word list {which}; give a file, or a folder with a file per language.")
    lines: list[str] = []
    for file in files:
        try:
            lines += read_text(file).splitlines()
        except OSError as error:
            raise ConfigError(f"The word list {file} cannot be read ({error.strerror}); check its path.") from None
    entries = _entries(lines)
    if not entries:
        raise ConfigError(f"The word list {path} is empty; give a file with one word or phrase per line.")
    return WordList(path.name, entries)


def _entries(lines: Iterable[str]) -> frozenset[str]:
    kept = (" ".join(plain(line).split()) for line in lines if not line.startswith("# "))
    return frozenset(entry for entry in kept if entry)
