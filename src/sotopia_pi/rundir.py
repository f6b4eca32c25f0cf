"""A run directory: the resolved config, the database and the policies, and what may be done with them.

The config is kept in the database, and `config.toml` is its copy. Once the tasks are drawn, a different config for the
same directory is refused, also one that was made by editing the copy, so that stored episodes always mean what the
config says. What changes no episode (`config.differences`) is taken from the copy.
"""

from __future__ import annotations

import asyncio
import logging
import os
from collections.abc import Mapping, Sequence
from contextlib import ExitStack
from dataclasses import asdict
from pathlib import Path
from typing import Any, Self

from pydantic import TypeAdapter
from tqdm import tqdm

from sotopia_pi import config as configuration
from sotopia_pi.config import BASE, EXPERT, PARTNER, Config, SamplingConfig
from sotopia_pi.episodes.play import Plan, play_all
from sotopia_pi.episodes.players import opened
from sotopia_pi.episodes.records import Episode
from sotopia_pi.errors import ConfigError, ModelError, SotopiaError, StoreError
from sotopia_pi.files import check_tree, read_plain, within, write_whole
from sotopia_pi.models.remote.ledger import Ledger, Spending
from sotopia_pi.models.remote.opening import Remotes
from sotopia_pi.prompts import Prompts
from sotopia_pi.ratings.verifier import verify
from sotopia_pi.store import Store, Writer
from sotopia_pi.store.session import Session, stored_before

CONFIG, DATABASE, POLICIES = "config.toml", "run.db", "policies"
_LOG = logging.getLogger(__name__)
_SPENDING = TypeAdapter(Spending)
#: What the run's remote models have cost so far, as `Ledger.facts`, under this name in the store.
SPENDING = "spending"


class Run:
    """An open run directory. Use as a context manager; everything it stores is kept at once."""

    def __init__(
        self,
        folder: Path,
        config: Config,
        store: Store,
        quiet: bool = False,
        budget: float | None = None,
        session: Session | None = None,
    ) -> None:
        self.folder = folder
        self.config = config
        self.store = store
        self.quiet = quiet
        self.prompts = Prompts(Path(config.models.prompts) if config.models.prompts else None)
        self.ledger = Ledger(budget, _spent(store))
        self._kept = self.ledger.facts()
        self.remotes = Remotes(config.endpoint, self.ledger)
        self._session = session

    @classmethod
    def open(
        cls,
        folder: Path,
        config: Config | None = None,
        quiet: bool = False,
        budget: float | None = None,
        alone: bool = True,
        playing: bool = True,
    ) -> Self:
        """Opens `folder`, or with a config starts it. ConfigError when the config contradicts what is stored.

        `budget` is how many US dollars the run may have spent on remote models in all, earlier sessions included.
        StoreError while another process works on the folder; not `alone` is for people who play beside it. Not
        `playing` is for who only rates and reports: the prompts may have changed then.
        """
        if config is None and not is_run(folder):
            raise _no_run(folder)
        with ExitStack() as failing:
            session = _begun(folder) if alone else None
            if session is not None:
                failing.callback(session.end, complete=not session.before)
            store = Store.open(within(folder, DATABASE))
            failing.callback(store.close)
            if session is not None:
                store.count_for(session)
            run = cls._agreeing(folder, config, store, quiet, budget, session, playing)
            failing.pop_all()
        return run

    @classmethod
    def reading(cls, folder: Path, quiet: bool = False) -> Self:
        """Opens a run of any age to look at what it holds; nothing can be played with prompts that changed since.

        It may be of somebody else, and another process may be at work on it.
        """
        store, config = open_to_read(folder)
        try:
            return cls(folder, config, store, quiet)
        except SotopiaError:
            store.close()
            raise

    @classmethod
    def _agreeing(
        cls,
        folder: Path,
        given: Config | None,
        store: Store,
        quiet: bool,
        budget: float | None,
        session: Session | None,
        playing: bool,
    ) -> Self:
        """The run, unless config or prompts are others than those the tasks were drawn for."""
        drawn = [group for group in store.task_groups() if "/" not in group]  # imported groups have one
        begun = store.stage("tasks") is not None or bool(drawn)
        config = _config_of(folder, given, store, begun)
        if config.runtime.threads:
            os.environ["OMP_NUM_THREADS"] = str(config.runtime.threads)  # read when torch is first imported
        run = cls(folder, config, store, quiet, budget, session)
        if not begun:
            write_whole(within(folder, CONFIG), configuration.to_toml(config))
            store.set_meta(CONFIG, config.model_dump(mode="json", exclude_none=True))
            store.set_meta("prompts", run.prompts.version)
        elif playing and store.meta("prompts") != run.prompts.version:
            raise ConfigError(f"The prompts changed since {folder} was started; start a new run with another --out.")
        return run

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """Stores what remote models have cost and closes everything. StoreError when the database is gone."""
        kept = False
        try:
            if not self.store.read_only:
                self.keep_spending()
            self.store.check_place()
            kept = True
        finally:
            self.store.close()
            if self._session is not None:
                self._session.end(complete=kept)

    def policy_folder(self, name: str) -> Path | None:
        """Where a policy's adapter is; None for the base. ModelError when it should be there and is not."""
        if name == BASE:
            return None
        folder = self.place_of_policy(name)
        if self.store.stage(f"train/{name}") is None or not any(folder.glob("*model*.safetensors")):
            raise ModelError(f"The policy {name!r} is not trained yet; run `sotopia-pi train {self.folder}` first.")
        check_tree(folder)
        return folder

    def place_of_policy(self, name: str) -> Path:
        """Where a policy is or will be, in the run itself. StoreError where a link leads out of it."""
        return within(self.folder, POLICIES, name)

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
        if any(task.scenario.verified and task.scenario.environment is None for task in tasks.values()):
            raise ConfigError(
                f"The tasks of {self.folder} are from before outcomes were declared in terms; they can be read and not "
                "played. Start a new run."
            )
        with ExitStack() as stack:
            bar = stack.enter_context(
                tqdm(total=total, initial=total - len(missing), desc=label, unit="episode", disable=self.quiet)
            )
            names = dict.fromkeys(name for plan in missing for name in plan.players)
            players = {name: stack.enter_context(self._opened(name, sampling, specs, policies)) for name in names}

            writer = Writer(self.store, lambda: {SPENDING: self.ledger.facts()})

            async def keep(episode: Episode) -> None:
                task = tasks[episode.task_id]
                rated = episode.completed and task.scenario.environment
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


