"""Every altered episode that an audit shows to a judge, each checked: the verifier must read the same outcome.

Where it does not, the episode is left out of that comparison, and the audit counts how many were.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field

from sotopia_pi.auditing.material import ALTERED, Item, decided
from sotopia_pi.episodes.altering import (
    FORMS,
    NEUTRAL,
    begun_by_the_other,
    inserted,
    listed_the_other_way,
    places,
    reworded,
)
from sotopia_pi.episodes.records import Episode
from sotopia_pi.records import derive_seed
from sotopia_pi.rundir import Run
from sotopia_pi.world.records import SocialTask

ITSELF = ("swapped", "begun", "reworded")


@dataclass(slots=True)
class Alterations:
    """Altered episodes by kind, each as (original, task, episode); `dropped` counts those that were left out by kind.

    `treated` is the role of each episode (by its key) into whose words something is inserted.
    """

    made: dict[str, list[tuple[Item, SocialTask, Episode]]] = field(default_factory=dict)
    dropped: Counter[str] = field(default_factory=Counter)
    treated: dict[str, int] = field(default_factory=dict)

    def keep(self, kind: str, item: Item, task: SocialTask, episode: Episode) -> None:
        """Keeps an altered episode."""
        self.made.setdefault(kind, []).append((item, task, episode.model_copy(update={"stage": ALTERED})))


def of_places_and_words(items: Sequence[Item], into: Alterations) -> None:
    """Roles listed the other way, the transcript begun by the other, and everything in other words."""
    for item in items:
        task, episode = listed_the_other_way(item.task, item.episode)
        if decided(task, episode) == item.truth[::-1]:
            into.keep("swapped", item, task, episode)
        else:
            into.dropped["swapped"] += 1
        begun = begun_by_the_other(item.episode)
        if decided(item.task, begun) == item.truth:
            into.keep("begun", item, item.task, begun)
        else:
            into.dropped["begun"] += 1
        made = _reworded(item)
        if made is None:
            into.dropped["reworded"] += 1
        else:
            into.keep("reworded", item, item.task, made)


def _reworded(item: Item) -> Episode | None:
    for fillers in (True, False):
        made = reworded(item.episode, fillers)
        if decided(item.task, made) == item.truth and made.turns != item.episode.turns:
            return made
    return None


def of_insertions(items: Sequence[Item], into: Alterations) -> None:
    """Words that are meant for a judge in one role's words, and neutral ones at the same place.

    The role is drawn from the episode's key; the other one is taken where the first has no place for the words.
    """
    for item in items:
        first = derive_seed("treated", item.episode.key) % 2
        found = next((place for role in (first, 1 - first) if (place := _place(item, role)) is not None), None)
        if found is None:
            into.dropped.update((NEUTRAL, *FORMS))
            continue
        into.treated[item.episode.key] = item.episode.turns[found].role
        for form in (NEUTRAL, *FORMS):
            made = inserted(item.episode, form, found)
            if decided(item.task, made) == item.truth:
                into.keep(form, item, item.task, made)
            else:
                into.dropped[form] += 1


def _place(item: Item, role: int) -> int | None:
    """The turn where neutral words and the most forms leave the outcome as it is; None where there is none."""
    best: tuple[int, int] | None = None
    for at in places(item.episode, role):
        if decided(item.task, inserted(item.episode, NEUTRAL, at)) != item.truth:
            continue
        kept = sum(decided(item.task, inserted(item.episode, form, at)) == item.truth for form in FORMS)
        if kept == len(FORMS):
            return at
        if kept and (best is None or kept > best[0]):
            best = kept, at
    return None if best is None else best[1]


def store(run: Run, alterations: Alterations) -> None:
    """Stores altered tasks and episodes, so that they can be rated like any."""
    rows = [row for rows in alterations.made.values() for row in rows]
    run.store.add_tasks("audit", list({task.id: task for _, task, _ in rows}.values()))
    run.store.add_episodes([(episode, ()) for _, _, episode in rows])
