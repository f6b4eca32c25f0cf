"""Drawing the social tasks: to train on, held out, and for transfer."""

from __future__ import annotations

import random
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from sotopia_pi import judging
from sotopia_pi.environments import environment
from sotopia_pi.episodes.players import SCRIPTED, check_player
from sotopia_pi.errors import ConfigError
from sotopia_pi.pipeline import safety
from sotopia_pi.pipeline.choosing import DEV
from sotopia_pi.pipeline.preferring import check_update
from sotopia_pi.pipeline.rounds import apply_rule_of
from sotopia_pi.pipeline.stages import Facts, once
from sotopia_pi.ratings.opening import check_judge
from sotopia_pi.records import derive_seed
from sotopia_pi.rundir import Run
from sotopia_pi.world import Scenario, SocialTask, cast, load_characters, load_tasks, load_ties, starter_world
from sotopia_pi.world.overlap import near_duplicates
from sotopia_pi.world.verified import generate


def prepare_tasks(run: Run) -> Facts:
    """Draws the social tasks: training, held-out and transfer."""

    def work() -> Facts:
        _check_names(run)
        world = run.config.world
        groups = {"train": _tasks(run, "train", world.train, "train")}
        groups["test"] = _tasks(run, "test", world.test, world.split)
        if world.dev:
            groups[DEV] = _tasks(run, DEV, world.dev, "dev")
        groups["transfer"] = _tasks(run, "transfer", world.transfer, world.split)
        if world.safety:
            groups[safety.GROUP] = cast_all(run, safety.drawn_scenarios(world.safety, run.config.seed))
        _check_apart(groups)
        _check_overlap(run, groups)
        for name, tasks in groups.items():
            run.store.add_tasks(name, tasks)
        return {name: len(tasks) for name, tasks in groups.items()}

    facts = once(run, "tasks", work)
    run.say(f"tasks      {facts['train']} to train on, {facts['test']} held out, {facts['transfer']} for transfer")
    return facts


def _check_names(run: Run) -> None:
    """Whether the models and selection rules that the config names exist, before any work is done."""
    models = run.config.models
    playing = (models.policy, models.expert, models.partner, safety.partner(run))
    for spec in dict.fromkeys(playing):
        check_player(spec)
    world = run.config.world
    for group in ("train", "test", "transfer", "dev"):
        for kind in getattr(world, group):
            _check_kind(f"world.{group}", kind)
    if run.config.judge:
        for spec in run.config.judge.models:
            check_judge(spec, run.config.judge.method)
        judging.calibration_of(run)
    for item in run.config.rounds:
        apply_rule_of([], item)
        check_update(run, item)


def _check_kind(where: str, kind: str) -> None:
    try:
        environment(kind)
    except ConfigError as error:
        raise ConfigError(f"{where}: {error}") from None


def _tasks(run: Run, group: str, kinds: Any, split: str) -> list[SocialTask]:
    world = run.config.world
    own = {"train": world.train_tasks, "test": world.test_tasks}.get(group)
    if own:
        return _can_be_rated(run, load_tasks(Path(own)), own)
    drawn = [
        scenario
        for kind, count in kinds.items()
        for scenario in generate(kind, split, count, derive_seed(run.config.seed, group, kind))
    ]
    return _can_be_rated(run, cast_all(run, [*drawn, *_open_scenarios(run, group)]), f"world.open_{group}")


def cast_all(run: Run, scenarios: Iterable[Scenario]) -> list[SocialTask]:
    """The scenarios with the config's number of castings each, from its characters or the starter world's."""
    world, starter = run.config.world, starter_world()
    characters = load_characters(Path(world.characters)) if world.characters else starter.characters
    ties = load_ties(Path(world.ties), characters) if world.ties else () if world.characters else starter.ties
    found: list[SocialTask] = []
    for scenario in scenarios:
        found += cast(scenario, characters, ties, run.config.seed, world.castings)
    return found


def _open_scenarios(run: Run, group: str) -> list[Scenario]:
    """As many of the starter world's open scenarios as the config asks for, drawn with the run's seed."""
    count = {"train": run.config.world.open_train, "test": run.config.world.open_test}.get(group, 0)
    known = starter_world().scenarios.get(group, ())
    if count > len(known):
        raise ConfigError(f"world.open_{group} is {count}, and the starter world has {len(known)} such scenarios.")
    return random.Random(derive_seed(run.config.seed, "open", group)).sample(known, count)


def _can_be_rated(run: Run, tasks: Iterable[SocialTask], where: str) -> list[SocialTask]:
    """The tasks; ConfigError for open ones that nobody could rate or play."""
    models = run.config.models
    for task in tasks:
        if task.scenario.verified:
            continue
        situation = repr(task.scenario.situation[:60])
        if run.config.judge is None:
            raise ConfigError(
                f"{where}: the scenario {situation} has no check, and only a judge can rate it; add a [judge] section "
                "with a model, or give tasks with checks."
            )
        for part in ("policy", "expert", "partner"):
            if getattr(models, part).startswith(SCRIPTED):
                raise ConfigError(
                    f"{where}: the scenario {situation} has no check, and scripted players play only verified "
                    f"scenarios; name a model in models.{part}."
                )
    return list(tasks)


def _check_apart(groups: dict[str, list[SocialTask]]) -> None:
    trained = {(task.scenario.situation, task.scenario.goals) for task in groups["train"]}
    for task in (*groups["test"], *groups["transfer"], *groups.get(DEV, ()), *groups.get(safety.GROUP, ())):
        if (task.scenario.situation, task.scenario.goals) in trained:
            raise ConfigError(f"A held-out scenario is also trained on: {task.scenario.situation[:80]!r}; remove it.")


def _check_overlap(run: Run, groups: dict[str, list[SocialTask]]) -> None:
    held_out = [task for name in ("test", "transfer", DEV, safety.GROUP) for task in groups.get(name, ())]
    found, too_short = near_duplicates(groups["train"], held_out)
    if found and run.config.world.overlap == "refuse":
        raise ConfigError(
            f"Near-duplicates ({len(found)}) of held-out scenarios are trained on; remove them, or set "
            f'world.overlap = "report". The first: {found[0].describe()}.'
        )
    for match in found:
        run.say(f"overlap    {match.describe()}")
    for text in too_short:
        run.say(f'overlap    {text.label} "{text.shortened()}" is too short to be compared; look at it yourself')
