"""Terms in episodes: when there is an agreement, what it is worth, who sees what, what a model may declare."""

from __future__ import annotations

import asyncio
import json
import re
from collections.abc import Sequence
from pathlib import Path
from random import Random
from typing import Any, ClassVar

import pytest
from checks import CHECKS, KINDS, drawn
from hypothesis import given, settings
from hypothesis import strategies as st
from support import CAST

from sotopia_pi.environments import Check, TermsError, environment
from sotopia_pi.environments.division import DivisionCheck, _worth_ten
from sotopia_pi.environments.favour import FavourCheck
from sotopia_pi.environments.friend import FriendCheck, Person
from sotopia_pi.environments.hiring import HiringCheck
from sotopia_pi.environments.meeting import MeetingCheck
from sotopia_pi.environments.price import PriceCheck
from sotopia_pi.episodes.agents import Reply
from sotopia_pi.episodes.briefing import briefing
from sotopia_pi.episodes.model_player import ModelPlayer
from sotopia_pi.episodes.play import Plan, play
from sotopia_pi.episodes.records import NOTHING, SILENT, Action, ActionType, Episode, StopReason, Turn, action_schema
from sotopia_pi.episodes.terms import agreed, chosen
from sotopia_pi.episodes.views import Layout, View, messages, view
from sotopia_pi.errors import WorldError
from sotopia_pi.models.fake import FakeModel
from sotopia_pi.models.protocol import Completion, JsonSchema, Message, Sampling
from sotopia_pi.ratings.verifier import VERIFIER, verify
from sotopia_pi.world.records import RETIRED, Relationship, Scenario, SocialTask

PAGE = (Path(__file__).parent.parent / "docs" / "verified-tasks.md").read_text(encoding="utf-8")
LAYOUTS: tuple[Layout, ...] = ("chat", "turn")
MAX_TURNS = 12


def task_of(check: Check | None, relationship: Relationship = Relationship.STRANGER) -> SocialTask:
    """A task with this check, its goals as the environment words them."""
    if check is None:
        situation, goals, kind = "Two people talk.", ("Sell it.", "Buy it."), "open"
    else:
        env = environment(check.kind)
        situation, kind = env.situation(check), env.kind
        goals = env.goal(check.side(0)), env.goal(check.side(1))
    scenario = Scenario(
        situation=situation, goals=goals, relationship=relationship, kind=kind, source="test", check=check
    )
    return SocialTask(scenario=scenario, characters=CAST)


def speaks(words: str, terms: str | None = None) -> Action:
    """Words, with terms or without."""
    return Action(type=ActionType.SPEAK, argument=words, terms=terms)


def agreeing(env: Any, check: Any) -> list[Action]:
    """Two turns in which both roles declare one of the best agreements."""
    terms = _few(env, check)[0]
    return [speaks("So?", env.write(check.side(role), terms)) for role in (0, 1)]


class Lines:
    """Does one action after the other, then nothing."""

    def __init__(self, actions: Sequence[Action]) -> None:
        self._actions = list(actions)

    async def act(self, view: View) -> Reply:
        return Reply(self._actions.pop(0) if self._actions else NOTHING)

    async def close(self) -> None:
        """Nothing to let go."""


def played(task: SocialTask, actions: Sequence[Action], max_turns: int = MAX_TURNS) -> Episode:
    """The episode in which the roles do this in turn."""
    plan = Plan(stage="test", task_id=task.id, players=("a", "b"), max_turns=max_turns)
    return asyncio.run(play(plan, task, {0: Lines(actions[::2]), 1: Lines(actions[1::2])}))


def scores(task: SocialTask, episode: Episode) -> list[Any]:
    return [(rating.scores, rating.outcome) for rating in verify(task, episode)]


# Whatever two players do

WORDS = st.text(st.characters(exclude_categories=["Cs"]), max_size=20)
_DOES = ("propose", "repeat") * 6 + ("talk", "nonsense", *SILENT)


