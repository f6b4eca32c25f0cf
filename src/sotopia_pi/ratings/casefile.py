"""What a judge is shown of an episode: both whole profiles with secrets and goals, and every turn with its terms.

Characters, scenarios and turns are untrusted: models and imported files wrote them. Each stands as JSON on one line in
which neither a line break nor a tag nor a direction-changing character can be written, so nothing in it can end the
part that it stands in or look like the text around it. The token that the judge must repeat occurs nowhere in it.
"""

from __future__ import annotations

import json
import re
from collections.abc import Sequence
from typing import Any

from sotopia_pi.episodes.records import Episode, Turn
from sotopia_pi.models.protocol import Message
from sotopia_pi.prompts import Prompts
from sotopia_pi.ratings.dimensions import Dimension
from sotopia_pi.ratings.reply import role_key
from sotopia_pi.records import derive_seed
from sotopia_pi.world.records import SocialTask

#: How well the characters know each other, in words.
TIES = {
    0: "strangers",
    1: "know each other by name",
    2: "acquaintances",
    3: "friends",
    4: "romantic partners",
    5: "family",
}
#: Tags, control characters, line and paragraph separators, invisible and direction-changing ones, halves of pairs.
_ESCAPED = re.compile("[<>\x7f-\x9f\u200b-\u200f\u2028-\u202e\u2060-\u206f\ufeff\ud800-\udfff]")


def line(value: Any) -> str:
    """`value` as JSON on one line, which no text inside can break or leave."""
    return _ESCAPED.sub(lambda found: f"\\u{ord(found[0]):04x}", json.dumps(value, ensure_ascii=False))


def case_file(
    task: SocialTask, episode: Episode, dimensions: Sequence[Dimension], prompts: Prompts, sample: int = 0
) -> tuple[list[Message], str]:
    """The judge's messages and the token that its reply must carry.

    The system message is the same for every episode with as many roles.
    """
    names = [character.name for character in task.characters]
    shown = evidence(task, episode)
    token = _token(episode, sample, "\n".join(shown.values()))
    begins = line({"token": token, **{role_key(role): {"name": name} for role, name in enumerate(names)}})
    system = prompts.fill(
        "system",
        dimensions="\n".join(f"- {d.name}, {d.range}: {d.description}" for d in dimensions),
        shape=_shape(len(names), dimensions),
    )
    user = prompts.fill("case", **shown, answer_begins=begins)
    return [Message(role="system", content=system), Message(role="user", content=user)], token


def evidence(task: SocialTask, episode: Episode) -> dict[str, str]:
    """The parts of a case file that others wrote, as lines of JSON: `situation`, `roles` and `transcript`."""
    names = [character.name for character in task.characters]
    return {
        "situation": line({"situation": task.scenario.situation, "they are": TIES[task.scenario.relationship.value]}),
        "roles": "\n".join(line(_role(task, role)) for role in task.roles),
        "transcript": "\n".join(_turn(names, number, turn) for number, turn in enumerate(episode.turns, 1))
        or "(nobody did anything)",
    }


def _role(task: SocialTask, role: int) -> dict[str, Any]:
    profile = task.characters[role].model_dump(mode="json")
    secret = profile.pop("secret")
    told = {"role": role_key(role), **profile, "secret": secret, "goal": task.scenario.goals[role]}
    env, check = task.scenario.environment, task.scenario.check
    return told if env is None or check is None else {**told, "terms": env.notation(check.side(role))}


def _turn(names: Sequence[str], number: int, turn: Turn) -> str:
    shown = {
        "turn": number,
        "role": role_key(turn.role),
        "who": names[turn.role],
        "did": turn.action.type.value,
        "words": turn.action.argument,
    }
    return line(shown if turn.action.terms is None else {**shown, "terms": turn.action.terms})


def _token(episode: Episode, sample: int, shown: str) -> str:
    """12 hex digits that follow from the episode's seed, which nobody in it knows, and stand nowhere in `shown`."""
    text, attempt = shown.lower(), 0
    while True:
        token = f"{derive_seed('token', episode.seed, episode.key, sample, attempt):016x}"[-12:]
        if token not in text:
            return token
        attempt += 1


def _shape(roles: int, dimensions: Sequence[Dimension]) -> str:
    each = ", ".join(f'"{d.name}": {{"reasoning": "…", "score": …}}' for d in dimensions)
    parts = [f'"{role_key(role)}": {{"name": "…", {each}}}' for role in range(roles)]
    return "{" + ", ".join(['"token": "…"', *parts]) + "}"
