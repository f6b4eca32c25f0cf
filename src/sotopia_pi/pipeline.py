"""SOTOPIA-π as a list of stages, each resumable: tasks, then per round collect, select, train; evaluate; report.

Behaviour cloning (BC) collects with the expert in both roles, self-reinforcement (SR) with the parent policy in both
roles; BC+SR is an SR round whose parent is a BC policy. Every function works on a run directory, does what is not
done yet, and returns the facts it stored.
"""

from __future__ import annotations

import json
import random
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import asdict, replace
from datetime import UTC, datetime
from importlib.metadata import version
from pathlib import Path
from typing import Any

from sotopia_pi import evaluation, judging
from sotopia_pi.config import BASE, EXPERT, JudgeConfig, RoundConfig
from sotopia_pi.episodes.play import Plan
from sotopia_pi.episodes.players import SCRIPTED, check_player
from sotopia_pi.errors import ConfigError, TrainingError
from sotopia_pi.evaluation import matchups
from sotopia_pi.evaluation.audit import Audited
from sotopia_pi.evaluation.records import Result
from sotopia_pi.evaluation.samples import choose, sample
from sotopia_pi.models.remote.spec import is_remote
from sotopia_pi.ratings.opening import check_judge
from sotopia_pi.ratings.records import Rating
from sotopia_pi.ratings.verifier import VERIFIER, verify
from sotopia_pi.records import derive_seed
from sotopia_pi.rundir import POLICIES, Run
from sotopia_pi.training.examples import Tokens, example, token_counts, tokenize
from sotopia_pi.training.selection import Candidate, saturation
from sotopia_pi.training.selection import select as apply_rule
from sotopia_pi.world import Scenario, SocialTask, cast, load_characters, load_tasks, load_ties, starter_world
from sotopia_pi.world.overlap import near_duplicates
from sotopia_pi.world.verified import generate

Facts = dict[str, Any]


def run_all(run: Run) -> Facts:
    """The whole method. Returns the content of report.json."""
    if run.config.rounds:
        _weights(run)
    prepare_tasks(run)
    for item in run.config.rounds:
        collect(run, item)
        select(run, item)
        train(run, item)
    evaluate(run)
    return report(run)


def _stage(run: Run, name: str, work: Callable[[], Facts]) -> Facts:
    """Does a stage once; its facts and seconds are stored when it is finished."""
    done = run.store.stage(name)
    if done is not None:
        return done
    started = time.monotonic()
    facts = work()
    facts["seconds"] = round(time.monotonic() - started, 1)
    run.store.finish_stage(name, facts)
    return facts


def episode_stages(run: Run) -> list[str]:
    """The names of all stages that play episodes."""
    return [*dict.fromkeys(stage_of(item) for item in run.config.rounds), *(matchups.stage(p) for p in policies(run))]


def stage_of(item: RoundConfig) -> str:
    """The stage whose episodes a round selects from: its own, or that of imported ones."""
    return item.episodes or f"collect/{item.name}"


def forget_failures(run: Run) -> None:
    """Drops failed episodes and ratings, which are then made again; not those of a round that is already trained."""
    trained = {f"collect/{item.name}" for item in run.config.rounds if run.store.stage(f"train/{item.name}")}
    for stage in episode_stages(run):
        if stage in trained or stage.startswith("import/"):
            continue
        judges = [judging.rater_of(run, run.config.judge)] if run.config.judge else []
        if run.store.drop_failed(stage) + sum(run.store.drop_failed_ratings(stage, rater) for rater in judges):
            run.store.reopen_stage(stage)
            run.store.reopen_stage(stage.replace("collect/", "select/", 1))


def prepare_tasks(run: Run) -> Facts:
    """Draws the social tasks: training, held-out and transfer."""

    def work() -> Facts:
        _check_names(run)
        world = run.config.world
        groups = {"train": _tasks(run, "train", world.train, "train")}
        groups["test"] = _tasks(run, "test", world.test, world.split)
        groups["transfer"] = _tasks(run, "transfer", world.transfer, world.split)
        _check_apart(groups)
        _check_overlap(run, groups)
        for name, tasks in groups.items():
            run.store.add_tasks(name, tasks)
        return {name: len(tasks) for name, tasks in groups.items()}

    facts = _stage(run, "tasks", work)
    run.say(f"tasks      {facts['train']} to train on, {facts['test']} held out, {facts['transfer']} for transfer")
    return facts


