"""What went wrong with a call and what follows from it: try again, give this call up, or stop the run.

Whatever a server said stands in the message, in one short line (replies.py).
"""

from __future__ import annotations

import os
import re
from collections.abc import Mapping
from urllib.parse import urlsplit

import aiohttp

from sotopia_pi.models.remote.complaints import FILTERED, Said, of_a_filter, one_line
from sotopia_pi.models.remote.endpoints import Endpoint
from sotopia_pi.models.remote.keys import key_variables
from sotopia_pi.models.remote.retries import TOO_MANY, retried, retry_after
from sotopia_pi.models.remote.spec import RemoteSpec, host_of

#: Error codes, and words of errors that no quoted prompt can stand in, of what waiting does not cure.
_NO_MONEY = re.compile(
    r"insufficient_(quota|balance|credits?|funds)|billing_(hard_limit_reached|not_active)|exceeded_current_quota", re.I
)
_NO_MONEY_WORDS = re.compile(
    r"insufficient (account )?(balance|credits?|funds)|credit balance|(no|any|out of|not enough|more) credits"
    r"|account .{0,40}(overdue|arrears|suspended)|余额不足|欠费",
    re.I,
)
#: A limit that waiting for minutes does not lift.
_FOR_LONG = re.compile(
    r"(quota|limit|credits?).{0,40}(today|daily|per.day|month|used up)|(daily|today'?s?|monthly).{0,20}(quota|limit)",
    re.I,
)
_ABOUT_A_KEY = re.compile(r"key|token|auth|credential|permission|login|log in|sign in", re.I)
#: What servers that speak https answer to a request in plain http.
_PLAIN_HTTP = re.compile(r"plain http request|http request to an https server", re.I)
_TLS_ALERT = re.compile(r"\\x1[56]\\x03")


class Failed(Exception):
    """An attempt failed and another one may not. `wait` is what the server asks for, in seconds."""

    def __init__(self, why: str, *, wait: float | None = None, throttled: bool = False, alone: bool = False) -> None:
        """`throttled`: too much at once; `alone`: nobody listened at all, or nobody that serves models."""
        super().__init__(why)
        self.wait, self.throttled, self.alone = wait, throttled, alone


class Refused(Exception):
    """The server found fault with the request, as `said`."""

    def __init__(self, said: Said) -> None:
        super().__init__(said.words)
        self.said = said


class Hopeless(Exception):
    """No other call would fare better; a sentence that says what to do."""


def connection_failure(url: str, error: Exception, timeout: float, proxy: str | None = None) -> Failed | Hopeless:
    """What an error of the connection means."""
    host, by = host_of(url), _through(proxy)
    match error:
        case aiohttp.ClientHttpProxyError():
            found = _proxy_refused(url, error.status, error.message, proxy)
        case aiohttp.ClientProxyConnectionError():
            why = f"the proxy {shown_proxy(proxy)} cannot be reached ({_reason(error.os_error)})"
            found = Failed(why, alone=True)
        case aiohttp.ClientConnectorCertificateError() | aiohttp.ClientConnectorSSLError():
            found = _not_secure(url, error, by)
        case aiohttp.ClientConnectorError():
            found = Failed(f"{host} cannot be reached ({_reason(error.os_error)})", alone=True)
        case TimeoutError():
            found = Failed(f"{host} did not answer within {timeout:g} seconds{by}")
        case aiohttp.ClientResponseError() if _TLS_ALERT.search(error.message):
            found = _wants_https(url)
        case aiohttp.ClientResponseError():
            found = Failed(f"{host} sent what is no reply of a web server{by} ({one_line(error.message)[:100]})")
        case _:
            plain = url.startswith("http:") and isinstance(error, aiohttp.ServerDisconnectedError)
            hint = " (servers that want https in the URL do so)" if plain else ""
            found = Failed(f"{host} broke the connection off{hint}{by}")
    return found


def _not_secure(
    url: str, error: aiohttp.ClientConnectorCertificateError | aiohttp.ClientConnectorSSLError, by: str
) -> Hopeless:
    if isinstance(error, aiohttp.ClientConnectorCertificateError):
        why = getattr(error.certificate_error, "verify_message", "") or str(error.certificate_error)
        return Hopeless(f"{url} has no certificate that this machine trusts ({one_line(why)}){by}; check the URL.")
    why = str(error.os_error)
    if "WRONG_VERSION_NUMBER" in why or "RECORD_LAYER_FAILURE" in why:
        plain = url.replace("https://", "http://", 1)
        return Hopeless(f"{url} speaks plain http and no https{by}; write {plain}, or check the port.")
    return Hopeless(
        f"{url} and this machine do not agree on how to encrypt ({one_line(why)[:100]}){by}; check the URL."
    )


def _wants_https(url: str) -> Hopeless:
    return Hopeless(f"{url} speaks https and no plain http; write {url.replace('http://', 'https://', 1)}.")


