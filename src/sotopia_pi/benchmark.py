"""One policy against one partner on a published task set, with the paper's rows beside the result.

The protocol is SOTOPIA-π's (paper.md section 3): the partner is fixed and the policy plays both roles in separate
episodes. Everything is stored in the run under a stage of its own, so a stopped benchmark continues, and another judge
can rate it later.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace

from sotopia_pi import evaluation, judging
from sotopia_pi.config import BASE, EXPERT, PARTNER, JudgeConfig
from sotopia_pi.episodes.play import Plan
from sotopia_pi.episodes.players import check_player
from sotopia_pi.errors import ConfigError
from sotopia_pi.evaluation import matchups
from sotopia_pi.evaluation.causes import render_invalid
from sotopia_pi.evaluation.published import Setup, beside_the_paper, missing_tasks
from sotopia_pi.evaluation.records import Result
from sotopia_pi.evaluation.safety_table import render_safety
from sotopia_pi.pipeline import safety
from sotopia_pi.pipeline.stages import BENCHMARK, invalid_in, say_failures, say_invalid
from sotopia_pi.pipeline.tasks import cast_all
from sotopia_pi.pipeline.watching import Watch, watch_stage
from sotopia_pi.ratings.opening import check_judge
from sotopia_pi.ratings.verifier import VERIFIER
from sotopia_pi.rundir import Run
from sotopia_pi.world import SocialTask, safety_scenarios

#: Task sets by the name on the command line, and the group of the run's tasks that each draws on.
GROUPS = {
    "hard": "sotopia/hard",
    "all": "sotopia/all",
    "all-900": "sotopia/all",
    "test": "test",
    "safety": safety.WHOLE,
}
_PROMPTS = "sotopia-pi"


@dataclass(frozen=True, slots=True)
class Benchmark:
    """What is played: `policy` (a policy of the run or a model spec) against `partner` (a spec) on a task set.

    `judge` is None where a program can decide every task.
    """

    policy: str
    partner: str
    tasks: str
    judge: JudgeConfig | None = None

    @property
    def stage(self) -> str:
        """Where its episodes are stored."""
        return f"{BENCHMARK}/{self.tasks}/{self.policy}/{self.partner}"


def run_benchmark(run: Run, given: Benchmark, retry_failed: bool = False) -> str:
    """Plays and rates what is missing; returns the table of results. ConfigError, ModelError.

    With `retry_failed`, what failed is missing.
    """
    if given.tasks == safety.GROUP and not run.store.task_ids(safety.WHOLE):
        run.store.add_tasks(safety.WHOLE, cast_all(run, safety_scenarios()))
    seats = _seats(run, given)
    _check(run, given, [task for task, _ in seats])
    sampling = run.config.evaluation_sampling()
    conditions = {**run.conditions(sampling), "partner": given.partner}
    plans = [
        Plan(
            stage=given.stage,
            task_id=task.id,
            players=tuple(given.policy if seat == role else PARTNER for seat in task.roles),
            max_turns=run.config.max_turns,
            conditions=conditions,
        )
        for task, role in seats
    ]
    if retry_failed:
        run.store.drop_failed(given.stage)
    played = run.play(f"evaluate {given.tasks}", plans, sampling, _specs(run, given))
    run.say(f"played     {given.tasks}: {played['completed']} episodes, {played['failed']} failed")
    say_invalid(run, given.stage)
    if given.tasks == safety.GROUP:
        return _safety_table(run, given, retry_failed)
    if given.judge:
        judged = judging.judge_with(run, given.stage, given.judge, also_verified=False, retry_failed=retry_failed)
        run.say(f"judged     {judged['judged']} ratings of roles, {judged['judge_failed']} of them failed")
        say_failures(run, judged)
    return _table(run, given, {task.id: task for task, _ in seats}, len(plans))


def _seats(run: Run, given: Benchmark) -> list[tuple[SocialTask, int]]:
    """The tasks with the role that the policy plays in each.

    hard and all-900: every casting in both roles (14 and 90 scenarios with 5 castings: 140 and 900 episodes). all: of
    each scenario the first casting in role 0 and the second in role 1 (180 episodes). test: the run's held-out tasks.
    """
    tasks = run.store.tasks(GROUPS[given.tasks])
    if not tasks:
        first = (
            f"sotopia-pi tasks {run.folder}"
            if given.tasks == "test"
            else f"sotopia-pi import sotopia FOLDER --out {run.folder}"
        )
        raise ConfigError(f"{run.folder} holds no tasks for --tasks {given.tasks}; run `{first}` first.")
    if given.tasks != "all":
        return [(task, role) for task in tasks for role in task.roles]
    castings: dict[str, list[SocialTask]] = {}
    for task in tasks:
        castings.setdefault(task.scenario.id, []).append(task)
    return [(found[role % len(found)], role) for found in castings.values() for role in found[0].roles]


def _check(run: Run, given: Benchmark, tasks: list[SocialTask]) -> None:
    specs = _specs(run, given)
    for spec in specs.values():
        check_player(spec)
    if given.judge:
        for judge in given.judge.models:
            check_judge(judge, given.judge.method)
    open_ = [task for task in tasks if not task.scenario.verified]
    if open_ and given.judge is None and given.tasks != safety.GROUP:
        raise ConfigError(f"{len(open_)} of these tasks have no check, and only a judge can rate them; name a --judge.")
    if open_ and (scripted := [spec for spec in specs.values() if spec.startswith("scripted:")]):
        raise ConfigError(f"{scripted[0]} cannot play open scenarios; name a model as --policy and --partner.")


def _specs(run: Run, given: Benchmark) -> Mapping[str, str]:
    """Model specs by the name under which somebody plays, where that is not a policy of the run."""
    own = {BASE, EXPERT, *(item.name for item in run.config.rounds)}
    policy = {} if given.policy in own else {given.policy: given.policy}
    return {PARTNER: given.partner, **policy}


def _safety_table(run: Run, given: Benchmark, retry_failed: bool) -> str:
    """Reads what was played on harmful goals, and the paper's measures of it."""
    facts = safety.read(run, given.stage, given.judge, retry_failed)
    if given.judge:
        run.say(f"judged     {facts['read']} readings of roles, {facts['read_failed']} of them failed")
    watch = Watch(run, safety.rater_of(run, given.judge) if given.judge else None)
    watch_stage(run, watch, given.stage)
    return render_safety(watch.summary([given.policy]))


