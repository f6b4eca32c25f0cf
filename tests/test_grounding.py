"""Whether words name the terms that are declared, and what was agreed on, in numbers."""

from __future__ import annotations

from support import price_task, turn

from sotopia_pi.episodes.records import Episode, StopReason, Turn
from sotopia_pi.evaluation.grounding import declared, grounding, render_grounding
from sotopia_pi.evaluation.records import Declared, Result
from sotopia_pi.models.answers import Cause
from sotopia_pi.ratings.verifier import verify

TASK = price_task()


def said(role: int, words: str, terms: str | None = None) -> Turn:
    made = turn(role, words)
    return made.model_copy(update={"action": made.action.model_copy(update={"terms": terms})})


def episode(*turns: Turn) -> Episode:
    return Episode(key="e", task_id=TASK.id, stage="x", players=("a", "b"), turns=turns, stop_reason=StopReason.AGREED)


def measured(role: int, *turns: Turn) -> Declared:
    played = episode(*turns)
    found = declared(TASK, played, role, {rating.role: rating for rating in verify(TASK, played)})
    assert found is not None
    return found


def test_proposals_are_counted_and_acceptances_are_not() -> None:
    turns = (said(0, "Take it for $18.", "$18"), said(1, "A fair price?", "$12"), said(0, "Yes.", "$12"))
    assert measured(0, *turns) == Declared(proposals=1, named=1, beyond=False, one_sided=False, joint=1.0)
    assert measured(1, *turns) == Declared(proposals=1, named=0, beyond=False, one_sided=False, joint=1.0)


def test_an_agreement_beyond_a_limit_is_that_roles_own() -> None:
    turns = (said(0, "I ask $25.", "$25"), said(1, "Fine.", "$25"))
    seller, buyer = measured(0, *turns), measured(1, *turns)
    assert (seller.beyond, buyer.beyond) == (False, True)
    assert (seller.one_sided, seller.joint) == (True, 0.0)


def test_turns_that_their_terms_made_invalid_are_counted_by_cause() -> None:
    lost = [turn(0, "", raw="?", valid=False, cause=cause) for cause in (Cause.TERMS, Cause.UNNAMED, Cause.NO_JSON)]
    found = measured(0, *lost, said(1, "Bye"))
    assert found == Declared(proposals=0, named=0, invalid={"unreadable terms": 1, "unnamed terms": 1})


def test_an_open_or_unrated_episode_declares_nothing() -> None:
    played = episode(said(0, "Hello", "$12"))
    assert declared(TASK, played, 0, {}) is None
    opened = TASK.model_copy(update={"scenario": TASK.scenario.model_copy(update={"check": None})})
    assert declared(opened, played, 0, {}) is None


def test_shares_are_over_proposals_and_over_agreements() -> None:
    good = Declared(proposals=3, named=3, beyond=False, one_sided=True, joint=0.5)
    lost = Declared(proposals=0, named=0, invalid={"unnamed terms": 1}, joint=0.0)
    rows = [
        Result("bc", "partner", "test", kind, scenario, "t", 0, declared=own)
        for kind, scenario, own in (("price", "s1", good), ("division", "s2", lost), ("norms", "s3", None))
    ]
    (row,) = grounding(rows)
    assert (row["proposals"], row["named"], row["invalid"]) == (4, 0.75, {"unnamed terms": 1})
    assert (row["agreements"], row["beyond"], row["one_sided"]) == (1, 0.0, 1.0)
    assert row["joint"]["mean"] == 0.25
    assert row["kinds"]["division"]["beyond"] is None
    table = render_grounding([row])
    assert "75 %" in table and "invalid by cause: unnamed terms 1" in table
    assert grounding([]) == [] and render_grounding([]) == ""
