"""A person as a player: names, what was typed, sittings and how they end, and learning from what people played."""

from __future__ import annotations

import asyncio
import re
import threading
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
from hypothesis import example as tried
from hypothesis import given
from hypothesis import strategies as st
from support import character, open_task, price_task, task_of, turn

from sotopia_pi import pipeline, playing
from sotopia_pi.config import Config, parse
from sotopia_pi.environments import kinds
from sotopia_pi.episodes.agents import Reply
from sotopia_pi.episodes.briefing import briefing, called, told
from sotopia_pi.episodes.model_player import ModelPlayer
from sotopia_pi.episodes.people import HUMAN, LONGEST, Sight, Sitting, human, is_human, offered, typed
from sotopia_pi.episodes.play import Plan
from sotopia_pi.episodes.records import Action, ActionError, ActionType, Episode, StopReason, Turn, parse_action
from sotopia_pi.episodes.scripted import scripted_player
from sotopia_pi.episodes.terms import agreed
from sotopia_pi.episodes.views import Seen, View, declaring, terms_told, view
from sotopia_pi.errors import ConfigError, ModelError, ServiceError, TrainingError
from sotopia_pi.interop.export import episode_records
from sotopia_pi.models.fake import FakeModel
from sotopia_pi.models.protocol import Sampling
from sotopia_pi.rundir import Run
from sotopia_pi.training.examples import example
from sotopia_pi.world.records import Relationship, SocialTask

SPEAK, LEAVE = ActionType.SPEAK, ActionType.LEAVE


def plan(task: SocialTask, role: int = 0, **fields: object) -> Plan:
    players = tuple("human:kim" if seat == role else "base" for seat in task.roles)
    return Plan.model_validate({"stage": "play", "task_id": task.id, "players": players, "max_turns": 6, **fields})


def fake(model: FakeModel | None = None) -> ModelPlayer:
    return ModelPlayer("base", model or FakeModel(), Sampling())


class Failing:
    """A player whose server fails for good, or which never answers."""

    name = "base"

    def __init__(self, error: Exception | None = None) -> None:
        self.error, self.asked, self.closed = error, threading.Event(), 0

    def seat(self, role: int, seed: int) -> Failing:
        return self

    async def act(self, view: View) -> Reply:
        self.asked.set()
        if self.error:
            raise self.error
        await asyncio.Event().wait()
        raise AssertionError("nobody sets the event")

    async def close(self) -> None:
        self.closed += 1


def played(sitting: Sitting, *actions: Action, seen: list[View] | None = None) -> Episode:
    """Plays a sitting in another thread; after the last action the person stops. `seen` gets what the person sees."""

    def until_asked() -> Sight:
        sight = sitting.sight
        while not sight.asked and not sight.over:
            if seen is not None:
                seen.append(sight.view)
            sight = sitting.wait(sight, 10)
        return sight

    with ThreadPoolExecutor(1) as pool:
        future = pool.submit(asyncio.run, sitting.play())
        for action in actions:
            sight = until_asked()
            assert sitting.act(action, sight.view.turn_number)
            if seen is not None:
                seen += [sight.view, sitting.sight.view]
        until_asked()
        sitting.stop()
        return future.result(10)


def say(words: str) -> Action:
    return Action(type=SPEAK, argument=words)


# Names and typed words


@given(st.text(max_size=50))
@tried("0 ")
def test_a_pseudonym_is_letters_digits_and_dashes_and_spaces_around_it_do_not_count(name: str) -> None:
    inner = name.strip()
    good = 1 <= len(inner) <= 40 and all(c.isascii() and (c.isalnum() or c == "-") for c in inner)
    if good:
        assert human(name) == f"{HUMAN}{inner}"
        assert is_human(human(name))
    else:
        with pytest.raises(ConfigError, match="letters, digits and -"):
            human(name)


@pytest.mark.parametrize("player", ["base", "bc", "expert", "openai:human", "inhuman:x", ""])
def test_models_are_not_human(player: str) -> None:
    assert not is_human(player)


