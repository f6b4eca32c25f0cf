"""The numbers of a comparison of two policies: paired differences, what could not be paired, and where they differ."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from sotopia_pi.evaluation import wording
from sotopia_pi.evaluation.pairing import Pairs, Played, pair
from sotopia_pi.evaluation.statistics import Comparison, clustered_mean, paired
from sotopia_pi.web import scoring
from sotopia_pi.web.columns import Labels
from sotopia_pi.web.sides import Side

Floats = npt.NDArray[np.float64]
Places = npt.NDArray[np.intp]

_COUNTED = ("actions", "words", "turns", "invalid")


@dataclass(frozen=True, slots=True, eq=False)
class Contrast:
    """Two sides with the rows they played and how these pair; `played` has the scores of the dimension at hand."""

    sides: tuple[Side, Side]
    rows: tuple[Places, Places]
    played: tuple[Played, Played]
    pairs: Pairs
    rater: str

    @classmethod
    def of(cls, sides: tuple[Side, Side], restricted: Mapping[str, str], rater: str, dimension: str) -> Contrast:
        """Pairs what both played, rows restricted as `Side.rows` does."""
        rows = (sides[0].rows(restricted), sides[1].rows(restricted))
        played = _played(sides, rows, rater, dimension)
        return cls(sides, rows, played, pair(*played), rater)

    def _scenarios(self, side: int) -> npt.NDArray[np.integer]:
        return self.sides[side].snapshot.labels("scenario").codes[self.rows[side]]

    def scores(self, side: int, dimension: str) -> Floats:
        """A side's scores by its rows; NaN where there is none."""
        return scoring.score(self.sides[side].snapshot, self.rater, dimension)[self.rows[side]]

    @property
    def differences(self) -> Floats:
        """Score of the first minus score of the second, by scored pair."""
        pairs = self.pairs
        first, second = pairs.first[pairs.scored], pairs.second[pairs.scored]
        return np.asarray(self.played[0].score[first] - self.played[1].score[second])

    def overall(self) -> Comparison:
        """The mean paired difference, clustered by scenario."""
        return self._paired(self.played[0].score, self.played[1].score)

    def _paired(self, one: Floats, two: Floats) -> Comparison:
        first, second = one[self.pairs.first], two[self.pairs.second]
        both = ~(np.isnan(first) | np.isnan(second))
        return paired(first[both], second[both], self._scenarios(0)[self.pairs.first[both]])

    def dimensions(self, names: Sequence[str]) -> list[dict[str, Any]]:
        """Per dimension the mean of each side with its n and interval, and the paired difference."""
        found = []
        for name in names:
            values = (self.scores(0, name), self.scores(1, name))
            estimates = []
            for side, own in enumerate(values):
                given = ~np.isnan(own)
                estimates.append(asdict(clustered_mean(own[given], self._scenarios(side)[given])))
            found.append({"name": name, "sides": estimates, "paired": asdict(self._paired(*values))})
        return found

    def facts(self, side: int) -> dict[str, Any]:
        """What became of each role that a side played, and how much it said where it has a score."""
        snapshot, rows = self.sides[side].snapshot, self.rows[side]
        given = ~np.isnan(self.played[side].score)
        lost = np.asarray(snapshot.column("failed")[rows], dtype=bool)
        unrated = scoring.failed(snapshot, self.rater)[rows] & ~given & ~lost
        scored = rows[given]
        actions, words, turns, invalid = (_sum(snapshot.column(name), scored) for name in _COUNTED)
        n, pairs = int(given.sum()), int(self.pairs.scored.sum())
        failed, refused = int((lost & ~given).sum()), int(unrated.sum())
        return {
            "name": self.sides[side].name, "roles": len(rows), "n": n, "pairs": pairs, "alone": n - pairs,
            "episode_failed": failed, "rating_failed": refused, "unrated": len(rows) - n - failed - refused,
            "actions": actions, "words_per_turn": words / actions if actions else None,
            "turns": turns / n if n else None, "invalid": invalid,
            "invalid_share": invalid / actions if actions else None,
        }  # fmt: skip

    def tasks(self, most: int) -> tuple[int, Floats, list[dict[str, Any]], list[dict[str, Any]]]:
        """How many tasks have a pair, the mean difference of each, and those where each side is furthest ahead."""
        pairs = self.pairs
        first = pairs.first[pairs.scored]
        codes = self.played[0].task[first]
        n = np.bincount(codes)
        held = np.flatnonzero(n)
        values = (self.played[0].score[first], self.played[1].score[pairs.second[pairs.scored]])
        means = [np.bincount(codes, weights=own)[held] / n[held] for own in values]
        delta = means[0] - means[1]
        order = np.lexsort((held, -delta))
        names = self.sides[0].snapshot.labels("task").names

        def rows(places: Places) -> list[dict[str, Any]]:
            return [
                {"id": names[held[at]], "a": float(means[0][at]), "b": float(means[1][at]), "delta": float(delta[at]),
                 "n": int(n[held[at]])}
                for at in places.tolist()
            ]  # fmt: skip

        ahead, behind = order[delta[order] > 0][:most], order[delta[order] < 0][::-1][:most]
        return len(held), delta, rows(ahead), rows(behind)

    def of_task(self, task_id: str) -> list[dict[str, Any]]:
        """What either side played of a task: role, repeat, which of several of the same, and the two rows or None."""
        code = {name: place for place, name in enumerate(self.sides[0].snapshot.labels("task").names)}.get(task_id)
        slots: list[dict[str, Any]] = []
        partner_of = dict(zip(self.pairs.first.tolist(), self.pairs.second.tolist(), strict=True))
        own = [np.flatnonzero(played.task == (-1 if code is None else code)).tolist() for played in self.played]
        taken = {partner_of[place] for place in own[0] if place in partner_of}
        for first, second in [(place, partner_of.get(place)) for place in own[0]] + [
            (None, place) for place in own[1] if place not in taken
        ]:
            side, place = (0, first) if first is not None else (1, second)
            assert place is not None
            played = self.played[side]
            places = (first, second)
            scores = [
                None if at is None or np.isnan(self.played[n].score[at]) else float(self.played[n].score[at])
                for n, at in enumerate(places)
            ]
            slots.append(
                {"role": int(played.role[place]), "repeat": int(played.repeat[place]), "scores": scores,
                 "rows": [None if at is None else int(self.rows[n][at]) for n, at in enumerate(places)],
                 "delta": scores[0] - scores[1] if scores[0] is not None and scores[1] is not None else None}
            )  # fmt: skip
        slots.sort(key=lambda slot: (slot["role"], slot["repeat"]))
        seen: dict[tuple[int, int], int] = {}
        for slot in slots:
            at = (slot["role"], slot["repeat"])
            slot["nth"] = seen.get(at, 0)
            seen[at] = slot["nth"] + 1
        return slots


