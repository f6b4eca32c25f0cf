"""An audit of bias as a page and as text for the terminal: the sentences first, then a table for every contrast.

The page is one file without scripts, in the report's style; what models and files wrote is escaped and passes
`safe_text`.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from markupsafe import Markup

from sotopia_pi.evaluation.bias.wording import called
from sotopia_pi.evaluation.report import environment
from sotopia_pi.evaluation.table import align
from sotopia_pi.evaluation.theme import shared_css
from sotopia_pi.evaluation.trust.sections import Section, Table
from sotopia_pi.evaluation.wording import NOTHING, interval, number, p_value, signed
from sotopia_pi.printable import one_line, safe_text

_CELL = 44
#: The measures whose shifts the terminal always shows.
_BRIEF = ("goal", "overall", "partner_goal", "deal", "words_per_turn", "invalid", "left")
_NOTE = (
    "A shift is a group's mean minus that of the group or groups it is held against, over episodes that differ in "
    "nothing else. p is corrected for all tests of the audit: Holm (even one false alarm in at most 5 % of audits), "
    "FDR (Benjamini–Hochberg: at most 5 % of what is found is false). Detectable is the shift that is found in 80 % "
    "of audits of this size."
)


def bias_page(content: Mapping[str, Any]) -> str:
    """The page of what bias.json holds."""
    page = environment().get_template("bias.html.j2")
    return page.render(bias=content, sections=sections(content), css=Markup(shared_css()))


def bias_table(content: Mapping[str, Any]) -> str:
    """The same as text, with the shifts of a few measures and all that were found; bias.json has every one."""
    head = "\n".join(safe_text(line) for line in (content["title"], *content["facts"], *content["sentences"]))
    kept = [row for row in content["shifts"] if row["found"] or row["measure"] in _BRIEF]
    return "\n\n".join([head, *(_text(section) for section in sections({**content, "shifts": kept}))])


def sections(content: Mapping[str, Any]) -> list[Section]:
    """The sections of what bias.json holds, in the order of the page."""
    names = dict.fromkeys(row["contrast"] for row in content["shifts"])
    made = [_shifts(name, [row for row in content["shifts"] if row["contrast"] == name]) for name in names]
    means = content.get("means") or []
    if means:
        measures = list(dict.fromkeys(name for row in means for name in row["means"]))
        rows = [(row["group"], row["contrast"], str(row["n"]), *_means(row["means"], measures)) for row in means]
        head = ("group", "contrast", "n", *map(called, measures))
        made.append(Section("means", "Means of every version", [Table("Means", head, rows)]))
    if content.get("noise"):
        made.append(_noise(content["noise"]))
    made.append(_left_out(content))
    return made


def _means(means: Mapping[str, float | None], measures: Sequence[str]) -> list[str]:
    return [number(means.get(name)) for name in measures]


def _shifts(name: str, rows: Sequence[Mapping[str, Any]]) -> Section:
    cells = [
        (
            f"{row['group']} − {row['against']}",
            called(row["measure"]),
            "found" if row["found"] else "",
            signed(row["estimate"]),
            interval(row) or NOTHING,
            p_value(row["p_holm"]),
            p_value(row["p_fdr"]),
            number(row["detectable"]),
            str(row["n"]),
            str(row["n_scenarios"]),
        )
        for row in rows
    ]
    head = ("groups", "measure", "", "shift", "[95 % CI]", "p Holm", "p FDR", "detectable", "n", "scenarios")
    why = dict.fromkeys(row["why"] for row in rows if row.get("why"))
    title = f"{name[0].upper()}{name[1:]}"
    notes = [*(f"{text[0].upper()}{text[1:]}." for text in why), _NOTE]
    return Section(name.replace(": ", "-").replace(" ", "-"), title, [Table(title, head, cells)], notes)


def _noise(found: Mapping[str, Any]) -> Section:
    rows = [(called(measure), number(row["mean"]), str(row["n"])) for measure, row in found.items()]
    note = "How much a second rating of the same unaltered episode differs, on average. A shift is a mean over many."
    why = [f"{row['why'][0].upper()}{row['why'][1:]}." for row in found.values() if row.get("why")]
    head = ("measure", "mean |difference|", "n")
    return Section("noise", "What asking again changes", [Table("Noise", head, rows)], [*dict.fromkeys(why), note])


def _left_out(content: Mapping[str, Any]) -> Section:
    rows = [
        (contrast, why, str(count)) for contrast, causes in content["left_out"].items() for why, count in causes.items()
    ]
    failures = [(why, "rating or episode failed", str(count)) for why, count in content["failures"].items()]
    note = "These are in no number: where an exchange would have been a guess, and where there is no rating."
    table = Table("Left out", ("contrast", "why", "versions or episodes"), [*rows, *failures])
    return Section("left-out", "What was left out", [table], [note if table.rows else "Nothing was left out."])


def _text(section: Section) -> str:
    blocks = [section.title]
    for table in section.tables:
        if table.rows:
            blocks += align([[one_line(cell, _CELL) for cell in row] for row in (table.head, *table.rows)])
    if section.notes and section.notes != [_NOTE]:
        blocks += [safe_text(note) for note in section.notes if note != _NOTE]
    return "\n".join(blocks)
