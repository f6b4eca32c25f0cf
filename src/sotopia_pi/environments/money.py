"""Amounts of dollars: written strictly in terms, found in words."""

from __future__ import annotations

import re

from sotopia_pi.environments.base import Claim, Mentions, TermsError

_NUMBER = r"(?:[0-9]{1,3}(?:,[0-9]{3})+|[0-9]+)(?:\.[0-9]{1,2})?"
_TERMS = re.compile(rf"(?:\$ ?|usd )?({_NUMBER})(?: ?(?:dollars?|usd|\$))?", re.IGNORECASE)
_ANY_NUMBER = re.compile(_NUMBER)
_FOREIGN = r"€|£|¥|₹|\b(?:euros?|eur|pounds?|gbp|yen|yuan|rupees?|francs?|pesos?|crowns?)\b"
_IS_FOREIGN = re.compile(_FOREIGN, re.IGNORECASE)
_IN_WORDS = re.compile(
    rf"(?P<before>\$|\busd|€|£|¥|₹)? ?(?<![\w.,])(?P<number>{_NUMBER})(?![0-9]|[.,][0-9])(?P<kilo>k\b)?"
    rf"(?P<share> ?%| percent)?(?P<after> ?(?:dollars?\b|bucks\b|usd\b|\$(?! ?[0-9])|{_FOREIGN}))?(?!\w)",
    re.IGNORECASE,
)


def write_amount(amount: float) -> str:
    """An amount as $1,230 or $12.50."""
    return f"${amount:,.2f}".removesuffix(".00")


def read_amount(text: str, low: float, high: float, example: str) -> float:
    """One amount between `low` and `high` from text; both ends are allowed. TermsError."""
    if _IS_FOREIGN.search(text):
        raise TermsError(f'amounts are in dollars; write one such as "{example}"')
    found = _TERMS.fullmatch(text.strip())
    if found is None:
        several = len(_ANY_NUMBER.findall(text)) > 1
        raise TermsError(f'write one amount in dollars{", not several," if several else ""} such as "{example}"')
    amount = float(found[1].replace(",", ""))
    if not low <= amount <= high:
        raise TermsError(
            f'the amount must be between {write_amount(low)} and {write_amount(high)}; write one such as "{example}"'
        )
    return amount


def amounts(issue: str, words: str) -> Mentions:
    """The amounts in words: those with a dollar sign or name are sure, bare numbers may be amounts.

    An amount in another currency is a sure mention of something that no terms can be. Percentages are no amounts.
    """
    sure: set[Claim] = set()
    maybe: set[Claim] = set()
    for found in _IN_WORDS.finditer(words):
        if found["share"]:
            continue
        amount = float(found["number"].replace(",", "")) * (1000 if found["kilo"] else 1)
        marks = f"{found['before'] or ''}{found['after'] or ''}"
        if _IS_FOREIGN.search(marks):
            sure.add((issue, found[0].strip()))
        elif marks:
            sure.add((issue, amount))
        else:
            maybe.add((issue, amount))
    return Mentions(frozenset(sure), frozenset(maybe))