def _proxy_refused(url: str, status: int, said: str, proxy: str | None) -> Failed | Hopeless:
    name = shown_proxy(proxy)
    if status == 407:
        return Hopeless(
            f"The proxy {name} wants a user name and a password (407); set the proxy's variable as "
            "http://NAME:PASSWORD@HOST:PORT."
        )
    why = f"the proxy {name} lets nobody through to {host_of(url)} ({status} {one_line(said)[:60]})"
    if retried(status):
        return Failed(why, alone=True)
    return Hopeless(f"T{why[1:]}; ask whoever runs it, or name the host in the variable NO_PROXY.")


def shown_proxy(proxy: str | None) -> str:
    """A proxy's host and port, without the password that its URL may hold."""
    return urlsplit(proxy or "").netloc.rpartition("@")[2] or "of the environment"


def _through(proxy: str | None) -> str:
    return f" (through the proxy {shown_proxy(proxy)})" if proxy else ""


def _reason(error: OSError) -> str:
    return os.strerror(error.errno) if error.errno and error.errno > 0 else "unknown host"


def failure(
    endpoint: Endpoint, spec: RemoteSpec, status: int, said: Said, headers: Mapping[str, str]
) -> Failed | Refused | Hopeless:
    """What a status other than 200 means, with what the server said."""
    url, by, words = endpoint.url, _through(endpoint.proxy), f": {said.words}" if said.words else ""
    if _has_no_money(status, said):
        return Hopeless(f"{host_of(url)} has no money left for this key ({status}){by}{words}")
    if retried(status):
        wait = retry_after(headers.get("Retry-After"))
        if status == TOO_MANY and wait is None and _FOR_LONG.search(said.words):
            return Hopeless(f"{host_of(url)} gives this key no more for now ({status}){by}{words}")
        return Failed(f"{host_of(url)} answered {status}{by}{words}", wait=wait, throttled=status == TOO_MANY)
    return _final(endpoint, spec, status, said, headers)


def _final(
    endpoint: Endpoint, spec: RemoteSpec, status: int, said: Said, headers: Mapping[str, str]
) -> Failed | Refused | Hopeless:
    """A status that says the same to every attempt."""
    url, by = endpoint.url, _through(endpoint.proxy)
    what = f"({status}){by}: {said.words}" if said.words else f"({status}){by}"
    if status == 403:
        return _forbidden(endpoint, said, by)
    if status == 407:
        return _proxy_refused(url, status, said.words, endpoint.proxy)
    if status == 400 and url.startswith("http:") and _PLAIN_HTTP.search(said.words):
        return _wants_https(url)
    hopeless = {
        401: f"{url} {_about_the_key(endpoint)} {what}",
        402: f"{url} wants to be paid first {what}",
        404: f"{url} has no model {spec.model!r}{_about_the_name(spec, what)}",
    }
    if status in hopeless:
        return Hopeless(hopeless[status])
    if 300 <= status < 400:
        return Hopeless(f"{url} leads elsewhere ({status}); give the URL that it leads to{_place(headers)}.")
    return Refused(said if said.words else Said(f"status {status}"))


def _has_no_money(status: int, said: Said) -> bool:
    quotes = status in (400, 422) or FILTERED.search(said.words) is not None
    return bool(_NO_MONEY.search(said.code) or (not quotes and _NO_MONEY_WORDS.search(said.words)))


def _forbidden(endpoint: Endpoint, said: Said, by: str) -> Refused | Hopeless:
    """A 403: of a filter of contents, of something between here and the server, or about the key."""
    if of_a_filter(said):
        return Refused(said)
    words = said.words or "without a word"
    if said.plain:
        return Hopeless(
            f"{endpoint.url} is forbidden (403){by}: {words}. No server of models talks so: a firewall or a proxy "
            "stands in between, or the URL is another's."
        )
    if endpoint.key is None and not _ABOUT_A_KEY.search(f"{said.code} {said.words}"):
        return Hopeless(f"{endpoint.url} forbids the call (403){by}: {words}")
    return Hopeless(f"{endpoint.url} {_about_the_key(endpoint)} (403){by}: {words}")


def _place(headers: Mapping[str, str]) -> str:
    """Where a redirect leads, as far as it can be said without a query."""
    try:
        parts = urlsplit(headers.get("Location", ""))
        host = parts.netloc.rpartition("@")[2]
    except ValueError:
        return ""
    path = parts.path.rstrip("/").removesuffix("/chat/completions")
    return f", {one_line(f'{parts.scheme}://{host}{path}')[:200]}" if parts.scheme and host else ""


def _about_the_name(spec: RemoteSpec, said: str) -> str:
    if spec.adapter is None:
        return (
            f", or is not the base URL of an OpenAI-compatible server {said}; "
            "check the model's name and the URL, which mostly ends in /v1."
        )
    return (
        f" {said}. The policy was trained here, and its server plays it: serve the adapter {spec.adapter} "
        "beside its base under that name (vLLM: --enable-lora --lora-modules), or set models.policy to weights here."
    )


def _about_the_key(endpoint: Endpoint) -> str:
    variables = " or ".join(key_variables(endpoint.url, endpoint.named))
    if endpoint.key is None:
        return f"wants a key; put it into the environment variable {variables}"
    return f"refuses the key in the environment variable {variables}; check that it is right and may use the model"
