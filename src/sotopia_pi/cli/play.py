"""`sotopia-pi play`: a person plays one role of a task at the terminal, against any model."""

from __future__ import annotations

import argparse
import asyncio
from pathlib import Path
from typing import TYPE_CHECKING, Any

from sotopia_pi.cli.numbers import seed, whole
from sotopia_pi.cli.run import add_budget
from sotopia_pi.errors import SotopiaError

if TYPE_CHECKING:
    from collections.abc import Sequence

    from sotopia_pi.cli.terminal import Terminal
    from sotopia_pi.episodes.people import Sitting
    from sotopia_pi.episodes.records import Episode
    from sotopia_pi.playing import Opponent
    from sotopia_pi.ratings.records import Rating
    from sotopia_pi.rundir import Run
    from sotopia_pi.world.records import SocialTask

#: Verified scenarios per kind of a run that is only there to be played in.
_EACH = 5
#: The group of its open scenarios, which models can play and no program can rate.
OPEN = "open"


class Interrupted(SotopiaError):
    """The person pressed Ctrl-C; the code is the one that shells know."""

    exit_code = 130


def add(verbs: Any) -> None:
    """Adds the verb to the command line."""
    verb = verbs.add_parser(
        "play",
        help="play one role of a task yourself, against any model",
        description="Shows you what one role may see and lets you talk to a model. The episode is stored with the "
        "run (stage play) and rated like any other. Without RUN: a task of the starter world.",
    )
    option = verb.add_argument
    verb.add_argument(
        "run", nargs="?", type=Path, metavar="RUN", help="a run directory (default: a new one, see --out)"
    )
    option("--task", metavar="ID", help="the task, by its id or the beginning of it (default: drawn from the group)")
    option("--group", metavar="NAME", help="draw the task from this group (default: test, the held-out ones)")
    option("--role", type=whole(), default=0, metavar="N", help="the role you play: 0 begins (default), 1 answers")
    help_ = "whom you play with: a policy of the run, base, expert, partner (default), or a model such as openai:MODEL"
    option("--with", dest="opponent", default="partner", metavar="NAME|SPEC", help=help_)
    option("--name", default="me", help="the pseudonym under which you are stored (letters, digits, -; default: me)")
    option("--seed", type=seed, metavar="S", help="draws the task and the model's replies (default: by chance)")
    help_ = "the run directory of a task of the starter world (default: runs/play)"
    option("--out", type=Path, metavar="DIR", help=help_)
    add_budget(verb)
    option("--quiet", action="store_true", help="print nothing but the conversation and errors")
    verb.set_defaults(main=main)


def main(given: argparse.Namespace) -> None:
    """Plays one episode."""
    from sotopia_pi import playing
    from sotopia_pi.cli.terminal import Terminal
    from sotopia_pi.episodes.people import human
    from sotopia_pi.errors import ConfigError, ModelError

    human(given.name)  # refused before anything is loaded
    if given.run is not None and given.out is not None:
        raise ConfigError("--out is for playing without a run; give RUN or --out, not both.")
    with _open(given) as run:
        opponent = playing.opponent(run, given.opponent)
        task = _task(run, given, opponent)
        if not given.quiet and not opponent.scripted:
            print(f"Loading {opponent.name} …", flush=True)
        screen = Terminal()
        with playing.opened_opponent(run, opponent) as player:
            sitting = playing.sit(run, task, given.role, given.name, opponent, player, given.seed)
            episode, interrupted = screen.converse(sitting)
        ratings = playing.keep(run, task, episode)
        kept = f"What was played ({_turns(episode)}) is kept in {run.folder} as the failed episode {episode.key}"
        if interrupted:
            raise Interrupted(f"You stopped. {kept}.")
        if episode.failure is not None and not _gave_up(episode):
            raise ModelError(f"{opponent.name} does not play on: {episode.failure} {kept}.")
        if episode.failure is not None:
            screen.say(f"You stopped. {kept}.")
            return
        _tell_end(run, screen, sitting, episode, ratings)