@given(st.sampled_from(ActionType), st.text(st.characters(codec=None, exclude_categories=()), max_size=30))
def test_what_is_typed_is_an_action_that_can_be_stored_or_refused(kind: ActionType, words: str) -> None:
    try:
        action = typed(kind, words)
    except ActionError as error:
        assert "no words" in str(error)
        assert kind not in (ActionType.NONE, LEAVE)
        return
    assert action.type is kind
    assert action.argument.encode().decode() == action.argument
    assert not set(action.argument) & {"\x00", "\x1b", "\x07", "\x9b", "\r"}
    if kind is ActionType.NONE:
        assert action.argument == ""


def test_a_turn_has_a_longest() -> None:
    assert len(typed(SPEAK, "x" * LONGEST).argument) == LONGEST
    with pytest.raises(ActionError, match="at most 4,000"):
        typed(SPEAK, "x" * (LONGEST + 1))


# Terms


@pytest.mark.parametrize("kind", kinds())
@given(st.data())
def test_terms_without_words_are_what_a_model_could_write(kind: str, data: st.DataObject) -> None:
    task = task_of(kind, data.draw(st.integers(0, 2)))
    env, seen = task.scenario.environment, view(task, 0, ())
    assert env is not None
    terms = env.write(seen.side, data.draw(st.sampled_from(env.candidates(seen.side))))
    offer = typed(SPEAK, " ", seen, terms)
    assert offer.terms == terms
    assert offer.argument.startswith("I propose ")
    assert parse_action(offer.to_json(), declare=declaring(seen)) == offer
    answering = view(task, 1, [Turn(role=0, action=offer)])
    accepted = offered(answering)
    if accepted is not None:
        answer = typed(SPEAK, "", answering, accepted)
        assert answer.argument == "Agreed."
        assert parse_action(answer.to_json(), declare=declaring(answering)) == answer
        assert agreed(task.scenario, [Turn(role=0, action=offer), Turn(role=1, action=answer)]) is not None
    else:
        assert kind == "friend"  # somebody whom the other does not know cannot be declared by them


def test_the_words_of_people_are_held_to_nothing() -> None:
    seen = view(price_task(), 0, ())
    action = typed(SPEAK, "Not a cent below $900!", seen, " 15 dollars\x07 ")
    assert (action.argument, action.terms) == ("Not a cent below $900!", "$15")
    assert typed(ActionType.ACT, "lifts three fingers", seen, 15).terms == "$15"
    assert typed(ActionType.NON_VERBAL, "nods", seen, {"price": "15"}).terms == "$15"
    assert typed(SPEAK, "Hello.", seen, " \n").terms is None
    assert typed(SPEAK, "Hello.", seen) == say("Hello.")


@pytest.mark.parametrize(
    ("kind", "words", "terms", "said"),
    [
        (SPEAK, "Well?", "$15 or $16", "These terms cannot be declared: write one amount in dollars, not several"),
        (SPEAK, "Well?", "1000", "between"),
        (SPEAK, "Well?", "€15", "dollars"),
        (SPEAK, "Well?", "x" * 10_000, "at most 200 characters"),
        (SPEAK, "Well?", "１５", "the digits 0 to 9"),
        (SPEAK, "Well?", {"fee": "15"}, "an object has one value"),
        (ActionType.NONE, "", "$15", "declares no terms"),
        (LEAVE, "Bye.", "$15", "declares no terms"),
        (ActionType.ACT, "", "$15", "There are no words"),
        (SPEAK, "", "", "There are no words"),
    ],
)
def test_terms_typed_wrongly_are_a_sentence(kind: ActionType, words: str, terms: object, said: str) -> None:
    with pytest.raises(ActionError, match=re.escape(said)) as caught:
        typed(kind, words, view(price_task(), 0, ()), terms)
    assert str(caught.value).endswith(".")


def test_an_open_conversation_has_no_terms() -> None:
    seen = view(open_task(), 0, ())
    with pytest.raises(ActionError, match="no terms in this conversation"):
        typed(SPEAK, "Hello.", seen, "$15")
    assert offered(seen) is None
    assert typed(SPEAK, "Hello.", seen) == say("Hello.")


