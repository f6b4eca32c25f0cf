"""Replies become actions or an ActionError, never anything else; a JSON object's end is found exactly."""

from __future__ import annotations

import json

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from sotopia_pi.environments import kinds
from sotopia_pi.episodes.records import Action, ActionError, ActionType, action_schema, parse_action
from sotopia_pi.models.jsontext import json_object_end

SPEAK = Action(type=ActionType.SPEAK, argument='Hello {you}, "friend"')
SAID = SPEAK.to_json()

READABLE = {
    "canonical": (SAID, SPEAK),
    "fenced": (f"```json\n{SAID}\n```", SPEAK),
    "prefaced": (f"Sure, here is my reply: {SAID} I hope that helps.", SPEAK),
    "second object ignored": (f"{SAID}{SAID}", SPEAK),
    "unknown keys": ('{"thought": {"a": 1}, "action_type": "speak", "argument": "Hi"}', ("speak", "Hi")),
    "loose case": ('{"action_type": " Speak ", "argument": "  Hi "}', ("speak", "Hi")),
    "none": ('{"action_type": "none", "argument": ""}', ("none", "")),
    "none without argument": ('{"action_type": "none"}', ("none", "")),
    "leave": ('{"action_type": "leave", "argument": ""}', ("leave", "")),
    "bow": ('{"action_type": "non-verbal communication", "argument": "bows"}', ("non-verbal communication", "bows")),
    "action": ('{"action_type": "action", "argument": "pays"}', ("action", "pays")),
    "line break in a string": ('{"action_type": "speak", "argument": "a\nb"}', ("speak", "a\nb")),
    "unicode": ('{"action_type": "speak", "argument": "caf\\u00e9 \\ud83d\\ude00"}', ("speak", "café 😀")),
    "Python's quotes": ("{'action_type': 'speak', 'argument': 'I\"m here'}", ("speak", 'I"m here')),
    "a comma too many": ('{"action_type": "speak", "argument": "Hi, }",}', ("speak", "Hi, }")),
    "no brace at the end": ('{"action_type": "speak", "argument": "Hi"\n', ("speak", "Hi")),
    "braces in the preface": ("{well} " + SAID, SPEAK),
    "half a surrogate pair": ('{"action_type": "speak", "argument": "a\\ud83d"}', ("speak", "a\ufffd")),
}  # fmt: skip

MALFORMED = {
    "empty": ("", "no JSON object"),
    "prose": ("I would like to buy it.", "no JSON object"),
    "list": ('["speak", "Hi"]', "no JSON object"),
    "open": ('{"action_type": "speak", "argument": "Hi', "not valid JSON"),
    "single quotes and an escape": (r"{'action_type': 'speak', 'argument': 'a\x41'}", "not valid JSON"),
    "cut off in a string, with a brace": ('{"action_type": "speak", "argument": "Hi}', "not valid JSON"),
    "empty object": ("{}", "must be one of: none, speak, non-verbal communication, action, leave"),
    "unknown type": ('{"action_type": "shout", "argument": "Hi"}', "must be one of"),
    "type is a number": ('{"action_type": 1, "argument": "Hi"}', "must be one of"),
    "type is a list": ('{"action_type": ["speak"], "argument": "Hi"}', "must be one of"),
    "argument is a number": ('{"action_type": "speak", "argument": 5}', "must be a text"),
    "argument is null": ('{"action_type": "speak", "argument": null}', "must be a text"),
    "nothing said": ('{"action_type": "speak", "argument": "  "}', "must not be empty for 'speak'"),
    "nothing done": ('{"action_type": "action"}', "must not be empty for 'action'"),
    "nested too deeply": ('{"a": ' + '{"a": ' * 50_000, "not valid JSON"),
    "number too long": ('{"action_type": "speak", "argument": ' + "9" * 5000 + "}", "not valid JSON"),
}


@pytest.mark.parametrize("name", READABLE)
def test_readable_replies(name: str) -> None:
    text, expected = READABLE[name]
    action = parse_action(text)
    assert action == (
        expected if isinstance(expected, Action) else Action(type=ActionType(expected[0]), argument=expected[1])
    )