@st.composite
def actions(draw: st.DrawFn, env: Any, check: Any) -> list[Action]:
    """Turns of two players who propose, repeat the other's terms, say nonsense, are silent or leave."""
    written = [
        [env.write(check.side(role), terms) for terms in (*env.candidates(check.side(role))[:6], *_few(env, check))]
        for role in (0, 1)
    ]
    made: list[Action] = []
    terms: Any = None  # what the last turn declared
    for index in range(draw(st.integers(0, MAX_TURNS))):
        side = check.side(index % 2)
        does = draw(st.sampled_from(_DOES))
        kind = does if isinstance(does, ActionType) else draw(st.sampled_from([*ActionType][1:4]))
        text: str | None = None
        if does == "propose" or (does in SILENT and draw(st.booleans())):
            text = draw(st.sampled_from(written[index % 2]))
        elif does == "repeat" and terms is not None:
            text = env.write(side, terms)
        elif does == "nonsense":
            text = draw(WORDS)
        made.append(Action(type=kind, argument=draw(WORDS), terms=text))
        terms = None if kind in SILENT else _declared(env, side, text)
    return made


def _few(env: Any, check: Any) -> list[Any]:
    return list(env.outcomes(check))[:3]


def _declared(env: Any, side: Any, text: str | None) -> Any:
    try:
        return env.declared(side, text)
    except TermsError:
        return None


@st.composite
def scenes(draw: st.DrawFn) -> Any:
    env, check = draw(drawn())
    return env, check, draw(actions(env, check))


@given(scenes(), st.data())
@settings(max_examples=200)
def test_an_agreement_is_two_consecutive_equal_terms_and_ends_the_episode(scene: Any, data: st.DataObject) -> None:
    env, check, made = scene
    task = task_of(check)
    episode = played(task, made)
    declared = [
        None if turn.action.type in SILENT else _declared(env, check.side(turn.role), turn.action.terms)
        for turn in episode.turns
    ]
    equal = [i for i in range(1, len(declared)) if declared[i] is not None and declared[i] == declared[i - 1]]
    found = agreed(task.scenario, episode.turns)
    assert (episode.stop_reason is StopReason.AGREED) == bool(equal) == (found is not None)
    before = scores(task, episode)
    assert [rating.rater for rating in verify(task, episode)] == [VERIFIER] * 2
    if found is None:
        assert before == [(env.scores(check, None)[role], {"deal": False}) for role in (0, 1)]
        return
    assert equal == [found.turn] == [len(episode.turns) - 1]  # it ends with the very turn that agrees
    assert found.terms == declared[-1]
    assert [scored for scored, _ in before] == list(env.scores(check, found.terms))
    more = data.draw(actions(env, check))  # turns that somebody writes behind the agreement
    locked = [*episode.turns, *(Turn(role=(len(episode.turns) + i) % 2, action=a) for i, a in enumerate(more))]
    assert agreed(task.scenario, locked) == found
    assert scores(task, episode.model_copy(update={"turns": tuple(locked)})) == before


@given(scenes(), st.lists(WORDS, min_size=MAX_TURNS, max_size=MAX_TURNS), st.integers(0, 3))
@settings(max_examples=100)
def test_scores_depend_on_the_agreement_alone(scene: Any, words: list[str], longer: int) -> None:
    """Neither what is said nor what was proposed before, nor the relationship, changes a score."""
    _, check, made = scene
    task = task_of(check)
    episode = played(task, made)
    said = [action.model_copy(update={"argument": text}) for action, text in zip(made, words, strict=False)]
    assert scores(task, played(task, said)) == scores(task, episode)
    found = agreed(task.scenario, episode.turns)
    if found is None:
        return
    friends = task_of(check, Relationship.FRIEND)
    hesitation = [speaks("Hm.")] * (2 * longer)
    last = [action.model_copy(update={"argument": "Yes."}) for action in made[found.turn - 1 : found.turn + 1]]
    if (found.turn - 1) % 2:  # the roles keep their turns
        last = [speaks("Hello."), *last]
    assert scores(friends, played(friends, [*hesitation, *last])) == scores(task, episode)


@given(drawn(), st.integers(0, 1))
def test_an_agreement_in_the_very_last_turn_counts(case: Any, extra: int) -> None:
    env, check = case
    made = [*[speaks("Hm.")] * (2 * extra), *agreeing(env, check)]
    episode = played(task_of(check), made, max_turns=len(made))
    assert episode.stop_reason is StopReason.AGREED
    assert verify(task_of(check), episode)[0].outcome["deal"]
    episode = played(task_of(check), made, max_turns=len(made) - 1)
    assert episode.stop_reason is StopReason.LIMIT
    assert not verify(task_of(check), episode)[0].outcome["deal"]


