"""One published episode into a task, an episode and ratings.

Two families of files: `raw_messages` with every message of every turn, and records that carry context and transcript
as one printed text. Where the profiles are imported, the task is made of them; else of the record's own text.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from sotopia_pi.episodes.records import ActionType, Episode, StopReason, Turn
from sotopia_pi.episodes.terms import terms_of
from sotopia_pi.interop import fields
from sotopia_pi.interop.context import ENVIRONMENT, Context, read_background
from sotopia_pi.interop.problems import RecordError
from sotopia_pi.interop.profiles import OURS, RETIRED_MARK, validated
from sotopia_pi.interop.scores import PUBLISHED, check_scores, find_rewards, read_ratings
from sotopia_pi.interop.sotopia import make_task
from sotopia_pi.interop.tags import plain, private, same_words
from sotopia_pi.interop.told import Message, in_order, read_meeting, read_messages
from sotopia_pi.interop.transcript import make_turn, read_transcript, without_name
from sotopia_pi.ratings.records import Rating
from sotopia_pi.records import content_hash
from sotopia_pi.world.records import RETIRED, Character, Relationship, Scenario, SocialTask

_UNKNOWN_PLAYER = "unknown"


@dataclass(slots=True)
class Imported:
    """What a published episode became, and what should be known about it."""

    task: SocialTask
    episode: Episode
    ratings: tuple[Rating, ...]
    notes: list[str] = field(default_factory=list)


@dataclass(slots=True)
class Known:
    """The imported profiles by their published ids."""

    characters: dict[str, Character]
    scenarios: dict[str, Scenario]


def episode_id(record: Mapping[str, Any]) -> str:
    """A published episode's id."""
    return fields.identity(record, "episode_id", "pk")


def read_episode(record: Mapping[str, Any], stage: str, known: Known) -> Imported:
    """The episode of a published record. RecordError says why there is none."""
    id = episode_id(record)
    key = content_hash({"stage": stage, "id": id})
    if OURS in record:
        return _ours(record[OURS], key, stage)
    env_id = fields.identity(record, "environment_id", "environment")
    agent_ids = fields.texts(record, "agent_ids", "agents", default=())
    context, transcript = read_meeting(record)
    if context is not None:
        context = in_order(context, agent_ids, known.characters)
        agent_ids = () if agent_ids == context.names else agent_ids
    notes: list[str] = []
    task = _task(env_id, agent_ids, context, known, notes)
    names = [character.name for character in task.characters]
    turns = _turns(record, transcript, names)
    rater, players = _models(record, len(names))
    ratings = read_ratings(key, rater, find_rewards(record, names), _reasoning(record), len(names))
    episode = Episode(
        key=key, task_id=task.id, stage=stage, players=players, turns=turns, stop_reason=_stop_reason(turns)
    )
    return Imported(task, episode, ratings, notes)


def _ours(value: Any, key: str, stage: str) -> Imported:
    """An episode that this program wrote."""
    if not isinstance(value, dict) or not isinstance(value.get("ratings"), list):
        raise RecordError(f"{OURS!r} does not hold a task, an episode and ratings")
    found = validated(Episode, value.get("episode"))
    task = validated(SocialTask, value.get("task"), RETIRED if _retired(value, found.turns) else None)
    if any(turn.role not in task.roles for turn in found.turns) or len(found.players) != len(task.roles):
        raise RecordError(f"{OURS!r} has an episode with other roles than its task")
    for number, turn in enumerate(found.turns):
        if not _declarable(task.scenario, turn):
            raise RecordError(f"{OURS!r} has terms in turn {number} that cannot be declared there")
    episode = found.model_copy(update={"key": key, "stage": stage, "task_id": task.id})
    counts = [n for turn in found.turns for n in (turn.usage.prompt, turn.usage.cached, turn.usage.completion)]
    amounts = [found.seconds, *(turn.usage.cost or 0.0 for turn in found.turns)]
    ratings = tuple(validated(Rating, item) for item in value["ratings"])
    counts += [found.repeat, *(rating.sample for rating in ratings)]
    if not all(0 <= n < 2**31 for n in counts) or not 0 <= found.seed < 2**63 or not all(map(math.isfinite, amounts)):
        raise RecordError(f"{OURS!r} has a seed, a count or an amount that cannot be stored")
    if len({(rating.role, rating.rater, rating.sample) for rating in ratings}) != len(ratings):
        raise RecordError(f"{OURS!r} has two ratings of the same role by the same rater")
    for rating in ratings:
        if rating.role not in task.roles:
            raise RecordError(f"{OURS!r} has a rating of a role that there is not")
        check_scores(rating.scores, rating.role)
    return Imported(task, episode, tuple(rating.model_copy(update={"episode": key}) for rating in ratings))


