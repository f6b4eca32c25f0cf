"""MMLU (Hendrycks et al. 2021, arXiv 2009.03300) as tasks for lm-eval: from the published CSV files, or from the hub.

`data.tar` of the authors has `dev/SUBJECT_dev.csv` and `test/SUBJECT_test.csv`, without a header: question, four
choices, the letter of the right one. Five questions of `dev` stand before each question of `test`.

Two rules say what a model's answer is:

first       The model writes on, and the first of A, B, C, D that stands by itself in what it writes is its answer.
            Where there is none, the question is unanswered, which counts as wrong and is reported beside.
likelihood  The letter that the model finds most likely as the next word, as lm-eval's own `mmlu` and leaderboards do.
"""

from __future__ import annotations

import csv
import hashlib
import json
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal, get_args

from sotopia_pi.errors import ConfigError
from sotopia_pi.inputs import open_text

Rule = Literal["first", "likelihood"]
RULES: tuple[Rule, ...] = get_args(Rule)
LETTERS = "ABCD"
_PREFIX = "sotopia_pi_mmlu_"
_HUB = "cais/mmlu"

#: The authors' four groups of the 57 subjects.
GROUPS: dict[str, tuple[str, ...]] = {
    "STEM": (
        "abstract_algebra", "anatomy", "astronomy", "college_biology", "college_chemistry", "college_computer_science",
        "college_mathematics", "college_physics", "computer_security", "conceptual_physics", "electrical_engineering",
        "elementary_mathematics", "high_school_biology", "high_school_chemistry", "high_school_computer_science",
        "high_school_mathematics", "high_school_physics", "high_school_statistics", "machine_learning",
    ),
    "humanities": (
        "formal_logic", "high_school_european_history", "high_school_us_history", "high_school_world_history",
        "international_law", "jurisprudence", "logical_fallacies", "moral_disputes", "moral_scenarios", "philosophy",
        "prehistory", "professional_law", "world_religions",
    ),
    "social sciences": (
        "econometrics", "high_school_geography", "high_school_government_and_politics", "high_school_macroeconomics",
        "high_school_microeconomics", "high_school_psychology", "human_sexuality", "professional_psychology",
        "public_relations", "security_studies", "sociology", "us_foreign_policy",
    ),
    "other": (
        "business_ethics", "clinical_knowledge", "college_medicine", "global_facts", "human_aging", "management",
        "marketing", "medical_genetics", "miscellaneous", "nutrition", "professional_accounting",
        "professional_medicine", "virology",
    ),
}  # fmt: skip
_GROUP_OF = {subject: group for group, subjects in GROUPS.items() for subject in subjects}


@dataclass(frozen=True, slots=True)
class Tasks:
    """Tasks for lm-eval by name, and what decides their questions (`mark`). `limit` is left for lm-eval to apply."""

    names: tuple[str, ...]
    mark: str
    metric: str
    limit: int | None = None


def group_of(subject: str) -> str:
    """The group of a subject; subjects of your own are `other`."""
    return _GROUP_OF.get(subject, "other")


def subject_of(task: str) -> str:
    """The subject that a task of ours asks about."""
    return task.removeprefix(_PREFIX)


def write_tasks(folder: Path, data: Path | None, rule: Rule, shots: int, limit: int | None) -> Tasks:
    """Writes a task per subject into `folder`: with the questions of the CSV files in `data`, or from the hub.

    `limit` takes the first questions of every subject. ConfigError names what is wrong with the files.
    """
    marks = hashlib.sha256(json.dumps([rule, shots, limit]).encode())
    subjects = list(_GROUP_OF) if data is None else _subjects(data)
    names = []
    for subject in sorted(subjects):
        source: dict[str, Any] = {"dataset_path": _HUB, "dataset_name": subject}
        if data is not None:
            held = {}
            for split in ("dev", "test"):
                wanted = shots if split == "dev" else limit
                lines = list(_questions(_file(data, split, subject), wanted))
                if split == "dev" and len(lines) < shots:
                    raise ConfigError(
                        f"{_file(data, split, subject)} has {len(lines)} questions for {shots} shots; lower --shots."
                    )
                held[split] = folder / f"{subject}_{split}.jsonl"
                text = "".join(json.dumps(line, ensure_ascii=False) + "\n" for line in lines)
                held[split].write_text(text, encoding="utf-8")
                marks.update(text.encode())
            source = {"dataset_path": "json", "dataset_kwargs": {"data_files": {k: str(v) for k, v in held.items()}}}
        task = {"task": _PREFIX + subject, **source, **_asked(subject, rule, shots)}
        (folder / f"{subject}.yaml").write_text(json.dumps(task), encoding="utf-8")  # JSON is YAML
        names.append(_PREFIX + subject)
    metric = "acc,none" if rule == "likelihood" else "exact_match,first"
    return Tasks(tuple(names), marks.hexdigest()[:16], metric, limit if data is None else None)