def _check_names(run: Run) -> None:
    """Whether the models and selection rules that the config names exist, before any work is done."""
    models = run.config.models
    for spec in dict.fromkeys((models.policy, models.expert, models.partner)):
        check_player(spec)
    if run.config.judge:
        check_judge(run.config.judge.model)
    for item in run.config.rounds:
        _apply([], item)


def _weights(run: Run) -> str:
    """The model whose weights the rounds train. ConfigError when they are not here."""
    models = run.config.models
    if models.weights is None and is_remote(models.policy):
        raise ConfigError(
            f"The policy {models.policy!r} cannot be trained here: rounds train weights that are on this machine. Name "
            "them in models.weights (and serve each round's adapter), remove the rounds, or only collect, select and "
            "`sotopia-pi export --format chat` what another program is to train on."
        )
    return models.weights or models.policy


def _need(run: Run, stage: str) -> None:
    if run.store.stage(stage) is None:
        verb = stage.partition("/")[0]
        raise ConfigError(f"The stage {stage} is not finished; run `sotopia-pi {verb} {run.folder}` first.")


def _tasks(run: Run, group: str, kinds: Any, split: str) -> list[SocialTask]:
    world = run.config.world
    own = {"train": world.train_tasks, "test": world.test_tasks}.get(group)
    if own:
        return _can_be_rated(run, load_tasks(Path(own)), own)
    starter = starter_world()
    characters = load_characters(Path(world.characters)) if world.characters else starter.characters
    ties = load_ties(Path(world.ties), characters) if world.ties else () if world.characters else starter.ties
    tasks: list[SocialTask] = []
    for kind, count in kinds.items():
        for scenario in generate(kind, split, count, derive_seed(run.config.seed, group, kind)):
            tasks += cast(scenario, characters, ties, run.config.seed, world.castings)
    for scenario in _open_scenarios(run, group):
        tasks += cast(scenario, characters, ties, run.config.seed, world.castings)
    return _can_be_rated(run, tasks, f"world.open_{group}")


def _open_scenarios(run: Run, group: str) -> list[Scenario]:
    """As many of the starter world's open scenarios as the config asks for, drawn with the run's seed."""
    count = {"train": run.config.world.open_train, "test": run.config.world.open_test}.get(group, 0)
    known = starter_world().scenarios.get(group, ())
    if count > len(known):
        raise ConfigError(f"world.open_{group} is {count}, and the starter world has {len(known)} such scenarios.")
    return random.Random(derive_seed(run.config.seed, "open", group)).sample(known, count)


def _can_be_rated(run: Run, tasks: Iterable[SocialTask], where: str) -> list[SocialTask]:
    """The tasks; ConfigError for open ones that nobody could rate or play."""
    models = run.config.models
    for task in tasks:
        if task.scenario.verified:
            continue
        situation = repr(task.scenario.situation[:60])
        if run.config.judge is None:
            raise ConfigError(
                f"{where}: the scenario {situation} has no check, and only a judge can rate it; add a [judge] section "
                "with a model, or give tasks with checks."
            )
        for part in ("policy", "expert", "partner"):
            if getattr(models, part).startswith(SCRIPTED):
                raise ConfigError(
                    f"{where}: the scenario {situation} has no check, and scripted players play only verified "
                    f"scenarios; name a model in models.{part}."
                )
    return list(tasks)


def _check_apart(groups: dict[str, list[SocialTask]]) -> None:
    trained = {(task.scenario.situation, task.scenario.goals) for task in groups["train"]}
    for task in (*groups["test"], *groups["transfer"]):
        if (task.scenario.situation, task.scenario.goals) in trained:
            raise ConfigError(f"A held-out scenario is also trained on: {task.scenario.situation[:80]!r}; remove it.")


def _check_overlap(run: Run, groups: dict[str, list[SocialTask]]) -> None:
    found = near_duplicates(groups["train"], (*groups["test"], *groups["transfer"]))
    if found and run.config.world.overlap == "refuse":
        raise ConfigError(
            f"Near-duplicates ({len(found)}) of held-out scenarios are trained on; remove them, or set "
            f'world.overlap = "report". The first: {found[0].describe()}.'
        )
    for match in found:
        run.say(f"overlap    {match.describe()}")


