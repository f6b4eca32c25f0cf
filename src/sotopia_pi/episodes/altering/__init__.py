"""Episodes changed in one respect and in no other: what an audit holds a judge's ratings of the original against.

Every function is pure: episode in, episode out. Terms stay, so the outcome does.
"""

from sotopia_pi.episodes.altering.inserting import FORMS, NEUTRAL, inserted, place
from sotopia_pi.episodes.altering.placing import begun_by_the_other, listed_the_other_way
from sotopia_pi.episodes.altering.rewording import reworded, reworded_text

__all__ = [
    "FORMS",
    "NEUTRAL",
    "begun_by_the_other",
    "inserted",
    "listed_the_other_way",
    "place",
    "reworded",
    "reworded_text",
]
