"""The probabilities of numbers: the shared tree gives what whole passes of transformers give for each number alone."""

from __future__ import annotations

import asyncio
import json
import math
from collections.abc import Sequence
from functools import cache
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from support import LIGHT, episode, price_task, stored, turn
from support import settings as sets

from sotopia_pi.cli.main import main
from sotopia_pi.errors import ModelError
from sotopia_pi.models.chat import encode_chat
from sotopia_pi.models.protocol import Message, NumberQuestion
from sotopia_pi.ratings.dimensions import SEVEN
from sotopia_pi.ratings.likelihood import LikelihoodJudge, expectation, likelihood_prompts, questions

pytest.importorskip("torch", reason="local models need the extra 'local'")
pytest.importorskip("transformers", reason="local models need the extra 'local'")
import tiny
import torch

from sotopia_pi.models.likelihood import NumberReader
from sotopia_pi.models.weights import load_tokenizer

pytestmark = [pytest.mark.weights, pytest.mark.usefixtures("weights")]

TALK = "The lamp was listed at nineteen dollars and they agreed on fifteen after a while. "
#: Ranges in which a number's tokens begin another's, on both sides of zero.
RANGES = (range(11), range(-10, 1), range(-5, 6), range(8, 13), range(1, 2), (1, 10, 100, -1))


def question(ask: str, numbers: Sequence[int], answer: str = "Score:", long: int = 4) -> NumberQuestion:
    chat = [
        Message(role="system", content="You rate."),
        Message(role="user", content=f"{TALK * long}\n{ask}"),
    ]
    return NumberQuestion(chat, answer, numbers)


ASKED = [
    question(f"How well did {who} do in {what}? {'Think of everything. ' * (place % 3)}", numbers)
    for place, numbers in enumerate(RANGES)
    for who in ("Ada", "Bo")[: 1 + place % 2]
    for what in (f"matter {place}",)
]


