"""Adapters on their base: whether one fits the other, and one merged into the other.

An adapter's folder comes from anywhere, so it is read as data only: safetensors, never pickles, and nothing in its
config is run (lora.py). PEFT passes over weights that a model has no place for and leaves adapted modules without
weights as they are; here both are errors, since such a policy would silently be another one.
"""

from __future__ import annotations

import re
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from sotopia_pi.errors import ModelError
from sotopia_pi.models.lora import ADAPTER_CONFIG, LoraSettings, adapter_config, lora_settings, named_by

ADAPTER = "adapter_model.safetensors"
_PICKLES = ("adapter_model.bin", "adapter_model.pt", "pytorch_model.bin")
_PREFIX = "base_model.model."
_WEIGHT = re.compile(rf"(?:{re.escape(_PREFIX)})?(?P<module>.+)\.lora_(?:embedding_)?(?P<side>[AB])(?:\.weight)?")
_MATCH = "give the base that it was trained on, or train a policy on this one."


def check_adapter(folder: Path) -> None:
    """ModelError when `folder` holds no adapter as safetensors (pickled weights are never loaded)."""
    if not (folder / ADAPTER).is_file():
        pickled = [name for name in _PICKLES if (folder / name).is_file()]
        why = (
            f"holds pickled weights ({pickled[0]}), which can run code and are never loaded; save them as {ADAPTER}."
            if pickled
            else f"is not a policy: it has no {ADAPTER}; train it first."
        )
        raise ModelError(f"{folder} {why}")


def holds_whole_weights(folder: Path) -> bool:
    """Whether a policy's folder holds whole weights rather than an adapter. ModelError when it safely holds neither."""
    if (folder / ADAPTER_CONFIG).is_file() or not (folder / "config.json").is_file():
        check_adapter(folder)
        return False
    if not any((folder / name).is_file() for name in ("model.safetensors", "model.safetensors.index.json")):
        raise ModelError(f"{folder} has no weights as safetensors, and no others are loaded; train the policy again.")
    return True


def trained_on(folder: Path) -> str:
    """The base that an adapter says it was trained on; "" when it does not say."""
    return str(adapter_config(folder).get("base_model_name_or_path") or "")


def check_fit(model: Any, folder: Path, name: str) -> None:
    """ModelError when the adapter in `folder` is not one of `model`, called `name`: other modules, sizes or ranks.

    An adapter may not change a matrix that the model uses in two places, since PEFT would change it in one.
    """
    settings, modules = lora_settings(folder), dict(model.named_modules())
    adapted: set[str] = set()
    for module, side, rank, outer in _matrices(folder):
        if module not in modules:
            kind = getattr(model.config, "model_type", "unknown")
            why = f"it adapts {module}, which that {kind} model does not have"
            raise _misfit(folder, name, why)
        inputs, outputs = _sizes(modules[module])
        if outer != (inputs if side == "A" else outputs):
            what, has = ("inputs", inputs) if side == "A" else ("outputs", outputs)
            raise _misfit(folder, name, f"its {module} has {outer} {what} and the base's has {has}")
        said, _ = settings.rank_and_alpha(module)
        if rank != said:
            raise _misfit(folder, name, f"its {module} has rank {rank}, and its config says {said}")
        adapted.add(module)
    _check_named(settings, folder, name, modules, adapted)
    keys = [key.removeprefix(_PREFIX) for key in _keys(folder)]
    for module in sorted(named_by(settings.modules_to_save or (), modules)):
        if not any(key.startswith(f"{module}.") for key in keys):
            raise _misfit(folder, name, f"it has no weights for the base's {module}")
    for module in sorted(shared_modules(model)):
        if any(key.startswith(f"{module}.") for key in keys):
            raise _misfit(folder, name, f"it changes {module}, whose weights the base uses in a second place")


def _check_named(settings: LoraSettings, folder: Path, name: str, modules: dict[str, Any], adapted: set[str]) -> None:
    """ModelError where the modules that have weights are not those that the config names."""
    if settings.names_modules:
        named = settings.named(module for module, found in modules.items() if sum(_sizes(found)))
        if not named:
            first = ", ".join(sorted(settings.target_modules or ())[:3])
            raise _misfit(folder, name, f"it adapts {first}, which the base does not have")
        for module in sorted(named ^ adapted):
            what = "has no weights for" if module in named else "has weights that its config does not name, for"
            raise _misfit(folder, name, f"it {what} the base's {module}")


def shared_modules(model: Any) -> set[str]:
    """The modules of a model whose weights are those of another one too, such as tied embeddings."""
    users: dict[int, list[str]] = {}
    for name, module in model.named_modules():
        for parameter in module.parameters(recurse=False):
            users.setdefault(id(parameter), []).append(name)
    return {name for names in users.values() if len(names) > 1 for name in names}


def adaptable_modules(model: Any) -> list[str]:
    """The names of the modules of a model that hold a matrix."""
    return [name for name, module in model.named_modules() if sum(_sizes(module))]


def check_finite(model: Any, what: str) -> None:
    """ModelError when a weight of `model` is not a number, or infinite."""
    for name, weight in model.named_parameters():
        if weight.is_floating_point() and not weight.isfinite().all():
            raise ModelError(f"{what} has weights that are no finite numbers (in {name}); use another one.")


