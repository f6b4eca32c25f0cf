"""Who meets where in a published episode, put together from all that its record says of it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from sotopia_pi.interop import fields
from sotopia_pi.interop.context import ENVIRONMENT, Context, checked_names, read_context
from sotopia_pi.interop.problems import RecordError
from sotopia_pi.world.records import Character

#: Sender, receiver, text.
Message = tuple[str, str, str]


def read_meeting(record: Mapping[str, Any]) -> tuple[Context | None, str]:
    """What the record says of scenario and participants, and the transcript that is printed below it."""
    prompt = fields.text(record, "raw_rewards_prompt", "rewards_prompt", default="")
    found, transcript = _separate(record), ""
    views = []
    if "Participants:" in prompt:
        whole, transcript = read_context(prompt)
        views.append(whole)
    for view in [*views, *_first_messages(record)]:
        found = view if found is None else found.filled(view)
    if not transcript:
        transcript = fields.text(record, "social_interactions", default="")
    return found, transcript


def _separate(record: Mapping[str, Any]) -> Context | None:
    """The context from `scenario`, `agents_background` and `social_goals`, where the record has them by name."""
    backgrounds, goals = record.get("agents_background"), record.get("social_goals")
    if not isinstance(backgrounds, dict) or not isinstance(goals, dict) or len(goals) < 2:
        return None
    if not all(isinstance(text, str) for text in (*backgrounds.values(), *goals.values())):
        raise RecordError("'agents_background' and 'social_goals' must hold texts by name")
    names = checked_names(tuple(goals))
    return Context(
        fields.text(record, "scenario", default=""),
        names,
        tuple(backgrounds.get(name, "") for name in names),
        tuple(goals.values()),
    )


def _first_messages(record: Mapping[str, Any]) -> list[Context]:
    """Each participant's view of the context, from what the environment first tells them; of themselves first."""
    messages = read_messages(record)
    if not messages:
        return []
    views = [
        (receiver, read_context(text)[0])
        for sender, receiver, text in messages[0]
        if sender == ENVIRONMENT and receiver != ENVIRONMENT and "Participants:" in text
    ]
    return [*(view.only(receiver) for receiver, view in views), *(view for _, view in views)]


def read_messages(record: Mapping[str, Any]) -> list[list[Message]] | None:
    """The messages of each turn; None where the record has none."""
    found = next((record[name] for name in ("raw_messages", "messages") if record.get(name)), None)
    if found is None:
        return None
    if not isinstance(found, list) or not all(isinstance(turn, list) for turn in found):
        raise RecordError("'raw_messages' is not a list of turns")
    for number, turn in enumerate(found):
        for message in turn:
            if not isinstance(message, list) or len(message) != 3 or not all(isinstance(x, str) for x in message):
                raise RecordError(f"turn {number} has a message that is not [sender, receiver, text]")
    return [[(sender, receiver, text) for sender, receiver, text in turn] for turn in found]


def in_order(context: Context, agent_ids: Sequence[str], known: Mapping[str, Character]) -> Context:
    """The context with its participants in the order of the agent ids, by which models and rewards go too."""
    if len(agent_ids) != len(context.names):
        return context
    named = [known[id].name if id in known else id for id in agent_ids]
    others = iter(name for name in context.names if name not in named)
    order = [name if name in context.names else next(others, "") for name in named]
    return context.ordered(order) if set(order) == set(context.names) else context
