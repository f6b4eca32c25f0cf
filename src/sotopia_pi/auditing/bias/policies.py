"""Bias of a policy: the same held-out task, played with somebody else in it, must end the same on average.

A task is played once for every group of a contrast, with the same seeds; whoever is recast, both know each other well
enough to see name, age, gender, pronouns and occupation. What the policy reached is measured on the outcome.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from sotopia_pi import judging
from sotopia_pi.auditing import opening
from sotopia_pi.auditing.bias import material, results
from sotopia_pi.config import BASE, EXPERT, PARTNER, Config
from sotopia_pi.environments import GOAL
from sotopia_pi.episodes.play import Plan
from sotopia_pi.episodes.players import SCRIPTED, check_player
from sotopia_pi.episodes.recasting import ATTRIBUTES, AmbiguousError, Contrast, Version, versions
from sotopia_pi.episodes.records import Episode
from sotopia_pi.errors import ConfigError
from sotopia_pi.evaluation.bias import Shown, bias_page, bias_table
from sotopia_pi.files import within
from sotopia_pi.ratings.records import Rating
from sotopia_pi.ratings.safety import left_without_deal
from sotopia_pi.records import derive_seed
from sotopia_pi.rundir import Run
from sotopia_pi.world.records import Relationship, SocialTask

STAGE = "audit/bias-play"
_GROUP, _TWIN = "audit", "twin"
MEASURES = (GOAL, "partner_goal", "deal", "words_per_turn", "turns", "invalid", "left")
Whose = Literal["partner", "own"]


class Twin(Plan):
    """A plan whose seeds are those of every other version of the same task."""

    def seed(self, role: int) -> int:
        """The seed of the agent in `role`, from what all versions share."""
        return derive_seed(self.conditions[_TWIN], role)


@dataclass(frozen=True, slots=True)
class PolicyAsked:
    """What is audited and how: a policy of a run (or a model spec), against a partner, on `n` seats of the tasks.

    `whose` character is recast: the partner's (how are they treated) or the policy's own (who is it when it is them).
    """

    run: Path
    policy: str
    partner: str | None = None
    whose: Whose = "partner"
    attributes: tuple[str, ...] = ATTRIBUTES
    n: int = 60
    seed: int = 1
    budget: float | None = None
    out: Path | None = None
    quiet: bool = False

    @property
    def folder(self) -> Path:
        """Where everything is kept."""
        if self.out is not None:
            return self.out
        name = re.sub(r"[^A-Za-z0-9._+-]+", "-", re.split(r"@https?://", self.policy)[0]).strip("-.") or "policy"
        return within(self.run, "bias", f"{name}-{self.whose}")


def run_bias_play(asked: PolicyAsked) -> dict[str, Any]:
    """Recasts, plays, measures and writes; returns what bias.json holds. ConfigError, ModelError, StoreError, …"""
    contrasts = results.chosen(asked.attributes)
    if asked.n < 1:
        raise ConfigError(f"--n is {asked.n}; give at least one task.")
    with ExitStack() as stack:
        source = opening.source_run(asked.run, stack)
        players = _players(source, asked)
        run = stack.enter_context(Run.open(asked.folder, _config(source, asked), asked.quiet, asked.budget))
        what = f"{players.policy} against {players.partner}, {asked.whose} character recast"
        opening.keep_source(run, what)
        made = _audit(run, source, asked, contrasts, players)
        opening.write_result(run.folder, "bias", made, bias_page(made))
        opening.say_result(run, bias_table(made), "bias.html")
    return made


@dataclass(frozen=True, slots=True)
class _Players:
    """Who plays: the policy's name, its folder of weights or its spec, and the partner's spec."""

    policy: str
    partner: str
    specs: Mapping[str, str]
    folders: Mapping[str, Path]

    @property
    def scripted(self) -> bool:
        """Whether a script plays, which needs verified tasks."""
        return any(spec.startswith(SCRIPTED) for spec in self.specs.values())


def _players(source: Run, asked: PolicyAsked) -> _Players:
    models = source.config.models
    rounds = [item.name for item in source.config.rounds]
    partner = asked.partner or models.partner
    named = {BASE: models.policy, EXPERT: models.expert}
    folders: dict[str, Path] = {}
    specs = {PARTNER: partner}
    if asked.policy in rounds:
        folder = source.policy_folder(asked.policy)
        if folder is not None:
            folders[asked.policy] = folder
    elif asked.policy in named or not asked.policy.isidentifier() or Path(asked.policy).exists():
        specs[asked.policy] = named.get(asked.policy, asked.policy)
    else:
        known = ", ".join((BASE, *rounds, EXPERT))
        raise ConfigError(f"There is no policy {asked.policy!r} here; those of the run are: {known}; or give a model.")
    for spec in specs.values():
        check_player(spec)
    return _Players(asked.policy, partner, specs, folders)


def _config(source: Run, asked: PolicyAsked) -> Config:
    """The audit's own config: models, sampling, judge and limits of the run."""
    given = source.config
    return Config(
        name="bias",
        seed=asked.seed,
        models=given.models,
        judge=given.judge,
        endpoint=given.endpoint,
        runtime=given.runtime,
        max_turns=given.max_turns,
    )


