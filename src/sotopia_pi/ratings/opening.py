"""From a judge's model spec to a model that can be asked; the one place that knows which kinds there are."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from sotopia_pi.config import RuntimeConfig
from sotopia_pi.errors import ConfigError
from sotopia_pi.models.fake import FakeJudge, FakeModel
from sotopia_pi.models.protocol import ChatModel
from sotopia_pi.models.remote.opening import Remotes
from sotopia_pi.models.remote.spec import check_spec, is_remote
from sotopia_pi.ratings.fake_judges import FAULTS, PREFIX, FaultyJudge

#: Tokens of context that a local judge needs at least: two profiles, a transcript and the ratings.
_CONTEXT = 8192


@contextmanager
def judge_model(spec: str, runtime: RuntimeConfig, remotes: Remotes) -> Iterator[ChatModel]:
    """The model of a judge, closed again at the end. `fake:judge` rates without weights. ModelError, ConfigError."""
    check_judge(spec)
    model = remotes.model(spec) if is_remote(spec) else _model(spec, runtime)
    try:
        yield model
    finally:
        model.close()


def check_judge(spec: str) -> None:
    """Whether a spec names a model that can judge. ModelError, ConfigError."""
    if spec.startswith("scripted:"):
        raise ConfigError(f"{spec} plays and cannot judge; name a model, or fake:judge to try things out.")
    if spec.startswith(PREFIX) and spec.removeprefix(PREFIX) not in FAULTS:
        raise ConfigError(f"There is no simulated judge {spec!r}; there are {PREFIX}{f', {PREFIX}'.join(FAULTS)}.")
    if is_remote(spec):
        check_spec(spec)
    elif not spec.startswith("fake:"):
        from sotopia_pi.models.weights import check_model

        check_model(spec)


def _model(spec: str, runtime: RuntimeConfig) -> ChatModel:
    if spec == "fake:judge":
        return FakeJudge()
    if spec.startswith(PREFIX):
        return FaultyJudge(spec.removeprefix(PREFIX))
    if spec.startswith("fake:"):
        return FakeModel(name="judge", reachable=spec != "fake:unreachable")
    from sotopia_pi.models.local import LocalModel
    from sotopia_pi.models.weights import use_threads

    use_threads(runtime.threads)
    return LocalModel(spec, None, "judge", runtime.slots, max(runtime.max_context, _CONTEXT))
