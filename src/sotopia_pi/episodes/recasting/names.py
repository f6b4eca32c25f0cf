"""Exchanging a name: the whole of it, the first name, the family name, in capitals as they are, with Mr and Ms."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable

from sotopia_pi.episodes.recasting.lexicon import ALSO_WORDS
from sotopia_pi.episodes.recasting.pronouns import pronoun_set
from sotopia_pi.episodes.recasting.records import AmbiguousError, Text
from sotopia_pi.world.records import SocialTask

_TITLES = {"he": "Mr", "she": "Ms", "they": "Mx"}
_HELD = re.compile(r"(?<!\w)(Mr|Ms|Mx|Mrs|Miss)(\.?)(?= )")


def whole(word: str) -> str:
    """A pattern for a whole word."""
    return rf"(?<!\w){re.escape(word)}(?!\w)"


def name_change(task: SocialTask, role: int, new: str, words: Iterable[Text]) -> Callable[[str], str]:
    """What exchanges the name of `role` in a text of the task. AmbiguousError where a part of it may mean others."""
    character = task.characters[role]
    old_parts, new_parts = character.name.split(), new.split()
    if len(old_parts) != len(new_parts) or not 1 <= len(old_parts) <= 2:
        raise AmbiguousError("the name is not made of a first and a family name")
    others = {part.lower() for at, other in enumerate(task.characters) if at != role for part in other.name.split()}
    if others & {part.lower() for part in old_parts}:
        raise AmbiguousError("both characters share a name")
    every = [text.words for text in words]
    if others & {p.lower() for p in new_parts} or any(_stands(p, text) for p in new_parts for text in every):
        raise AmbiguousError("the new name is already somebody's")
    if len({part.lower() for part in (*old_parts, *new_parts)}) != len(old_parts) + len(new_parts):
        raise AmbiguousError("old and new name share a part")
    pairs = dict(zip(old_parts, new_parts, strict=True))
    pairs |= {old.upper(): new.upper() for old, new in pairs.items() if len(old) > 1}
    for text in every:
        _clear(text, old_parts, character.name)
    pattern = re.compile("|".join(whole(part) for part in sorted(pairs, key=len, reverse=True)))
    return lambda text: pattern.sub(lambda match: pairs[match.group()], text)


def _stands(part: str, text: str) -> bool:
    return re.search(whole(part), text, re.IGNORECASE) is not None


def _clear(text: str, parts: list[str], name: str) -> None:
    without = re.sub(whole(name), " ", text)
    for part in parts:
        if any(found.group() not in (part, part.upper()) for found in re.finditer(whole(part), text, re.IGNORECASE)):
            raise AmbiguousError("a part of the name is written in small letters")
        if part.lower() in ALSO_WORDS and re.search(whole(part), without, re.IGNORECASE):
            raise AmbiguousError("a part of the name is a word as well")
        if part.endswith("s") and re.search(rf"{whole(part)}['\u2019](?!s)", text):
            raise AmbiguousError("a name on s in the possessive")


def title_change(task: SocialTask, role: int, pronouns: str, words: Iterable[Text]) -> Callable[[str], str]:
    """What exchanges Mr, Ms and Mx before the family name of `role`. AmbiguousError for Mrs and Miss."""
    before, after = pronoun_set(task.characters[role].pronouns), pronoun_set(pronouns)
    family = task.characters[role].name.split()[-1]
    if before == after or before is None or after is None:
        return lambda text: text
    own = re.compile(rf"(?<!\w){_TITLES[before]}(?=\.? {re.escape(family)}(?!\w))")
    for text in words:
        for held in _HELD.finditer(text.words):
            follows = re.match(rf" {re.escape(family)}(?!\w)", text.words[held.end() :])
            if follows and held.group(1) != _TITLES[before]:
                raise AmbiguousError("a title that says more than Mr, Ms or Mx")
    return lambda text: own.sub(_TITLES[after], text)
