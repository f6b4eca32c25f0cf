"""The summary of human ratings as tables for the terminal."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any

from sotopia_pi.evaluation.table import align
from sotopia_pi.evaluation.wording import NOTHING, interval, number, p_value, signed

_MEASURES = {
    "pairwise": "pairwise",
    "randolph_kappa": "Randolph κ",
    "krippendorff_alpha": "Krippendorff α",
    "icc": "ICC(1)",
    "icc_of_means": "ICC(1,k)",
}


def render(content: Mapping[str, Any]) -> str:
    """What `people.summary` found (and "comparison", if there is one); below a table stands why numbers are missing."""
    counts = "{n_episodes} episodes of {n_scenarios} scenarios, {n_annotations} annotations by {n_annotators} people"
    parts = [counts.format(**content), _table(_means(content), _reasons(content["target"], "target"))]
    parts.append("Agreement (n: roles of episodes that two or more people rated)")
    parts.append(_table(_agreement(content["agreement"]), _why_measures(content["agreement"])))
    for judge, sides in content["judges"].items():
        for side, scales in sides.items():
            parts.append(f"{judge} held against the people, {side} side")
            parts.append(_table(_gaps(scales), _reasons(scales, side)))
    if "comparison" in content:
        parts.append("The target side minus that of the other condition, paired by scenario")
        parts.append(_table(_tests(content["comparison"]), _reasons(content["comparison"], "")))
    return "\n\n".join(parts)


def _table(rows: Iterator[Sequence[str]], notes: Sequence[str]) -> str:
    return "\n".join([*align([list(row) for row in rows]), *notes])


def _means(content: Mapping[str, Any]) -> Iterator[Sequence[str]]:
    yield ("dimension", "target", "[95 % CI]", "n", "partner", "[95 % CI]", "n")
    for scale, target in content["target"].items():
        partner = content["partner"][scale]
        cells = [cell for side in (target, partner) for cell in (number(side["mean"]), _interval(side), str(side["n"]))]
        yield (scale, *cells)


def _agreement(found: Mapping[str, Any]) -> Iterator[Sequence[str]]:
    yield ("dimension", *_MEASURES.values(), "n")
    for scale, measures in found.items():
        yield (scale, *(number(measures[name]["value"]) for name in _MEASURES), str(measures["n"]))


def _gaps(scales: Mapping[str, Any]) -> Iterator[Sequence[str]]:
    yield ("dimension", "judge − people", "[95 % CI]", "Pearson", "Spearman", "n")
    for scale, told in scales.items():
        figures = (signed(told["gap"]), _interval(told), number(told["pearson"]), number(told["spearman"]))
        yield (scale, *figures, str(told["n"]))


def _tests(scales: Mapping[str, Any]) -> Iterator[Sequence[str]]:
    yield ("dimension", "difference", "[95 % CI]", "t", "df", "p", "unpaired")
    for scale, told in scales.items():
        df = NOTHING if told["df"] is None else str(told["df"])
        figures = (signed(told["delta"]), _interval(told), number(told["t"]), df, p_value(told["p"]))
        yield (scale, *figures, str(told["n_unpaired"]))


def _interval(told: Mapping[str, Any]) -> str:
    return NOTHING if told["ci_low"] is None else interval(told)


def _reasons(scales: Mapping[str, Any], side: str) -> list[str]:
    """Why numbers are missing, each reason once with the scales it is about."""
    return _grouped((told["why"], f"{side} {scale}".strip()) for scale, told in scales.items() if "why" in told)


def _why_measures(found: Mapping[str, Any]) -> list[str]:
    return _grouped(
        (told["why"], scale)
        for scale, measures in found.items()
        for name, told in measures.items()
        if name in _MEASURES and "why" in told
    )


def _grouped(pairs: Iterable[tuple[str, str]]) -> list[str]:
    by_reason: dict[str, list[str]] = {}
    for why, about in pairs:
        by_reason.setdefault(why, []).append(about)
    return [f"{', '.join(dict.fromkeys(about))}: {why}" for why, about in by_reason.items()]
