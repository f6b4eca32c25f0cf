"""What one role sees, and its one rendering for models (design rule 2).

`view` is a pure function of (task, role, turns so far): the agent acts on it, and training examples are rendered
from it by the same `messages`. It carries the role's own goal, secret and side of the check, and of the others only
what the relationship lets be seen; a partner's goal, secret and side never enter it. What a partner declared in terms
is shown as the viewer would write it.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Any, Literal

from sotopia_pi.environments import NO_TERMS, AnyEnvironment, environment
from sotopia_pi.environments.base import Heard
from sotopia_pi.episodes.records import Action, ActionType, Declare, Turn
from sotopia_pi.episodes.terms import terms_of
from sotopia_pi.models.protocol import Message
from sotopia_pi.models.words import apart
from sotopia_pi.printable import flat
from sotopia_pi.prompts import Prompts, default_prompts
from sotopia_pi.world.records import Character, Relationship, Scenario, SocialTask

Layout = Literal["chat", "turn"]
MAX_TURNS = 20


@dataclass(frozen=True, slots=True)
class Visible:
    """What is seen of another character; a field that is not visible is None."""

    role: int
    name: str | None = None
    age: int | None = None
    gender: str | None = None
    pronouns: str | None = None
    occupation: str | None = None
    public_info: str | None = None
    personality: str | None = None
    big_five: str | None = None
    moral_values: tuple[str, ...] | None = None
    schwartz_values: tuple[str, ...] | None = None
    decision_style: str | None = None


_BY_LEVEL: dict[Relationship, tuple[str, ...]] = {
    Relationship.STRANGER: (),
    Relationship.KNOWS_NAME: ("name",),
    Relationship.ACQUAINTANCE: ("name", "age", "gender", "pronouns", "occupation", "public_info"),
}
_ALL_BUT_SECRET = (
    *_BY_LEVEL[Relationship.ACQUAINTANCE],
    "personality", "big_five", "moral_values", "schwartz_values", "decision_style",
)  # fmt: skip


def visible(character: Character, role: int, relationship: Relationship) -> Visible:
    """What a partner at `relationship` sees of `character`: nothing, the name, the public part, all but the secret."""
    fields = _BY_LEVEL.get(relationship, _ALL_BUT_SECRET)
    return Visible(role=role, **{field: getattr(character, field) for field in fields})


@dataclass(frozen=True, slots=True)
class Seen:
    """An action that everybody saw, and the terms that it declared, comparable."""

    role: int
    action: Action
    terms: Any = None


def event(scenario: Scenario, role: int, action: Action) -> Seen:
    """What everybody sees of a role's action."""
    return Seen(role, action, terms_of(scenario, role, action))


@dataclass(frozen=True)
class View:
    """What `role` sees when it is about to act.

    `kind` is the verified kind of the scenario and `side` the role's own side of its check, None for open scenarios;
    scripted agents read it, models read the same facts in `goal`. `history` has every turn so far, the role's own
    included.
    """

    role: int
    own: Character
    partners: tuple[Visible, ...]
    relationship: Relationship
    situation: str
    goal: str
    kind: str | None
    side: Any
    history: tuple[Seen, ...]
    max_turns: int

    @property
    def turn_number(self) -> int:
        """The number of the turn to be played, from 1."""
        return len(self.history) + 1

    @property
    def environment(self) -> AnyEnvironment | None:
        """What says how terms are written and read; None where there are none."""
        return None if self.kind is None else environment(self.kind)

    @cached_property
    def heard(self) -> Heard[Any]:
        """Who declared which terms so far."""
        return tuple((seen.role, seen.terms) for seen in self.history)


def view(task: SocialTask, role: int, turns: Sequence[Turn], max_turns: int = MAX_TURNS) -> View:
    """What `role` of `task` sees after `turns`."""
    scenario, env = task.scenario, task.scenario.environment
    return View(
        role=role,
        own=task.characters[role],
        partners=tuple(
            visible(task.characters[other], other, scenario.relationship) for other in task.roles if other != role
        ),
        relationship=scenario.relationship,
        situation=scenario.situation,
        goal=scenario.goals[role],
        kind=env.kind if env else None,
        side=scenario.check.side(role) if scenario.check and env else None,
        history=tuple(event(scenario, turn.role, turn.action) for turn in turns),
        max_turns=max_turns,
    )


def later(seen: View, history: Sequence[Seen]) -> View:
    """What the role that saw `seen` sees after `history`, which begins with what it has seen."""
    return replace(seen, history=(*seen.history, *history[len(seen.history) :]))


def terms_told(seen: View, event: Seen) -> str:
    """The terms that somebody declared, as the role that reads them would write them; "" where there are none."""
    env = seen.environment
    return "" if env is None or event.terms is None else env.write(seen.side, event.terms)


def declaring(seen: View) -> Declare | None:
    """How the terms of this role's next reply are read, and held to its words; None where there are none."""
    env = seen.environment
    if env is None:
        return None

    def declare(value: Any, words: str) -> str | None:
        terms = env.declared(seen.side, value)
        if terms is None:
            return None
        env.check_words(seen.side, terms, words, seen.heard)
        return env.write(seen.side, terms)

    return declare


