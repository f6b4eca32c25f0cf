"""A run directory: the resolved config, the database and the policies, and what may be done with them.

`config.toml` is what the run is; once its tasks are drawn, a different config for the same directory is refused, so
that stored episodes always mean what the config says.
"""

from __future__ import annotations

import asyncio
import os
from collections.abc import Mapping, Sequence
from contextlib import ExitStack
from pathlib import Path
from typing import Any, Self

from tqdm import tqdm

from sotopia_pi import config as configuration
from sotopia_pi.config import BASE, EXPERT, PARTNER, Config, SamplingConfig
from sotopia_pi.episodes.play import Plan, play_all
from sotopia_pi.episodes.players import opened
from sotopia_pi.episodes.records import Episode
from sotopia_pi.errors import ConfigError, ModelError, SotopiaError
from sotopia_pi.files import write_whole
from sotopia_pi.models.remote.ledger import Ledger
from sotopia_pi.models.remote.opening import Remotes
from sotopia_pi.prompts import Prompts
from sotopia_pi.ratings.verifier import verify
from sotopia_pi.store import Store, Writer

CONFIG, DATABASE, POLICIES = "config.toml", "run.db", "policies"
#: What the run's remote models have cost so far, as `Ledger.facts`, under this name in the store.
SPENDING = "spending"


