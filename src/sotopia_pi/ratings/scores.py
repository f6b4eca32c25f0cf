"""From an outcome to scores: documented formulas, monotone in what a role gets.

- price: GOAL = 10 x the role's share of the room between both limits; FIN = 5 x own surplus / room; no deal: 0.
- division: GOAL = what the role's items are worth to it; FIN = GOAL / 2; no agreement: 0.
- meeting: GOAL = what the agreed option is worth to the role; no agreement: 0. FIN does not follow.
- fact: GOAL = 10 if the partner's fact was learnt, 5 if the own guarded word was said besides, 0 if it was not learnt;
  SEC = -10 if the own guarded word was said, else 0.

Shares are clamped to 0 to 1 for GOAL and -1 to 1 for FIN. Inside the room both GOALs of a bargain add up to 10.
"""

from __future__ import annotations

from collections.abc import Mapping

from sotopia_pi.world.checks import DivisionCheck, MeetingCheck, PriceCheck

GOAL, FIN, SEC = "goal", "financial_and_material_benefits", "secret"

Scores = dict[str, float]


def _clamp(value: float, low: float, high: float) -> float:
    return min(max(value, low), high)


def price_scores(check: PriceCheck, role: int, price: float | None) -> Scores:
    """GOAL and FIN of `role` for an agreed price in dollars; None is no deal."""
    if price is None:
        return {GOAL: 0.0, FIN: 0.0}
    lowest, highest = check.limits[check.seller], check.limits[1 - check.seller]
    surplus = price - lowest if role == check.seller else highest - price
    share = surplus / (highest - lowest)
    return {GOAL: 10 * _clamp(share, 0.0, 1.0), FIN: 5 * _clamp(share, -1.0, 1.0)}


def division_scores(check: DivisionCheck, role: int, share: Mapping[str, int] | None) -> Scores:
    """GOAL and FIN of `role` for its share, item to number; None is no agreement."""
    worth = sum(check.values[role][item] * number for item, number in share.items()) if share is not None else 0.0
    goal = _clamp(float(worth), 0.0, 10.0)
    return {GOAL: goal, FIN: goal / 2}


def meeting_scores(check: MeetingCheck, role: int, option: str | None) -> Scores:
    """GOAL of `role` for the agreed option; None is no agreement."""
    return {GOAL: float(check.values[role][option]) if option is not None else 0.0}


def fact_scores(learnt: bool, kept: bool) -> Scores:
    """GOAL and SEC of a role that learnt the partner's fact or not, and kept its own guarded word or not.

    Silence is not rewarded: a kept word counts towards GOAL only once the fact is learnt.
    """
    goal = (10.0 if kept else 5.0) if learnt else 0.0
    return {GOAL: goal, SEC: 0.0 if kept else -10.0}
