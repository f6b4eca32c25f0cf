"""From a judge's model spec to a model that can be asked; the one place that knows which kinds there are."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from sotopia_pi.config import JudgeConfig, RuntimeConfig
from sotopia_pi.errors import ConfigError
from sotopia_pi.models.fake import FakeJudge, FakeModel
from sotopia_pi.models.protocol import ChatModel, Sampling
from sotopia_pi.models.remote.opening import Remotes
from sotopia_pi.models.remote.spec import check_spec, is_remote
from sotopia_pi.ratings.dimensions import dimensions
from sotopia_pi.ratings.fake_judges import FAULTS, PREFIX, SimulatedJudge
from sotopia_pi.ratings.judge import Judge, Rates, judge_prompts, rater_name
from sotopia_pi.ratings.likelihood import LikelihoodJudge, likelihood_prompts

#: Tokens of context that a local judge needs at least: two profiles, a transcript and the ratings.
_CONTEXT = 8192


#: The method by which probabilities are read, as config and raters' names call it.
LIKELIHOOD = "likelihood"


def judge_name(spec: str, settings: JudgeConfig, prompts: Path | None = None) -> str:
    """How a model with these settings is called in ratings; `prompts` is the prompt folder of the run."""
    asked = dimensions(settings.dimensions)
    if settings.method == LIKELIHOOD:
        return rater_name(spec, asked, likelihood_prompts(prompts), LIKELIHOOD)
    return rater_name(spec, asked, judge_prompts(prompts))


@contextmanager
def open_judge(
    spec: str, settings: JudgeConfig, prompts: Path | None, runtime: RuntimeConfig, remotes: Remotes
) -> Iterator[Rates]:
    """A judge by the method of its settings, closed again at the end. ModelError, ConfigError."""
    rater, asked = judge_name(spec, settings, prompts), dimensions(settings.dimensions)
    if settings.method == LIKELIHOOD:
        check_judge(spec, LIKELIHOOD)
        from sotopia_pi.models.likelihood import NumberReader
        from sotopia_pi.models.weights import use_threads

        use_threads(runtime.threads)
        reader = NumberReader(spec, max_context=max(runtime.max_context, _CONTEXT))
        try:
            yield LikelihoodJudge(rater, reader, asked, likelihood_prompts(prompts))
        finally:
            reader.close()
        return
    if spec.startswith(PREFIX):
        check_judge(spec)
        yield SimulatedJudge(rater, spec.removeprefix(PREFIX), asked)
        return
    drawn = settings.sampling
    with judge_model(spec, runtime, remotes) as model:
        yield Judge(
            rater, model, Sampling(drawn.temperature, drawn.top_p, drawn.max_tokens), asked, judge_prompts(prompts)
        )


@contextmanager
def judge_model(spec: str, runtime: RuntimeConfig, remotes: Remotes) -> Iterator[ChatModel]:
    """The model of a judge, closed again at the end. `fake:judge` rates without weights. ModelError, ConfigError."""
    check_judge(spec)
    model = remotes.model(spec) if is_remote(spec) else _model(spec, runtime)
    try:
        yield model
    finally:
        model.close()


def has_weights(spec: str) -> bool:
    """Whether a spec names weights on this machine, whose probabilities can be read."""
    return not is_remote(spec) and not spec.startswith(("fake:", "scripted:"))


def check_judge(spec: str, method: str = "reply") -> None:
    """Whether a spec names a model that can judge by this method. ModelError, ConfigError."""
    if method == LIKELIHOOD and not has_weights(spec):
        raise ConfigError(
            f"The method likelihood reads the probabilities of a model on this machine, and {spec} is none; name "
            "smollm2-135m, a folder or a hub name, or use the method reply."
        )
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
    if spec == "fake:judge" or spec.startswith(PREFIX):
        return FakeJudge()
    if spec.startswith("fake:"):
        return FakeModel(name="judge", reachable=spec != "fake:unreachable")
    from sotopia_pi.models.local import LocalModel
    from sotopia_pi.models.weights import use_threads

    use_threads(runtime.threads)
    return LocalModel(spec, None, "judge", runtime.slots, max(runtime.max_context, _CONTEXT))