class Run:
    """An open run directory. Use as a context manager; everything it stores is kept at once."""

    def __init__(
        self, folder: Path, config: Config, store: Store, quiet: bool = False, budget: float | None = None
    ) -> None:
        self.folder = folder
        self.config = config
        self.store = store
        self.quiet = quiet
        self.prompts = Prompts(Path(config.models.prompts) if config.models.prompts else None)
        self.ledger = Ledger(budget, store.meta(SPENDING))
        self._kept = self.ledger.facts()
        self.remotes = Remotes(config.endpoint, self.ledger)

    @classmethod
    def open(cls, folder: Path, config: Config | None = None, quiet: bool = False, budget: float | None = None) -> Self:
        """Opens `folder`, or with a config starts it. ConfigError when the config contradicts what is stored.

        `budget` is how many US dollars the run may have spent on remote models in all, earlier sessions included.
        """
        path = folder / CONFIG
        stored = configuration.load(path) if path.is_file() else config
        if stored is None:
            raise ConfigError(f"{folder} is not a run directory (no {CONFIG}); start one with `sotopia-pi run --out`.")
        if not path.is_file():
            write_whole(path, configuration.to_toml(stored))
        wanted = config or stored
        if wanted.runtime.threads:
            os.environ["OMP_NUM_THREADS"] = str(wanted.runtime.threads)  # read when torch is first imported
        store = Store.open(folder / DATABASE)
        try:
            return cls._agreeing(cls(folder, wanted, store, quiet, budget), stored)
        except SotopiaError:
            store.close()
            raise

    @classmethod
    def reading(cls, folder: Path, quiet: bool = False) -> Self:
        """Opens a run of any age to look at what it holds; nothing can be played with prompts that changed since."""
        path = folder / CONFIG
        if not path.is_file():
            raise ConfigError(f"{folder} is not a run directory (no {CONFIG}); start one with `sotopia-pi run --out`.")
        return cls(folder, configuration.load(path), Store.open(folder / DATABASE, create=False), quiet)

    @classmethod
    def _agreeing(cls, run: Self, stored: Config) -> Self:
        """The run, unless config or prompts are others than those the tasks were drawn for."""
        folder, config, store = run.folder, run.config, run.store
        drawn = [group for group in store.task_groups() if "/" not in group]  # imported groups have one
        if store.stage("tasks") is None and not drawn:
            write_whole(folder / CONFIG, configuration.to_toml(config))
            store.set_meta("prompts", run.prompts.version)
            return run
        _agree(folder, stored, config)
        if store.meta("prompts") != run.prompts.version:
            raise ConfigError(f"The prompts changed since {folder} was started; start a new run with another --out.")
        return run

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.keep_spending()
        self.store.close()

    def policy_folder(self, name: str) -> Path | None:
        """Where a policy's adapter is; None for the base. ModelError when it should be there and is not."""
        if name == BASE:
            return None
        folder = self.folder / POLICIES / name
        if self.store.stage(f"train/{name}") is None or not any(folder.glob("*model*.safetensors")):
            raise ModelError(f"The policy {name!r} is not trained yet; run `sotopia-pi train {self.folder}` first.")
        return folder

    def conditions(self, sampling: SamplingConfig) -> dict[str, str | int | float]:
        """What besides task and players decides an episode."""
        drawn = sampling.model_dump()
        if sampling.layout == "chat":  # so that runs from before there was a choice go on
            del drawn["layout"]
        return {"seed": self.config.seed, "prompts": self.prompts.version, **drawn}

    def keep_spending(self) -> None:
        """Stores what remote models have cost; playing does it by itself."""
        facts = self.ledger.facts()
        if facts != self._kept:  # what another process spent meanwhile is not undone by one that spent nothing
            self.store.set_meta(SPENDING, facts)
            self._kept = facts

    def say(self, text: str) -> None:
        """Tells the user where the run is; silent with --quiet."""
        if not self.quiet:
            print(text, flush=True)

    def play(
        self,
        label: str,
        plans: Sequence[Plan],
        sampling: SamplingConfig,
        specs: Mapping[str, str] | None = None,
        policies: Mapping[str, Path] | None = None,
    ) -> dict[str, int]:
        """Plays what is planned and not yet stored, rating each episode as it ends; returns what is stored then.

        `specs` are model specs of players whom the config does not name, `policies` folders with the weights of some
        that are no policies of the run. ModelError when not one episode could be
        played.
        """
        if not plans:
            return {"planned": 0, "completed": 0, "failed": 0}
        stage = plans[0].stage
        stored = self.store.episode_keys(stage)
        missing = [plan for plan in plans if plan.id not in stored]
        if missing:
            self._play(label, missing, len(plans), sampling, specs or {}, policies or {})
        completed, failed = self.store.counts(stage)
        if failed and not completed:
            cause = next(self.store.episodes(stage)).failure
            raise ModelError(f"None of {failed} episodes of {stage} could be played: {cause} Then add --retry-failed.")
        return {"planned": len(plans), "completed": completed, "failed": failed}

    def _play(
        self,
        label: str,
        missing: Sequence[Plan],
        total: int,
        sampling: SamplingConfig,
        specs: Mapping[str, str],
        policies: Mapping[str, Path],
    ) -> None:
        tasks = self.store.tasks_with(plan.task_id for plan in missing)
        with ExitStack() as stack:
            bar = stack.enter_context(
                tqdm(total=total, initial=total - len(missing), desc=label, unit="episode", disable=self.quiet)
            )
            names = dict.fromkeys(name for plan in missing for name in plan.players)
            players = {name: stack.enter_context(self._opened(name, sampling, specs, policies)) for name in names}

            writer = Writer(self.store, lambda: {SPENDING: self.ledger.facts()})

            async def keep(episode: Episode) -> None:
                task = tasks[episode.task_id]
                rated = episode.completed and task.scenario.verified
                await writer.put(episode, verify(task, episode) if rated else ())
                bar.update()

            concurrency = self.config.runtime.concurrency
            asyncio.run(play_all(missing, tasks, players, keep, concurrency, self.ledger.episode))

    def _opened(
        self, name: str, sampling: SamplingConfig, specs: Mapping[str, str], policies: Mapping[str, Path]
    ) -> Any:
        models = self.config.models
        named = {EXPERT: models.expert, PARTNER: models.partner, **specs}
        spec = named.get(name, models.policy)
        adapter = None if name in named else policies.get(name) or self.policy_folder(name)
        return opened(name, spec, sampling, self.config.runtime, self.prompts, adapter, self.remotes)


def _agree(folder: Path, stored: Config, given: Config) -> None:
    changed = configuration.differences(stored, given)
    if changed:
        more = f" and {len(changed) - 4} more" if len(changed) > 4 else ""
        raise ConfigError(
            f"{folder} holds a run with another config ({'; '.join(changed[:4])}{more}); "
            "give another --out, or the config it was started with."
        )