# Who sees what


def others_numbers(check: Any, role: int, rng: Random) -> dict[str, Any]:
    """Fields of a check in which the partner of `role` has other numbers, at random; not all make a check."""
    other = 1 - role

    def both(own: Any, partners: Any) -> tuple[Any, Any]:
        return (own, partners) if role == 0 else (partners, own)

    def shuffled(values: dict[str, float]) -> dict[str, float]:
        return dict(zip(values, rng.sample(list(values.values()), len(values)), strict=True))

    match check:
        case PriceCheck(limits=limits, targets=targets):
            limit, target = (round(numbers[other] * rng.uniform(0.9, 1.1)) for numbers in (limits, targets))
            return {"limits": both(limits[role], limit), "targets": both(targets[role], target)}
        case DivisionCheck(counts=counts, values=values):
            worths = dict(zip(counts, rng.choice(_worth_ten(tuple(counts.values()))), strict=True))
            return {"values": both(values[role], worths)}
        case MeetingCheck(values=values):
            return {"values": both(values[role], shuffled(values[other]))}
        case HiringCheck(weights=weights, late=late, least=least):
            return {
                "weights": both(weights[role], tuple(rng.sample(weights[other], 3))),
                "late": both(late[role], rng.random() < 0.5),
                "least": both(least[role], rng.choice((1.0, 2.0, 3.0))),
            }
        case FriendCheck(lists=lists):
            strangers = [
                person if person == check.friend else Person(person.name, f"{person.hobby} club", person.place)
                for person in rng.sample(lists[other], len(lists[other]))
            ]
            return {"lists": both(lists[role], tuple(strangers))}
        case FavourCheck(limits=limits, asker=asker, hope=hope):
            return {"limits": tuple(rng.sample(limits, len(limits)))} if role == asker else {"hope": hope + 5}
    raise AssertionError(f"say here what is private in {check.kind}")


def twin(check: Any, role: int, rng: Random) -> Any:
    """A check that differs in the numbers of the partner of `role` alone."""
    while True:
        try:
            other = type(check).model_validate({**check.model_dump(), **others_numbers(check, role, rng)})
        except ValueError:
            continue
        if other.side(1 - role) != check.side(1 - role):
            return other


@st.composite
def twins(draw: st.DrawFn) -> Any:
    """A role, a check, and its twin."""
    env, check = draw(drawn())
    role = draw(st.integers(0, 1))
    return env, check, twin(check, role, Random(draw(st.integers(0, 9999)))), role


@given(twins(), st.data())
@settings(max_examples=150)
def test_no_view_depends_on_the_partners_numbers(case: Any, data: st.DataObject) -> None:
    """What a role is shown is the same whoever the partner is, so that it can carry nothing of its numbers."""
    env, check, other, role = case
    made = data.draw(actions(env, check))
    first, second = task_of(check), task_of(other)
    turns = [Turn(role=i % 2, action=action) for i, action in enumerate(made)]
    said = [turn for turn in turns if turn.role == role or _same(env, check, other, turn)]
    one, two = view(first, role, said), view(second, role, said)
    assert (one.side, one.goal, one.situation, one.heard) == (two.side, two.goal, two.situation, two.heard)
    assert briefing(one) == briefing(two)
    for layout in LAYOUTS:
        assert messages(one, layout) == messages(two, layout)


def _same(env: Any, check: Any, other: Any, turn: Turn) -> bool:
    """Whether both partners can declare this; a friend's declaration must be of somebody on the own list."""
    text = turn.action.terms
    return bool(_declared(env, check.side(turn.role), text) == _declared(env, other.side(turn.role), text))


@pytest.mark.parametrize("kind", KINDS)
def test_checks_of_every_kind_have_twins(kind: str) -> None:
    for role in (0, 1):
        other = twin(CHECKS[kind], role, Random(1))
        assert other.side(role) == CHECKS[kind].side(role)


