"""Drawing the next tokens of several replies at once, each with random numbers of its own."""

from __future__ import annotations

from collections.abc import Sequence

import torch

from sotopia_pi.models.protocol import Sampling


def draw(logits: torch.Tensor, rows: Sequence[tuple[Sampling, float]]) -> list[int]:
    """One token per row of `logits` [rows, vocabulary], by inverse transform sampling.

    A row has the sampling of its reply and a number in [0, 1), so that equal numbers draw equal tokens.
    """
    temperature = torch.tensor([max(sampling.temperature, 1e-4) for sampling, _ in rows], device=logits.device)
    probabilities = (logits.float() / temperature[:, None]).softmax(dim=-1)
    top_p = torch.tensor([sampling.top_p for sampling, _ in rows], device=logits.device)
    order = None
    if bool((top_p < 1).any()):
        probabilities, order = probabilities.sort(dim=-1, descending=True)
        before = probabilities.cumsum(dim=-1) - probabilities
        probabilities = probabilities.masked_fill(before >= top_p[:, None], 0.0)
    mass = probabilities.double().cumsum(dim=-1)
    dice = torch.tensor([luck for _, luck in rows], dtype=torch.float64, device=logits.device)
    drawn = torch.searchsorted(mass, (dice * mass[:, -1])[:, None], right=True).clamp(max=logits.shape[-1] - 1)
    drawn = drawn if order is None else order.gather(1, drawn)
    best = logits.argmax(dim=-1)
    greedy = torch.tensor([sampling.temperature <= 0 for sampling, _ in rows], device=logits.device)
    return torch.where(greedy, best, drawn[:, 0]).tolist()
