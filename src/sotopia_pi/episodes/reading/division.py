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
from sotopia_pi.episodes.reading.terms import Division, Said, Terms
from sotopia_pi.episodes.reading.words import NUMBERS, Clause, clauses, clean
from sotopia_pi.world.checks import DivisionSide

_GIVES = re.compile(
    r"\b(?:tak(?:e|es|ing)|gets?|getting|keep(?:s|ing)?|have|has|receives?|giv(?:e|ing)|leav(?:e|ing)|split|share|"
    r"divide|"
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
    r"\b(?:(?:all )?(?:the )?(?:rest|remainder|remaining (?:items|things|ones)|others|"
    r"leftovers?)(?! of)(?: of (?:it|them|the items))?"
    r"|everything(?: else)?(?: that's left)?|all (?:the other|other) (?:items|things)|what(?:'s| is|ever is|"
    r"ever's) left"
    r"|the other (?:items|things)|all of (?:it|them))\b"
)
_REST_OF = re.compile(r"\b(?:the )?(?:rest|remainder) of the\b|\bthe (?:remaining|last)\b")
_N_OF_M = re.compile(r"\bof (?:the |those |our )?(?:\d+|" + "|".join(NUMBERS) + r") ")
_NOUN_SPLIT = re.compile(
    r"\b(?:a|an|the|this|that|even|fair|my|your|equal|good) (?:\w+ )?(?:split|share)\b(?! the)|\beven split\b"
)
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
    """Words, with item names as `@i` (the i-th form), "the rest" as restword, "for me" and "mine" as tome."""
    pattern, forms = _names(items)
    order = list(forms)
    text = pattern.sub(lambda match: f"@{order.index(match[0])}", text)
    text = _REST.sub(" restword ", _NOUN_SPLIT.sub(" ", _N_OF_M.sub("of ", text)))
    text = _REST_OF.sub(" other ", text)
    text = re.sub(r"\b(?:for|to) (me|myself)\b|\bmine\b", " tome ", text)
    text = re.sub(r"\b(?:for|to) (you|yourself)\b|\byours\b", " toyou ", text)
    text = re.sub(r"\bmy share\b", " me ", re.sub(r"\byour share\b", " you ", text))
    text = re.sub(r"\b(?:both of us|we both|each of us|both get|apiece|per person)\b", " each ", text)
    return _TOKEN.findall(text)


_DOUBTS = re.compile(r"^(?:so|you mean|you want|really|wait|what|why)\b(?! (?:if|about))")
_NUMBER_WORDS = {"a": 1, "an": 1, "single": 1, "no": 0, "none": 0, "neither": 0}
_AMOUNT_WORDS = {
    "half": "half",
    "all": "all",
    "both": "both",
    "other": "other",
    "another": "another",
    "more": "another",
}


class _Reader:
    """Reads clauses into shares, item to number, of the speaker (0) and the other (1).

    `_receiver` is who receives what comes next (or both, or half each), `_group` what was named and not yet placed.
    `wrong` says why the shares are no definite proposal.
    """

    def __init__(self, counts: dict[str, int]) -> None:
        self.shares: tuple[dict[str, int], dict[str, int]] = ({}, {})
        self.wrong: str | None = None
        self._counts = counts
        self._rest: int | None = None
        self.items = tuple(counts)
        self._forms = list(_names(self.items)[1].values())
        self._receiver: int | None = None
        self._group: list[tuple[str, int]] = []

    @property
    def empty(self) -> bool:
        """Whether nothing was named."""
        return not (self.shares[0] or self.shares[1] or self.wrong or self._rest is not None)

    def start_sentence(self) -> None:
        """A new sentence names its receivers again."""
        self._receiver, self._group = None, []

    def read(self, text: str) -> None:
        """Takes in one clause."""
        number: int | str | None = None
        for word in _tokens(text, self.items):
            if word.startswith("@"):
                item, plural = self._forms[int(word[1:])]
                self._group.append((item, self._number(item, plural, number)))
                number = None
            elif word == "restword":
                self._group.append((_REST_ITEM, 0))
                number = None
            elif word in _BEHIND:
                self._place_behind(_BEHIND[word])
            elif word in _AHEAD:
                self._commit()
                self._receiver = _AHEAD[word]
            elif word in _AMOUNT_WORDS:
                number = _AMOUNT_WORDS[word] if word != "more" or number is None else "another"
            elif (word.isdigit() or word in NUMBERS or word in _NUMBER_WORDS) and number != "half":
                number = int(word) if word.isdigit() else NUMBERS.get(word, _NUMBER_WORDS.get(word, 1))
        self._commit()

    def division(self, role: int) -> Division | None:
        """Both shares, by role, when every item is placed; else None, and `wrong` says why."""
        first, second = dict(self.shares[0]), dict(self.shares[1])
        named, one_sided = set(first) | set(second), not (first and second)
        for item, count in self._counts.items():
            left = count - first.get(item, 0) - second.get(item, 0)
            if left < 0:
                self.wrong = f"the proposal gives away more than {count} of {item!r}"
            elif left and self._rest == _HALVES and left % 2 == 0:
                first[item], second[item] = first.get(item, 0) + left // 2, second.get(item, 0) + left // 2
            elif left and self._rest in (0, 1):
                share = (first, second)[self._rest or 0]
                share[item] = share.get(item, 0) + left
            elif left and item in named and one_sided:
                (second if first else first)[item] = left
            elif left:
                self.wrong = self.wrong or f"the proposal leaves {item!r} open"
        if self.wrong:
            return None
        mine, yours = ({item: share.get(item, 0) for item in self._counts} for share in (first, second))
        return (mine, yours) if role == 0 else (yours, mine)

    def _number(self, item: str, plural: bool, number: int | str | None) -> int:
        count = self._counts[item]
        if isinstance(number, int):
            return number
        if number == "half":
            if count % 2:
                self.wrong = f"{count} of {item!r} cannot be halved"
            return count // 2
        if number == "another":
            self.wrong = "only a difference was named"
            return 1
        if number == "other":
            placed = [n for share in self.shares for i, n in share.items() if i == item]
            return max(0, count - sum(placed) - sum(n for i, n in self._group if i == item)) if plural else 1
        if number == "both":
            return 2
        return count if plural or number == "all" else 1

    def _commit(self) -> None:
        """Places what was named at the receiver named before it."""
        if self._receiver is not None:
            for item, number in self._group:
                self._place(self._receiver, item, number)
            self._group = []

    def _place_behind(self, receiver: int) -> None:
        """Places what was named at the receiver named after it; with nothing named, the receiver of what follows."""
        for item, number in self._group:
            self._place(receiver, item, number)
        self._receiver = None if self._group else receiver
        self._group = []

    def _place(self, receiver: int, item: str, number: int) -> None:
        if item == _REST_ITEM:
            self._rest = receiver
            return
        if receiver == _HALVES:
            if self._counts[item] % 2:
                self.wrong = f"{self._counts[item]} of {item!r} cannot be halved"
            number = self._counts[item] // 2
        for who in (receiver,) if receiver in (0, 1) else (0, 1):
            if self.shares[who].get(item, number) != number:
                # Another number for the same share starts another proposal: the last one counts.
                self.shares, self._rest, self.wrong = ({}, {}), None, None
            self.shares[who][item] = number


