"""The local model: many ragged conversations at once give what transformers gives for each alone, from the cache."""

from __future__ import annotations

import asyncio
import copy
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest
from support import CAST, price_task, turn

from sotopia_pi.episodes.records import Action, ActionType
from sotopia_pi.episodes.views import messages, view
from sotopia_pi.errors import ModelError
from sotopia_pi.models.chat import chat_format, encode_chat, encode_chats
from sotopia_pi.models.jsontext import json_object_end
from sotopia_pi.models.protocol import Completion, Message, Sampling

pytest.importorskip("torch", reason="local models need the extra 'local'")
pytest.importorskip("transformers", reason="local models need the extra 'local'")
import tiny
import torch

from sotopia_pi.models.local import LocalModel
from sotopia_pi.models.weights import load_model, load_tokenizer, resolve

pytestmark = [pytest.mark.weights, pytest.mark.usefixtures("weights")]

GREEDY = Sampling(temperature=0, max_tokens=12)
QUESTION = "Well, what about that lamp over there, would you part with it for fifteen dollars or so today?"
WORDS = QUESTION.split()


def chat(number: int, turns: int = 0) -> list[Message]:
    """A chat of a length of its own, which ends with a question; `turns` exchanges before it."""
    said = [turn(i % 2, " ".join(WORDS[: 2 + (5 * number + 3 * i) % len(WORDS)])) for i in range(2 * turns)]
    return messages(view(price_task(number=10**number), 0, said))


def later(before: Sequence[Message], reply: str, number: int) -> list[Message]:
    """The chat some turns on: the reply, and another question."""
    question = Message(role="user", content=" ".join(WORDS[number : number + 4]))
    return [*before, Message(role="assistant", content=reply), question]


def ask(
    model: LocalModel, chats: Sequence[Sequence[Message]], sampling: Sampling = GREEDY, seeds: Sequence[int] = ()
) -> list[Completion]:
    """The replies to all chats, asked at once; chat i is conversation i."""

    async def all_at_once() -> list[Completion]:
        asked = [
            model.complete(messages, sampling, seeds[i] if seeds else i, f"conversation {i}")
            for i, messages in enumerate(chats)
        ]
        return await asyncio.gather(*asked)

    return asyncio.run(all_at_once())


def expected(reference: Any, tokenizer: Any, messages: Sequence[Message]) -> tuple[int, str]:
    """How long the prompt is and what transformers' own generate writes for one chat alone."""
    ids, end = encode_chat(tokenizer, messages, prompt=True).ids, tokenizer.eos_token_id
    prompt = torch.tensor([ids])
    written = reference.generate(
        prompt,
        attention_mask=torch.ones_like(prompt),
        do_sample=False,
        max_new_tokens=GREEDY.max_tokens,
        eos_token_id=end,
        pad_token_id=end,
    )[0, len(ids) :].tolist()
    text = tokenizer.decode([token for token in written if token != end])
    return len(ids), text[: json_object_end(text)]


