"""Measured speed: `make bench` prints the table; nothing here is asserted in a test."""
