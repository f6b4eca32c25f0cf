"""SOTOPIA-π as a list of stages, each resumable: tasks, then per round collect, select, train; evaluate; report.

Behaviour cloning (BC) collects with the expert in both roles, self-reinforcement (SR) with the parent policy in both
roles; BC+SR is an SR round whose parent is a BC policy. Every function works on a run directory, does what is not
done yet, and returns the facts it stored.
"""

from __future__ import annotations

from sotopia_pi.pipeline.preparing import prepare
from sotopia_pi.pipeline.reporting import evaluate, report
from sotopia_pi.pipeline.rounds import collect, rate, select
from sotopia_pi.pipeline.stages import Facts, forget_failures, own_stages, stage_of
from sotopia_pi.pipeline.tasks import prepare_tasks
from sotopia_pi.pipeline.updates import check_training, train
from sotopia_pi.rundir import Run

__all__ = [
    "collect",
    "evaluate",
    "forget_failures",
    "own_stages",
    "prepare",
    "prepare_tasks",
    "rate",
    "report",
    "run_all",
    "select",
    "stage_of",
    "train",
]


def run_all(run: Run) -> Facts:
    """The whole method. Returns the content of report.json."""
    if run.config.rounds:
        check_training(run)
    prepare_tasks(run)
    for item in run.config.rounds:
        collect(run, item)
        select(run, item)
        train(run, item)
    evaluate(run)
    return report(run)
