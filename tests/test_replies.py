"""Which part of a reply counts: docs/replies.md to the letter, families of thoughts, slips, causes, hostile texts."""

from __future__ import annotations

import asyncio
import json
import re
from collections.abc import Callable
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from support import episode, price_task

from sotopia_pi.episodes.model_player import ModelPlayer
from sotopia_pi.episodes.records import Action, ActionError, ActionType, parse_action
from sotopia_pi.episodes.views import view
from sotopia_pi.evaluation.causes import NOT_RECORDED, invalid_turns, pointed_out, render_invalid
from sotopia_pi.models import jsontext
from sotopia_pi.models.answers import LONGEST, Cause, advice, answer_end, shown_again, without_thoughts
from sotopia_pi.models.fake import FakeModel
from sotopia_pi.models.protocol import Completion, Finish, Sampling
from sotopia_pi.ratings.dimensions import SEVEN, Dimension
from sotopia_pi.ratings.judge import Judge
from sotopia_pi.ratings.reply import ReplyError, parse_reply
from sotopia_pi.store import Store

PAGE = (Path(__file__).parent.parent / "docs" / "replies.md").read_text(encoding="utf-8")
EXAMPLES = re.findall(r"^```(reply|judge)\n(.*?)\n```\n+```(action|score|invalid)\n(.*?)\n```", PAGE, re.M | re.S)
GOAL = Dimension(name="goal", low=0, high=10, description="")
SPEAK = Action(type=ActionType.SPEAK, argument="Hi")
SAID = SPEAK.to_json()
DRAFT = '{"action_type": "leave", "argument": "My limit is $10."}'


def cause_of(text: str, finish: Finish = "stop") -> Cause:
    with pytest.raises(ActionError) as caught:
        parse_action(text, finish)
    return caught.value.cause


def judged(text: str) -> float:
    return parse_reply(text, "c0ffee", ["Ada"], [GOAL])[0].scores["goal"]


# The page


@pytest.mark.parametrize(("kind", "reply", "outcome", "expected"), EXAMPLES)
def test_the_examples_of_the_page(kind: str, reply: str, outcome: str, expected: str) -> None:
    read: Callable[[str], object] = parse_action if kind == "reply" else judged
    if outcome == "action":
        assert read(reply) == parse_action(expected)
    elif outcome == "score":
        assert read(reply) == float(expected)
    else:
        with pytest.raises((ActionError, ReplyError)) as caught:
            read(reply)
        assert caught.value.cause == expected


def test_the_page_has_examples_of_every_outcome_and_names_every_cause() -> None:
    assert {(kind, outcome) for kind, _, outcome, _ in EXAMPLES} == {
        ("reply", "action"), ("reply", "invalid"), ("judge", "score"), ("judge", "invalid"),
    }  # fmt: skip
    assert PAGE.count("```reply\n") + PAGE.count("```judge\n") == len(EXAMPLES)
    assert set(re.findall(r"^\| `([a-z JSON]+)` \|", PAGE, re.M | re.I)) == {*Cause, NOT_RECORDED}


# Thoughts

