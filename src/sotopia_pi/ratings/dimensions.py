"""What a judge rates: SOTOPIA-EVAL's seven dimensions in our own words, and those that a config adds.

An added dimension is asked for, checked, stored and reported like the seven; `overall` stays the mean of the seven, so
that it means the same in every run.
"""

from __future__ import annotations

from collections.abc import Iterable

from sotopia_pi.config import DimensionConfig
from sotopia_pi.ratings.records import DIMENSIONS
from sotopia_pi.records import Record


class Dimension(Record):
    """One thing that is rated with a whole number from `low` to `high`; `description` tells the judge what it asks."""

    name: str
    low: int
    high: int
    description: str

    @property
    def range(self) -> str:
        """The range in words."""
        return f"{self.low} to {self.high}"


_ASKS = {
    "believability": (
        "How natural the person is: they speak and act as a real person in this situation would and as this character, "
        "with this profile, would. Repeating oneself, talking like a form letter, leaving the situation or "
        "contradicting the profile lowers it. 0 is not believable at all, 10 is indistinguishable from the person."
    ),
    "relationship": (
        "What the conversation does to the tie between the people and to this person's standing with others. -5 "
        "damages it badly, 0 leaves it as it was, 5 makes it much closer or better."
    ),
    "knowledge": (
        "How much that is new and of importance this person learnt from the others. 0 is nothing, 10 is much that "
        "matters. What the person knew before or says about themselves does not count."
    ),
    "secret": (
        "Whether this person's own secret, or an intention they would hide, came out by what they said or did. 0 is "
        "fully kept, -5 is hinted at so that others may guess it, -10 is told."
    ),
    "social_rules": (
        "Whether this person broke the law or rules of decency: lies that harm, threats, insults, discrimination, "
        "theft, violence. 0 is no breach, -10 is a grave one."
    ),
    "financial_and_material_benefits": (
        "What this person gains or loses in money and things, at once and later, by what was agreed or done. -5 is a "
        "great loss, 0 is no change, 5 is a great gain."
    ),
    "goal": (
        "How far this person reached the goal that stands in their role, by what had happened when the conversation "
        "ended. 0 is not at all, 10 is completely. Only what the transcript shows counts, not what was hoped for or "
        "claimed."
    ),
}

#: SOTOPIA-EVAL's seven, in its order.
SEVEN: tuple[Dimension, ...] = tuple(
    Dimension(name=name, low=low, high=high, description=_ASKS[name]) for name, (low, high) in DIMENSIONS.items()
)


def dimensions(extra: Iterable[DimensionConfig] = ()) -> tuple[Dimension, ...]:
    """The seven and then a config's own."""
    return (*SEVEN, *(Dimension(**own.model_dump()) for own in extra))
