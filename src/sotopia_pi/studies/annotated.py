"""What people said in studies of our own, as `evaluation.people` reads it: one list of episodes per policy."""

from __future__ import annotations

from collections.abc import Mapping

from sotopia_pi.episodes.records import HUMAN
from sotopia_pi.errors import ConfigError
from sotopia_pi.evaluation.people import Annotated, Annotation, Scores, role_of
from sotopia_pi.ratings.combine import combined
from sotopia_pi.ratings.records import Rating
from sotopia_pi.store import Store
from sotopia_pi.studies.choosing import find
from sotopia_pi.studies.export import model_of


def annotated(store: Store, study: str | None = None) -> dict[str, list[Annotated]]:
    """The episodes of two roles that people rated, in one study or in all, by the policy under test.

    That is the policy whose evaluation the episode belongs to, else who played role 0. Ratings of judges and of the
    verifier come along, of one role or both. ConfigError when people have rated nothing there, StoreError.
    """
    mark = HUMAN if study is None else f"{HUMAN}{study}/"
    keys = {rating.episode for rater in _raters(store, mark) for rating in store.ratings(rater=rater)}
    found: dict[str, list[Annotated]] = {}
    for episode in store.episodes(keys=keys):
        policy = model_of(episode)
        policy = policy if policy in episode.players else episode.players[0]
        if len(episode.players) != 2:
            continue
        task = store.task(episode.task_id)
        one = Annotated(episode.key, task.scenario.id, role_of(policy, episode.players))
        for rater, by_role in combined(store.ratings(episode=episode.key)).items():
            scores = _both(by_role)
            if scores is None:
                continue
            if rater.startswith(mark):
                one.annotations.append(Annotation(rater.removeprefix(HUMAN), scores))
            elif not rater.startswith(HUMAN):
                one.judged[rater] = scores
        if one.annotations:
            found.setdefault(policy, []).append(one)
    if not found:
        if study is not None:
            find(store, study)  # a name that is no study's is another error
        where = f"in the study {study!r}" if study else "here"
        raise ConfigError(f"People have rated nothing {where} yet; see `sotopia-pi study status`.")
    return found


def _raters(store: Store, mark: str) -> list[str]:
    return [rater for rater in store.raters() if rater.startswith(mark)]


def _both(by_role: Mapping[int, Rating]) -> tuple[Scores, Scores] | None:
    """The scores by role, empty where the rating failed; None where no role has any."""
    first, second = (by_role[role].scores if role in by_role else {} for role in (0, 1))
    return (first, second) if first or second else None
