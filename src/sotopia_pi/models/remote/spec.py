"""What `openai:MODEL@URL` means: a model's name, the URLs that serve it, and which environment variable holds the key.

A key is never part of a spec or a config, because both are stored with the run. Only the environment holds it, and it
is looked up per host: OpenAI's key goes to OpenAI and to this machine, any other host gets a key of its own or the one
whose variable the config names.
"""

from __future__ import annotations

import os
import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import SplitResult, urlsplit

from sotopia_pi.errors import ConfigError

OPENAI = "openai:"
LITELLM = "litellm:"
OPENAI_URL = "https://api.openai.com/v1"
OPENAI_KEY = "OPENAI_API_KEY"
#: The name of an environment variable; a key that was pasted in its place does not look like one.
VARIABLE = r"^[A-Z_][A-Z0-9_]*$"

_FORM = "write openai:MODEL or openai:MODEL@http://host:port/v1, several URLs separated by commas"
_SPEC = re.compile(r"(?P<model>.+?)(?:@(?P<urls>https?://.*))?", re.DOTALL)
_LOCAL_HOSTS = ("localhost", "::1")


@dataclass(frozen=True, slots=True)
class RemoteSpec:
    """A model and the base URLs (such as https://host/v1) of the servers that have it.

    `adapter` is the folder of a policy that was trained here and is to be served under the model's name.
    """

    model: str
    urls: tuple[str, ...]
    adapter: Path | None = None


def is_remote(spec: str) -> bool:
    """Whether a model spec names a model that is asked over a network."""
    return spec.startswith((OPENAI, LITELLM))


def parse_spec(spec: str) -> RemoteSpec:
    """Reads `openai:MODEL[@URL[,URL…]]`; without a URL, OpenAI's. ConfigError, which never repeats a URL's secrets."""
    match = _SPEC.fullmatch(spec.removeprefix(OPENAI).strip())
    if match is None:
        raise ConfigError(f"The model spec {OPENAI!r} names no model; {_FORM}.")
    model, urls = match["model"], match["urls"]
    if urls is None:
        address = model.rpartition("@")[2] if "@" in model[1:] else ""
        if re.search(r"[.:]|^localhost\b", address) or "://" in model:
            raise ConfigError(f"The URL in a model spec must begin with http:// or https://; {_FORM}.")
        return RemoteSpec(model, (OPENAI_URL,))
    return RemoteSpec(model, tuple(dict.fromkeys(_base_url(url.strip()) for url in urls.split(","))))


def parse_litellm(spec: str) -> RemoteSpec:
    """Reads `litellm:PROVIDER/MODEL`; the only URL names the provider in messages. ConfigError."""
    model = spec.removeprefix(LITELLM).strip()
    if not model:
        raise ConfigError("The model spec 'litellm:' names no model; write litellm:PROVIDER/MODEL.")
    return RemoteSpec(model, (f"litellm://{model.partition('/')[0]}",))


def check_spec(spec: str) -> None:
    """Whether a spec of a remote model can be read; other specs pass. ConfigError."""
    if spec.startswith(OPENAI):
        parse_spec(spec)
    elif spec.startswith(LITELLM):
        parse_litellm(spec)


def _base_url(text: str) -> str:
    try:
        parts = urlsplit(text)
        port = parts.port
    except ValueError:
        raise ConfigError(f"A URL of a model spec cannot be read; {_FORM}.") from None
    if "@" in parts.netloc or parts.query or parts.fragment:
        raise ConfigError(
            "A URL of a model spec holds a user name, a password or a query. A spec is stored with the run, so a key "
            f"must not stand in it: put the key into the environment variable {key_variable(_without_user(parts))}."
        )
    if parts.scheme not in ("http", "https") or not parts.hostname:
        raise ConfigError(f"A URL of a model spec has no host, or does not begin with http:// or https://; {_FORM}.")
    host = f"[{parts.hostname}]" if ":" in parts.hostname else parts.hostname
    path = parts.path.rstrip("/").removesuffix("/chat/completions").rstrip("/")
    return f"{parts.scheme}://{host}{f':{port}' if port else ''}{path or '/v1'}"


def _without_user(parts: SplitResult) -> str:
    return f"{parts.scheme}://{parts.netloc.rpartition('@')[2]}"


def host_of(url: str) -> str:
    """The host of a URL, with its port where one is given."""
    return urlsplit(url).netloc


def on_this_machine(url: str) -> bool:
    """Whether a URL leads to this machine's loopback."""
    host = urlsplit(url).hostname or ""
    return host in _LOCAL_HOSTS or host.startswith("127.")


def key_variable(url: str) -> str:
    """The environment variable that holds the key of a URL's host and of no other."""
    return "SOTOPIA_PI_KEY_" + re.sub(r"[^A-Z0-9]", "_", (urlsplit(url).hostname or "").upper())


def key_variables(url: str, named: str | None = None) -> tuple[str, ...]:
    """The environment variables that may hold the key of a URL, the first that is set counts.

    `named` is the one that the config names for it.
    """
    if named is not None:
        return (named,)
    openai = urlsplit(url).hostname == urlsplit(OPENAI_URL).hostname or on_this_machine(url)
    return (key_variable(url), OPENAI_KEY) if openai else (key_variable(url),)


def api_key(url: str, named: str | None = None, environment: Mapping[str, str] | None = None) -> str | None:
    """The key to send to a URL; None when there is none. ConfigError when what is set cannot be sent as a header."""
    values = os.environ if environment is None else environment
    for name in key_variables(url, named):
        key = values.get(name, "").strip()
        if key:
            if not key.isascii() or not key.isprintable() or " " in key:
                raise ConfigError(f"The environment variable {name} holds something that is not a key; set it again.")
            return key
    return None
