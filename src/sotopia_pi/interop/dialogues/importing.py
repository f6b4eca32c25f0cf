"""Imports dialogues between people into a run: tasks, episodes played by `human:NAME`, and ratings if any.

Like published episodes: a batch to a transaction, each dialogue once, every record that is left out named.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from itertools import islice
from pathlib import Path
from typing import Any

from sotopia_pi.episodes.records import HUMAN
from sotopia_pi.interop.dialogues import casino, craigslist, dealornodeal, persuasion, transcript
from sotopia_pi.interop.dialogues.records import Dialogue, Found
from sotopia_pi.interop.episodes import stage_of
from sotopia_pi.interop.problems import RecordError, Report
from sotopia_pi.records import content_hash
from sotopia_pi.store import Store
from sotopia_pi.store.imports import Batch, Original

_BATCH = 200


@dataclass(frozen=True, slots=True)
class Format:
    """How the files of a format are gone through, and how a dialogue is made of one of their records."""

    find: Callable[[Sequence[Path]], Iterator[Found]]
    read: Callable[[Any], Dialogue]


FORMATS: dict[str, Format] = {
    "transcript": Format(transcript.find, transcript.read),
    "dealornodeal": Format(dealornodeal.find, dealornodeal.read),
    "craigslist": Format(craigslist.find, craigslist.read),
    "casino": Format(casino.find, casino.read),
    "persuasion": Format(persuasion.find, persuasion.read),
}


@dataclass(slots=True)
class _Import:
    store: Store
    stage: str
    kind: str
    player: str
    format: Format
    report: Report = field(default_factory=Report)
    seen: dict[str, tuple[str, int]] = field(default_factory=dict)


def import_dialogues(store: Store, paths: Sequence[Path], format: str, name: str) -> Report:
    """Reads dialogues of one of `FORMATS` into the stage `import/NAME`, with their tasks as a group of that name.

    What is kept of a record is what became of it and a hash by which a second import knows it: nothing that is not
    part of the dialogue. StoreError for files that are not of the format.
    """
    job = _Import(store, stage_of(name), f"dialogues/{name}", f"{HUMAN}{name}", FORMATS[format])
    job.report.stored[job.stage] += 0
    found = _once(job, job.format.find(paths))
    while page := list(islice(found, _BATCH)):
        _keep(job, page)
    job.report.sort()
    return job.report


def _once(job: _Import, records: Iterator[Found]) -> Iterator[Found]:
    """The good records, each id once; the others go into the report."""
    for record in records:
        if record.problem:
            job.report.problem(record.file, record.number, record.problem, record.id)
        elif record.id not in job.seen:
            job.seen[record.id] = (record.file, record.number)
            yield record
        elif not record.again:
            file, number = job.seen[record.id]
            job.report.problem(record.file, record.number, f"duplicate id: it is also at {file}:{number}", record.id)


def _keep(job: _Import, page: Sequence[Found]) -> None:
    """Stores the good dialogues of a page in one transaction."""
    held = job.store.imports.find(job.kind, [record.id for record in page])
    batch = Batch()
    for record in page:
        try:
            dialogue = job.format.read(record.value).until_agreed()
        except RecordError as error:
            job.report.problem(record.file, record.number, str(error), record.id)
            continue
        key = content_hash({"stage": job.stage, "dialogue": record.id})
        episode, ratings = dialogue.episode(key, job.stage, job.player)
        mark = content_hash([episode.model_dump(mode="json"), [rating.model_dump(mode="json") for rating in ratings]])
        if record.id in held:
            if held[record.id].text == mark:
                job.report.known[job.stage] += 1
            else:
                reason = "duplicate id: another dialogue with it is stored"
                job.report.problem(record.file, record.number, reason, record.id)
            continue
        if dialogue.note:
            job.report.note(record.file, record.number, dialogue.note, record.id)
        batch.tasks.setdefault(job.stage, []).append(dialogue.task)
        batch.episodes.append((episode, ratings))
        batch.originals.append(Original(job.kind, record.id, episode.key, mark))
    if batch.episodes:
        job.store.imports.add(batch)
    job.report.stored[job.stage] += len(batch.episodes)
