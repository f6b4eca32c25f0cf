"""How remote models are asked, and what is different for one host."""

from __future__ import annotations

from pydantic import Field

from sotopia_pi.config.section import Section
from sotopia_pi.models.remote.spec import VARIABLE


class HostConfig(Section):
    """What is different for one host of `[endpoint]`; see there."""

    concurrency: int | None = Field(default=None, ge=1, le=100_000)
    requests_per_minute: float | None = Field(default=None, ge=0, le=1_000_000_000)
    tokens_per_minute: float | None = Field(default=None, ge=0, le=1_000_000_000_000)
    timeout: float | None = Field(default=None, gt=0, le=604_800)
    attempts: int | None = Field(default=None, ge=1, le=10_000)
    give_up: float | None = Field(default=None, gt=0, le=2_592_000)
    reply_bytes: int | None = Field(default=None, ge=1024, le=1_000_000_000)
    key: str | None = Field(default=None, pattern=VARIABLE)


class EndpointConfig(Section):
    """How remote models are asked: limits (0: none), time-outs, retries; never what they answer.

    The limits hold for each model. `key` is the name of an environment variable, never a key. `hosts` changes any of
    it for a host (`"api.example.com"` or `"127.0.0.1:8000"`). `prices` is a price table of one's own.
    """

    concurrency: int = Field(default=512, ge=1, le=100_000)
    requests_per_minute: float = Field(default=0, ge=0, le=1_000_000_000)
    tokens_per_minute: float = Field(default=0, ge=0, le=1_000_000_000_000)
    timeout: float = Field(default=120, gt=0, le=604_800)
    attempts: int = Field(default=10, ge=1, le=10_000)
    give_up: float = Field(default=600, gt=0, le=2_592_000)
    reply_bytes: int = Field(default=1_000_000, ge=1024, le=1_000_000_000)
    key: str | None = Field(default=None, pattern=VARIABLE)
    prices: str | None = None
    hosts: dict[str, HostConfig] = Field(default_factory=dict)

    def at(self, host: str) -> EndpointConfig:
        """The settings for a host, such as "api.example.com" or "127.0.0.1:8000"."""
        own = self.hosts.get(host) or self.hosts.get(host.rpartition(":")[0] or host)
        return self if own is None else self.model_copy(update=own.model_dump(exclude_none=True))
