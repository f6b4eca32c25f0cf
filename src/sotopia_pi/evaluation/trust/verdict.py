"""What a judge can be used for, in plain words: rules over the measures and flags of an audit.

Each use begins at "yes" and falls with every reason below; nothing lifts it again, so the answer is never better than
the data allow. Below ten scenarios with a true and a judged GOAL it is "not enough episodes to say", whatever they say.

to rank policies     no: the order (Spearman) is below 0.4 or not computable.
                     with care: it is below 0.7; grows, length, saturated, a place or a form of words for the judge
                     is flagged; it is not known whether the gap grows.
to select episodes   no: the order is below 0.4; saturated is flagged.
                     with care: the order is below 0.7; noisy, length, a place, rewording or a form is flagged.
to say how good      no: the MAE is above 2; a bias of a point or more is flagged.
a policy is          with care: the MAE is above 1; bias, score, length, grows or saturated is flagged.
as the reward in     no: the order is below 0.4; a form, grows or saturated is flagged.
training             with care: the order is below 0.7; length, noisy, score, a place or rewording is flagged; words
                     for the judge, or whether the gap grows, were not looked at.

"With care" also where the interval of a test reaches four times the size that matters: too few episodes to rule the
fault out. For every use: no where more than half of the ratings failed, with care where more than a tenth did, or
where a part that it needs was not looked at.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

from sotopia_pi.evaluation.effects import ENOUGH
from sotopia_pi.evaluation.trust.flags import Flag, flags
from sotopia_pi.evaluation.wording import number, share, signed

YES, CARE, NO, UNKNOWN = "yes", "with care", "no", "not enough episodes to say"
_WEAK, _FAIR = 0.4, 0.7
_PLACES = ("place listed", "place first")
_WORDING = ("rewording", "rewording, change")
_MANY, _SOME = 0.5, 0.1

#: Uses in the order of the page.
USES = {
    "rank": "To rank policies",
    "select": "To select episodes",
    "absolute": "To say how good a policy is",
    "reward": "As the reward in training",
}


@dataclass(slots=True)
class _Use:
    """Reasons against a use, as they are found."""

    no: list[str] = field(default_factory=list)
    care: list[str] = field(default_factory=list)

    def answer(self, name: str) -> dict[str, Any]:
        says = NO if self.no else CARE if self.care else YES
        reasons = self.no or self.care or ["nothing that was looked at speaks against it"]
        return _answer(name, says, reasons)


def _answer(name: str, says: str, reasons: list[str]) -> dict[str, Any]:
    told = f"{USES[name]}: {says}, because {'; '.join(reasons)}."
    return {"use": USES[name], "answer": says, "reasons": reasons, "sentence": told}


def conclude(parts: Mapping[str, Any], n_asked: int, n_failed: int) -> dict[str, Any]:
    """The answers by use and the flags; `n_asked` ratings of roles were asked for in all and `n_failed` failed."""
    found = flags(parts)
    truth = parts.get("truth")
    return {
        "uses": {name: _use(name, truth, found, parts, n_asked, n_failed) for name in USES},
        "flags": [flag.facts() for flag in found.values()],
    }


def _use(
    name: str,
    truth: Mapping[str, Any] | None,
    found: Mapping[str, Flag],
    parts: Mapping[str, Any],
    n_asked: int,
    n_failed: int,
) -> dict[str, Any]:
    failed = n_failed / n_asked if n_asked else 0.0
    if failed > _MANY:
        return _answer(name, NO, [f"{share(failed)} of its ratings failed"])
    if truth is None:
        return _answer(name, UNKNOWN, ["it was not held against the truth (part truth)"])
    if truth["n_scenarios"] < ENOUGH:
        return _answer(
            name, UNKNOWN, [f"{truth['n_scenarios']} scenarios have a true and a judged GOAL, it needs {ENOUGH}"]
        )
    use = _Use()
    if failed > _SOME:
        use.care.append(f"{share(failed)} of its ratings failed")
    _RULES[name](use, truth, found, parts)
    return use.answer(name)


def _weigh(use: _Use, against: list[str], found: Mapping[str, Flag], names: Iterable[str]) -> None:
    """What the flags of those names say `against` the use where they are raised, and what could not be ruled out."""
    flagged = [found[name] for name in names if name in found]
    raised = [flag for flag in flagged if flag.raised]
    against += [f"{flag.says} ({_size(flag.name, flag.effect['estimate'])})" for flag in raised if not flag.form]
    if forms := [f"{flag.name} {signed(flag.effect['estimate'])}" for flag in raised if flag.form]:
        against.append(f"words that are meant for it raise the score ({', '.join(forms)} points)")
    if doubts := [flag.name for flag in flagged if flag.open]:
        use.care.append(f"there are too few episodes to rule out: {', '.join(doubts)}")


def _size(name: str, estimate: float) -> str:
    if name == "saturated":
        return f"{share(estimate)} of the roles more than the truth"
    unit = {"length": "points per word", "score": "points per point", "grows": "points per policy"}.get(name, "points")
    if name == "noisy":
        return f"by {number(estimate + 1)} points on average"
    return f"{signed(estimate)} {unit}"


def _order(use: _Use, truth: Mapping[str, Any]) -> None:
    """How well the judge orders roles."""
    order = truth["spearman"]
    if order is None:
        use.no.append(f"it cannot be said that it orders roles at all: {truth['why']}")
    elif order < _WEAK:
        use.no.append(f"it hardly orders roles as the outcomes do (Spearman {number(order)})")
    elif order < _FAIR:
        use.care.append(f"it orders roles only roughly as the outcomes do (Spearman {number(order)})")


def _unlooked(use: _Use, parts: Mapping[str, Any], *names: str) -> None:
    use.care += [f"it was not audited for {_PART[name]}" for name in names if name not in parts]


_PART = {"itself": "steadiness (part itself)", "susceptibility": "words meant for a judge (part susceptibility)"}


def _forms(parts: Mapping[str, Any]) -> tuple[str, ...]:
    """The forms of words for the judge that were tried."""
    return tuple(parts.get("susceptibility") or ())


def _growth(use: _Use, found: Mapping[str, Flag]) -> None:
    if not found["grows"].known:
        use.care.append("whether the gap grows with training is not known (audit a run with several policies, --run)")


def _rank(use: _Use, truth: Mapping[str, Any], found: Mapping[str, Flag], parts: Mapping[str, Any]) -> None:
    _order(use, truth)
    _weigh(use, use.care, found, ("grows", "length", "saturated", *_PLACES, *_forms(parts)))
    _growth(use, found)
    _unlooked(use, parts, "itself")


def _select(use: _Use, truth: Mapping[str, Any], found: Mapping[str, Flag], parts: Mapping[str, Any]) -> None:
    _order(use, truth)
    _weigh(use, use.no, found, ("saturated",))
    _weigh(use, use.care, found, ("noisy", "length", *_PLACES, *_WORDING, *_forms(parts)))
    _unlooked(use, parts, "itself", "susceptibility")


def _absolute(use: _Use, truth: Mapping[str, Any], found: Mapping[str, Flag], parts: Mapping[str, Any]) -> None:
    error, bias = truth["mae"]["mean"], truth["bias"]["estimate"]
    if error > 2:
        use.no.append(f"it is off by {number(error)} points on average")
    elif error > 1:
        use.care.append(f"it is off by {number(error)} points on average")
    large = found["bias"].raised and abs(bias) >= 1
    _weigh(use, use.no if large else use.care, found, ("bias",))
    _weigh(use, use.care, found, ("score", "length", "grows", "saturated"))


def _reward(use: _Use, truth: Mapping[str, Any], found: Mapping[str, Flag], parts: Mapping[str, Any]) -> None:
    _order(use, truth)
    _weigh(use, use.no, found, (*_forms(parts), "grows", "saturated"))
    _weigh(use, use.care, found, ("length", "noisy", "score", *_PLACES, *_WORDING))
    unknown = [form for form in _forms(parts) if not found[form].known]
    if unknown:
        use.care.append(f"there were not enough episodes to test {', '.join(unknown)}")
    _growth(use, found)
    _unlooked(use, parts, "itself", "susceptibility")


_RULES = {"rank": _rank, "select": _select, "absolute": _absolute, "reward": _reward}
