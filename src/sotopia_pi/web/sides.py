"""What a page is asked to compare, read from the URL.

Nothing in a URL is an error: what is unknown is left out or replaced, and the page says so in a sentence.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from urllib.parse import urlencode

import numpy as np
import numpy.typing as npt
from starlette.requests import Request

from sotopia_pi.evaluation.summary import BASE, EXPERT
from sotopia_pi.web import scoring
from sotopia_pi.web.places import Place
from sotopia_pi.web.site import Site, place, site
from sotopia_pi.web.snapshot import Snapshot, snapshot

ALL = "all"
EVALUATE, TEST = "evaluate", "test"
_SHOWN = 60


@dataclass(frozen=True, slots=True, eq=False)
class Side:
    """A policy of an open run; `name` is how pages and URLs of the run at hand call it."""

    name: str
    policy: str
    place: Place
    snapshot: Snapshot

    def rows(self, restricted: Mapping[str, str]) -> npt.NDArray[np.intp]:
        """The rows that the policy played, in the stage, group and partner asked for."""
        mask = self.snapshot.where("player", {self.policy})
        for column, value in restricted.items():
            if value != ALL:
                mask &= self.snapshot.where(column, {value})
        return self.snapshot.rows(mask)


@dataclass(frozen=True, slots=True, eq=False)
class Select:
    """A selector: what it is called in the URL and on the page, its options as (value, label), and what is chosen."""

    name: str
    label: str
    options: Sequence[tuple[str, str]]
    chosen: str


@dataclass(slots=True, eq=False)
class Asked:
    """What is asked for, `selects` to ask otherwise, and `notices` on what could not be had."""

    home: Place
    values: dict[str, str] = field(default_factory=dict)
    selects: list[Select] = field(default_factory=list)
    notices: list[str] = field(default_factory=list)

    def choose(
        self, request: Request, name: str, label: str, options: Sequence[str], default: str = "",
        shown: Callable[[str], str] = str,
    ) -> str:  # fmt: skip
        """The value of a selector: the URL's where it is an option, else the default, which is the first option."""
        asked = request.query_params.get(name, "")
        fallback = default if default in options else (options[0] if options else "")
        chosen = asked if asked in options else fallback
        if asked and asked != chosen:
            told = asked if len(asked) <= _SHOWN else f"{asked[:_SHOWN]}…"
            self.notices.append(
                f"There is no {label} “{told}” here; this page shows “{shown(chosen)}”."
                if chosen
                else f"There is no {label} “{told}” here."
            )
        self.values[name] = chosen
        self.selects.append(Select(name, label, [(value, shown(value)) for value in options], chosen))
        return chosen

    def choose_other(
        self, request: Request, name: str, label: str, options: Sequence[str], than: str, default: str,
        shown: Callable[[str], str] = str,
    ) -> str:  # fmt: skip
        """As `choose`, but never `than`; the empty text where there is no other."""
        others = [value for value in options if value != than]
        chosen = self.choose(request, name, label, options if others else [], default, shown)
        if others and chosen == than:
            chosen = default if default in others else others[0]
            if request.query_params.get(name):
                self.notices.append(f"“{shown(than)}” was chosen twice; it is set against “{shown(chosen)}”.")
            self.values[name] = chosen
            self.selects[-1] = replace(self.selects[-1], chosen=chosen)
        return chosen

    def query(self, **changed: str | int) -> str:
        """The URL's query with some values changed."""
        return urlencode({name: value for name, value in {**self.values, **changed}.items() if value != ""})

    @property
    def restricted(self) -> dict[str, str]:
        """What rows are restricted to, by column."""
        return {"verb": self.values["stage"], "group": self.values["group"], "partner": self.values["partner"]}


def evaluated(snapshot_: Snapshot) -> set[str]:
    """The policies that an evaluation stage is named after."""
    return {name.partition("/")[2] for name in snapshot_.names("stage") if name.startswith(f"{EVALUATE}/")}


def policies(snapshot_: Snapshot) -> list[str]:
    """Who has played: base first, the expert last, those that were evaluated before those that only took part."""
    tested = evaluated(snapshot_)
    rank = {BASE: 0, EXPERT: 2}
    return sorted(snapshot_.policies(), key=lambda name: (name not in tested, rank.get(name, 1), name))


