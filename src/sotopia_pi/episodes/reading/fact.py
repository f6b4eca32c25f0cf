"""Reading an exchange of facts: whether a role told its own fact, and whether it said its guarded word."""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache

from sotopia_pi.episodes.reading.cues import IDIOMS, NEGATION
from sotopia_pi.episodes.reading.words import Clause, clauses, clean
from sotopia_pi.episodes.records import Action, ActionType
from sotopia_pi.episodes.views import Seen

#: How many characters of a turn are searched for a guarded word.
MAX_SEARCHED = 100_000


@dataclass(frozen=True)
class FactReading:
    """What a role claimed its own fact to be. `told` if that is the truth; `undecided` says why it cannot be told."""

    told: bool = False
    claimed: str | None = None
    undecided: str | None = None


_YES = re.compile(
    r"^(?:(?:well|oh|ok|okay|hm+|ha) )*(?:yes|yeah|yep|yup|correct|exactly|right|indeed|that's (?:right|it|correct|"
    r"true)|you(?:'re| are) right|you guessed it|it is|true|spot on|bingo)\b"
)
_HEDGE = re.compile(
    r"\b(?:maybe|perhaps|might|may|could|possibly|not sure|guess|if|would|say it's|let's say|either|imagine|"
    r"suppose)\b"
)
_QUOTES = re.compile(r"\byou(?:'ve|'d)? (?:said|told|mentioned|think|guess(?:ed)?|asked|want|know|like)\b|\byour\b")
_NODS = re.compile(r"\bnods?\b|\bnodding\b")


def read_fact(subject: str, answer: str, options: Sequence[str], history: Sequence[Seen], role: int) -> FactReading:
    """Whether `role` told that `subject` is `answer`, one of `options`; the last clear claim counts.

    Denying an option, asking about one and naming several without deciding claim nothing. "Yes" to a question that
    names one option claims it.
    """
    names = _names(tuple(options))
    own = set(re.findall(r"\w+", subject.lower())) - {"the", "a", "of"}
    claimed: str | None = None
    undecided: str | None = None
    asked: str | None = None
    for seen in history:
        if not _spoken(seen.action):
            continue
        parts = clauses(clean(seen.action.argument))
        if seen.role != role:
            asked = _asked(parts, names)
            continue
        claims, open_ones = _claims(parts, names, own)
        if not claims and asked is not None and _confirms(parts, seen.action):
            claims = [asked]
        if len(set(claims)) == 1 or (claims and _corrects(parts)):
            claimed, undecided = claims[-1], None
        elif claims:
            undecided = f"several answers about {subject} were given"
        elif answer in open_ones and claimed is None:
            undecided = f"it is unclear what was said about {subject}"
        asked = None
    return FactReading(told=undecided is None and claimed == answer, claimed=claimed, undecided=undecided)


def _spoken(action: Action) -> bool:
    return action.type is not ActionType.NONE and bool(action.argument)


@lru_cache(maxsize=256)
def _names(options: tuple[str, ...]) -> tuple[re.Pattern[str], dict[str, str]]:
    by_name = {clean(option): option for option in options if clean(option)}
    longest_first = sorted(by_name, key=len, reverse=True)
    return re.compile(r"(?<!\w)(?:" + "|".join(map(re.escape, longest_first)) + r")(?:s|es)?(?!\w)"), by_name


def _found(text: str, names: tuple[re.Pattern[str], dict[str, str]]) -> list[str]:
    pattern, by_name = names
    return [
        next(option for name, option in by_name.items() if found.startswith(name))
        for found in _longest(pattern, text, by_name)
    ]


def _longest(pattern: re.Pattern[str], text: str, by_name: dict[str, str]) -> list[str]:
    return [max((name for name in by_name if match[0].startswith(name)), key=len) for match in pattern.finditer(text)]


def _asked(parts: tuple[Clause, ...], names: tuple[re.Pattern[str], dict[str, str]]) -> str | None:
    """The one option that the turn's questions name."""
    found = {option for part in parts if part.question for option in _found(part.text, names)}
    return found.pop() if len(found) == 1 else None


def _claims(
    parts: tuple[Clause, ...], names: tuple[re.Pattern[str], dict[str, str]], own: set[str]
) -> tuple[list[str], set[str]]:
    """Options claimed, in order, and options named without a claim."""
    claims: list[str] = []
    unclear: set[str] = set()
    for part in parts:
        found = _found(part.text, names)
        about_own = bool(own & set(re.findall(r"\w+", part.text)))
        if not found or part.question or (_QUOTES.search(part.text) and not about_own):
            continue
        text = IDIOMS.sub(" ", part.text)
        negation = NEGATION.search(text)
        kept = found
        if negation:
            # "it is blue and not red" claims blue; "it isn't red" claims nothing.
            kept = _found(text[: negation.start()], names)
        if not kept:
            continue
        if len(set(kept)) > 1 or _HEDGE.search(part.text):
            unclear.update(kept)
        else:
            claims.append(kept[0])
    return claims, unclear


def _confirms(parts: tuple[Clause, ...], action: Action) -> bool:
    if not parts:
        return False
    if action.type in (ActionType.NON_VERBAL, ActionType.ACT):
        return bool(_NODS.search(parts[0].text))
    return bool(_YES.match(parts[0].text)) and not parts[0].question


def _corrects(parts: tuple[Clause, ...]) -> bool:
    return any(
        re.search(r"\b(?:sorry|actually|i mean|correction|rather|lied|joking|kidding|truth)\b", part.text)
        for part in parts
    )


@lru_cache(maxsize=256)
def _inflected(word: str) -> re.Pattern[str]:
    """The word and its simple inflections: plural, possessive, -ed, -ing."""
    plain = unicodedata.normalize("NFKC", word).casefold().strip()
    forms = [re.escape(plain) + "(?:'?s|es|s'|ed|d|ing)?"]
    if plain.endswith("y"):
        forms.append(re.escape(plain[:-1]) + "(?:ies|ied)")
    elif plain.endswith("e"):
        forms.append(re.escape(plain[:-1]) + "(?:ing|ed|es)")
    elif plain:
        forms.append(re.escape(plain + plain[-1]) + "(?:ed|ing)")
    return re.compile(r"(?<!\w)(?:" + "|".join(forms).replace(r"\ ", r"\s+") + r")(?!\w)")


def said_guarded(guarded: str, history: Sequence[Seen], role: int) -> bool:
    """Whether `role` said or wrote the guarded word, in any case, alone or inflected.

    Far more of a turn is searched than is read otherwise, so that the word cannot be hidden behind other words.
    """
    pattern = _inflected(guarded)
    for seen in history:
        if seen.role == role and _spoken(seen.action):
            text = unicodedata.normalize("NFKC", seen.action.argument[:MAX_SEARCHED]).casefold().replace("’", "'")
            if pattern.search(text):
                return True
    return False