class Rendering:
    """The messages of one role's views as they grow: what was rendered for a view is kept for the next one.

    `messages(view)` is what a fresh Rendering makes of the view, only sooner.
    """

    def __init__(self, layout: Layout = "chat", prompts: Prompts | None = None) -> None:
        self._layout: Layout = layout
        self._texts = prompts or default_prompts()
        self._rendered: list[Message] = []
        self._lines: list[str] = []
        self._news: list[str] = []
        self._done = 0

    def messages(self, seen: View) -> list[Message]:
        """The view as chat messages; `seen` is the same as at the last call, or later in the same episode."""
        if not self._rendered:
            self._rendered = [_message("system", _system(seen, self._texts))]
        if self._layout == "turn":
            return self._in_turns(seen)
        for number, event in enumerate(seen.history[self._done :], self._done + 1):
            if event.role != seen.role:
                self._news.append(_describe(seen, event))
                continue
            if self._rendered[-1]["role"] != "user":
                self._rendered.append(_observation(self._news, number, self._texts))
            self._rendered.append(_message("assistant", event.action.to_json()))
            self._news = []
        self._done = len(seen.history)
        return [*self._rendered, _observation(self._news, seen.turn_number, self._texts)]

    def _in_turns(self, seen: View) -> list[Message]:
        self._lines += [
            f"Turn {number}. {_describe(seen, event)}"
            for number, event in enumerate(seen.history[self._done :], self._done + 1)
        ]
        self._done = len(seen.history)
        history = "\n".join(self._lines) or "Nothing yet."
        text = self._texts.fill("turn_layout", history=history, turn=seen.turn_number)
        return [*self._rendered, _message("user", text)]


def messages(seen: View, layout: Layout = "chat", prompts: Prompts | None = None) -> list[Message]:
    """The view as chat messages, ending with the user message that asks for the next action.

    "chat": a system message, then a user message with what was seen since the last own action and an assistant
    message per own action. The messages before an action are a prefix of those before the next one. "turn": the
    system message and one user message with the whole history, as SOTOPIA does.
    """
    return Rendering(layout, prompts).messages(seen)


def _message(role: str, content: str) -> Message:
    """A message in which no character's words can be taken for the border of a turn."""
    return Message(role=role, content=apart(content))


def _observation(news: list[str], turn: int, texts: Prompts) -> Message:
    if not news and turn == 1:
        return _message("user", texts.fill("begin", turn=turn))
    return _message("user", texts.fill("observation", turn=turn, seen="\n".join(news) or "Nothing new."))


def _describe(seen: View, event: Seen) -> str:
    told = flat(_told(seen, event))  # words that break lines could pass for lines of the prompt
    if seen.environment is None:
        return told
    return f"{told}\nTerms: {terms_told(seen, event) or NO_TERMS}"  # on the last line, behind whatever was said


def _told(seen: View, event: Seen) -> str:
    name = "You" if event.role == seen.role else _label(seen, event.role)
    action = event.action
    match action.type:
        case ActionType.SPEAK:
            return f"{name}: {action.argument}"
        case ActionType.NONE:
            return f"{name}: (nothing)"
        case ActionType.LEAVE:
            return f"{name} left. {action.argument}".strip()
        case _:
            return f"{name} [{action.type.value}]: {action.argument}"


def _label(seen: View, role: int) -> str:
    partner = next(partner for partner in seen.partners if partner.role == role)
    if partner.name:
        return partner.name
    return "The other person" if len(seen.partners) == 1 else f"Person {role + 1}"


def _system(seen: View, texts: Prompts) -> str:
    own, env = visible(seen.own, seen.role, Relationship.FAMILY), seen.environment
    told = texts.fill(
        "system",
        name=seen.own.name,
        own_profile=_profile(own),
        secret=seen.own.secret,
        partners="\n".join(f"{_label(seen, partner.role)}: {_partner(seen, partner)}" for partner in seen.partners),
        situation=seen.situation,
        goal=seen.goal,
        max_turns=seen.max_turns,
    )
    return told if env is None else f"{told}\n{texts.fill('terms', notation=env.notation(seen.side))}"


_TIES = {
    Relationship.STRANGER: "a stranger to you.",
    Relationship.KNOWS_NAME: "you know only the name.",
    Relationship.ACQUAINTANCE: "an acquaintance.",
    Relationship.FRIEND: "a friend.",
    Relationship.ROMANTIC: "your romantic partner.",
    Relationship.FAMILY: "family.",
}


def _partner(seen: View, partner: Visible) -> str:
    profile = _profile(partner, with_name=False)
    return f"{_TIES[seen.relationship]} {profile}".strip()


def _profile(who: Visible, with_name: bool = True) -> str:
    parts = [who.name] if with_name and who.name else []
    parts += [str(value) for value in (who.age, who.gender, who.pronouns, who.occupation) if value is not None]
    text = ", ".join(parts) + "." if parts else ""
    if who.public_info:
        text += f" {who.public_info}"
    for label, value in (("Personality", who.personality), ("Big Five", who.big_five), ("Decides", who.decision_style)):
        text += f" {label}: {value}" if value else ""
    for label, values in (("Morals", who.moral_values), ("Values", who.schwartz_values)):
        text += f" {label}: {', '.join(values)}." if values else ""
    return text.strip()
