"""From specs to remote models: one client per model, shared by all of its players, one ledger for all of them."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

from sotopia_pi.config import EndpointConfig
from sotopia_pi.errors import ConfigError
from sotopia_pi.models.protocol import ChatModel
from sotopia_pi.models.remote.ledger import Ledger
from sotopia_pi.models.remote.prices import load_prices, price_of
from sotopia_pi.models.remote.spec import LITELLM, parse_litellm, parse_spec


class Remotes:
    """The remote models of a run: `model(spec)` opens one, and gives the same one to all who ask for it."""

    def __init__(self, settings: EndpointConfig | None = None, ledger: Ledger | None = None) -> None:
        self.settings = settings or EndpointConfig()
        self.ledger = ledger or Ledger()
        self._models: dict[str, ChatModel] = {}

    def model(self, spec: str, adapter: Path | None = None) -> ChatModel:
        """The model of an `openai:` or `litellm:` spec, or the adapter in a folder, which its server offers under
        the folder's name.

        ConfigError when the spec, the price table or the key cannot be used, or when there is a budget and no price;
        ModelError when litellm is not installed.
        """
        place = f"{adapter or ''} {spec}"
        if place not in self._models:
            self._models[place] = self._open(spec, adapter)
        return self._models[place]

    def _open(self, spec: str, adapter: Path | None) -> ChatModel:
        from sotopia_pi.models.remote.client import RemoteModel

        parsed = parse_litellm(spec) if spec.startswith(LITELLM) else parse_spec(spec)
        price = price_of(parsed.model, load_prices(Path(self.settings.prices) if self.settings.prices else None))
        self._check_price(parsed.model, price is not None)
        if adapter is not None:
            parsed = replace(parsed, model=adapter.name, adapter=adapter)
        transport = None
        if spec.startswith(LITELLM):
            from sotopia_pi.models.remote.through_litellm import LitellmTransport

            transport = LitellmTransport(self.settings.timeout, self.settings.reply_bytes)
        return RemoteModel(parsed, self.settings, self.ledger, price, transport=transport)

    def _check_price(self, model: str, known: bool) -> None:
        if self.ledger.budget is not None and not known:
            raise ConfigError(
                f"No price is known for {model!r}, so a budget cannot be kept; write one into a price table "
                "(see docs/endpoints.md) and name it in [endpoint] prices, or run without --budget."
            )