def two_sides(request: Request, asked: Asked) -> tuple[Side, Side] | None:
    """The policies `a` and `b`; None where there are not two. Those of another run are called PLACE/POLICY."""
    open_here = site(request)
    known = _known(open_here, asked.home)
    for name in _other_places(request, open_here, asked.home):
        other = _known(open_here, open_here.places[name])
        known |= {
            f"{name}/{policy}": Side(f"{name}/{policy}", policy, s.place, s.snapshot) for policy, s in other.items()
        }
    if len(open_here.places) > 1:
        others = [name for name in open_here.places if name != asked.home.name]
        asked.choose(request, "with", "run to compare with", ["", *others], shown=lambda name: name or "none")
    names = list(known)
    tested = evaluated(snapshot(open_here, asked.home.name))
    learners = [name for name in names if name in tested and name not in (BASE, EXPERT)]
    a = asked.choose(request, "a", "policy A", names, _trained(asked.home, learners))
    b = asked.choose_other(request, "b", "policy B", names, a, BASE)
    if not b:
        return None
    return known[a], known[b]


def restrict(request: Request, asked: Asked, snapshots: Sequence[Snapshot], sides: Sequence[Side]) -> None:
    """Reads stage, task group and partner; the defaults are those of the report: test tasks of the evaluation."""
    owners = [side.snapshot for side in sides] or list(snapshots)
    pool = [side.snapshot.where("player", {side.policy}) for side in sides]
    pool = pool or [np.ones(len(owner), dtype=bool) for owner in owners]
    for name, column, label, default in (
        ("stage", "verb", "stage", EVALUATE),
        ("group", "group", "task group", TEST),
        ("partner", "partner", "partner", ALL),
    ):
        found = [_present(owner, column, mask) for owner, mask in zip(owners, pool, strict=True)]
        options = list(dict.fromkeys(value for part in found for value in part))
        shared = default if all(default in part for part in found) else ALL
        chosen = asked.choose(request, name, label, [ALL, *options], shared)
        if chosen != ALL:
            narrowed = [owner.where(column, {chosen}) for owner in owners]
            pool = [mask & n for n, mask in zip(narrowed, pool, strict=True)]


def rater_and_dimension(request: Request, asked: Asked, sides: Sequence[Side]) -> tuple[str, str]:
    """Whose scores are compared and of what; by default the first rater who gave both policies a GOAL score."""
    names = list(dict.fromkeys(name for side in sides for name in scoring.raters(side.snapshot)))
    rater = asked.choose(request, "rater", "rater", names, _first_with_scores(names, sides, asked), scoring.shown)
    found = [name for side in sides for name in scoring.dimensions(side.snapshot, rater)]
    dimension = asked.choose(
        request, "dimension", "dimension", list(dict.fromkeys(found)), "goal", scoring.dimension_name
    )
    return rater, dimension


def _first_with_scores(names: Sequence[str], sides: Sequence[Side], asked: Asked) -> str:
    for name in names:
        if all(
            not np.isnan(scoring.score(side.snapshot, name, "goal")[side.rows(asked.restricted)]).all()
            for side in sides
        ):
            return name
    return ""


def _present(owner: Snapshot, column: str, mask: npt.NDArray[np.bool_]) -> list[str]:
    labels = owner.labels(column)
    counts = labels.counts(mask)
    return sorted(name for name, count in zip(labels.names, counts.tolist(), strict=False) if name and count)


def _known(open_here: Site, of: Place) -> dict[str, Side]:
    current = snapshot(open_here, of.name)
    return {policy: Side(policy, policy, of, current) for policy in policies(current)}


def _other_places(request: Request, open_here: Site, home: Place) -> list[str]:
    """The other runs whose policies are wanted: only these are read."""
    asked = [request.query_params.get("with", "")]
    asked += [request.query_params.get(side, "").partition("/")[0] for side in ("a", "b")]
    return [name for name in dict.fromkeys(asked) if name in open_here.places and name != home.name]


def _trained(home: Place, learners: Sequence[str]) -> str:
    """The policy that was made last, else any."""
    made = [item.name for item in home.config.rounds] if home.config is not None else []
    return next((name for name in reversed(made) if name in learners), learners[-1] if learners else "")


def asked_of(request: Request) -> Asked:
    """An empty request about the place in the path; 404 if there is none."""
    return Asked(place(request))
