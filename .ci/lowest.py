"""Prints the lowest versions that pyproject.toml allows, one requirement a line, as pip reads them.

Of what users install: the dependencies, and the extras that the tests need. Bounds must name versions that exist. torch
is left out, because only the build that is at hand can be tested.
"""

from __future__ import annotations

import re
import sys
import tomllib
from pathlib import Path

EXTRAS = ("local", "web", "preference")
LEFT_OUT = ("torch",)
BOUND = re.compile(r"([A-Za-z0-9._-]+)>=([0-9][0-9a-z.]*)(?:,<[0-9][0-9a-z.]*)?")


def main() -> None:
    """Prints them."""
    project = tomllib.loads(Path("pyproject.toml").read_text(encoding="utf-8"))["project"]
    wanted = [*project["dependencies"], *(one for extra in EXTRAS for one in project["optional-dependencies"][extra])]
    for requirement in dict.fromkeys(wanted):
        found = BOUND.fullmatch(requirement)
        if found is None:
            sys.exit(f"pyproject.toml: {requirement} has no lower bound; write it as NAME>=VERSION.")
        if found[1] not in LEFT_OUT:
            print(f"{found[1]}=={found[2]}")


if __name__ == "__main__":
    main()
