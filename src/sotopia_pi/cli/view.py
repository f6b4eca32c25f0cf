"""`sotopia-pi view`: runs in the browser."""

from __future__ import annotations

import argparse
import secrets
from contextlib import ExitStack
from typing import Any

from sotopia_pi.cli.numbers import whole

#: The environment variable that holds the owner's token.
TOKEN = "SOTOPIA_PI_VIEW_TOKEN"


def add(verbs: Any) -> None:
    """Adds the verb to the command line."""
    text = "read, compare, rate and play in the browser"
    verb = verbs.add_parser("view", help=text, description=text[0].upper() + text[1:] + ".")
    help_ = "a run directory, a folder of run directories, or a database, by its file or URL"
    verb.add_argument("runs", nargs="+", metavar="RUN", help=help_)
    verb.add_argument("--host", default="127.0.0.1", help="where to listen (default: %(default)s, this machine only)")
    verb.add_argument(
        "--port", type=whole(0, 65535), default=8642, help="the port (default: %(default)s; 0: any free one)"
    )
    help_ = f"another name this server is reached by, as behind a proxy (needs {TOKEN}); may be repeated"
    verb.add_argument("--allow-host", action="append", default=[], metavar="NAME", help=help_)
    help_ = "a model to play with besides those of the run; may be repeated"
    verb.add_argument("--play-with", action="append", default=[], metavar="SPEC", help=help_)
    verb.add_argument("--open", action="store_true", help="open the browser")
    help_ = "let everybody who has an account on this machine be the owner, without a token"
    verb.add_argument("--no-token", action="store_true", help=help_)
    help_ = "print nothing but errors, and the link where a token was made"
    verb.add_argument("--quiet", action="store_true", help=help_)
    verb.set_defaults(main=main)


def main(given: argparse.Namespace) -> None:
    """Answers until it is interrupted."""
    from sotopia_pi.errors import ConfigError
    from sotopia_pi.models.serving.listening import bound, local, origin

    try:
        from sotopia_pi.web.app import application
        from sotopia_pi.web.hosts import plain_host
        from sotopia_pi.web.places import close_places, open_places
        from sotopia_pi.web.serving import serve
        from sotopia_pi.web.site import Site
    except ModuleNotFoundError as error:
        raise ConfigError(f"The browser application needs {error.name}: pip install 'sotopia-pi[web]'.") from error

    token, made = _token(given)
    for name in given.allow_host:
        try:
            plain_host(name)
        except ValueError:
            raise ConfigError(f"--allow-host takes a name or an address alone, and {name[:100]!r} is none.") from None
    places = open_places(given.runs)
    with ExitStack() as stack:
        stack.callback(close_places, places)
        listening = stack.enter_context(bound(given.host, given.port))
        address = origin(given.host, listening.getsockname()[1])
        link = f"{address}/?token={token}" if made else address
        site = Site({place.name: place for place in places}, token, tuple(given.play_with))
        hosts = {"127.0.0.1", "localhost", "::1", given.host, *given.allow_host} if local(given.host) else set()

        def ready() -> None:
            if made or not given.quiet:
                print(f"open       {link}", flush=True)
            if not given.quiet:
                print("           Ctrl-C stops it", flush=True)
            if given.open:
                _open_browser(link, stack)

        serve(application(site, hosts), listening, ready)


def _token(given: argparse.Namespace) -> tuple[str | None, bool]:
    """The owner's token, None where there shall be none, and whether it was made here. ConfigError."""
    from sotopia_pi.errors import ConfigError
    from sotopia_pi.models.serving.listening import local, needed_key

    token = needed_key(TOKEN, given.allow_host[0] if given.allow_host and local(given.host) else given.host)
    if given.no_token:
        if token or given.allow_host or not local(given.host):
            raise ConfigError(
                f"--no-token is for a server that only this machine can reach; leave it out, or {TOKEN}, --host and "
                "--allow-host."
            )
        return None, False
    return (token, False) if token else (secrets.token_urlsafe(32), True)


def _open_browser(link: str, stack: ExitStack) -> None:
    """Opens the link in a browser; by way of a file that only its owner can read, since commands are seen by all."""
    import html
    import tempfile
    import webbrowser
    from pathlib import Path

    folder = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="sotopia-pi-")))  # for its owner alone
    page = folder / "open.html"
    page.write_text(
        '<!doctype html><meta name="referrer" content="no-referrer">'
        f'<meta http-equiv="refresh" content="0; url={html.escape(link)}"><a href="{html.escape(link)}">sotopia-pi</a>',
        encoding="utf-8",
    )
    webbrowser.open(page.as_uri())
