"""Imports SOTOPIA's profile files: characters, scenarios, who knows whom, and castings as groups of tasks."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from itertools import islice
from pathlib import Path
from typing import Any

from sotopia_pi.errors import WorldError
from sotopia_pi.inputs import read_json, read_text
from sotopia_pi.interop import fields
from sotopia_pi.interop.lines import Line, read_lines, same_record
from sotopia_pi.interop.problems import RecordError, Report
from sotopia_pi.interop.profiles import OURS, read_character, read_relationship, read_scenario
from sotopia_pi.store import Store
from sotopia_pi.store.imports import Batch, Original
from sotopia_pi.world.records import Character, Scenario, SocialTask

#: The kinds of records by the name of their file, in the order in which they refer to each other.
FILES = {
    "agent": "agent_profiles.jsonl",
    "environment": "environment_profiles.jsonl",
    "relationship": "relationship_profiles.jsonl",
    "casting": "env_agent_combo_storages.jsonl",
}
HARD_FILE = "hard_env_ids.json"
ALL, HARD = "sotopia/all", "sotopia/hard"

_ID_NAMES = {
    "agent": ("agent_id", "pk"),
    "environment": ("env_id", "pk"),
    "relationship": ("relationship_id", "pk"),
    "casting": ("combo_id", "pk"),
}
_BATCH = 500


@dataclass(slots=True)
class _Import:
    store: Store
    folder: Path
    report: Report
    characters: dict[str, Character] = field(default_factory=dict)
    scenarios: dict[str, Scenario] = field(default_factory=dict)
    wide: set[str] = field(default_factory=set)


def import_profiles(store: Store, folder: Path) -> Report:
    """Reads the profile files of a folder into the store; what is stored already stays. WorldError when one is missing.

    Task groups: `sotopia/all` has every casting, `sotopia/hard` those of the scenarios that the folder lists as hard.
    """
    missing = [name for name in FILES.values() if not (folder / name).is_file()]
    if missing:
        raise WorldError(f"{folder} has no {' and no '.join(missing)}; give the folder of SOTOPIA's profile files.")
    job = _Import(store, folder, Report(), store.imports.characters(), store.imports.scenarios())
    hard = _hard_ids(folder)
    _read(job, "agent")
    job.wide = _recast(job)
    _read(job, "environment")
    _read(job, "relationship")
    _read(job, "casting")
    _mark_hard(job, hard)
    job.report.sort()
    return job.report


def _records(job: _Import, kind: str) -> Iterator[tuple[Line, str, Mapping[str, Any]]]:
    """The records of a file with their ids, each id once; problems go into the report."""
    name, seen = FILES[kind], dict[str, int]()
    for line in read_lines(job.folder / name):
        if line.record is None:
            job.report.problem(name, line.number, line.problem)
            continue
        try:
            id = fields.identity(line.record, *_ID_NAMES[kind])
        except RecordError as error:
            job.report.problem(name, line.number, str(error))
            continue
        if id in seen:
            job.report.problem(name, line.number, f"duplicate id: it is also on line {seen[id]}", id)
            continue
        seen[id] = line.number
        yield line, id, line.record


def _read(job: _Import, kind: str) -> None:
    """Stores the records of a file, a batch at a time."""
    records = _records(job, kind)
    job.report.stored[kind] += 0
    while page := list(islice(records, _BATCH)):
        held = job.store.imports.find(kind, [id for _, id, _ in page])
        batch = Batch()
        for line, id, record in page:
            if id in held:
                if same_record(held[id].text, line):
                    job.report.known[kind] += 1
                else:
                    job.report.problem(FILES[kind], line.number, "duplicate id: another record with it is stored", id)
                continue
            try:
                our_id = _convert(job, kind, id, record, batch)
            except RecordError as error:
                job.report.problem(FILES[kind], line.number, str(error), id)
                continue
            batch.originals.append(Original(kind, id, our_id, line.text))
        job.store.imports.add(batch)
        job.report.stored[kind] += len(batch.originals)


def _convert(job: _Import, kind: str, id: str, record: Mapping[str, Any], batch: Batch) -> str:
    """Puts what a record becomes into the batch; its id."""
    if kind == "agent":
        character = read_character(record)
        job.characters[id] = character
        batch.characters.append(character)
        return character.id
    if kind == "environment":
        scenario = read_scenario(record, id, with_occupations=id not in job.wide)
        job.scenarios[id] = scenario
        batch.scenarios.append(scenario)
        return scenario.id
    if kind == "relationship":
        for names in (("agent1_id", "agent_1_id"), ("agent2_id", "agent_2_id")):
            _known(job.characters, "agent", fields.identity(record, *names))
        read_relationship(record)
        return id
    task = _cast(job, record)
    batch.tasks.setdefault(ALL, []).append(task)
    return task.id


def _cast(job: _Import, record: Mapping[str, Any]) -> SocialTask:
    scenario = _known(job.scenarios, "environment", fields.identity(record, "env_id"))
    agents = [_known(job.characters, "agent", id) for id in fields.texts(record, "agent_ids")]
    return make_task(scenario, agents)


def make_task(scenario: Scenario, characters: list[Character]) -> SocialTask:
    """The task; RecordError where the characters cannot play it."""
    try:
        return SocialTask(scenario=scenario, characters=tuple(characters))
    except ValueError as error:
        lines = [line.strip() for line in str(error).splitlines()]
        reason = next((line for line in lines if line.startswith("Value error, ")), lines[0])
        raise RecordError(reason.removeprefix("Value error, ").partition(" [type=")[0]) from None


def _known(records: Mapping[str, Any], what: str, id: str) -> Any:
    if id not in records:
        raise RecordError(f"unknown {what} id {id!r}")
    return records[id]


def _recast(job: _Import) -> set[str]:
    """The scenarios whose published castings do not keep to their own occupation constraint.

    SOTOPIA never applied that constraint; where its castings contradict it, the castings win.
    """
    profiles = {_env_id(line.record): line.record for line in _objects(job, "environment")}
    wide = set()
    for line in _objects(job, "casting"):
        record = line.record
        try:
            id = fields.identity(record, "env_id")
            scenario = read_scenario(profiles[id], id)
            agents = [job.characters[agent] for agent in fields.texts(record, "agent_ids")]
        except (RecordError, KeyError):
            continue  # named when the record itself is read
        for role, character in enumerate(agents[: len(scenario.goals)]):
            wanted = scenario.casting_of(role).occupations
            if wanted and character.occupation.lower() not in {name.lower() for name in wanted}:
                wide.add(id)
    for line in _objects(job, "environment"):
        if OURS not in line.record and (id := _env_id(line.record)) in wide:
            reason = "its published castings have other occupations than it asks for; all occupations may play it"
            job.report.note(FILES["environment"], line.number, reason, id)
    return wide


def _env_id(record: Mapping[str, Any]) -> str:
    try:
        return fields.identity(record, *_ID_NAMES["environment"])
    except RecordError:
        return ""  # named when the record itself is read


@dataclass(frozen=True, slots=True)
class _Object:
    number: int
    record: dict[str, Any]


def _objects(job: _Import, kind: str) -> Iterator[_Object]:
    for line in read_lines(job.folder / FILES[kind]):
        if line.record is not None:
            yield _Object(line.number, line.record)


def _hard_ids(folder: Path) -> list[str] | None:
    path = folder / HARD_FILE
    if not path.is_file():
        return None
    try:
        ids = read_json(read_text(path))
    except (OSError, ValueError) as error:
        raise WorldError(f"{path} cannot be read ({error}); give a JSON list of environment ids.") from error
    if not isinstance(ids, list) or not all(isinstance(id, str) for id in ids):
        raise WorldError(f"{path} is not a JSON list of environment ids; correct or remove it.")
    return ids


def _mark_hard(job: _Import, ids: list[str] | None) -> None:
    """Adds the castings of the hard scenarios to their group."""
    if ids is None:
        job.report.note(HARD_FILE, 0, f"the file is not there, so the group {HARD} is not made")
        return
    unknown = [id for id in ids if id not in job.scenarios]
    for id in unknown:
        job.report.problem(HARD_FILE, ids.index(id) + 1, "unknown environment id", id)
    wanted = {job.scenarios[id].id for id in ids if id in job.scenarios}
    castings = job.store.imports.tasks()
    tasks = [task for task in castings.values() if task.scenario.id in wanted]
    batch = Batch(tasks={HARD: tasks} if tasks else {})
    held = set(job.store.imports.find("hard", ids))
    batch.originals = [
        Original("hard", id, job.scenarios[id].id, id) for id in dict.fromkeys(ids) if id in job.scenarios
    ]
    job.store.imports.add(batch)
    job.report.stored["hard"] += len(batch.originals) - len(held)
    job.report.known["hard"] += len(held)
