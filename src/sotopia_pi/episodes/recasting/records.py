"""What a recasting is, which texts it changes, and how it says that it cannot."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from enum import StrEnum

from sotopia_pi.episodes.records import ActionType, Episode
from sotopia_pi.records import Record
from sotopia_pi.world.records import Character, SocialTask


class AmbiguousError(ValueError):
    """A task or an episode cannot be recast without guessing; the message says why, in the words of a table."""


class Recasting(Record):
    """New values for fields of the character of one role; None leaves a field as it is.

    `public_info` is put in place of the old text as it stands. All others are exchanged wherever they are spoken of.
    """

    role: int
    name: str | None = None
    age: int | None = None
    gender: str | None = None
    pronouns: str | None = None
    occupation: str | None = None
    public_info: str | None = None

    def changes(self, character: Character) -> dict[str, str | int]:
        """The fields that become others than the character's."""
        given = self.model_dump(exclude={"role"}, exclude_none=True)
        return {name: value for name, value in given.items() if value != getattr(character, name)}

    def back(self, character: Character) -> Recasting:
        """What undoes the recasting of `character`."""
        return Recasting(role=self.role, **{name: getattr(character, name) for name in self.changes(character)})


class Place(StrEnum):
    """Where a text stands, which says whom its pronouns may mean."""

    OWN_PROFILE = "own profile"
    OTHER_PROFILE = "other profile"
    SCENARIO = "scenario"
    OWN_SPEECH = "own speech"
    OTHER_SPEECH = "other speech"
    OWN_DEED = "own deed"
    OTHER_DEED = "other deed"


@dataclass(frozen=True, slots=True)
class Text:
    """A text of a task or an episode, and where it stands."""

    words: str
    place: Place


#: Fields of a character in which people write sentences.
SENTENCES = ("public_info", "personality", "decision_style", "secret")
_SPOKEN = (ActionType.SPEAK, ActionType.LEAVE)


def place_of(kind: ActionType, own: bool) -> Place:
    """Where the words of a turn stand."""
    if kind in _SPOKEN:
        return Place.OWN_SPEECH if own else Place.OTHER_SPEECH
    return Place.OWN_DEED if own else Place.OTHER_DEED


def texts(task: SocialTask, episode: Episode | None, role: int) -> Iterator[Text]:
    """Every text of a task and an episode, seen from `role`; names, ages and other single fields are none."""
    for number, character in enumerate(task.characters):
        place = Place.OWN_PROFILE if number == role else Place.OTHER_PROFILE
        yield from (Text(getattr(character, name), place) for name in SENTENCES)
    yield Text(task.scenario.situation, Place.SCENARIO)
    yield from (Text(goal, Place.SCENARIO) for goal in task.scenario.goals)
    for turn in () if episode is None else episode.turns:
        yield Text(turn.action.argument, place_of(turn.action.type, turn.role == role))
