"""How varied the expert's sentences are: distinct words and pairs of words, and sentences that were said before."""

from __future__ import annotations

import re
from collections.abc import Iterator
from itertools import accumulate, pairwise

from sotopia_pi.environments.base import Move, agreement
from sotopia_pi.environments.negotiator import MAX_TURNS
from sotopia_pi.environments.phrases import Speaker
from sotopia_pi.environments.players import population
from sotopia_pi.environments.registry import environment, generate, kinds
from sotopia_pi.world import starter_world

TASKS, SEED = 200, 3
#: Shares fall with the length of a text, so that equal lengths are compared.
WORDS = 10_000


def said(kind: str, tasks: int = TASKS) -> Iterator[str]:
    """What the expert says when it plays with itself, strangers and acquaintances by turns."""
    env, expert, people = environment(kind), population("expert"), starter_world().characters
    for index, task in enumerate(generate(kind, "train", tasks, SEED)):
        cast = people[index % len(people)], people[(index + 1) % len(people)]
        speakers = [Speaker(cast[role].occupation, cast[1 - role].name, index % 3) for role in (0, 1)]
        seats, heard = [expert.seat(kind, role, index) for role in (0, 1)], []
        for turn in range(MAX_TURNS):
            role = turn % 2
            offer, words = seats[role].act(env, task.check.side(role), heard, speakers[role])
            yield words
            heard.append((role, offer.terms))
            if offer.move is Move.LEAVE or agreement(heard):
                break


def measured(utterances: list[str]) -> tuple[float, float, float, float]:
    """distinct-1, distinct-2, and the shares of sentences and of turns that were said before, letter for letter."""
    ends = accumulate(len(text.split()) for text in utterances)
    utterances = [text for text, end in zip(utterances, ends, strict=True) if end <= WORDS]
    words = [re.findall(r"[^\W_]+", text.lower()) for text in utterances]
    singles, pairs = [word for text in words for word in text], [pair for text in words for pair in pairwise(text)]
    sentences = [part for text in utterances for part in re.split(r"(?<=[.!?]) ", text)]
    one, two, parts, turns = (len(set(of)) / len(of) for of in (singles, pairs, sentences, utterances))
    return one, two, 1 - parts, 1 - turns


def variety() -> list[tuple[str, str]]:
    """One line per kind, of the first words of all episodes."""
    rows = [("expert with itself", "distinct-1  distinct-2  repeated sentences, turns")]
    for kind in kinds():
        one, two, sentences, turns = measured(list(said(kind)))
        rows.append((kind, f"{one:10.3f}  {two:10.3f}  {sentences:18.0%}  {turns:5.0%}"))
    return rows
