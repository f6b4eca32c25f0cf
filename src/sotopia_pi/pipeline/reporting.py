"""The evaluation of every policy, and the report over all that is stored."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import replace
from datetime import UTC, datetime
from typing import Any

from sotopia_pi import evaluation, judging
from sotopia_pi.config import PARTNER, RoundConfig
from sotopia_pi.episodes.records import Episode
from sotopia_pi.errors import StoreError
from sotopia_pi.evaluation import matchups
from sotopia_pi.evaluation.audit import Audited
from sotopia_pi.evaluation.causes import render_invalid
from sotopia_pi.evaluation.grounding import render_grounding
from sotopia_pi.evaluation.records import Result
from sotopia_pi.evaluation.safety_table import render_safety
from sotopia_pi.evaluation.samples import choose, sample
from sotopia_pi.pipeline.safety import evaluate_safety
from sotopia_pi.pipeline.safety import stage as safety_stage
from sotopia_pi.pipeline.stages import Facts, invalid_in, need, once, policies, say_invalid, say_judged
from sotopia_pi.pipeline.updates import versions
from sotopia_pi.pipeline.watching import Watch, watch_stage
from sotopia_pi.ratings.verifier import VERIFIER
from sotopia_pi.rundir import Run


def evaluate(run: Run) -> dict[str, Facts]:
    """Plays every policy against the partner in every role of the held-out and transfer tasks."""
    sampling = run.config.evaluation_sampling()
    need(run, "tasks")
    tasks = [*run.store.tasks("test"), *run.store.tasks("transfer")]
    facts = {}
    for policy in policies(run):

        def work(policy: str = policy) -> Facts:
            plans = matchups.plans(
                policy, tasks, run.config.evaluation.repeats, run.config.max_turns, run.conditions(sampling)
            )
            played = run.play(f"evaluate {policy}", plans, sampling)
            return {**played, **judging.judge_stage(run, matchups.stage(policy))}

        facts[policy] = once(run, matchups.stage(policy), work)
        run.say(f"evaluate   {policy}: {facts[policy]['completed']} episodes, {facts[policy]['failed']} failed")
        say_judged(run, matchups.stage(policy), facts[policy])
        say_invalid(run, matchups.stage(policy))
    evaluate_safety(run)
    return facts


def report(run: Run) -> Facts:
    """Writes report.json and report.html from what is stored, and prints the table."""
    results: list[Result] = []
    samples: dict[str, list[Any]] = {}
    audited: list[Audited] = []
    groups = _groups(run)
    judges = sorted({judge for policy in policies(run) for judge in judging.judges_of(run, matchups.stage(policy))})
    watch = Watch(run)
    for policy in policies(run):
        rows, pairs = _evaluated(run, policy, groups, judges, watch)
        watch_stage(run, watch, safety_stage(policy))
        results += rows
        audited += pairs
        samples[policy] = [
            sample(row, run.store.task(row.task_id), *judging.rated_episode(run, row.episode, row.rater))
            for row in choose([row for row in rows if row.main], run.config.evaluation.samples)
        ]
    stages = run.store.stages()
    content = evaluation.write(
        evaluation.ReportData(
            title=f"sotopia-pi: {run.config.name}",
            created=datetime.now(UTC).isoformat(timespec="seconds"),
            run=_run_facts(run, stages),
            results=results,
            rounds=[round_facts(item, stages) for item in run.config.rounds],
            curves={item.name: stages.get(f"train/{item.name}", {}).get("curve", []) for item in run.config.rounds},
            samples={policy: chosen for policy, chosen in samples.items() if chosen},
            audited=audited,
            safety=watch.summary(policies(run)),
            invalid=invalid_in(run, map(matchups.stage, policies(run))),
        ),
        run.folder,
    )
    run.say("\n" + evaluation.render_table(content["evaluations"], content["comparisons"], content["audit"]))
    if content["grounding"]:
        run.say("\n" + render_grounding(content["grounding"]))
    if content["invalid"]:
        run.say("\n" + render_invalid(content["invalid"]))
    run.say("\n" + render_safety(content["safety"]))
    if run.ledger.facts():
        run.say(f"\nspent      {run.ledger}")
    for model, missing in run.ledger.not_sent().items():
        run.say(f"not sent   {model}: {', '.join(missing)}")
    run.say(f"\nreport     {run.folder / 'report.html'}")
    return content


def _groups(run: Run) -> dict[str, tuple[str, str]]:
    """Of every evaluated task the set it is reported in and whose scores count.

    Open tasks among verified ones make a set of their own, because another rater scores them.
    """
    found = {}
    for name in ("test", "transfer"):
        tasks = run.store.tasks(name)
        mixed = len({task.scenario.verified for task in tasks}) > 1
        for task in tasks:
            label = f"open {name}" if mixed and not task.scenario.verified else name
            found[task.id] = label, judging.primary(run, task)
    return found


def _evaluated(
    run: Run,
    policy: str,
    groups: Mapping[str, tuple[str, str]],
    judges: Sequence[str],
    watch: Watch,
) -> tuple[list[Result], list[Audited]]:
    """A policy's rows by the rater that counts, then once more by every other judge; what is audited."""
    tasks = run.store.tasks_with(groups)
    main: list[Result] = []
    others: list[Result] = []
    audited: list[Audited] = []
    seen: set[tuple[str, tuple[str, ...], int]] = set()
    for episode, ratings in judging.rated_episodes(run, matchups.stage(policy)):
        _check_evaluated(run, policy, episode, tasks, seen)
        task = tasks[episode.task_id]
        label, counts = groups[task.id]
        row = matchups.result(policy, label, task, episode, ratings.get(counts, {}), counts)
        main.append(row)
        watch.see(policy, PARTNER, label, task, episode, ratings, row.role)
        for number, judge in enumerate(judges, 1):
            found = ratings.get(judge)
            if found and judge != counts:
                again = f"judged {label}" if len(judges) == 1 else f"judged {label} ({number})"
                other = matchups.result(policy, again, task, episode, found, judge)
                others.append(replace(other, main=False))
                if counts == VERIFIER and row.goal is not None and other.goal is not None:
                    audited.append(Audited(policy, judge, row.scenario_id, row.goal, other.goal))
    return main + others, audited


