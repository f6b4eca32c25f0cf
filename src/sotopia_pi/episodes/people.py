"""A person as a player: one role of an episode, played by somebody at a terminal or in a browser.

A Sitting is one episode while a person plays it. The episode runs in an event loop like any other, by the same rules;
the person, in any thread, looks at it (`sight`), acts (`act`) and may stop it (`stop`). Whatever ends it, the turns
that were played are kept: a person who stops, or no longer answers, fails the episode with that cause.
"""

from __future__ import annotations

import asyncio
import re
import threading
import unicodedata
from collections.abc import Awaitable
from concurrent.futures import Future
from dataclasses import dataclass
from typing import TypeVar

from sotopia_pi.environments import TermsError
from sotopia_pi.episodes.agents import Agent, Player, Reply
from sotopia_pi.episodes.play import Plan, play
from sotopia_pi.episodes.records import HUMAN, SILENT, Action, ActionError, ActionType, Episode
from sotopia_pi.episodes.terms import chosen
from sotopia_pi.episodes.views import Seen, View, event, later, view
from sotopia_pi.errors import ConfigError, ModelError, SotopiaError
from sotopia_pi.records import derive_seed
from sotopia_pi.world.records import SocialTask

_T = TypeVar("_T")

#: Characters that a person can say in one turn.
LONGEST = 4_000
#: Why an episode failed that a person gave up.
STOPPED = "the person stopped"

_NAME = re.compile(r"[A-Za-z0-9-]{1,40}")
#: Control characters but for line breaks and tabs, and halves of surrogate pairs; no keyboard means to write them.
_NOT_TYPED = re.compile("[\x00-\x08\x0b-\x1f\x7f-\x9f\ud800-\udfff]")


def folded(text: str) -> str:
    """A name or an id of a person as it is compared.

    Case, spaces around it, characters that cannot be seen and compatibility forms (full-width letters) do not count.
    """
    for _ in range(2):  # folding can make what normalises once more
        text = unicodedata.normalize("NFKC", text).casefold()
    return "".join(char for char in text if not _unseen(char)).strip()


def _unseen(char: str) -> bool:
    """Whether a character leaves no trace on paper: controls, joiners, marks of direction, variation selectors."""
    return (
        unicodedata.category(char) in ("Cc", "Cf", "Cs", "Co", "Cn")
        or "\ufe00" <= char <= "\ufe0f"
        or "\U000e0100" <= char <= "\U000e01ef"
        or char in "\u034f\u115f\u1160\u17b4\u17b5\u3164\uffa0\u180b\u180c\u180d\u180f\u2800"
    )


def is_human(player: str) -> bool:
    """Whether a player's name, as episodes have it, is that of a person."""
    return player.startswith(HUMAN)


def human(name: str) -> str:
    """The player that a person of this pseudonym is, without spaces around it. ConfigError for what is none."""
    name = name.strip()
    if not _NAME.fullmatch(name):
        raise ConfigError(f"{name[:50]!r} is no pseudonym; take 1 to 40 letters, digits and -.")
    return f"{HUMAN}{name}"


def plain(words: str) -> str:
    """What somebody typed: line breaks as \\n, and without characters that no keyboard means to write."""
    return _NOT_TYPED.sub("", words.replace("\r\n", "\n").replace("\r", "\n"))


def typed(kind: ActionType, words: str = "", seen: View | None = None, terms: object = None) -> Action:
    """The action of a person who typed `words`. ActionError, with a sentence for the person, when it is none.

    `terms` is what the person declares besides in the role that sees `seen`: text, or the values of the filled form.
    The words are held to nothing; where there are none, short ones are said that name the terms.
    """
    argument = plain(words).strip()
    if len(argument) > LONGEST:
        raise ActionError(f"That is {len(argument):,} characters; say at most {LONGEST:,} in one turn.")
    declared = None if terms is None else declaration(seen, terms)
    if declared is not None and kind in SILENT:
        raise ActionError("Who leaves or does nothing declares no terms; say something with them, or leave them out.")
    if seen is not None and declared is not None and kind is ActionType.SPEAK:
        argument = argument or short_words(seen, declared)
    if not argument and kind not in SILENT:
        raise ActionError("There are no words; write what you say or do, or do nothing this turn.")
    return Action(type=kind, argument="" if kind is ActionType.NONE else argument, terms=declared)


def declaration(seen: View | None, terms: object) -> str | None:
    """Terms that a person typed or picked, as they are stored; None for an empty text. ActionError."""
    env = seen.environment if seen else None
    if seen is None or env is None:
        raise ActionError("There are no terms in this conversation, only words; say what you propose.")
    try:
        return chosen(env, seen.side, plain(terms) if isinstance(terms, str) else terms)
    except TermsError as error:
        raise ActionError(f"These terms cannot be declared: {error}.") from None


def short_words(seen: View, terms: str) -> str:
    """What is said with terms where a person says nothing: words with which a model could declare them, too."""
    env = seen.environment
    assert env is not None, "terms were declared"
    return "Agreed." if terms == offered(seen) else f"I propose {env.words(seen.side, env.parse(seen.side, terms))}."


def offered(seen: View) -> str | None:
    """What the partner declared on its last turn, as this role would write it; None where it could not declare that."""
    env, last = seen.environment, seen.history[-1] if seen.history else None
    if env is None or last is None or last.role == seen.role or last.terms is None:
        return None
    written = env.write(seen.side, last.terms)
    try:
        return written if env.parse(seen.side, written) == last.terms else None
    except TermsError:
        return None


class PersonStopped(ModelError):
    """The person does not play on: as when a model cannot be reached, the episode fails and keeps its turns."""