def answering(reply: Any) -> tuple[ModelPlayer, FakeModel]:
    """A model player that always answers this, or what this makes of the chat."""
    model = FakeModel(reply) if callable(reply) else FakeModel(replies=[reply])
    return ModelPlayer("model", model, Sampling()), model


def acts(task: SocialTask, role: int, turns: Sequence[Turn], reply: Any) -> tuple[Reply, FakeModel]:
    """What a model that answers so does next."""
    player, model = answering(reply)
    return asyncio.run(player.seat(role, 1).act(view(task, role, turns))), model


@given(drawn(), st.integers(0, 1), st.integers(0, 999), st.sampled_from(LAYOUTS))
def test_terms_are_shown_as_the_viewer_writes_them_and_copying_them_accepts(
    case: Any, role: int, pick: int, layout: Layout
) -> None:
    env, check = case
    mine, theirs = check.side(role), check.side(1 - role)
    offers = [terms for side in (mine, theirs) for terms in env.candidates(side)]
    if env.kind == "friend":  # only people on both lists can be declared by both
        offers = [terms for terms in offers if mine.person(terms.name) and env.worth(mine, terms) > 0]
        offers = [terms for terms in offers if env.worth(theirs, terms) > 0]
    terms = offers[pick % len(offers)]
    offer = speaks("So?", env.write(theirs, terms))
    turns = [Turn(role=1 - role, action=offer)]

    def copies(chat: Sequence[Message], seed: int) -> str:
        shown = re.findall(r"^Terms: (.+)$", chat[-1]["content"], re.MULTILINE)[-1]
        return json.dumps({"action_type": "speak", "argument": "Agreed.", "terms": shown})

    reply, _ = acts(task_of(check), role, turns, copies)
    assert (reply.valid, reply.reasked, reply.action.terms) == (True, False, env.write(mine, terms))
    assert agreed(task_of(check).scenario, [*turns, Turn(role=role, action=reply.action)])
    shown = messages(view(task_of(check), role, turns), layout)[-1]["content"]
    assert f"Terms: {env.write(mine, terms)}" in shown.splitlines()


@pytest.mark.parametrize("kind", [None, *KINDS])
def test_a_server_is_asked_for_the_schema_of_the_kind(kind: str | None) -> None:
    class Server(FakeModel):
        """Keeps the schemas that it is asked for."""

        schemas: ClassVar[list[JsonSchema]] = []

        async def complete(self, *args: Any, **options: Any) -> Completion:
            self.schemas.append(options["schema"])
            return await super().complete(*args, **options)

    player = ModelPlayer("model", Server(replies=[NOTHING.to_json()]), Sampling())
    asyncio.run(player.seat(0, 1).act(view(task_of(CHECKS.get(kind or "")), 0, [])))
    assert Server.schemas == [action_schema(kind)]


def test_somebody_who_is_not_on_the_own_list_cannot_be_agreed_on() -> None:
    task = task_of(CHECKS["friend"])
    turns = [Turn(role=1, action=speaks("Eva from the bank?", "Eva, bank"))]
    copied = '{"action_type": "speak", "argument": "Yes, Eva.", "terms": "Eva, bank"}'
    reply, model = acts(task, 0, turns, copied)
    assert (reply.valid, reply.cause) == (False, "unreadable terms")
    assert "name one person you know: Mia, Tom or Ada" in model.asked[1][-1]["content"]


@given(drawn(), st.integers(0, 1), st.integers(0, 999))
def test_whatever_a_role_may_propose_is_taken_from_a_model(case: Any, role: int, pick: int) -> None:
    env, check = case
    side = check.side(role)
    offers = env.candidates(side)
    terms = offers[pick % len(offers)]
    said = {"action_type": "speak", "argument": f"How about {env.words(side, terms)}?", "terms": env.write(side, terms)}
    reply, model = acts(task_of(check), role, [], json.dumps(said))
    assert (reply.valid, reply.action.terms, len(model.asked)) == (True, said["terms"], 1)
    assert reply.action.to_json() == json.dumps(said, ensure_ascii=False)
    assert chosen(env, side, said["terms"]) == said["terms"]


# Bad input: the tables of the page

#: In a cell, and 10,000 more of the character before it.
MANY = re.compile(r"(.)…")


