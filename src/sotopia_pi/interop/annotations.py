"""Human annotations as SOTOPIA-π published them: a CSV with one row per person and episode, and the episodes.

The CSV has `pk`, `annotator` and, for the roles 1 and 2, a column per dimension (`goal_1`) and its reason
(`goal_reasoning_1`); other columns are ignored. The episodes are JSON lines with `pk`, `environment`, `models` (the
judge, then who played each role) and `target_model`. Files are untrusted: a row that cannot be used is left out and
named, a cell that is missing is missing, and what a judge said that cannot be read costs no person's score.
"""

from __future__ import annotations

import csv
import math
from collections import Counter
from collections.abc import Mapping, Sequence
from itertools import chain
from pathlib import Path
from typing import Any

from sotopia_pi.episodes.people import folded
from sotopia_pi.errors import StoreError, WorldError
from sotopia_pi.evaluation.people import Annotated, Annotation, role_of
from sotopia_pi.inputs import open_text
from sotopia_pi.interop.lines import LONGEST, read_lines
from sotopia_pi.interop.problems import RecordError, Report
from sotopia_pi.interop.scores import read_ratings
from sotopia_pi.ratings.records import DIMENSIONS
from sotopia_pi.spreadsheets import unmarked

ROLES = (1, 2)
#: What the policy under test is called where a record does not name it.
CUSTOM = "custom_model"
_MISSING = {"", "nan", "none", "null", "na", "n/a"}
#: What separates the columns of a CSV: spreadsheets of many countries write the second.
_SEPARATORS = ",;\t"


def read_annotated(annotations: Path, episodes: Path, target: str | None = None) -> tuple[list[Annotated], Report]:
    """The episodes that people rated, and what was left out.

    `target` is the model under test, where the records do not say. WorldError when a file is none of these or no
    row can be used, StoreError when one cannot be read.
    """
    report = Report()
    known = _episodes(episodes, target, report)
    seen: set[tuple[str, str]] = set()
    names: dict[str, str] = {}
    for number, row in _rows(annotations):
        try:
            again = _add(row, known, seen, names)
        except RecordError as error:
            report.problem(annotations.name, number, str(error), row.get("pk") or "")
        else:
            if again:
                report.note(annotations.name, number, again, row["pk"])
    rated = [episode for episode in known.values() if episode.annotations]
    if not rated:
        why = f"the first: {report.problems[0]}" if report.problems else f"{annotations} has no rows"
        raise WorldError(f"No annotation could be used ({why}).")
    return rated, report


def _episodes(path: Path, target: str | None, report: Report) -> dict[str, Annotated]:
    found: dict[str, Annotated] = {}
    for line in read_lines(path):
        try:
            if line.record is None:
                raise RecordError(line.problem)
            episode = _episode(line.record, target)
            if episode.key in found:
                raise RecordError("an earlier line has the same pk")
            found[episode.key] = episode
            if unread := _judge(line.record, episode):
                report.note(path.name, line.number, f"the judge's scores are left out: {unread}", episode.key)
        except RecordError as error:
            id = str((line.record or {}).get("pk", ""))
            report.problem(path.name, line.number, str(error), id)
    if not found:
        why = f"the first: {report.problems[0]}" if report.problems else "it is empty"
        raise WorldError(f"{path} holds no episode that could be read ({why}); give one JSON object per line.")
    return found


def _episode(record: Mapping[str, Any], target: str | None) -> Annotated:
    key, scenario, models = _name(record.get("pk")), _name(record.get("environment")), record.get("models")
    if not key or not scenario:
        raise RecordError("pk and environment must be texts or whole numbers")
    if not isinstance(models, list) or len(models) != 3 or not all(isinstance(model, str) for model in models):
        raise RecordError("models must be the judge and who played each of the two roles")
    wanted = target or record.get("target_model") or CUSTOM
    played = models[1:]
    if wanted not in played:
        raise RecordError(f"the model under test, {str(wanted)[:60]!r}, played neither role; give --target")
    return Annotated(key, scenario, role_of(wanted, played))


def _name(value: Any) -> str:
    """An id as the CSV writes it; empty for what is none."""
    return str(value).strip() if isinstance(value, str | int) and not isinstance(value, bool) else ""


def _judge(record: Mapping[str, Any], episode: Annotated) -> str | None:
    """Adds what the judge gave each role; why it could not be read."""
    judge, rewards = record["models"][0], record.get("rewards") or record.get("raw_rewards")
    try:
        given = [rating.scores for rating in read_ratings(episode.key, judge, rewards, "", 2)]
    except RecordError as error:
        return str(error)
    if any(given):
        episode.judged[judge] = (given[0], given[1])
    return None


def _rows(path: Path) -> list[tuple[int, dict[str, str]]]:
    """The rows of the CSV, whatever separates its columns, with the number of the line each ends on."""
    csv.field_size_limit(LONGEST)
    needed = ["pk", "annotator", *(f"{name}_{role}" for role in ROLES for name in DIMENSIONS)]
    try:
        with open_text(path, newline="") as file:
            head = file.readline()
            reader = csv.DictReader(chain([head], file), delimiter=max(_SEPARATORS, key=head.count))
            columns: Sequence[str] = reader.fieldnames or ()
            if missing := [name for name in needed if name not in columns]:
                more = f" and {len(missing) - 3} more" if len(missing) > 3 else ""
                raise WorldError(
                    f"{path} is no annotation file: it lacks the columns {', '.join(missing[:3])}{more}; "
                    "give the CSV first and the episodes second."
                )
            if doubled := [name for name, count in Counter(columns).items() if count > 1 and name in needed]:
                raise WorldError(f"{path} has the column {doubled[0]!r} twice; remove one.")
            return [
                (reader.line_num, {key: unmarked(value or "") for key, value in row.items() if key}) for row in reader
            ]
    except OSError as error:
        raise StoreError(f"{path} cannot be read ({error.strerror}); check the path.") from error
    except (UnicodeDecodeError, csv.Error) as error:
        raise WorldError(f"{path} is no CSV in UTF-8 ({error}); give the CSV first and the episodes second.") from error


def _add(
    row: Mapping[str, str], known: Mapping[str, Annotated], seen: set[tuple[str, str]], names: dict[str, str]
) -> str | None:
    """Adds the annotation of a row; what should be known about it. `names` has how each annotator was written first."""
    key, annotator = row["pk"].strip(), row["annotator"].strip()
    if key not in known:
        raise RecordError("there is no episode with this pk")
    if annotator.lower() in _MISSING:
        raise RecordError("the annotator is missing")
    annotator = names.setdefault(folded(annotator), annotator)
    first, second = (_scores(row, role) for role in ROLES)
    if not first and not second:
        raise RecordError("it has no score")
    known[key].annotations.append(Annotation(annotator, (first, second)))
    doubled = (key, annotator) in seen
    seen.add((key, annotator))
    return f"{annotator} has rated this episode in an earlier row; both count in the means" if doubled else None


def _scores(row: Mapping[str, str], role: int) -> dict[str, float]:
    found: dict[str, float] = {}
    for name, (low, high) in DIMENSIONS.items():
        text = row[f"{name}_{role}"].strip()
        if text.lower() in _MISSING:
            continue
        try:
            score = float(text)
        except ValueError:
            raise RecordError(f"{name}_{role} is {text[:40]!r} and not a number") from None
        if not math.isfinite(score) or not low <= score <= high:
            raise RecordError(f"{name}_{role} is {text[:40]} and not from {low} to {high}")
        found[name] = score
    return found
