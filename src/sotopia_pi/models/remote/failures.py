"""What went wrong with a call and what follows from it: try again, give this call up, or stop the run."""

from __future__ import annotations

import os
from collections.abc import Mapping

import aiohttp

from sotopia_pi.models.remote.replies import read_refusal
from sotopia_pi.models.remote.retries import TOO_MANY, retried, retry_after
from sotopia_pi.models.remote.spec import RemoteSpec, host_of, key_variables

#: Error codes of a 429 that waiting does not cure.
_NO_MONEY = ("insufficient_quota", "billing_hard_limit_reached", "billing_not_active")


class Failed(Exception):
    """An attempt failed and another one may not. `wait` is what the server asks for, in seconds."""

    def __init__(self, why: str, *, wait: float | None = None, throttled: bool = False, alone: bool = False) -> None:
        """`throttled`: too much at once; `alone`: nobody listened at all."""
        super().__init__(why)
        self.wait, self.throttled, self.alone = wait, throttled, alone


class Refused(Exception):
    """The server found fault with the request; what it said, in one line."""


class Hopeless(Exception):
    """No other call would fare better; a sentence that says what to do."""


def connection_failure(url: str, error: Exception, timeout: float) -> Failed | Hopeless:
    """What an error of the connection means."""
    host = host_of(url)
    if isinstance(error, aiohttp.ClientConnectorCertificateError | aiohttp.ClientSSLError):
        return Hopeless(f"{url} has no certificate that this machine trusts; check the URL.")
    if isinstance(error, aiohttp.ClientConnectorError):
        return Failed(f"{host} cannot be reached ({_reason(error.os_error)})", alone=True)
    if isinstance(error, TimeoutError):
        return Failed(f"{host} did not answer within {timeout:g} seconds")
    return Failed(f"{host} broke the connection off")


def _reason(error: OSError) -> str:
    return os.strerror(error.errno) if error.errno and error.errno > 0 else "unknown host"


def failure(
    url: str, spec: RemoteSpec, named: str | None, key: str | None, status: int, headers: Mapping[str, str], body: bytes
) -> Failed | Refused | Hopeless:
    """What a status other than 200 means. `named` is the variable that the config names for the key."""
    said, code = read_refusal(body, key)
    if status == TOO_MANY and code in _NO_MONEY:
        return Hopeless(f"{host_of(url)} has no money left for this key: {said}")
    if retried(status):
        wait = retry_after(headers.get("Retry-After"))
        return Failed(f"{host_of(url)} answered {status}", wait=wait, throttled=status == TOO_MANY)
    if status in (401, 403):
        return Hopeless(f"{url} {_about_the_key(url, named, key)} ({status}).")
    if 300 <= status < 400:
        return Hopeless(f"{url} leads elsewhere ({status}); give the URL that it leads to.")
    hopeless = {
        402: f"{url} wants to be paid first (402): {said}",
        404: f"{url} has no model {spec.model!r}{_about_the_name(url, spec, said)}",
    }
    return Hopeless(hopeless[status]) if status in hopeless else Refused(said or f"status {status}")


def _about_the_name(url: str, spec: RemoteSpec, said: str) -> str:
    if spec.adapter is None:
        return (
            f", or is not the base URL of an OpenAI-compatible server (404: {said}); "
            "check the model's name and the URL, which mostly ends in /v1."
        )
    return (
        f" (404: {said}). The policy was trained here, and its server plays it: serve the adapter {spec.adapter} "
        "beside its base under that name (vLLM: --enable-lora --lora-modules), or set models.policy to weights here."
    )


def _about_the_key(url: str, named: str | None, key: str | None) -> str:
    variables = " or ".join(key_variables(url, named))
    if key is None:
        return f"wants a key; put it into the environment variable {variables}"
    return f"refuses the key in the environment variable {variables}; check that it is right and may use the model"