#: Of each family what begins and what ends a thought; an end that also counts alone comes with True.
FAMILIES = [
    ("<think>", "</think>", True),
    ("<THINK>\n", "\n</Think>", True),
    ("< think >", "</ think >", True),
    ('<think type="long">', "</think>", True),
    ("<thinking>", "</thinking>", True),
    ("<thought>", "</thought>", True),
    ("<reasoning>", "</reasoning>", True),
    ("<reflection>", "</reflection>", True),
    ("<scratchpad>", "</scratchpad>", True),
    ("<seed:think>", "</seed:think>", True),
    ("<longcat_think>", "</longcat_think>", True),
    ("[THINK]", "[/THINK]", True),
    ("[Think]", "[/Think]", True),
    ("◁think▷", "◁/think▷", True),
    ("<|START_THINKING|>", "<|END_THINKING|><|START_RESPONSE|>", True),
    ("<|inner_prefix|>", "<|inner_suffix|>", True),
    ("<|begin_of_thought|>", "<|end_of_thought|><|begin_of_solution|>", True),
    ("<|channel>thought\n", "<channel|>", True),
    ("<|channel|>analysis<|message|>", "<|end|><|start|>assistant<|channel|>final<|message|>", True),
    ("<|channel|>analysis<|message|>", "<|end|><|start|>assistant<|channel|>final <|constrain|>json<|message|>", True),
    ("<|channel|>commentary to=x <|constrain|>json<|message|>", "<|call|>", False),
    ("<|channel|>analysis<|message|>", "<|end|>", False),
    ("analysis", "assistantfinal", True),
    ("<|im_start|>think\n", "<|im_start|>answer\n", True),
    ("Here is my thought process:\n", "\nHere is my response:\n", False),
    ("Here's my thought process: ", "Here's my response: ", False),
]
THOUGHTS = [
    f"I might write {DRAFT} but no.",
    f'"Quotes, {{braces}} and {DRAFT}{DRAFT}',
    f'{{"action_type": "speak", "argument": "cut {DRAFT} \\',
    "We need to answer: {{{{ ```json " + DRAFT + " ``` [/INST] <other> \n</other>",
    f"// {DRAFT} /* {{'a",
]


@pytest.mark.parametrize(("begin", "end", "alone"), FAMILIES)
@pytest.mark.parametrize("thought", THOUGHTS)
def test_what_is_thought_is_not_done(begin: str, end: str, alone: bool, thought: str) -> None:
    shapes = [f"{begin}{thought}{end}{SAID}", f"{begin}{thought}{end}\n```json\n{SAID}\n```"]
    if begin.strip() != "analysis":  # which stands at the beginning of a reply
        shapes += [f"{SAID}\n{begin}{thought}{end}", f"{begin}{thought}{end}{begin}{thought}{end} {SAID}"]
    if "final" in end:
        shapes = shapes[:2]
    if alone:
        shapes += [f"{thought}{end}{SAID}", f"{begin}{thought}{end}{thought}{end}{SAID}"]
    for text in shapes:
        assert parse_action(text) == SPEAK, text
        assert "limit" not in without_thoughts(text)
    for text in (f"{begin}{thought}", f"{SAID}{begin}{thought}" if begin.strip() != "analysis" else begin + thought):
        assert cause_of(text) is Cause.THINKING
        assert answer_end(begin + thought) is None
    assert shown_again(f"{begin}{thought}") == "(no answer)"


@given(st.text(st.one_of(st.sampled_from('{}[]":,\\<>/|\n think'), st.characters())), st.sampled_from(FAMILIES))
def test_nothing_inside_a_thought_changes_what_is_done(inside: str, family: tuple[str, str, bool]) -> None:
    begin, end, _ = family
    assert parse_action(f"{begin}: {inside} {end}{SAID}") == SPEAK


MARKS = [mark for begin, end, _ in FAMILIES for mark in (begin.strip(), end.strip())]


@given(st.lists(st.one_of(st.sampled_from([*MARKS, DRAFT, "{", "}"]), st.text(max_size=20)), max_size=8))
def test_marks_in_the_words_of_an_action_are_words(words: list[str]) -> None:
    said = Action(type=ActionType.SPEAK, argument=f"Well: {' '.join(words)}.")
    said = parse_action(said.to_json())  # without what no tokenizer can take
    for text in (f"Sure: {said.to_json()} OK", f"<think>{DRAFT}</think>{said.to_json()}", said.to_json()[:-1] + ",}"):
        assert parse_action(text) == said


@pytest.mark.parametrize(
    "text",
    [
        f"I like <b>bold</b> and <think about it> and <think/>. {SAID}",
        f"{SAID} <|end|>",
        f"<|start|>assistant{SAID}<|return|>",
        f"Here is my response: {SAID} Here is my response: done",
        f"[thinks] [thinking] {SAID}",
        f"Analysis: the analysis says assistant. {SAID}",
        f"{SAID}<|im_end|>\n<|im_start|>user",
    ],
)
def test_what_only_looks_like_a_mark_changes_nothing(text: str) -> None:
    assert parse_action(text) == SPEAK


