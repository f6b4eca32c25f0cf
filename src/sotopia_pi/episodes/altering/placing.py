"""The same episode with its roles in other places: listed the other way round, or begun by the other.

Who said what, who wants what and how it ends stay the same, so a judge that looks at the people and not at their places
gives everybody the same scores.
"""

from __future__ import annotations

from typing import Any

from sotopia_pi.episodes.altering.keys import altered_key, with_turns
from sotopia_pi.episodes.records import NOTHING, Episode, Turn
from sotopia_pi.world.records import SocialTask

SWAPPED, BEGUN = "swapped", "begun"
#: Fields of checks that say which role, not what is the role's.
_ROLE = "seller"


def listed_the_other_way(task: SocialTask, episode: Episode) -> tuple[SocialTask, Episode]:
    """Task and episode with both roles exchanged: who was role 0 is role 1, in the list, the transcript and the check.

    Words and their order stay. ValueError for anything but two roles.
    """
    if len(task.characters) != 2:
        raise ValueError(f"the roles of {len(task.characters)} characters cannot be exchanged")
    scenario = task.scenario
    check = None if scenario.check is None else scenario.check.model_copy(update=_mirrored(scenario.check))
    changed = scenario.model_copy(
        update={"goals": scenario.goals[::-1], "casting": scenario.casting[::-1], "check": check}
    )
    mirrored = SocialTask(scenario=changed.model_validate(changed.model_dump()), characters=task.characters[::-1])
    turns = [turn.model_copy(update={"role": 1 - turn.role}) for turn in episode.turns]
    made = episode.model_copy(
        update={
            "key": altered_key(episode.key, SWAPPED),
            "task_id": mirrored.id,
            "players": episode.players[::-1],
            "turns": tuple(turns),
        }
    )
    return mirrored, made


def _mirrored(check: Any) -> dict[str, Any]:
    """What changes in a check: every pair is given the other way round, and a role's number is the other's."""
    fields: dict[str, Any] = {}
    for name in type(check).model_fields:
        value = getattr(check, name)
        if name == _ROLE:
            fields[name] = 1 - value
        elif isinstance(value, tuple) and (name != "options" or isinstance(value[0], tuple)):
            fields[name] = value[::-1]
    return fields


def begun_by_the_other(episode: Episode) -> Episode:
    """The episode with a turn before it in which whoever spoke second did nothing: the other stands first then."""
    first = episode.turns[0].role if episode.turns else 0
    nothing = Turn(role=1 - first, action=NOTHING, raw=NOTHING.to_json())
    return with_turns(episode, BEGUN, [nothing, *episode.turns])