def _check_evaluated(
    run: Run, policy: str, episode: Episode, tasks: Collection[str], seen: set[tuple[str, tuple[str, ...], int]]
) -> None:
    """StoreError for an episode that no evaluation of the policy can hold, as in a database that was damaged."""
    match = episode.task_id, episode.players, episode.repeat
    if episode.task_id not in tasks or policy not in episode.players or match in seen:
        raise StoreError(
            f"{run.store.where} holds a record that cannot be (episodes {episode.key}: its task, its players or its "
            "repeat are not of this evaluation): restore a copy, or start another run"
        )
    seen.add(match)


def _run_facts(run: Run, stages: dict[str, Facts]) -> Facts:
    seconds = {name: facts["seconds"] for name, facts in stages.items() if "seconds" in facts}
    return {
        "name": run.config.name,
        "seed": run.config.seed,
        "models": run.config.models.model_dump(exclude_none=True),
        "sampling": run.config.evaluation_sampling().model_dump(),
        "raters": _raters(run),
        "tasks": {name: stages.get("tasks", {}).get(name, 0) for name in ("train", "test", "transfer")},
        "versions": versions(),
        "spending": run.ledger.facts(),
        "not_sent": run.ledger.not_sent(),
        "seconds": seconds,
        "seconds_total": round(sum(seconds.values()), 1),
    }


def _raters(run: Run) -> list[str]:
    """Who rates the tasks of a run."""
    tasks = [task for name in ("train", "test", "transfer") for task in run.store.tasks(name)]
    return list(dict.fromkeys(judging.primary(run, task) for task in tasks)) or [VERIFIER]


def round_facts(item: RoundConfig, stages: dict[str, Facts]) -> Facts:
    """What a report says of a round, from the facts of the stages that are finished."""
    collected, chosen, trained = (stages.get(f"{stage}/{item.name}", {}) for stage in ("collect", "select", "train"))
    return {
        "name": item.name,
        "method": item.method,
        "parent": item.parent,
        "episodes": collected.get("completed"),
        "failed": collected.get("failed"),
        "raters": ", ".join(chosen.get("raters", ())) or None,
        "candidates": chosen.get("candidates"),
        "unrated": chosen.get("unrated"),
        "selected": chosen.get("selected"),
        "mean_of_candidates": chosen.get("mean_of_candidates"),
        "mean_of_selected": chosen.get("mean_of_selected"),
        "saturation": chosen.get("saturation"),
        "examples": trained.get("sequences"),
        "tokens": trained.get("tokens"),
        "trained_tokens": trained.get("trained_tokens"),
        "seconds": trained.get("seconds"),
        **({"update": item.update, "pairs": trained.get("pairs")} if item.update == "dpo" else {}),
    }
