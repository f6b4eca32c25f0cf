"""Why turns were invalid: how many of each player's, by cause, and what can be done about it.

An invalid turn did nothing and counts as that in every score, whoever is at fault; here only its cause is named.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from sotopia_pi.evaluation.table import align
from sotopia_pi.evaluation.wording import share
from sotopia_pi.models.answers import Cause, advice
from sotopia_pi.printable import one_line

#: The cause of turns that were stored before causes were.
NOT_RECORDED = "not recorded"
#: Causes that lie in how a model is run or served rather than in what it has learnt.
SERVED = frozenset({Cause.CUT, Cause.THINKING, Cause.FILTERED, Cause.TOOLS, Cause.EMPTY})
#: From this share of a player's turns on a cause is pointed out while a run goes on.
_MANY = 0.05
_NAME = 40


def invalid_turns(counted: Iterable[tuple[str, bool, str | None, int]]) -> list[dict[str, Any]]:
    """One row per player and cause, from (player, valid, cause, turns): the most frequent cause first. JSON-able."""
    all_turns: Counter[str] = Counter()
    invalid: dict[str, Counter[str]] = {}
    for player, valid, cause, turns in counted:
        all_turns[player] += turns
        if not valid:
            invalid.setdefault(player, Counter())[cause or NOT_RECORDED] += turns
    return [
        {
            "player": player,
            "cause": cause,
            "turns": turns,
            "of": all_turns[player],
            "share": turns / all_turns[player],
            "advice": advice(cause),
        }
        for player, causes in invalid.items()
        for cause, turns in sorted(causes.items(), key=lambda item: (-item[1], item[0]))
    ]


def pointed_out(rows: Sequence[Mapping[str, Any]]) -> list[str]:
    """A sentence for each player and cause that many turns were lost to and that training does not help against."""
    return [
        f"{row['turns']} of {row['of']} turns of {one_line(row['player'], _NAME)} ({row['cause']}): {row['advice']}"
        for row in rows
        if row["cause"] in SERVED and row["share"] >= _MANY
    ]


def render_invalid(rows: Sequence[Mapping[str, Any]]) -> str:
    """The rows as aligned text with a line of advice for each cause; empty where no turn was invalid."""
    if not rows:
        return ""
    lines = [["invalid turns of", "cause", "turns", "of all"]]
    lines += [[one_line(row["player"], _NAME), row["cause"], str(row["turns"]), share(row["share"])] for row in rows]
    said = {row["cause"]: row["advice"] for row in rows if row["advice"]}
    return "\n".join([*align(lines), "", *(f"{cause}: {text}" for cause, text in said.items())])
