"""Amounts of money in a text: which numbers are amounts, and in what sense each of them is used.

A number with a currency is an amount. A bare number is one only where it can be nothing but a price: near the listed
price in size, and neither a year, an hour nor a count of anything.
"""

from __future__ import annotations

import re
from dataclasses import dataclass

from sotopia_pi.episodes.reading.senses import Place, Sense, sense_of
from sotopia_pi.episodes.reading.words import Clause


@dataclass(frozen=True, slots=True)
class Amount:
    """An amount of dollars and where it stands: the index of its clause. An alternative follows an "or"."""

    dollars: float
    sense: Sense
    clause: int
    alternative: bool = False


_NUMBER = re.compile(
    r"(?<![\w.#])(?<!\d[:/])(?P<cur>us ?\$|\$|€|£|usd )? ?(?P<num>\d{1,3}(?:,\d{3})+(?:\.\d{1,2})?|"
    r"\d{1,9}(?:\.\d{1,2})?)(?![\d])"
    r"(?P<k> ?k\b| ?grand\b| thousand\b| hundred\b)?"
    r"(?P<unit> ?(?:us )?(?:dollars?|bucks?|usd|euros?|pounds|quid|smackers|€|£|\$))?(?P<odd>[\w%°:/]|-\w)?"
)
_MARK = re.compile(r"<(\d+)>")
#: What may follow a bare number that is a price; any other word is taken for what is counted.
_FOLLOWS = re.compile(
    r" ?(?:$|[^\w\s<]|(?:and|or|is|it|it's|works?|for|then|if|but|cash|today|now|total|firm|flat|would|sounds?|as|"
    r"max|tops|at|on|with|because|since|so|please|"
    r"seems|right|even|instead|tomorrow|final|obo|just|that|be|will|we|you|i|i'm|i'll|and's|all|here|there|was|when|"
    r"from|in|my|your|the|looks|still|deal|sold|"
    r"to|can|could|than|less|more|off|not|isn't|doesn't|too|seal|altogether|maximum|max)\b)"
)
_BARE_LEFT = re.compile(
    r"(?:^|\b(?:for|at|about|say|saying|do|to|take|taking|offer|offering|accept|pay|give|you|of|is|it|want|than|the|"
    r"like|around|ask|asking|not|maybe|your|called?|be|me|go|"
    r"deal|settle|on|with|how|and|or|but|ok|okay|need|thinking|let's|paid|said|above|below|over|under|spend|only|"
    r"it's|by|from|between|just|another|get|sell|was|no|make|fine|still|my|that's|then))$"
)
_YEAR = re.compile(r"\b(?:in|since|from|year|model|of|circa|the|bought|around|back|made|a|my)$")


def mark_amounts(text: str, listed: float) -> tuple[str, list[float]]:
    """The text with `<i>` for its i-th amount; numbers that are no amounts become `#`."""
    found: list[float] = []

    def replace(match: re.Match[str]) -> str:
        value = _value(match, text, listed)
        if value is None:
            return " # " + (match["odd"] or "")
        found.append(value)
        lead = " " if match[0].startswith(" ") else ""
        return f"{lead}<{len(found) - 1}>"

    return _NUMBER.sub(replace, text), found


def _value(match: re.Match[str], text: str, listed: float) -> float | None:
    """The amount in dollars, or None where the number is no price."""
    scale = (match["k"] or "").strip()
    value = round(float(match["num"].replace(",", "")) * {"": 1, "hundred": 100}.get(scale, 1000), 2)
    if match["odd"] or not 0 < value < 1e8:
        return None
    marked = match["cur"] or match["unit"]
    return value if marked or (listed / 20 <= value <= listed * 20 and (scale or _may_be_price(match, text))) else None


def _may_be_price(match: re.Match[str], text: str) -> bool:
    """Whether a number without a currency stands where a price stands, and not an age, a year or a quantity."""
    left, right = text[max(0, match.start() - 20) : match.start()].rstrip(), text[match.end() : match.end() + 20]
    number = match["num"]
    if number.isdigit() and 1950 <= int(number) <= 2040 and _YEAR.search(left):
        return False
    left = left.rstrip("~\"'( ")
    return bool(_FOLLOWS.match(right)) and (bool(_BARE_LEFT.search(left)) or left[-1:] in ",.!?;:-")


_JOIN = re.compile(r"^ ?(?:-|to|or|and|/|; )(?: even| maybe| perhaps)? ?$")


def read_amounts(parts: tuple[Clause, ...], values: list[float], item: str) -> tuple[list[Amount], bool]:
    """Every amount with its sense; and whether two of them are the ends of a range."""
    found: list[Amount] = []
    ranged = False
    for index, part in enumerate(parts):
        marks = list(_MARK.finditer(part.text))
        for number, mark in enumerate(marks):
            start = marks[number - 1].end() if number else 0
            end = marks[number + 1].start() if number + 1 < len(marks) else len(part.text)
            left, right = part.text[start : mark.start()], part.text[mark.end() : end]
            sense = sense_of(Place(left.rstrip(), right, part.question, item))
            joined = number > 0 and bool(_JOIN.match(left))
            if joined and left.strip() != "to" and found[-1].sense not in (Sense.OFFER, Sense.CHANGE):
                sense = found[-1].sense
            if joined and sense is found[-1].sense is Sense.OFFER and left.strip() in ("-", "to", "and", "/", ";"):
                ranged = left.strip() != "and" or "between" in part.text
            either = bool(re.search(r"\bor\b", left) if number else part.text.startswith("or "))
            found.append(Amount(values[int(mark[1])], sense, index, either))
    return found, ranged
