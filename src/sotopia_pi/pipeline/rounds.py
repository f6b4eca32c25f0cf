"""A round up to its training: collect, rate, select."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import asdict

from sotopia_pi import judging
from sotopia_pi.config import EXPERT, JudgeConfig, RoundConfig, by_people
from sotopia_pi.episodes.people import is_human
from sotopia_pi.episodes.play import Plan
from sotopia_pi.errors import ConfigError, TrainingError
from sotopia_pi.pipeline.stages import Facts, need, once, say_invalid, say_judged, stage_of
from sotopia_pi.ratings.records import Rating
from sotopia_pi.ratings.safety.judge import SAFETY
from sotopia_pi.ratings.verifier import VERIFIER, verify
from sotopia_pi.rundir import Run
from sotopia_pi.training.selection import Candidate, saturation
from sotopia_pi.training.selection import select as apply_rule
from sotopia_pi.world import SocialTask

#: How the names of imported stages begin.
IMPORTED = "import/"
#: The rater of a round that imitates what nobody rated: every role of every episode is as good as the others.
NOBODY = "none"


def collect(run: Run, item: RoundConfig) -> Facts:
    """Plays the training episodes of a round: the expert (BC) or the parent policy (SR) in every role."""
    player = EXPERT if item.method == "bc" else item.parent
    sampling = run.config.sampling_of(item)
    need(run, "tasks")

    def work() -> Facts:
        if item.episodes and by_people(item.episodes):
            return {**_played_by_people(run, item.episodes), **judging.judge_stage(run, item.episodes)}
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

    facts = once(run, f"collect/{item.name}", work)
    say_judged(run, f"collect/{item.name}", facts)
    played = f"imported episodes ({item.episodes})" if item.episodes else f"episodes of {player} with itself"
    played = "episodes that people played" if by_people(item.episodes) else played
    run.say(f"collect    {item.name}: {facts['completed']} {played}, {facts['failed']} failed")
    say_invalid(run, stage_of(item))
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


def _played_by_people(run: Run, stage: str) -> Facts:
    """How many episodes people played. ConfigError when there is none that may be trained on."""
    completed, failed = run.store.counts(stage)
    trained_on = {task.id for task in run.store.tasks("train")}
    if not any(episode.completed and episode.task_id in trained_on for episode in run.store.episodes(stage)):
        raise ConfigError(
            f"Nobody has played one of {run.folder}'s training tasks to its end ({completed} episodes on other tasks, "
            f"{failed} failed ones); play some with `sotopia-pi play {run.folder} --group train`."
        )
    return {"planned": completed + failed, "completed": completed, "failed": failed}


def _only_rater(run: Run, stage: str) -> str:
    """Who rated the imported episodes. ConfigError when that is nobody or several."""
    raters = [rater for rater in run.store.raters(stage) if not rater.startswith(SAFETY)]
    if len(raters) != 1:
        found = (
            f"rated by {', '.join(raters)}; name one of them as the round's rater"
            if raters
            else "not rated; rate them, or imitate all of them with rater = 'none'"
        )
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
    again, but not imported ones whose ratings came with them, and the run's own judge, if it has one, those that it has
    not rated yet.
    """
    if judge is not None:
        facts: Facts = dict(judging.judge_with(run, stage, judge, retry_failed=retry_failed))
        if not facts["judged"]:
            run.say(f"judge      {stage}: nothing, none of its episodes was played to its end")
        say_judged(run, stage, facts)
        return facts
    rated = 0
    raters = run.store.raters(stage)
    told = stage.startswith(IMPORTED) and bool(raters) and VERIFIER not in raters
    for episode in () if told else run.store.episodes(stage):
        task = run.store.task(episode.task_id)
        if episode.completed and task.scenario.environment:
            ratings = verify(task, episode)
            run.store.add_ratings(ratings)
            rated += len(ratings)
    run.say(f"rate       {stage}: {rated} roles rated")
    if retry_failed and run.config.judge:
        for rater in judging.raters_of(run, run.config.judge):
            run.store.drop_failed_ratings(stage, rater)
    facts = {"rated": rated, **judging.judge_stage(run, stage)}
    say_judged(run, stage, facts)
    return facts


def _selecting(run: Run, item: RoundConfig) -> Callable[[SocialTask], str]:
    """Whose scores select among the episodes of a task in a round."""
    if item.rater == "auto" and (item.episodes is None or by_people(item.episodes)):
        return lambda task: judging.primary(run, task)
    if item.rater == "auto":
        only = _only_rater(run, stage_of(item))
        return lambda task: only
    own = item.rater == "judge" and run.config.judge
    name = judging.rater_of(run, own) if own else item.rater
    return lambda task: name


