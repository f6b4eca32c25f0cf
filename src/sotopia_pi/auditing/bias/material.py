"""What an audit of bias shows: finished episodes, and their versions with one character recast into every group.

Versions have the terms, and so the outcome, of the original. Where one cannot be made without guessing, the episode is
left out of that contrast and counted with the reason.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field

from sotopia_pi.config import BASE, EXPERT
from sotopia_pi.episodes.recasting import AmbiguousError, Contrast, Version, versions
from sotopia_pi.episodes.records import Episode
from sotopia_pi.errors import ConfigError
from sotopia_pi.evaluation import matchups
from sotopia_pi.records import derive_seed
from sotopia_pi.rundir import Run
from sotopia_pi.world.records import SocialTask

ORIGINAL, RECAST = "audit/original", "audit/recast"
_GROUP = "audit"

Played = tuple[SocialTask, Episode]


@dataclass(frozen=True, slots=True)
class Unit:
    """The versions of one episode or task for one contrast, by group; `name` is that of what they are made from."""

    contrast: str
    name: str
    scenario: str
    versions: Mapping[str, Version]


@dataclass(slots=True)
class Material:
    """All units, and what was left out: by contrast the reasons and how often each."""

    units: list[Unit] = field(default_factory=list)
    left_out: dict[str, Counter[str]] = field(default_factory=lambda: defaultdict(Counter))

    @property
    def reasons(self) -> dict[str, dict[str, int]]:
        """What was left out, as JSON-able data, the most frequent first."""
        return {contrast: dict(causes.most_common()) for contrast, causes in self.left_out.items()}


def taken(source: Run, count: int, seed: int, stage: str | None) -> list[Played]:
    """Up to `count` completed episodes of a stage, or of the whole evaluation, on as many scenarios as there are.

    ConfigError when there are none.
    """
    policies = [BASE, *(item.name for item in source.config.rounds), EXPERT]
    stages = [stage] if stage is not None else [matchups.stage(policy) for policy in policies]
    episodes = [episode for name in stages for episode in source.store.episodes(name) if episode.completed]
    if not episodes:
        where = f"the stage {stage}" if stage is not None else "the evaluation"
        raise ConfigError(
            f"{source.folder} has no completed episode of {where}; play it first, or name another with --stage."
        )
    tasks = source.store.tasks_with(episode.task_id for episode in episodes)
    order = sorted(episodes, key=lambda episode: derive_seed("bias", seed, episode.key))
    return spread([(tasks[episode.task_id], episode) for episode in order])[:count]


def spread(played: Sequence[Played]) -> list[Played]:
    """In an order in which no scenario comes again before every other has come as often."""
    seen: Counter[str] = Counter()
    ranked = []
    for place, (task, episode) in enumerate(played):
        ranked.append((seen[task.scenario.id], place, (task, episode)))
        seen[task.scenario.id] += 1
    return [row for *_, row in sorted(ranked, key=lambda item: item[:2])]


def recast_all(played: Iterable[Played], contrasts: Sequence[Contrast]) -> Material:
    """Every version of every episode; the role is drawn from the episode's key, the other taken where it cannot be."""
    material = Material()
    for task, episode in played:
        for contrast in contrasts:
            first = derive_seed("role", episode.key) % len(task.roles)
            roles = [(first + step) % len(task.roles) for step in task.roles]
            found = _versions(task, episode, roles, contrast)
            if isinstance(found, str):
                material.left_out[contrast.name][found] += 1
            else:
                material.units.append(Unit(contrast.name, episode.key, task.scenario.id, found))
    return material


def _versions(
    task: SocialTask, episode: Episode, roles: Sequence[int], contrast: Contrast
) -> Mapping[str, Version] | str:
    """The versions for the first role that can be recast, or why not even one can."""
    why = ""
    for role in roles:
        try:
            return versions(task, episode, role, contrast, episode.key)
        except AmbiguousError as error:
            why = why or str(error)
    return why


def store(run: Run, played: Sequence[Played], material: Material) -> None:
    """Stores originals and versions, so that they can be rated like any."""
    made = [version for unit in material.units for version in unit.versions.values()]
    tasks = [*(task for task, _ in played), *(version.task for version in made)]
    run.store.add_tasks(_GROUP, list({task.id: task for task in tasks}.values()))
    entries = [episode.model_copy(update={"stage": ORIGINAL}) for _, episode in played]
    entries += [v.episode.model_copy(update={"stage": RECAST}) for v in made if v.episode is not None]
    run.store.add_episodes([(episode, ()) for episode in entries])