# Several objects


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        (f"Like {DRAFT}, but {SAID}", SPEAK),
        (f"{DRAFT}{SAID}{{}}", SPEAK),
        (f"{{well}} {{ {{x}} }} {SAID} {{", SPEAK),
        (f"[{SAID}]", SPEAK),
        (f'{{"reply": {SAID}}}', SPEAK),
        (f'The form: {DRAFT}\n```json\n{{"reply": {SAID}}}\n```', SPEAK),
        (f"{{{SAID}}}", SPEAK),
        (f'{{"plan": {DRAFT}, "action_type": "speak", "argument": "Hi"}}', SPEAK),
        (f'{{"plan": {DRAFT}, "other": {SAID}}}', Cause.WRONG),
        (f'{{"a": {{"b": {SAID}}}}}', Cause.WRONG),
        (f'{SAID} then {{"action_type": "shout", "argument": "Hi"}}', Cause.WRONG),
        (f'{SAID} then {{"action_type": "speak", "argument": "H', Cause.BROKEN),
        (f'{DRAFT} {{"action_type": "speak", "argument": "He said "hi"."}}', Cause.BROKEN),
        (f'{{"plan": {DRAFT}, "action_type": "speak", "argument": "He said "hi"."}}', Cause.BROKEN),
        (f'{SAID} then {{"note": "H', SPEAK),
        ('{"action_type": "speak", "argument": "Hi", "action_type": "leave"}', Cause.WRONG),
        ('{"action_type": "speak", "argument": "Hi", "argument": "Bye"}', Cause.WRONG),
        ('{"x": 1, "action_type": "speak", "argument": "Hi", "x": 2}', SPEAK),
        ('{"x": 1}', Cause.WRONG),
        ("{}", Cause.WRONG),
        ("Hello!", Cause.NO_JSON),
        ("{Hello}", Cause.BROKEN),
        (" \n", Cause.EMPTY),
        ("<think>Hm.</think>\n", Cause.EMPTY),
    ],
)
def test_the_last_object_that_is_asked_for_counts(text: str, expected: Action | Cause) -> None:
    if isinstance(expected, Action):
        assert parse_action(text) == expected
    else:
        assert cause_of(text) is expected


# How a reply ended


@pytest.mark.parametrize(
    ("text", "finish", "expected"),
    [
        (SAID, "length", SPEAK),
        (f"```json\n{SAID}\n``` This is because", "length", SPEAK),
        (f"{SAID}\nTurn 3. {DRAFT} Turn", "length", SPEAK),
        (f"I could say {DRAFT}, or better {SAID}", "length", SPEAK),
        (f"<think>{DRAFT}</think> {SAID} This is because", "length", SPEAK),
        (SAID[:-1], "length", SPEAK),
        (f"I could say {DRAFT}, or rather", "length", Cause.CUT),
        (f"I could say {DRAFT}, or rather", "stop", Action(type=ActionType.LEAVE, argument="My limit is $10.")),
        (SAID[:-3], "length", Cause.CUT),
        ("Well, let me", "length", Cause.CUT),
        ("<think>Hm.</think>", "length", Cause.CUT),
        ("<think>Hm", "length", Cause.THINKING),
        ("", "length", Cause.THINKING),
        ('{"action_type": "shout"}', "length", Cause.WRONG),
        ("", "filtered", Cause.FILTERED),
        ("I cannot", "filtered", Cause.FILTERED),
        (SAID, "filtered", SPEAK),
        ("", "tools", Cause.TOOLS),
        ("Let me look that up.", "tools", Cause.TOOLS),
        (SAID, "tools", SPEAK),
    ],
)
def test_how_a_reply_ended_decides_what_counts_and_why_it_does_not(
    text: str, finish: Finish, expected: Action | Cause
) -> None:
    if isinstance(expected, Action):
        assert parse_action(text, finish) == expected
    else:
        assert cause_of(text, finish) is expected


