"""Making a study: which episodes it is about, and what its settings are.

Episodes are drawn by task first, the same tasks from every stage, so that policies are compared on the same ground.
"""

from __future__ import annotations

import csv
import io
import secrets
import time
from collections.abc import Collection, Mapping, Sequence
from itertools import chain, zip_longest
from pathlib import Path
from typing import Any

from pydantic import ValidationError

from sotopia_pi.episodes.people import folded
from sotopia_pi.errors import ConfigError, StoreError
from sotopia_pi.inputs import check_columns, read_json, read_text, read_toml
from sotopia_pi.ratings.combine import combined
from sotopia_pi.records import derive_seed
from sotopia_pi.spreadsheets import unmarked
from sotopia_pi.store import Store
from sotopia_pi.studies.records import Item, Reference, Study, StudySettings

#: Episodes that are copied to another store in one transaction.
_PAGE = 100


def settings_from(values: Mapping[str, Any], where: str) -> StudySettings:
    """Settings from plain values; `where` they come from is named in errors. ConfigError."""
    try:
        settings = StudySettings.model_validate(values)
    except ValidationError as error:
        told = []
        for detail in error.errors():
            key = ".".join(str(part) for part in detail["loc"])
            if detail["type"] == "extra_forbidden":
                told.append(f"{key} is not a setting of a study; remove it or see docs/studies.md")
            else:
                message = detail["msg"].removeprefix("Value error, ")
                told.append(f"{key}: {message}" if key else message)
        raise ConfigError(f"{where}: " + "; ".join(told) + ".") from None
    if settings.done.code and settings.done.code in (settings.screened_out.code, settings.nothing_left.code):
        raise ConfigError(f"{where}: the code of done is for who has rated what was asked; give the other ends others.")
    return settings


def load_settings(path: Path | None) -> StudySettings:
    """The settings in a TOML file; the defaults without one. ConfigError."""
    if path is None:
        return StudySettings()
    try:
        values = read_toml(read_text(path))
    except OSError as error:
        raise ConfigError(f"The study settings {path} cannot be read ({error.strerror}); give a TOML file.") from error
    except ValueError as error:
        raise ConfigError(f"{path} is not valid TOML: {error}.") from error
    return settings_from(values, str(path))


def choose(
    store: Store,
    stages: Sequence[str] = (),
    policies: Collection[str] = (),
    n: int | None = None,
    seed: int = 1,
    without: Collection[str] = (),
) -> list[str]:
    """The keys of `n` (None: all) completed episodes of `stages` (none: every stage) that one of `policies` played.

    Tasks come in an order drawn by `seed`, the stages take turns, and `without` are left out. ConfigError when there
    are none.
    """
    known = store.studies.stages()
    if unknown := [stage for stage in stages if stage not in known]:
        raise ConfigError(
            f"There are no completed episodes of {unknown[0]!r}; the stages are: {', '.join(known) or 'none yet'}."
        )
    drawn: list[list[str]] = []
    for stage in stages or known:
        found = [
            one
            for one in store.studies.candidates(stage)
            if one.key not in without and (not policies or set(one.players) & set(policies))
        ]
        found.sort(key=lambda one: (derive_seed(seed, one.task_id), one.repeat, one.players, one.key))
        drawn.append([one.key for one in found])
    keys = [key for key in chain.from_iterable(zip_longest(*drawn)) if key is not None]
    if not keys:
        raise ConfigError("No completed episode fits what was asked for; check the stages and the policies.")
    return keys if n is None else keys[:n]


def check_keys(store: Store, keys: Sequence[str]) -> list[str]:
    """`keys` without repetitions; ConfigError when one is no completed episode."""
    wanted = list(dict.fromkeys(key.strip() for key in keys if key.strip()))
    held = {one.key for one in store.studies.candidates(keys=wanted)}
    if missing := [key for key in wanted if key not in held]:
        raise ConfigError(f"{missing[0]!r} is no completed episode here; check its key.")
    return wanted


def references_of(store: Store, rater: str, keys: Sequence[str] | None, n: int | None = None) -> dict[str, Reference]:
    """Reference scores from an existing rater's ratings: of `keys`, or of the first `n` that it rated. ConfigError."""
    raters = store.raters()
    if rater not in raters:
        rater = next((one for one in raters if folded(one) == folded(rater)), rater)
    found: dict[str, Reference] = {}
    ratings = (
        chain.from_iterable(store.ratings(rater=rater, episode=key) for key in keys)
        if keys
        else store.ratings(rater=rater)
    )
    grouped: dict[str, list[Any]] = {}
    for rating in ratings:
        if rating.failure is None:
            if not keys and n is not None and len(grouped) >= n and rating.episode not in grouped:
                break
            grouped.setdefault(rating.episode, []).append(rating)
    for key, group in grouped.items():
        by_role = combined(group)[rater]
        found[key] = {str(role): dict(rating.scores) for role, rating in sorted(by_role.items())}
    if missing := [key for key in keys or () if key not in found]:
        raise ConfigError(f"{rater!r} has not rated the episode {missing[0]!r}; choose another rater or episode.")
    if not found:
        raise ConfigError(f"There are no ratings by {rater!r}; check the rater's name.")
    return found


