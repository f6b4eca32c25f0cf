"""The sections of an audit as tables of words, for the page and the terminal alike."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from sotopia_pi.evaluation.wording import NOTHING, interval, number, p_value, share, signed

Facts = Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class Table:
    """A head and rows of cells, the first cell of each its name."""

    label: str
    head: Sequence[str]
    rows: Sequence[Sequence[str]]


@dataclass(frozen=True, slots=True)
class Section:
    """A part of the audit."""

    id: str
    title: str
    tables: Sequence[Table]
    notes: Sequence[str] = ()


def sections(content: Facts) -> list[Section]:
    """The sections of what audit.json holds, in the order of the page."""
    parts = content["parts"]
    made = [_faults(content["flags"])]
    made += [make(parts[name]) for name, make in _SECTIONS.items() if name in parts]
    return [*made, *_failures(content["ratings"])]


def _faults(flags: Iterable[Facts]) -> Section:
    rows = [
        (
            flag["name"],
            _found(flag),
            *_effect(flag["effect"]),
            p_value(flag["p_adjusted"]),
        )
        for flag in flags
    ]
    note = (
        "p is corrected for there being several tests (Holm). A fault is found where it is below 0.05, the effect is "
        "large enough to matter, and there are ten scenarios or more."
    )
    head = ("fault", "", "effect", "[95 % CI]", "p")
    return Section("faults", "Faults that were looked for", [Table("Faults", head, rows)], [note])


def _found(flag: Facts) -> str:
    if flag["raised"]:
        return "found"
    if flag["open"]:
        return "not ruled out"
    return "not found" if flag["known"] else "cannot be said"


def _effect(effect: Facts) -> tuple[str, str]:
    return signed(effect["estimate"]), _interval(effect)


def _interval(effect: Facts) -> str:
    return interval(effect) or NOTHING


def _truth(found: Facts) -> Section:
    groups = [
        ("all", found),
        *((f"{by}: {name}", told) for by, all_ in found["by"].items() for name, told in all_.items()),
    ]
    head = ("GOAL", "n", "truth", "judge", "judge − truth", "[95 % CI]", "MAE", "RMSE", "Pearson", "Spearman")
    slopes = [
        (f"gap per {name}", _small(told["estimate"]), _slope_interval(told), signed(told["across"]))
        for name, told in (
            ("word of the role", found["slopes"]["words"]),
            ("turn of the episode", found["slopes"]["turns"]),
            ("point of the truth", found["slopes"]["truth"]),
        )
    ]
    top = found["saturation"]
    notes = [
        found["trend"]["sentence"],
        f"The highest score: given to {share(top['judge'])} of the roles, earned by {share(top['truth'])}.",
        *_whys([("all roles", found)]),
        *_whys((f"gap on {name}", told) for name, told in found["slopes"].items()),
    ]
    tables = [
        Table("GOAL of the judge and of the verifier", head, [_group(name, told) for name, told in groups]),
        Table("What the gap depends on", ("slope", "", "[95 % CI]", "between the quartiles"), slopes),
    ]
    return Section("truth", "Against the truth", tables, notes)


def _group(name: str, told: Facts) -> Sequence[str]:
    return (
        name,
        str(told["n"]),
        number(told["truth"]),
        number(told["judge"]),
        *_effect(told["bias"]),
        number(told["mae"]["mean"]),
        number(told["rmse"]),
        number(told["pearson"]),
        number(told["spearman"]),
    )


def _small(value: float | None) -> str:
    return signed(value, 3)


def _slope_interval(effect: Facts) -> str:
    return interval(effect, 3) or NOTHING


_ALTERED = {
    "swapped": "roles listed the other way round",
    "begun": "transcript begun by the other",
    "reworded": "in other words",
}


def _itself(found: Facts) -> Section:
    again = found["repeat"]
    again_row = ("asked again", str(again["n"]), NOTHING, NOTHING, number(again["mae"]["mean"]), NOTHING, NOTHING, "0")
    rows: list[tuple[str, ...]] = [again_row]
    rows += [_change(label, found[kind]) for kind, label in _ALTERED.items()]
    icc = again["icc"]
    notes = [
        f"Asked again: test–retest MAE {number(again['mae']['mean'])}, ICC {number(icc['value'])}"
        + (f" ({icc['why']})" if "why" in icc else "")
        + f", {again['n']} roles.",
        "Places: a shift above zero favours whoever stands first. More than asking again: how much more the alteration "
        "changes a score than a second rating of the same episode does.",
        *_whys((label, found[kind]["shift"]) for kind, label in _ALTERED.items()),
    ]
    return Section("itself", "Against itself", [Table("The same episode, shown otherwise", _CHANGED, rows)], notes)


_CHANGED = ("altered", "n", "shift", "[95 % CI]", "mean change", "more than again", "[95 % CI]", "left out")


def _change(label: str, told: Facts) -> tuple[str, ...]:
    return (
        label,
        str(told["n"]),
        *_effect(told["shift"]),
        number(told["change"]["mean"]),
        *_effect(told["excess"]),
        str(told["n_left_out"]),
    )


def _susceptible(found: Facts) -> Section:
    rows = [
        (form, str(told["n"]), *_effect(told["shift"]), number(told["change"]["mean"]), str(told["n_left_out"]))
        for form, told in found.items()
    ]
    head = ("put into a role's words", "n", "shift", "[95 % CI]", "mean change", "left out")
    notes = ["The role's score with these words minus its score with as many neutral words at the same place."]
    notes += _whys((form, told["shift"]) for form, told in found.items())
    return Section("susceptibility", "Words meant for the judge", [Table("Inserted words", head, rows)], notes)


def _calibration(found: Facts) -> Section:
    if "why" in found:
        return Section("calibration", "Calibration", [], [f"{found['why'][0].upper()}{found['why'][1:]}."])
    errors = [
        ("mean absolute error", number(found["mae_before"]), number(found["mae_after"])),
        ("root mean square error", number(found["rmse_before"]), number(found["rmse_after"])),
    ]
    knots = [(number(score), number(worth)) for score, worth in found["knots"]]
    helps = found["gain"]["ci_low"] is not None and found["gain"]["ci_low"] > 0
    note = "It makes the error smaller." if helps else "There is no sign that it makes the error smaller."
    spread = (
        f"By {number(found['gain']['estimate'])} points {_interval(found['gain'])}, on scenarios it was not made from."
    )
    tables = [
        Table("Cross-validated error, in points of GOAL", ("", "as given", "calibrated"), errors),
        Table("The map", ("given", "is worth"), knots),
    ]
    return Section("calibration", "Calibration", tables, [note, spread])


def _others(found: Facts) -> Section:
    rows = [
        (
            f"{_name(pair['a'])} − {_name(pair['b'])}",
            *_effect(pair["difference"]),
            number(pair["pearson"]),
            number(pair["icc"]["value"]),
        )
        for pair in found["pairs"]
    ]
    alpha = found["alpha"]
    why = f" ({alpha['why']})" if "why" in alpha else ""
    notes = [
        f"Krippendorff's alpha of all: {number(alpha['value'])}{why}; {found['n']} roles that all of them rated.",
        "Failed ratings: " + ", ".join(f"{_name(name)} {count}" for name, count in found["failed"].items()) + ".",
        *_whys((f"{_name(pair['a'])}, {_name(pair['b'])}", pair) for pair in found["pairs"]),
    ]
    head = ("judges", "difference", "[95 % CI]", "Pearson", "ICC(1)")
    return Section("others", "Against other judges", [Table("Pairs of judges", head, rows)], notes)


def _name(judge: str) -> str:
    return judge.removeprefix("judge:").rpartition(":")[0]


def _people(found: Facts) -> Section:
    counts = f"{found['n_episodes']} episodes, {found['n_unread']} without a readable transcript, {found['n_failed']} "
    counts += "ratings of roles failed."
    if "why" in found:
        return Section("people", "Against people", [], [counts, f"{found['why'][0].upper()}{found['why'][1:]}."])
    head = ("dimension", "n", "judge − people", "[95 % CI]", "Pearson", "Spearman")
    tables, notes = [], [counts]
    for side in ("target", "partner"):
        rows = [
            (
                scale.replace("_", " "),
                str(told["n"]),
                signed(told["gap"]),
                _interval(told),
                number(told["pearson"]),
                number(told["spearman"]),
            )
            for scale, told in found[side].items()
        ]
        tables.append(Table(f"{side} side", head, rows))
        notes += _whys((f"{side} {scale}", told) for scale, told in found[side].items())
    return Section("people", "Against people", tables, notes)


def _whys(found: Iterable[tuple[str, Facts]]) -> list[str]:
    """Why numbers are missing, each reason once with what it is about."""
    by_reason: dict[str, list[str]] = {}
    for about, told in found:
        if told.get("why"):
            by_reason.setdefault(told["why"], []).append(about)
    return [f"{', '.join(about)}: {why}." for why, about in by_reason.items()]


def _failures(rated: Facts) -> list[Section]:
    if not rated["failed"]:
        return []
    rows = [(cause, str(count), share(count / rated["asked"])) for cause, count in rated["causes"].items()]
    note = f"Failed ratings are in no number above. The first: {rated.get('first_failure', '')}"
    return [Section("failures", "Failed ratings", [Table("By cause", ("cause", "ratings", "of all"), rows)], [note])]


_SECTIONS: dict[str, Callable[[Facts], Section]] = {
    "truth": _truth,
    "itself": _itself,
    "susceptibility": _susceptible,
    "others": _others,
    "people": _people,
    "calibration": _calibration,
}
