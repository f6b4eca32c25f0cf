"""What a CUDA GPU computes: packed rows as one by one, the local model as on the CPU, bfloat16 and 4-bit training."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest
from support import price_task, turn

from sotopia_pi.config import TrainingConfig
from sotopia_pi.episodes.views import messages, view
from sotopia_pi.models.chat import encode_chat
from sotopia_pi.models.protocol import Message, Sampling
from sotopia_pi.training.examples import Tokens
from sotopia_pi.training.rows import pack

pytest.importorskip("torch", reason="training needs the extra 'local'")
pytest.importorskip("peft", reason="training needs the extra 'local'")
import tiny
import torch
from torch.nn.functional import cross_entropy

from sotopia_pi.models.local import LocalModel
from sotopia_pi.models.packing import Packing, use_packed_attention
from sotopia_pi.training.sft import fine_tune

pytestmark = [
    pytest.mark.gpu,
    pytest.mark.weights,
    pytest.mark.usefixtures("weights"),
    pytest.mark.skipif(not torch.cuda.is_available(), reason="there is no CUDA GPU"),
]

SETTINGS = TrainingConfig(
    epochs=4, learning_rate=5e-3, batch=4, micro_batch=2, lora_rank=4, lora_alpha=8, precision="bfloat16"
)


def chats() -> list[list[Message]]:
    """Chats of several lengths that begin alike, two by two."""
    said = [turn(i % 2, " ".join(["What about fifteen dollars?"] * (1 + i))) for i in range(6)]
    return [messages(view(price_task(number=n // 2), 0, said[: 2 * (n % 2) + 2])) for n in range(6)]


@pytest.fixture
def items() -> list[Tokens]:
    made = [(n, encode_chat(tiny.tokenizer(), chat[:-1])) for n, chat in enumerate(chats())]
    return [Tokens(e.ids, [at for a, b in e.replies for at in range(a, b)], str(n // 2)) for n, e in made]


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return tiny.save(tiny.CONFIGS["llama"], tmp_path / "base")


def loaded(folder: Path, dtype: Any) -> Any:
    return tiny.reference(folder, "sdpa").to("cuda", dtype)


@pytest.mark.parametrize(("dtype", "tolerance"), [("float32", 1e-4), ("bfloat16", 0.1)])
def test_packed_losses_are_those_of_single_sequences(
    dtype: str, tolerance: float, items: Sequence[Tokens], folder: Path
) -> None:
    plain, packed = (loaded(folder, getattr(torch, dtype)) for _ in range(2))
    use_packed_attention(packed)
    losses = []
    with torch.no_grad():
        for item in items:
            ids, at = torch.tensor(item.ids, device="cuda"), torch.tensor(item.targets, device="cuda")
            logits = plain(input_ids=ids[None], use_cache=False).logits[0]
            losses.append(cross_entropy(logits[at - 1].float(), ids[at], reduction="none"))
        row = {name: torch.tensor(value, device="cuda") for name, value in pack(items).items()}
        at = (row["labels"][0] >= 0).nonzero()[:, 0]
        logits = packed(
            input_ids=row["input_ids"],
            position_ids=row["position_ids"],
            logits_to_keep=at - 1,
            use_cache=False,
            packing=Packing.of_row(row["segments"]),
        ).logits[0]
    found = cross_entropy(logits.float(), row["labels"][0][at], reduction="none")
    torch.testing.assert_close(found, torch.cat(losses), rtol=tolerance, atol=tolerance)


def test_local_model_writes_what_the_cpu_writes(folder: Path) -> None:
    model, sampling = LocalModel(str(folder)), Sampling(temperature=0, max_tokens=12)

    async def all_at_once() -> list[str]:
        asked = [model.complete(chat, sampling, n, f"conversation {n}") for n, chat in enumerate(chats())]
        return [done.text for done in await asyncio.gather(*asked)]

    written = asyncio.run(all_at_once())
    model.close()
    reference, tokenizer = tiny.reference(folder), tiny.tokenizer()
    for chat, text in zip(chats(), written, strict=True):
        prompt = torch.tensor([encode_chat(tokenizer, chat, prompt=True).ids])
        end = tokenizer.eos_token_id
        ids = reference.generate(
            prompt,
            attention_mask=torch.ones_like(prompt),
            do_sample=False,
            max_new_tokens=12,
            eos_token_id=end,
            pad_token_id=end,
        )[0, prompt.shape[1] :].tolist()
        assert tokenizer.decode([token for token in ids if token != end]).startswith(text)
        assert text


@pytest.mark.parametrize("tune", ["lora", "qlora"])
def test_fine_tuning_lowers_the_loss(tune: str, items: list[Tokens], folder: Path, tmp_path: Path) -> None:
    if tune == "qlora":
        pytest.importorskip("bitsandbytes", reason="4-bit training needs bitsandbytes")
    settings = SETTINGS.model_copy(update={"tune": tune})
    curve = fine_tune(str(folder), None, items, tmp_path / "policy", settings, seed=1)
    assert (tmp_path / "policy" / "adapter_model.safetensors").is_file()
    assert curve[-1]["loss"] < curve[0]["loss"] - 0.05


def test_the_benchmarks_model_trains_in_four_bits() -> None:
    pytest.importorskip("bitsandbytes", reason="4-bit training needs bitsandbytes")
    gpu = pytest.importorskip("benchmarks.gpu", reason="the benchmarks are not in this folder")
    from sotopia_pi.training.adapters import with_adapter

    shape = {**gpu.MISTRAL_7B, "vocab_size": 200, "hidden_size": 64, "intermediate_size": 128, "num_hidden_layers": 2}
    model = with_adapter(
        gpu.quantised({**shape, "num_attention_heads": 4, "num_key_value_heads": 2}, "cuda"), None, SETTINGS
    )
    seconds, losses = gpu.steps(model, gpu.sequences(3, 256, 200))
    assert seconds > 0 and len(losses) == 3
    assert all(4 < loss < 8 for loss in losses)  # of 200 tokens, ln 200 is 5.3