def rows(heading: str) -> list[list[str]]:
    """The rows of the table under a heading of the page, without the two that begin it."""
    section = PAGE.split(f"## {heading}\n")[1].split("\n## ")[0]
    lines = [line for line in section.splitlines() if line.startswith("| ")]
    return [[cell.strip() for cell in line.strip("| ").split(" | ")] for line in lines[1:]]


REPLIES = rows("What is read and what is refused")
ENDS = rows("How episodes end")


@pytest.mark.parametrize(("what", "kind", "before", "said", "terms", "becomes"), REPLIES, ids=lambda cell: cell[:40])
def test_replies_of_the_page(what: str, kind: str, before: str, said: str, terms: str, becomes: str) -> None:
    task = task_of(CHECKS.get(kind))
    action, words = re.fullmatch(r"(?:\((.+)\) ?)?(.*)", said).groups()  # type: ignore[union-attr]
    reply = f'{{"action_type": "{action or "speak"}", "argument": {json.dumps(words)}'
    reply += f", {MANY.sub(lambda found: 10_000 * found[1], terms.strip('`'))}}}"
    turns = []
    if before.strip("–"):
        turns = [Turn(role=1, action=speaks("So?", before.strip("`")))]
    made, model = acts(task, 0, turns, reply)
    if becomes.startswith("`"):
        assert (made.valid, made.action.terms, len(model.asked)) == (True, becomes.strip("`"), 1), what
    elif becomes == "no terms":
        assert (made.valid, made.action.terms, len(model.asked)) == (True, None, 1), what
    else:
        assert (made.valid, made.cause, made.action) == (False, becomes, NOTHING), what
        asked = model.asked[1][-1]["content"]
        assert "could not be used: " in asked
        assert len(asked) < 500


@pytest.mark.parametrize(("what", "turns", "stop", "goals"), ENDS, ids=lambda cell: cell[:40])
def test_ends_of_the_page(what: str, turns: str, stop: str, goals: str) -> None:
    """Bargains of the guitar, one cell per turn; the turns written are all there can be."""
    does = {"–": speaks("Hm."), "leaves": Action(type=ActionType.LEAVE)}
    does["nothing"] = NOTHING
    made = [does.get(turn) or speaks("So?", turn.strip("`")) for turn in turns.split(", ")]
    task = task_of(CHECKS["price"])
    episode = played(task, made, max_turns=len(made))
    assert episode.stop_reason == stop, what
    assert " and ".join(f"{rating.scores['goal']:g}" for rating in verify(task, episode)) == goals, what


# The verifier


def test_what_cannot_be_rated_is_refused() -> None:
    task = task_of(CHECKS["price"])
    episode = played(task, [speaks("$240?", "$240")])
    with pytest.raises(ValueError, match="cannot be reached"):
        verify(task, episode.model_copy(update={"failure": "the model cannot be reached", "stop_reason": None}))
    with pytest.raises(ValueError, match="was played on task another"):
        verify(task, episode.model_copy(update={"task_id": "another"}))
    with pytest.raises(WorldError, match="let a judge rate it"):
        verify(task_of(None), episode)
    stored = {"kind": "fact", "answers": ["red", "blue"]}
    scenario = {"situation": "A", "goals": ["a", "b"], "kind": "fact", "source": "x", "check": stored}
    retired = Scenario.model_validate(scenario, context=RETIRED)
    old = SocialTask(scenario=retired, characters=CAST)
    assert retired.verified and retired.environment is None
    with pytest.raises(WorldError, match="its ratings stay as they are"):
        verify(old, episode)


@pytest.mark.parametrize("kind", KINDS)
def test_a_rating_says_what_was_agreed_as_its_role_writes_it(kind: str) -> None:
    env, check = environment(kind), CHECKS[kind]
    terms = _few(env, check)[0]
    for role, rating in enumerate(verify(task_of(check), played(task_of(check), agreeing(env, check)))):
        side = check.side(role)
        assert rating.outcome == {
            "deal": True,
            "terms": env.write(side, terms),
            "within": env.within(side, terms),
            "joint": env.joint_share(check, terms),
        }
        assert all(env.write(side, terms) in reason for reason in rating.reasons.values())