class Ending(FakeModel):
    """Gives completions that end as they are told."""

    def __init__(self, *completions: Completion) -> None:
        super().__init__()
        self._completions = iter(completions)

    async def complete(self, messages, sampling, seed, conversation="", *, schema=None) -> Completion:  # type: ignore[no-untyped-def]
        await super().complete(messages, sampling, seed, conversation, schema=schema)
        return next(self._completions)


def test_an_invalid_turn_keeps_its_cause_and_thoughts_are_not_shown_again(tmp_path: Path) -> None:
    task = price_task()
    model = Ending(Completion(f"<think>{DRAFT}</think>Hello."), Completion("<think>Hm", finish="length"))
    agent = ModelPlayer("base", model, Sampling()).seat(0, 1)
    reply = asyncio.run(agent.act(view(task, 0, [])))
    assert (reply.valid, reply.cause, reply.raw) == (False, Cause.THINKING, "<think>Hm")
    assert [message["content"] for message in model.asked[1][-2:-1]] == ["Hello."]
    turns = [
        {"role": 0, "action": reply.action, "raw": reply.raw, "valid": False, "reasked": True, "cause": reply.cause},
        {"role": 1, "action": SPEAK},
        {"role": 0, "action": reply.action, "valid": False},
    ]
    played = episode(task, [], stage="evaluate/base", players=("base", "partner")).model_validate(
        {**episode(task, [], stage="evaluate/base", players=("base", "partner")).model_dump(), "turns": turns}
    )
    with Store.open(tmp_path / "run.db") as store:
        store.add_tasks("test", [task])
        store.add_episode(played)
        assert [turn.cause for turn in store.episode(played.key).turns] == [Cause.THINKING, None, None]
        with store.columns.reading() as reader:
            counted = [(json.loads(players)[role], *rest) for players, role, *rest in reader.causes("evaluate/base")]
    rows = invalid_turns((player, valid, cause, count) for player, valid, cause, count in counted)
    assert [(row["player"], row["cause"], row["turns"], row["of"]) for row in rows] == [
        ("base", NOT_RECORDED, 1, 2), ("base", Cause.THINKING, 1, 2),
    ]  # fmt: skip
    (said,) = pointed_out(rows)
    assert said == f"1 of 2 turns of base (unfinished thought): {advice('unfinished thought')}"
    assert "sampling.max_tokens" in said
    assert render_invalid(rows).splitlines()[-1] == f"unfinished thought: {advice('unfinished thought')}"
    assert render_invalid([]) == ""


def test_few_turns_and_causes_of_a_models_own_are_not_pointed_out() -> None:
    rows = invalid_turns([("a", True, None, 99), ("a", False, "cut off", 4), ("a", False, "no JSON", 50)])
    assert pointed_out(rows) == []


def test_a_failed_rating_names_its_cause() -> None:
    played = episode(price_task(), [])
    for text, finish, cause in (("", "length", Cause.THINKING), ("{", "length", Cause.CUT), ("", "tools", Cause.TOOLS)):
        model = Ending(*[Completion(text, finish=finish)] * 2)  # type: ignore[arg-type]
        ratings = asyncio.run(Judge("judge:x", model, Sampling(), SEVEN).rate(price_task(), played))
        assert all((rating.failure or "").startswith(f"judge reply, {cause}: ") for rating in ratings)


# Slips


def rating(goal: object = 7) -> dict[str, object]:
    return {"token": "c0ffee", "role_1": {"name": "Ada", "goal": {"reasoning": 'She\'s "in", {yes}', "score": goal}}}


