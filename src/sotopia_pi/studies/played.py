"""What came of an invitation: GOAL of the opponents and of the people who played with them, per opponent.

Formula: means over roles with a 95 % interval clustered by scenario (evaluation/statistics.py). GOAL is the verifier's
where a program can tell, else the run's judge's.
"""

from __future__ import annotations

from collections import defaultdict
from dataclasses import dataclass, field
from typing import Any

from sotopia_pi import judging
from sotopia_pi.environments import GOAL
from sotopia_pi.episodes.people import is_human
from sotopia_pi.evaluation.statistics import Estimate, clustered_mean
from sotopia_pi.rundir import Run
from sotopia_pi.studies.invitations import Invitation


@dataclass(slots=True)
class _Scores:
    """GOAL of one side, with the scenario of each score."""

    goals: list[float] = field(default_factory=list)
    scenarios: list[str] = field(default_factory=list)

    def add(self, goal: float | None, scenario: str) -> None:
        if goal is not None:
            self.goals.append(goal)
            self.scenarios.append(scenario)

    def told(self) -> dict[str, Any]:
        found: Estimate = clustered_mean(self.goals, self.scenarios)
        told = {"mean": found.mean, "ci_low": found.ci_low, "ci_high": found.ci_high, "n": found.n}
        if found.mean is None:
            return told | {"why": "not computable, because nothing was rated"}
        if found.ci_low is None:
            return told | {"why": "no interval: not computable, because all conversations are of one scenario"}
        return told


def outcome(run: Run, invitation: Invitation) -> dict[str, Any]:
    """Per opponent: conversations `completed` and `failed`, people, and GOAL of both sides. StoreError, ConfigError."""
    policies: dict[str, _Scores] = defaultdict(_Scores)
    persons: dict[str, _Scores] = defaultdict(_Scores)
    counts: dict[str, dict[bool, int]] = defaultdict(lambda: {True: 0, False: 0})
    people: dict[str, set[str]] = defaultdict(set)
    tasks = run.store.tasks_with({seat.task for seat in invitation.seats})
    for episode, ratings in judging.rated_episodes(run, invitation.stage):
        roles = [role for role, name in enumerate(episode.players) if is_human(name)]
        others = [name for name in episode.players if not is_human(name)]
        if len(roles) != 1 or not others:
            continue
        opponent, task = others[0], tasks.get(episode.task_id) or run.store.task(episode.task_id)
        counts[opponent][episode.completed] += 1
        people[opponent].add(episode.players[roles[0]])
        by_role = ratings.get(judging.primary(run, task), {})
        for role in task.roles if episode.completed else ():
            rating = by_role.get(role)
            goal = None if rating is None or rating.failure is not None else rating.scores.get(GOAL)
            (persons if role == roles[0] else policies)[opponent].add(goal, task.scenario.id)
    return {
        "name": invitation.name,
        "open": invitation.open,
        "people": len(set().union(*people.values())),
        "people_wanted": invitation.people,
        "games": invitation.games,
        "opponents": {
            name: {
                "people": len(people[name]),
                "completed": counts[name][True],
                "failed": counts[name][False],
                "goal": policies[name].told(),
                "goal_of_people": persons[name].told(),
            }
            for name in dict.fromkeys((*invitation.opponents, *counts))
        },
    }
