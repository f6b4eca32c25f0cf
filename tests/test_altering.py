"""Altered episodes: one thing is changed, and the outcome is not."""

from __future__ import annotations

import asyncio
import re

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sotopia_pi.ratings.told_checks import told_check

from sotopia_pi.episodes.altering import (
    FORMS,
    NEUTRAL,
    begun_by_the_other,
    inserted,
    listed_the_other_way,
    places,
    reworded,
    reworded_text,
)
from sotopia_pi.episodes.altering.inserting import TEXTS
from sotopia_pi.episodes.play import Plan, play_all
from sotopia_pi.episodes.scripted import STYLES, scripted_player
from sotopia_pi.ratings.verifier import verify
from sotopia_pi.world import cast, starter_world
from sotopia_pi.world.verified import KINDS, generate


def outcomes(task, episode):
    return [rating.scores for rating in verify(task, episode)]


@pytest.fixture(scope="module")
def played():
    """Episodes of all kinds between scripted players of all styles."""
    world, styles = starter_world(), list(STYLES)
    tasks = [cast(s, world.characters, world.ties, 1)[0] for kind in KINDS for s in generate(kind, "test", 10, seed=5)]
    plans = [
        Plan(stage="x", task_id=task.id, players=(styles[n % 11], styles[(3 * n + 1) % 11]), max_turns=4 + 4 * (n % 4))
        for n, task in enumerate(tasks)
    ]
    found = []
    by_id = {task.id: task for task in tasks}
    asyncio.run(play_all(plans, by_id, {name: scripted_player(name) for name in styles}, found.append))
    return [(by_id[episode.task_id], episode) for episode in found]


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
    assert reworded_text(before, fillers=False) == after


def test_inserted_words_are_all_of_one_length_and_change_no_outcome(played):
    assert {len(text.split()) for text in TEXTS.values()} == {len(TEXTS[NEUTRAL].split())}
    kept = dict.fromkeys(FORMS, 0)
    for task, episode in played:
        for form in FORMS:
            kept[form] += any(
                outcomes(task, inserted(episode, form, at)) == outcomes(task, episode)
                for role in (0, 1)
                for at in places(episode, role)
            )
    assert min(kept.values()) >= 0.8 * len(played)


def test_only_the_words_of_one_turn_are_added_to(played):
    _, episode = played[0]
    at = next(places(episode, 1))
    made = inserted(episode, "fake rating", at)
    assert made.turns[at].action.argument.startswith(episode.turns[at].action.argument)
    assert '"role_2"' in made.turns[at].action.argument
    assert [t for n, t in enumerate(made.turns) if n != at] == [t for n, t in enumerate(episode.turns) if n != at]


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("split", ["train", "dev", "test"])
def test_a_check_is_read_back_from_its_words(kind, split):
    for scenario in generate(kind, split, 25, seed=3):
        assert told_check(scenario.situation, scenario.goals) == scenario.check


@given(st.text(max_size=60), st.lists(st.text(max_size=60), max_size=3))
@settings(max_examples=40)
def test_no_other_words_tell_a_check(situation, goals):
    assert told_check(situation, goals) is None
    assert told_check("Two friends talk.", ["Be kind.", "Be honest."]) is None
