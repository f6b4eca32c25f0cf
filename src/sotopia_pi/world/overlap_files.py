"""What the overlap check can compare: the starter world, files of tasks or scenarios, SOTOPIA's published profiles."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from sotopia_pi.errors import WorldError
from sotopia_pi.inputs import open_text, read_json
from sotopia_pi.world.library import starter_world
from sotopia_pi.world.overlap import Text, text_of

#: The file of scenarios in a folder of published SOTOPIA profiles.
PROFILES = "environment_profiles.jsonl"
STARTER = "starter"


def read_texts(source: str) -> list[Text]:
    """The scenarios of `source`, each once.

    `source` is `starter:train`, `starter:test` or `starter` (both), a file with one JSON object per line or a JSON
    list (social tasks, scenarios, or SOTOPIA's environment profiles), or a folder with SOTOPIA's profile files.
    WorldError names the file and the line or row that cannot be read.
    """
    if source == STARTER or source.startswith(f"{STARTER}:"):
        found = _starter(source)
    else:
        path = Path(source)
        path = path / PROFILES if path.is_dir() else path
        found = (_text(value, path, place) for place, value in _rows(path))
    unique: dict[tuple[str, ...], Text] = {}
    for text in found:
        unique.setdefault(text.parts, text)
    return list(unique.values())


def _starter(source: str) -> Iterator[Text]:
    scenarios = starter_world().scenarios
    split = source.partition(":")[2]
    if split and split not in scenarios:
        raise WorldError(f"There is no {source!r}; write starter:train or starter:test.")
    for name in [split] if split else scenarios:
        for number, scenario in enumerate(scenarios[name], 1):
            yield text_of(scenario, f"{STARTER}:{name} {number}")


def _rows(path: Path) -> Iterator[tuple[str, Any]]:
    """The rows of a JSON list, or the lines of a JSONL file one at a time."""
    try:
        with open_text(path) as handle:
            lines = ((number, line) for number, line in enumerate(handle, 1) if line.strip())
            for number, line in lines:
                if line.lstrip().startswith("["):
                    rows = enumerate(_json(line + handle.read(), f"{path}"), 1)
                    yield from ((f"row {place}", value) for place, value in rows)
                    return
                yield f"line {number}", _json(line, f"{path}, line {number}")
    except OSError as error:
        raise WorldError(f"{path} cannot be read ({error.strerror or error}); check the path.") from None
    except UnicodeDecodeError:
        raise WorldError(f"{path} is not UTF-8 text; save it as UTF-8 JSON or JSONL.") from None


def _json(text: str, label: str) -> Any:
    try:
        return read_json(text)
    except ValueError as error:
        raise WorldError(
            f"{label}: not valid JSON ({error}); write one JSON object per line, or one JSON list."
        ) from None


def _text(value: Any, path: Path, place: str) -> Text:
    """What is compared of a row of any kind; WorldError when it is of none."""
    row = value if isinstance(value, dict) else {}
    if isinstance(row.get("scenario"), dict):
        row = row["scenario"]
    for situation, goals in (("situation", "goals"), ("scenario", "agent_goals")):
        parts = [row.get(situation), *_list(row, goals)]
        if len(parts) > 1 and all(isinstance(part, str) and part.strip() for part in parts):
            return Text(f"{path.name} {place}", tuple(parts))
    raise WorldError(
        f"{path}, {place}: neither a task nor a scenario; give rows with situation and goals, or SOTOPIA's with "
        "scenario and agent_goals."
    )


def _list(row: Mapping[str, Any], key: str) -> list[Any]:
    found = row.get(key)
    return found if isinstance(found, list) else []
