"""Auditing a judge: episodes whose outcome is known, altered ones, the ratings of both, and the page about them."""

from sotopia_pi.auditing.audit import PARTS, Asked, run_audit

__all__ = ["PARTS", "Asked", "run_audit"]
