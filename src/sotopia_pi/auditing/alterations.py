"""Every altered episode that an audit shows to a judge; its terms, and so its outcome, are those of the original.

Where an episode cannot be altered it is left out of that comparison, and the audit counts how many were.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field

from sotopia_pi.auditing.material import ALTERED, Item, true_goals
from sotopia_pi.episodes.altering import (
    FORMS,
    NEUTRAL,
    begun_by_the_other,
    inserted,
    listed_the_other_way,
    place,
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
        mirrored = _mirrored(item)
        if mirrored is None:
            into.dropped["swapped"] += 1
        else:
            into.keep("swapped", item, *mirrored)
        into.keep("begun", item, item.task, begun_by_the_other(item.episode))
        made = reworded(item.episode)
        if made.turns == item.episode.turns:
            into.dropped["reworded"] += 1
        else:
            into.keep("reworded", item, item.task, made)


def _mirrored(item: Item) -> tuple[SocialTask, Episode] | None:
    """Task and episode with the roles exchanged; None where the kind of task cannot be given the other way round."""
    try:
        task, episode = listed_the_other_way(item.task, item.episode)
    except ValueError:
        return None
    return (task, episode) if true_goals(task, episode) == item.truth[::-1] else None


def of_insertions(items: Sequence[Item], into: Alterations) -> None:
    """Words that are meant for a judge in one role's words, and neutral ones at the same place.

    The role is drawn from the episode's key; the other one is taken where the first never speaks.
    """
    for item in items:
        first = derive_seed("treated", item.episode.key) % 2
        found = next((at for role in (first, 1 - first) if (at := place(item.episode, role)) is not None), None)
        if found is None:
            into.dropped.update((NEUTRAL, *FORMS))
            continue
        into.treated[item.episode.key] = item.episode.turns[found].role
        for form in (NEUTRAL, *FORMS):
            into.keep(form, item, item.task, inserted(item.episode, form, found))


def store(run: Run, alterations: Alterations) -> None:
    """Stores altered tasks and episodes, so that they can be rated like any."""
    rows = [row for rows in alterations.made.values() for row in rows]
    run.store.add_tasks("audit", list({task.id: task for _, task, _ in rows}.values()))
    run.store.add_episodes([(episode, ()) for _, _, episode in rows])
