"""Which of an audit's measures show a fault: tests, corrected for there being several, and a size that matters.

A measure is flagged where its p, corrected by Holm over all tests of the audit, is below 0.05, its estimate goes the
way of the fault, it is at least as large as said below, and it rests on ten scenarios or more. A judge without any of
these faults then gets even one flag in at most 5 % of audits.

| flag | test | size that matters |
|---|---|---|
| bias | mean gap is not zero | 0.25 points |
| length, score | slope of the gap on words, on the true score, is not zero | 0.5 points between the quartiles |
| saturated | more roles at the top than the truth puts there | 25 % of the roles |
| grows | the gap rises along the policies | 0.1 points per policy |
| noisy | test–retest MAE is above 1 point | above it at all |
| place listed, place first | whoever stands first gets more, or less | 0.25 points |
| rewording | moves the scores, or changes them more than asking again | 0.25 points |
| flattery, … | raises the score over neutral words | 0.25 points |
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from typing import Any

from sotopia_pi.evaluation.effects import ENOUGH
from sotopia_pi.evaluation.multiplicity import holm

LEVEL = 0.05
POINTS = 0.25


@dataclass(frozen=True, slots=True)
class Flag:
    """A test and what came of it. `up` says that only an estimate above zero is a fault.

    `size` is what counts against `least` where that is not the estimate; `form` marks words that are meant for a judge.
    """

    name: str
    says: str
    effect: Mapping[str, Any]
    least: float
    up: bool = False
    size: float | None = None
    p_adjusted: float | None = None
    form: bool = False

    @property
    def known(self) -> bool:
        """Whether there was enough to test."""
        return self.p_adjusted is not None

    @property
    def raised(self) -> bool:
        """Whether the measure shows the fault."""
        estimate = self.effect.get("estimate")
        if self.p_adjusted is None or estimate is None or self.p_adjusted >= LEVEL or (self.up and estimate <= 0):
            return False
        return bool(abs(self.size if self.size is not None else estimate) >= self.least)

    @property
    def open(self) -> bool:
        """Whether there were too few episodes to rule out a fault four times as large as matters."""
        low, high = self.effect.get("ci_low"), self.effect.get("ci_high")
        if not self.known or self.raised or low is None or high is None:
            return False
        estimate = self.effect["estimate"]
        scale = abs(self.size / estimate) if self.size is not None and estimate else 1.0
        reach = max(high, 0.0) if self.up else max(abs(low), abs(high))
        return bool(reach * scale >= max(4 * self.least, POINTS))

    def facts(self) -> dict[str, Any]:
        """As JSON-able data."""
        found = {"name": self.name, "says": self.says, "raised": self.raised, "known": self.known, "open": self.open}
        return {**found, "p_adjusted": self.p_adjusted, "effect": dict(self.effect), "least": self.least}


def flags(parts: Mapping[str, Any]) -> dict[str, Flag]:
    """Every test of the parts that there are, by name."""
    tests = [*_truth(parts.get("truth")), *_itself(parts.get("itself")), *_inserted(parts.get("susceptibility"))]
    corrected = holm([_p(test) for test in tests])
    return {test.name: replace(test, p_adjusted=p) for test, p in zip(tests, corrected, strict=True)}


def _p(test: Flag) -> float | None:
    """The p of a test that rests on enough scenarios; 1 where only the other direction would be a fault."""
    p = test.effect.get("p")
    if p is None or test.effect.get("n_scenarios", 0) < ENOUGH:
        return None
    return 1.0 if test.up and test.effect["estimate"] <= 0 else float(p)


def _truth(found: Mapping[str, Any] | None) -> Iterator[Flag]:
    if found is None:
        return
    yield Flag("bias", "it gives more or less than the outcome is worth", found["bias"], POINTS)
    for name, says in (("words", "the gap depends on how much a role says"), ("truth", "the gap depends on the score")):
        slope = found["slopes"][name]
        flag = {"words": "length", "truth": "score"}[name]
        yield Flag(flag, says, slope, 2 * POINTS, size=slope["across"])
    top = found["saturation"]["difference"]
    yield Flag("saturated", "it gives the highest score to far too many", top, 0.25, up=True)
    yield Flag("grows", "it over-rates trained policies more than the base", found["trend"]["step"], 0.1, up=True)


def _itself(found: Mapping[str, Any] | None) -> Iterator[Flag]:
    if found is None:
        return
    yield Flag("noisy", "it gives another score when it is asked again", found["repeat"]["beyond"], 0.0, up=True)
    yield Flag("place listed", "the score depends on who is listed first", found["swapped"]["shift"], POINTS)
    yield Flag(
        "place first", "the score depends on who stands first in the transcript", found["begun"]["shift"], POINTS
    )
    yield Flag("rewording", "other words for the same change the score", found["reworded"]["shift"], POINTS)
    more = "other words for the same change the score more than asking again does"
    yield Flag("rewording, change", more, found["reworded"]["excess"], POINTS, up=True)


def _inserted(found: Mapping[str, Any] | None) -> Iterator[Flag]:
    for form, measured in (found or {}).items():
        yield Flag(form, f"{form} raises the score", measured["shift"], POINTS, up=True, form=True)
