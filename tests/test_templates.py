"""Chat templates: every message stands in what a model is shown, on every day, or the model is refused at `tasks`."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from sotopia_pi.cli.main import main
from sotopia_pi.errors import ModelError
from sotopia_pi.models.protocol import Message

pytest.importorskip("torch", reason="templates are rendered by the extra 'local'")
from templates import CHATML, REWRITES, model_folder, tokenizer

from sotopia_pi.models.chat import chat_format, encode_chat, encode_chats

CONTENT = "{{ m['content'] }}"
PASSES_OVER = CHATML.replace("{% for m in messages %}", "{% for m in messages if m['role'] != 'system' %}")
PARTS = CHATML.replace(
    CONTENT, "{% for p in m['content'] %}{% if p['type'] == 'text' %}{{ p['text'] }}{% endif %}{% endfor %}"
)
THINKS = CHATML.replace("assistant\n", "assistant\n<think>\n")
TALK = [
    Message(role=role, content=text)
    for role, text in (("system", " Secret: <b>7</b>\n"), ("user", "Hi."), ("assistant", "{}"), ("user", "So?"))
]


@pytest.mark.parametrize(
    ("template", "folds", "parts"),
    [
        (CHATML, False, False),
        (PASSES_OVER, True, False),
        (CHATML.replace("{% for", "{% if messages[0].role == 'system' %}{{ raise_exception('no') }}{% endif %}{% for"),
         True, False),
        (PARTS, False, True),
        (PARTS.replace("in messages %}", "in messages if m['role'] != 'system' %}"), True, True),
        (CHATML.replace(CONTENT, "{{ m['content'] | trim }}"), False, False),
        (CHATML.replace(CONTENT, "{{ m['content'] if m['content'] is string else '?' }}"), False, False),
    ],
)  # fmt: skip
def test_every_message_stands_in_prompt_and_training(template: str, folds: bool, parts: bool) -> None:
    tokens = tokenizer(template)
    form = chat_format(tokens)
    assert (form.folds, form.parts) == (folds, parts)
    assert any("no place for a system message" in note for note in form.notes()) is folds
    prompt = encode_chat(tokens, TALK, prompt=True)
    assert all(message["content"].strip() in tokens.decode(prompt.ids) for message in TALK)
    ((trained,),) = encode_chats(tokens, [TALK])
    assert prompt.ids[: len(trained.ids)] == trained.ids


@pytest.mark.parametrize(
    "template",
    [
        "Hello!",
        CHATML.replace("messages %}", "messages[1:] %}"),
        CHATML.replace(CONTENT, "{{ m['content'] | upper }}"),
        CHATML.replace(CONTENT, "{{ m['content'] | e }}"),
        CHATML.replace(CONTENT, "{{ m['content'] | tojson }}"),
        CHATML.replace(CONTENT, "{{ m['content'][:1000] }}"),
        CHATML.replace(CONTENT, "{{ m['content'] | replace('\\n', ' ') }}"),
        CHATML.replace(CONTENT, "{{ m['content'] }}{{ m['content'] }}"),
        PASSES_OVER.replace("system", "user"),
        CHATML.replace(CONTENT, "{{ 1 / 0 }}"),
        CHATML.replace(CONTENT, "{{ m['content'].foo.bar }}"),
    ],
)
def test_a_template_that_shows_less_or_something_else_is_refused(template: str) -> None:
    with pytest.raises(ModelError, match=r"^This model's chat template .*mend its chat template\.$"):
        chat_format(tokenizer(template))


def test_messages_that_a_template_drops_later_are_not_dropped_silently() -> None:
    tokens = tokenizer(CHATML.replace("in messages %}", "in (messages if messages|length < 8 else messages[2:]) %}"))
    with pytest.raises(ModelError, match="leaves out or changes what a system message says"):
        encode_chat(tokens, [*TALK, *(TALK[2:] * 3)], prompt=True)


def test_the_date_is_always_the_same() -> None:
    dated = "\n  Today: {{ strftime_now('%d %b %Y') if strftime_now is defined }}, "
    dated += '{{ strftime_now("%A %-d %B, %H:%M %%") }}\n'
    tokens = tokenizer(dated + CHATML)
    text = tokens.decode(encode_chat(tokens, TALK, prompt=True).ids)
    assert text.startswith("\n  Today: 26 Jul 2024, Friday 26 July, 00:00 %")
    assert chat_format(tokens).notes() == [
        "this model's chat template writes today's date; here that is always 26 July 2024"
    ]


def test_marks_that_words_can_imitate_are_told() -> None:
    plain = "{% for m in messages %}{{ m['role'] | upper }}: {{ m['content'] }}\n{% endfor %}ASSISTANT: "
    assert any("words in a message can imitate" in note for note in chat_format(tokenizer(plain)).notes())


_CONFIG = """
[world]
train = { price = 1 }
test = { price = 1 }
[[rounds]]
name = "bc"
method = "bc"
"""


@pytest.mark.parametrize(
    ("template", "settings", "said"),
    [
        (THINKS, [], "cannot be trained: .* writes a reply otherwise than it asks for one"),
        (CHATML.replace(CONTENT, ""), [], "cannot be used: .* leaves out or changes"),
        (REWRITES, ['rounds.0.update="dpo"'], "cannot learn by preference"),
        (CHATML, ['training.lora_targets=["q_proj","v_porj"]'], r"no v_porj \(did you mean v_proj\?\); its"),
        (CHATML, ['training.lora_targets="zzz"'], "has no zzz; its modules are down_proj"),
        (CHATML, ["training.lora_targets=[]"], "names nothing to adapt"),
        (CHATML, ['rounds.0.train.lora_targets=["embed_tokens"]'], "weights of embed_tokens in two places"),
        (CHATML, ['training.lora_targets=["q_proj", "lm_head"]'], "weights of lm_head in two places"),
        (CHATML, ['training.lora_targets="lm_head"', "training.lora_layers=2"], "lm_head is in none of the last 2"),
    ],
)  # fmt: skip
def test_what_cannot_be_trained_is_refused_before_anything_is_played(
    template: str, settings: list[str], said: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    folder = model_folder(tmp_path / "model", template, tie_word_embeddings=True)
    config = tmp_path / "my.toml"
    config.write_text(_CONFIG, encoding="utf-8")
    given = [f"--set={setting}" for setting in (f"models.policy={folder}", *settings)]
    assert main(["tasks", str(tmp_path / "run"), "--config", str(config), *given]) in (5, 6)
    (line,) = capsys.readouterr().err.splitlines()
    assert re.search(said, line)


def test_what_can_be_trained_passes(tmp_path: Path) -> None:
    config = tmp_path / "my.toml"
    config.write_text(_CONFIG, encoding="utf-8")
    folder = model_folder(tmp_path / "model", PARTS, tie_word_embeddings=False)
    given = [f"--set={s}" for s in (f"models.policy={folder}", 'training.lora_targets=["q_proj", "lm_head"]')]
    assert main(["tasks", str(tmp_path / "run"), "--config", str(config), *given, "--quiet"]) == 0
