"""Exchanging the pronouns of one character, with the verbs that follow them.

Whom a pronoun means is decided by the character's own pronouns, by nobody else in the task having the same, and by no
third person being spoken of. Whoever speaks does not speak of themselves as "she", so such a pronoun is unclear too.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable

from sotopia_pi.episodes.recasting.lexicon import (
    AUXILIARY,
    BETWEEN,
    FUNCTION,
    MODAL,
    NO_ADVERB,
    NO_VERB,
    PARTICIPLES,
    SETS,
    THIRD,
    TWO_OBJECTS,
    TWO_READINGS,
    UNCHANGING,
    Forms,
)
from sotopia_pi.episodes.recasting.records import AmbiguousError, Place, Text
from sotopia_pi.episodes.recasting.verbs import plural_verb, singular_verb
from sotopia_pi.world.records import SocialTask

_WORD = re.compile(r"[^\W_]+(?:['\u2019-][^\W_]+)*")
#: Capitals within a sentence that name nobody.
_CAPITALS = frozenset(("I", "Mr", "Ms", "Mx"))
_STEMS = re.compile(r"\w+")
_REFLEXIVE = frozenset(forms.reflexive for forms in SETS.values())
_JOINED = re.compile(r"\b(?:and|or|but|then)\s+((?:\w+ly\s+)?\w+)", re.IGNORECASE)
_PLURAL = SETS["they"].all | {"themselves"}


def pronoun_set(pronouns: str) -> str | None:
    """ "he", "she" or "they" for what a profile says ("she/her"); None for anything else."""
    first = re.split(r"[\s/,]+", pronouns.strip().lower())[0]
    return first if first in SETS else None


def pronoun_change(task: SocialTask, role: int, new: str, words: Iterable[Text]) -> Callable[[str, Place], str]:
    """What exchanges the pronouns of `role` in a text of the task. AmbiguousError where one may mean somebody else."""
    before, after = pronoun_set(task.characters[role].pronouns), pronoun_set(new)
    if before is None or after is None:
        raise AmbiguousError("other pronouns than he, she and they")
    if before == after:
        return lambda text, place: text
    every = list(words)
    found = [text for text in every if _has(text.words, before) and not _others_own(task, role, before, text)]
    _one_person(task, role, before, found)
    if found and after == "they" and any(_has(text.words, "they") for text in every):
        raise AmbiguousError("they already stands for somebody")

    def change(text: str, place: Place) -> str:
        return text if _others_own(task, role, before, Text(text, place)) else exchanged(text, before, after)

    return change


def pronouns_are_silent(task: SocialTask, role: int, words: Iterable[Text]) -> bool:
    """Whether no text speaks of `role` by a pronoun, so that exchanging them changes the profile only."""
    name = pronoun_set(task.characters[role].pronouns)
    return name is not None and not any(
        _has(text.words, name) and not _others_own(task, role, name, text) for text in words
    )


def _others_own(task: SocialTask, role: int, name: str, text: Text) -> bool:
    """Whether the pronouns `name` in a text are the other's own: in the other's profile, without the name of `role`."""
    if text.place is not Place.OTHER_PROFILE or set(_STEMS.findall(text.words)) & set(
        task.characters[role].name.split()
    ):
        return False
    return all(pronoun_set(other.pronouns) == name for at, other in enumerate(task.characters) if at != role)


def _has(text: str, name: str) -> bool:
    forms = _PLURAL if name == "they" else SETS[name].all
    return any(_stem(match.group().lower()) in forms for match in _WORD.finditer(text))


def _stem(word: str) -> str:
    return re.split(r"['\u2019]", word)[0]


def _one_person(task: SocialTask, role: int, name: str, found: list[Text]) -> None:
    """AmbiguousError where a pronoun of one of these texts may mean anybody but `role`."""
    shared = any(pronoun_set(other.pronouns) == name for at, other in enumerate(task.characters) if at != role)
    names = {word for character in task.characters for word in character.name.split()}
    for text in found:
        if shared and text.place is not Place.OWN_PROFILE:
            raise AmbiguousError("both characters have the same pronouns, and they are used")
        if text.place is Place.OWN_SPEECH:
            raise AmbiguousError("a character says the own pronoun of somebody else")
        if text.place is Place.OTHER_PROFILE and not names & set(_STEMS.findall(text.words)):
            raise AmbiguousError("a pronoun in the other's profile may mean a third person")
        if _third_person(text.words, names):
            raise AmbiguousError("a pronoun may mean a third person")


def _third_person(text: str, names: set[str]) -> bool:
    """Whether somebody else is spoken of: a word for a person, or a capital within a sentence that is no name here."""
    for match in _WORD.finditer(text):
        word = match.group()
        if word.lower() in THIRD:
            return True
        inside = re.search(r"[\w,;:)]\s+$", text[: match.start()]) is not None
        if inside and word[0].isupper() and _stem(word) not in _CAPITALS and _stem(word) not in names:
            return True
    return False


def exchanged(text: str, before: str, after: str) -> str:
    """The text with every pronoun of `before` ("he", "she" or "they") put as `after`, and its verbs.

    AmbiguousError where a form could be read in two ways.
    """
    matches = list(_WORD.finditer(text))
    made: dict[int, str] = {}
    for at, match in enumerate(matches):
        word = match.group()
        stem = _stem(word.lower())
        if stem in SETS[before].all:
            tail = word[len(stem) :]
            made[at] = _pronoun(text, matches, at, SETS[before], SETS[after], made) + _tail(matches, at, tail, after)
        elif before == "they" and stem == "themselves":
            raise AmbiguousError("they may be several people")
    pieces, end = [], 0
    for at, match in enumerate(matches):
        pieces += [text[end : match.start()], made.get(at, match.group())]
        end = match.end()
    return "".join([*pieces, text[end:]])


def _tail(matches: list[re.Match[str]], at: int, tail: str, after: str) -> str:
    """What is attached to a subject: 's, 're, 've, 'd, 'll."""
    if not tail or tail[1:].lower() in ("d", "ll"):
        return tail
    if tail[1:].lower() not in ("s", "re", "ve"):
        raise AmbiguousError("something unknown is attached to a pronoun")
    if after != "they":
        return f"{tail[0]}s"
    following = [match.group().lower() for match in matches[at + 1 : at + 4]]
    first = next((word for word in following if word not in BETWEEN and not word.endswith("ly")), "")
    return tail[0] + ("ve" if first in PARTICIPLES else "re")


