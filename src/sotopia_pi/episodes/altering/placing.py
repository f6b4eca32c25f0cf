"""The same episode with its roles in other places: listed the other way round, or begun by the other.

Who said what, who wants what and how it ends stay the same, so a judge that looks at the people and not at their places
gives everybody the same scores.
"""

from __future__ import annotations

from sotopia_pi.episodes.altering.keys import altered_key, with_turns
from sotopia_pi.episodes.records import NOTHING, Episode, Turn
from sotopia_pi.world.records import SocialTask

SWAPPED, BEGUN = "swapped", "begun"


def listed_the_other_way(task: SocialTask, episode: Episode) -> tuple[SocialTask, Episode]:
    """Task and episode with both roles exchanged: who was role 0 is role 1, in the list, the transcript and the check.

    Words, terms and their order stay: terms are written as by the role that declares them, wherever it stands.
    ValueError for anything but two roles.
    """
    if len(task.characters) != 2:
        raise ValueError(f"the roles of {len(task.characters)} characters cannot be exchanged")
    scenario = task.scenario
    changed = scenario.model_copy(
        update={
            "goals": scenario.goals[::-1],
            "casting": scenario.casting[::-1],
            "check": scenario.check and scenario.check.mirrored(),
        }
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


def begun_by_the_other(episode: Episode) -> Episode:
    """The episode with a turn before it in which whoever spoke second did nothing: the other stands first then."""
    first = episode.turns[0].role if episode.turns else 0
    nothing = Turn(role=1 - first, action=NOTHING, raw=NOTHING.to_json())
    return with_turns(episode, BEGUN, [nothing, *episode.turns])
