"""`sotopia-pi overlap A B`: which scenarios of A are near-duplicates of scenarios of B."""

from __future__ import annotations

import argparse
import json
from pathlib import Path
from typing import TYPE_CHECKING, Any

from sotopia_pi.printable import flat

if TYPE_CHECKING:
    from sotopia_pi.world.overlap import Match

#: How many texts that are too short are printed.
_SHOWN = 10
_SOURCES = "a file of tasks or scenarios, a folder of SOTOPIA's profiles, or starter:train, starter:test"


def add(verbs: Any) -> None:
    """Adds the verb to the command line."""
    verb = verbs.add_parser(
        "overlap",
        help="find near-duplicates between training and evaluation scenarios",
        description="Prints every scenario of A that is a near-duplicate of one of B, with the pair; then the exit "
        "code is 3. A and B are " + _SOURCES + ".",
    )
    verb.add_argument("a", metavar="A", help="the scenarios to check")
    verb.add_argument("b", metavar="B", help="the scenarios they must not resemble")
    verb.add_argument("--embeddings", action="store_true", help="compare by meaning too (extra `overlap`)")
    verb.add_argument("--shared", type=float, metavar="X", help="limit on the part of 8-word runs shared (default 0.2)")
    verb.add_argument("--situation", type=float, metavar="X", help="the same of the situations alone (default 0.5)")
    verb.add_argument("--jaccard", type=float, metavar="X", help="limit on the overlap of 3-word runs (default 0.25)")
    verb.add_argument("--cosine", type=float, metavar="X", help="limit on the cosine of embeddings (default 0.8)")
    verb.add_argument("--json", type=Path, metavar="FILE", help="write the pairs to a file, too")
    verb.add_argument("--quiet", action="store_true", help="print nothing but errors")
    verb.set_defaults(main=main)


def main(given: argparse.Namespace) -> None:
    """Compares. WorldError when there are near-duplicates."""
    from dataclasses import replace

    from sotopia_pi.errors import ConfigError, WorldError
    from sotopia_pi.world.overlap import Limits, OverlapIndex
    from sotopia_pi.world.overlap_files import read_texts

    limits = Limits()
    for name in ("shared", "situation", "jaccard", "cosine"):
        value = getattr(given, name)
        if value is not None and not 0 < value <= 1:
            raise ConfigError(f"--{name} must be more than 0 and at most 1, not {value}.")
        limits = limits if value is None else replace(limits, **{name: value})
    checked, against = read_texts(given.a), read_texts(given.b)
    embed = None
    if given.embeddings:
        from sotopia_pi.models.embedding import Embedder

        embed = Embedder()
    found, too_short = OverlapIndex(against, limits, embed).compare(checked)
    if given.json:
        _write(given.json, found)
    if not given.quiet:
        for match in found:
            print(flat(f"{match.text.label} is too close to {match.other.label}: {match.why}"))
            print(*(f"  {text.shortened(200)}" for text in (match.text, match.other)), sep="\n")
        for text in too_short[:_SHOWN]:
            print(flat(f"{text.label} is too short to be compared; look at it yourself"))
            print(f"  {text.shortened(200)}")
    if found:
        raise WorldError(
            f"{len(found)} of {len(checked)} scenarios of {given.a} are near-duplicates of {given.b}; remove them."
        )
    if not given.quiet:
        but = f", {len(too_short)} could not be compared" if too_short else ""
        print(f"overlap    none of {len(checked)} scenarios is a near-duplicate of one of {len(against)}{but}")


def _write(path: Path, found: list[Match]) -> None:
    from sotopia_pi.errors import WorldError

    rows = [
        {"a": m.text.label, "b": m.other.label, "a_text": m.text.whole, "b_text": m.other.whole}
        | {"shared": m.shared, "situation": m.situation, "jaccard": m.jaccard, "cosine": m.cosine, "exact": m.exact}
        for m in found
    ]
    try:
        path.write_text(json.dumps(rows, indent=1) + "\n", encoding="utf-8")
    except OSError as error:
        raise WorldError(f"{path} cannot be written ({error.strerror or error}); give another --json.") from None