def with_policy(model: Any, folder: Path, name: str, trainable: bool = False) -> Any:
    """`model`, called `name`, with the adapter in `folder` beside its weights. ModelError when it does not fit."""
    from peft import PeftModel, get_peft_model_state_dict
    from safetensors import SafetensorError, safe_open

    check_adapter(folder)
    check_fit(model, folder, name)
    try:
        with safe_open(folder / ADAPTER, "pt") as file:
            keys = set(file.keys())
            bad = next((key for key in sorted(keys) if not file.get_tensor(key).float().isfinite().all()), None)
        if bad is not None:
            module = bad.removeprefix(_PREFIX)
            raise ModelError(f"The adapter in {folder} has weights that are no finite numbers ({module}); use another.")
        with quiet_peft():
            adapted = PeftModel.from_pretrained(
                model, str(folder), config=_config(folder, model), is_trainable=trainable
            )
        own = set(get_peft_model_state_dict(adapted, save_embedding_layers=False))
    except (ValueError, RuntimeError, LookupError, TypeError, AttributeError, OSError, SafetensorError) as error:
        raise _misfit(folder, name, _first_line(error)) from error
    for key in sorted(own ^ keys):
        if key in own or key not in adapted.state_dict():
            what = "has no weights for" if key in own else "has weights without a place, for"
            raise _misfit(folder, name, f"it {what} the base's {key.removeprefix(_PREFIX)}")
    return adapted


def merged(model: Any, folder: Path, name: str) -> Any:
    """`model`, called `name`, with the adapter in `folder` merged into its weights. ModelError when it does not fit."""
    adapted = with_policy(model, folder, name)
    try:
        made = adapted.merge_and_unload()
    except (ValueError, RuntimeError, AttributeError) as error:  # which not every kind of layer can
        raise _misfit(folder, name, _first_line(error)) from None
    check_finite(made, f"The base {name} with the adapter in {folder}")
    return made


def _config(folder: Path, model: Any) -> Any:
    """What PEFT is told of an adapter: its modules by their full names, and the rank and alpha of each."""
    from peft import LoraConfig

    settings = lora_settings(folder)
    ranks = {module: rank for module, _, rank, _ in _matrices(folder)}
    alphas = {module: settings.rank_and_alpha(module)[1] for module in ranks}
    saved = named_by(settings.modules_to_save or (), [name for name, _ in model.named_modules()])
    return LoraConfig(
        task_type="CAUSAL_LM",
        base_model_name_or_path=settings.base_model_name_or_path,
        r=settings.r,
        lora_alpha=settings.lora_alpha,  # type: ignore[arg-type]  # which may be any number
        lora_dropout=settings.lora_dropout,
        target_modules=sorted(ranks),
        modules_to_save=sorted(saved) or None,
        rank_pattern={module: rank for module, rank in ranks.items() if rank != settings.r},
        alpha_pattern={module: alpha for module, alpha in alphas.items() if alpha != settings.lora_alpha},
        fan_in_fan_out=settings.fan_in_fan_out,
        bias=settings.bias,
        use_rslora=settings.use_rslora,
        use_dora=settings.use_dora,
        lora_bias=settings.lora_bias,
    )


@contextmanager
def quiet_peft() -> Iterator[None]:
    """PEFT still uses a name that transformers 5 renamed, and tells of missing weights, which are errors here."""
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", message=".*is_gradient_checkpointing", category=FutureWarning)
        warnings.filterwarnings("ignore", message=".*missing adapter keys", category=UserWarning)
        yield


def _keys(folder: Path) -> list[str]:
    from safetensors import safe_open

    with safe_open(folder / ADAPTER, "pt") as file:
        return sorted(file.keys())


def _matrices(folder: Path) -> Iterator[tuple[str, str, int, int]]:
    """Module, side ("A" or "B"), rank and other size of each of the adapter's matrices, without reading them."""
    from safetensors import SafetensorError, safe_open

    try:
        with safe_open(folder / ADAPTER, "pt") as file:
            for key in sorted(file.keys()):
                match = _WEIGHT.fullmatch(key)
                shape = list(file.get_slice(key).get_shape()) if match else []
                if match and len(shape) == 2:
                    rank, outer = shape if match["side"] == "A" else reversed(shape)
                    yield match["module"], match["side"], rank, outer
    except (OSError, SafetensorError) as error:
        raise ModelError(
            f"{folder / ADAPTER} cannot be read ({error}); restore it or train the policy again."
        ) from None


def _sizes(module: Any) -> tuple[int, int]:
    """Inputs and outputs of a module with a matrix, else zeros.

    One without such names keeps its matrix as inputs by outputs: an embedding, or GPT-2's linear ones.
    """
    if hasattr(module, "in_features"):
        return int(module.in_features), int(module.out_features)
    shape: Any = getattr(getattr(module, "weight", None), "shape", ())
    return (int(shape[0]), int(shape[1])) if len(shape) == 2 else (0, 0)


def _first_line(error: Exception) -> str:
    return (str(error).strip() or type(error).__name__).splitlines()[0].rstrip(".")


def _misfit(folder: Path, name: str, why: str) -> ModelError:
    trained = trained_on(folder)
    origin = f" (trained on {trained})" if trained and trained != name else ""
    return ModelError(f"The adapter in {folder}{origin} does not fit the base {name}: {why}; {_MATCH}")