_EACH, _HALVES, _REST_ITEM = 2, 3, "*"
_BEHIND = {"tome": 0, "toyou": 1, "each": _EACH}
#: After these words what is named is for whoever comes next: "leaving the ball for you", "give you the hat".
_HANDS_ON = ("leave", "leaves", "leaving", "give", "gives", "giving", "offer", "offering", "hand", "pass")
_AHEAD: dict[str, int | None] = {**_RECEIVERS, "we": None, "us": None, "let's": None} | dict.fromkeys(_HANDS_ON)
_AHEAD |= {"split": _HALVES, "share": _HALVES, "divide": _HALVES, "halve": _HALVES}


def _matches(shares: tuple[dict[str, int], dict[str, int]], role: int, terms: Terms) -> bool:
    """Whether a division gives what `shares`, seen from `role`, name."""
    if not isinstance(terms, tuple):
        return False
    by_role = (terms[role], terms[1 - role])
    return all(by_role[who].get(item) == number for who in (0, 1) for item, number in shares[who].items())


def read_division(side: DivisionSide, text: str, deed: bool, role: int) -> Said:
    """What a turn of `role` says about the division of `side.counts`."""
    parts = clauses(clean(text))
    cues = read_cues(parts, deed)
    reader = _Reader(side.counts)
    _read_sentences(reader, parts)
    said = Said(
        accepts=cues.accept_at >= 0,
        weak=cues.weak,
        conditional=cues.conditional,
        refuses=cues.refuses,
        withdraws=cues.withdraw_at >= 0,
        ends=cues.ends,
        asks_assent=cues.asks_assent,
        echo=any(part.question and _DOUBTS.search(part.text) for part in parts),
        asks_else=cues.asks_else and not _is_about_shares(reader, parts),
    )
    if reader.empty:
        return said
    division = reader.division(role)
    if division is not None:
        return replace(said, offers=(division,), conditional=False)
    fits: Callable[[Terms], bool] = partial(_matches, reader.shares, role)
    return replace(
        said, vague=reader.wrong, fits=fits, accepts=said.accepts and not said.conditional, conditional=False
    )


def _is_about_shares(reader: _Reader, parts: tuple[Clause, ...]) -> bool:
    last = [part.text for part in parts if part.sentence == parts[-1].sentence]
    return any(_names(reader.items)[0].search(text) or _REST.search(text) for text in last)


def _read_sentences(reader: _Reader, parts: tuple[Clause, ...]) -> None:
    """Reads the sentences that give something to somebody; where there are none, those that wish for something."""
    giving = {part.sentence for part in parts if _GIVES.search(part.text)}
    items = _names(tuple(reader.items))[0]
    placing = {part.sentence for part in parts if items.search(part.text) or _REST.search(part.text)}
    chosen = (giving & placing) or placing
    sentence = -1
    for part in parts:
        if part.sentence not in chosen:
            continue
        if part.sentence != sentence:
            sentence = part.sentence
            reader.start_sentence()
        text = IDIOMS.sub(" ", part.text + ("?" if part.question else ""))
        if not _NEGATED.search(text) and not _QUOTES.search(text):
            reader.read(text)
