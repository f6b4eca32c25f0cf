"""What several reading pages show in the same way: links between pages of a list, relationships in words."""

from __future__ import annotations

from dataclasses import asdict, dataclass, is_dataclass
from typing import Any

from sotopia_pi.episodes.views import View
from sotopia_pi.ratings.casefile import TIES
from sotopia_pi.web.filters import Filters
from sotopia_pi.world.records import Relationship


def relationship_words(relationship: Relationship) -> str:
    """A relationship as people say it."""
    return TIES[relationship.value]


def own_numbers(seen: View) -> dict[str, Any] | None:
    """The fields of a role's own side; None in open scenarios and in those from before outcomes were declared."""
    side = seen.side
    if side is None:
        return None
    return asdict(side) if is_dataclass(side) and not isinstance(side, type) else {"side": str(side)}


@dataclass(frozen=True, slots=True)
class Pager:
    """Links to the other pages of a list; empty where there is none."""

    page: int
    pages: int
    first: str
    before: str
    after: str
    last: str


def pager(path: str, filters: Filters, page: int, pages: int) -> Pager:
    """The links around a page of a list."""

    def link(number: int) -> str:
        return filters.link(path, page=number)

    back, on = page > 1, page < pages
    return Pager(
        page,
        pages,
        link(1) if back else "",
        link(page - 1) if back else "",
        link(page + 1) if on else "",
        link(pages) if on else "",
    )
