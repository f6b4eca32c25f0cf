"""A judge beside people: it rates the published episodes that people rated, and is held against their scores."""

from __future__ import annotations

from collections.abc import Collection
from pathlib import Path
from typing import Any

from sotopia_pi import judging
from sotopia_pi.auditing.material import PEOPLE
from sotopia_pi.config import JudgeConfig
from sotopia_pi.errors import WorldError
from sotopia_pi.evaluation import people
from sotopia_pi.interop.annotations import read_annotated
from sotopia_pi.interop.lines import read_lines
from sotopia_pi.interop.problems import RecordError
from sotopia_pi.interop.published import Imported, Known, read_episode
from sotopia_pi.rundir import Run


def people_part(run: Run, settings: JudgeConfig, annotations: Path, episodes: Path, most: int) -> dict[str, Any]:
    """Up to `most` annotated episodes, rated by the judge; gap and correlation by side and dimension.

    WorldError, StoreError for files that cannot be used.
    """
    rated, report = read_annotated(annotations, episodes)
    if told := report.lines():
        run.say("\n".join(told))
    rated = rated[:most]
    imported, unread = _transcripts(episodes, {one.key for one in rated})
    run.store.add_tasks("people", list({one.task.id: one.task for one in imported.values()}.values()))
    run.store.add_episodes([(one.episode, ()) for one in imported.values()])
    judging.judge_with(run, PEOPLE, settings)
    judge = judging.rater_of(run, settings)
    keys = {one.episode.key: key for key, one in imported.items()}
    by_key = {one.key: one for one in rated}
    scores: dict[str, dict[int, dict[str, float]]] = {}
    n_failed = 0
    for rating in run.store.ratings(PEOPLE, judge):
        if rating.episode in keys and rating.sample == 0:
            n_failed += rating.failure is not None
            if rating.failure is None:
                scores.setdefault(keys[rating.episode], {})[rating.role] = rating.scores
    for one in rated:
        one.judged.clear()
    for key, by_role in scores.items():
        by_key[key].judged[judge] = (by_role.get(0, {}), by_role.get(1, {}))
    held = people.summary(rated)["judges"].get(judge)
    found: dict[str, Any] = {"n_episodes": len(imported), "n_unread": unread, "n_failed": n_failed}
    if held is None:
        return {**found, "why": "not computable, because the judge rated none of these episodes"}
    return {**found, **held}


def _transcripts(path: Path, wanted: Collection[str]) -> tuple[dict[str, Imported], int]:
    """The wanted episodes of a file by their pk, and how many could not be read. WorldError when none could."""
    imported: dict[str, Imported] = {}
    problems: list[str] = []
    for line in read_lines(path):
        key = str((line.record or {}).get("pk", "")).strip()
        if line.record is None or key not in wanted or key in imported:
            continue
        try:
            imported[key] = read_episode(line.record, PEOPLE, Known({}, {}))
        except RecordError as error:
            problems.append(f"{path.name}:{line.number}: {error}")
    if not imported:
        why = problems[0] if problems else "no record has the pk of an annotated episode"
        raise WorldError(f"{path} holds no transcript that could be read (the first: {why}).")
    return imported, len(problems)
