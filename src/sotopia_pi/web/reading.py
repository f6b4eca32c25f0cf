"""What the reading pages prepare when the server starts, so that the first visitor does not wait; undone at its end."""

from __future__ import annotations

import asyncio
import threading

from sotopia_pi.errors import StoreError
from sotopia_pi.web.listing import listing
from sotopia_pi.web.rendering import templates
from sotopia_pi.web.runs import figures_of
from sotopia_pi.web.search import close_indexes, text_index
from sotopia_pi.web.site import Site
from sotopia_pi.web.snapshot import live


def prepare(site: Site) -> None:
    """Loads the snapshot of every place in the background once the server runs, and begins to index its words."""
    ending = threading.Event()
    loading = threading.Thread(target=_load, args=(site, ending), name="reading", daemon=True)

    async def begin() -> None:
        loading.start()

    async def end() -> None:
        ending.set()
        await asyncio.to_thread(_finish, site, loading)

    site.on_start.append(begin)
    site.on_stop.append(end)


def _load(site: Site, ending: threading.Event) -> None:
    for template in templates().list_templates(["j2"]):
        templates().get_template(template)  # compiled once
    for name in site.places:
        if ending.is_set():
            return
        try:
            text_index(site, name).extend(live(site, name).current())
            figures_of(site, name)
            listing(site, name, {})
        except StoreError:  # the page that needs it says so
            continue


def _finish(site: Site, loading: threading.Thread) -> None:
    loading.join()
    close_indexes(site)
    for name in site.places:
        live(site, name).close()
