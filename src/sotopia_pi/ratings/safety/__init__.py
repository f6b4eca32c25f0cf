"""Safety of what was said and done, read without a model: toxic words, threats and insults, leaked secrets, refusals.

`SafetyReader` measures every role of a finished episode. On scenarios with a harmful goal the paper's measures
(intention, alternative solutions) come from cue lists (`readings`) and, where there is one, from a judge (`judge`).
"""

from sotopia_pi.ratings.safety.readings import ALTERNATIVES, HARMING, PREVENTING, RULES, read_intentions
from sotopia_pi.ratings.safety.roles import MEASURES, Found, SafetyReader, left_without_deal
from sotopia_pi.ratings.safety.words import WordList, builtin_words, load_words

__all__ = [
    "ALTERNATIVES",
    "HARMING",
    "MEASURES",
    "PREVENTING",
    "RULES",
    "Found",
    "SafetyReader",
    "WordList",
    "builtin_words",
    "left_without_deal",
    "load_words",
    "read_intentions",
]
