"""Putting decisions into words: a phrasebook has a few templates per move; the seed chooses among them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from random import Random

from sotopia_pi.episodes.scripted.facts import Step
from sotopia_pi.episodes.scripted.ladders import Ladder
from sotopia_pi.episodes.scripted.negotiator import Decision, Move
from sotopia_pi.episodes.scripted.standing import Negotiable
from sotopia_pi.world.checks import DivisionSide, FactSide, PriceSide

MAX_WORDS = 18

Templates = Mapping[Move, tuple[str, ...]]


@dataclass(frozen=True)
class Phrasebook:
    """The sentences of a population. Templates may use {terms}, {item}, {Terms}; facts use {wanted}, {own}, …

    `verb` is how a division is put: "I take …, you take …".
    """

    verb: str
    small_talk: tuple[str, ...]
    price_seller: Templates
    price_buyer: Templates
    division: Templates
    meeting: Templates
    fact: Mapping[Step, tuple[str, ...]]

    def templates(self, side: Negotiable) -> Templates:
        """The templates for one side of a negotiation."""
        if isinstance(side, PriceSide):
            return self.price_seller if side.sells else self.price_buyer
        return self.division if isinstance(side, DivisionSide) else self.meeting

    def say(self, decision: Decision, side: Negotiable, ladder: Ladder, chattiness: float, rng: Random) -> str:
        """A decision in at most MAX_WORDS words where the terms leave room for it."""
        terms = ladder.words(decision.terms) if decision.terms is not None else ""
        item = side.item if isinstance(side, PriceSide) else ""
        templates = self.templates(side)[decision.move]
        fitting = [template.format(terms=terms, Terms=_capital(terms), item=item) for template in templates]
        sentence = _short(fitting, rng)
        if decision.move is Move.COUNTER and rng.random() < chattiness:
            longer = f"{rng.choice(self.small_talk)} {sentence}"
            sentence = longer if _length(longer) <= MAX_WORDS else sentence
        return sentence

    def say_fact(self, steps: Sequence[Step], side: FactSide, rng: Random) -> str:
        """Steps of an exchange of facts, a sentence each."""
        sentences = [
            rng.choice(self.fact[step]).format(
                wanted=side.wanted, own=side.own_subject, Own=_capital(side.own_subject), answer=side.own_answer
            )
            for step in steps
        ]
        return " ".join(sentences)


def _capital(text: str) -> str:
    return text[:1].upper() + text[1:]


def _length(text: str) -> int:
    return len(text.split())


def _short(sentences: Sequence[str], rng: Random) -> str:
    chosen = rng.choice(sentences)
    return chosen if _length(chosen) <= MAX_WORDS else min(sentences, key=_length)
