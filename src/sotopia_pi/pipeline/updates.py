"""The update of a round: what was selected becomes a policy."""

from __future__ import annotations

from importlib.metadata import version
from pathlib import Path
from typing import Any

from sotopia_pi.config import RoundConfig
from sotopia_pi.errors import ConfigError
from sotopia_pi.models.remote.spec import is_remote
from sotopia_pi.pipeline.stages import Facts, need, once
from sotopia_pi.records import derive_seed
from sotopia_pi.rundir import POLICIES, Run
from sotopia_pi.training.card import write_card
from sotopia_pi.training.examples import Tokens, example, token_counts, tokenize
from sotopia_pi.training.lineage import Lineage, write_lineage


def train(run: Run, item: RoundConfig) -> Facts:
    """Fine-tunes the parent policy on what was selected; the policy folder appears when it is complete."""
    from sotopia_pi.models.weights import load_tokenizer, use_threads
    from sotopia_pi.training.sft import fine_tune

    settings, base = run.config.training_of(item), trained_weights(run)
    for name in (*item.replay, item.name):
        need(run, f"select/{name}")

    def work() -> Facts:
        use_threads(run.config.runtime.threads)
        tokenizer = load_tokenizer(base)
        chosen = [pair for name in (*item.replay, item.name) for pair in run.store.selection(name)]
        made = [(pair, _tokens(run, tokenizer, *pair, settings.cutoff)) for pair in chosen]
        items = [(pair, tokens) for pair, tokens in made if tokens is not None]
        facts: Facts = {**token_counts([tokens for _, tokens in items]), "dropped": len(made) - len(items)}
        run.say(f"train      {item.name}: {facts['sequences']} sequences, {facts['tokens']} tokens")
        lineage = Lineage(
            name=item.name,
            base=base,
            parent=item.parent,
            method=item.method,
            update=item.update,
            tune=settings.tune,
            run=run.config.name,
            settings=settings.model_dump(mode="json"),
            versions=versions(),
            **facts,
        )

        def finish(folder: Path, curve: list[dict[str, float]]) -> None:
            write_lineage(folder, lineage.model_copy(update={"curve": curve}), (pair for pair, _ in items))
            write_card(folder)

        curve = fine_tune(
            base,
            run.policy_folder(item.parent),
            [tokens for _, tokens in items],
            run.folder / POLICIES / item.name,
            settings,
            derive_seed(run.config.seed, item.name),
            run.quiet,
            finish,
        )
        return {**facts, "curve": curve, "settings": settings.model_dump(mode="json")}

    facts = once(run, f"train/{item.name}", work)
    run.say(f"trained    {item.name}: loss {facts['curve'][0]['loss']:.2f} → {facts['curve'][-1]['loss']:.2f}")
    return facts


def _tokens(run: Run, tokenizer: Any, key: str, role: int, cutoff: int) -> Tokens | None:
    episode = run.store.episode(key)
    made = example(run.store.task(episode.task_id), episode, role, run.config.max_turns, run.prompts)
    return tokenize(tokenizer, made, cutoff)


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
