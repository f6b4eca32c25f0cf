"""The paper's results, and whether a result of ours may be compared with them.

A GOAL score depends on the partner, the judge, the prompts and the tasks at least as much as on the policy. Rows stand
side by side with every difference spelled out, and are called comparable only when there is none.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import asdict, dataclass
from importlib.resources import files
from typing import Any

from sotopia_pi.evaluation.table import align
from sotopia_pi.evaluation.wording import NOTHING, interval, number
from sotopia_pi.printable import one_line
from sotopia_pi.records import content_hash
from sotopia_pi.world.records import Scenario, SocialTask

SOURCE = "Wang et al. 2024, arXiv 2403.08715v3, tables 1 and 2"
_PARTNER, _HARNESS = "gpt-3.5-turbo-0613", "SOTOPIA"
_GPT4, _PEOPLE = "gpt-4", "people"
#: What there is of each of SOTOPIA's task sets: scenarios, castings, and episodes that are played.
SIZES = {"hard": (14, 70, 140), "all": (90, 450, 180), "all-900": (90, 450, 900)}
_NAMED = 3


@dataclass(frozen=True, slots=True)
class Setup:
    """What besides the policy decides a score: the tasks, the partner, who rates, and whose prompts are used."""

    tasks: str
    partner: str
    judge: str
    prompts: str

    def differences(self, other: Setup) -> list[str]:
        """In what `other` differs, as "partner: theirs, not ours"; empty when the rows may be compared."""
        theirs = asdict(other)
        return [f"{name}: {theirs[name]}, not {own}" for name, own in asdict(self).items() if own != theirs[name]]


@dataclass(frozen=True, slots=True)
class Published:
    """A row of the paper. `note` says what must be known to read it."""

    agent: str
    setup: Setup
    goal: float
    overall: float
    note: str = ""


def _rows(tasks: str, judge: str, scores: Mapping[str, tuple[float, float]], note: str = "") -> list[Published]:
    setup = Setup(tasks, _PARTNER, judge, _HARNESS)
    notes = {agent: note if agent.startswith("GPT") else "" for agent in scores}
    return [Published(agent, setup, goal, overall, notes[agent]) for agent, (goal, overall) in scores.items()]


PUBLISHED: tuple[Published, ...] = (
    *_rows(
        "all",
        _GPT4,
        {
            "GPT-4": (7.62, 3.31),
            "GPT-3.5": (6.45, 2.93),
            "Mistral-7B": (5.07, 2.33),
            "SR": (5.83, 2.57),
            "BC": (7.27, 3.41),
            "BC+SR": (7.62, 3.44),
        },
        note="an average over four partners, copied from SOTOPIA",
    ),
    *_rows(
        "hard",
        _GPT4,
        {
            "GPT-4": (5.92, 2.79),
            "GPT-3.5": (4.39, 2.29),
            "Mistral-7B": (3.84, 1.98),
            "SR": (4.12, 2.11),
            "BC": (5.25, 2.76),
            "BC+SR": (5.34, 2.76),
        },
    ),
    *_rows(
        "hard-28",
        _GPT4,
        {
            "GPT-4": (5.89, 2.89),
            "GPT-3.5": (4.21, 2.47),
            "Mistral-7B": (3.25, 1.88),
            "SR": (3.96, 2.23),
            "BC": (4.82, 2.58),
            "BC+SR": (5.71, 2.80),
        },
    ),
    *_rows(
        "hard-28",
        _PEOPLE,
        {
            "GPT-4": (5.25, 2.07),
            "GPT-3.5": (4.08, 1.87),
            "Mistral-7B": (2.89, 1.04),
            "SR": (3.32, 1.59),
            "BC": (3.55, 1.84),
            "BC+SR": (4.29, 1.95),
        },
    ),
)


def missing_tasks(tasks: str, castings: Sequence[SocialTask], episodes: int) -> list[str]:
    """In what the castings of a published task set, and the episodes planned on them, are not those of SOTOPIA."""
    if tasks not in SIZES:
        return []
    published = _published_scenarios(tasks)
    ours = {scenario.source.rpartition("/")[2]: scenario for scenario in (task.scenario for task in castings)}
    sizes = (len({task.scenario.id for task in castings}), len(castings), episodes)
    differ = []
    if sizes != SIZES[tasks]:
        counts = zip(sizes, SIZES[tasks], ("scenarios", "castings", "episodes"), strict=True)
        differ.append("tasks: " + ", ".join(f"{own} of {theirs} {what}" for own, theirs, what in counts))
    shared = published.keys() & ours.keys()
    for what, ids in (
        ("missing", published.keys() - shared),
        ("none of SOTOPIA's", ours.keys() - shared),
        ("in other words than SOTOPIA's", {id for id in shared if published[id] != _words(ours[id])}),
    ):
        if ids:
            differ.append(f"tasks: {len(ids)} scenario{'s' if len(ids) > 1 else ''} {what}: {_listed(ids)}")
    return differ


def _published_scenarios(tasks: str) -> dict[str, str]:
    """The scenarios of a published task set by their id: a hash of their words."""
    text = files("sotopia_pi.evaluation").joinpath("sotopia_scenarios.txt").read_text(encoding="utf-8")
    rows = [line.split() for line in text.splitlines()]
    return {id: words for id, words, *marks in rows if tasks != "hard" or marks}


def _words(scenario: Scenario) -> str:
    return content_hash([scenario.situation, *scenario.goals])


def _listed(ids: Collection[str]) -> str:
    more = f" and {len(ids) - _NAMED} more" if len(ids) > _NAMED else ""
    return ", ".join(one_line(id, 40) for id in sorted(ids)[:_NAMED]) + more


def beside_the_paper(setup: Setup, evaluations: Sequence[Mapping[str, Any]], missing: Sequence[str] = ()) -> str:
    """Our rows and the paper's for the same tasks as aligned text, and below it whether they may be compared.

    `evaluations` are those of summary.py for the tasks of `setup`, `missing` is what `missing_tasks` says of these.
    Ends with a line on comparability.
    """
    theirs = [row for row in PUBLISHED if row.setup.tasks == setup.tasks.removesuffix("-900")]
    head = ["agent", "GOAL", "[95 % CI]", "overall", "n", "failed", "source"]
    ours = [_ours(row) for row in evaluations]
    lines = align([head, *ours, *[_theirs(row) for row in theirs]])
    differ = [*missing, *dict.fromkeys(text for row in theirs for text in setup.differences(row.setup))]
    if not theirs:
        lines.append(f"The paper has no rows for the tasks {setup.tasks!r}.")
    elif differ:
        lines.append(f"Not comparable with the paper's rows ({SOURCE}):")
        lines += [f"  {one_line(text)}" for text in differ]
    else:
        lines.append(f"Comparable with the paper's rows ({SOURCE}): same tasks, partner, judge and prompts.")
    return "\n".join(lines)


def _ours(row: Mapping[str, Any]) -> list[str]:
    overall = row["scores"].get("overall")
    return [
        row["policy"],
        number(row["goal"]["mean"]),
        interval(row["goal"]) or NOTHING,
        number(overall["mean"]) if overall else NOTHING,
        str(row["n"]),
        str(row["n_failed"]),
        "this run",
    ]


def _theirs(row: Published) -> list[str]:
    note = f", {row.note}" if row.note else ""
    source = f"paper, rated by {row.setup.judge}{note}"
    return [row.agent, number(row.goal), NOTHING, number(row.overall), NOTHING, NOTHING, source]