def read_references(path: Path, settings: StudySettings) -> dict[str, Reference]:
    """Reference scores from a file: JSON `{key: {"0": {"goal": 8, …}, "1": …}}`, or CSV as `study export` writes it.

    Several CSV rows of one episode are its experts, and their mean is the reference. ConfigError.
    """
    try:
        text = read_text(path)
    except OSError as error:
        raise ConfigError(
            f"The reference scores {path} cannot be read ({error.strerror}); give a JSON or CSV file."
        ) from error
    try:
        given = read_json(text) if path.suffix.lower() == ".json" else _from_csv(text, settings)
        checked = {key: _checked(scores, settings) for key, scores in given.items()}
    except (ValueError, TypeError, AttributeError, KeyError, RecursionError, csv.Error) as error:
        raise ConfigError(
            f"{path} is no file of reference scores ({error}); see docs/studies.md for the two formats."
        ) from None
    if not checked:
        raise ConfigError(f"{path} holds no reference scores; see docs/studies.md for the two formats.")
    return checked


def _checked(scores: Any, settings: StudySettings) -> Reference:
    ranges = {one.name: (one.low, one.high) for one in settings.dimensions}
    kept: Reference = {}
    for role, by_name in scores.items():
        kept[str(int(role))] = {}
        for name, value in by_name.items():
            if name not in ranges:
                raise ValueError(f"{name!r} is no dimension of the study")
            low, high = ranges[name]
            if not isinstance(value, int | float) or not low <= value <= high:
                raise ValueError(f"{name} is {value!r}, not a number from {low} to {high}")
            kept[str(int(role))][name] = float(value)
    if not any(kept.values()):
        raise ValueError("an episode has no scores")
    return kept


def _from_csv(text: str, settings: StudySettings) -> dict[str, Reference]:
    given: dict[str, dict[str, dict[str, list[float]]]] = {}
    reader = csv.DictReader(io.StringIO(text))
    check_columns(reader.fieldnames or ())
    for row in reader:
        roles = given.setdefault(unmarked(row["pk"]), {})
        for one in settings.dimensions:
            for role in ("0", "1"):
                if value := (row.get(f"{one.name}_{int(role) + 1}") or "").strip():
                    roles.setdefault(role, {}).setdefault(one.name, []).append(float(value))
    return {
        key: {role: {name: sum(all) / len(all) for name, all in names.items()} for role, names in roles.items()}
        for key, roles in given.items()
    }


def create(
    store: Store,
    name: str,
    settings: StudySettings,
    keys: Sequence[str],
    references: Mapping[str, Reference] | None = None,
) -> Study:
    """Stores a new study of the episodes `keys`, with qualification episodes if there are `references`. ConfigError."""
    tests = dict(references or {})
    check_keys(store, list(tests))
    rated = [key for key in check_keys(store, keys) if key not in tests]
    if not rated:
        raise ConfigError("A study needs at least one episode besides those of its qualification.")
    _check_references(store, tests, settings)
    try:
        study = Study(
            name=name,
            link=secrets.token_urlsafe(18),
            settings=settings,
            salt=secrets.token_hex(16),
            created=time.time(),
        )
    except ValidationError:
        raise ConfigError(
            f"{name!r} cannot be a study's name; use up to 40 small letters, digits and '-', beginning with a letter "
            "or digit."
        ) from None
    items = [Item(episode=key, reference=reference) for key, reference in tests.items()]
    items += [Item(episode=key, needed=settings.annotators) for key in rated]
    store.studies.create(study, items)
    return study


def _check_references(store: Store, references: Mapping[str, Reference], settings: StudySettings) -> None:
    """ConfigError where a reference is of nobody in its episode, or of nothing that the study asks."""
    asked = {one.name for one in settings.dimensions}
    found = store.studies.candidates(keys=references)
    tasks = store.tasks_with({one.task_id for one in found})
    for one in found:
        reference, roles = references[one.key], [str(role) for role in tasks[one.task_id].roles]
        if unknown := set(reference) - set(roles):
            raise ConfigError(
                f"The reference scores of {one.key!r} name the role {min(unknown)}; its roles are {', '.join(roles)}."
            )
        if not any(asked & set(scores) for scores in reference.values()):
            raise ConfigError(
                f"The reference scores of {one.key!r} are of no dimension of the study; "
                f"those are {', '.join(sorted(asked))}."
            )


def copy_episodes(source: Store, target: Store, name: str, keys: Sequence[str], *, ratings: bool = False) -> int:
    """Copies episodes with their tasks, and with `ratings` all that others said of them; how many are new there."""
    ordered = sorted(set(keys))
    tasks = source.tasks_with({one.task_id for one in source.studies.candidates(keys=ordered)})
    target.add_tasks(f"study/{name}", list(tasks.values()))
    new = 0
    for start in range(0, len(ordered), _PAGE):
        episodes = list(source.episodes(keys=ordered[start : start + _PAGE]))
        new += target.add_episodes(
            [(one, list(source.ratings(episode=one.key)) if ratings else []) for one in episodes]
        )
    return new


def find(store: Store, name: str) -> Study:
    """The study of this name. StoreError, naming those there are, when there is none."""
    study = store.studies.find(name)
    if study is None:
        known = ", ".join(one.name for one in store.studies.all()) or "none yet"
        raise StoreError(f"{store.where} has no study {name!r}: the studies are {known}")
    return study