def _pronoun(
    text: str, matches: list[re.Match[str]], at: int, before: Forms, after: Forms, made: dict[int, str]
) -> str:
    """The pronoun in the other's form; a verb that belongs to it is put into `made`."""
    word = matches[at].group()
    stem = _stem(word.lower())
    if stem == before.subject:
        if (before.subject == "they") != (after.subject == "they") and len(stem) == len(word):
            _agree(text, matches, at, after.subject == "they", made)
        return _cased(after.subject, word)
    if stem == before.reflexive:
        return _cased(after.reflexive, word)
    if before.object == before.determiner and stem == before.object:  # her
        return _cased(after.determiner if _before_noun(text, matches, at, True) else after.object, word)
    if before.determiner == before.possessive and stem == before.determiner:  # his
        return _cased(after.determiner if _before_noun(text, matches, at, False) else after.possessive, word)
    kind = next(name for name in ("object", "determiner", "possessive") if getattr(before, name) == stem)
    return _cased(getattr(after, kind), word)


def _before_noun(text: str, matches: list[re.Match[str]], at: int, may_be_object: bool) -> bool:
    """Whether "her" or "his" stands before its noun."""
    if at + 1 == len(matches):
        return False
    between = text[matches[at].end() : matches[at + 1].start()]
    following = matches[at + 1].group().lower()
    if between.strip() or following in FUNCTION:
        return False
    if not may_be_object:
        return True
    if following.endswith("ly") and following not in NO_ADVERB:
        return False
    previous = matches[at - 1].group().lower() if at else ""
    if previous in TWO_OBJECTS or following in TWO_READINGS:
        raise AmbiguousError("her may be an object or stand before a noun")
    return True


def _agree(text: str, matches: list[re.Match[str]], at: int, plural: bool, made: dict[int, str]) -> None:
    """Puts the verb of the subject at `at` into the other number."""
    change = plural_verb if plural else singular_verb
    previous = matches[at - 1].group() if at and not _gap(text, matches, at - 1).strip() else ""
    if previous.lower() in AUXILIARY:
        made[at - 1] = _cased(change(previous.lower()), previous)
        return
    if previous.lower() in MODAL:
        return
    place = at + 1
    while place < len(matches) and not _gap(text, matches, place - 1).strip() and _skips(matches[place].group()):
        place += 1
    if place == len(matches) or (gap := _gap(text, matches, place - 1).strip()):
        if not plural or (place < len(matches) and "," in gap):
            raise AmbiguousError("a verb stands apart from its pronoun")
        return
    word = matches[place].group()
    if not plural and word.lower() in FUNCTION - AUXILIARY - UNCHANGING:
        raise AmbiguousError("a verb stands apart from its pronoun")
    new = change(word.lower())
    if new == word.lower():
        return
    made[place] = _cased(new, word)
    clause = re.split(r"[.!?;\n]", text[matches[place].end() :], maxsplit=1)[0]
    if word.lower() not in AUXILIARY and _goes_on(clause, plural):
        raise AmbiguousError("several verbs may belong to one pronoun")


def _gap(text: str, matches: list[re.Match[str]], at: int) -> str:
    """What stands between a word and the next."""
    return text[matches[at].end() : matches[at + 1].start()]


def _skips(given: str) -> bool:
    word = given.lower()
    return (
        word in BETWEEN
        or word in _REFLEXIVE
        or (word.endswith("ly") and word not in NO_ADVERB and word not in ("rely", "apply", "fly"))
    )


def _goes_on(clause: str, plural: bool) -> bool:
    """Whether a second verb may follow: "nods and smiles", "nod and smile"."""
    for match in _JOINED.finditer(clause):
        word = match.group(1).split()[-1].lower()
        if not plural or (word.endswith("s") and not word.endswith("ss") and word not in NO_VERB):
            return True
    return False


def _cased(new: str, like: str) -> str:
    """`new` with the capitals of `like`."""
    if like.isupper() and len(like) > 1:
        return new.upper()
    return new[0].upper() + new[1:] if like[:1].isupper() else new
