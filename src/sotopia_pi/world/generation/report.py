"""What a generation leaves behind: the tasks, and beside them a report of everything that did not become one."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from sotopia_pi.files import write_whole
from sotopia_pi.world.casting import cast
from sotopia_pi.world.generation.drafts import Cast
from sotopia_pi.world.generation.generate import Outcome
from sotopia_pi.world.generation.journal import Attempt
from sotopia_pi.world.generation.sources import BadRows
from sotopia_pi.world.records import SocialTask


def cast_all(outcome: Outcome, people: Cast, seed: int, castings: int) -> list[SocialTask]:
    """The tasks: up to `castings` pairs of characters for every accepted scenario."""
    return [
        task
        for attempt in outcome.accepted
        if attempt.scenario is not None
        for task in cast(attempt.scenario, people.characters, people.ties, seed, castings)
    ]


def write_tasks(path: Path, tasks: Sequence[SocialTask]) -> None:
    """Writes one task a line, all or nothing."""
    write_whole(path, "".join(task.model_dump_json() + "\n" for task in tasks))


def write_report(path: Path, facts: Mapping[str, Any], outcome: Outcome, bad: BadRows) -> None:
    """Writes counts, rejections with their reasons, prompts nobody answered, and rows that could not be read."""
    counted = [*outcome.accepted, *(item.attempt for item in outcome.rejected)]
    content = {
        **facts,
        "accepted": len(outcome.accepted),
        "rejected": len(outcome.rejected),
        "rejected_by_rule": outcome.rules,
        "asked_again": sum(len(attempt.replies) > 1 for attempt in counted),
        "unanswered": len(outcome.failed),
        "bad_rows": bad.count,
        "usage": _usage(counted),
        "rejections": [
            {"prompt": item.attempt.prompt.id, "text": item.attempt.prompt.text, "source": item.attempt.prompt.source}
            | {"rule": item.rule, "why": item.why, "replies": list(item.attempt.replies)}
            for item in outcome.rejected
        ],
        "unanswered_prompts": [{"prompt": prompt, "why": why} for prompt, why in outcome.failed.items()],
        "bad_row_list": [row.model_dump() for row in bad.rows],
    }
    write_whole(path, json.dumps(content, indent=1) + "\n")


def _usage(attempts: Sequence[Attempt]) -> dict[str, float | int | None]:
    costs = [attempt.cost for attempt in attempts]
    return {
        "prompt_tokens": sum(attempt.prompt_tokens for attempt in attempts),
        "completion_tokens": sum(attempt.completion_tokens for attempt in attempts),
        "cost": None if None in costs else sum(cost for cost in costs if cost is not None),
    }
