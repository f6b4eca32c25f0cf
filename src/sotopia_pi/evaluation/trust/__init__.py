"""How far a judge can be trusted: pure functions from scores to measures, flags and sentences."""

from sotopia_pi.evaluation.trust.records import Change, Judged, Pairing
from sotopia_pi.evaluation.trust.verdict import conclude

__all__ = ["Change", "Judged", "Pairing", "conclude"]
