"""lm-eval as a program beside ours: started in a folder of its own, its results read from the files it leaves.

It is never imported, so that what it brings along stays out of our process, and it may be installed for another
Python. What it found is kept as one JSON file per policy and question set, and read again while nothing has changed.
"""

from __future__ import annotations

import hashlib
import importlib.metadata
import importlib.util
import json
import math
import os
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from sotopia_pi.errors import ConfigError, ModelError, StoreError
from sotopia_pi.files import check_plain, remove, write_whole
from sotopia_pi.records import content_hash

PACKAGE = "lm_eval"
#: Larger files are told apart by size and time.
_HASHED = 64 * 1024 * 1024
#: What lm-eval's regex filter gives where it finds nothing.
_NO_ANSWER = "[invalid]"
_OFFLINE = {"HF_HUB_OFFLINE": "1", "HF_DATASETS_OFFLINE": "1", "TRANSFORMERS_OFFLINE": "1"}


@dataclass(frozen=True, slots=True)
class Weights:
    """A model for lm-eval: what `from_pretrained` takes, and the folder of an adapter to it."""

    name: str
    model: str
    adapter: Path | None = None

    @property
    def mark(self) -> str:
        """Changes when the weights do."""
        folders = [self.adapter] if self.adapter else []
        folders += [Path(self.model)] if Path(self.model).is_dir() else []
        return content_hash([self.model, [_folder_mark(folder) for folder in folders]])


@dataclass(frozen=True, slots=True)
class Asked:
    """What is asked: names of lm-eval's tasks, how many shots (None: the task's own), how many questions of each."""

    tasks: tuple[str, ...]
    shots: int | None = None
    limit: int | None = None
    include: Path | None = None
    mark: str = ""


@dataclass(frozen=True, slots=True)
class Settings:
    """How lm-eval is run. `python` has it installed; `chat` puts questions into the model's chat template."""

    python: str = ""
    device: str = ""
    batch: int = 4
    chat: bool = False
    offline: bool = False


@dataclass(slots=True)
class Answers:
    """What lm-eval found: per task its totals, and per question each metric that has a value there.

    Metrics are called as lm-eval does, "NAME,FILTER". `unanswered` has the questions whose answer no filter found.
    """

    totals: dict[str, dict[str, float]] = field(default_factory=dict)
    questions: dict[str, dict[str, dict[str, float]]] = field(default_factory=dict)
    unanswered: dict[str, list[str]] = field(default_factory=dict)
    versions: dict[str, str] = field(default_factory=dict)


def check_installed(python: str = "") -> None:
    """ConfigError when lm-eval is not installed for our Python and no other one is named."""
    if not python and importlib.util.find_spec(PACKAGE) is None:
        raise ConfigError(
            "This needs lm-eval; install it with `pip install 'sotopia-pi[ability]'`, or name a Python that has it "
            "with --python."
        )


def answers(weights: Weights, asked: Asked, settings: Settings, kept: Path, fresh: bool = False) -> Answers:
    """What lm-eval finds for a model, from the folder `kept` where the same was asked before. ModelError, StoreError.

    `fresh` asks again in any case.
    """
    path = kept / f"{_safe(weights.name)}-{_key(weights, asked, settings)}.json"
    check_plain(path)
    if path.is_file() and not fresh:
        return _load(path)
    found = _ask(weights, asked, settings, path.with_suffix(".log"))
    _save(path, found)
    return found


def _key(weights: Weights, asked: Asked, settings: Settings) -> str:
    version = "" if settings.python or not importlib.util.find_spec(PACKAGE) else importlib.metadata.version(PACKAGE)
    include = "" if asked.mark or asked.include is None else _folder_mark(asked.include)
    told = [weights.mark, asked.tasks, asked.shots, asked.limit, asked.mark, include, settings.chat]
    return content_hash([*told, settings.python, version])


def _ask(weights: Weights, asked: Asked, settings: Settings, log: Path) -> Answers:
    check_installed(settings.python)
    with tempfile.TemporaryDirectory(prefix="sotopia-pi-ability-") as name:
        folder = Path(name)
        _run(_command(weights, asked, settings, folder / "found"), folder, log, settings.offline)
        try:
            return _read(folder / "found")
        except (OSError, ValueError, KeyError, TypeError, AttributeError) as error:
            raise ModelError(f"What lm-eval left cannot be read ({error}); its messages are in {log}.") from error


