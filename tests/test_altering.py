"""Altered episodes: one thing is changed, and the outcome is not."""

from __future__ import annotations

import asyncio
import re

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from support import episode as an_episode
from support import price_task, turn

from sotopia_pi.environments import environment, kinds
from sotopia_pi.environments.players import POPULATIONS
from sotopia_pi.episodes.altering import (
    FORMS,
    NEUTRAL,
    begun_by_the_other,
    inserted,
    listed_the_other_way,
    place,
    reworded,
    reworded_text,
)
from sotopia_pi.episodes.altering.inserting import TEXTS
from sotopia_pi.episodes.play import Plan, play_all
from sotopia_pi.episodes.records import ActionType
from sotopia_pi.episodes.scripted import scripted_player
from sotopia_pi.ratings.verifier import verify
from sotopia_pi.world import cast, starter_world
from sotopia_pi.world.verified import generate


def outcomes(task, episode):
    return [(rating.scores, rating.outcome) for rating in verify(task, episode)]


@pytest.fixture(scope="module")
def played():
    """Episodes of all kinds between scripted players of all styles."""
    world = starter_world()
    styles = [temper.name for population in POPULATIONS.values() for temper in population.tempers]
    scenarios = [scenario for kind in kinds() for scenario in generate(kind, "test", 8, seed=5)]
    tasks = [cast(scenario, world.characters, world.ties, 1)[0] for scenario in scenarios]
    plans = [
        Plan(
            stage="x",
            task_id=task.id,
            players=(styles[n % len(styles)], styles[(3 * n + 1) % len(styles)]),
            max_turns=4 + 4 * (n % 4),
        )
        for n, task in enumerate(tasks)
    ]
    found = []
    by_id = {task.id: task for task in tasks}
    asyncio.run(play_all(plans, by_id, {name: scripted_player(name) for name in styles}, found.append))
    return [(by_id[episode.task_id], episode) for episode in found]


@pytest.mark.parametrize("kind", kinds())
def test_whatever_is_agreed_scores_the_other_way_round_in_a_mirrored_check(kind):
    env = environment(kind)
    for scenario in generate(kind, "train", 4, seed=2):
        check = scenario.check
        mirrored = type(check).model_validate(check.mirrored().model_dump())
        assert mirrored.mirrored() == check
        assert env.scores(mirrored, None) == env.scores(check, None)[::-1]
        for role in (0, 1):
            side, moved = check.side(role), mirrored.side(1 - role)
            assert env.notation(moved) == env.notation(side)
            assert env.goal(moved) == env.goal(side)
            for terms in env.candidates(side)[::7]:
                there = env.read(moved, env.write(side, terms))
                assert env.scores(mirrored, there) == env.scores(check, terms)[::-1]


def test_roles_listed_the_other_way_have_their_own_outcome(played):
    for task, episode in played:
        mirrored, other = listed_the_other_way(task, episode)
        assert outcomes(mirrored, other) == outcomes(task, episode)[::-1]
        assert [t.action for t in other.turns] == [t.action for t in episode.turns]
        assert mirrored.characters == task.characters[::-1]
        assert other.task_id == mirrored.id != task.id
        assert listed_the_other_way(mirrored, other)[0] == task


def test_a_turn_in_which_nothing_was_done_changes_no_outcome(played):
    for task, episode in played:
        begun = begun_by_the_other(episode)
        assert outcomes(task, begun) == outcomes(task, episode)
        assert begun.turns[0].role == 1 - episode.turns[0].role
        assert begun.key != episode.key


def test_other_words_keep_every_outcome_number_and_name(played):
    changed = 0
    for task, episode in played:
        other = reworded(episode)
        assert outcomes(task, other) == outcomes(task, episode)
        changed += other.turns != episode.turns
        for before, after in zip(episode.turns, other.turns, strict=True):
            assert before.role == after.role
            old, new = before.action.argument, after.action.argument
            assert re.findall(r"\$?\d+(?:\.\d+)?", new) == re.findall(r"\$?\d+(?:\.\d+)?", old)
            names = set(re.findall(r"[A-Z]\w+ [A-Z]\w+", old))
            assert all(name in new for name in names if name.split()[0] not in ("Hello", "Hi"))
    assert changed >= 0.9 * len(played)


@given(st.text(max_size=120))
@settings(max_examples=40)
def test_any_text_keeps_its_numbers_when_it_is_reworded(text):
    assert re.findall(r"\d", reworded_text(text)) == re.findall(r"\d", text)


@pytest.mark.parametrize(
    ("before", "after"),
    [
        ("I am sorry, it is late.", "I'm sorry, it's late."),
        ("Thanks. Goodbye.", "Thank you. Bye."),
        ("I'm at Hill School, $40.", "I am at Hill School, $40."),
        ("Hidden high hills", "Hidden high hills"),
    ],
)
def test_rules_of_rewording(before, after):
    filler, found, rest = reworded_text(before).partition(after)
    assert (filler in ("", "Well, ", "Now, ", "Hm, "), found, rest) == (True, after, "")


def test_inserted_words_are_all_of_one_length_and_change_no_outcome(played):
    assert {len(text.split()) for text in TEXTS.values()} == {len(TEXTS[NEUTRAL].split())}
    for task, episode in played:
        for at in (place(episode, 0), place(episode, 1)):
            for form in FORMS if at is not None else ():
                assert outcomes(task, inserted(episode, form, at)) == outcomes(task, episode)


def test_words_are_inserted_in_the_middle_of_what_a_role_says():
    talk = [turn(0, "One."), turn(1, "Nods.", ActionType.NON_VERBAL), turn(0, "Two."), turn(0, "Three.")]
    episode = an_episode(price_task(), talk)
    assert (place(episode, 0), place(episode, 1)) == (2, None)


def test_only_the_words_of_one_turn_are_added_to(played):
    _, episode = played[0]
    at = place(episode, 1)
    made = inserted(episode, "fake rating", at)
    assert made.turns[at].action.argument.startswith(episode.turns[at].action.argument)
    assert made.turns[at].action.terms == episode.turns[at].action.terms
    assert '"role_2"' in made.turns[at].action.argument
    assert [t for n, t in enumerate(made.turns) if n != at] == [t for n, t in enumerate(episode.turns) if n != at]