WHOLE = json.dumps(rating())
SLIPS = {
    "a comma too many": WHOLE[:-1] + ",}",
    "commas too many": WHOLE.replace("}", " , }"),
    "no last brace": WHOLE[:-1],
    "no braces at the end": WHOLE[:-2],
    "no brace at the end of a fence": f"```json\n{WHOLE[:-1]}\n```",
    "Python": str(rating()),
    "Python without quotes in it": str(rating()).replace("\\'", "").replace('"', ""),
    "a comment": json.dumps(rating(), indent=1).replace("7\n", "7 // good\n"),
    "another comment": json.dumps(rating(), indent=1).replace('"name"', '# who\n"name"'),
    "a comment and a comma": json.dumps(rating(), indent=1).replace("7\n", "7, /* good, 7 */\n"),
    "keys without quotes": re.sub(r'"(\w+)":', r"\1:", WHOLE),
    "a plus": WHOLE.replace(": 7", ": +7"),
    "wrapped": json.dumps({"rating": rating()}),
    "wrapped and broken": json.dumps({"rating": rating()})[:-2],
    "a score as a text": json.dumps(rating("7")),
    "a score as a text with a plus": json.dumps(rating(" +7.0 ")),
    "a draft": f"<think>{json.dumps(rating(2))}</think>{WHOLE}",
    "a draft in words": f"First {json.dumps(rating(2))}, no: {WHOLE}",
    "an example": WHOLE.replace("7", '"0 to 10"') + WHOLE,
    "a quoted rating": WHOLE + json.dumps(rating(2)).replace("c0ffee", "beef"),
    "a broken quoted rating": WHOLE + json.dumps(rating(2)).replace("c0ffee", "beef")[:-9],
}  # fmt: skip


@pytest.mark.parametrize("name", SLIPS)
def test_slips_of_a_judge_are_mended(name: str) -> None:
    assert judged(SLIPS[name]) == 7


@pytest.mark.parametrize(
    ("text", "named"),
    [
        (WHOLE[:-3], "not valid JSON: Expecting ',' delimiter at character"),  # 7 or 70?
        (WHOLE[: WHOLE.index('"score"')], "not valid JSON"),
        (WHOLE[: WHOLE.index("She")], "not valid JSON: Unterminated string"),
        (WHOLE.replace('"name"', "name="), "not valid JSON: Expecting property name"),
        (WHOLE.replace(": 7", ": 3+4"), "not valid JSON"),
        (WHOLE.replace(": 7", ": 7 <think>"), "inside a thought"),
        (WHOLE.replace(": 7", ": 7 // </think>\n"), "no JSON object"),
        (json.dumps(rating("seven")), '"seven", which is not a whole number'),
        (WHOLE + WHOLE[:-4], "not valid JSON"),
        (json.dumps({"a": rating(), "b": rating()}), '"token" is missing; it is "c0ffee"'),
    ],
)
def test_what_has_two_meanings_is_not_mended_and_is_called_by_its_name(text: str, named: str) -> None:
    with pytest.raises(ReplyError, match=re.escape(named)):
        judged(text)


@pytest.mark.parametrize(
    ("text", "words"),
    [
        (r"""{'action_type': 'speak', 'argument': 'It\'s "mine"\n{yes}'}""", 'It\'s "mine"\n{yes}'),
        ("""{'action_type': 'speak', 'argument': "It's mine", 'sure': True, 'x': None}""", "It's mine"),
        ('{action_type: "speak", argument: "a: b, c: {d}",}', "a: b, c: {d}"),
        ('{"action_type": "speak", /* how */ "argument": "http://x // y # z", # why\n}', "http://x // y # z"),
        ('{"x": [1, 2,], "action_type": "speak", "argument": "a,}"', "a,}"),
        ('{"x": {"y": ["z",],}, "action_type": "speak", "argument": "b"', "b"),
    ],
)
def test_slips_of_a_player_are_mended(text: str, words: str) -> None:
    assert parse_action(text) == Action(type=ActionType.SPEAK, argument=words)