def collect(run: Run, item: RoundConfig) -> Facts:
    """Plays the training episodes of a round: the expert (BC) or the parent policy (SR) in every role."""
    player = EXPERT if item.method == "bc" else item.parent
    sampling = run.config.sampling_of(item)
    _need(run, "tasks")

    def work() -> Facts:
        if item.episodes:
            return _imported(run, item.episodes)
        plans = [
            Plan(
                stage=f"collect/{item.name}",
                task_id=task.id,
                players=(player,) * len(task.roles),
                repeat=repeat,
                max_turns=run.config.max_turns,
                conditions=run.conditions(sampling),
            )
            for task in _spread(run.store.tasks("train"), item.tasks)
            for repeat in range(item.repeats)
        ]
        played = run.play(f"collect {item.name}", plans, sampling)
        return {**played, **judging.judge_stage(run, f"collect/{item.name}")}

    facts = _stage(run, f"collect/{item.name}", work)
    _say_judged(run, f"collect/{item.name}", facts)
    played = f"imported episodes ({item.episodes})" if item.episodes else f"episodes of {player} with itself"
    run.say(f"collect    {item.name}: {facts['completed']} {played}, {facts['failed']} failed")
    return facts


def _imported(run: Run, stage: str) -> Facts:
    """How many imported episodes there are. ConfigError when there are none."""
    completed, failed = run.store.counts(stage)
    if not completed:
        raise ConfigError(
            f"There are no episodes {stage!r} in {run.folder}; import some with `sotopia-pi import episodes FILE.jsonl "
            f"--name {stage.removeprefix('import/')} --out {run.folder}`."
        )
    return {"planned": completed + failed, "completed": completed, "failed": failed}


def _only_rater(run: Run, stage: str) -> str:
    """Who rated the imported episodes. ConfigError when that is nobody or several."""
    raters = sorted({rating.rater for rating in run.store.ratings(stage)})
    if len(raters) != 1:
        found = f"rated by {', '.join(raters)}; name one of them as the round's rater" if raters else "not rated"
        raise ConfigError(f"The episodes {stage!r} are {found}.")
    return raters[0]


