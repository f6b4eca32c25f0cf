"""A study's ratings as files: CSV in the columns in which SOTOPIA-π's human ratings were released, and JSONL.

Ratings and qualification answers are written apart. Texts that a spreadsheet might take for a formula get an
apostrophe before them in CSV (spreadsheets.py); JSONL has them as they were written.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

from sotopia_pi.episodes.records import Episode
from sotopia_pi.ratings.dimensions import Dimension
from sotopia_pi.spreadsheets import line
from sotopia_pi.store import Store
from sotopia_pi.studies.records import Assignment, Study
from sotopia_pi.world.records import SocialTask

#: Roles of an episode in the released files.
_ROLES = (0, 1)


def header(dimensions: tuple[Dimension, ...]) -> list[str]:
    """The columns of the released files: an id, the model, the episode, what was shown, the scores, the annotator."""
    columns = ("{}_{}", "{}_reasoning_{}")
    scores = [column.format(d.name, role + 1) for role in _ROLES for d in dimensions for column in columns]
    return ["ID", "model", "pk", "data", *scores, "annotator"]


def export_csv(store: Store, study: Study, *, tests: bool = False) -> Iterator[str]:
    """The lines of a CSV file, header first; of the qualification with `tests`, else of what was rated."""
    dimensions = study.settings.dimensions
    yield line(header(dimensions))
    for number, (assignment, episode, task) in enumerate(_submitted(store, study, tests), 1):
        answer = assignment.answer
        assert answer is not None
        cells: list[Any] = [number, model_of(episode), episode.key, json.dumps(_shown(task, episode))]
        for role in _ROLES:
            for d in dimensions:
                cells.append(answer.scores.get(str(role), {}).get(d.name, ""))
                cells.append(answer.reasons.get(str(role), {}).get(d.name, ""))
        yield line([*cells, assignment.pseudonym])


def export_jsonl(store: Store, study: Study, *, tests: bool = False) -> Iterator[str]:
    """One JSON object a line and submission: who rated what and when, all scores and reasons by role."""
    for assignment, episode, _ in _submitted(store, study, tests):
        answer = assignment.answer
        assert answer is not None
        record = {
            "study": study.name,
            "annotator": assignment.pseudonym,
            "episode": episode.key,
            "stage": episode.stage,
            "players": list(episode.players),
            "shown_first": assignment.roles[0],
            "given": assignment.created,
            "submitted": assignment.submitted,
            "scores": answer.scores,
            "reasons": answer.reasons,
            **({"attempt": assignment.attempt, "passed": assignment.passed} if tests else {}),
        }
        yield json.dumps(record, ensure_ascii=False) + "\n"


def model_of(episode: Episode) -> str:
    """Which policy an episode is about: the one an evaluation stage names, else those who played."""
    stage, _, policy = episode.stage.partition("/")
    if stage == "evaluate" and policy:
        return policy
    return " / ".join(dict.fromkeys(episode.players))


def _submitted(store: Store, study: Study, tests: bool) -> Iterator[tuple[Assignment, Episode, SocialTask]]:
    """What was submitted, by episode and then by time."""
    given = [
        one
        for one in store.assignments.of_study(study.name)
        if one.submitted is not None and bool(one.attempt) == tests
    ]
    given.sort(key=lambda one: (one.episode, one.submitted or 0.0, one.id))
    episode: Episode | None = None
    task: SocialTask | None = None
    for one in given:
        if episode is None or task is None or episode.key != one.episode:
            episode = store.episode(one.episode)
            task = store.task(episode.task_id)
        yield one, episode, task


def _shown(task: SocialTask, episode: Episode) -> dict[str, Any]:
    """What the annotator read, as the released files tell it."""
    names = [character.name for character in task.characters]
    return {
        "scenario": task.scenario.situation,
        "names": names,
        "personal_info": {
            one.name: {
                "name": one.name,
                "age": str(one.age),
                "profession": one.occupation,
                "pronouns": one.pronouns,
                "interests": one.public_info,
                "personality": one.personality,
                "secrets": one.secret,
            }
            for one in task.characters
        },
        "social_goal": dict(zip(names, task.scenario.goals, strict=True)),
        "parsed_conversation": [
            {"speaker": names[turn.role], "dialogue": f"[{turn.action.type.value}] {turn.action.argument}".strip()}
            for turn in episode.turns
        ],
    }
