"""The report of a run: report.json for programs, report.html for people.

The page is one file without scripts or external resources. Text from models is untrusted: the templates escape it,
and every value that is printed first passes `safe_text`.
"""

from __future__ import annotations

import json
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path
from typing import Any, NamedTuple

from jinja2 import BaseLoader, ChoiceLoader, Environment, PackageLoader, StrictUndefined
from markupsafe import Markup

from sotopia_pi.evaluation import figures, safety_table, wording
from sotopia_pi.evaluation.audit import Audited, audit
from sotopia_pi.evaluation.grounding import grounding
from sotopia_pi.evaluation.records import Result
from sotopia_pi.evaluation.summary import comparisons, default_pairs, evaluations, policy_order
from sotopia_pi.evaluation.theme import shared_css
from sotopia_pi.files import write_whole
from sotopia_pi.printable import TEXT_LIMIT, safe_text

SCHEMA_VERSION = 1


class SampleTurn(NamedTuple):
    """One turn of a sample, with its `terms`, "" for none.

    An invalid turn (`valid` false) did nothing; `raw` is what the model wrote.
    """

    speaker: str
    action_type: str
    text: str
    valid: bool = True
    raw: str = ""
    terms: str = ""


@dataclass(frozen=True)
class Sample:
    """An episode to read.

    `goals`, `characters` (names, as in the turns' `speaker`) and `scores` (by dimension, empty when unrated) have
    one entry per role. `outcome` says how it ended. `policy_role` is the role that the evaluated policy played.
    """

    title: str
    situation: str
    goals: Sequence[str]
    characters: Sequence[str]
    turns: Sequence[SampleTurn | tuple[str, str, str, bool, str]]
    outcome: str
    scores: Sequence[Mapping[str, float]] = ()
    policy_role: int | None = None


@dataclass(frozen=True)
class ReportData:
    """Everything a report is made from.

    `created` is an ISO 8601 time. `run` holds facts about the run; values may be dicts ("seconds" by stage, in
    seconds). `rounds` in the order they were run: dicts with name (the policy made), method, parent, candidates,
    selected, saturation {"top_score", "share_at_top", "n"}, examples, tokens, seconds; any may be missing. `curves`
    and `samples` are by policy, a curve being a list of {"step", "loss"}. `safety` holds "sets", as `safety.safety`
    finds them, and by what it was measured; `invalid` what `causes.invalid_turns` counts.
    """

    title: str
    created: str
    run: Mapping[str, Any] = field(default_factory=dict)
    results: Sequence[Result] = ()
    rounds: Sequence[Mapping[str, Any]] = ()
    curves: Mapping[str, Sequence[Mapping[str, Any]]] = field(default_factory=dict)
    samples: Mapping[str, Sequence[Sample]] = field(default_factory=dict)
    notes: Sequence[str] = ()
    audited: Sequence[Audited] = ()
    safety: Mapping[str, Any] = field(default_factory=dict)
    invalid: Sequence[Mapping[str, Any]] = ()


def build(data: ReportData) -> dict[str, Any]:
    """The content of report.json: JSON-able, a number that does not exist is None.

    Raises ValueError when a policy has two results for one task, role and repeat.
    """
    order = [str(made["name"]) for made in data.rounds if "name" in made]
    parents = {str(made["name"]): str(made["parent"]) for made in data.rounds if made.keys() >= {"name", "parent"}}
    pairs = default_pairs(policy_order(data.results, order), parents)
    rated, compared = evaluations(data.results, order), comparisons(data.results, pairs, order)
    content = {
        "schema_version": SCHEMA_VERSION,
        "title": data.title,
        "created": data.created,
        "headline": wording.headline(rated, compared),
        "evaluations": rated,
        "comparisons": compared,
        "audit": audit(data.audited),
        "safety": data.safety,
        "invalid": list(data.invalid),
        "grounding": grounding(data.results),
        "rounds": list(data.rounds),
        "curves": data.curves,
        "run": data.run,
        "notes": list(data.notes),
    }
    plain: dict[str, Any] = _plain(content)
    return plain


def render_html(data: ReportData) -> str:
    """The page: one self-contained file. Raises as `build` does."""
    return _render(data, build(data))


def write(data: ReportData, folder: Path) -> dict[str, Any]:
    """Writes report.json and report.html into `folder`, each whole or not at all, and returns what `build` gives.

    Raises StoreError when a file cannot be written; an earlier report then stays as it was.
    """
    content = build(data)
    page = _render(data, content)
    advice = "make room or change its permissions, then run `sotopia-pi report` on the run directory"
    text = json.dumps(content, ensure_ascii=False, indent=1, allow_nan=False) + "\n"
    write_whole(folder / "report.json", text, advice)
    write_whole(folder / "report.html", page, advice)
    return content


