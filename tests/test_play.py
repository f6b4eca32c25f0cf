"""The rules of an episode, what becomes of bad replies and dead models, and playing many at once."""

from __future__ import annotations

import asyncio
import json
import random
from collections.abc import Sequence

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from support import CAST, price_task

from sotopia_pi.episodes.agents import Agent, Reply
from sotopia_pi.episodes.model_player import ModelPlayer
from sotopia_pi.episodes.play import Plan, play, play_all, stop_reason
from sotopia_pi.episodes.records import NOTHING, Action, ActionType, Episode, StopReason
from sotopia_pi.episodes.views import Seen, View, messages, view
from sotopia_pi.errors import ModelError, StoreError
from sotopia_pi.models.fake import FakeModel
from sotopia_pi.models.protocol import Message, Sampling
from sotopia_pi.world.records import Scenario, SocialTask

HELLO = Action(type=ActionType.SPEAK, argument="Hello.")
LEAVE = Action(type=ActionType.LEAVE, argument="Bye.")


class Script:
    """Says its lines in turn, then nothing; a line that is an error is raised."""

    def __init__(self, *lines: Action | ModelError, forever: Action = NOTHING) -> None:
        self._lines = list(lines)
        self._forever = forever
        self.seen: list[View] = []
        self.closed = 0

    async def act(self, view: View) -> Reply:
        self.seen.append(view)
        await asyncio.sleep(0)
        line = self._lines.pop(0) if self._lines else self._forever
        if isinstance(line, ModelError):
            raise line
        return Reply(line)

    async def close(self) -> None:
        self.closed += 1


class Players:
    """A player whose agents say hello as often as their seed tells and leave; it remembers its seats."""

    def __init__(self, name: str) -> None:
        self.name = name
        self.seats: list[tuple[int, int]] = []

    def seat(self, role: int, seed: int) -> Agent:
        self.seats.append((role, seed))
        return Script(*[HELLO] * random.Random(seed).randint(0, 6), LEAVE)


def plan(task: SocialTask, repeat: int = 0, **fields: object) -> Plan:
    values = {"stage": "collect/bc", "players": ("a", "b"), "max_turns": 20, "conditions": {"seed": 1}}
    return Plan.model_validate({"task_id": task.id, "repeat": repeat, **values, **fields})


def played(*agents: Script, max_turns: int = 20, task: SocialTask | None = None) -> Episode:
    task = task or price_task()
    return asyncio.run(play(plan(task, max_turns=max_turns), task, dict(enumerate(agents))))


# Rules


def test_roles_alternate_and_the_limit_ends_an_episode() -> None:
    agents = Script(forever=HELLO), Script(forever=HELLO)
    episode = played(*agents, max_turns=5)
    assert [turn.role for turn in episode.turns] == [0, 1, 0, 1, 0]
    assert (episode.stop_reason, episode.failure, episode.completed) == (StopReason.LIMIT, None, True)
    assert [seen.turn_number for seen in agents[0].seen] == [1, 3, 5]
    assert agents[1].seen == [view(price_task(), 1, episode.turns[:n], 5) for n in (1, 3)]
    assert [agent.closed for agent in agents] == [1, 1]


def test_three_roles_take_turns_in_order() -> None:
    scenario = Scenario(situation="A council.", goals=("a", "b", "c"), kind="open", source="test")
    third = CAST[0].model_copy(update={"name": "Cy"})
    task = SocialTask(scenario=scenario, characters=(*CAST, third))
    episode = played(*(Script(forever=HELLO) for _ in range(3)), max_turns=7, task=task)
    assert [turn.role for turn in episode.turns] == [0, 1, 2, 0, 1, 2, 0]


def test_leaving_ends_an_episode() -> None:
    episode = played(Script(HELLO), Script(LEAVE))
    assert (len(episode.turns), episode.stop_reason) == (2, StopReason.LEFT)


def test_more_than_two_stale_turns_end_an_episode() -> None:
    episode = played(Script(HELLO, NOTHING, HELLO), Script(NOTHING, HELLO))
    # hello, none, none, hello, hello, none, none, none: two in a row are survived, three are not
    assert [turn.action.type is ActionType.NONE for turn in episode.turns] == [
        *[False, True, True],
        False,
        False,
        *[True] * 3,
    ]
    assert episode.stop_reason is StopReason.STALE


@given(st.lists(st.sampled_from([HELLO, NOTHING, LEAVE]), max_size=12), st.integers(1, 10))
def test_without_terms_an_episode_ends_exactly_when_a_rule_says_so(actions: list[Action], limit: int) -> None:
    turns = [Seen(i % 2, action) for i, action in enumerate(actions)]
    stale = len(actions) >= 3 and actions[-3:] == [NOTHING] * 3
    left = bool(actions) and actions[-1] == LEAVE
    expected = (
        StopReason.LEFT if left else StopReason.STALE if stale else StopReason.LIMIT if len(actions) >= limit else None
    )
    assert stop_reason(turns, limit) == expected


# Models


def model_player(answers: Sequence[str], **fields: object) -> tuple[ModelPlayer, FakeModel]:
    model = FakeModel(replies=answers, **fields)  # type: ignore[arg-type]
    return ModelPlayer("model", model, Sampling()), model


def test_malformed_reply_is_asked_again_with_the_error() -> None:
    player, model = model_player(["Hello!", HELLO.to_json()])
    seen = view(price_task(), 0, [])
    reply = asyncio.run(player.seat(0, 7).act(seen))
    assert (reply.action, reply.valid, reply.reasked, reply.raw) == (HELLO, True, True, HELLO.to_json())
    first, second = model.asked
    assert first == messages(seen)
    assert second[:-2] == first
    assert second[-2] == Message(role="assistant", content="Hello!")
    assert "could not be used: there is no JSON object." in second[-1]["content"]
    assert reply.usage.completion == 1 + len(HELLO.to_json().split())
    assert reply.usage.prompt == sum(len(m["content"].split()) for chat in model.asked for m in chat)


