"""Recasting a task and its episode: the same is said and done by somebody of another name, age, gender …

Terms stay, and no word of a check is exchanged, so the outcome stays too; that nothing was guessed is checked by
recasting back.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Sequence

from pydantic import ValidationError

from sotopia_pi.episodes.recasting.ages import age_change
from sotopia_pi.episodes.recasting.names import name_change, title_change, whole
from sotopia_pi.episodes.recasting.occupations import gender_change, occupation_change
from sotopia_pi.episodes.recasting.pronouns import pronoun_change, pronouns_are_silent
from sotopia_pi.episodes.recasting.records import SENTENCES, AmbiguousError, Place, Recasting, Text, place_of, texts
from sotopia_pi.episodes.records import Action, Episode, Turn
from sotopia_pi.records import content_hash
from sotopia_pi.world.records import Character, Scenario, SocialTask

Change = Callable[[str, Place], str]


def recast(task: SocialTask, episode: Episode | None, recasting: Recasting) -> tuple[SocialTask, Episode | None]:
    """The task and its episode with one character recast; both get other ids. AmbiguousError, with why.

    An episode's raw replies become the plain ones of its actions: what a model wrote around them may say anything.
    """
    role = recasting.role
    made_task, made = _recast(task, episode, recasting)
    shown = _public(task, recasting)
    silent = pronouns_are_silent(shown, role, texts(shown, episode, role))
    back_task, back = _recast(made_task, made, recasting.back(task.characters[role]), silent)
    if back_task != task or _said(back) != _said(episode):
        raise AmbiguousError("recast and recast back, it is not the same")
    return made_task, made


def recast_key(key: str, recasting: Recasting) -> str:
    """The key of the episode that a recasting makes of the one with `key`."""
    return content_hash(["recast", key, recasting.model_dump(mode="json")])


def _said(episode: Episode | None) -> list[Action]:
    return [] if episode is None else [turn.action for turn in episode.turns]


def _recast(
    task: SocialTask, episode: Episode | None, recasting: Recasting, silent: bool = False
) -> tuple[SocialTask, Episode | None]:
    """As `recast`, unchecked; `silent` says that no text has a pronoun of the character."""
    role = recasting.role
    changed = recasting.changes(task.characters[role])
    task = _public(task, recasting)
    change = _change(task, recasting, changed, list(texts(task, episode, role)), silent)
    made_task = _recast_task(task, role, changed, change)
    if episode is None:
        return made_task, None
    turns = [_recast_turn(turn, change, own=turn.role == role) for turn in episode.turns]
    update = {"key": recast_key(episode.key, recasting), "task_id": made_task.id, "turns": tuple(turns)}
    return made_task, episode.model_copy(update=update)


def _change(
    task: SocialTask, given: Recasting, changed: dict[str, str | int], words: Sequence[Text], silent: bool
) -> Change:
    """All that is exchanged in a text, one thing after the other."""
    role = given.role
    steps: list[Change] = []
    if "pronouns" in changed:
        pronouns = str(changed["pronouns"])
        steps.append(_anywhere(title_change(task, role, pronouns, words)))
        steps += [] if silent else [pronoun_change(task, role, pronouns, words)]
    if "gender" in changed:
        steps.append(gender_change(task, role, str(changed["gender"]), words))
    if "age" in changed:
        steps.append(_anywhere(age_change(task.characters[role].age, int(changed["age"]), words)))
    if "occupation" in changed:
        _not_checked(task, [task.characters[role].occupation, str(changed["occupation"])])
        steps.append(_anywhere(occupation_change(task, role, str(changed["occupation"]), words)))
    if "name" in changed:
        _not_checked(task, [*task.characters[role].name.split(), *str(changed["name"]).split()])
        steps.append(_anywhere(name_change(task, role, str(changed["name"]), words)))

    def change(text: str, place: Place) -> str:
        for step in steps:
            text = step(text, place)
        return text

    return change


def _anywhere(change: Callable[[str], str]) -> Change:
    return lambda text, place: change(text)


def _not_checked(task: SocialTask, words: Sequence[str]) -> None:
    """A word that the check goes by cannot be exchanged without another outcome."""
    if task.scenario.check is None:
        return
    held = json.dumps(task.scenario.check.model_dump(mode="json"), ensure_ascii=False)
    if any(re.search(whole(word), held, re.IGNORECASE) for word in words):
        raise AmbiguousError("the outcome is decided by a word that would be exchanged")


def _recast_task(task: SocialTask, role: int, changed: dict[str, str | int], change: Change) -> SocialTask:
    characters = list(task.characters)
    for at, character in enumerate(characters):
        place = Place.OWN_PROFILE if at == role else Place.OTHER_PROFILE
        update: dict[str, object] = {name: change(getattr(character, name), place) for name in SENTENCES}
        if at == role:
            update |= {name: value for name, value in changed.items() if name != "public_info"}
        characters[at] = character.model_copy(update=update)
    scenario = task.scenario.model_copy(
        update={
            "situation": change(task.scenario.situation, Place.SCENARIO),
            "goals": tuple(change(goal, Place.SCENARIO) for goal in task.scenario.goals),
        }
    )
    if not scenario.casting_of(role).fits(characters[role]):
        raise AmbiguousError("the scenario asks for another age or occupation")
    return _valid(scenario, characters)


def _public(task: SocialTask, given: Recasting) -> SocialTask:
    """The task with the new public part: first of all, so that what is not kept cannot make anything unclear."""
    role, public = given.role, given.public_info
    if public is None or public == task.characters[role].public_info:
        return task
    character = task.characters[role].model_copy(update={"public_info": public})
    return _valid(task.scenario, (*task.characters[:role], character, *task.characters[role + 1 :]))


def _valid(scenario: Scenario, characters: Sequence[Character]) -> SocialTask:
    """A task whose records are made anew, so that no id of an earlier one is kept in them."""
    told = {
        "scenario": {**scenario.model_dump(), "check": scenario.check},
        "characters": [character.model_dump() for character in characters],
    }
    try:
        return SocialTask.model_validate(told)
    except ValidationError:
        raise AmbiguousError("the task does not allow the new values") from None


def _recast_turn(turn: Turn, change: Change, own: bool) -> Turn:
    words = change(turn.action.argument, place_of(turn.action.type, own))
    action = turn.action.model_copy(update={"argument": words})
    return turn.model_copy(update={"action": action, "raw": action.to_json()})
