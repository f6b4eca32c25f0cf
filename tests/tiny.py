"""Small models with the first words of SmolLM2's tokenizer: random ones of several architectures, one that recites."""

from __future__ import annotations

import json
from collections.abc import Sequence
from functools import cache
from itertools import pairwise
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import torch
from transformers import AutoModelForCausalLM as Auto
from transformers import (
    Gemma2Config,
    Gemma3TextConfig,
    GemmaConfig,
    LlamaConfig,
    MistralConfig,
    Qwen2Config,
    Qwen3Config,
    set_seed,
)

from sotopia_pi.models.weights import SMOLLM2, load_tokenizer

_SHAPE = {
    "hidden_size": 32,
    "intermediate_size": 64,
    "num_hidden_layers": 3,
    "num_attention_heads": 4,
    "num_key_value_heads": 2,
    "max_position_embeddings": 1024,
    "initializer_range": 0.4,
}
_LOCAL_AND_GLOBAL = ["sliding_attention", "full_attention", "sliding_attention"]
#: The window of the Mistral is much shorter than any prompt, so that it hides most of it.
CONFIGS: dict[str, Any] = {
    "llama": LlamaConfig(**_SHAPE),
    "qwen2": Qwen2Config(**_SHAPE),
    "qwen3": Qwen3Config(**_SHAPE, head_dim=16),
    "mistral": MistralConfig(**_SHAPE, sliding_window=24),
    "gemma": GemmaConfig(**_SHAPE, head_dim=16),
    # A cap so low that it changes every score.
    "gemma2": Gemma2Config(**_SHAPE, head_dim=16, sliding_window=24, attn_logit_softcapping=2.0),
    "gemma3": Gemma3TextConfig(**_SHAPE, head_dim=16, sliding_window=24, layer_types=_LOCAL_AND_GLOBAL),
}


#: Of SmolLM2's 49,152 tokens; with all of them nearly all of a tiny model's time would go into its last layer.
TOKENS = 4096


@cache
def tokenizer() -> Any:
    """SmolLM2's tokenizer with its first `TOKENS` tokens: texts become a quarter longer."""
    with TemporaryDirectory() as folder:
        whole = load_tokenizer(SMOLLM2)
        whole.save_pretrained(folder)
        path = Path(folder) / "tokenizer.json"
        state = json.loads(path.read_text(encoding="utf-8"))
        model = state["model"]
        model["vocab"] = {token: number for token, number in model["vocab"].items() if number < TOKENS}
        model["merges"] = [parts for parts in model["merges"] if "".join(parts) in model["vocab"]]
        path.write_text(json.dumps(state), encoding="utf-8")
        return type(whole).from_pretrained(folder)


def save(config: Any, folder: Path) -> Path:
    """Writes a random model of `config` with the tokenizer, as `LocalModel` loads it."""
    config.vocab_size = len(tokenizer())
    config.bos_token_id = config.pad_token_id = None
    config.eos_token_id = tokenizer().eos_token_id
    set_seed(3)
    return _write(Auto.from_config(config), tokenizer(), folder)


def _write(model: Any, words: Any, folder: Path) -> Path:
    model.to(torch.float32).save_pretrained(str(folder))
    words.save_pretrained(str(folder))
    return folder


def reciting(text: str, folder: Path) -> Path:
    """A model that says `text` after every prompt and then ends its turn. No token may stand twice in `text`."""
    whole = load_tokenizer(SMOLLM2)  # words cut into more tokens would repeat some
    words: Sequence[int] = whole(text, add_special_tokens=False)["input_ids"]
    start = whole("<|im_start|>assistant\n", add_special_tokens=False)["input_ids"][-1]
    chain = [start, *words, whole.eos_token_id]
    assert len(set(chain)) == len(chain) <= 64
    shape = {**_SHAPE, "hidden_size": 64, "num_hidden_layers": 1}
    config = LlamaConfig(**shape, vocab_size=len(whole), eos_token_id=chain[-1], tie_word_embeddings=False)
    model = Auto.from_config(config)
    with torch.no_grad():
        for parameter in model.model.layers.parameters():
            parameter.zero_()
        model.model.embed_tokens.weight.zero_()
        model.lm_head.weight.zero_()
        for place, (token, following) in enumerate(pairwise(chain)):
            model.model.embed_tokens.weight[token, place] = 1
            model.lm_head.weight[following, place] = 1
    return _write(model, whole, folder)


def reference(folder: Path | str, attention: str = "eager") -> Any:
    """The model as transformers itself runs it, in float32."""
    return Auto.from_pretrained(str(folder), dtype=torch.float32, attn_implementation=attention).eval()
