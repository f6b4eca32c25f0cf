"""Finding the expert's styles: by GOAL against the training partners on training tasks, and by nothing else.

python -m benchmarks.experts [KIND …]      prints the best styles of a search for each kind
"""

from __future__ import annotations

import sys
from dataclasses import asdict, replace
from random import Random

from benchmarks.exploits import measure, scripted
from sotopia_pi.environments.registry import generate
from sotopia_pi.environments.styles import TRAIN_PARTNERS, Style, Temper

FIRST, ROUNDS, CHILDREN, KEPT = 60, 4, 20, 4
SEED = 11


def _drawn(rng: Random) -> Style:
    opening = rng.choice((1.0, 1.0, 0.9, 0.8, 0.7, 1.15))
    return Style(
        opening=opening,
        floor=min(opening, round(rng.uniform(0.05, 0.8), 2)),
        pace=round(rng.uniform(0.0, 0.2), 3),
        closing=rng.choice((0.0, 0.0, 0.1, 0.2, 0.3)),
        reciprocity=rng.choice((0.0, 0.0, 0.2, 0.4, 0.7)),
        matching=round(rng.uniform(0.3, 1.2), 2),
        patience=99.0,
        accept=round(rng.uniform(0.5, 1.0), 2),
        resort=rng.choice((0.0, 0.05, 0.1, 0.2)),
    )


def _varied(style: Style, rng: Random) -> Style:
    """The style with about half of its numbers changed a little."""
    changes = {}
    for name in ("opening", "floor", "pace", "closing", "matching", "accept", "reciprocity", "resort"):
        if rng.random() < 0.5:
            value = getattr(style, name)
            changes[name] = round(max(0.0, value + rng.gauss(0, 0.02 if name in ("pace", "closing") else 0.1)), 3)
    changed = replace(style, **changes)
    return replace(changed, floor=min(changed.floor, changed.opening), reciprocity=min(changed.reciprocity, 0.95))


def _fixed(style: Style) -> Temper:
    return Temper("", {name: (value, value) for name, value in asdict(style).items()})


def search(kind: str, tasks: int = 50) -> list[tuple[float, Style]]:
    """The best styles of a random search and some rounds of small changes, best first; later rounds use more tasks."""
    rng, partners = Random(SEED), scripted(TRAIN_PARTNERS)

    def rated(styles: list[Style], count: int) -> list[tuple[float, Style]]:
        drawn = generate(kind, "train", count, SEED)
        done = [(measure(kind, drawn, scripted([_fixed(style)]), partners), style) for style in styles]
        return sorted(done, key=lambda pair: -pair[0])

    best = rated([_drawn(rng) for _ in range(FIRST)], tasks)[:KEPT]
    for number in range(ROUNDS):
        parents = [style for _, style in best]
        styles = parents + [_varied(rng.choice(parents), rng) for _ in range(CHILDREN)]
        best = rated(styles, tasks * (1 + number))[:KEPT]
    return best


if __name__ == "__main__":
    for kind in sys.argv[1:]:
        for goal, style in search(kind):
            print(f"{kind:<10} {goal:.2f} {asdict(style)}", flush=True)
