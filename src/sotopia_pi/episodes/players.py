"""From the names in a config to players: a policy (weights and adapter), a script, or the fake model."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from sotopia_pi.config import RuntimeConfig, SamplingConfig
from sotopia_pi.episodes.agents import Player
from sotopia_pi.episodes.model_player import ModelPlayer
from sotopia_pi.episodes.scripted import scripted_player
from sotopia_pi.models.fake import FakeModel
from sotopia_pi.models.protocol import ChatModel, Sampling
from sotopia_pi.models.remote.opening import Remotes
from sotopia_pi.models.remote.spec import check_spec, is_remote
from sotopia_pi.prompts import Prompts

SCRIPTED = "scripted:"
FAKE = "fake:"


@contextmanager
def opened(
    name: str,
    spec: str,
    sampling: SamplingConfig,
    runtime: RuntimeConfig,
    prompts: Prompts,
    adapter: Path | None = None,
    remotes: Remotes | None = None,
) -> Iterator[Player]:
    """The player `name` for a model spec, its model loaded; closed again at the end. ModelError, ConfigError.

    `remotes` opens remote models. A remote policy with an adapter is asked for under its own name, as the server has
    been told to call it.
    """
    if spec.startswith(SCRIPTED):
        yield Named(name, scripted_player(spec.removeprefix(SCRIPTED)))
        return
    model = _model(spec, name, runtime, adapter, remotes)
    try:
        drawn = Sampling(sampling.temperature, sampling.top_p, sampling.max_tokens)
        yield ModelPlayer(name, model, drawn, sampling.layout, prompts)
    finally:
        model.close()


def check_player(spec: str) -> None:
    """Whether a model spec names something that exists. ModelError, ConfigError."""
    if spec.startswith(SCRIPTED):
        scripted_player(spec.removeprefix(SCRIPTED))
    elif is_remote(spec):
        check_spec(spec)
    elif not spec.startswith(FAKE):
        from sotopia_pi.models.weights import check_model

        check_model(spec)


def _model(spec: str, name: str, runtime: RuntimeConfig, adapter: Path | None, remotes: Remotes | None) -> ChatModel:
    if is_remote(spec):
        return (remotes or Remotes()).model(spec, adapter)
    if spec.startswith(FAKE):
        return FakeModel(name=name, reachable=spec != "fake:unreachable")
    from sotopia_pi.models.local import LocalModel
    from sotopia_pi.models.weights import use_threads

    use_threads(runtime.threads)
    return LocalModel(spec, adapter, name, runtime.slots, runtime.max_context)


class Named:
    """A player under the name of its part in the run."""

    def __init__(self, name: str, player: Player) -> None:
        self.name = name
        self.seat = player.seat