def _audit(
    run: Run, source: Run, asked: PolicyAsked, contrasts: Sequence[Contrast], players: _Players
) -> dict[str, Any]:
    shown = _recast_all(_seats(source, asked, players), asked, contrasts)
    made = [version for unit in shown.units for version in unit.versions.values()]
    run.store.add_tasks(_GROUP, list({version.task.id: version.task for version in made}.values()))
    plans = {
        (unit.contrast, unit.name, group): _plan(source, asked, players, unit.name, version)
        for unit in shown.units
        for group, version in unit.versions.items()
    }
    distinct = list({plan.id: plan for plan in plans.values()}.values())
    sampling = source.config.evaluation_sampling()
    run.play("play", distinct, sampling, players.specs, players.folders)
    open_ = any(not version.task.scenario.verified for version in made)
    if open_ and run.config.judge is not None:
        judging.judge_with(run, STAGE, run.config.judge, also_verified=False)
    failures: Counter[str] = Counter()
    measured = _measured(run, {plan.id for plan in distinct}, players.policy, failures)
    rows = [
        Shown(unit.contrast, group, unit.name, unit.scenario, measured[key])
        for unit in shown.units
        for group in unit.versions
        if (key := plans[unit.contrast, unit.name, group].id) in measured
    ]
    facts = [
        f"{players.policy} against {players.partner}, {len(distinct)} episodes on "
        f"{len({unit.scenario for unit in shown.units})} scenarios of {source.config.name!r}.",
        f"The {'character of the partner' if asked.whose == 'partner' else 'own character'} is recast; all versions of "
        "a task are played with the same seeds.",
    ]
    title = f"{players.policy}: bias in play"
    return results.content(title, facts, contrasts, rows, MEASURES, shown, failures) | {"policy": players.policy}


def _seats(source: Run, asked: PolicyAsked, players: _Players) -> list[tuple[SocialTask, int]]:
    """The held-out tasks with the role that the policy plays, on as many scenarios as there are."""
    rated = source.config.judge is not None and not players.scripted
    tasks = [
        task
        for task in source.store.tasks("test")
        if task.scenario.environment is not None or (rated and not task.scenario.verified)
    ]
    if not tasks:
        raise ConfigError(
            f"{asked.run} has no held-out task that can be played and rated; run `sotopia-pi tasks {asked.run}` first, "
            "or give a [judge] and models as players for open tasks."
        )
    seats = [(task, role) for task in tasks for role in task.roles]
    seats.sort(key=lambda seat: derive_seed("bias-play", asked.seed, seat[0].id, seat[1]))
    return opening.in_turns(seats, lambda seat: seat[0].scenario.id)[: asked.n]


def _recast_all(
    seats: Sequence[tuple[SocialTask, int]], asked: PolicyAsked, contrasts: Sequence[Contrast]
) -> material.Material:
    shown = material.Material()
    for task, seat in seats:
        known = acquainted(task)
        role = seat if asked.whose == "own" else (seat + 1) % len(task.roles)
        for contrast in contrasts:
            name = f"{task.id}/{seat}"
            try:
                made = versions(known, None, role, contrast, name)
            except AmbiguousError as error:
                shown.left_out[contrast.name][str(error)] += 1
            else:
                shown.units.append(material.Unit(contrast.name, name, task.scenario.id, made))
    return shown


def acquainted(task: SocialTask) -> SocialTask:
    """The task with both knowing each other at least as acquaintances, so that each sees who the other is."""
    if task.scenario.relationship >= Relationship.ACQUAINTANCE:
        return task
    scenario = task.scenario.model_copy(update={"relationship": Relationship.ACQUAINTANCE})
    return task.model_copy(update={"scenario": scenario})


def _plan(source: Run, asked: PolicyAsked, players: _Players, name: str, version: Version) -> Plan:
    """How a version is played; `name` ends with the role of the policy."""
    seat = int(name.rpartition("/")[2])
    sampling = source.config.evaluation_sampling()
    twin = f"{asked.seed}/{players.policy}/{name}"
    return Twin(
        stage=STAGE,
        task_id=version.task.id,
        players=tuple(players.policy if role == seat else PARTNER for role in version.task.roles),
        max_turns=source.config.max_turns,
        conditions={**source.conditions(sampling), "partner": players.partner, _TWIN: twin},
    )


def _measured(run: Run, keys: set[str], policy: str, failures: Counter[str]) -> dict[str, dict[str, float]]:
    """What came of every completed episode, by its key; what failed is counted by cause."""
    found: dict[str, dict[str, float]] = {}
    for episode, ratings in judging.rated_episodes(run, STAGE):
        if episode.key not in keys:
            continue
        if not episode.completed:
            failures[(episode.failure or "").split(":", 1)[0]] += 1
            continue
        task = run.store.task(episode.task_id)
        rater = judging.primary(run, task)
        role = episode.players.index(policy)
        found[episode.key] = _played(task, episode, role) | _rated(ratings.get(rater, {}), role, failures)
    return found


def _played(task: SocialTask, episode: Episode, role: int) -> dict[str, float]:
    """How the policy behaved: words per turn it spoke in, turns, invalid turns, whether it left without a deal."""
    own = [turn for turn in episode.turns if turn.role == role]
    spoken = [len(turn.action.argument.split()) for turn in own if turn.action.argument]
    measured = {"turns": float(len(episode.turns))}
    left = left_without_deal(task, episode, role)
    if left is not None:
        measured["left"] = float(left)
    if spoken:
        measured["words_per_turn"] = sum(spoken) / len(spoken)
    if own:
        measured["invalid"] = sum(not turn.valid for turn in own) / len(own)
    return measured


def _rated(ratings: Mapping[int, Rating], role: int, failures: Counter[str]) -> dict[str, float]:
    """GOAL of the policy and of its partner, and whether there was a deal."""
    measured: dict[str, float] = {}
    for at, rating in ratings.items():
        if rating.failure is not None:
            failures[rating.failure.split(":", 1)[0]] += at == role
        elif GOAL in rating.scores:
            measured[GOAL if at == role else "partner_goal"] = rating.scores[GOAL]
    own = ratings.get(role)
    if own is not None and own.outcome is not None:
        measured["deal"] = float(own.outcome["deal"])
    return measured
