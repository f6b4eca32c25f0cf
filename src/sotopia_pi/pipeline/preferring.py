"""The preference update of a round: what was selected is preferred to what was not."""

from __future__ import annotations

import json
from collections import defaultdict
from collections.abc import Iterator
from importlib.metadata import version
from pathlib import Path

from sotopia_pi.config import RoundConfig
from sotopia_pi.errors import TrainingError
from sotopia_pi.pipeline.rounds import candidates_of
from sotopia_pi.pipeline.stages import Facts, need, once
from sotopia_pi.pipeline.updates import lineage_of, trained_weights
from sotopia_pi.records import derive_seed
from sotopia_pi.rundir import Run
from sotopia_pi.training.card import write_card
from sotopia_pi.training.dpo import check_possible, prefer
from sotopia_pi.training.examples import Example
from sotopia_pi.training.lineage import write_lineage
from sotopia_pi.training.preferences import Pair, PairTokens, Rated, encode, pairs, sides
from sotopia_pi.training.selection import Candidate

#: In a policy's folder, besides its lineage: the pairs it was trained on.
PAIRS = "pairs.jsonl"

_Made = list[tuple[Pair, PairTokens]]


def check_update(run: Run, item: RoundConfig) -> None:
    """Whether a round's update can be done here, before anything is played. TrainingError when it cannot."""
    if item.update == "dpo":
        check_possible(run.config.training_of(item))


def train_on_preferences(run: Run, item: RoundConfig) -> Facts:
    """Trains the parent policy on pairs of a round's episodes; the policy folder appears when it is complete."""
    settings, base = run.config.training_of(item), trained_weights(run)
    for name in (*item.replay, item.name):
        need(run, f"select/{name}")

    def work() -> Facts:
        from sotopia_pi.models.weights import load_tokenizer, use_threads

        use_threads(run.config.runtime.threads)
        tokenizer = load_tokenizer(base)
        encoded = [(pair, encode(tokenizer, *both, settings.cutoff)) for pair, both in _pairs(run, item)]
        made = [(pair, tokens) for pair, tokens in encoded if tokens is not None]
        _refuse_none(run, item, len(encoded), made)
        facts: Facts = {**_counts(made), "dropped": 2 * (len(encoded) - len(made))}
        run.say(f"train      {item.name}: {_told(facts)}, {facts['tokens']} tokens")
        plain = lineage_of(run, item, base, facts)
        lineage = plain.model_copy(update={"versions": {**plain.versions, "trl": version("trl")}})

        def finish(folder: Path, curve: list[dict[str, float]]) -> None:
            trained = ((key, pair.role) for pair, _ in made for key in (pair.preferred, pair.rejected))
            write_lineage(folder, lineage.model_copy(update={"curve": curve}), trained)
            _write_pairs(folder, made)
            write_card(folder)

        curve = prefer(
            base,
            run.policy_folder(item.parent),
            [tokens for _, tokens in made],
            run.place_of_policy(item.name),
            settings,
            derive_seed(run.config.seed, item.name),
            run.quiet,
            finish,
            run.config.runtime.gradient_checkpointing,
        )
        return {**facts, "curve": curve, "settings": settings.model_dump(mode="json")}

    facts = once(run, f"train/{item.name}", work)
    first, last = facts["curve"][0], facts["curve"][-1]
    run.say(
        f"trained    {item.name}: DPO loss {first['loss']:.2f} → {last['loss']:.2f}, "
        f"reward margin {first['margin']:.2f} → {last['margin']:.2f}"
    )
    return facts


def _pairs(run: Run, item: RoundConfig) -> Iterator[tuple[Pair, tuple[Example, Example]]]:
    """The pairs of a round and of those it replays, with their sides; one task's episodes are in memory at a time."""
    margin = run.config.training_of(item).dpo_margin
    for name in (*item.replay, item.name):
        selected = set(run.store.selection(name))
        by_task: dict[str, list[Candidate]] = defaultdict(list)
        for candidate in candidates_of(run, run.config.round(name)):
            by_task[candidate.task_id].append(candidate)
        for task_id, group in sorted(by_task.items()):
            task = run.store.task(task_id)
            episodes = {e.key: e for e in run.store.episodes(keys={c.episode for c in group})}
            rated = [Rated(episodes[c.episode], c.role, c.score, (c.episode, c.role) in selected) for c in group]
            for pair in pairs(rated, margin):
                a, b = episodes[pair.preferred], episodes[pair.rejected]
                yield pair, sides(task, pair, a, b, run.config.max_turns, run.prompts)


def _refuse_none(run: Run, item: RoundConfig, found: int, made: _Made) -> None:
    """TrainingError when no pair is left, saying why."""
    if made:
        return
    if found:
        raise TrainingError(f"Not one of the {found} pairs of round {item.name!r} fits; raise training.cutoff.")
    margin = run.config.training_of(item).dpo_margin
    raise TrainingError(
        f"Round {item.name!r} has no preference pairs: no task and role has a selected episode and another at least "
        f"{margin:g} below it in GOAL; start another run (--out) with more repeats, a stricter select, a lower "
        'training.dpo_margin, or update = "sft".'
    )


def _counts(made: _Made) -> Facts:
    both = [side for _, tokens in made for side in (tokens.preferred, tokens.rejected)]
    return {
        "pairs": len(made),
        "action_pairs": sum(pair.kind == "action" for pair, _ in made),
        "sequences": len(both),
        "tokens": sum(len(side.ids) for side in both),
        "trained_tokens": sum(len(side.targets) for side in both),
    }


def _told(facts: Facts) -> str:
    return (
        f"{facts['pairs']} pairs ({facts['action_pairs']} of actions, "
        f"{facts['pairs'] - facts['action_pairs']} of episodes)"
    )


def _write_pairs(folder: Path, made: _Made) -> None:
    with (folder / PAIRS).open("w", encoding="utf-8") as file:
        for pair, _ in made:
            line = {"kind": pair.kind, "role": pair.role, "preferred": pair.preferred, "rejected": pair.rejected}
            file.write(json.dumps({**line, "shared": pair.shared, "margin": pair.margin}) + "\n")