def _retired(value: Mapping[str, Any], turns: Sequence[Turn]) -> bool:
    """Whether an episode is from before outcomes were declared in terms, when actions said nothing of any."""
    old = bool(turns) and not any("terms" in turn.action.model_fields_set for turn in turns)
    return old or value.get(RETIRED_MARK) is True


def _declarable(scenario: Scenario, turn: Turn) -> bool:
    """Whether a turn declares nothing, or terms that its scenario knows."""
    return turn.action.terms is None or terms_of(scenario, turn.role, turn.action) is not None


def _reasoning(record: Mapping[str, Any]) -> str:
    value = record.get("reasoning")
    if isinstance(value, list):
        return "\n".join(fields.texts(record, "reasoning"))
    return fields.text(record, "reasoning", default="")


def _task(env_id: str, agent_ids: Sequence[str], context: Context | None, known: Known, notes: list[str]) -> SocialTask:
    scenario = known.scenarios.get(env_id)
    roles = len(context.names) if context else len(scenario.goals) if scenario else len(agent_ids)
    if agent_ids and len(agent_ids) != roles:
        raise RecordError(f"there are {len(agent_ids)} agent ids for {roles} roles")
    if scenario is not None and context is not None and not _agrees(scenario, context):
        scenario = None
        notes.append(f"its scenario or goals are not those of environment {env_id}; they are taken from its own text")
    elif scenario is None and context is not None:
        notes.append(f"unknown environment id {env_id!r}; the scenario is taken from the record's own text")
    if scenario is None:
        scenario = _scenario(env_id, context)
    if len(scenario.goals) != roles:
        raise RecordError(f"there are {roles} participants for {len(scenario.goals)} goals")
    characters = [_character(role, agent_ids, context, known, notes) for role in range(roles)]
    if any(not scenario.casting_of(role).fits(who) for role, who in enumerate(characters)):
        scenario = Scenario.model_validate({**scenario.model_dump(), "casting": ()})
        notes.append("its characters do not keep to the scenario's constraints, which are left out")
    return make_task(scenario, characters)


def _agrees(scenario: Scenario, context: Context) -> bool:
    """Whether the record's own text tells of this scenario; goals that it does not show do not count."""
    if context.scenario and not same_words(scenario.situation, plain(context.scenario)):
        return False
    if len(scenario.goals) != len(context.goals):
        return False
    roles = enumerate(zip(scenario.goals, context.goals, strict=True))
    return all(
        not own or same_words(goal, plain(own)) or same_words(goal, _goal(context, role)) for role, (goal, own) in roles
    )


def _goal(context: Context, role: int) -> str:
    """A goal as its role reads it, with what the scenario tells nobody else."""
    return f"{plain(context.goals[role], role)} {private(context.scenario, role)}".strip()


def _scenario(env_id: str, context: Context | None) -> Scenario:
    if context is None:
        raise RecordError(f"unknown environment id {env_id!r}, and no scenario stands in the record")
    if not all(context.goals):
        lacking = context.names[context.goals.index("")]
        raise RecordError(f"unknown environment id {env_id!r}, and the goal of {lacking} does not stand in the record")
    values = {
        "situation": plain(context.scenario),
        "goals": tuple(_goal(context, role) for role in range(len(context.goals))),
        "relationship": Relationship.STRANGER,
        "kind": "sotopia",
        "source": f"sotopia/{env_id}",
    }
    return validated(Scenario, values)


