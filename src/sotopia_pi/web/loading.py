"""Building the columns of a snapshot from a store."""

from __future__ import annotations

from collections import defaultdict
from dataclasses import dataclass, field
from itertools import chain
from typing import Any

import numpy as np
import numpy.typing as npt
import orjson

from sotopia_pi.episodes.records import HUMAN
from sotopia_pi.ratings.records import DIMENSIONS
from sotopia_pi.store import Store
from sotopia_pi.store.columns import Reader
from sotopia_pi.web.columns import Labels, RatingColumns, TaskColumns

Array = npt.NDArray[Any]
#: A task of several groups is listed in the first of these that holds it, else in the first by name.
_GROUPS = ("test", "transfer", "dev", "train")


@dataclass(frozen=True, slots=True, eq=False)
class Loaded:
    """What a snapshot is made of; see there."""

    keys: list[str]
    place_of: dict[str, int]
    first: npt.NDArray[np.intp]
    columns: dict[str, Array]
    labels: dict[str, Labels]
    ratings: dict[str, RatingColumns]
    tasks: TaskColumns


def load(store: Store) -> Loaded:
    """Reads all columns of one state of the store. StoreError."""
    with store.columns.reading() as reader:
        tasks = _tasks(reader)
        keys, first, columns, labels = _episodes(reader, tasks)
        place_of = {key: place for place, key in enumerate(keys)}
        columns |= _turns(reader, place_of, first, columns["episode"])
        ratings = _ratings(reader, place_of, first, len(columns["episode"]))
    return Loaded(keys, place_of, first, columns, labels, ratings, tasks)


def _tasks(reader: Reader) -> TaskColumns:
    scenarios = {id: orjson.loads(record) for id, record in reader.scenarios()}
    ids, of = [], []
    for id, scenario in reader.tasks():
        ids.append(id)
        of.append(scenario)
    held: dict[str, list[str]] = defaultdict(list)
    for name, task in reader.groups():
        held[task].append(name)
    groups = [tuple(held[id]) for id in ids]
    return TaskColumns(
        ids=ids,
        place_of={id: place for place, id in enumerate(ids)},
        scenario=Labels.of(of),
        kind=Labels.of(scenarios[id]["kind"] for id in of),
        group=Labels.of(next((name for name in (*_GROUPS, *own) if name in own), "") for own in groups),
        groups=groups,
        situations=[scenarios[id]["situation"] for id in of],
        verified=np.array([scenarios[id].get("check") is not None for id in of], dtype=bool),
    )


def _episodes(
    reader: Reader, tasks: TaskColumns
) -> tuple[list[str], npt.NDArray[np.intp], dict[str, Array], dict[str, Labels]]:
    rows = list(reader.episodes())
    keys, task_ids, stages, casts, repeats, stops, failures, seconds = (
        [list(column) for column in zip(*rows, strict=True)] if rows else [[] for _ in range(8)]
    )
    # One that nobody played, as in a damaged database, has a row all the same: every episode begins at one.
    players = {text: tuple(orjson.loads(text)) or ("",) for text in set(casts)}
    partners = {
        text: tuple(", ".join(names[:role] + names[role + 1 :]) for role in range(len(names)))
        for text, names in players.items()
    }
    roles = np.array([len(players[text]) for text in casts], dtype=np.intp)
    first = np.concatenate(([0], np.cumsum(roles)[:-1])).astype(np.intp) if len(roles) else np.zeros(0, dtype=np.intp)
    episode = np.repeat(np.arange(len(keys)), roles)
    place = np.array([tasks.place_of[id] for id in task_ids], dtype=np.intp)[episode]
    stage = Labels.of(stages).at(episode)
    labels = {
        "task": Labels(tuple(tasks.ids), place.astype(np.int32)),
        "scenario": tasks.scenario.at(place),
        "kind": tasks.kind.at(place),
        "group": tasks.group.at(place),
        "stage": stage,
        "verb": Labels.of(name.partition("/")[0] for name in stages).at(episode),
        "part": Labels.of(name.partition("/")[2] for name in stages).at(episode),
        "player": Labels.of(chain.from_iterable(players[text] for text in casts)),
        "partner": Labels.of(chain.from_iterable(partners[text] for text in casts)),
        "stop_reason": Labels.of(reason or "" for reason in stops).at(episode),
        "failure": Labels.of(failure or "" for failure in failures).at(episode),
    }
    people = {text: any(name.startswith(HUMAN) for name in names) for text, names in players.items()}
    columns: dict[str, Array] = {
        "episode": episode,
        "role": np.arange(len(episode)) - first[episode],
        "repeat": np.array(repeats, dtype=np.int64)[episode],
        "seconds": np.array(seconds, dtype=np.float64)[episode],
        "failed": np.array([failure is not None for failure in failures], dtype=bool)[episode],
        "human": np.array([people[text] for text in casts], dtype=bool)[episode],
    }
    return keys, first, columns, labels


