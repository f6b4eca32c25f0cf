"""Verified scenarios without end: bargaining over a price, dividing things, meeting, and exchanging facts.

The private numbers of a goal are written from the scenario's check, so that text and check cannot disagree.
"""

from sotopia_pi.world.verified.catalogue import SPLITS, Split, entries
from sotopia_pi.world.verified.generate import KINDS, generate

__all__ = ["KINDS", "SPLITS", "Split", "entries", "generate"]
