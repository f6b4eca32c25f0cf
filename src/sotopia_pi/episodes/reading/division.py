"""Reading a division: who takes how many of each item.

A turn is read from left to right: who receives, how many, of what. A proposal counts as an offer when every item is
placed, by number or by "the rest"; otherwise it is vague.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import replace
from functools import lru_cache, partial

from sotopia_pi.episodes.reading.cues import IDIOMS, read_cues
from sotopia_pi.episodes.reading.shares import BOTH, HALF, REST, Shares
from sotopia_pi.episodes.reading.terms import Division, Said, Terms
from sotopia_pi.episodes.reading.words import NUMBERS, Clause, clauses, clean
from sotopia_pi.world.checks import DivisionSide

_GIVES = re.compile(
    r"\b(?:tak(?:e|es|ing)|gets?|getting|keep(?:s|ing)?|have|has|receives?|giv(?:e|ing)|leav(?:e|ing)|split|share|divide|"
    r"mine|yours|(?:for|to) (?:me|you|myself|yourself)|each|offer|grab|end up|trade|swap|half|both of us)\b"
    r"|^(?:me|you|i|mine|yours)\b"
)
_NEGATED = re.compile(r"\b(?:not|never|cannot|without)\b|n't\b")
_QUOTES = re.compile(
    r"\byou(?:'ve|'d)?(?: just| already)? (?:said|offered|proposed|suggested|wanted|asked)\b"
    r"|\byour (?:offer|proposal|suggestion) (?:was|of)\b"
)
_RECEIVERS = {"i": 0, "me": 0, "i'll": 0, "i'd": 0, "i'm": 0, "i've": 0, "myself": 0, "you": 1, "you'll": 1}
_RECEIVERS |= {"you'd": 1, "you're": 1, "you've": 1, "yourself": 1}
_REST = re.compile(
    r"\b(?:(?:all )?(?:the )?(?:rest|remainder|remaining (?:items|things|ones)|others|leftovers?)(?! of)(?: of (?:it|them|the items))?"
    r"|everything(?: else)?(?: that's left)?|all (?:the other|other) (?:items|things)|what(?:'s| is|ever is|ever's) left"
    r"|the other (?:items|things)|all of (?:it|them))\b"
)
_REST_OF = re.compile(r"\b(?:the )?(?:rest|remainder) of the\b|\bthe (?:remaining|last)\b")
_N_OF_M = re.compile(r"\bof (?:the |those |our )?(?:\d+|" + "|".join(NUMBERS) + r") ")
_NOUN_SPLIT = re.compile(r"\b(?:a|an|the|this|that|even|fair|my|your|equal|good) (?:\w+ )?(?:split|share)\b(?! the)|\beven split\b")
_TOKEN = re.compile(r"@\d+|[a-z]+(?:'[a-z]+)?|\d{1,6}")


@lru_cache(maxsize=256)
def _names(items: tuple[str, ...]) -> tuple[re.Pattern[str], dict[str, tuple[str, bool]]]:
    """A pattern that finds item names, and for each form its item and whether it is plural."""
    forms: dict[str, tuple[str, bool]] = {}
    for item in items:
        name = " ".join(item.lower().split())
        one = name[:-1] if name.endswith("s") and not name.endswith("ss") else name
        forms.setdefault(_plural(one), (item, True))
        forms.setdefault(one, (item, False))
    longest_first = sorted(forms, key=len, reverse=True)
    return re.compile(r"\b(?:" + "|".join(map(re.escape, longest_first)) + r")\b"), forms


def _plural(word: str) -> str:
    if word.endswith("y") and word[-2:-1] not in tuple("aeiou"):
        return word[:-1] + "ies"
    if word.endswith("fe"):
        return word[:-2] + "ves"
    return word + ("es" if word.endswith(("s", "x", "z", "ch", "sh")) else "s")


def _tokens(text: str, items: tuple[str, ...]) -> list[str]:
    """Words, with item names as `@i` (i-th form), "the rest" as `*`-words and the markers after a share."""
    pattern, forms = _names(items)
    order = list(forms)
    text = pattern.sub(lambda match: f"@{order.index(match[0])}", text)
    text = _REST_OF.sub(" other ", _N_OF_M.sub("of ", text))
    text = _REST.sub(" restword ", _NOUN_SPLIT.sub(" ", text))
    text = re.sub(r"\b(?:for|to) (me|myself)\b|\bmine\b", " tome ", text)
    text = re.sub(r"\b(?:for|to) (you|yourself)\b|\byours\b", " toyou ", text)
    text = re.sub(r"\bmy share\b", " me ", re.sub(r"\byour share\b", " you ", text))
    text = re.sub(r"\b(?:both of us|we both|each of us|both get|apiece|per person)\b", " each ", text)
    return _TOKEN.findall(text)


_NUMBER_WORDS = {"a": 1, "an": 1, "single": 1, "no": 0, "none": 0, "neither": 0}


class _Reader:
    """Reads clauses into shares: who receives (`_receiver`), and what was named and not yet placed (`_group`)."""

    def __init__(self, counts: dict[str, int]) -> None:
        self.shares = Shares(counts)
        self._items = tuple(counts)
        self._forms = list(_names(self._items)[1].values())
        self._receiver: int | None = None
        self._group: list[tuple[str, int | str]] = []

    def start_sentence(self) -> None:
        """A new sentence names its receivers again."""
        self._receiver, self._group = None, []

    def read(self, text: str) -> None:
        """Takes in one clause."""
        number: int | str | None = None
        for word in _tokens(text, self._items):
            if word.startswith("@"):
                item, plural = self._forms[int(word[1:])]
                self._group.append((item, self.shares.number(item, plural, number)))
                number = None
            elif word == "restword":
                self._group.append((REST, HALF if number == HALF else REST))
                number = None
            elif word in ("tome", "toyou"):
                self._place_behind(0 if word == "tome" else 1)
            elif word in _RECEIVERS:
                self._commit()
                self._receiver = _RECEIVERS[word]
            elif word == "each":
                self._place_behind(BOTH)
            elif word in ("split", "share", "divide"):
                self._commit()
                self._receiver = None
                number = None
                self._splitting = True
            elif word in ("half", "all", "both", "other", "another", "more"):
                number = {"half": HALF, "more": "another"}.get(word, word)
            elif word.isdigit() or word in NUMBERS or word in _NUMBER_WORDS:
                if number != HALF:
                    number = int(word) if word.isdigit() else NUMBERS.get(word, _NUMBER_WORDS.get(word, 1))
        self._commit()