def _gave_up(episode: Episode) -> bool:
    from sotopia_pi.episodes.people import STOPPED

    return episode.failure == STOPPED


def _turns(episode: Episode) -> str:
    return f"{len(episode.turns)} turn{'' if len(episode.turns) == 1 else 's'}"


def _tell_end(run: Run, screen: Terminal, sitting: Sitting, episode: Episode, ratings: Sequence[Rating]) -> None:
    """Why it ended, the scores, and where the episode is."""
    from sotopia_pi import playing

    why = {
        "agreed": "you agreed",
        "left": "somebody left",
        "stale": "nobody did anything for three turns",
        "limit": "there are no more turns",
    }
    screen.say(f"\nThe conversation is over: {why[str(episode.stop_reason)]} ({_turns(episode)}).")
    screen.lines(_scores(ratings, sitting.role))
    if playing.to_be_judged(run, sitting.task, episode):
        screen.say("The judge is rating the episode; Ctrl-C leaves that for later.")
        try:
            screen.lines(_scores(asyncio.run(playing.judge(run, sitting.task, episode)), sitting.role))
        except (KeyboardInterrupt, SotopiaError) as error:
            later = f"`sotopia-pi rate {run.folder} --stage play` rates it later"
            screen.say(f"Not rated by the judge: {error or 'you stopped it'}; {later}.")
    screen.say(f"The episode is stored in {run.folder} as {episode.key}.")


def _scores(ratings: Sequence[Rating], role: int) -> list[str]:
    """A line per rating; what a verifier says of the other's limits is not told."""
    lines = []
    for rating in ratings:
        who = "You" if rating.role == role else "The other"
        if rating.failure is not None:
            lines.append(f"{who}: not rated by {rating.rater} ({rating.failure}).")
            continue
        scores = ", ".join(f"{name.replace('_', ' ')} {score:.3g}" for name, score in rating.scores.items())
        reason = rating.reasons.get("goal", "") if rating.role == role else ""
        lines.append(f"{who}: {scores} ({rating.rater}). {reason}".rstrip())
    return lines


def _open(given: argparse.Namespace) -> Run:
    """The run that is played in; without one, a run with tasks of the starter world."""
    from sotopia_pi import pipeline
    from sotopia_pi.config import Config, ModelsConfig, WorldConfig
    from sotopia_pi.environments import kinds
    from sotopia_pi.rundir import Run, is_run
    from sotopia_pi.world import cast, starter_world

    if given.run is not None:
        return Run.open(given.run, quiet=given.quiet, budget=given.budget, alone=False)
    folder = given.out or Path("runs") / "play"
    if is_run(folder):
        return Run.open(folder, quiet=given.quiet, budget=given.budget, alone=False)
    world = WorldConfig(test=dict.fromkeys(kinds(), _EACH))
    config = Config(name="play", world=world, models=ModelsConfig(policy="scripted:expert"))
    with Run.open(folder, config, quiet=True) as run:
        pipeline.prepare_tasks(run)
        starter = starter_world()
        for scenario in starter.scenarios["test"]:
            run.store.add_tasks(OPEN, cast(scenario, starter.characters, starter.ties, run.config.seed, 1))
    return Run.open(folder, quiet=True, budget=given.budget, alone=False)


def _task(run: Run, given: argparse.Namespace, opponent: Opponent) -> SocialTask:
    """The task that is asked for, or one drawn from the group."""
    from sotopia_pi import playing
    from sotopia_pi.errors import ConfigError

    if given.task is None:
        return playing.draw_task(run, given.group, opponent, given.seed)
    groups = [given.group] if given.group else run.store.task_groups()
    found = {task.id: task for group in groups for task in run.store.tasks(group) if task.id.startswith(given.task)}
    if len(found) != 1:
        what = f"{len(found)} tasks of {run.folder} begin" if found else f"No task of {run.folder} begins"
        raise ConfigError(f"{what} with {given.task!r}; give the whole id of one, as `sotopia-pi view` shows it.")
    return next(iter(found.values()))
