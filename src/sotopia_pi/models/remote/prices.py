"""What a model's tokens cost: the table shipped with the package and the user's own file over it."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from importlib.resources import files
from pathlib import Path
from typing import Any

from sotopia_pi.errors import ConfigError
from sotopia_pi.inputs import read_text, read_toml

#: What may follow a name for it to be the same model: a date, or "latest".
_VERSION = re.compile(r"-(\d{4}-?\d{2}-?\d{2}|\d{4}|latest)")


@dataclass(frozen=True, slots=True)
class Price:
    """US dollars per million tokens: of the prompt, of its part that was cached, of the reply."""

    input: float
    output: float
    cached: float | None = None

    def cost(self, prompt: int, cached: int, completion: int) -> float:
        """US dollars for a call; `cached` of the prompt tokens were in the provider's cache."""
        cheap = self.input if self.cached is None else self.cached
        return ((prompt - cached) * self.input + cached * cheap + completion * self.output) / 1e6


def price_of(model: str, table: Mapping[str, Price]) -> Price | None:
    """The price of a model by its name, with or without a provider before it; None when the table has none."""
    for name in (model, model.rpartition("/")[2]):
        if name in table:
            return table[name]
        for known in sorted(table, key=len, reverse=True):
            if name.startswith(known) and _VERSION.fullmatch(name[len(known) :]):
                return table[known]
    return None


def load_prices(own: Path | None = None) -> dict[str, Price]:
    """The package's price table, with that of `own` over it. ConfigError when the file cannot be read."""
    table = _parse((files("sotopia_pi.models.remote") / "prices.toml").read_text(encoding="utf-8"), "prices.toml")
    if own is not None:
        try:
            text = read_text(own)
        except OSError as error:
            raise ConfigError(f"The price table {own} cannot be read ({error.strerror}); give a TOML file.") from error
        table |= _parse(text, str(own))
    return table


def _parse(text: str, where: str) -> dict[str, Price]:
    try:
        values = read_toml(text)
    except ValueError as error:
        raise ConfigError(f"The price table {where} is not valid TOML: {error}.") from None
    return {model: _price(entry, f"{where}: {model!r}") for model, entry in values.items()}


def _price(entry: Any, where: str) -> Price:
    known = {"input", "output", "cached"}
    if not isinstance(entry, dict) or not {"input", "output"} <= set(entry) <= known:
        raise ConfigError(f"{where} needs input and output, and may have cached: US dollars per million tokens.")
    for name, value in entry.items():
        if isinstance(value, bool) or not isinstance(value, int | float) or not 0 <= value < float("inf"):
            raise ConfigError(f"{where}: {name} must be a number of US dollars per million tokens, 0 or more.")
    return Price(**{name: float(value) for name, value in entry.items()})