def test_only_what_the_partner_has_just_declared_is_offered() -> None:
    task = price_task()
    offer, talk = turn(0, "I ask 15.", terms="$15"), turn(0, "Well?")
    assert offered(view(task, 1, ())) is None
    assert offered(view(task, 1, [offer])) == "$15"
    assert offered(view(task, 0, [offer])) is None  # the own terms
    assert offered(view(task, 1, [offer, turn(1, "No."), talk])) is None
    assert offered(view(task, 1, [turn(0, "?", terms="half of it")])) is None


def test_a_person_agrees_and_the_episode_ends() -> None:
    task = price_task()
    answers = FakeModel(replies=['{"action_type": "speak", "argument": "15 is right.", "terms": 15}'])
    sitting = Sitting(plan(task), task, 0, fake(answers))
    seen: list[View] = []
    episode = played(sitting, typed(SPEAK, "", view(task, 0, ()), "$15"), seen=seen)
    assert (episode.stop_reason, len(episode.turns)) == (StopReason.AGREED, 2)
    assert episode.turns[0].raw == '{"action_type": "speak", "argument": "I propose $15.", "terms": "$15"}'
    last = sitting.sight.view
    assert [terms_told(last, event) for event in last.history] == ["$15", "$15"]


# Sittings


def test_a_person_plays_by_the_rules_of_every_episode() -> None:
    task = price_task()
    sitting = Sitting(plan(task), task, 0, fake())
    episode = played(sitting, say("Hello."), typed(ActionType.ACT, "nods"), typed(ActionType.NONE))
    assert (episode.stop_reason, episode.failure, len(episode.turns)) == (StopReason.LEFT, None, 6)
    assert [turn.action for turn in episode.turns[::2]] == [
        say("Hello."),
        Action(type=ActionType.ACT, argument="nods"),
        Action(type=ActionType.NONE),
    ]
    assert episode.turns[0].raw == say("Hello.").to_json()
    assert episode.players == ("human:kim", "base")
    sight = sitting.sight
    assert sight.over
    assert sight.view == view(task, 0, episode.turns, 6)
    assert not sitting.act(say("More."))


@pytest.mark.parametrize("role", [0, 1])
def test_a_person_sees_the_view_of_the_role_and_no_more(role: int) -> None:
    task = price_task()
    seen: list[View] = []
    episode = played(Sitting(plan(task, role), task, role, fake()), say("One."), say("Two."), seen=seen)
    assert len(seen) >= 4
    for what in seen:
        assert what == view(task, role, episode.turns[: len(what.history)], 6)


def test_an_action_counts_once_and_on_its_turn() -> None:
    task = price_task()
    sitting = Sitting(plan(task), task, 0, fake())
    assert not sitting.act(say("Too early."))
    with ThreadPoolExecutor(8) as pool:
        future = pool.submit(asyncio.run, sitting.play())
        while not sitting.sight.asked:
            sitting.wait(sitting.sight, 1)
        assert not sitting.act(say("Of another turn."), turn=2)
        assert sorted(pool.map(lambda n: sitting.act(say(f"{n}"), turn=1), range(6))) == [False] * 5 + [True]
        while not sitting.sight.asked:
            sitting.wait(sitting.sight, 1)
        sitting.stop()
        assert len(future.result(10).turns) == 2


def test_a_person_who_stops_fails_the_episode_and_keeps_its_turns() -> None:
    task = price_task()
    episode = played(Sitting(plan(task), task, 0, fake()), say("Hello."))
    assert (episode.failure, episode.stop_reason, len(episode.turns)) == ("the person stopped", None, 2)


def test_stopping_interrupts_a_model_that_thinks() -> None:
    task, player = price_task(), Failing()
    sitting = Sitting(plan(task, 1), task, 1, player)
    with ThreadPoolExecutor(1) as pool:
        future = pool.submit(asyncio.run, sitting.play())
        assert player.asked.wait(10)
        sitting.stop("the server was stopped")
        sitting.stop("again")
        assert future.result(10).failure == "the server was stopped"
    assert player.closed == 1
    sitting.stop()  # nothing happens


def test_a_sitting_that_is_stopped_before_it_begins() -> None:
    task = price_task()
    sitting = Sitting(plan(task), task, 0, fake())
    sitting.stop()
    assert asyncio.run(sitting.play()).failure == "the person stopped"


