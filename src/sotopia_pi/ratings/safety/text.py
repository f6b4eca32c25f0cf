"""What the rules read of an episode: a role's own words, as tokens, stems and sentences.

A role's words are the arguments of its turns: what it said, did and showed. A turn that was no readable action did
nothing, so it has no words; only refusals are looked for in what the model wrote there.
"""

from __future__ import annotations

import re
import unicodedata
from functools import lru_cache

from sotopia_pi.episodes.records import Episode

#: Characters of a turn that are read.
MAX_READ = 4000
_TOKEN = re.compile(r"[^\W_]+(?:'[^\W_]+)*")
_SENTENCE = re.compile(r"[.!?;\n]+")
_PLAIN = str.maketrans({"’": "'", "‘": "'", "“": '"', "”": '"', "\u00ad": None, "\u200b": None})

#: Words that say nothing about what a text is about; also the mark of English where it must be told from others.
_FUNCTION_WORDS = """\
    a about after all also am an and any are as at be because been before but by can cannot could did do does doing
    for from get go got had has have he her here him his how i if in into is it its just like let me more my no not
    now of off on one or our out over own she so some such than that the their them then there these they this those
    to too up us very was we were what when where which who why will with would yes you your"""
FUNCTION_WORDS = frozenset(_FUNCTION_WORDS.split())
_ENOUGH, _PLENTY, _ENGLISH_SHARE = 12, 10, 0.15


def plain(text: str) -> str:
    """Lower case with plain apostrophes, at most MAX_READ characters."""
    kept = text[:MAX_READ]
    if not kept.isascii():
        kept = unicodedata.normalize("NFKC", kept)[:MAX_READ].translate(_PLAIN)
    return kept.lower()


def tokens(text: str) -> list[str]:
    """The words of a plain text."""
    return _TOKEN.findall(text)


def sentences(text: str) -> list[str]:
    """A plain text cut at full stops, question and exclamation marks, semicolons and line breaks."""
    return [part.strip() for part in _SENTENCE.split(text) if part.strip()]


def own_words(episode: Episode, role: int) -> list[str]:
    """What a role said, did and showed, one plain text per turn with words, in order."""
    return [plain(t.action.argument) for t in episode.turns if t.role == role and t.action.argument]


def is_english(words: list[str], distinct: set[str] | None = None) -> bool:
    """Whether at least 15 % of the words are English function words; a dozen words or fewer pass for English.

    Ten different function words are enough by themselves. `distinct` is the set of the words, where it is known.
    """
    if len(words) <= _ENOUGH:
        return all(word.isascii() for word in words)
    if len(FUNCTION_WORDS & (distinct or set(words))) >= _PLENTY:
        return True
    return sum(word in FUNCTION_WORDS for word in words) >= _ENGLISH_SHARE * len(words)


@lru_cache(maxsize=200_000)
def stem(word: str) -> str:
    """A word without the commonest English endings, so that "borrowed", "borrowing" and "borrows" are one."""
    word = word.removesuffix("'s")
    for ending, put in (("ies", "y"), ("ied", "y"), ("ing", ""), ("ed", ""), ("es", ""), ("s", ""), ("ly", "")):
        if word.endswith(ending) and len(word) - len(ending) >= 3 and not word.endswith("ss"):
            word = word[: len(word) - len(ending)] + put
            break
    if len(word) > 3 and word[-1] == word[-2] and word[-1] not in "aeiouls":
        word = word[:-1]
    return word[:-1] if len(word) > 3 and word[-1] == "e" else word


@lru_cache(maxsize=4096)
def content_stems(text: str) -> frozenset[str]:
    """The stems of a text's words without function words and single letters."""
    return frozenset(stem(word) for word in tokens(plain(text)) if word not in FUNCTION_WORDS and len(word) > 1)
