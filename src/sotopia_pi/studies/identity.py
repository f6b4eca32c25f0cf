"""Who somebody is: ids of participants and names of annotators, as platforms and owners write them.

**One person.** Two spellings that differ only in case, in spaces around them, in characters that cannot be seen or in
compatibility forms (full-width letters, ligatures) are one person: what is compared is `folded`.

**No id.** A link whose placeholder the platform did not replace would make one person of everybody who comes by it, so
a placeholder is refused (`participant_of`). After percent signs and entities are decoded, it is a placeholder if it

* holds a mark of template languages (`{{`, `${`, `[[`, `%%`, `<%`, `*|`, …), or something in braces, angle or square
  brackets: `{{%PROLIFIC_PID%}}`, `${e://Field/x}`, `{{field:x}}`, `%%x%%`, `id-<id>`; a UUID in braces is none;
* is a name between marks, or behind one: `%ID%`, `__ID__`, `#id#`, `$workerId`, `:id`;
* is what programs write for nothing: undefined, null, None, NaN, N/A, [object Object], ID_NOT_AVAILABLE, or has no
  letter or digit at all;
* is the name of a parameter, or words for an id and nothing else: PROLIFIC_PID, workerId, your-id-here, XXXX.

An id with a digit that is not between marks is none of these, nor is an e-mail address.
"""

from __future__ import annotations

import html
import re
from collections.abc import Mapping, Sequence
from urllib.parse import unquote

from sotopia_pi.episodes.people import folded
from sotopia_pi.errors import ConfigError

#: Characters of an id that count.
_LONGEST = 500
_MARKS = re.compile(r"\{\{|\}\}|[$#@!%]\{|\{[%#!$]|\[\[|\]\]|\[%|%\]|%%|<%|%>|<\?|\?>|\*\||\|\*|\$\(|\$\[")
_BRACKETS = re.compile(r"\{[^{}]*\}|<[^<>]*>|\[[^\[\]]*\]")
_UUID = re.compile(r"\{[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}\}")
#: The same sign before and after, or one before: %ID%, __ID__, ##id##, $id, :id.
_BETWEEN = re.compile(r"(__|--|[%#@~|*!^§=:$?+&])\1*[^\W\d_][\w .:/-]*?\1+|[$%:&?]+[^\W\d_][\w.:/-]*;?")
_NOTHING = """
undefined undef null nil nul none nan notavailable notset notprovided notfound notapplicable unset unknown void empty
blank missing objectobject anonymous false true default todo tbd
"""
_ASKING = "your my the this insert enter replace add paste put type with of for here goes"
_PLATFORM = """
prolific mturk amazon mechanicalturk turk sona cloudresearch connect qualtrics gorilla surveymonkey typeform pavlovia
respondi dynata lucid cint toloka clickworker external platform recruitment panel survey study
"""
_WHO = """
participant worker user subject respondent person annotator rater panelist member visitor assignment session response
submission
"""
_ID = """
id ids pid uid uuid guid identifier identification code number name label value reference username placeholder parameter
param variable
"""


def _any_of(*words: str) -> str:
    return "|".join(sorted(" ".join(words).split(), key=len, reverse=True))


#: Words for an id in a row; and those of them without which it is none.
_ID_WORDS, _TELLING = re.compile(f"(?>{_any_of(_ASKING, _PLATFORM, _WHO, _ID)})++"), re.compile(_any_of(_WHO, _ID))


def spellings(participant: str) -> list[str]:
    """How a participant may be known: as written and folded, and as platforms write, for runs that did not fold."""
    plain = participant.strip()[:_LONGEST]
    return list(dict.fromkeys((plain, folded(plain), plain.upper(), plain.lower())))


def participant_of(names: Sequence[str], parameters: Mapping[str, str]) -> str:
    """What a platform calls the participant, by the first of the URL parameters `names` that says it; else empty.

    ConfigError, with a sentence for the participant, where all that is said is a placeholder.
    """
    given = (parameters.get(name, "").strip()[:_LONGEST] for name in names)
    said = [value for value in given if folded(value)]
    found = next((value for value in said if not is_placeholder(value, names)), "")
    if said and not found:
        raise ConfigError(
            f"This address has {said[0][:60]!r} where your participant id should stand: open it from the "
            "platform that invited you, and tell those who invited you if this comes again."
        )
    return found


def is_placeholder(text: str, names: Sequence[str] = ()) -> bool:
    """Whether an id stands for an id and is none; `names` are the parameters that hold ids. See the module."""
    text = text[:_LONGEST]
    for _ in range(3):
        text = html.unescape(unquote(text))
    text = folded(text)
    words = "".join(char for char in text if char.isalnum())
    if (
        not words
        or words in _NOTHING.split()
        or text == "n/a"
        or "notavailable" in words
        or words in map(_letters, names)
    ):
        return True
    if _UUID.fullmatch(text):
        return False
    if _MARKS.search(text) or _BRACKETS.search(text) or _BETWEEN.fullmatch(text):
        return True
    named = _ID_WORDS.fullmatch(words) is not None and _TELLING.search(words) is not None
    return named or re.fullmatch("x{3,}", words) is not None


def _letters(name: str) -> str:
    return "".join(char for char in folded(name) if char.isalnum())
