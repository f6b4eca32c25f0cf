"""Which (episode, role) pairs are imitated. A rule is a plain function from candidates to the chosen ones.

To add a rule, write a function with a decorator `@rule("name")`; its keyword arguments are the config's.
Ties are broken by the candidate's id, so that a selection does not depend on the order of the candidates.
"""

from __future__ import annotations

import inspect
import math
from collections import defaultdict
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from statistics import mean
from typing import Any

from sotopia_pi.errors import ConfigError


@dataclass(frozen=True, slots=True)
class Candidate:
    """One role of one rated episode: `score` is its GOAL, `overall` breaks ties where it is known."""

    episode: str
    role: int
    task_id: str
    score: float
    overall: float | None = None

    @property
    def rank_key(self) -> tuple[float, float, str, int]:
        """Sorts best first: by score, then overall, then id."""
        return (-self.score, -(self.overall if self.overall is not None else 0.0), self.episode, self.role)


Rule = Callable[..., list[Candidate]]
RULES: dict[str, Rule] = {}


def rule(name: str) -> Callable[[Rule], Rule]:
    """Registers a selection rule under the name that configs use."""

    def register(function: Rule) -> Rule:
        RULES[name] = function
        return function

    return register


def _groups(candidates: Iterable[Candidate]) -> dict[tuple[str, int], list[Candidate]]:
    """Per task and role, best first."""
    groups: dict[tuple[str, int], list[Candidate]] = defaultdict(list)
    for candidate in candidates:
        groups[candidate.task_id, candidate.role].append(candidate)
    return {key: sorted(group, key=lambda c: c.rank_key) for key, group in sorted(groups.items())}


@rule("top_k")
def top_k(candidates: Sequence[Candidate], k: int = 2, at_least: float = 0.0) -> list[Candidate]:
    """The best `k` of each task and role, of those that score at least `at_least`."""
    return [c for group in _groups(candidates).values() for c in group[:k] if c.score >= at_least]


@rule("paper")
def paper(candidates: Sequence[Candidate], k: int = 2) -> list[Candidate]:
    """SOTOPIA-π's rule for behaviour cloning (arXiv 2403.08715, appendix).

    The best `k` of each task and role; a lower rank is added for all roles of a task together, when each scores
    above min(mean of the task and role, mean of all candidates).
    """
    groups = _groups(candidates)
    everywhere = mean(c.score for c in candidates) if candidates else 0.0
    chosen = []
    for task in sorted({task for task, _ in groups}):
        roles = [group for (of, _), group in groups.items() if of == task]
        bars = [min(mean(c.score for c in group), everywhere) for group in roles]
        chosen += [c for group in roles for c in group[:k]]
        for rank in range(k, min(len(group) for group in roles)):
            row = [group[rank] for group in roles]
            if all(c.score > bar for c, bar in zip(row, bars, strict=True)):
                chosen += row
    return chosen


@rule("top_fraction")
def top_fraction(candidates: Sequence[Candidate], fraction: float = 0.2, at_least: float = 0.0) -> list[Candidate]:
    """The best `fraction` of each task and role, at least one (SOTOPIA-π's rule for self-reinforcement: 0.2)."""
    if not 0 < fraction <= 1:
        raise ConfigError(f"'fraction' of the selection rule 'top_fraction' must be above 0 and at most 1: {fraction}.")
    groups = _groups(candidates).values()
    return [c for group in groups for c in group[: math.ceil(fraction * len(group))] if c.score >= at_least]


@rule("threshold")
def threshold(candidates: Sequence[Candidate], at_least: float = 5.0) -> list[Candidate]:
    """Every candidate that scores at least `at_least`."""
    return [c for group in _groups(candidates).values() for c in group if c.score >= at_least]


def select(candidates: Sequence[Candidate], name: str, **parameters: Any) -> list[Candidate]:
    """Applies the rule `name`; ConfigError, also without candidates, for a rule or parameter that cannot be used."""
    if name not in RULES:
        raise ConfigError(f"There is no selection rule {name!r}; the rules are: {', '.join(RULES)}.")
    known = {key: p.default for key, p in inspect.signature(RULES[name]).parameters.items() if key != "candidates"}
    unknown = set(parameters) - known.keys()
    if unknown:
        raise ConfigError(
            f"The selection rule {name!r} does not know {', '.join(sorted(unknown))}; "
            f"it knows: {', '.join(sorted(known))}."
        )
    for key, value in parameters.items():
        _check(name, key, value, whole=isinstance(known[key], int))
    return RULES[name](candidates, **parameters)


def _check(name: str, key: str, value: Any, whole: bool) -> None:
    """Numbers only, whole ones from 1, where the rule's default is a whole number."""
    where = f"{key!r} of the selection rule {name!r}"
    if isinstance(value, bool) or not isinstance(value, int if whole else int | float):
        raise ConfigError(f"{where} must be a {'whole ' if whole else ''}number, not {value!r}.")
    if whole and value < 1:
        raise ConfigError(f"{where} must be at least 1, not {value}.")


@dataclass(frozen=True, slots=True)
class Saturation:
    """How far a score can still tell candidates apart.

    `share_at_top` of all `n` candidates have the highest score; in `tied_groups` of `groups` (task and role) the
    best score is shared, so that the choice there is tie-breaking.
    """

    n: int
    top_score: float
    share_at_top: float
    groups: int
    tied_groups: int


def saturation(candidates: Sequence[Candidate]) -> Saturation:
    """How many candidates share the top score; for no candidates, all zero."""
    if not candidates:
        return Saturation(0, 0.0, 0.0, 0, 0)
    top = max(c.score for c in candidates)
    groups = list(_groups(candidates).values())
    tied = sum(len(group) > 1 and group[0].score == group[1].score for group in groups)
    return Saturation(
        len(candidates), top, sum(c.score == top for c in candidates) / len(candidates), len(groups), tied
    )
