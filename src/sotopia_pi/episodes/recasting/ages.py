"""Exchanging an age where it is said as one: "58-year-old", "58 years old", "aged 58", "I'm 58", in digits or words.

The same number with a dollar sign is a price and stays; anywhere else it is unclear what it counts.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable

from sotopia_pi.episodes.recasting.articles import fitted
from sotopia_pi.episodes.recasting.records import AmbiguousError, Text

_ONES = (
    *("zero", "one", "two", "three", "four", "five", "six", "seven", "eight", "nine", "ten", "eleven", "twelve"),
    *("thirteen", "fourteen", "fifteen", "sixteen", "seventeen", "eighteen", "nineteen"),
)
_SAID = r"(?P<article>\b(?:I'm|I\u2019m|I am|I just turned|I turned|you are|you're|you\u2019re)\s+)"
_TENS = ("twenty", "thirty", "forty", "fifty", "sixty", "seventy", "eighty", "ninety")


def in_words(number: int) -> str | None:
    """A number from 0 to 99 in words; None for others."""
    if not 0 <= number < 100:
        return None
    if number < 20:
        return _ONES[number]
    tens, ones = divmod(number, 10)
    return _TENS[tens - 2] + (f"-{_ONES[ones]}" if ones else "")


def age_change(old: int, new: int, words: Iterable[Text]) -> Callable[[str], str]:
    """What exchanges an age in a text. AmbiguousError where the old or the new number stands for something else."""
    every = [text.words for text in words]
    forms = {str(old): str(new)}
    old_words, new_words = in_words(old), in_words(new)
    if old_words and new_words:
        forms[old_words] = new_words
    number = re.compile(rf"(?<![\w$.,])({'|'.join(map(re.escape, forms))})(?![\w]|[.,:]\d)", re.IGNORECASE)
    known = [re.compile(pattern, re.IGNORECASE) for pattern in _patterns(forms)]
    for text in every:
        spans = [match.span("age") for pattern in known for match in pattern.finditer(text)]
        if any(match.span() not in spans for match in number.finditer(text)):
            raise AmbiguousError("a number may be an age or something else")
        others = "|".join(re.escape(form) for form in forms.values())
        if re.search(rf"(?<![\w$.,])(?:{others})(?![\w]|[.,:]\d)", text, re.IGNORECASE):
            raise AmbiguousError("the new age stands there already as a number")

    def change(text: str) -> str:
        for pattern in known:
            text = pattern.sub(lambda match: _replaced(match, forms), text)
        return text

    return change


def _patterns(forms: Iterable[str]) -> list[str]:
    age = rf"(?P<age>{'|'.join(map(re.escape, forms))})"
    article = r"(?P<article>\b(?:a|an)\s+)?"
    return [
        rf"{article}(?<![\w$.,-]){age}(?=[- ]years?[- ](?:old|of age)\b)",
        rf"(?P<article>\b(?:aged?|age of)\s+){age}(?!\w)",
        rf"{_SAID}{age}(?=\s*(?:$|[.!?;,]\s|[.!?;,]$|and\b|now\b))",
    ]


def _replaced(match: re.Match[str], forms: dict[str, str]) -> str:
    old = match.group("age")
    new = forms[old.lower()]
    new = new[0].upper() + new[1:] if old[0].isupper() else new
    return fitted(match.group("article") or "", new)
