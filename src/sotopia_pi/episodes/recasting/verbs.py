"""Agreement of verbs: "she walks" and "they walk". What cannot be turned back is unclear."""

from __future__ import annotations

from sotopia_pi.episodes.recasting.lexicon import IRREGULAR, TENSELESS, UNCHANGING
from sotopia_pi.episodes.recasting.records import AmbiguousError

_BACK = {base: third for third, base in IRREGULAR.items()}
_HISSING = ("s", "x", "z", "ch", "sh", "o")
_APOSTROPHE = "\u2019"


def plural_verb(word: str) -> str:
    """The verb after "they" for the lower-case `word` after "she"; pasts and modals stay."""
    plain = word.replace(_APOSTROPHE, "'")
    if plain in IRREGULAR:
        return _like(IRREGULAR[plain], word)
    if not plain.endswith("s") or plain.endswith("ss"):
        return word  # a past, a modal, or no verb at all
    base = _base(plain)
    if singular_verb(base) != plain:
        raise AmbiguousError("a verb whose form for they is unclear")
    return base


def _base(word: str) -> str:
    if word.endswith("ies") and len(word) > 4:
        return f"{word[:-3]}y"
    if word.endswith(("ches", "shes", "sses", "xes", "zzes", "oes")):
        return word[:-2]
    return word[:-1]


def singular_verb(word: str) -> str:
    """The verb after "she" for the lower-case `word` after "they". AmbiguousError where it may be another tense."""
    plain = word.replace(_APOSTROPHE, "'")
    if plain in _BACK:
        return _like(_BACK[plain], word)
    if plain in UNCHANGING or plain.endswith(("ed", "n't")):
        return word
    if plain in TENSELESS or not plain.isalpha():
        raise AmbiguousError("a verb whose form for he or she is unclear")
    if plain.endswith("y") and plain[-2:-1] not in ("a", "e", "o", "u", ""):
        return f"{plain[:-1]}ies"
    return f"{plain}{'es' if plain.endswith(_HISSING) else 's'}"


def _like(made: str, word: str) -> str:
    return made.replace("'", _APOSTROPHE) if _APOSTROPHE in word else made
