"""Keys do not come back: found in every form in which texts carry them, and ordinary words are left alone."""

from __future__ import annotations

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st
from serving import ask, client, completion, scripted, spelled

from sotopia_pi.models.remote.complaints import one_line
from sotopia_pi.redaction import keep_secret, without_secrets
from sotopia_pi.store.schema import storable

KEY = "sk-Found+Anywhere/42=="
keep_secret(KEY)


@pytest.mark.parametrize("form", spelled(KEY))
def test_a_key_is_found_in_every_form_and_its_surroundings_stay(form: str) -> None:
    kept = without_secrets(f"a key\n{form} \\n and “more”")
    assert kept.startswith("a key\n") and kept.endswith(" \\n and “more”") and "***" in kept
    assert form not in kept and len(kept) < 45
    assert "***" in storable(form) and form not in json.dumps(storable(form))


@pytest.mark.parametrize("form", [*spelled(KEY), "\x01".join(KEY), json.dumps({"Authorization": f"Bearer {KEY}"})])
def test_replies_and_refusals_have_none(form: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OPENAI_API_KEY", KEY)
    with scripted(completion(f"It is {form}!")) as server:
        assert form not in ask(client(server)).text
    assert KEY not in one_line(form) and "***" in one_line(form)


@given(st.text(max_size=80))
def test_other_texts_stay_as_they_are(text: str) -> None:
    assert without_secrets(text) is text or KEY.lower() in text.lower()


def test_a_filler_is_no_key(monkeypatch: pytest.MonkeyPatch) -> None:
    for filler in ("x", "none", "EMPTY", "speak"):
        monkeypatch.setenv("OPENAI_API_KEY", filler)
        with scripted(completion('{"action_type": "none", "argument": "x"}')) as server:
            assert ask(client(server)).text == '{"action_type": "none", "argument": "x"}'


def test_long_keys_and_long_texts_take_no_time() -> None:
    """Each of these took minutes where every character of a text is compared with every form of a key."""
    long = "".join(chr(33 + number * 7 % 90) for number in range(2000))
    keep_secret(long)
    assert without_secrets(f"<{long}>") == "<***>"
    for text in ("\\" * 300_000, "s\u200b" * 150_000, "%25" * 100_000, "\\u0073" * 50_000, "&#1" * 100_000):
        assert without_secrets(text) == text
