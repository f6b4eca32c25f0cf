"""Adapters on their base: whether one fits the other, and one merged into the other.

An adapter's folder comes from anywhere, so it is read as data only: safetensors, never pickles, and nothing in its
config names code that would be imported. PEFT passes over weights that a model has no place for and leaves adapted
modules without weights as they are; here both are errors, since such a policy would silently be another one.
"""

from __future__ import annotations

import json
import re
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from sotopia_pi.errors import ModelError

ADAPTER, ADAPTER_CONFIG = "adapter_model.safetensors", "adapter_config.json"
_PICKLES = ("adapter_model.bin", "adapter_model.pt", "pytorch_model.bin")
#: Config keys whose values PEFT imports or runs.
_CODE = ("megatron_config", "auto_map")
_WEIGHT = re.compile(r"(?:base_model\.model\.)?(?P<module>.+)\.lora_(?P<side>[AB])\.weight")
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


def adapter_config(folder: Path) -> dict[str, Any]:
    """The adapter's config. ModelError when it cannot be read, is no LoRA, or names code to import."""
    path = folder / ADAPTER_CONFIG
    try:
        config = json.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        raise ModelError(f"{folder} is not a policy: it has no {ADAPTER_CONFIG}; train it first.") from None
    except (OSError, ValueError) as error:
        raise ModelError(f"{path} cannot be read ({error}); restore the file or train the policy again.") from None
    if not isinstance(config, dict) or config.get("peft_type") != "LORA":
        raise ModelError(f"{path} describes no LoRA adapter, and no other kind is supported.")
    code = [key for key in _CODE if config.get(key)]
    if code:
        raise ModelError(f"{path} names code to run ({code[0]}), which is never done; remove it or use another policy.")
    return config


def trained_on(folder: Path) -> str:
    """The base that an adapter says it was trained on; "" when it does not say."""
    return str(adapter_config(folder).get("base_model_name_or_path") or "")


def check_fit(model: Any, folder: Path, name: str = "") -> None:
    """ModelError when the adapter in `folder` has weights for which `model`, called `name`, has no place."""
    name = name or str(model.name_or_path)
    trained = trained_on(folder)
    modules = dict(model.named_modules())
    for module, side, shape in _shapes(folder):
        if module not in modules:
            kind = getattr(model.config, "model_type", "unknown")
            why = f"it adapts {module}, which that {kind} model does not have"
            raise ModelError(_misfit(folder, name, trained, why))
        inner, outer = _sizes(modules[module])
        given, wanted = (shape[1], inner) if side == "A" else (shape[0], outer)  # the other size is the rank
        if given != wanted:
            what = "inputs" if side == "A" else "outputs"
            why = f"its {module} has {given} {what} and the base's has {wanted}"
            raise ModelError(_misfit(folder, name, trained, why))


def merged(model: Any, folder: Path, name: str) -> Any:
    """`model`, called `name`, with the adapter in `folder` merged into its weights. ModelError when it does not fit."""
    from peft import PeftModel, get_peft_model_state_dict
    from safetensors import SafetensorError, safe_open

    check_adapter(folder)
    check_fit(model, folder, name)
    try:
        with quiet_peft():
            adapted = PeftModel.from_pretrained(model, str(folder))
        with safe_open(folder / ADAPTER, "pt") as file:
            missing = set(get_peft_model_state_dict(adapted, save_embedding_layers=False)) - set(file.keys())
    except (ValueError, RuntimeError, KeyError, TypeError, OSError, SafetensorError) as error:
        first = (str(error).strip() or type(error).__name__).splitlines()[0]
        raise ModelError(_misfit(folder, name, trained_on(folder), first.rstrip("."))) from error
    if missing:
        module = sorted(missing)[0].removeprefix("base_model.model.")
        raise ModelError(_misfit(folder, name, trained_on(folder), f"it has no weights for the base's {module}"))
    return adapted.merge_and_unload()


@contextmanager
def quiet_peft() -> Iterator[None]:
    """PEFT still uses a name that transformers 5 renamed, and tells of missing weights, which are errors here."""
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", message=".*is_gradient_checkpointing", category=FutureWarning)
        warnings.filterwarnings("ignore", message=".*missing adapter keys", category=UserWarning)
        yield


def _shapes(folder: Path) -> Iterator[tuple[str, str, list[int]]]:
    """Module, side ("A" or "B") and shape of each of the adapter's matrices, without reading them."""
    from safetensors import SafetensorError, safe_open

    try:
        with safe_open(folder / ADAPTER, "pt") as file:
            for key in sorted(file.keys()):
                match = _WEIGHT.fullmatch(key)
                shape = list(file.get_slice(key).get_shape())
                if match and len(shape) == 2:
                    yield match["module"], match["side"], shape
    except (OSError, SafetensorError) as error:
        raise ModelError(
            f"{folder / ADAPTER} cannot be read ({error}); restore it or train the policy again."
        ) from None


def _sizes(module: Any) -> tuple[int, int]:
    """Inputs and outputs of a linear module; one without such names (GPT-2's) keeps its matrix as inputs by outputs."""
    if hasattr(module, "in_features"):
        return int(module.in_features), int(module.out_features)
    shape = getattr(getattr(module, "weight", None), "shape", (0, 0))
    return (int(shape[0]), int(shape[1])) if len(shape) == 2 else (0, 0)


def _misfit(folder: Path, name: str, trained: str, why: str) -> str:
    origin = f" (trained on {trained})" if trained and trained != name else ""
    return f"The adapter in {folder}{origin} does not fit the base {name}: {why}; {_MATCH}"