def _turns(reader: Reader, place_of: dict[str, int], first: npt.NDArray[np.intp], episode: Array) -> dict[str, Array]:
    sizes = np.bincount(episode, minlength=len(first))
    actions, invalid, words = (np.zeros(len(episode), dtype=np.int32) for _ in range(3))
    places: list[int] = []
    counted: list[list[int]] = []
    for key, *found in reader.turns():
        places.append(place_of[key])
        counted.append([len(value.split()) if isinstance(value, str) else value or 0 for value in found])
    if counted:
        table, at = np.array(counted, dtype=np.int32), np.array(places)
        for role in range(table.shape[1] // 3):
            seated = sizes[at] > role
            rows = first[at[seated]] + role
            for number, column in enumerate((actions, invalid, words)):
                column[rows] = table[seated, 3 * role + number]
    turns = np.bincount(episode, weights=actions, minlength=len(first)).astype(np.int32)
    return {"actions": actions, "invalid": invalid, "words": words, "turns": turns[episode]}


@dataclass(slots=True)
class _Given:
    """The ratings of one rater as they come: the row, and which of the texts with scores it has (-1: it failed)."""

    rows: list[int] = field(default_factory=list)
    texts: list[int] = field(default_factory=list)
    known: dict[str, int] = field(default_factory=dict)
    outcomes: dict[int, str] = field(default_factory=dict)


def _ratings(
    reader: Reader, place_of: dict[str, int], first: npt.NDArray[np.intp], size: int
) -> dict[str, RatingColumns]:
    given: dict[str, _Given] = defaultdict(_Given)
    ends = [*first[1:].tolist(), size]
    starts = first.tolist()
    for key, role, rater, scores, outcome, failure in reader.ratings():
        own, place = given[rater], place_of[key]
        row = starts[place] + role
        if not 0 <= role < ends[place] - starts[place]:  # of nobody who played
            continue
        own.rows.append(row)
        own.texts.append(own.known.setdefault(scores, len(own.known)) if failure is None else -1)
        if outcome is not None and failure is None:
            own.outcomes[row] = outcome
    return {rater: _columns(own, size) for rater, own in given.items()}


def _columns(given: _Given, size: int) -> RatingColumns:
    texts, rows = np.array(given.texts, dtype=np.intp), np.array(given.rows, dtype=np.intp)
    records = [orjson.loads(text) for text in given.known]
    names = dict.fromkeys(chain.from_iterable(records))
    answered = texts >= 0
    samples = np.bincount(rows[answered], minlength=size)
    scores: dict[str, npt.NDArray[np.float64]] = {}
    for name in sorted(names, key=lambda name: (name != "goal", _ORDER.get(name, 99), name)):
        values = np.array([record.get(name, np.nan) for record in records], dtype=np.float64)
        sums = np.bincount(rows[answered], weights=values[texts[answered]], minlength=size)
        scores[name] = np.where(samples > 0, sums / np.maximum(samples, 1), np.nan)
    if DIMENSIONS.keys() <= scores.keys() and "overall" not in scores:
        scores["overall"] = sum((scores[name] for name in DIMENSIONS), np.zeros(size)) / len(DIMENSIONS)
    failed = np.zeros(size, dtype=bool)
    failed[rows] = True
    failed &= samples == 0
    found = {text: _deal(text) for text in set(given.outcomes.values())}
    deals = np.full(size, np.nan)
    deals[list(given.outcomes)] = [found[text] for text in given.outcomes.values()]
    return RatingColumns(scores, failed, deals)


_ORDER = {name: place for place, name in enumerate(DIMENSIONS)}


def _deal(outcome: str) -> float:
    value = orjson.loads(outcome)
    deal = value.get("deal") if isinstance(value, dict) else None
    return float(deal) if isinstance(deal, bool) else np.nan
