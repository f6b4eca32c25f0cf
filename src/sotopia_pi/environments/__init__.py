"""Verified kinds of tasks, one file each, and the scripted players that play them.

Words negotiate, terms decide: what both roles declare is compared by equality, and a program scores the agreement.
"""

from sotopia_pi.environments.base import (
    FIN,
    GOAL,
    NO_TERMS,
    Agreement,
    AnyEnvironment,
    Check,
    Move,
    TermsError,
    agreement,
)
from sotopia_pi.environments.registry import environment, generate, kinds

__all__ = [
    "FIN", "GOAL", "NO_TERMS", "Agreement", "AnyEnvironment", "Check", "Move", "TermsError", "agreement", "environment",
    "generate", "kinds",
]  # fmt: skip
