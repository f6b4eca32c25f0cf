"""Exchanging an occupation, with a or an before it, and the word for a gender where somebody says it of themselves."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable

from sotopia_pi.episodes.recasting.articles import fitted
from sotopia_pi.episodes.recasting.lexicon import GENDERED
from sotopia_pi.episodes.recasting.names import whole
from sotopia_pi.episodes.recasting.records import AmbiguousError, Place, Text
from sotopia_pi.world.records import SocialTask

_ARTICLE = r"(?P<article>(?<!\w)an?\s+)?"


def occupation_change(task: SocialTask, role: int, new: str, words: Iterable[Text]) -> Callable[[str], str]:
    """What exchanges the occupation of `role` in a text. AmbiguousError where it may be somebody else's."""
    old = task.characters[role].occupation
    others = [character.occupation for at, character in enumerate(task.characters) if at != role]
    every = list(words)
    if any(_within(old, other) or _within(new, other) for other in others):
        raise AmbiguousError("both characters have the same occupation")
    if _within(old, new) or _within(new, old):
        raise AmbiguousError("old and new occupation share words")
    if any(_within(new, text.words) or _within(f"{new}s", text.words) for text in every):
        raise AmbiguousError("the new occupation is spoken of already")
    if any(_within(f"{old}s", text.words) for text in every):
        raise AmbiguousError("others of the same occupation are spoken of")
    if any(_within(old, text.words) for text in every if text.place is Place.OTHER_PROFILE):
        raise AmbiguousError("the occupation stands in the other's profile")
    pattern = re.compile(_ARTICLE + whole(old), re.IGNORECASE)
    for text in every:
        for match in pattern.finditer(text.words):
            held = match.group()[len(match.group("article") or "") :]
            if held not in (old, old[0].upper() + old[1:], old.upper()):
                raise AmbiguousError("the occupation is written in an unusual way")
            if match.group("article") and fitted(match.group("article"), held) != match.group():
                raise AmbiguousError("an article that does not fit")
    return lambda text: pattern.sub(lambda match: _occupied(match, old, new), text)


def _within(words: str, text: str) -> bool:
    return re.search(whole(words), text, re.IGNORECASE) is not None


def _occupied(match: re.Match[str], old: str, new: str) -> str:
    before = match.group("article") or ""
    held = match.group()[len(before) :]
    made = new
    if held != old and held[0].isupper():
        made = new.upper() if held.isupper() and len(held) > 1 else new[0].upper() + new[1:]
    return fitted(before, made)


_NOUNS = {"woman": "woman", "man": "man", "nonbinary": "nonbinary person", "non-binary": "nonbinary person"}
_SAID = r"(?P<before>(?<!\w)(?:I am|I'm|I\u2019m|as|As) a )"
_OWN = (Place.OWN_PROFILE, Place.OWN_SPEECH)


def gender_change(task: SocialTask, role: int, new: str, words: Iterable[Text]) -> Callable[[str, Place], str]:
    """What exchanges the word for a gender that `role` says of themselves, "I'm a woman".

    AmbiguousError where any other word tells a gender.
    """
    character = task.characters[role]
    old_noun, new_noun = _NOUNS.get(character.gender.lower()), _NOUNS.get(new.lower())
    if character.gender == new:
        return lambda text, place: text
    if old_noun is None or new_noun is None:
        raise AmbiguousError("a gender word other than woman, man and nonbinary")
    own = re.compile(_SAID + whole(old_noun))
    for text in words:
        rest = own.sub("", text.words) if text.place in _OWN else text.words
        if {word.lower() for word in re.findall(r"\w+(?:'\w+)?", rest.replace("\u2019", "'"))} & _TELLING:
            raise AmbiguousError("a word tells somebody's gender")
        if own.search(text.words) is None and text.place in _OWN and re.search(_SAID + whole(new_noun), text.words):
            raise AmbiguousError("a word tells somebody's gender")
    return lambda text, place: own.sub(rf"\g<before>{new_noun}", text) if place in _OWN else text


_TELLING = GENDERED | {f"{word}'s" for word in GENDERED} | {"nonbinary", "non-binary"}
