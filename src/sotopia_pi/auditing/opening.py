"""What every audit begins and ends with: the run whose episodes are taken, how the judge is asked, what is said."""

from __future__ import annotations

import json
import re
from collections import Counter
from collections.abc import Callable, Hashable, Mapping, Sequence
from contextlib import ExitStack
from pathlib import Path
from typing import Any, Literal, TypeVar

from sotopia_pi.config import Config, JudgeConfig, ModelsConfig
from sotopia_pi.errors import ConfigError
from sotopia_pi.files import write_whole
from sotopia_pi.ratings.judge import JUDGE, rater_name
from sotopia_pi.ratings.opening import has_weights
from sotopia_pi.rundir import CONFIG, Run, is_run

Method = Literal["reply", "likelihood"]

_T = TypeVar("_T")

#: Under which name an audit's store keeps what its episodes are.
SOURCE = "audit"
SCRIPTED_PLAYERS = "scripted players"
AGAIN = "make room or change its permissions, then run the same command again"
_LEAST_TOKENS = 64


def source_run(folder: Path, stack: ExitStack) -> Run:
    """The run whose episodes or tasks are taken. ConfigError when the folder holds none, StoreError."""
    if not is_run(folder):
        raise ConfigError(f"{folder} is not a run directory (no {CONFIG}); check the path, or start it first.")
    return stack.enter_context(Run.reading(folder, quiet=True))


def folder_name(judge: str, method: str = "") -> str:
    """What of a judge's spec may name a folder."""
    name = rater_name(judge, method=method).removeprefix(JUDGE).rpartition(":")[0]
    return re.sub(r"[^A-Za-z0-9._-]+", "-", name).strip("-.") or "judge"


def check_tokens(max_tokens: int | None) -> None:
    """Refuses a limit that no rating fits in. ConfigError."""
    if max_tokens is not None and max_tokens < _LEAST_TOKENS:
        raise ConfigError(f"--max-tokens is {max_tokens}; a rating takes far more, give {_LEAST_TOKENS} at least.")


def audit_config(
    name: str, judge: str, source: Run | None, seed: int, max_tokens: int | None, method: Method | None = None
) -> Config:
    """An audit's own config: the judge with the prompts, dimensions and sampling of the run that is taken, if any.

    `method` None is that of the run's judge, where the audited one has weights here.
    """
    own = (source.config.judge if source is not None else None) or JudgeConfig(model=judge)
    changes: dict[str, Any] = {"model": judge, "panel": (), "calibration": None, "samples": 1}
    changes["method"] = method or (own.method if has_weights(judge) else "reply")
    if max_tokens is not None:
        changes["sampling"] = own.sampling.model_copy(update={"max_tokens": max_tokens})
    settings = own.model_copy(update=changes)
    if source is None:
        return Config(name=name, seed=seed, judge=settings)
    given = source.config
    return Config(
        name=name,
        seed=seed,
        judge=settings,
        models=ModelsConfig(prompts=given.models.prompts),
        endpoint=given.endpoint,
        runtime=given.runtime,
    )


def keep_source(run: Run, wanted: str) -> None:
    """Notes what an audit is of, and refuses to mix two in one folder. ConfigError."""
    stored = run.store.meta(SOURCE)
    if stored is not None and stored != wanted:
        raise ConfigError(f"{run.folder} holds an audit of {stored}, not of {wanted}; give another --out.")
    run.store.set_meta(SOURCE, wanted)


def write_result(folder: Path, name: str, content: Mapping[str, Any], page: str) -> None:
    """Writes what was found as JSON and the page about it, each whole or not at all. StoreError."""
    text = json.dumps(content, ensure_ascii=False, indent=1, allow_nan=False) + "\n"
    write_whole(folder / f"{name}.json", text, AGAIN)
    write_whole(folder / f"{name}.html", page, AGAIN)


def in_turns(items: Sequence[_T], of: Callable[[_T], Hashable]) -> list[_T]:
    """One item of each group before the second of any, in the order given."""
    seen: Counter[Hashable] = Counter()
    ranked = []
    for place, item in enumerate(items):
        ranked.append((seen[of(item)], place))
        seen[of(item)] += 1
    return [items[place] for _, place in sorted(ranked)]


def say_result(run: Run, table: str, page: str) -> None:
    """Says what was found, what it cost, and where the page about it is."""
    run.say(f"\n{table}")
    if run.ledger.facts():
        run.say(f"\nspent      {run.ledger}")
    run.say(f"\n{page.partition('.')[0]:<10} {run.folder / page}")
