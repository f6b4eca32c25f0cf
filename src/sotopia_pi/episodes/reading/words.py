"""Words and cues that all kinds of negotiation share: cleaning, numbers, clauses, acceptance, refusal, retraction.

Every pattern is linear in the text, and no more than `MAX_READ` characters of a turn are read.
"""

from __future__ import annotations

import re
import unicodedata
from dataclasses import dataclass
from functools import lru_cache

#: How many characters of a turn are read.
MAX_READ = 4000

_PLAIN = str.maketrans(
    {"’": "'", "‘": "'", "“": '"', "”": '"', "–": "-", "—": ";", "―": ";", "…": "...", "<": " ", ">": " ", "*": " "}
)

_UNITS = [
    "zero",
    "one",
    "two",
    "three",
    "four",
    "five",
    "six",
    "seven",
    "eight",
    "nine",
    "ten",
    "eleven",
    "twelve",
    "thirteen",
    "fourteen",
    "fifteen",
    "sixteen",
    "seventeen",
    "eighteen",
    "nineteen",
]
_TENS = ["twenty", "thirty", "forty", "fifty", "sixty", "seventy", "eighty", "ninety"]
NUMBERS: dict[str, int] = {word: value for value, word in enumerate(_UNITS)} | {
    word: 10 * value for value, word in enumerate(_TENS, 2)
}
_NUMBER = "|".join(NUMBERS)
_NUMBER_PHRASE = re.compile(
    rf"\b(?:(?:{_NUMBER}|a(?= (?:hundred|thousand|grand)))(?:[ -](?:and )?(?:{_NUMBER}|hundred|thousand|"
    rf"grand)\b){{0,8}})\b"
)


def clean(text: str) -> str:
    """Lower case, plain quotes and dashes, single spaces, at most MAX_READ characters; no `<` or `>`."""
    plain = unicodedata.normalize("NFKC", text[:MAX_READ])[:MAX_READ].translate(_PLAIN).lower()
    plain = plain.replace(" - ", " ; ").replace("--", ";").replace(" can not ", " cannot ")
    return re.sub(r"\s+", " ", plain).strip()


def spell(text: str) -> str:
    """Number words from ten up as digits: "two hundred and fifty" and "two fifty" become 250."""
    return _NUMBER_PHRASE.sub(_digits, text)


def _digits(match: re.Match[str]) -> str:
    words = [word for word in re.split(r"[ -]", match[0]) if word != "and"]
    total, current, last = 0, 0, ""
    for word in words:
        if word == "hundred":
            current = max(current, 1) * 100
        elif word in ("thousand", "grand"):
            total, current = total + max(current, 1) * 1000, 0
        elif word in NUMBERS:
            value = NUMBERS[word]
            if last in NUMBERS and (value >= 20 or (value >= 10 and current < 10)) and 0 < current < 100:
                current *= 100  # "two fifty", "one twenty", "three fifteen"
            elif last in NUMBERS and not (value < 10 and current % 100 in range(20, 100, 10)):
                return match[0]  # "one two three" is no number
            current += value
        last = word
    value = total + current
    return str(value) if value >= 10 else match[0]


@dataclass(frozen=True, slots=True)
class Clause:
    """A part of a sentence. `question` and `conditional` hold for the whole sentence or for this part of it."""

    text: str
    sentence: int
    question: bool
    conditional: bool


_SENTENCE = re.compile(r"[^.!?;]+[.!?;]*")
_CLAUSE = re.compile(
    r"[,:()\"]+ *|\b(?=(?:but|however|although|though|whereas|while|because|unless|otherwise|instead i)\b)"
)
_TAG = re.compile(
    r"^(?:(?:right|yes|yeah|ok|okay|correct|deal|sound good|sounds good|then|no|huh|shall we|isn't it|"
    r"don't you think|what do "
    r"you (?:say|think)|how does that sound|how about it|would that work|does that work|is that (?:ok|okay|fair)|"
    r"fair)"
    r"(?: (?:for|with) you| to you| then)?)\W*$"
)
_CONDITION = re.compile(
    r"\b(?:if|provided|as long as|so long as|assuming|on (?:the |one )?condition|only when|contingent|unless|"
    r"once you)\b"
)
_IDLE_CONDITION = re.compile(
    r"\bif (?:you (?:say so|insist|must|like|want|need|have any|don't mind|ask me)|that's (?:ok|okay|alright|fine)|"
    r"i may|"
    r"anything|not|it helps|that helps|possible|there's nothing|that works|it works|needed)\b|\blet me know if\b|"
    r"\bas if\b"
)
_ASKS = re.compile(
    r"^(?:(?:so|and|ok|okay|well|then|hmm|hi|hello|hey|yes|sure) )*(?:would|could|can|do|does|did|is|are|will|won't|"
    r"shall|should|what|how|why|"
    r"may|have|when|where|who|which|any chance)\b"
)


@lru_cache(maxsize=4096)
def clauses(text: str) -> tuple[Clause, ...]:
    """The clauses of a cleaned text, in order."""
    found: list[Clause] = []
    for number, match in enumerate(_SENTENCE.finditer(text)):
        sentence = match[0].strip()
        asks = sentence.rstrip('."').endswith("?")
        parts = [part.strip(" .!?;'") for part in _CLAUSE.split(sentence)]
        parts = [part for part in parts if part]
        whole = asks and bool(parts) and (len(parts) == 1 or bool(_TAG.match(parts[-1])) or bool(_ASKS.match(parts[0])))
        condition = bool(_CONDITION.search(_IDLE_CONDITION.sub(" ", sentence)))
        for index, part in enumerate(parts):
            last = index == len(parts) - 1
            found.append(Clause(part, number, whole or (asks and last), condition))
    return tuple(found)
