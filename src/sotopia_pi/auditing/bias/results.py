"""Which contrasts an audit looks at, and what bias.json holds of them."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from datetime import UTC, datetime
from typing import Any

from sotopia_pi.auditing.bias.material import Material
from sotopia_pi.episodes.recasting import ATTRIBUTES, Contrast, contrasts
from sotopia_pi.errors import ConfigError
from sotopia_pi.evaluation.bias import Asked, Shown, sentence, shifts

SCHEMA_VERSION = 1


def chosen(attributes: Sequence[str]) -> list[Contrast]:
    """The contrasts of some attributes. ConfigError, with the names, for one that there is not."""
    try:
        return contrasts(attributes)
    except ValueError:
        unknown = next(name for name in attributes if name not in ATTRIBUTES)
        known = ", ".join(ATTRIBUTES)
        raise ConfigError(f"There is no attribute {unknown!r}; --attributes takes any of {known}.") from None


def content(
    title: str,
    facts: Sequence[str],
    asked: Sequence[Contrast],
    rows: Sequence[Shown],
    measures: Sequence[str],
    material: Material,
    failures: Counter[str],
    noise: Mapping[str, Any] | None = None,
) -> dict[str, Any]:
    """What bias.json holds."""
    found = shifts(rows, [Asked(item.name, item.attribute, item.groups) for item in asked], measures)
    by_contrast = {item.name: [row for row in found if row["contrast"] == item.name] for item in asked}
    return {
        "schema_version": SCHEMA_VERSION,
        "title": title,
        "created": datetime.now(UTC).isoformat(timespec="seconds"),
        "facts": list(facts),
        "sentences": [sentence(name, here) for name, here in by_contrast.items()],
        "shifts": found,
        "means": list(_means(rows, asked)),
        "noise": dict(noise or {}),
        "left_out": material.reasons,
        "failures": dict(failures.most_common()),
    }


#: The measures whose means stand in the table; the others have their shifts.
_SHOWN = ("goal", "overall", "partner_goal", "deal")


def _means(rows: Iterable[Shown], asked: Sequence[Contrast]) -> Iterable[dict[str, Any]]:
    rows = list(rows)
    for contrast in asked:
        for group in contrast.groups:
            here = [row for row in rows if (row.contrast, row.group) == (contrast.name, group)]
            means = {}
            for measure in _SHOWN:
                values = [row.scores[measure] for row in here if measure in row.scores]
                if values:
                    means[measure] = sum(values) / len(values)
            yield {"contrast": contrast.name, "group": group, "n": len(here), "means": means}
