"""Drafts: they continue what was said before, within their limit."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sotopia_pi.models import drafting
from sotopia_pi.models.drafting import Drafter

TOKENS = st.lists(st.integers(0, 5), max_size=12)
PROMPT = [101, 102]


def practised(*replies: list[int], times: int = 1) -> Drafter:
    drafter = Drafter()
    for _ in range(times):
        for reply in replies:
            drafter.learn([*PROMPT, *reply])
    return drafter


def test_what_was_said_before_is_drafted() -> None:
    drafter = practised([1, 2, 3, 4], times=9)
    assert drafter.draft([7, *PROMPT], 10) == [1, 2, 3, 4]
    assert drafter.draft([7, *PROMPT, 1, 2], 1) == [3]
    assert drafter.draft([7, *PROMPT, 1, 9], 10) == []


def test_a_draft_ends_where_it_is_uncertain() -> None:
    assert practised([1, 2, 3], [1, 2, 4], times=9).draft(PROMPT, 10) == [1, 2]


def test_nothing_is_drafted_before_anything_was_said() -> None:
    assert Drafter().draft(PROMPT, 10) == []


def test_the_longest_context_decides() -> None:
    drafter = practised([1, 2, 3, 4, 5, 6], times=3)
    drafter.learn([8, 8, 3, 4, 9])
    assert drafter.draft([8, 8, 3, 4], 1) == [9]
    assert drafter.draft([*PROMPT, 1, 2, 3, 4], 1) == [5]


def test_memory_is_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(drafting, "_CONTEXTS", 100)
    drafter = Drafter()
    for start in range(0, 3000, 10):
        drafter.learn(list(range(start, start + 10)))
    assert len(drafter._followers) <= 100 + 3 * 10


@given(replies=st.lists(TOKENS, max_size=6), context=TOKENS, limit=st.integers(-2, 8))
def test_drafts_keep_their_limit_and_only_say_what_was_said(
    replies: list[list[int]], context: list[int], limit: int
) -> None:
    draft = practised(*replies).draft(context, limit)
    assert len(draft) <= max(limit, 0)
    assert set(draft) <= {token for reply in replies for token in reply}
