"""What `openai:MODEL@URL` means: a model's name and the URLs that serve it.

A key is never part of a spec or a config, because both are stored with the run; keys.py finds it in the environment.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from ipaddress import ip_address
from pathlib import Path
from urllib.parse import SplitResult, urlsplit

from sotopia_pi.errors import ConfigError

OPENAI = "openai:"
LITELLM = "litellm:"
OPENAI_URL = "https://api.openai.com/v1"
#: The name of an environment variable; a key that was pasted in its place does not look like one.
VARIABLE = r"^[A-Z_][A-Z0-9_]*$"

_FORM = "write openai:MODEL or openai:MODEL@http://host:port/v1, several URLs separated by commas"
_SPEC = re.compile(r"(?P<model>.+?)(?:@(?P<urls>https?://.*))?", re.DOTALL)
_HOST = re.compile(r"[a-z0-9_]([a-z0-9_-]*[a-z0-9_])?(\.[a-z0-9_]([a-z0-9_-]*[a-z0-9_])?)*\.?", re.IGNORECASE)


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
        host = parts.hostname or ""
    except ValueError:
        raise ConfigError(f"A URL of a model spec cannot be read; {_FORM}.") from None
    if "@" in parts.netloc:
        raise ConfigError(
            "A URL of a model spec holds a user name or a password. A spec is stored with the run, so a key must not "
            f"stand in it: put the key into the environment variable {key_variable(_without_user(parts))}."
        )
    if _is_azure(parts) and (parts.query or "/deployments" in parts.path):
        raise ConfigError(
            "A URL of a model spec is that of an Azure deployment, which has a protocol of its own. Write Azure's v1 "
            f"URL, without api-version: openai:DEPLOYMENT@https://{host}/openai/v1, or use litellm:azure/DEPLOYMENT."
        )
    if parts.query or parts.fragment:
        raise ConfigError(
            "A URL of a model spec holds a query (what follows ? or #), which is not sent, since it may hold a secret; "
            f"write the URL without it. A key belongs into the environment variable {key_variable(text)}."
        )
    if parts.scheme not in ("http", "https") or not host:
        raise ConfigError(f"A URL of a model spec has no host, or does not begin with http:// or https://; {_FORM}.")
    name = f"[{host}]" if ":" in host else _sendable(host)
    path = parts.path.rstrip("/").removesuffix("/chat/completions").rstrip("/")
    return f"{parts.scheme}://{name}{_port(parts)}{path or '/v1'}"


def _is_azure(parts: SplitResult) -> bool:
    return (parts.hostname or "").endswith((".azure.com", ".azure-api.net")) or "api-version" in parts.query.lower()


def _sendable(host: str) -> str:
    """A host's name in ASCII. ConfigError where no request could name it."""
    try:
        ascii_host = host.encode("idna").decode()
    except UnicodeError:
        ascii_host = ""
    if not _HOST.fullmatch(ascii_host):
        raise ConfigError(f"{host[:80]!r} in a URL of a model spec cannot be a host; {_FORM}.")
    return ascii_host


def _port(parts: SplitResult) -> str:
    """ ":PORT", or nothing where the URL names none. ConfigError."""
    try:
        port = parts.port
    except ValueError:
        port = 0
    if port == 0 or (port is None and parts.netloc.endswith(":")):
        raise ConfigError(f"The port in the URL of {parts.hostname} in a model spec must be a number from 1 to 65535.")
    return "" if port is None else f":{port}"


def _without_user(parts: SplitResult) -> str:
    return f"{parts.scheme}://{parts.netloc.rpartition('@')[2]}"


def host_of(url: str) -> str:
    """The host of a URL, with its port where one is given."""
    return urlsplit(url).netloc


def on_this_machine(url: str) -> bool:
    """Whether a URL leads to this machine's loopback."""
    host = urlsplit(url).hostname or ""
    try:
        return ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"


def key_variable(url: str) -> str:
    """The environment variable that holds the key of a URL's host and of no other.

    A hyphen becomes two underscores, so that nobody gets the key of api.example.com who registers api-example.com.
    """
    host = (urlsplit(url).hostname or "").upper().replace("-", "__")
    return "SOTOPIA_PI_KEY_" + re.sub(r"[^A-Z0-9]", "_", host)
