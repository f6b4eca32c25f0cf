"""What turns declare: from the words of an action's terms to terms that can be compared, and to the agreement.

Terms are stored as their environment writes them for the role that declared them. What it cannot read (in an edited
database, say) is not declared.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from functools import lru_cache
from typing import Any

from sotopia_pi.environments import Agreement, AnyEnvironment, TermsError, agreement, environment
from sotopia_pi.environments.base import Heard
from sotopia_pi.episodes.records import SILENT, Action, Turn
from sotopia_pi.world.records import Scenario


def terms_of(scenario: Scenario, role: int, action: Action) -> Any:
    """The terms that a role declared with this action; None where it declared none, or in an open scenario."""
    env = scenario.environment
    if action.terms is None or action.type in SILENT or env is None or scenario.check is None:
        return None
    return _read(env.kind, scenario.check.side(role), action.terms)


@lru_cache(maxsize=65536)
def _read(kind: str, side: Any, text: str) -> Any:
    try:
        return environment(kind).declared(side, text)
    except TermsError:
        return None


def heard(scenario: Scenario, turns: Iterable[Turn]) -> Heard[Any]:
    """What each turn declared."""
    return tuple((turn.role, terms_of(scenario, turn.role, turn.action)) for turn in turns)


def agreed(scenario: Scenario, turns: Sequence[Turn]) -> Agreement[Any] | None:
    """The agreement of an episode; None where there is none, and for open scenarios."""
    return agreement(heard(scenario, turns))


def chosen(env: AnyEnvironment, side: Any, value: object) -> str | None:
    """Terms as they are stored from what somebody picked or typed, whatever the words beside them. TermsError."""
    terms = env.declared(side, value)
    return None if terms is None else env.write(side, terms)