def sentence(contrast: Contrast, overall: Comparison, dimension: str) -> str:
    """What was found, with its n, in the words of the report's headline."""
    names = {"a": contrast.sides[0].name, "b": contrast.sides[1].name}
    told = wording.difference({**names, **asdict(overall)}, scoring.dimension_name(dimension))
    if not overall.n:
        return f"{told}."
    pairs, scenarios = _count(overall.n, "pair"), _count(overall.n_clusters, "scenario")
    return f"{told}, over {pairs} from {scenarios}."


def _count(n: int, what: str) -> str:
    return f"{n:,} {what}{'' if n == 1 else 's'}"


def _sum(column: npt.NDArray[Any], rows: Places) -> int:
    return int(np.asarray(column[rows], dtype=np.int64).sum())


def _played(sides: tuple[Side, Side], rows: tuple[Places, Places], rater: str, dimension: str) -> tuple[Played, Played]:
    tasks = _shared([side.snapshot.labels("task") for side in sides], rows)
    partners = _shared([_kind_of_partner(sides, n) for n in (0, 1)], rows)
    found = [
        Played(
            task=tasks[n],
            role=np.asarray(side.snapshot.column("role")[rows[n]], dtype=np.int64),
            repeat=np.asarray(side.snapshot.column("repeat")[rows[n]], dtype=np.int64),
            partner=partners[n],
            score=scoring.score(side.snapshot, rater, dimension)[rows[n]],
        )
        for n, side in enumerate(sides)
    ]
    return found[0], found[1]


def _kind_of_partner(sides: tuple[Side, Side], n: int) -> Labels:
    """The partners, where a side that plays with itself, and one that plays with the other, count as the same thing."""
    labels = sides[n].snapshot.labels("partner")
    own, other = sides[n].policy, sides[1 - n].policy
    names = tuple("" if name == own else "\n" if name == other else name for name in labels.names)
    return Labels(names, labels.codes)


def _shared(labels: Sequence[Labels], rows: tuple[Places, Places]) -> list[npt.NDArray[np.integer]]:
    """Both columns in codes of the first that hold in both; names that only the second has get codes of their own."""
    if labels[0].names is labels[1].names:
        return [one.codes[own].astype(np.int64) for one, own in zip(labels, rows, strict=True)]
    places: dict[str, int] = {}
    for one in labels:
        for name in one.names:
            places.setdefault(name, len(places))
    found: list[npt.NDArray[np.integer]] = []
    for one, own in zip(labels, rows, strict=True):
        table = np.array([places[name] for name in one.names], dtype=np.int64)
        found.append(table[one.codes[own]] if len(table) else np.zeros(0, dtype=np.int64))
    return found
