"""A judge beside itself and beside others: asked again, shown an altered episode, shown what is meant for it.

All on GOAL, over roles, intervals clustered by scenario.

repeat     The same episode again with another seed. Test–retest MAE is the mean |second − first|; ICC(1) as in
           reliability.py, two ratings per role. At temperature 0 a judge may repeat itself and still be wrong.
shift      mean sign · (after − before); an alteration that should change nothing has a shift of zero.
change     mean |after − before|. Some of it is noise, and the repeat says how much:
excess     mean (|after − before| − |second − first|): how much more an alteration changes than asking again does.
inserted   The score of a role into whose words something was put that is meant for the judge, minus its score with
           neutral words of the same number at the same place.
others     Of two judges the mean difference, Pearson, ICC(1), and of all judges Krippendorff's alpha (interval).

Limits: alterations are mild and few. A judge that passes them may fall for others.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict
from itertools import combinations
from typing import Any

from sotopia_pi.evaluation.correlations import correlated
from sotopia_pi.evaluation.effects import missing, shift
from sotopia_pi.evaluation.reliability import Measure, intraclass_correlation, krippendorff_alpha
from sotopia_pi.evaluation.statistics import clustered_mean
from sotopia_pi.evaluation.trust.records import Change, Pairing

#: Test–retest differences beyond this many points of GOAL are called noise.
NOISY = 1.0


def repeated(pairs: Sequence[Pairing]) -> dict[str, Any]:
    """The same episodes rated twice or more; the first two ratings of each count for the error."""
    twice = [pair for pair in pairs if len(pair.scores) > 1]
    scenarios = [pair.scenario for pair in twice]
    errors = [abs(pair.scores[1] - pair.scores[0]) for pair in twice]
    beyond = shift([error - NOISY for error in errors], scenarios)
    if not twice:
        beyond = missing("no episode was rated twice; give --samples 2 or more")
    return {
        "n": len(twice),
        "mae": asdict(clustered_mean(errors, scenarios)),
        "icc": _told(intraclass_correlation([pair.scores for pair in twice])),
        "beyond": beyond.facts(),
    }


def altered(changes: Sequence[Change]) -> dict[str, Any]:
    """What an alteration that should change nothing did to the scores."""
    scenarios = [change.scenario for change in changes]
    sizes = [abs(change.after - change.before) for change in changes]
    known = [change for change in changes if change.again is not None]
    more = [
        abs(change.after - change.before) - abs(change.again - change.before)
        for change in known
        if change.again is not None
    ]
    excess = shift(more, [change.scenario for change in known])
    return {
        "n": len(changes),
        "shift": shift([c.sign * (c.after - c.before) for c in changes], scenarios).facts(),
        "change": asdict(clustered_mean(sizes, scenarios)),
        "excess": (excess if known else missing("no episode was rated twice")).facts(),
    }


def compared(judges: Sequence[str], rows: Sequence[Pairing]) -> dict[str, Any]:
    """Judges beside each other, on the roles that all of them rated."""
    scenarios = [row.scenario for row in rows]
    pairs = []
    for a, b in combinations(range(len(judges)), 2):
        first, second = [row.scores[a] for row in rows], [row.scores[b] for row in rows]
        both = list(zip(first, second, strict=True))
        flat = (f"{judges[a]} gave everybody the same", f"{judges[b]} gave everybody the same")
        pairs.append(
            {
                "a": judges[a],
                "b": judges[b],
                "difference": shift([x - y for x, y in both], scenarios).facts(),
                "icc": _told(intraclass_correlation(both)),
                **correlated(first, second, flat).facts(),
            }
        )
    return {"n": len(rows), "pairs": pairs, "alpha": _told(krippendorff_alpha([row.scores for row in rows]))}


def _told(measure: Measure) -> dict[str, Any]:
    return {key: value for key, value in asdict(measure).items() if value is not None or key == "value"}
