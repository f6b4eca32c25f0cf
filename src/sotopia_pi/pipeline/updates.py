"""The update of a round: what was selected becomes a policy."""

from __future__ import annotations

import json
import shutil
from importlib.metadata import version
from pathlib import Path

from sotopia_pi.config import RoundConfig
from sotopia_pi.errors import ConfigError
from sotopia_pi.files import check_tree
from sotopia_pi.models.fitting import holds_whole_weights
from sotopia_pi.models.remote.spec import is_remote
from sotopia_pi.models.weights import BESIDE, check_quantizing
from sotopia_pi.pipeline.choosing import best_player
from sotopia_pi.pipeline.preparing import fingerprint, prepare
from sotopia_pi.pipeline.stages import Facts, need, once
from sotopia_pi.records import derive_seed
from sotopia_pi.rundir import Run
from sotopia_pi.training.card import write_card
from sotopia_pi.training.launch import check_runtime
from sotopia_pi.training.lineage import Lineage, read_lineage, write_lineage
from sotopia_pi.training.prepared import Prepared

_PLAN = "plan.json"


def train(run: Run, item: RoundConfig) -> Facts:
    """Fine-tunes the parent policy on what was selected; the policy folder appears when it is complete.

    A training that was killed continues from its last checkpoint.
    """
    if item.update == "dpo":
        from sotopia_pi.pipeline.preferring import train_on_preferences

        return train_on_preferences(run, item)
    base = trained_weights(run)
    for name in (*item.replay, item.name):
        need(run, f"select/{name}")
    facts = once(run, f"train/{item.name}", lambda: _imitate(run, item, base))
    run.say(f"trained    {item.name}: loss {facts['curve'][0]['loss']:.2f} → {facts['curve'][-1]['loss']:.2f}")
    return facts


def check_training(run: Run) -> None:
    """Whether the rounds of a run can be trained here, before anything is played. ConfigError, ModelError."""
    trained_weights(run)
    check_runtime(run.config.runtime)
    if any(run.config.training_of(item).tune == "qlora" for item in run.config.rounds):
        check_quantizing()


def _imitate(run: Run, item: RoundConfig, base: str) -> Facts:
    """Supervised fine-tuning on the selected examples of a round and of those it replays."""
    from sotopia_pi.models.weights import load_tokenizer, use_threads
    from sotopia_pi.training.sft import SEQUENCES, fine_tune, work_folder

    settings, target = run.config.training_of(item), run.place_of_policy(item.name)
    parent, seed = run.policy_folder(item.parent), derive_seed(run.config.seed, item.name)
    use_threads(run.config.runtime.threads)
    pairs = [pair for name in (*item.replay, item.name) for pair in run.store.selection(name)]
    folder = work_folder(target)
    check_tree(folder, alone=True)  # which a stranger may have prepared to be continued
    plan = fingerprint(base, parent, settings, seed, pairs)
    facts = _begun(folder, plan)
    if facts is None:
        facts = prepare(run, load_tokenizer(base), pairs, settings.cutoff, folder / SEQUENCES)
        (folder / _PLAN).write_text(json.dumps({"plan": plan, "facts": facts}), encoding="utf-8")
    for note in facts.get("notes", ()):
        run.say(f"train      {item.name}: {note}")
    run.say(f"train      {item.name}: {facts['sequences']} sequences, {facts['tokens']} tokens{_left_out(facts)}")
    sequences = Prepared(folder / SEQUENCES)
    lineage = lineage_of(run, item, base, facts)

    def finish(made: Path, curve: list[dict[str, float]]) -> None:
        write_lineage(made, lineage.model_copy(update={"curve": curve}), sequences.examples())
        write_card(made)

    curve = fine_tune(
        base,
        parent,
        sequences,
        target,
        settings,
        seed,
        run.quiet,
        finish,
        run.config.runtime,
        (lambda folder, outcome: best_player(run, item, folder, outcome)) if settings.keep == "best_play" else None,
    )
    return {**facts, "curve": curve, "settings": settings.model_dump(mode="json")}


def _begun(folder: Path, plan: str) -> Facts | None:
    """What was prepared in `folder` for the same training; else None, and the folder is emptied."""
    try:
        known = json.loads((folder / _PLAN).read_text(encoding="utf-8"))
    except (OSError, ValueError):
        known = {}
    if known.get("plan") == plan:
        return dict(known["facts"])
    shutil.rmtree(folder, ignore_errors=True)
    return None


def _left_out(facts: Facts) -> str:
    """What the cut-off cost, in words."""
    said = []
    if facts["cut"]:
        said.append(f"{facts['cut']} longer than the cut-off, without {facts['turns_dropped']} of their oldest turns")
    if facts["dropped"]:
        said.append(f"{facts['dropped']} examples left out, with nothing to train that fits")
    return "".join(f"; {part}" for part in said)


def lineage_of(run: Run, item: RoundConfig, base: str, facts: Facts) -> Lineage:
    """Where the policy of a round comes from; its curve is not known yet."""
    settings, parent = run.config.training_of(item), run.policy_folder(item.parent)
    if parent is not None and settings.tune != "full":
        base = f"{BESIDE}{parent.name}" if holds_whole_weights(parent) else read_lineage(parent).base
    counts = {name: value for name, value in facts.items() if name != "notes"}
    return Lineage(
        name=item.name,
        base=base,
        parent=item.parent,
        method=item.method,
        update=item.update,
        tune=settings.tune,
        run=run.config.name,
        settings=settings.model_dump(mode="json"),
        versions=versions(),
        **counts,
    )


def trained_weights(run: Run) -> str:
    """The model whose weights the rounds train. ConfigError when they are not here."""
    models = run.config.models
    if models.weights is None and is_remote(models.policy):
        raise ConfigError(
            f"The policy {models.policy!r} cannot be trained here: rounds train weights that are on this machine. Name "
            "them in models.weights (and serve each round's adapter), remove the rounds, or only collect, select and "
            "`sotopia-pi export --format chat` what another program is to train on."
        )
    return models.weights or models.policy


def versions() -> dict[str, str]:
    """The versions that shaped the result."""
    import platform
    from importlib.metadata import PackageNotFoundError

    found = {"python": platform.python_version()}
    for package in ("sotopia-pi", "torch", "transformers", "peft"):
        try:
            found[package] = version(package)
        except PackageNotFoundError:
            found[package] = "not installed"
    return found
