"""Hosts and origins in request headers, read strictly: what is malformed is refused, and nothing is guessed from it."""

from __future__ import annotations

import ipaddress
import re
from typing import NamedTuple

from starlette.types import Scope

_NAME = re.compile(r"[a-z0-9._-]{1,253}")
_AUTHORITY = re.compile(r"(\[[0-9A-Fa-f:.]+\]|[^\[\]:]+)(?::([0-9]{1,5}))?")
_ORIGIN = re.compile(r"([A-Za-z][A-Za-z0-9+.-]{0,30})://(.+)", re.DOTALL)
#: The port that a scheme has without a word.
_USUAL = {"http": 80, "https": 443}


class Authority(NamedTuple):
    """A host in small letters, an IPv6 address in its shortest form without brackets, and a port if one is named."""

    host: str
    port: int | None = None


def header(scope: Scope, name: str) -> list[str]:
    """Every value of a header, in the order in which they came."""
    wanted = name.encode("ascii")
    return [value.decode("latin-1") for key, value in scope["headers"] if key.lower() == wanted]


def authority(text: str) -> Authority:
    """`HOST` or `HOST:PORT`. ValueError for all else: user names, paths, spaces, letters beyond ASCII, port 0."""
    found = _AUTHORITY.fullmatch(text)
    if found is None or (found[2] is not None and not 0 < int(found[2]) < 65536):
        raise ValueError(text)
    return Authority(plain_host(found[1]), None if found[2] is None else int(found[2]))


def plain_host(host: str) -> str:
    """A host as it is compared. ValueError for what is none."""
    if ":" in host:
        return str(ipaddress.IPv6Address(host.removeprefix("[").removesuffix("]")))
    name = host.lower().removesuffix(".")
    if not _NAME.fullmatch(name) or not all(name.split(".")):
        raise ValueError(host)
    return name


def host_of(scope: Scope) -> Authority:
    """What the one Host header names. ValueError where there is none, or several, or a malformed one."""
    (found,) = header(scope, "host")
    return authority(found)


def origin_of(scope: Scope) -> Authority | str | None:
    """Where a form came from: host and port, "null" where the browser does not tell, None without the header.

    A scheme's usual port is left out, as browsers do. ValueError where there are several, or a malformed one.
    """
    given = header(scope, "origin")
    if not given:
        return None
    (found,) = given
    if found == "null":
        return found
    parts = _ORIGIN.fullmatch(found)
    if parts is None:
        raise ValueError(found)
    return usual(authority(parts[2]), parts[1].lower())


def usual(found: Authority, scheme: str | None = None) -> Authority:
    """An authority without the port that its scheme (None: http or https) has anyway."""
    ports = _USUAL.values() if scheme is None else (_USUAL.get(scheme),)
    return found._replace(port=None) if found.port in ports else found
