"""An audit from the judge's name to its files: audit.json, audit.html, calibration.json, and what is printed.

Everything that is played and rated is stored in the audit's own folder, so a stopped audit goes on where it stopped and
no rating is paid for twice.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from sotopia_pi import judging
from sotopia_pi.auditing import alterations, material, measuring, opening
from sotopia_pi.auditing.people import people_part
from sotopia_pi.config import JudgeConfig
from sotopia_pi.errors import ConfigError
from sotopia_pi.evaluation.trust.page import audit_page, audit_table
from sotopia_pi.evaluation.trust.verdict import conclude
from sotopia_pi.files import write_whole
from sotopia_pi.ratings.calibration import Calibration
from sotopia_pi.ratings.opening import LIKELIHOOD, check_judge, has_weights
from sotopia_pi.rundir import Run

PARTS = ("truth", "itself", "susceptibility", "calibration", "others", "people")
SCHEMA_VERSION = 1


@dataclass(frozen=True, slots=True)
class Asked:
    """What is audited and how: the judge's spec, how many episodes, ratings of each original, and with what.

    `parts` are names of PARTS; `others` needs `against`, `people` needs the two files. `run` is a run directory whose
    evaluation is taken in place of scripted episodes. `max_tokens` bounds the judge's reply. `method` is the judge's,
    that of the run's judge where it is None; judges of `against` without weights here are always asked for replies.
    """

    judge: str
    run: Path | None = None
    n: int = 60
    parts: tuple[str, ...] = PARTS
    against: tuple[str, ...] = ()
    people: tuple[Path, Path] | None = None
    samples: int = 2
    seed: int = 1
    max_tokens: int | None = None
    method: opening.Method | None = None
    budget: float | None = None
    out: Path | None = None
    quiet: bool = False

    @property
    def folder(self) -> Path:
        """Where everything is kept."""
        if self.out is not None:
            return self.out
        method = LIKELIHOOD if self.method == LIKELIHOOD else ""
        return Path("runs") / f"audit-{opening.folder_name(self.judge, method)}"


def run_audit(asked: Asked) -> dict[str, Any]:
    """Plays, rates, measures and writes; returns what audit.json holds. ConfigError, ModelError, StoreError, …"""
    _check(asked)
    with ExitStack() as stack:
        source = None if asked.run is None else opening.source_run(asked.run, stack)
        config = opening.audit_config("audit", asked.judge, source, asked.seed, asked.max_tokens, asked.method)
        run = stack.enter_context(Run.open(asked.folder, config, asked.quiet, asked.budget))
        what = opening.SCRIPTED_PLAYERS if source is None else f"the evaluation of {source.config.name!r}"
        opening.keep_source(run, what)
        content = _audit(run, source, asked)
        _write(run.folder, content)
        opening.say_result(run, audit_table(content), "audit.html")
    return content


def _check(asked: Asked) -> None:
    check_judge(asked.judge, asked.method or "reply")
    for spec in asked.against:
        check_judge(spec)
    if len(set(asked.against) | {asked.judge}) <= len(asked.against):
        raise ConfigError("--against names the audited judge, or one judge twice; give other judges.")
    unknown = [part for part in asked.parts if part not in PARTS]
    if unknown:
        raise ConfigError(f"There is no part {unknown[0]!r} of an audit; the parts are: {', '.join(PARTS)}.")
    if asked.n < 1 or not 1 <= asked.samples <= 100:
        raise ConfigError("Give at least one episode (--n) and 1 to 100 ratings of each (--samples).")
    opening.check_tokens(asked.max_tokens)


def _audit(run: Run, source: Run | None, asked: Asked) -> dict[str, Any]:
    settings = run.config.judge
    if settings is None:
        raise ConfigError(f"{asked.folder} holds a run and no audit; give another --out.")
    order: list[str] = []
    if source is None:
        items = material.scripted(run, asked.n, asked.seed)
    else:
        items, order = material.taken(run, source, asked.n, asked.seed)
    changed = _altered(run, items, asked.parts)
    judge = judging.rater_of(run, settings)
    samples = asked.samples if "itself" in asked.parts else 1
    judging.judge_with(run, material.ORIGINAL, settings.model_copy(update={"samples": samples}))
    if changed.made:
        judging.judge_with(run, material.ALTERED, settings)
    keys = {item.episode.key for item in items} | {e.key for rows in changed.made.values() for _, _, e in rows}
    ratings = measuring.read_ratings(run, judge, keys, (material.ORIGINAL, material.ALTERED))
    makers = _makers(run, settings, items, order, changed, ratings, asked)
    parts = {name: make() for name, make in makers.items() if name in asked.parts}
    failed = sum(ratings.failures.values())
    return {
        "schema_version": SCHEMA_VERSION,
        "judge": judge,
        "created": datetime.now(UTC).isoformat(timespec="seconds"),
        "episodes": str(run.store.meta(opening.SOURCE)),
        "n_episodes": len(items),
        "n_scenarios": len({item.scenario for item in items}),
        "ratings": {"asked": ratings.asked, "failed": failed, "causes": dict(ratings.failures.most_common())}
        | ({"first_failure": ratings.first_failure} if ratings.first_failure else {}),
        **conclude(parts, ratings.asked, failed),
        "parts": parts,
    }


def _altered(run: Run, items: Sequence[material.Item], parts: Sequence[str]) -> alterations.Alterations:
    changed = alterations.Alterations()
    if "itself" in parts:
        alterations.of_places_and_words(items, changed)
    if "susceptibility" in parts:
        alterations.of_insertions(items, changed)
    alterations.store(run, changed)
    return changed


def _makers(
    run: Run,
    settings: JudgeConfig,
    items: Sequence[material.Item],
    order: Sequence[str],
    changed: alterations.Alterations,
    ratings: measuring.Ratings,
    asked: Asked,
) -> dict[str, Callable[[], dict[str, Any]]]:
    """How each part is made that there is something to make from."""
    makers: dict[str, Callable[[], dict[str, Any]]] = {
        "truth": lambda: measuring.truth_part(items, ratings, order),
        "itself": lambda: measuring.itself_part(items, ratings, changed),
        "susceptibility": lambda: measuring.susceptibility_part(ratings, changed),
        "calibration": lambda: measuring.calibration_part(items, ratings),
    }
    if asked.against:
        makers["others"] = lambda: _others(run, settings, items, ratings, asked.against)
    if asked.people is not None:
        annotations, episodes = asked.people
        makers["people"] = lambda: people_part(run, settings, annotations, episodes, asked.n)
    return makers


def _others(
    run: Run,
    settings: JudgeConfig,
    items: Sequence[material.Item],
    own: measuring.Ratings,
    against: Sequence[str],
) -> dict[str, Any]:
    """The audited judge beside others, who rate the unaltered episodes once."""
    found = {judging.rater_of(run, settings): own}
    keys = {item.episode.key for item in items}
    for spec in against:
        method = settings.method if has_weights(spec) else "reply"
        other = settings.model_copy(update={"model": spec, "method": method})
        judging.judge_with(run, material.ORIGINAL, other)
        name = judging.rater_of(run, other)
        found[name] = measuring.read_ratings(run, name, keys, (material.ORIGINAL,))
    return measuring.others_part(items, found)


def _write(folder: Path, content: dict[str, Any]) -> None:
    """Writes the audit's files, each whole or not at all; an earlier calibration goes where there is none now."""
    found = content["parts"].get("calibration", {})
    calibration = folder / "calibration.json"
    opening.write_result(folder, "audit", content, audit_page(content))
    if "knots" in found:
        fields = {key: found[key] for key in Calibration.model_fields if key in found}
        made = Calibration(rater=content["judge"], **fields)
        write_whole(calibration, made.model_dump_json(indent=1) + "\n", opening.AGAIN)
    elif "calibration" in content["parts"]:
        calibration.unlink(missing_ok=True)
