"""Reading a bargain: which of the amounts in a turn is the offer, and what the turn says to the other's."""

from __future__ import annotations

import re

from sotopia_pi.episodes.reading.amounts import Amount, mark_amounts, read_amounts
from sotopia_pi.episodes.reading.cues import Cues, read_cues
from sotopia_pi.episodes.reading.senses import Sense
from sotopia_pi.episodes.reading.terms import Said, Terms
from sotopia_pi.episodes.reading.words import Clause, clauses, clean, spell
from sotopia_pi.world.checks import PriceSide

_MIDDLE = re.compile(
    r"\b(?:split the difference|meet (?:you )?(?:in the middle|halfway|half way|half-way)|(?:go|call it) halfway)\b"
)


def read_price(side: PriceSide, text: str, deed: bool, own: tuple[Terms, ...], other: tuple[Terms, ...]) -> Said:
    """What a turn says about the price of `side.item`; `own` and `other` are what the two roles offer so far.

    Of several amounts offered in a turn the last is the offer, unless "or" makes them alternatives.
    """
    marked, values = mark_amounts(spell(clean(text)), side.listed)
    parts = clauses(marked)
    cues = read_cues(parts, deed)
    amounts, ranged = read_amounts(parts, values, side.item)
    accepts = cues.accept_at >= 0
    offers = _offered(amounts, parts, cues)
    proposed: tuple[Terms, ...] = () if ranged else tuple(amount.dollars for amount in offers)
    if not values and _MIDDLE.search(marked):
        proposed = _middle(own, other)
    last = parts[offers[-1].clause] if offers else None
    gone = tuple(amount.dollars for amount in amounts if amount.sense is Sense.GONE)
    return Said(
        offers=proposed,
        named=tuple(a.dollars for a in amounts if a.sense is Sense.NAMED) if accepts or cues.weak else (),
        gone=gone,
        vague="a range of prices was named" if ranged else None if proposed else _vague(amounts, own, parts),
        reopens=ranged or any(amount.sense is Sense.CHANGE for amount in amounts),
        accepts=accepts,
        weak=cues.weak,
        conditional=_has_condition(last, parts) if last else cues.conditional,
        refuses=cues.refuses or any(amount.sense is Sense.REFUSED for amount in amounts),
        withdraws=cues.withdraw_at >= 0 or bool(gone),
        ends=cues.ends,
        echo=bool(offers) and _is_echo(offers[-1], parts, deed),
        settles=last is not None and not last.question and cues.opens_weakly,
        asks_assent=cues.asks_assent,
        asks_else=cues.asks_else,
    )


#: Words that make an amount a proposal even when the other proposed it before.
_PROPOSES = re.compile(
    r"\b(?:i|we|you|to|i'll|i'd|we'll|you'll|i'm|can|could|will|would) (?:\w+ )?(?:do|pay|give|take|sell|let|offer|"
    r"accept|go|come|drop|lower|reduce|raise|increase|move|buy|have it|"
    r"meet|agree|settle|propose|ask|say|suggest|willing|happy|purchase)\b|\b(?:how|what) about\b|\blet(?:'s| us)\b|"
    r"\bhere(?:'s| is| are)\b|\bmy (?:\w+ )?(?:offer|price|bid)\b|\bmake it\b|\bwilling\b|\bdeal\b|\bagreed?\b|"
    r"\bit is\b|"
    r"\bthen\b|\b(?:ok|okay|fine|alright|all right|yes|acceptable)\b|\bcall it\b|\bsay\b|"
    r"\b(?:sounds|seems|is|looks) (?:\w+ )?(?:good|fair|fine|reasonable|great|perfect)\b|\bi said\b|\bwe (?:said|"
    r"agreed|had)\b|\bstay\b"
)
_BARE = re.compile(
    r"^(?:(?:ok|okay|yes|fine|alright|well|so|just|only|exactly|still|even|for) )*<\d+>"
    r"(?: (?:cash|total|firm|flat|even|today|please|now|for (?:it|this|that|the (?:\w+ )?\w+|everything)))*$"
)


def _is_echo(offer: Amount, parts: tuple[Clause, ...], deed: bool) -> bool:
    """Whether an amount is only mentioned: asked about, doubted, or without a word that proposes it."""
    part = parts[offer.clause]
    later = [p.text for p in parts[offer.clause + 1 :] if p.sentence == part.sentence]
    if deed or (_PROPOSES.search(part.text) and not any(text.startswith("but") for text in later)):
        return False
    return part.question or not _BARE.match(part.text) or bool(later and later[0].startswith(("but", "huh")))


_SEPARATES = re.compile(
    r"^(?:but|ok|okay|fine|alright|all right|well|yes|yeah|however|still|anyway|though|"
    r"although)\b"
)


def _offered(amounts: list[Amount], parts: tuple[Clause, ...], cues: Cues) -> list[Amount]:
    """The amount offered in the turn, or the alternatives. "I hoped for 200, but okay, deal" offers nothing."""
    senses = (Sense.OFFER,) if cues.accept_at >= 0 or any(a.sense is Sense.OFFER for a in amounts) else (Sense.WISH,)
    offers = [amount for amount in amounts if amount.sense in senses]
    if cues.accept_at >= 0 and offers and offers[-1].clause < cues.accept_at:
        between = parts[offers[-1].clause + 1 : cues.accept_at + 1]
        if any(_SEPARATES.match(part.text) for part in between):
            return []
    first = len(offers) - 1
    while first > 0 and offers[first].alternative:
        first -= 1
    return offers[max(first, 0) :]


_IF = re.compile(
    r"\b(?:if|provided|as long as|so long as|assuming|on (?:the |one )?condition|only when|contingent|unless)\b"
)


def _has_condition(offer: Clause, parts: tuple[Clause, ...]) -> bool:
    """Whether the offer asks for something besides the price; "if you can do 200" asks for the price alone."""
    if not offer.conditional:
        return False
    for part in parts:
        condition = _IF.search(part.text) if part.sentence == offer.sentence else None
        if condition:
            return "<" not in part.text[condition.end() :]
    return False


def _middle(own: tuple[Terms, ...], other: tuple[Terms, ...]) -> tuple[Terms, ...]:
    if not own or not other or not isinstance(own[-1], float) or not isinstance(other[-1], float):
        return ()
    return (round((own[-1] + other[-1]) / 2, 2),)


def _vague(amounts: list[Amount], own: tuple[Terms, ...], parts: tuple[Clause, ...]) -> str | None:
    """Why accepting the turn would not settle a price, where that is so."""
    for amount in reversed(amounts):
        if amount.sense is Sense.LIMIT and amount.dollars not in own:
            return "only a limit was named"
        if amount.sense is Sense.CHANGE:
            return "only a difference in price was named"
        if (
            amount.sense is Sense.OTHER
            and not own
            and re.search(r"\b(?:listed|listing|list|asking)\b", parts[amount.clause].text)
        ):
            return "the price was mentioned, not offered"
    return None
