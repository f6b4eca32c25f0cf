"""Choosing among the epochs of a training by play: the one that reaches the highest mean GOAL on the dev tasks."""

from __future__ import annotations

from pathlib import Path
from statistics import mean
from typing import TYPE_CHECKING

from sotopia_pi import judging
from sotopia_pi.config import RoundConfig
from sotopia_pi.evaluation import matchups
from sotopia_pi.pipeline.stages import once
from sotopia_pi.rundir import Run

if TYPE_CHECKING:
    from sotopia_pi.training.sft import Outcome

DEV = "dev"


def best_player(run: Run, item: RoundConfig, folder: Path, outcome: Outcome) -> int:
    """The epoch of a round that plays the dev tasks best against the partner; the earlier of equal ones."""
    goals = {epoch: _goal(run, item, epoch, folder / f"epoch-{epoch}") for epoch in outcome.snapshots}
    best = max(goals, key=lambda epoch: (goals[epoch], -epoch))
    said = ", ".join(f"epoch {epoch} {goal:.2f}" for epoch, goal in goals.items())
    run.say(f"choose     {item.name}: epoch {best} (mean GOAL on {len(run.store.tasks(DEV))} dev tasks: {said})")
    return best


def _goal(run: Run, item: RoundConfig, epoch: int, folder: Path) -> float:
    """The mean GOAL of the weights in `folder`; 0 where nothing could be rated."""
    name, sampling = f"{item.name}@{epoch}", run.config.evaluation_sampling()
    stage, tasks = f"choose/{name}", run.store.tasks(DEV)
    planned = matchups.plans(name, tasks, 1, run.config.max_turns, run.conditions(sampling))
    plans = [plan.model_copy(update={"stage": stage}) for plan in planned]

    def work() -> dict[str, float]:
        run.play(f"choose {name}", plans, sampling, policies={name: folder})
        judging.judge_stage(run, stage)
        raters = {task.id: judging.primary(run, task) for task in tasks}
        rows = [
            matchups.result(name, DEV, task, episode, ratings.get(raters[task.id], {}), raters[task.id])
            for episode, ratings in judging.rated_episodes(run, stage)
            for task in tasks
            if task.id == episode.task_id
        ]
        found = [row.goal for row in rows if row.goal is not None]
        return {"goal": mean(found) if found else 0.0, "n": len(found)}

    return float(once(run, stage, work)["goal"])