def _render(data: ReportData, content: Mapping[str, Any]) -> str:
    policies = list(dict.fromkeys([*(row["policy"] for row in content["evaluations"]), *data.samples]))
    samples = {policy: [_shown(sample) for sample in data.samples.get(policy, ())] for policy in policies}
    page = templates().get_template("report.html.j2")
    return page.render(
        report=content,
        css=Markup(shared_css()),
        settings=settings(content["evaluations"], content["comparisons"]),
        loss_figures=loss_figures(content["curves"]),
        samples={policy: shown for policy, shown in samples.items() if shown},
    )


def environment(*folders: BaseLoader, longest: int = TEXT_LIMIT) -> Environment:
    """Templates of `folders` and of the report: escaped, every name known, every printed text passed by `safe_text`.

    `longest` is how many characters of a text are shown.
    """
    made = Environment(
        loader=ChoiceLoader([*folders, PackageLoader("sotopia_pi.evaluation", "templates")]),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        finalize=lambda value: safe_text(value, longest) if type(value) is str else value,
    )
    made.filters |= {
        name: getattr(wording, name)
        for name in ("number", "signed", "interval", "share", "p_value", "duration", "moment")
    }
    made.filters |= safety_table.FILTERS
    return made


@cache
def templates() -> Environment:
    """The templates of reports. Compiling one takes longer than filling it."""
    return environment()


def settings(rated: Sequence[Mapping[str, Any]], compared: Sequence[Mapping[str, Any]]) -> list[dict[str, Any]]:
    """Per task set and partner: its evaluations, comparisons and figures."""
    found = []
    for title, rows, top in figures.goal_panels(rated):
        names = {"tasks": rows[0]["tasks"], "partner": rows[0]["partner"]}
        rater = rows[0].get("rater", "")
        drawn = [figures.goal_chart(title, rows, top)]
        for label, bars in (("Deals", figures.deal_bars(rows)), ("Invalid actions", figures.invalid_bars(rows))):
            drawn += [figures.share_chart(f"{label}, {names['tasks']} tasks", bars)] if bars else []
        pairs = [pair for pair in compared if (pair["tasks"], pair["partner"]) == tuple(names.values())]
        kinds = list(dict.fromkeys(kind for row in rows for kind in row["kinds"]))
        dimensions = list(dict.fromkeys(name for row in rows for name in row["scores"]))
        found.append(
            {**names, "rows": rows, "comparisons": pairs, "kinds": kinds, "dimensions": dimensions}
            | {"rater": rater, "figures": [Markup(figure) for figure in drawn]}
        )
    return found


def loss_figures(curves: Mapping[str, Sequence[Mapping[str, Any]]]) -> list[Markup]:
    """A figure per policy with a training curve, all on one axis."""
    losses = [point.get("loss") for points in curves.values() for point in points]
    top = max((loss for loss in losses if isinstance(loss, int | float)), default=1.0)
    return [Markup(figures.loss_chart(policy, points, _nice(top))) for policy, points in curves.items() if points]


def _nice(value: float) -> float:
    """The next number of the form 1, 2, 4, 6, 8 or 10 times a power of ten: an axis end with round ticks."""
    power = 10.0 ** math.floor(math.log10(value)) if value > 0 else 1.0
    return next(power * step for step in (1, 2, 4, 6, 8, 10) if value <= power * step * 1.000001)


def _shown(sample: Sample) -> dict[str, Any]:
    """A sample as the template reads it: each turn with its side, 0 for the first role and 1 for any other."""
    turns = [SampleTurn(*turn) for turn in sample.turns]
    speakers = list(dict.fromkeys([*sample.characters, *(turn.speaker for turn in turns)]))
    roles = [
        {"name": name, "goal": goal, "scores": dict(scores), "is_policy": role == sample.policy_role}
        for role, (name, goal, scores) in enumerate(
            zip(sample.characters, sample.goals, [*sample.scores, *({} for _ in sample.goals)], strict=False)
        )
    ]
    sides = [0 if speakers.index(turn.speaker) == 0 else 1 for turn in turns]
    if sample.policy_role is not None and sample.policy_role < len(sample.characters):
        sides = [int(turn.speaker == sample.characters[sample.policy_role]) for turn in turns]
    return {
        "sample": sample,
        "roles": roles,
        "turns": [{**t._asdict(), "side": s} for t, s in zip(turns, sides, strict=True)],
    }


def _plain(value: Any) -> Any:
    """`value` as JSON can hold it: numbers that are not finite become None, unknown types their text."""
    match value:
        case None | bool() | int():
            return value
        case str():
            return str(value).encode("utf-8", "backslashreplace").decode()
        case float():
            return float(value) if math.isfinite(value) else None
        case Mapping():
            return {_plain(str(key)): _plain(item) for key, item in value.items()}
        case list() | tuple():
            return [_plain(item) for item in value]
        case _:
            return _plain(str(value))