def _table(run: Run, given: Benchmark, tasks: Mapping[str, SocialTask], planned: int) -> str:
    judge = judging.rater_of(run, given.judge) if given.judge else VERIFIER
    raters = {task.id: VERIFIER if task.scenario.verified else judge for task in tasks.values()}
    rows: list[Result] = []
    for episode, ratings in judging.rated_episodes(run, given.stage):
        if episode.task_id in tasks:
            rater = raters[episode.task_id]
            found = ratings.get(rater, {})
            row = matchups.result(given.policy, given.tasks, tasks[episode.task_id], episode, found, rater)
            rows.append(replace(row, partner=given.partner))
    content = evaluation.evaluations(rows)
    invalid = render_invalid(invalid_in(run, [given.stage]))
    judged_by = ", ".join(_model(judge) for judge in given.judge.models) if given.judge else VERIFIER
    setup = Setup(given.tasks, _model(given.partner), judged_by, _PROMPTS)
    missing = missing_tasks(given.tasks, list(run.store.tasks(GROUPS[given.tasks])), planned)
    parts = (evaluation.render_table(content, []), invalid, beside_the_paper(setup, content, missing))
    return "\n\n".join(part for part in parts if part)


def _model(spec: str) -> str:
    """A model's name without how it is reached."""
    return spec.partition("@http")[0].removeprefix("openai:").removeprefix("litellm:")