def _selectable(run: Run, item: RoundConfig) -> tuple[list[Rating], dict[str, str]]:
    """The ratings that a round selects by, and the task of each episode.

    Of the episodes that people played they are those of people's roles, on the tasks that may be trained on: most
    people play held-out ones.
    """
    people = by_people(item.episodes)
    trained_on = {task.id for task in run.store.tasks("train")} if people else set()
    stage, rater_for = stage_of(item), _selecting(run, item)
    calibrated = judging.calibration_of(run)
    found: list[Rating] = []
    episodes: dict[str, str] = {}
    raters: dict[str, str] = {}
    for episode, ratings in judging.rated_episodes(run, stage):
        if episode.completed and item.rater == NOBODY:
            episodes[episode.key] = episode.task_id
            roles = sorted({turn.role for turn in episode.turns})
            found += [Rating(episode=episode.key, role=role, rater=NOBODY, scores={"goal": 0.0}) for role in roles]
        elif episode.completed and (not people or episode.task_id in trained_on):
            episodes[episode.key] = task = episode.task_id
            if task not in raters:
                raters[task] = rater_for(run.store.task(task))
            by_role = ratings.get(raters[task], {})
            found += [calibrated(by_role[role]) for role in by_role if not people or is_human(episode.players[role])]
    if episodes and not found:
        known, wanted = ", ".join(run.store.raters(stage)) or "none", ", ".join(dict.fromkeys(raters.values()))
        raise ConfigError(f"No role of {stage} is rated by {wanted}; its raters are: {known}.")
    return found, episodes


def _calibration_facts(run: Run, ratings: list[Rating]) -> Facts:
    """How many of the ratings were calibrated before they were selected by; nothing where none was."""
    judge = run.config.judge
    if judge is None or judge.calibration is None:
        return {}
    own = judging.rater_of(run, judge)
    return {"calibrated": sum(rating.rater == own and rating.failure is None for rating in ratings)}


def candidates_of(run: Run, item: RoundConfig) -> list[Candidate]:
    """Every rated role of a round's episodes, those that were selected and those that were not."""
    return _candidates(*_selectable(run, item))


def _candidates(ratings: list[Rating], tasks: dict[str, str]) -> list[Candidate]:
    return [
        Candidate(r.episode, r.role, tasks[r.episode], r.scores["goal"], r.overall)
        for r in ratings
        if r.failure is None and "goal" in r.scores
    ]


def select(run: Run, item: RoundConfig) -> Facts:
    """Chooses the (episode, role) pairs that are imitated. TrainingError when the rule chooses none."""
    need(run, f"collect/{item.name}")

    def work() -> Facts:
        ratings, tasks = _selectable(run, item)
        candidates = _candidates(ratings, tasks)
        chosen = apply_rule_of(candidates, item)
        if not chosen:
            raise TrainingError(
                f"Round {item.name!r} selected none of {len(candidates)} candidates ({len(ratings) - len(candidates)} "
                f"unrated) with {item.select}; start another run (--out) with a looser select or more repeats in it."
            )
        run.store.set_selection(item.name, [(c.episode, c.role) for c in chosen])
        return {
            "raters": sorted({rating.rater for rating in ratings}),
            **_calibration_facts(run, ratings),
            "candidates": len(candidates),
            "unrated": len(ratings) - len(candidates),
            "selected": len(chosen),
            "mean_of_candidates": sum(c.score for c in candidates) / len(candidates),
            "mean_of_selected": sum(c.score for c in chosen) / len(chosen),
            "saturation": asdict(saturation(candidates)),
        }

    facts = once(run, f"select/{item.name}", work)
    if item.rater == NOBODY:
        run.say(f"select     {item.name}: {facts['selected']} of {facts['candidates']} roles, without ratings")
        return facts
    run.say(
        f"select     {item.name}: {facts['selected']} of {facts['candidates']} roles, mean GOAL "
        f"{facts['mean_of_candidates']:.2f} → {facts['mean_of_selected']:.2f}, "
        f"{facts['saturation']['share_at_top']:.0%} share the top score"
    )
    return facts


def apply_rule_of(candidates: list[Candidate], item: RoundConfig) -> list[Candidate]:
    """What a round's rule selects. ConfigError, also without candidates, for a rule that cannot be used."""
    parameters = {"rule": "top_k", **item.select}
    return apply_rule(candidates, str(parameters.pop("rule")), **parameters)