def test_reply_malformed_twice_is_an_invalid_turn_with_its_words() -> None:
    task = price_task()
    player, model = model_player(["Hello!", '{"action_type": "shout"}'])
    episode = asyncio.run(play(plan(task, max_turns=3), task, {0: player.seat(0, 1), 1: Script(forever=HELLO)}))
    assert [turn.valid for turn in episode.turns] == [False, True, False]
    assert episode.turns[0].action == NOTHING
    assert episode.turns[0].raw == '{"action_type": "shout"}'
    assert episode.turns[0].reasked
    assert len(model.asked) == 4  # twice per turn and not more


def test_a_good_reply_is_asked_for_once() -> None:
    player, model = model_player([HELLO.to_json()])
    reply = asyncio.run(player.seat(0, 7).act(view(price_task(), 0, [])))
    assert (reply.reasked, len(model.asked)) == (False, 1)


def test_every_turn_and_attempt_has_a_seed_of_its_own() -> None:
    seeds: list[int] = []

    def answer(chat: Sequence[Message], seed: int) -> str:
        seeds.append(seed)
        return "?"

    player = ModelPlayer("model", FakeModel(answer), Sampling())
    task = price_task()
    asyncio.run(play(plan(task, max_turns=2), task, {role: player.seat(role, role) for role in (0, 1)}))
    assert len(set(seeds)) == len(seeds) == 4


def test_unreachable_model_fails_the_episode_and_keeps_its_turns() -> None:
    agents = Script(HELLO, HELLO), Script(HELLO, ModelError("The model is gone."))
    episode = played(*agents)
    assert [turn.action for turn in episode.turns] == [HELLO] * 3
    assert (episode.failure, episode.stop_reason, episode.completed) == ("The model is gone.", None, False)
    assert [agent.closed for agent in agents] == [1, 1]


def test_conversations_are_released_however_an_episode_ends() -> None:
    task = price_task()
    (talker, model), (dead, unreachable) = model_player([HELLO.to_json()]), model_player([], reachable=False)
    seats = {0: talker.seat(0, 3), 1: dead.seat(1, 4)}
    assert not asyncio.run(play(plan(task), task, seats)).completed
    assert model.released == ["model/0/3"]
    assert unreachable.released == ["model/1/4"]


# Many at once


@given(st.integers(0, 25), st.integers(1, 9))
@settings(max_examples=30)
def test_every_plan_is_kept_exactly_once(count: int, concurrency: int) -> None:
    task = price_task()
    plans = [plan(task, repeat) for repeat in range(count)]
    kept: list[Episode] = []
    players = {"a": Players("a"), "b": Players("b")}
    asyncio.run(play_all(plans, {task.id: task}, players, kept.append, concurrency))
    assert sorted(episode.key for episode in kept) == sorted(item.id for item in plans)


def test_order_and_concurrency_change_nothing() -> None:
    tasks = {item.id: item for item in (price_task(number=n) for n in range(3))}
    plans = [plan(task, repeat) for task in tasks.values() for repeat in range(4)]

    def run(order: Sequence[Plan], concurrency: int) -> dict[str, Episode]:
        kept: list[Episode] = []
        asyncio.run(play_all(order, tasks, {"a": Players("a"), "b": Players("b")}, kept.append, concurrency))
        return {episode.key: episode.model_copy(update={"seconds": 0.0}) for episode in kept}

    assert run(plans, 1) == run(random.Random(1).sample(plans, len(plans)), 7)
    assert len({len(episode.turns) for episode in run(plans, 3).values()}) > 1


def test_an_error_of_keep_stops_everything_and_propagates() -> None:
    task = price_task()
    kept: list[Episode] = []
    agents: list[Script] = []

    class Watched(Players):
        def seat(self, role: int, seed: int) -> Agent:
            agents.append(Script(*[HELLO] * 3, LEAVE))
            return agents[-1]

    def keep(episode: Episode) -> None:
        if len(kept) == 3:
            raise StoreError("The disk is full.")
        kept.append(episode)

    players = {"a": Watched("a"), "b": Watched("b")}
    plans = (plan(task, repeat) for repeat in range(1000))
    with pytest.raises(StoreError, match=r"The disk is full\."):
        asyncio.run(play_all(plans, {task.id: task}, players, keep, concurrency=4))
    assert len(kept) == 3
    assert len(agents) < 30
    assert all(agent.closed == 1 for agent in agents)


# Plans


def test_plan_ids_are_unique_and_stable() -> None:
    one = plan(price_task())
    others = [
        plan(price_task(number=1)),
        plan(price_task(), repeat=1),
        plan(price_task(), players=("b", "a")),
        plan(price_task(), stage="collect/sr"),
        plan(price_task(), max_turns=19),
        plan(price_task(), conditions={"seed": 2}),
        plan(price_task(), conditions={"seed": 1, "temperature": 0.5}),
    ]
    assert len({one.id, *(other.id for other in others)}) == 1 + len(others)
    assert plan(price_task()).id == Plan.model_validate(json.loads(one.model_dump_json())).id == one.id
    fixed = Plan(stage="s", task_id="t", players=("a", "b"), conditions={"seed": 1, "temperature": 1.0})
    assert fixed.id == "6f4f66737a6b329f"  # on every machine, in every version that can continue a run
    assert len({item.seed(role) for item in (one, *others) for role in (0, 1)}) == 2 * (1 + len(others))