@dataclass(frozen=True, slots=True)
class Sight:
    """What the person sees of the episode now: the role's view with every turn so far, and whether to act.

    `episode` is None until the episode is over.
    """

    view: View
    asked: bool
    episode: Episode | None = None

    @property
    def over(self) -> bool:
        """Whether nothing more can be done."""
        return self.episode is not None


class Sitting:
    """One episode between a person in `role` and a `player` in the others.

    `idle` is how many seconds the person may take for a turn, `first` for the first one; None: any time. `seed` draws
    the player's replies, the plan's own where it is None. All methods but `play` may be called from any thread.
    """

    def __init__(
        self,
        plan: Plan,
        task: SocialTask,
        role: int,
        player: Player,
        seed: int | None = None,
        idle: float | None = None,
        first: float | None = None,
    ) -> None:
        self.plan, self.task, self.role = plan, task, role
        self.idle, self.first = idle, idle if first is None else first
        self._player, self._seed = player, seed
        self._stopped: Future[str] = Future()
        self._stopping: asyncio.Future[str] | None = None
        self._changed = threading.Condition()
        self._sight = Sight(view(task, role, (), plan.max_turns), asked=False)
        self._asked: Future[Action] = Future()

    @property
    def sight(self) -> Sight:
        """What the person sees now."""
        with self._changed:
            return self._sight

    def act(self, action: Action, turn: int | None = None) -> bool:
        """The person's action; False, and nothing happens, when it is not the person's turn.

        `turn` is the number of the turn that the action is meant for, from 1: an answer that arrives twice counts once.
        """
        with self._changed:
            seen = self._sight
            if not seen.asked or turn not in (None, seen.view.turn_number):
                return False
            asked = self._asked
            if not asked.set_running_or_notify_cancel():  # the episode ended while the person was typing
                return False
            own = event(self.task.scenario, self.role, action)
            self._change(Sight(later(seen.view, (*seen.view.history, own)), asked=False))
        asked.set_result(action)
        return True

    def stop(self, why: str = STOPPED) -> None:
        """Ends the episode as failed with the cause `why`; nothing happens when it is over or being stopped."""
        with self._changed:
            if not self._stopped.done() and not self._sight.over:
                self._stopped.set_result(why)

    def wait(self, seen: Sight, seconds: float | None = None) -> Sight:
        """Blocks until there is something else to see than `seen`, `seconds` at most; what is seen then."""
        with self._changed:
            self._changed.wait_for(lambda: self._sight is not seen, seconds)
            return self._sight

    async def play(self) -> Episode:
        """Plays the episode to its end; a server that fails, also for good, fails the episode and keeps its turns."""
        self._stopping = asyncio.wrap_future(self._stopped)
        agents: dict[int, Agent] = {}
        for role in self.task.roles:
            seed = self.plan.seed(role) if self._seed is None else derive_seed(self._seed, self.task.id, role)
            agents[role] = _Person(self) if role == self.role else _Partner(self, self._player.seat(role, seed))
        episode = await play(self.plan, self.task, agents)
        self._end(episode)
        return episode

    def _end(self, episode: Episode) -> None:
        last = view(self.task, self.role, episode.turns, self.plan.max_turns)
        with self._changed:
            self._change(Sight(last, asked=False, episode=episode))

    def _change(self, sight: Sight) -> None:
        with self._changed:
            self._sight = sight
            self._changed.notify_all()

    def _ask(self, seen: View) -> Future[Action]:
        """Lets the person act on `seen`."""
        with self._changed:
            self._asked = Future()
            self._change(Sight(seen, asked=True))
            return self._asked

    def _tell(self, history: tuple[Seen, ...]) -> None:
        """Shows the person what everybody has seen."""
        with self._changed:
            seen = self._sight.view
            if len(history) > len(seen.history):
                self._change(Sight(later(seen, history), asked=False))

    async def _unless_stopped(self, work: Awaitable[_T], seconds: float | None = None) -> _T:
        """What `work` gives. PersonStopped when the person stops first, or takes longer than `seconds`."""
        task, stop = asyncio.ensure_future(work), self._stopping
        assert stop is not None, "play() comes first"
        try:
            await asyncio.wait((task, stop), timeout=seconds, return_when=asyncio.FIRST_COMPLETED)
            if stop.done():
                raise PersonStopped(self._stopped.result())
            if not task.done():
                raise PersonStopped(f"the person did not answer for {seconds:g} seconds")
            return task.result()
        finally:
            if not task.done():
                task.cancel()
                await asyncio.gather(task, return_exceptions=True)


class _Person:
    """The agent of the person's role."""

    def __init__(self, sitting: Sitting) -> None:
        self._sitting = sitting

    async def act(self, view: View) -> Reply:
        """Waits for what the person does."""
        asked = self._sitting._ask(view)
        try:
            acted = any(event.role == view.role for event in view.history)
            patience = self._sitting.idle if acted else self._sitting.first
            action = await self._sitting._unless_stopped(asyncio.wrap_future(asked), patience)
        except PersonStopped:
            if asked.cancel():
                raise
            action = asked.result()  # given before the stop, and so it counts
        return Reply(action, raw=action.to_json())

    async def close(self) -> None:
        """Nothing to let go."""


class _Partner:
    """An agent that plays with the person: it can be interrupted, and no error of its server ends more than this."""

    def __init__(self, sitting: Sitting, agent: Agent) -> None:
        self._sitting, self._agent = sitting, agent

    async def act(self, view: View) -> Reply:
        """The agent's action, shown to the person once it is played."""
        self._sitting._tell(view.history)
        try:
            return await self._sitting._unless_stopped(self._agent.act(view))
        except ModelError:
            raise
        except SotopiaError as error:  # a refused key, an empty budget: the person's turns are kept all the same
            raise ModelError(str(error)) from error

    async def close(self) -> None:
        """Closes the agent."""
        await self._agent.close()
