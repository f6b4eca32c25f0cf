"""A policy's model card: README.md in its folder, as the Hugging Face hub shows it.

It says what `policy.json` says, in words, and no path of the machine that it was trained on: a base that is a folder
is called by the folder's name. No licence is asserted, since that is for the owners of base and examples to say.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from sotopia_pi.models.fitting import holds_whole_weights
from sotopia_pi.models.weights import public_name
from sotopia_pi.training.lineage import Lineage, read_lineage

CARD = "README.md"
_METHODS = {
    "bc": "behaviour cloning: it imitates episodes that an expert played in both roles",
    "sr": "self-reinforcement: it imitates the best of the episodes that its parent played with itself",
}
_UPDATES = {"sft": "supervised fine-tuning", "dpo": "direct preference optimization"}
_PEFT = """\
from peft import PeftModel
from transformers import AutoModelForCausalLM, AutoTokenizer

base = {base}
tokenizer = AutoTokenizer.from_pretrained(base)
model = PeftModel.from_pretrained(AutoModelForCausalLM.from_pretrained(base), {name})
"""
_WHOLE = """\
from transformers import AutoModelForCausalLM, AutoTokenizer

tokenizer = AutoTokenizer.from_pretrained({name})
model = AutoModelForCausalLM.from_pretrained({name})
"""
_LIMITS = """\
- It was trained to write one JSON action a turn in the role of a character, in the chat layout of sotopia-pi. Used for
  anything else, it is the base model with less practice in it.
- It pursues the goal that it is given, also against whom it talks to, and may say what is not true. Do not let it speak
  to people who do not know that a model is speaking.
- What it says of the characters and the world is made up. The base model's limits and biases are also its own.
- How well it plays is in the report of the run that trained it, not here; a loss says little about that.
- No licence is asserted: the base model's holds, and that of the data that the examples came from.
"""


def write_card(folder: Path) -> None:
    """Writes the card of the policy in `folder` from its `policy.json`. ModelError, OSError."""
    (folder / CARD).write_text(card(folder), encoding="utf-8")


def card(folder: Path) -> str:
    """The card of the policy in `folder`. ModelError when there is no policy."""
    lineage = read_lineage(folder)
    whole = holds_whole_weights(folder)
    base, name = _line(public_name(lineage.base)), _line(lineage.name)
    tags = ["sotopia-pi", "social-agents", *([] if whole else ["lora"])]
    front = {"base_model": base, "library_name": "transformers" if whole else "peft", "pipeline_tag": "text-generation"}
    lines = ["---", *(f"{key}: {json.dumps(value)}" for key, value in front.items())]
    lines += ["tags:", *(f"- {tag}" for tag in tags), "---", "", f"# {name}", ""]
    lines += [*_about(lineage, base, whole), "", "## Training", "", *_training(lineage, folder), ""]
    lines += ["## Hyper-parameters", "", *_table("setting", lineage.settings), ""]
    lines += ["## Versions", "", *_table("package", lineage.versions), ""]
    code = (_WHOLE if whole else _PEFT).format(base=json.dumps(base), name=json.dumps(name))
    lines += ["## Loading it", "", f"`{name}` stands for this folder or repository.", "", f"```python\n{code}```", ""]
    lines += ["## Playing it", "", *_playing(name), "", "## Limits", "", _LIMITS]
    return "\n".join(lines)


def _about(lineage: Lineage, base: str, whole: bool) -> Iterator[str]:
    kind = "whole weights" if whole else "a LoRA adapter for it"
    yield (
        f"A policy: a language model that plays characters in social tasks. It is {base}, trained by sotopia-pi, and "
        f"this is {kind}{', the adapter merged into the base' if lineage.merged else ''}."
    )


def _training(lineage: Lineage, folder: Path) -> Iterator[str]:
    method = _METHODS.get(lineage.method, _line(lineage.method) or "not recorded")
    yield f"- Method: {method}."
    yield f"- Update: {_UPDATES.get(lineage.update, _line(lineage.update))} ({_line(lineage.tune)})."
    parent = "the base itself" if lineage.parent == "base" else f"the policy `{_line(lineage.parent)}`"
    yield f"- Continues: {parent}."
    listed = " (`examples.jsonl` names each one's episode and role)" if (folder / "examples.jsonl").is_file() else ""
    yield f"- Examples: {lineage.sequences} sequences, one per role and episode{listed}."
    yield f"- Tokens per epoch: {lineage.tokens}, of which {lineage.trained_tokens} are trained."
    if lineage.cut or lineage.dropped:
        lost = f"{lineage.cut} sequences lost their {lineage.turns_dropped} oldest turns"
        yield f"- Cut-off: {lost}, {lineage.dropped} did not fit at all."
    if losses := lineage.losses:
        yield f"- Loss: {losses[0]:.4f} at the first of {len(losses)} recorded updates, {losses[-1]:.4f} at the last."


def _playing(name: str) -> Iterator[str]:
    yield "```sh"
    yield f"sotopia-pi serve {name}"
    yield f"sotopia-pi evaluate RUN --policy openai:{name}@http://127.0.0.1:8000/v1"
    yield "```"


def _table(what: str, rows: Mapping[str, Any]) -> Iterator[str]:
    yield f"| {what} | value |"
    yield "|---|---|"
    for key, value in rows.items():
        text = value if isinstance(value, str) else json.dumps(value)
        yield f"| {_line(str(key))} | {_line(text)} |"


def _line(text: str) -> str:
    """Text of a file that may come from anybody, so that it cannot begin a line or a cell of its own."""
    return " ".join(text.replace("|", "/").replace("`", "'").split())
