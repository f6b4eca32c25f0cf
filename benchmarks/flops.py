"""Floating-point operations of training an adapter, and the rate at which this machine multiplies matrices."""

from __future__ import annotations

import time
from typing import Any


def training_flops(model: Any, computed: int, trained: int, attended: int) -> float:
    """Operations of one epoch of LoRA, forward and backward, of a decoder with an adapter (a `PeftModel`).

    `computed` positions each cost 2 operations per weight of the layers' matrices forward and 2 backward (for the
    activations; the base weights get no gradient), and the adapter's own weights 2 more for their gradient. The head
    costs 4 per weight, at the `trained` positions only. Attention costs 4 per layer, query dimension and pair of a
    position with one that it sees forward and 8 backward; `attended` is the number of such pairs. Norms, rotations,
    softmax and the optimizer are left out: they are no matrix products.
    """
    config = model.config
    head = model.get_output_embeddings().weight.numel()
    matrices = {name: weight.numel() for name, weight in model.named_parameters() if weight.dim() == 2}
    adapter = sum(size for name, size in matrices.items() if "lora_" in name)
    layers = sum(size for name, size in matrices.items() if ".layers." in name)
    width = config.num_attention_heads * (getattr(config, "head_dim", None) or config.hidden_size // _heads(config))
    attention = 12 * config.num_hidden_layers * width * attended
    return float(computed * (4 * layers + 2 * adapter) + 4 * head * trained + attention)


def _heads(config: Any) -> int:
    return int(config.num_attention_heads)


def measured_peak(config: Any, rows: int = 2048, dtype: Any = None, device: str = "cpu", repeats: int = 12) -> float:
    """Operations per second of the model's own largest product: `rows` tokens through a matrix of its MLP, at best."""
    import torch

    tokens = torch.randn(rows, config.hidden_size, dtype=dtype, device=device)
    matrix = torch.randn(config.intermediate_size, config.hidden_size, dtype=dtype, device=device)
    best = float("inf")
    for _ in range(repeats):
        began = time.perf_counter()
        for _ in range(4):
            torch.nn.functional.linear(tokens, matrix)
        if device != "cpu":
            torch.cuda.synchronize()
        best = min(best, (time.perf_counter() - began) / 4)
    return 2 * rows * config.hidden_size * config.intermediate_size / best
