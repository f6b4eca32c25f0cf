"""Rating an episode: the record, and the verifier that decides what a program can decide."""

from sotopia_pi.ratings.records import DIMENSIONS, Rating
from sotopia_pi.ratings.verifier import VERIFIER, verify

__all__ = ["DIMENSIONS", "VERIFIER", "Rating", "verify"]
