"""Imports published episode files of any size: streamed, a batch to a transaction, each episode once."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from itertools import islice
from pathlib import Path
from typing import Any

from sotopia_pi.interop.lines import Line, read_lines, same_record
from sotopia_pi.interop.problems import RecordError, Report
from sotopia_pi.interop.published import Imported, Known, episode_id, read_episode
from sotopia_pi.store import Store
from sotopia_pi.store.imports import Batch, Original

#: Records per transaction, fewer where they are long.
_BATCH = 200
_BATCH_CHARACTERS = 8 * 1024 * 1024


@dataclass(slots=True)
class _Item:
    file: str
    line: Line
    id: str
    record: dict[str, Any]


@dataclass(slots=True)
class _Import:
    store: Store
    stage: str
    known: Known
    report: Report = field(default_factory=Report)
    seen: dict[str, tuple[str, int]] = field(default_factory=dict)


def stage_of(name: str) -> str:
    """The stage and task group of episodes imported under a name."""
    return f"import/{name}"


def import_episodes(store: Store, paths: Sequence[Path], name: str) -> Report:
    """Reads published episodes into the stage `import/NAME`, with their tasks as a group of that name.

    Every record goes in whole or is listed with its line number. Records that are there already stay as they are.
    """
    known = Known(store.imports.characters(), store.imports.scenarios())
    job = _Import(store, stage_of(name), known)
    job.report.stored[job.stage] += 0
    items = _items(job, paths)
    while page := _page(items):
        _store(job, page)
    job.report.sort()
    return job.report


def _items(job: _Import, paths: Sequence[Path]) -> Iterator[_Item]:
    """The records of the files in order, each id once."""
    for path in paths:
        for line in read_lines(path):
            if line.record is None:
                job.report.problem(path.name, line.number, line.problem)
                continue
            try:
                id = episode_id(line.record)
            except RecordError as error:
                job.report.problem(path.name, line.number, str(error))
                continue
            if id in job.seen:
                file, number = job.seen[id]
                job.report.problem(path.name, line.number, f"duplicate id: it is also at {file}:{number}", id)
                continue
            job.seen[id] = (path.name, line.number)
            yield _Item(path.name, line, id, line.record)


def _page(items: Iterator[_Item]) -> list[_Item]:
    page: list[_Item] = []
    size = 0
    for item in islice(items, _BATCH):
        page.append(item)
        size += len(item.line.text)
        if size >= _BATCH_CHARACTERS:
            break
    return page


def _store(job: _Import, page: Sequence[_Item]) -> None:
    """Stores the good records of a page in one transaction."""
    held = job.store.imports.find(job.stage, [item.id for item in page])
    batch = Batch()
    made: list[tuple[_Item, Imported]] = []
    for item in page:
        if item.id in held:
            if same_record(held[item.id].text, item.line):
                job.report.known[job.stage] += 1
            else:
                reason = "duplicate id: another record with it is stored"
                job.report.problem(item.file, item.line.number, reason, item.id)
            continue
        try:
            made.append((item, read_episode(item.record, job.stage, job.known)))
        except RecordError as error:
            job.report.problem(item.file, item.line.number, str(error), item.id)
    for item, imported in made:
        batch.tasks.setdefault(job.stage, []).append(imported.task)
        batch.episodes.append((imported.episode, imported.ratings))
        batch.originals.append(Original(job.stage, item.id, imported.episode.key, item.line.text))
    if made:
        job.store.imports.add(batch)
    job.report.stored[job.stage] += len(made)
    for item, imported in made:
        for note in imported.notes:
            job.report.note(item.file, item.line.number, note, item.id)