def _spread(tasks: list[SocialTask], count: int) -> list[SocialTask]:
    """`count` of the tasks, evenly spread so that every kind keeps its share; all of them for 0."""
    if count == 0 or count >= len(tasks):
        return tasks
    return [tasks[i * len(tasks) // count] for i in range(count)]


def rate(run: Run, stage: str, judge: JudgeConfig | None = None, retry_failed: bool = False) -> Facts:
    """Rates the completed episodes of a stage without playing anything; ratings of other raters stay.

    With `judge`, that judge rates all of them that it has not rated yet. Else the verifier rates the verified ones
    again, and the run's own judge, if it has one, those that it has not rated yet.
    """
    if judge is not None:
        facts: Facts = dict(judging.judge_with(run, stage, judge, retry_failed=retry_failed))
        _say_judged(run, stage, facts)
        return facts
    rated = undecided = 0
    for episode in run.store.episodes(stage):
        task = run.store.task(episode.task_id)
        if episode.completed and task.scenario.verified:
            ratings = verify(task, episode)
            run.store.add_ratings(ratings)
            rated += len(ratings)
            undecided += sum(rating.failure is not None for rating in ratings)
    run.say(f"rate       {stage}: {rated} roles rated, {undecided} of them undecided")
    if retry_failed and run.config.judge:
        run.store.drop_failed_ratings(stage, judging.rater_of(run, run.config.judge))
    facts = {"rated": rated, "undecided": undecided, **judging.judge_stage(run, stage)}
    _say_judged(run, stage, facts)
    return facts


def _say_judged(run: Run, stage: str, facts: Facts) -> None:
    if facts.get("judged"):
        run.say(f"judge      {stage}: {facts['judged']} ratings of roles, {facts['judge_failed']} of them failed")


def _selecting(run: Run, item: RoundConfig) -> Callable[[SocialTask], str]:
    """Whose scores select among the episodes of a task in a round."""
    if item.rater == "auto" and not item.episodes:
        return lambda task: judging.primary(run, task)
    if item.rater == "auto":
        only = _only_rater(run, stage_of(item))
        return lambda task: only
    own = item.rater == "judge" and run.config.judge
    name = judging.rater_of(run, own) if own else item.rater
    return lambda task: name


def _selectable(run: Run, item: RoundConfig) -> tuple[list[Rating], dict[str, str]]:
    """The ratings that a round selects by, and the task of each episode."""
    stage, rater_for = stage_of(item), _selecting(run, item)
    found: list[Rating] = []
    episodes: dict[str, str] = {}
    raters: dict[str, str] = {}
    for episode, ratings in judging.rated_episodes(run, stage):
        if episode.completed:
            episodes[episode.key] = task = episode.task_id
            if task not in raters:
                raters[task] = rater_for(run.store.task(task))
            found += ratings.get(raters[task], {}).values()
    if episodes and not found:
        known, wanted = ", ".join(run.store.raters(stage)) or "none", ", ".join(dict.fromkeys(raters.values()))
        raise ConfigError(f"No role of {stage} is rated by {wanted}; its raters are: {known}.")
    return found, episodes


def select(run: Run, item: RoundConfig) -> Facts:
    """Chooses the (episode, role) pairs that are imitated. TrainingError when the rule chooses none."""
    _need(run, f"collect/{item.name}")

    def work() -> Facts:
        ratings, tasks = _selectable(run, item)
        candidates = [
            Candidate(r.episode, r.role, tasks[r.episode], r.scores["goal"], r.overall)
            for r in ratings
            if r.failure is None and "goal" in r.scores
        ]
        chosen = _apply(candidates, item)
        if not chosen:
            raise TrainingError(
                f"Round {item.name!r} selected none of {len(candidates)} candidates ({len(ratings) - len(candidates)} "
                f"unrated) with {item.select}; start another run (--out) with a looser select or more repeats in it."
            )
        run.store.set_selection(item.name, [(c.episode, c.role) for c in chosen])
        return {
            "raters": sorted({rating.rater for rating in ratings}),
            "candidates": len(candidates),
            "unrated": len(ratings) - len(candidates),
            "selected": len(chosen),
            "mean_of_candidates": sum(c.score for c in candidates) / len(candidates),
            "mean_of_selected": sum(c.score for c in chosen) / len(chosen),
            "saturation": asdict(saturation(candidates)),
        }

    facts = _stage(run, f"select/{item.name}", work)
    run.say(
        f"select     {item.name}: {facts['selected']} of {facts['candidates']} roles, mean GOAL "
        f"{facts['mean_of_candidates']:.2f} → {facts['mean_of_selected']:.2f}, "
        f"{facts['saturation']['share_at_top']:.0%} share the top score"
    )
    return facts


def _apply(candidates: list[Candidate], item: RoundConfig) -> list[Candidate]:
    parameters = {"rule": "top_k", **item.select}
    return apply_rule(candidates, str(parameters.pop("rule")), **parameters)


def train(run: Run, item: RoundConfig) -> Facts:
    """Fine-tunes the parent policy on what was selected; the policy folder appears when it is complete."""
    from sotopia_pi.models.weights import load_tokenizer, use_threads
    from sotopia_pi.training.sft import fine_tune

    settings, base = run.config.training_of(item), _weights(run)
    for name in (*item.replay, item.name):
        _need(run, f"select/{name}")

    def work() -> Facts:
        use_threads(run.config.runtime.threads)
        tokenizer = load_tokenizer(base)
        chosen = [pair for name in (*item.replay, item.name) for pair in run.store.selection(name)]
        made = [(pair, _tokens(run, tokenizer, *pair, settings.cutoff)) for pair in chosen]
        items = [(pair, tokens) for pair, tokens in made if tokens is not None]
        facts: Facts = {**token_counts([tokens for _, tokens in items]), "dropped": len(made) - len(items)}
        run.say(f"train      {item.name}: {facts['sequences']} sequences, {facts['tokens']} tokens")
        lineage = {
            "name": item.name,
            "base": base,
            "parent": item.parent,
            "method": item.method,
            "examples": [{"episode": episode, "role": role} for (episode, role), _ in items],
            "settings": settings.model_dump(mode="json"),
            "versions": versions(),
            **facts,
        }

        def finish(folder: Path, curve: list[dict[str, float]]) -> None:
            text = json.dumps({**lineage, "curve": curve}, indent=1)
            (folder / "policy.json").write_text(text + "\n", encoding="utf-8")

        curve = fine_tune(
            base,
            run.policy_folder(item.parent),
            [tokens for _, tokens in items],
            run.folder / POLICIES / item.name,
            settings,
            derive_seed(run.config.seed, item.name),
            run.quiet,
            finish,
        )
        return {**facts, "curve": curve, "settings": settings.model_dump(mode="json")}

    facts = _stage(run, f"train/{item.name}", work)
    run.say(f"trained    {item.name}: loss {facts['curve'][0]['loss']:.2f} → {facts['curve'][-1]['loss']:.2f}")
    return facts


def _tokens(run: Run, tokenizer: Any, key: str, role: int, cutoff: int) -> Tokens | None:
    episode = run.store.episode(key)
    made = example(run.store.task(episode.task_id), episode, role, run.config.max_turns, run.prompts)
    return tokenize(tokenizer, made, cutoff)


def policies(run: Run) -> list[str]:
    """The policies of the run in the order of the report: base, one per round, expert."""
    return [BASE, *(item.name for item in run.config.rounds), EXPERT]


def evaluate(run: Run) -> dict[str, Facts]:
    """Plays every policy against the partner in every role of the held-out and transfer tasks."""
    sampling = run.config.evaluation_sampling()
    _need(run, "tasks")
    tasks = [*run.store.tasks("test"), *run.store.tasks("transfer")]
    facts = {}
    for policy in policies(run):

        def work(policy: str = policy) -> Facts:
            plans = matchups.plans(
                policy, tasks, run.config.evaluation.repeats, run.config.max_turns, run.conditions(sampling)
            )
            played = run.play(f"evaluate {policy}", plans, sampling)
            return {**played, **judging.judge_stage(run, matchups.stage(policy))}

        facts[policy] = _stage(run, matchups.stage(policy), work)
        run.say(f"evaluate   {policy}: {facts[policy]['completed']} episodes, {facts[policy]['failed']} failed")
        _say_judged(run, matchups.stage(policy), facts[policy])
    return facts


def report(run: Run) -> Facts:
    """Writes report.json and report.html from what is stored, and prints the table."""
    results: list[Result] = []
    samples: dict[str, list[Any]] = {}
    audited: list[Audited] = []
    groups = _groups(run)
    judges = sorted({judge for policy in policies(run) for judge in judging.judges_of(run, matchups.stage(policy))})
    for policy in policies(run):
        rows, pairs = _evaluated(run, policy, groups, judges)
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
            rounds=[_round_facts(item, stages) for item in run.config.rounds],
            curves={item.name: stages.get(f"train/{item.name}", {}).get("curve", []) for item in run.config.rounds},
            samples={policy: chosen for policy, chosen in samples.items() if chosen},
            audited=audited,
        ),
        run.folder,
    )
    run.say("\n" + evaluation.render_table(content["evaluations"], content["comparisons"], content["audit"]))
    if run.ledger.facts():
        run.say(f"\nspent      {run.ledger}")
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
    run: Run, policy: str, groups: Mapping[str, tuple[str, str]], judges: Sequence[str]
) -> tuple[list[Result], list[Audited]]:
    """A policy's rows by the rater that counts, then once more by every other judge; what is audited."""
    tasks = run.store.tasks_with(groups)
    main: list[Result] = []
    others: list[Result] = []
    audited: list[Audited] = []
    for episode, ratings in judging.rated_episodes(run, matchups.stage(policy)):
        task = tasks[episode.task_id]
        label, counts = groups[task.id]
        row = matchups.result(policy, label, task, episode, ratings.get(counts, {}), counts)
        main.append(row)
        for number, judge in enumerate(judges, 1):
            found = ratings.get(judge)
            if found and judge != counts:
                again = f"judged {label}" if len(judges) == 1 else f"judged {label} ({number})"
                other = matchups.result(policy, again, task, episode, found, judge)
                others.append(replace(other, main=False))
                if counts == VERIFIER and row.goal is not None and other.goal is not None:
                    audited.append(Audited(policy, judge, row.scenario_id, row.goal, other.goal))
    return main + others, audited


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
        "seconds": seconds,
        "seconds_total": round(sum(seconds.values()), 1),
    }


def _raters(run: Run) -> list[str]:
    """Who rates the tasks of a run."""
    tasks = [task for name in ("train", "test", "transfer") for task in run.store.tasks(name)]
    return list(dict.fromkeys(judging.primary(run, task) for task in tasks)) or [VERIFIER]


def _round_facts(item: RoundConfig, stages: dict[str, Facts]) -> Facts:
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
    }


def versions() -> dict[str, str]:
    """The versions that shaped the result."""
    import platform
    from importlib.metadata import PackageNotFoundError

    found = {"python": platform.python_version()}
    for package in ("sotopia-pi", "torch", "transformers", "peft"):
        try:
            found[package] = version(package)
        except PackageNotFoundError:
            found[package] = "not installed"
    return found