@pytest.fixture(scope="module")
def folders(weights: str, tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    where = tmp_path_factory.mktemp("tiny")
    return {name: tiny.save(config, where / name) for name, config in tiny.CONFIGS.items()}


def ask(reader: NumberReader, asked: Sequence[NumberQuestion]) -> list[list[float]]:
    return asyncio.run(reader.log_probabilities(asked))


@cache
def digits(tokenizer: Any) -> list[int]:
    return [token for text, token in tokenizer.get_vocab().items() if text[0] in "0123456789"]


def whole(model: Any, asked: NumberQuestion, tokenizer: Any) -> list[float]:
    """Each number by passes of its own over everything, without any cache."""
    prompt = encode_chat(tokenizer, asked.chat, prompt=True).ids
    begun = tokenizer(asked.answer, add_special_tokens=False)["input_ids"]
    found = []
    for number in asked.numbers:
        written = tokenizer(f"{asked.answer} {number}", add_special_tokens=False)["input_ids"]
        assert written[: len(begun)] == begun
        with torch.inference_mode():
            logits = model(input_ids=torch.tensor([prompt + written]), logits_to_keep=len(written)).logits[0]
        logs = logits.double().log_softmax(-1)  # row i stands after token i of what is written
        chosen = sum(float(logs[at - 1, written[at]]) for at in range(len(begun), len(written)))
        found.append(chosen + math.log(1 - float(logs[-1, digits(tokenizer)].exp().sum())))
    return found


def close(found: Sequence[Sequence[float]], wanted: Sequence[Sequence[float]]) -> None:
    assert len(found) == len(wanted)
    for one, other in zip(found, wanted, strict=True):
        assert one == pytest.approx(other, abs=1e-4)


@pytest.mark.parametrize("name", tiny.CONFIGS)
def test_the_shared_tree_gives_what_whole_passes_give(name: str, folders: dict[str, Path]) -> None:
    where = str(folders[name])
    reader = NumberReader(where)
    found = ask(reader, ASKED)
    model = tiny.reference(where)
    tokenizer = load_tokenizer(where)
    close(found, [whole(model, one, tokenizer) for one in ASKED])
    used = reader.tokens
    close(ask(reader, ASKED), found)  # what they share is held, and nothing was changed by reading it
    assert reader.tokens < 2 * used - 60
    reader.close()


def test_long_questions_go_through_in_several_rows(folders: dict[str, Path], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("sotopia_pi.models.likelihood.ROW", 24)
    monkeypatch.setattr("sotopia_pi.models.numbertree.ROW", 24)
    where = str(folders["mistral"])
    reader = NumberReader(where)
    model = tiny.reference(where)
    tokenizer = load_tokenizer(where)
    close(ask(reader, ASKED), [whole(model, one, tokenizer) for one in ASKED])
    reader.close()


@pytest.fixture(scope="module")
def llama(folders: dict[str, Path]) -> Any:
    reader = NumberReader(str(folders["llama"]))
    yield reader
    reader.close()


@settings(max_examples=15, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.permutations(range(len(ASKED))), st.integers(1, len(ASKED)))
def test_the_order_and_the_company_of_questions_do_not_matter(llama: NumberReader, order: list[int], n: int) -> None:
    alone = {index: ask(llama, [ASKED[index]])[0] for index in order[:n]}
    close(ask(llama, [ASKED[index] for index in order[:n]]), [alone[index] for index in order[:n]])


def test_the_numbers_of_a_range_exclude_each_other(llama: NumberReader) -> None:
    wide = question("How many?", range(-120, 121))
    total = sum(math.exp(log) for log in ask(llama, [wide])[0])
    assert 0 < total <= 1 + 1e-6


def test_a_case_longer_than_the_context_is_refused(llama: NumberReader) -> None:
    with pytest.raises(ModelError, match=r"does not fit .* context of 1024"):
        ask(llama, [question("How many?", range(11), long=200)])
    assert len(ask(llama, ASKED)) == len(ASKED)


@pytest.mark.parametrize("without", ["refuses", "drops"])
def test_templates_without_a_place_for_the_system_message(without: str, folders: dict[str, Path]) -> None:
    reader = NumberReader(str(folders["llama"]))
    refusal = "{{ raise_exception('no system role') }}" if without == "refuses" else ""
    reader._tokenizer.chat_template = (
        "{% for m in messages %}{% if m['role'] == 'system' %}" + refusal + "{% else %}"
        "<|im_start|>{{ m['role'] }}\n{{ m['content'] }}<|im_end|>\n{% endif %}{% endfor %}"
        "{% if add_generation_prompt %}<|im_start|>assistant\n{% endif %}"
    )
    model = tiny.reference(folders["llama"])
    found = ask(reader, ASKED[:3])
    close(found, [whole(model, one, reader._tokenizer) for one in ASKED[:3]])
    reader.close()


# A judge with weights


def certain(text: str, folder: Path) -> Path:
    """A model that says `text` after every prompt and hardly anything else."""
    tiny.reciting(text, folder)
    model = tiny.reference(folder)
    with torch.no_grad():
        model.lm_head.weight *= 4
    model.config.max_position_embeddings = 4096
    model.save_pretrained(str(folder))
    return folder


def test_a_model_that_says_seven_gives_seven(weights: str, tmp_path: Path) -> None:
    reader = NumberReader(str(certain("rating is 7", tmp_path)))
    task = price_task()
    talk = episode(task, [turn(0, "Fifteen?"), turn(1, "No.")], seed=7)
    asked = questions(task, talk, SEVEN, likelihood_prompts())
    for one, logs in zip(asked, ask(reader, asked), strict=True):
        score, mass = expectation(one.numbers, logs)
        if 7 in one.numbers:
            assert (score, mass) == (pytest.approx(7, abs=0.01), pytest.approx(1, abs=0.01))
        else:
            assert mass < 0.01
    first, second = asyncio.run(LikelihoodJudge("judge:x", reader).rate(task, talk))
    assert str(first.failure).startswith("judge likelihood: 0.0% of the probability is on whole numbers from -5 to 5")
    assert first.failure == second.failure
    reader.close()


def test_a_stored_run_is_rated_by_likelihood_under_a_name_of_its_own(
    weights: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    folder, judge = tmp_path / "run", certain("rating is 7", tmp_path / "seven")
    assert main(["run", "--out", str(folder), "--quiet", *sets(*LIGHT, "world.test={price=1}")]) == 0
    asked = ["rate", str(folder), "--stage", "evaluate/base", "--quiet"]
    assert main([*asked, "--method", "likelihood"]) == 2
    assert "--method needs a judge" in capsys.readouterr().err
    assert main([*asked, "--judge", str(judge), "--method", "likelihood"]) == 0
    own = "select count(*) from ratings where rater like 'judge:seven+likelihood:%'"
    assert stored(folder, own) == 4
    assert stored(folder, f"{own} and failure like 'judge likelihood:%'") == 4
    assert stored(folder, "select count(distinct rater) from ratings") == 2


@pytest.mark.slow
def test_a_small_real_model_is_audited_by_likelihood(weights: str, tmp_path: Path) -> None:
    out = tmp_path / "audit"
    asked = ["audit", weights, "--method", "likelihood", "--out", str(out), "--n", "2", "--parts", "truth", "--quiet"]
    assert main(asked) == 0
    content = json.loads((out / "audit.json").read_text(encoding="utf-8"))
    assert content["judge"].startswith(f"judge:{weights}+likelihood:")
    assert content["ratings"] == {"asked": 4, "failed": 0, "causes": {}}
    truth = content["parts"]["truth"]
    assert truth["n"] == 4
    assert 0 < truth["judge"] < 10