def _character(
    role: int, agent_ids: Sequence[str], context: Context | None, known: Known, notes: list[str]
) -> Character:
    if agent_ids and (found := known.characters.get(agent_ids[role])) is not None:
        if context is None or context.names[role] == found.name:
            return found
        notes.append(
            f"agent {agent_ids[role]} is {found.name}, and its text says {context.names[role]}, who is taken from there"
        )
    if context is None:
        who = f"unknown agent id {agent_ids[role]!r}" if agent_ids else "no agent ids"
        raise RecordError(f"{who}, and no participants stand in the record")
    name, text = context.names[role], context.backgrounds[role]
    if not agent_ids:
        same = [who for who in known.characters.values() if who.name == name]
        if len(same) == 1 and (not text or _described(same[0], text)):
            return same[0]
    if not text:
        raise RecordError(f"the background of {name} does not stand in the record, and the character is not imported")
    return read_background(name, text)


def _described(character: Character, text: str) -> bool:
    """Whether a printed background is that of the character."""
    told = read_background(character.name, text)
    return told.age == character.age and all(
        same_words(one, other)
        for one, other in (
            (told.public_info, character.public_info),
            (told.personality, character.personality),
            (told.secret, character.secret),
        )
    )


def _turns(record: Mapping[str, Any], transcript: str, names: Sequence[str]) -> tuple[Turn, ...]:
    messages = read_messages(record)
    turns = read_transcript(transcript, names) if messages is None else _from_messages(messages, names)
    if not turns:
        raise RecordError("nobody does anything in it")
    return turns


def _from_messages(messages: Sequence[Sequence[Message]], names: Sequence[str]) -> tuple[Turn, ...]:
    """The turns of those whose turn it was: who did something, or whose turn it would have been."""
    turns: list[Turn] = []
    for number, turn in enumerate(messages):
        said = [(sender, text) for sender, _, text in turn if sender != ENVIRONMENT]
        strangers = [sender for sender, _ in said if sender not in names]
        if strangers:
            raise RecordError(f"turn {number}: the sender {strangers[0]!r} is none of the participants")
        if len({sender for sender, _ in said}) != len(said):
            raise RecordError(f"turn {number}: a participant has two messages")
        made = []
        for sender, text in said:
            try:
                made.append(make_turn(names.index(sender), without_name(text, sender), alone=True))
            except RecordError as error:
                raise RecordError(f"turn {number}: {sender}: {error}") from None
        acting = [one for one in made if one.action.type is not ActionType.NONE or not one.valid]
        if made and not acting:
            due = (turns[-1].role + 1) % len(names) if turns else 0
            acting = [one for one in made if one.role == due] or made[:1]
        turns += acting
    return tuple(turns)


def _models(record: Mapping[str, Any], roles: int) -> tuple[str, tuple[str, ...]]:
    """The judge and who played each role."""
    models = fields.texts(_named(record), "experiment_model_name_pairs", "models", default=())
    if not models:
        return PUBLISHED, (_UNKNOWN_PLAYER,) * roles
    if len(models) not in (roles, roles + 1):
        raise RecordError(f"there are {len(models)} model names for {roles} roles and a judge")
    return (models[0], models[1:]) if len(models) == roles + 1 else (PUBLISHED, models)


def _named(record: Mapping[str, Any]) -> dict[str, Any]:
    """The record's model names, with a word where a name is left out."""
    lists = {name: record.get(name) for name in ("experiment_model_name_pairs", "models")}
    return {
        name: [_UNKNOWN_PLAYER if item in (None, "") else item for item in value] if isinstance(value, list) else value
        for name, value in lists.items()
    }


def _stop_reason(turns: Sequence[Turn]) -> StopReason:
    if turns[-1].action.type is ActionType.LEAVE:
        return StopReason.LEFT
    if len(turns) > 1 and all(turn.action.type is ActionType.NONE for turn in turns[-2:]):
        return StopReason.STALE
    return StopReason.LIMIT