def _asked(subject: str, rule: Rule, shots: int) -> dict[str, Any]:
    """How a subject is asked: the authors' heading and layout."""
    common: dict[str, Any] = {
        "test_split": "test",
        "fewshot_split": "dev",
        "fewshot_config": {"sampler": "first_n"},
        "num_fewshot": shots,
        "description": "The following are multiple choice questions (with answers) about "
        + subject.replace("_", " ")
        + ".\n\n",
        "doc_to_text": "{{question.strip()}}\n"
        + "\n".join(f"{letter}. {{{{choices[{n}]}}}}" for n, letter in enumerate(LETTERS))
        + "\nAnswer:",
        "metadata": {"version": 1.0},
    }
    if rule == "likelihood":
        return {
            **common,
            "output_type": "multiple_choice",
            "doc_to_choice": list(LETTERS),
            "doc_to_target": "answer",
            "metric_list": [{"metric": "acc", "aggregation": "mean", "higher_is_better": True}],
        }
    pattern = "(?<![A-Za-z])([ABCD])(?![A-Za-z])"
    return {
        **common,
        "output_type": "generate_until",
        "doc_to_target": "{{['A', 'B', 'C', 'D'][answer]}}",
        "generation_kwargs": {"until": ["\n\n"], "max_gen_toks": 16, "do_sample": False},
        "filter_list": [
            {"name": "first", "filter": [{"function": "regex", "regex_pattern": pattern}, {"function": "take_first"}]}
        ],
        "metric_list": [{"metric": "exact_match", "aggregation": "mean", "higher_is_better": True}],
    }


def _file(data: Path, split: str, subject: str) -> Path:
    return data / split / f"{subject}_{split}.csv"


def data_folder(given: Path) -> Path:
    """The folder with `dev` and `test`: the one that is given, or `data` in it, as the archive unpacks."""
    for folder in (given, given / "data"):
        if (folder / "test").is_dir() and (folder / "dev").is_dir():
            return folder
    raise ConfigError(
        f"{given} has no folders dev and test; unpack the authors' data.tar there, or give another --data."
    )


def _subjects(data: Path) -> list[str]:
    found = [path.name.removesuffix("_test.csv") for path in (data / "test").glob("*_test.csv")]
    if not found:
        raise ConfigError(f"{data / 'test'} has no files SUBJECT_test.csv; give the folder of MMLU's CSV files.")
    missing = [subject for subject in sorted(found) if not _file(data, "dev", subject).is_file()]
    if missing:
        raise ConfigError(f"{_file(data, 'dev', missing[0])} is missing; each subject needs its examples there.")
    return found


def _questions(path: Path, limit: int | None) -> Iterator[dict[str, Any]]:
    """The first questions of a file."""
    if limit == 0:
        return
    try:
        with open_text(path, newline="") as file:
            reader = csv.reader(file)
            for number, row in enumerate(reader):
                if number == limit:
                    return
                if len(row) != 6 or row[5].strip() not in tuple(LETTERS):
                    place = f"{path}:{reader.line_num}"
                    raise ConfigError(f"{place} is no question with four choices and a letter from A to D; correct it.")
                yield {"question": row[0], "choices": row[1:5], "answer": LETTERS.index(row[5].strip())}
    except (OSError, csv.Error, UnicodeDecodeError) as error:
        raise ConfigError(f"{path} cannot be read ({error}); give MMLU's CSV files as they were published.") from error
