"""Words that a scenario must not hold: those that say a gender, given names, and hints that somebody is a minor.

A scenario may be played by any two adult characters, so its text must fit all of them. The lists are English and not
complete; they catch what models write, and what they miss does no harm beyond an odd sentence.
"""

from __future__ import annotations

import re
from collections.abc import Collection
from functools import cache
from importlib import resources

#: A word that says a gender, and what to write instead.
_INSTEAD = {
    "they, them, their": "he she him her his hers himself herself he's she's he'd she'd he'll she'll",
    "person, people": "man men woman women guy guys lady ladies gentleman gentlemen gal gals male males female females "
    "boy boys girl girls dude dudes",
    "parent": "mother mothers father fathers mom moms mum mums dad dads mommy mummy daddy mama papa stepmother "
    "stepfather stepmom stepdad motherhood fatherhood mother-in-law father-in-law",
    "grandparent": "grandmother grandmothers grandfather grandfathers grandma grandpa granny grandmas grandpas",
    "sibling": "brother brothers sister sisters stepbrother stepsister bro sis brother-in-law sister-in-law",
    "partner": "husband husbands wife wives boyfriend boyfriends girlfriend girlfriends fiance fiancé fiancee fiancée "
    "bride bridegroom widow widower housewife",
    "child": "son sons daughter daughters grandson granddaughter stepson stepdaughter godson goddaughter son-in-law "
    "daughter-in-law schoolboy schoolgirl",
    "relative": "uncle uncles aunt aunts auntie niece nieces nephew nephews",
    "the occupation without a gender": "waiter waitress actress hostess stewardess landlady policeman policewoman "
    "fireman mailman postman salesman saleswoman businessman businesswoman chairman chairwoman spokesman spokeswoman "
    "craftsman handyman cameraman foreman congressman headmaster headmistress barmaid maid seamstress",
    "no form of address": "sir madam ma'am mr mrs ms",
    "adviser": "godmother godfather",
}
_NEUTRAL = {word: instead for instead, words in _INSTEAD.items() for word in words.split()}
_TOKEN = re.compile(r"[^\W\d_]+(?:['’-][^\W\d_]+)*")
_SENTENCE_START = re.compile(r"(?:^|[.!?:;]|\n)[\s\"'“”‘’(]*$")

_CALLED = re.compile(r"\b(?:named|called|nicknamed|name is)\s+([A-Z][a-z]+)")
_TITLED = re.compile(r"\b(?:Mr|Mrs|Ms|Mx|Dr|Prof|Professor|Doctor|Captain|Coach)\.?\s+[A-Z][a-z]+")
_PAIR = re.compile(r"^[A-Z][a-z]+(?:,? a [\w -]{3,40},)? and [A-Z][a-z]+\b")

_JOBS = r"(?![ -](?:care|minder|teacher|psycholog|doctor|welfare|protection|work|star|actor|seat))"
_MINOR = r"(?:child|kid|teen|teenager|adolescent|toddler|minor|pupil|schoolchild|high[- ]school student)\b" + _JOBS
_MINORS = r"(?:children|kids|teens|teenagers|adolescents|minors|pupils|schoolchildren|high[- ]school students)"
_AGE = r"(?:[1-9]|1[0-7])(?:-year-old\b| years old\b| years of age\b)"
_YOU = r"\byou(?: are|'re|’re) (?:still |only |just )*"
_MINOR_ROLES = tuple(
    re.compile(pattern, re.IGNORECASE)
    for pattern in (
        rf"{_YOU}(?:an? |the )(?:\w+ )?{_MINOR}",
        rf"{_YOU}(?:an? |aged? )?(?:{_AGE}|(?:[1-9]|1[0-7])[.,])",
        rf"\b(?:two (?:(?!of|with|who|from|and|at|for|have|parent|teach)\w+ ){{0,2}}?|both (?:are |still )*){_MINORS}\b"
        r"(?!['’]| of\b)",
        rf"^(?:an?|one) (?:\w+ )?(?:{_MINOR}|{_AGE}) (?:and|is|meets|asks|wants|talks|argues|confronts)\b",
        rf"\bone of (?:them|the two) is (?:still |only )?(?:an? )?(?:\w+ )?(?:{_MINOR}|{_AGE})",
    )
)


def gendered(text: str) -> tuple[str, str] | None:
    """The first word of a text that says a gender, and what to write instead."""
    for match in _TOKEN.finditer(text):
        word = match.group().replace("’", "'")
        for form in (word.casefold(), word.casefold().removesuffix("'s")):
            if form in _NEUTRAL:
                return word, _NEUTRAL[form]
    return None


def minor_role(text: str) -> str | None:
    """The words of a text that make one of the players a child, as far as they can be told."""
    for pattern in _MINOR_ROLES:
        if match := pattern.search(text):
            return match.group().strip()
    return None


def named(text: str, names: Collection[str]) -> str | None:
    """The first name in a text: one of the characters' `names`, a common given name, or a word used as a name."""
    for pattern in (_CALLED, _TITLED, _PAIR):
        if match := pattern.search(text):
            return match.group()
    known = {part for name in names for part in name.split()}
    for match in _TOKEN.finditer(text):
        word = re.sub(r"['’]s?$", "", match.group())
        if word[:1].isupper() and (word in known or word in _given_names()):
            starts = _SENTENCE_START.search(text[: match.start()])
            if not (starts and word in _words_too()):
                return word
    folded = text.casefold()
    return next((name for name in names if re.search(rf"\b{re.escape(name.casefold())}\b", folded)), None)


@cache
def _lists() -> tuple[frozenset[str], frozenset[str]]:
    text = resources.files("sotopia_pi.world.generation").joinpath("given_names.txt").read_text(encoding="utf-8")
    plain, words = text.split("\n\n")
    return frozenset(plain.split()), frozenset(words.split())


def _given_names() -> frozenset[str]:
    return _lists()[0] | _lists()[1]


def _words_too() -> frozenset[str]:
    """Names that are also words, which stand with a capital at the beginning of a sentence."""
    return _lists()[1]
