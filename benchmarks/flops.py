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
    from torch.nn import Linear

    config = model.config
    head = model.get_output_embeddings()
    linear = {name: part for name, part in model.named_modules() if isinstance(part, Linear) and part is not head}
    # Not the weights' own size, which is another one in 4 bits; a layer with an adapter holds its base as a part.
    sizes = {name: part.in_features * part.out_features for name, part in linear.items()}
    adapter = sum(size for name, size in sizes.items() if "lora_" in name)
    width = config.num_attention_heads * (
        getattr(config, "head_dim", None) or config.hidden_size // config.num_attention_heads
    )
    attention = 12 * config.num_hidden_layers * width * attended
    last = 4 * head.in_features * head.out_features * trained
    return float(computed * (4 * sum(sizes.values()) + 2 * adapter) + last + attention)


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
