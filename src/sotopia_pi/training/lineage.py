"""Where a policy comes from: `policy.json` and `examples.jsonl` in its folder, written with its weights."""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

from pydantic import BaseModel, ConfigDict, Field

from sotopia_pi.errors import ModelError
from sotopia_pi.inputs import open_text, read_json, read_text

LINEAGE, EXAMPLES = "policy.json", "examples.jsonl"
#: What was logged during training, beside them.
METRICS = "metrics.jsonl"


class Lineage(BaseModel):
    """What a policy was made of.

    `base` are the weights its adapter belongs to (for `tune = "full"`: that it began as), `parent` the policy it
    continues ("base" for none), `method` who played its examples, `update` how it learned from them. Counts are of
    sequences and tokens per epoch; `cut` of the sequences lost `turns_dropped` of their oldest turns to the cut-off,
    `dropped` fitted not at all; a preference update compared them in `pairs`. `curve` has one point per update: step,
    epoch, loss (nats per trained token, for `dpo` TRL's loss) and learning rate, for `dpo` also rewards. `merged`: what
    the folder holds is the base with the adapter merged into it.
    """

    model_config = ConfigDict(frozen=True)

    name: str
    base: str
    parent: str = "base"
    method: str = ""
    update: str = "sft"
    tune: str = "lora"
    run: str = ""
    sequences: int = 0
    tokens: int = 0
    trained_tokens: int = 0
    cut: int = 0
    turns_dropped: int = 0
    pairs: int = 0
    dropped: int = 0
    settings: dict[str, Any] = Field(default_factory=dict)
    versions: dict[str, str] = Field(default_factory=dict)
    curve: list[dict[str, float]] = Field(default_factory=list)
    merged: bool = False

    @property
    def losses(self) -> list[float]:
        """The training loss of every update."""
        return [point["loss"] for point in self.curve if "loss" in point]


def write_lineage(folder: Path, lineage: Lineage, examples: Iterable[tuple[str, int]]) -> None:
    """Writes both files; `examples` are the (episode, role) pairs that were trained on."""
    (folder / LINEAGE).write_text(lineage.model_dump_json(indent=1) + "\n", encoding="utf-8")
    with (folder / EXAMPLES).open("w", encoding="utf-8") as file:
        for episode, role in examples:
            file.write(json.dumps({"episode": episode, "role": role}) + "\n")


def read_lineage(folder: Path) -> Lineage:
    """The lineage of the policy in `folder`. ModelError when there is none or it cannot be read."""
    path = folder / LINEAGE
    try:
        return Lineage.model_validate(read_json(read_text(path)))
    except FileNotFoundError:
        raise ModelError(
            f"{folder} is not a policy of sotopia-pi: it has no {LINEAGE}; name a folder under policies/."
        ) from None
    except (OSError, ValueError) as error:
        first = str(error).splitlines()[0]
        raise ModelError(f"{path} cannot be read ({first}); train the policy again or restore the file.") from None


def read_examples(folder: Path) -> Iterator[tuple[str, int]]:
    """The (episode, role) pairs that the policy in `folder` was trained on. ModelError when they cannot be read."""
    try:
        with open_text(folder / EXAMPLES) as file:
            for line in file:
                item = read_json(line)
                yield str(item["episode"]), int(item["role"])
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise ModelError(f"{folder / EXAMPLES} cannot be read ({error}); restore it or train again.") from None


def parents(folder: Path) -> list[tuple[str, Path | None]]:
    """The policies that the one in `folder` continues, its own parent first, each with its folder if that is beside it.

    The base, where every chain begins, is not among them.
    """
    found: list[tuple[str, Path | None]] = []
    name, seen = read_lineage(folder).parent, {folder.name}
    while name != "base" and name not in seen:
        seen.add(name)
        beside = folder.parent / name
        here = name == Path(name).name and (beside / LINEAGE).is_file()
        found.append((name, beside if here else None))
        if not here:
            break
        name = read_lineage(beside).parent
    return found
