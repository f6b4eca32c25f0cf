"""Which environment variable holds the key of a URL, and which one a config may name for it.

OpenAI's key goes to OpenAI and to this machine; any other host gets the key that the environment holds under the
host's own name, or the one whose variable the config names. A config may be a stranger's, who has written a host of
his own into it: so it can name a variable only where the variable's name says that it is meant for that host
(`may_be_sent`). Whoever runs the program can send any other key, by giving it the host's own name.
"""

from __future__ import annotations

import os
import re
import tomllib
from collections.abc import Mapping, Sequence
from functools import cache
from importlib.resources import files
from urllib.parse import urlsplit

from sotopia_pi.errors import ConfigError
from sotopia_pi.models.remote.spec import LITELLM, OPENAI_URL, key_variable, on_this_machine

OPENAI_KEY = "OPENAI_API_KEY"
#: One of these words must stand in a name.
_KEY_WORDS = frozenset({"KEY", "TOKEN", "APIKEY"})


@cache
def _names() -> tuple[frozenset[str], frozenset[str], Mapping[str, Sequence[str]]]:
    """Words that forbid a name, words that say nothing, and services with the domains that their keys are for."""
    table = tomllib.loads((files("sotopia_pi.models.remote") / "keynames.toml").read_text(encoding="utf-8"))
    services = {**dict.fromkeys(table["elsewhere"], ()), **table["services"]}
    return frozenset(table["never"]), _KEY_WORDS | set(table["neutral"]), services


def may_be_sent(name: str, url: str) -> bool:
    """Whether a config may name the variable `name` as the key of `url`.

    The name says KEY or TOKEN and nothing like SECRET; the key of a known service goes to that service; any other goes
    to this machine, or to a host whose name shares a word with it, or says nothing of whom it is for (MY_KEY).
    """
    host = (urlsplit(url).hostname or "").lower()
    words = {re.sub(r"\d+$", "", word) for word in name.split("_")} - {""}
    if name == key_variable(url) or (name == OPENAI_KEY and on_this_machine(url)):
        return True
    never, neutral, services = _names()
    if not words & _KEY_WORDS or words & never or name.startswith("SOTOPIA_PI_"):
        return False
    if known := words & services.keys():
        domains = [domain for word in known for domain in services[word]]
        return any(host == domain or host.endswith(f".{domain}") for domain in domains)
    told = words - neutral
    return not told or on_this_machine(url) or any(len(word) > 2 and word.lower() in host for word in told)


def key_variables(url: str, named: str | None = None) -> tuple[str, ...]:
    """The environment variables that may hold the key of a URL; the first that is set counts.

    `named` is the one that the config names for it.
    """
    if named is not None:
        return tuple(dict.fromkeys((key_variable(url), named)))
    openai = urlsplit(url).hostname == urlsplit(OPENAI_URL).hostname or on_this_machine(url)
    return (key_variable(url), OPENAI_KEY) if openai else (key_variable(url),)


def api_key(url: str, named: str | None = None, environment: Mapping[str, str] | None = None) -> str | None:
    """The key to send to a URL; None when there is none, and for litellm, which looks for its providers' keys itself.

    ConfigError when what is set cannot be sent as a header, or when the config names a variable that is not for that
    host.
    """
    if url.startswith(LITELLM):
        return None
    values = os.environ if environment is None else environment
    own = key_variable(url)
    for name in key_variables(url, named):
        if name == named and not may_be_sent(name, url):
            raise ConfigError(
                f"The config names {name} as the key of {urlsplit(url).netloc}, but that variable does not say that "
                f'it is meant for this host (see docs/endpoints.md). If it is: export {own}="${name}".'
            )
        key = values.get(name, "").strip()
        if key:
            if not key.isascii() or not key.isprintable() or " " in key:
                raise ConfigError(f"The environment variable {name} holds something that is not a key; set it again.")
            return key
    return None
