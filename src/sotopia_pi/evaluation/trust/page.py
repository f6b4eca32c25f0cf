"""An audit as a page and as text for the terminal: the answers first, then a table for every part.

Both show the same sections. The page is one file without scripts, in the report's style; what models and files wrote is
escaped and passes `safe_text`.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from markupsafe import Markup

from sotopia_pi.evaluation.report import environment
from sotopia_pi.evaluation.table import align
from sotopia_pi.evaluation.theme import shared_css
from sotopia_pi.evaluation.trust.sections import Section, sections
from sotopia_pi.printable import one_line, safe_text

_CELL = 44


def audit_page(content: Mapping[str, Any]) -> str:
    """The page of what audit.json holds."""
    page = environment().get_template("audit.html.j2")
    return page.render(audit=content, sections=sections(content), css=Markup(shared_css()))


def audit_table(content: Mapping[str, Any]) -> str:
    """The same as text."""
    rated = content["ratings"]
    head = (
        f"{content['judge']}: {content['n_episodes']} episodes of {content['episodes']}, {rated['asked']} ratings of "
        f"roles, {rated['failed']} of them failed"
    )
    answers = [use["sentence"] for use in content["uses"].values()]
    return "\n\n".join(["\n".join([safe_text(head), *answers]), *(_text(section) for section in sections(content))])


def _text(section: Section) -> str:
    blocks = [section.title]
    for table in section.tables:
        rows = [[one_line(cell, _CELL) for cell in row] for row in (table.head, *table.rows)]
        if table.rows:
            blocks.append("\n".join([*([table.label] if len(section.tables) > 1 else []), *align(rows)]))
    blocks += [safe_text(note) for note in section.notes]
    return "\n".join(blocks)