def test_somebody_who_does_not_answer() -> None:
    task = price_task()
    sitting = Sitting(plan(task), task, 0, fake(), idle=0.01)
    assert asyncio.run(sitting.play()).failure == "the person did not answer for 0.01 seconds"


@pytest.mark.parametrize("error", [ModelError("It is down."), ServiceError("No more calls."), ConfigError("No side.")])
def test_no_error_of_a_model_loses_what_was_played(error: Exception) -> None:
    task = price_task()
    episode = played(Sitting(plan(task), task, 0, Failing(error)), say("Hello."))
    assert (episode.failure, len(episode.turns)) == (str(error), 1)


def test_equal_seeds_give_partners_that_behave_equally() -> None:
    task = price_task()
    words = []
    for sitting_id in ("a", "b"):
        given = plan(task, conditions={"sitting": sitting_id})
        episode = played(Sitting(given, task, 0, scripted_player("partner"), seed=7), say("I ask $18."), say("$17?"))
        words.append([turn.action.argument for turn in episode.turns])
    assert words[0] == words[1]


# What a person is told


@pytest.mark.parametrize("relationship", Relationship)
def test_a_briefing_holds_what_the_role_may_know(relationship: Relationship) -> None:
    cast = (character("Ada Moss", secret="Secret 0."), character("Bo Lind", occupation="nurse", secret="Secret 1."))
    task = SocialTask(scenario=price_task(relationship).scenario, characters=cast)
    for role in task.roles:
        parts = briefing(view(task, role, ()))
        text = "\n".join(line for part in parts for line in (part.title, *part.lines))
        other = task.characters[1 - role]
        assert task.scenario.situation in text
        assert f"Secret {role}." in text
        assert f"Secret {1 - role}." not in text
        assert task.scenario.goals[1 - role] not in text
        assert (other.name in text) == (relationship >= Relationship.KNOWS_NAME)
        assert (other.occupation in text) == (relationship >= Relationship.ACQUAINTANCE)


@pytest.mark.parametrize("kind", kinds())
def test_a_briefing_tells_how_terms_are_written(kind: str) -> None:
    for role in (0, 1):
        seen = view(task_of(kind), role, ())
        assert seen.environment is not None
        (part,) = [part for part in briefing(seen) if part.title == "How a deal is made"]
        assert seen.environment.notation(seen.side) in part.lines[1]
    assert "How a deal is made" not in [part.title for part in briefing(view(open_task(), 0, ()))]


def test_terms_are_told_as_the_reader_would_write_them() -> None:
    task = task_of("division")
    env = task.scenario.environment
    assert env is not None and task.scenario.check is not None
    sides = [task.scenario.check.side(role) for role in (0, 1)]
    terms = env.candidates(sides[0])[0]
    turns = [turn(0, "This?", terms=env.write(sides[0], terms)), turn(1, "Hm.")]
    for role in (0, 1):
        seen = view(task, role, turns)
        assert [terms_told(seen, event) for event in seen.history] == [env.write(sides[role], terms), ""]


def test_events_are_told_in_words() -> None:
    seen = view(price_task(), 0, [turn(0, "Hi."), turn(1, "nods", ActionType.NON_VERBAL)])
    assert [called(seen, event.role) for event in seen.history] == ["you", "the other person"]
    assert [told(event) for event in seen.history] == [("", "Hi."), ("without words", "nods")]
    for kind in ActionType:
        note, words = told(Seen(0, Action(type=kind, argument="" if kind is ActionType.NONE else "w")))
        assert (note == "") == (kind is SPEAK)
        assert words == ("" if kind is ActionType.NONE else "w")


# Learning from people

ROUND = {"name": "bc", "method": "bc", "episodes": "play", "select": {"rule": "top_k", "k": 1}}


