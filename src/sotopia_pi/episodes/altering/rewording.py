"""The same episode in slightly other words: contractions, greetings and thanks, fillers.

The rules are fixed and few on purpose. They touch no number, no name, no word that promises, refuses or asks. Terms
stay, and so does the outcome.
"""

from __future__ import annotations

import hashlib
import re

from sotopia_pi.episodes.altering.keys import with_turns, with_words
from sotopia_pi.episodes.records import ActionType, Episode

REWORDED = "reworded"

#: What stands for what, whole words in any case; each text is gone through once, so nothing is changed back.
_RULES = {
    "i am": "I'm",
    "i'm": "I am",
    "i will": "I'll",
    "i'll": "I will",
    "i would": "I'd",
    "i have": "I've",
    "it is": "it's",
    "it's": "it is",
    "that is": "that's",
    "that's": "that is",
    "let us": "let's",
    "let's": "let us",
    "do not": "don't",
    "don't": "do not",
    "cannot": "can't",
    "can't": "cannot",
    "hello": "hi",
    "hi": "hello",
    "hi there": "hello there",
    "good day": "good afternoon",
    "goodbye": "bye",
    "bye": "goodbye",
    "thank you": "thanks",
    "thanks": "thank you",
    "a lot": "very much",
    "also": "too",
    "in a moment": "in a minute",
    "maybe": "perhaps",
    "perhaps": "maybe",
    "once more": "once again",
    "please tell me": "do tell me",
    "like to know": "like to hear",
    "i see": "I understand",
    "speak of": "talk about",
    "i do not talk about": "I don't speak about",
    "never mind": "no matter",
}
_FOUND = re.compile(
    r"(?<![\w'’])(?:" + "|".join(re.escape(rule) for rule in sorted(_RULES, key=len, reverse=True)) + r")(?![\w'’])",
    re.IGNORECASE,
)
_FILLERS = ("Well, ", "Now, ", "Hm, ", "")


def reworded(episode: Episode) -> Episode:
    """The episode in other words, each turn by `reworded_text`; what is not spoken stays as it is."""
    turns = [
        with_words(turn, reworded_text(turn.action.argument)) if turn.action.type is ActionType.SPEAK else turn
        for turn in episode.turns
    ]
    return with_turns(episode, REWORDED, turns)


def reworded_text(text: str) -> str:
    """A speech in other words; some begin with a word that means nothing."""
    changed = _FOUND.sub(lambda found: _as_before(found[0], _RULES[found[0].lower()]), text)
    filler = _FILLERS[hashlib.sha256(text.encode("utf-8", "replace")).digest()[0] % len(_FILLERS)]
    if not filler or not changed[:1].isalpha():
        return changed
    if changed.split()[0] in _OPENERS:
        changed = changed[0].lower() + changed[1:]
    return filler + changed


#: First words that may lose their capital after a filler; all others may be names.
_OPENERS = frozenset(
    ("My", "What", "How", "Let", "Let's", "Then", "It", "It's", "Maybe", "Perhaps", "The", "You", "Do")
)


def _as_before(found: str, given: str) -> str:
    """The replacement with the capital that the original had."""
    return given[0].upper() + given[1:] if found[0].isupper() else given
