"""`sotopia-pi view`: runs in the browser."""

from __future__ import annotations

import argparse
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
    verb.add_argument("--quiet", action="store_true", help="print nothing but errors")
    verb.set_defaults(main=main)


def main(given: argparse.Namespace) -> None:
    """Answers until it is interrupted."""
    from sotopia_pi.errors import ConfigError
    from sotopia_pi.models.serving.listening import bound, local, needed_key, origin

    try:
        from sotopia_pi.web.app import application, serve
        from sotopia_pi.web.places import close_places, open_places
        from sotopia_pi.web.site import Site
    except ModuleNotFoundError as error:
        raise ConfigError(f"The browser application needs {error.name}: pip install 'sotopia-pi[web]'.") from error

    token = needed_key(TOKEN, given.allow_host[0] if given.allow_host and local(given.host) else given.host)
    places = open_places(given.runs)
    listening = None
    try:
        listening = bound(given.host, given.port)
        address = origin(given.host, listening.getsockname()[1])
        site = Site({place.name: place for place in places}, token, tuple(given.play_with))
        hosts = {"127.0.0.1", "localhost", "::1", given.host, *given.allow_host} if local(given.host) else set()

        def ready() -> None:
            if not given.quiet:
                print(f"open       {address}\n           Ctrl-C stops it", flush=True)
            if given.open:
                import webbrowser

                webbrowser.open(address)

        serve(application(site, hosts), listening, ready)
    finally:
        if listening is not None:
            listening.close()
        close_places(places)
