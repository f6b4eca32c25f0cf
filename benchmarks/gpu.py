"""Training on a CUDA GPU: tokens per second and the share of the measured peak, LoRA in bfloat16 and QLoRA at 7B.

The 7B-shaped model has Mistral-7B's shape and random weights, which are made on the device and quantised to 4 bits
(nf4) there, layer by layer; its rows have 4,096 tokens. Runs only when it is named.
"""

from __future__ import annotations

import gc
import importlib.util
import random
import tempfile
import time
from typing import Any

from benchmarks.flops import measured_peak, training_flops

WEIGHTS = "smollm2-135m"
ROW = 4096
UPDATES = 6
#: Mistral-7B-v0.1 (Jiang et al. 2023, table 1).
MISTRAL_7B = {
    "vocab_size": 32000,
    "hidden_size": 4096,
    "intermediate_size": 14336,
    "num_hidden_layers": 32,
    "num_attention_heads": 32,
    "num_key_value_heads": 8,
    "max_position_embeddings": 32768,
    "sliding_window": 4096,
}
_SHARE_TRAINED = 0.3
_TURN = 64


def gpu() -> list[tuple[str, str]]:
    """The rows, or why there are none."""
    import torch

    if not torch.cuda.is_available():
        return [("skipped", "there is no CUDA GPU")]
    rows = [("device", torch.cuda.get_device_name())]
    rows += _measured("SmolLM2, LoRA, bfloat16", _small())
    if importlib.util.find_spec("bitsandbytes") is None:
        return [*rows, ("7B-shaped, QLoRA", "skipped: bitsandbytes is not installed")]
    return rows + _measured("7B-shaped, QLoRA nf4", quantised(MISTRAL_7B, "cuda"))


def _small() -> Any:
    import torch

    from sotopia_pi.models.weights import load_model

    return load_model(WEIGHTS).to(torch.bfloat16)


def quantised(shape: dict[str, Any], device: str) -> Any:
    """A random model of Mistral's architecture on `device`, its layers' matrices in nf4 and the rest in bfloat16."""
    import torch
    from bitsandbytes.nn import Linear4bit, Params4bit
    from transformers import AutoModelForCausalLM, MistralConfig

    with torch.device(device):
        model: Any = AutoModelForCausalLM.from_config(MistralConfig(**shape), dtype=torch.bfloat16)
    for layer in model.model.layers:
        for block in (layer.self_attn, layer.mlp):
            for name, linear in list(block.named_children()):
                if isinstance(linear, torch.nn.Linear):
                    new = Linear4bit(
                        linear.in_features,
                        linear.out_features,
                        bias=False,
                        compute_dtype=torch.bfloat16,
                        quant_type="nf4",
                        device="meta",
                    )
                    new.weight = Params4bit(linear.weight.data, requires_grad=False, quant_type="nf4", module=new)
                    setattr(block, name, new.to(device))  # bitsandbytes quantises what it moves
    model.is_loaded_in_4bit = True  # how PEFT knows
    return model.eval()


def sequences(count: int, length: int, vocabulary: int) -> list[Any]:
    """Random sequences in which turns of 64 tokens are trained on, three in ten of all tokens."""
    from sotopia_pi.training.examples import Tokens

    dice = random.Random(1)
    step = int(_TURN / _SHARE_TRAINED)
    targets = [at for start in range(step - _TURN, length, step) for at in range(start, min(start + _TURN, length))]
    return [Tokens([dice.randrange(vocabulary) for _ in range(length)], targets, str(n)) for n in range(count)]


def steps(model: Any, items: list[Any]) -> tuple[float, list[float]]:
    """Trains an adapter, a sequence to an update: the fastest update's seconds, and the losses."""
    import torch
    from transformers import TrainerCallback

    from sotopia_pi.config import TrainingConfig
    from sotopia_pi.training.trainer import PackedTrainer, arguments

    class Clock(TrainerCallback):
        def on_step_begin(self, args: Any, state: Any, control: Any, **_: Any) -> None:
            _wait()
            self.began = time.perf_counter()

        def on_step_end(self, args: Any, state: Any, control: Any, **_: Any) -> None:
            _wait()
            seconds.append(time.perf_counter() - self.began)

    def _wait() -> None:
        if torch.cuda.is_available():
            torch.cuda.synchronize()

    seconds: list[float] = []
    settings = TrainingConfig(epochs=1, batch=1, micro_batch=1, learning_rate=1e-4)
    with tempfile.TemporaryDirectory() as folder:
        given = arguments(settings, folder, 1)
        trainer = PackedTrainer(model, items, settings, given)
        trainer.add_callback(Clock())
        trainer.train()
    return min(seconds), [entry["loss"] for entry in trainer.state.log_history if "loss" in entry]


def _measured(label: str, model: Any) -> list[tuple[str, str]]:
    import torch

    from sotopia_pi.config import TrainingConfig
    from sotopia_pi.training.adapters import with_adapter

    peak = measured_peak(model.config, rows=ROW, dtype=torch.bfloat16, device="cuda")
    model = with_adapter(model, None, TrainingConfig())
    model.activation_checkpointing_enable(activation_checkpointing_kwargs={"use_reentrant": False})
    model.enable_input_require_grads()
    torch.cuda.reset_peak_memory_stats()
    items = sequences(UPDATES, ROW, model.config.vocab_size)
    seconds, losses = steps(model, items)
    flops = training_flops(model, ROW, len(items[0].targets), ROW * (ROW + 1) // 2)
    memory = torch.cuda.max_memory_allocated()
    del model
    gc.collect()
    torch.cuda.empty_cache()
    return [
        (f"{label}: speed", f"{ROW / seconds:,.0f} tokens/s, a row of {ROW:,} tokens in {seconds:.2f} s"),
        (
            f"{label}: share of peak",
            f"{flops / seconds / peak:.0%} of {peak / 1e12:.0f} TFLOP/s (bfloat16 products, measured); what gradient "
            "checkpointing computes twice counts once",
        ),
        (f"{label}: memory", f"{memory / 2**30:.1f} GiB; loss {losses[0]:.2f} → {losses[-1]:.2f}"),
    ]