def _command(weights: Weights, asked: Asked, settings: Settings, out: Path) -> list[str]:
    device = settings.device or _device()
    model: dict[str, Any] = {"pretrained": weights.model, "dtype": "float32" if device == "cpu" else "auto"}
    if weights.adapter is not None:
        model["peft"] = str(weights.adapter.resolve())
    words = [settings.python or sys.executable, "-m", PACKAGE, "--model", "hf", "--model_args", json.dumps(model)]
    words += ["--tasks", ",".join(asked.tasks), "--output_path", str(out), "--log_samples"]
    words += ["--batch_size", str(settings.batch), "--device", device]
    words += [] if asked.shots is None else ["--num_fewshot", str(asked.shots)]
    words += [] if asked.limit is None else ["--limit", str(asked.limit)]
    words += [] if asked.include is None else ["--include_path", str(asked.include.resolve())]
    return words + (["--apply_chat_template"] if settings.chat else [])


def _device() -> str:
    if importlib.util.find_spec("torch") is None:
        return "cpu"
    import torch

    return "cuda" if torch.cuda.is_available() else "cpu"


def _run(words: Sequence[str], folder: Path, log: Path, offline: bool) -> None:
    environment = {**os.environ, **(_OFFLINE if offline else {}), "TOKENIZERS_PARALLELISM": "false"}
    if words[0] != sys.executable:
        environment.pop("PYTHONPATH", None)  # ours is not meant for another Python
    try:
        log.parent.mkdir(parents=True, exist_ok=True)
        check_plain(log)
        remove(log)
        with log.open("xb") as file:
            done = subprocess.run(
                words,
                check=False,
                cwd=folder,
                env=environment,
                stdin=subprocess.DEVNULL,
                stdout=file,
                stderr=subprocess.STDOUT,
            )
    except OSError as error:
        raise ConfigError(f"lm-eval cannot be started ({error}); check --python.") from error
    if done.returncode:
        lines = log.read_text(encoding="utf-8", errors="replace").strip().splitlines()
        last = lines[-1].strip()[:300] if lines else "it said nothing"
        raise ModelError(f"lm-eval stopped with code {done.returncode}: {last} (its messages are in {log})")


def _read(folder: Path) -> Answers:
    """What the newest results file and the samples beside it say."""
    files = sorted(folder.rglob("results_*.json"))
    if not files:
        raise ValueError("there is no results file")
    said = json.loads(files[-1].read_text(encoding="utf-8"))
    found = Answers()
    for task, values in said["results"].items():
        numbers = {name: value for name, value in values.items() if _is_number(value) and "," in name}
        if numbers:
            found.totals[task] = numbers
    known = ("lm_eval_version", "transformers_version")
    found.versions = {name.removesuffix("_version"): str(said[name]) for name in known if said.get(name)}
    date = files[-1].stem.removeprefix("results_")
    for path in sorted(files[-1].parent.glob(f"samples_*_{date}.jsonl")):
        _read_samples(path, path.stem.removeprefix("samples_").removesuffix(f"_{date}"), found)
    return found


def _read_samples(path: Path, task: str, found: Answers) -> None:
    questions = found.questions.setdefault(task, {})
    missed: dict[str, None] = {}
    with path.open(encoding="utf-8") as file:
        for line in file:
            row = json.loads(line)
            id = f"{row['doc_id']}:{str(row.get('doc_hash', ''))[:8]}"
            values = questions.setdefault(id, {})
            for metric in row.get("metrics", []):
                if _is_number(row.get(metric)):
                    values[f"{metric},{row.get('filter', 'none')}"] = float(row[metric])
            if row.get("filtered_resps") == [_NO_ANSWER]:
                missed[id] = None
    found.unanswered[task] = list(missed)


def _is_number(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool) and math.isfinite(value)


def _load(path: Path) -> Answers:
    try:
        return Answers(**json.loads(path.read_text(encoding="utf-8")))
    except (OSError, ValueError, TypeError) as error:
        raise StoreError(f"{path} cannot be read ({error}); remove it, and the questions are asked again.") from error


def _save(path: Path, found: Answers) -> None:
    content = {name: getattr(found, name) for name in ("totals", "questions", "unanswered", "versions")}
    write_whole(path, json.dumps(content) + "\n", "make room and run it again")


def _folder_mark(folder: Path) -> str:
    """Changes when a file in the folder does: by content, and large files by size and time."""
    told: list[list[str | int]] = []
    for path in sorted(path for path in folder.rglob("*") if path.is_file()):
        about = path.stat()
        if about.st_size < _HASHED:
            told.append([str(path.relative_to(folder)), hashlib.sha256(path.read_bytes()).hexdigest()])
        else:
            told.append([str(path.relative_to(folder)), about.st_size, about.st_mtime_ns])
    return content_hash(told)


def _safe(name: str) -> str:
    return "".join(char if char.isalnum() or char in "+._-" else "_" for char in name)[-60:] or "model"