@pytest.mark.parametrize("name", MALFORMED)
def test_malformed_replies_say_what_is_wrong(name: str) -> None:
    text, complaint = MALFORMED[name]
    with pytest.raises(ActionError, match=complaint):
        parse_action(text)


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(), inner, max_size=3),
    max_leaves=8,
)
OBJECTS = st.dictionaries(st.sampled_from(["action_type", "argument", "x"]) | st.text(), JSON, max_size=4)
NEAR_MISSES = st.builds(
    lambda kind, argument, cut: json.dumps({"action_type": kind, "argument": argument})[:cut],
    st.sampled_from([*ActionType, "shout"]),
    JSON,
    st.integers(min_value=1, max_value=60),
)


@given(
    st.text()
    | NEAR_MISSES
    | OBJECTS.map(json.dumps)
    | st.text(alphabet='{}[]":,\\u0123456789deaction_type ').map("{".__add__)
)
@settings(max_examples=300)
def test_any_text_is_an_action_or_an_action_error(text: str) -> None:
    try:
        action = parse_action(text)
    except ActionError as error:
        assert str(error)
    else:
        assert parse_action(action.to_json()) == action
        action.to_json().encode()  # a tokenizer can take it


ARGUMENTS = st.text(st.characters(exclude_categories=["Cs"]), min_size=1).filter(
    lambda text: text.strip() == text and "\0" not in text
)


@given(st.sampled_from(ActionType), ARGUMENTS)
def test_canonical_reply_round_trip(kind: ActionType, argument: str) -> None:
    action = Action(type=kind, argument=argument)
    assert parse_action(action.to_json()) == action
    assert parse_action(f"Well: {action.to_json()} }} {{") == action


@given(ARGUMENTS, ARGUMENTS)
def test_terms_are_part_of_the_canonical_reply(argument: str, terms: str) -> None:
    action = Action(type=ActionType.SPEAK, argument=argument, terms=terms)
    assert list(json.loads(action.to_json())) == ["action_type", "argument", "terms"]
    assert parse_action(action.to_json(), declare=lambda value, words: str(value)) == action
    assert parse_action(action.to_json()) == action.model_copy(update={"terms": None})


def test_where_no_terms_are_asked_for_they_are_a_key_like_any_other() -> None:
    twice = '{"action_type": "speak", "argument": "Hi", "terms": {"a": [1]}, "terms": 2}'
    assert parse_action(twice) == Action(type=ActionType.SPEAK, argument="Hi")
    with pytest.raises(ActionError, match='"terms" stands twice in the object'):
        parse_action(twice, declare=lambda value, words: None)


@pytest.mark.parametrize("kind", [None, *kinds()])
def test_a_schema_asks_for_what_is_read(kind: str | None) -> None:
    named, schema = action_schema(kind).name, action_schema(kind).schema
    assert named == ("action" if kind is None else f"action_{kind}")
    keys = ["action_type", "argument", *(["terms"] if kind else [])]
    assert list(schema["properties"]) == schema["required"] == keys
    assert schema["additionalProperties"] is False


@given(OBJECTS, st.text(), st.text().filter(lambda text: "{" not in text), st.booleans())
def test_end_of_an_object_is_exact(value: dict[str, object], after: str, before: str, plain: bool) -> None:
    text = json.dumps(value, ensure_ascii=plain)
    assert json_object_end(before + text + after) == len(before + text)
    assert json_object_end(before + text[:-1]) is None


@pytest.mark.parametrize(
    ("text", "end"),
    [
        ("", None),
        ("}{", None),
        ('{"a": "}"', None),
        ('{"a": "}"}', 10),
        ('{"a": "\\"}"} tail }', 12),
        ('{"a": "\\\\"} tail', 11),
        ("{{}}}", 4),
    ],
)
def test_braces_in_strings_do_not_count(text: str, end: int | None) -> None:
    assert json_object_end(text) == end