@given(st.dictionaries(st.text(), st.text() | st.integers() | st.booleans() | st.none() | st.lists(st.text())))
def test_what_python_prints_is_read_as_it_was(value: dict[str, object]) -> None:
    text = str({"action_type": "none", **value})
    if re.search(r"\\[xUN]", text):  # escapes that JSON does not have
        return
    found = jsontext.ObjectReader(text, lambda _: False).at(0)
    assert found.value == {"action_type": "none", **value}


# Long and hostile texts

HOSTILE = {
    "escaped quotes": "{" + '\\"' * 100_000,
    "escaped quotes in an object": '{"a": ' + '\\"' * 100_000,
    "braces": "{" * 200_000,
    "half objects": '{"a' * 60_000,
    "half objects with spaces": '{ "a" ' * 30_000,
    "nested": '{"a":' * 40_000,
    "lists": '{"a":' + "[" * 200_000,
    "backslashes": '{"a": "' + "\\" * 200_000,
    "words": "{" + "a " * 100_000,
    "single quotes": "{'" * 100_000,
    "comments": "{//" * 60_000,
    "open comments": "{/*" * 60_000,
    "commas": '{"a": 1' + ", " * 100_000 + "}",
    "objects": "{}" * 100_000,
    "objects that are mended": "{'a': 1}" * 25_000,
    "objects that are not": "{a: b}" * 30_000,
    "thoughts": "<think>" * 28_000,
    "ends": "</think>" * 25_000,
    "short thoughts": "<think></think>" * 13_000,
    "channels": "<|channel|>analysis" * 10_000,
    "tags": "<b>" * 66_000,
    "a long number": '{"a": ' + "9" * 200_000 + "}",
    "one key": "{" + ",".join(['"a": 1'] * 25_000) + "} .",
    "a fence": SAID[:-1] + "`" * 200_000 + ".",
}


@pytest.mark.parametrize("name", HOSTILE)
def test_hostile_texts_are_refused_within_bounds(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """What could be slow, a piece of Python for each place of the text, is done a bounded number of times."""
    read: list[int] = []
    at, add = jsontext.ObjectReader.at, jsontext._Mending.add
    monkeypatch.setattr(jsontext.ObjectReader, "at", lambda self, start: read.append(0) or at(self, start))
    monkeypatch.setattr(
        jsontext._Mending, "add", lambda self, gap, piece: read.append(len(gap)) or add(self, gap, piece)
    )
    text = HOSTILE[name]
    assert cause_of(text) in (Cause.BROKEN, Cause.WRONG, Cause.NO_JSON, Cause.EMPTY, Cause.THINKING)
    assert len(read) <= 25_000
    assert sum(read) <= 2_000_000
    with pytest.raises(ReplyError):
        judged(text)


def test_an_answer_behind_a_long_thought_is_read() -> None:
    assert parse_action(f"<think>{HOSTILE['nested']}{HOSTILE['half objects']}</think>{SAID}") == SPEAK
    assert parse_action(f"{HOSTILE['nested']}</think>{SAID}") == SPEAK
    with pytest.raises(ActionError, match="longer than"):
        parse_action(SAID + " " * LONGEST)


# Where a local model stops


@pytest.mark.parametrize(
    ("text", "rest"),
    [
        (f"{SAID}", " and more"),
        (f"<think>{DRAFT} {DRAFT}</think>{SAID}", f" {DRAFT}"),
        (f"<|channel|>analysis<|message|>{DRAFT}<|end|><|start|>assistant<|channel|>final<|message|>{SAID}", "}"),
        (f"analysis{DRAFT}assistantfinal{SAID}", "x"),
        (f"{SAID[:-1]}, }}", ""),
    ],
)
def test_a_local_model_stops_behind_the_object_that_is_read(text: str, rest: str) -> None:
    assert answer_end(text + rest) == len(text)
    assert answer_end(text[:-1]) is None
    assert parse_action(text) == SPEAK


def test_where_a_thought_began_in_the_prompt_a_local_model_stops_at_its_first_object() -> None:
    assert answer_end(f"Maybe {DRAFT}</think>{SAID}") == len(f"Maybe {DRAFT}")