def run_with(folder: Path, *roles: int, group: str = "train", stage: str = "play") -> Run:
    """A run in which a person has played one task per role given, to a deal, against the fake model."""
    rounds = [{**ROUND, "episodes": stage}]
    config = parse({"models": {"policy": "fake:"}, "rounds": rounds, "max_turns": 6}, "the test")
    run = Run.open(folder, config, quiet=True)
    tasks = [price_task(number=n) for n in range(len(roles))]
    run.store.add_tasks(group, tasks)
    run.store.finish_stage("tasks", {})
    opponent = playing.opponent(run, "base")
    for task, role in zip(tasks, roles, strict=True):
        answers = FakeModel(replies=['{"action_type": "speak", "argument": "Fair: $15.", "terms": "$15"}'])
        sitting = playing.sit(run, task, role, "kim", opponent, fake(answers), stage=stage)
        episode = played(sitting, typed(SPEAK, "I say $15.", sitting.sight.view, "$15"))
        assert episode.stop_reason is StopReason.AGREED
        assert [rating.scores["goal"] for rating in playing.keep(run, task, episode)] == [5.0, 5.0]
    return run


@pytest.mark.parametrize("stage", ["play", "play/lab"])
def test_a_round_learns_the_roles_of_people(tmp_path: Path, stage: str) -> None:
    with run_with(tmp_path / "run", 0, 1, 0, stage=stage) as run:
        item = run.config.rounds[0]
        facts = pipeline.collect(run, item)
        assert (facts["completed"], facts["failed"]) == (3, 0)
        facts = pipeline.select(run, item)
        assert (facts["candidates"], facts["raters"]) == (3, ["verifier"])
        chosen = run.store.selection("bc")
        assert sorted(role for _, role in chosen) == [0, 0, 1]
        for key, role in chosen:
            episode = run.store.episode(key)
            assert is_human(episode.players[role])
            made = example(run.store.task(episode.task_id), episode, role, run.config.max_turns, run.prompts)
            replies = [message["content"] for message in made.messages if message["role"] == "assistant"]
            own = [turn.action.to_json() for turn in episode.turns if turn.role == role]
            assert replies == own
            assert all(made.trained)


def test_what_was_played_on_held_out_tasks_is_not_trained_on(tmp_path: Path) -> None:
    with run_with(tmp_path / "run", 0, group="test") as run:
        with pytest.raises(ConfigError, match="--group train"):
            pipeline.collect(run, run.config.rounds[0])
        run.store.finish_stage("collect/bc", {})
        with pytest.raises(TrainingError, match="none of 0 candidates"):
            pipeline.select(run, run.config.rounds[0])


def test_nothing_drops_what_people_stopped(tmp_path: Path) -> None:
    with run_with(tmp_path / "run", 0) as run:
        task = run.store.tasks("train")[0]
        sitting = playing.sit(run, task, 0, "kim", playing.opponent(run, "base"), fake())
        playing.keep(run, task, played(sitting, say("Hello.")))
        pipeline.forget_failures(run)
        assert run.store.counts("play") == (1, 1)


def test_an_export_keeps_who_played(tmp_path: Path) -> None:
    with run_with(tmp_path / "run", 1) as run:
        (line,) = episode_records(run.store, ["play"])
    assert '"human:kim"' in line


def test_whom_a_run_can_be_played_with(tmp_path: Path) -> None:
    with Run.open(tmp_path / "run", Config.model_validate({"rounds": [{"name": "sr", "method": "sr"}]})) as run:
        assert playing.known(run) == ["partner", "expert", "base"]
        assert playing.opponent(run, "partner").scripted
        with pytest.raises(ModelError, match="not trained yet"):
            playing.opponent(run, "sr")
        with pytest.raises(ConfigError, match="There is no policy 'bcc' here; those of the run are: partner"):
            playing.opponent(run, "bcc")
        with pytest.raises(ConfigError, match="no scripted player"):
            playing.opponent(run, "scripted:nobody")
        assert playing.opponent(run, "fake:").name == "fake:"


def test_the_example_in_the_documents_runs(capsys: pytest.CaptureFixture[str]) -> None:
    text = (Path(__file__).parent.parent / "docs" / "play.md").read_text(encoding="utf-8")
    (example_code,) = re.findall(r"^```python\n(.*?)^```", text, re.MULTILINE | re.DOTALL)
    exec(example_code, {})
    assert capsys.readouterr().out == "agreed\n"
