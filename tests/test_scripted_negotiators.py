"""Scripted players hear terms and nothing else; whatever the partner declares, what they say keeps the rules."""

from __future__ import annotations

import sys
from pathlib import Path
from random import Random
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from sotopia_pi.environments import GOAL, Move, agreement, environment, generate, kinds
from sotopia_pi.environments.phrases import TEMPLATES, VOICES, Speaker
from sotopia_pi.environments.players import POPULATIONS, Seat, population
from sotopia_pi.errors import ConfigError

sys.path.insert(0, str(Path(__file__).parent.parent))
from benchmarks.exploits import POLICIES, measure, scripted

SPEAKERS = (Speaker("nurse", "Ben", 2), Speaker("archivist"))
TURNS = 20


def talk(kind: str, task: Any, seats: tuple[Seat, Seat]) -> list[tuple[int, Any, str]]:
    """Both seats until they agree or one leaves: role, offer, words."""
    env, heard, said = environment(kind), [], []
    for turn in range(TURNS):
        role = turn % 2
        offer, words = seats[role].act(env, task.check.side(role), heard, SPEAKERS[role])
        said.append((role, offer, words))
        if offer.move is Move.LEAVE:
            break
        heard.append((role, offer.terms))
        if agreement(heard):
            break
    return said


@st.composite
def scenes(draw: st.DrawFn) -> Any:
    """A kind, a check, a seat of any population, and partners that are silent, stubborn, absurd or at random."""
    kind = draw(st.sampled_from(kinds()))
    env = environment(kind)
    rng = Random(draw(st.integers(0, 9999)))
    check = env.draw(rng, "dev", rng.choice(env.entries("dev")))
    role = draw(st.integers(0, 1))
    seat = POPULATIONS[draw(st.sampled_from(sorted(POPULATIONS)))].seat(kind, role, draw(st.integers(0, 9999)))
    theirs = [None, *env.candidates(check.side(1 - role)), *env.outcomes(check)]
    turns = draw(st.lists(st.integers(0, len(theirs) - 1), min_size=10, max_size=10))
    return env, check, role, seat, [theirs[index] for index in turns]


@given(scenes())
@settings(max_examples=40)
def test_whatever_the_partner_declares_a_script_keeps_the_rules(scene: Any) -> None:
    env, check, role, seat, theirs = scene
    side, heard = check.side(role), []
    for turn in range(TURNS):
        if turn % 2 != role:
            heard.append((1 - role, theirs[turn // 2]))
        else:
            offer, words = seat.act(env, side, heard, SPEAKERS[role])
            assert (offer, words) == seat.act(env, side, heard, SPEAKERS[role])
            assert words
            if offer.move is Move.LEAVE:
                assert offer.terms is None
                break
            assert env.within(side, offer.terms)
            assert env.parse(side, env.write(side, offer.terms)) == offer.terms
            env.check_words(side, offer.terms, words, heard)
            if offer.move is Move.ACCEPT:
                assert heard[-1][1] == offer.terms
            heard.append((role, offer.terms))
        if agreement(heard):
            break


@pytest.mark.parametrize("kind", kinds())
@pytest.mark.parametrize("stubborn", [False, True], ids=["silent", "stubborn"])
def test_partners_leave_who_never_moves(kind: str, stubborn: bool) -> None:
    env = environment(kind)
    for index, task in enumerate(generate(kind, "train", 5, 2)):
        side, heard = task.check.side(1), []
        own = max(env.candidates(task.check.side(0)), key=lambda terms: env.worth(task.check.side(0), terms))
        seat = POPULATIONS["partner-train"].seat(kind, 1, index)
        for _ in range(TURNS // 2):
            heard.append((0, own if stubborn else None))
            offer, _ = seat.act(env, side, heard, SPEAKERS[1])
            if offer.move in (Move.LEAVE, Move.ACCEPT):
                break
            heard.append((1, offer.terms))
        assert offer.move in ((Move.LEAVE, Move.ACCEPT) if stubborn else (Move.LEAVE,)) or kind == "friend"


def test_episodes_repeat_for_a_seed_and_no_two_are_alike() -> None:
    expert, partner = POPULATIONS["expert"], POPULATIONS["partner"]
    task = generate("price", "train", 1, 1)[0]
    pairs = [(expert.seat("price", 0, seed), partner.seat("price", 1, seed)) for seed in range(12)]
    talks = [talk("price", task, pair) for pair in pairs]
    assert talks == [talk("price", task, pair) for pair in pairs]
    assert len({" ".join(words for _, _, words in said) for said in talks}) == 12


def test_populations_share_neither_styles_nor_sentences() -> None:
    names = [temper.name for whole in POPULATIONS.values() for temper in whole.tempers]
    assert len(set(names)) == len(names)
    assert len({whole.voice for whole in POPULATIONS.values()}) == len(POPULATIONS) == VOICES
    for templates in TEMPLATES.values():
        assert len(set(templates)) == len(templates)
        assert len(templates) % VOICES == 0
    assert population("haggler").tempers[0].name == "haggler"
    with pytest.raises(ConfigError, match="the names are expert, partner-train"):
        population("nobody")


def test_every_kind_has_mixes_that_exist() -> None:
    for whole in POPULATIONS.values():
        for kind in (*kinds(), "swap"):
            assert whole.mix(kind)


def test_experts_reach_agreements_worth_having_and_find_the_friend() -> None:
    for kind in kinds():
        env, expert, partner = environment(kind), POPULATIONS["expert"], POPULATIONS["partner-train"]
        goals = []
        for index, task in enumerate(generate(kind, "train", 15, 4)):
            said = talk(kind, task, (expert.seat(kind, 0, index), partner.seat(kind, 1, index)))
            made = agreement([(role, offer.terms) for role, offer, _ in said])
            goals.append(env.scores(task.check, made.terms if made else None)[0][GOAL])
        assert sum(goals) / len(goals) > (8 if kind == "friend" else 2.5), kind


@pytest.mark.parametrize("kind", ["price", "division", "meeting", "favour"])
def test_hard_noses_earn_less_than_the_expert(kind: str) -> None:
    """A small sample of the table of `benchmarks/exploits.py`."""
    tasks = generate(kind, "train", 20, 9)
    partners = scripted(POPULATIONS["partner-train"].tempers)
    expert = measure(kind, tasks, scripted(POPULATIONS["expert"].mix(kind)), partners)
    for name in (
        "hold 4, accept",
        "hold 8, accept",
        "refuse always",
        "absurd 3, accept",
        "instructions in words",
        "accept at once",
    ):
        assert measure(kind, tasks, POLICIES[name], partners) < expert - 0.5, name