def is_run(folder: Path) -> bool:
    """Whether a folder is a run directory; its config may be missing, since the database has it too."""
    return any((folder / name).is_file() for name in (CONFIG, DATABASE))


def open_to_read(folder: Path) -> tuple[Store, Config]:
    """The store of a run, which may not be writable, and its config. ConfigError, StoreError."""
    if not is_run(folder):
        raise _no_run(folder)
    store = store_to_read(folder)
    try:
        return store, _config_to_read(folder, store)
    except SotopiaError:
        store.close()
        raise


def store_to_read(folder: Path) -> Store:
    """The store of a folder, which may not be writable. StoreError, also where a part of what was stored is lost."""
    stored = stored_before(folder)  # before the database is read: another process may be storing
    store = Store.open(within(folder, DATABASE), reading=True)
    try:
        store.check_complete(stored)
    except SotopiaError:
        store.close()
        raise
    return store


def config_of(folder: Path, overrides: Sequence[str] = ()) -> Config | None:
    """The config of a run that is there, with `--set` overrides; None where there is no run.

    A copy that is missing or empty is written again from the database. ConfigError, StoreError.
    """
    if not is_run(folder):
        return None
    path = within(folder, CONFIG)
    if (folder / DATABASE).is_file() and _is_empty(path):
        with Store.open(within(folder, DATABASE), create=False) as store:
            _mend(folder, _stored_config(store))
    return configuration.load(path, overrides)


def _spent(store: Store) -> dict[str, dict[str, Any]]:
    """What remote models have cost so far. StoreError where that is not what is stored."""
    found = store.meta(SPENDING)
    try:
        return {name: asdict(_SPENDING.validate_python(values)) for name, values in (found or {}).items()}
    except (ValueError, AttributeError) as error:
        raise StoreError(
            f"{store.where} holds a record that cannot be read (meta {SPENDING}): restore a copy, or use the "
            "sotopia-pi that wrote it"
        ) from error


def _no_run(folder: Path) -> ConfigError:
    return ConfigError(f"{folder} is not a run directory (no {CONFIG}); start one with `sotopia-pi run --out`.")


def _begun(folder: Path) -> Session:
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise StoreError(f"{folder} cannot be written ({error.strerror}); give another --out.") from error
    return Session.begin(folder)


def _config_of(folder: Path, given: Config | None, store: Store, begun: bool) -> Config:
    """What the run is played with: its own config, or one that is `given` and says the same of every episode."""
    path = within(folder, CONFIG)
    own = _stored_config(store) if begun else None
    if own is None:  # nothing is drawn yet, or the run is from before configs were stored
        own = configuration.load(path) if not _is_empty(path) else given
        if own is None:
            raise ConfigError(f"{path} is missing or empty, and nothing was drawn yet; start the run with a config.")
        if not begun:
            return given or own
        store.set_meta(CONFIG, own.model_dump(mode="json", exclude_none=True))
    _mend(folder, own)
    copy = configuration.load(path)
    if changed := configuration.differences(own, copy):
        raise ConfigError(
            f"{path} was changed after the run had begun ({_listed(changed)}); put it back, or remove it and it is "
            "written again as it was. Another config needs another --out."
        )
    if given is not None and (changed := configuration.differences(own, given)):
        raise ConfigError(
            f"{folder} holds a run with another config ({_listed(changed)}); give another --out, or the config it was "
            "started with."
        )
    return given or copy


def _config_to_read(folder: Path, store: Store) -> Config:
    """The run's own config; a copy that says something else is named, and not heeded."""
    own, path = _stored_config(store), within(folder, CONFIG)
    try:
        copy = configuration.load(path)
    except ConfigError:
        if own is None:
            raise
        return own
    if own is None:
        return copy
    if changed := configuration.differences(own, copy):
        _LOG.warning("%s was changed after the run had begun (%s); the run is shown as it was.", path, _listed(changed))
        return own
    return copy


def _stored_config(store: Store) -> Config | None:
    values = store.meta(CONFIG)
    return None if values is None else configuration.parse(values, f"the config in {store.where}")


def _mend(folder: Path, own: Config | None) -> None:
    """Writes the copy of a run's config again where it is missing or empty."""
    path = within(folder, CONFIG)
    if own is not None and _is_empty(path):
        write_whole(path, configuration.to_toml(own))
        _LOG.warning("%s was missing or empty, and is written again as it was.", path)


def _is_empty(path: Path) -> bool:
    """Whether a text file is not there or holds nothing but spaces."""
    try:
        return not read_plain(path).strip()
    except FileNotFoundError:
        return True
    except (OSError, UnicodeDecodeError):  # whoever reads it says so
        return False


def _listed(changed: Sequence[str]) -> str:
    more = f" and {len(changed) - 4} more" if len(changed) > 4 else ""
    return f"{'; '.join(changed[:4])}{more}"
