"""Recasting: the same task and episode with a character of another name, age, gender, pronouns or occupation.

Every function is pure. What cannot be recast without guessing is an AmbiguousError, which says why.
"""

from sotopia_pi.episodes.recasting.groups import ATTRIBUTES, Contrast, Version, contrasts, origin_of_name, versions
from sotopia_pi.episodes.recasting.recast import recast, recast_key
from sotopia_pi.episodes.recasting.records import AmbiguousError, Recasting

__all__ = [
    "ATTRIBUTES",
    "AmbiguousError",
    "Contrast",
    "Recasting",
    "Version",
    "contrasts",
    "origin_of_name",
    "recast",
    "recast_key",
    "versions",
]