@pytest.fixture(scope="module")
def folders(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    return {name: tiny.save(config, tmp_path_factory.mktemp(name)) for name, config in tiny.CONFIGS.items()}


@pytest.fixture
def local(folders: dict[str, Path]) -> Any:
    """Makes local models of the tiny Llama, and closes them."""
    made: list[LocalModel] = []

    def make(folder: Path = folders["llama"], **options: Any) -> LocalModel:
        made.append(LocalModel(str(folder), **{"slots": 6, "max_context": 1024, **options}))
        return made[-1]

    yield make
    for model in made:
        model.close()


def talk(folder: str, model: LocalModel, conversations: int, turns: int) -> None:
    """Several turns of several conversations, each reply compared with transformers', the cache used each time."""
    reference, tokenizer = tiny.reference(folder), load_tokenizer(folder)
    chats = [chat(i, turns=i % 3) for i in range(conversations)]
    before = [0] * conversations
    for number in range(turns):
        replies = ask(model, chats)
        for i, (asked, reply) in enumerate(zip(chats, replies, strict=True)):
            assert (reply.prompt_tokens, reply.text) == expected(reference, tokenizer, asked)
            assert before[i] <= reply.cached_tokens < reply.prompt_tokens
            before[i] = reply.prompt_tokens
        chats = [later(c, r.text, i + number) for i, (c, r) in enumerate(zip(chats, replies, strict=True))]


@pytest.mark.parametrize("name", tiny.CONFIGS)
def test_replies_are_those_of_transformers(name: str, folders: dict[str, Path], local: Any) -> None:
    talk(str(folders[name]), local(folders[name]), conversations=5, turns=3)


@pytest.mark.slow
def test_replies_of_the_real_weights_are_those_of_transformers(weights: str, local: Any) -> None:
    talk(resolve(weights), local(resolve(weights), slots=4), conversations=3, turns=2)


def test_more_conversations_than_slots(local: Any) -> None:
    few, many = local(slots=2), local(slots=16)
    chats = [chat(i) for i in range(7)]
    for number in range(2):
        replies = ask(few, chats)
        assert [r.text for r in replies] == [r.text for r in ask(many, chats)]
        chats = [later(c, r.text, number) for c, r in zip(chats, replies, strict=True)]


def test_equal_prompts_are_computed_once(local: Any) -> None:
    model, alone = local(), local()
    chats = [chat(3, turns=2)] * 4 + [later(chat(3, turns=2), "Fine.", 1)]
    replies = ask(model, chats)
    assert sorted(reply.cached_tokens for reply in replies)[0] == 0
    assert all(reply.cached_tokens >= 64 for reply in sorted(replies, key=lambda reply: reply.cached_tokens)[1:])
    assert [reply.text for reply in replies] == [ask(alone, [chat])[0].text for chat in chats]


def test_released_conversation_is_forgotten(local: Any) -> None:
    model = local()
    (first,), (again,) = ask(model, [chat(1)]), ask(model, [chat(1)])
    assert again.cached_tokens == first.prompt_tokens - 1  # the last one is computed for its logits
    asyncio.run(model.release("conversation 0"))
    (fresh,) = ask(model, [chat(1)])
    assert (fresh.cached_tokens, fresh.text) == (0, first.text)


def test_too_long_conversation_is_an_error_of_its_own(local: Any) -> None:
    model = local(max_context=256)
    long = [*chat(1)[:-1], Message(role="user", content="word " * 300)]
    with pytest.raises(ModelError, match=r"does not fit .* context of 256; lower max_turns or raise max_context"):
        ask(model, [long])
    short = [Message(role="user", content="Hello.")]
    assert ask(model, [short])[0].text


def test_seeds_decide_what_is_drawn(local: Any) -> None:
    drawn = Sampling(temperature=1.0, max_tokens=12)
    chats = [chat(1)] * 4
    one = [r.text for r in ask(local(), chats, drawn, seeds=[5, 6, 5, 7])]
    assert one[0] == one[2]
    assert len(set(one)) == 3
    others = local()
    alone = [ask(others, [chats[0]], drawn, seeds=[seed])[0].text for seed in (7, 6, 5)]
    assert alone == [one[3], one[1], one[0]]  # neither company nor order matters
    nearly_greedy = Sampling(temperature=1.0, top_p=1e-6, max_tokens=12)
    assert ask(others, chats[:1], nearly_greedy)[0].text == ask(others, chats[:1])[0].text


def steps(model: LocalModel) -> list[int]:
    """Counts the model's forward passes from now on, in the list's only item."""
    count = [0]

    def step(*_: object) -> None:
        count[0] += 1

    model._model.register_forward_hook(step)
    return count


@pytest.mark.parametrize("name", tiny.CONFIGS)
@pytest.mark.parametrize("sampling", [GREEDY, Sampling(temperature=0.1, max_tokens=12)], ids=["greedy", "drawn"])
def test_drafts_change_the_speed_and_nothing_else(
    name: str, sampling: Sampling, folders: dict[str, Path], local: Any
) -> None:
    practised, chats = local(folders[name]), [chat(i) for i in range(4)]
    first = [reply.text for reply in ask(practised, chats, sampling)]
    for _ in range(3):  # what has been said several times is drafted with confidence
        assert [reply.text for reply in ask(practised, chats, sampling)] == first
    count = steps(practised)
    assert [reply.text for reply in ask(practised, chats, sampling)] == first
    assert count[0] < sampling.max_tokens / 2
    others = [r.text for r in ask(practised, chats, sampling, seeds=[5, 6, 7, 8])]  # drafts that turn out wrong
    assert others == [r.text for r in ask(local(folders[name]), chats, sampling, seeds=[5, 6, 7, 8])]


# A model that recites

SAID = '{"a": "x } y"} tail'


@pytest.mark.parametrize(
    ("text", "tokens", "reply"),
    [
        (SAID, 30, '{"a": "x } y"}'),  # the object closes; a brace in a string does not close it
        (SAID, 4, '{"a": "'),  # cut short
        ("I will say no more", 30, "I will say no more"),  # the end-of-turn token
        ('Sure: {"b": 1', 30, 'Sure: {"b": 1'),
    ],
)
def test_where_a_reply_ends(text: str, tokens: int, reply: str, tmp_path: Path, local: Any) -> None:
    model = local(tiny.reciting(text, tmp_path / "recites"))
    replies = ask(model, [chat(i) for i in range(3)], Sampling(temperature=0, max_tokens=tokens))
    assert [r.text for r in replies] == [reply] * 3
    count = len(load_tokenizer(str(tmp_path / "recites"))(reply, add_special_tokens=False)["input_ids"])
    assert [r.completion_tokens for r in replies] == [count] * 3


# Ends


def test_closed_model_answers_nobody(local: Any) -> None:
    model = local()

    async def close_while_asked() -> list[Any]:
        asked = [asyncio.ensure_future(model.complete(chat(i), Sampling(max_tokens=200), i)) for i in range(3)]
        await asyncio.sleep(0)
        model.close()
        return await asyncio.gather(*asked, return_exceptions=True)

    for answer in asyncio.run(close_while_asked()):
        assert isinstance(answer, ModelError)
        assert "closed" in str(answer)
    with pytest.raises(ModelError, match="is closed"):
        ask(model, [chat(1)])


def test_cancelled_request_hurts_nobody(local: Any) -> None:
    """As Ctrl-C does: everybody who waits is cancelled, then the model is closed."""
    model = local()

    async def cancel() -> Completion:
        asked = [asyncio.ensure_future(model.complete(chat(i), Sampling(max_tokens=200), i)) for i in range(8)]
        await asyncio.sleep(0)
        for request in asked[1:]:
            request.cancel()
        return await asked[0]

    assert asyncio.run(cancel()).text
    assert ask(model, [chat(2)])[0].text

    async def cancel_all() -> None:
        asked = [asyncio.ensure_future(model.complete(chat(i), Sampling(max_tokens=200), i)) for i in range(8)]
        await asyncio.sleep(0)
        for request in asked:
            request.cancel()

    asyncio.run(cancel_all())
    model.close()


# Models that cannot be used


def test_missing_and_broken_models(tmp_path: Path, folders: dict[str, Path]) -> None:
    for name, complaint in {
        "/no/such/model": "There is no model folder /no/such/model",
        "a/b/c": "There is no model folder a/b/c",
        str(tmp_path): "has no config.json",
    }.items():
        with pytest.raises(ModelError, match=complaint):
            resolve(name)
    with pytest.raises(ModelError, match=r"'nobody/nothing' could not be loaded"):
        load_model("nobody/nothing")
    broken = tmp_path / "broken"
    broken.mkdir()
    for path in folders["llama"].iterdir():
        content = path.read_bytes()
        (broken / path.name).write_bytes(content[:5000] if path.suffix == ".safetensors" else content)
    with pytest.raises(ModelError, match="could not be loaded"):
        load_model(str(broken))
    with pytest.raises(ModelError, match=r"no adapter_model\.safetensors; train it first"):
        load_model(str(folders["llama"]), tmp_path)


TALK: list[Message] = messages(view(price_task(), 1, [turn(0, "Hi."), turn(1, "Hello."), turn(0, "Five?")]))


def with_template(template: str) -> Any:
    tokenizer = copy.deepcopy(tiny.tokenizer())
    tokenizer.chat_template = template
    return tokenizer


def test_a_template_that_renders_nothing_is_refused() -> None:
    with pytest.raises(ModelError, match=r"refuses the conversation .*not today"):
        encode_chat(with_template("{{ raise_exception('not today') }}"), TALK, prompt=True)


#: As published templates do it: no system message at all; the system message in the last user message; reasoning
#: left out of all but the last reply.
_LINES = "{% for m in messages %}<{{ m['role'] }}>{{ m['content'] }}<|im_end|>{% endfor %}"
_ASKED = "{% if add_generation_prompt %}<assistant>{% endif %}"
NO_SYSTEM = "{% if messages[0]['role'] == 'system' %}{{ raise_exception('no system') }}{% endif %}" + _LINES + _ASKED
SYSTEM_LAST = (
    "{% set first = messages[0] %}{% for m in messages %}{% if m['role'] != 'system' %}<{{ m['role'] }}>"
    "{% if m['role'] == 'user' and loop.index >= loop.length - 1 and first['role'] == 'system' %}"
    "{{ first['content'] }} {% endif %}{{ m['content'] }}<|im_end|>{% endif %}{% endfor %}" + _ASKED
)
LAST_THINKS = (
    "{% for m in messages %}<{{ m['role'] }}>{% if loop.last and m['role'] == 'assistant' %}<think></think>{% endif %}"
    "{{ m['content'] }}<|im_end|>{% endfor %}{% if add_generation_prompt %}<assistant><think></think>{% endif %}"
)


@pytest.mark.parametrize("template", [NO_SYSTEM, SYSTEM_LAST])
def test_a_system_message_without_a_place_begins_the_first_user_message(template: str) -> None:
    tokenizer = with_template(template)
    form = chat_format(tokenizer)
    assert (form.folds, form.grows, len(form.notes())) == (True, True, 1)
    text = tokenizer.decode(encode_chat(tokenizer, TALK, prompt=True).ids)
    assert text.startswith(f"<user>{TALK[0]['content']}\n\n{TALK[1]['content']}<|im_end|><assistant>")
    assert text.count(TALK[0]["content"]) == 1
    assert text.endswith("<assistant>")


def test_a_template_that_rewrites_gives_one_text_per_reply() -> None:
    tokenizer = with_template(LAST_THINKS)
    form = chat_format(tokenizer)
    assert (form.folds, form.grows, len(form.notes())) == (False, False, 1)
    replied = [*TALK, Message(role="assistant", content="Six.")]
    (encoded,) = encode_chats(tokenizer, [replied])
    assert [each.turns for each in encoded] == [[0], [1]]
    for each, upto, reply in zip(encoded, (2, 4), ("Hello.", "Six."), strict=True):
        ((start, end),) = each.replies
        assert each.ids[:start] == encode_chat(tokenizer, replied[:upto], prompt=True).ids
        assert reply in tokenizer.decode(each.ids[start:end])
        assert end == len(each.ids)
    with pytest.raises(ModelError, match="one text per reply"):
        encode_chat(tokenizer, replied)


@pytest.mark.parametrize("text", ["plain", " spaced ", "⟪0⟫ ⟪1⟫", "a</think>b", "<|im_end|>", ""])
def test_a_fast_encoding_is_the_slow_one(text: str) -> None:
    """Templates that depend on what is said are cut as they render it."""
    strips = tiny.tokenizer().chat_template.replace("message['content']", "message['content'] | trim")
    assert strips != tiny.tokenizer().chat_template
    for tokenizer in (tiny.tokenizer(), with_template(strips)):
        chat = [*TALK, Message(role="assistant", content=text), Message(role="user", content=text)]
        whole = tokenizer.apply_chat_template(chat, tokenize=False, add_generation_prompt=True)
        assert tokenizer.decode(encode_chat(tokenizer, chat, prompt=True).ids) == whole


def test_chat_is_encoded_as_its_template_says() -> None:
    encoded = encode_chat(tiny.tokenizer(), TALK, prompt=True)
    text = tiny.tokenizer().apply_chat_template(TALK, tokenize=False, add_generation_prompt=True)
    assert tiny.tokenizer().decode(encoded.ids) == text
    ((start, end),) = encoded.replies
    said = Action(type=ActionType.SPEAK, argument="Hello.").to_json()
    assert tiny.tokenizer().decode(encoded.ids[start:end]) == said + "<|im_end|>"
    before = encode_chat(tiny.tokenizer(), TALK[:2], prompt=True)
    assert encoded.ids[:start] == before.ids
    assert CAST[1].name in text
