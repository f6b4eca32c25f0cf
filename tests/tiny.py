"""Small models with SmolLM2's tokenizer: random ones of several architectures, and one that recites a text."""

from __future__ import annotations

from collections.abc import Sequence
from functools import cache
from itertools import pairwise
from pathlib import Path
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


@cache
def tokenizer() -> Any:
    return load_tokenizer(SMOLLM2)


def save(config: Any, folder: Path, model: Any = None) -> Path:
    """Writes `model`, or a random one of `config`, with the tokenizer, as `LocalModel` loads it."""
    if model is None:
        config.vocab_size = len(tokenizer())
        config.bos_token_id = config.pad_token_id = None
        config.eos_token_id = tokenizer().eos_token_id
        set_seed(3)
        model = Auto.from_config(config)
    model.to(torch.float32).save_pretrained(str(folder))
    tokenizer().save_pretrained(str(folder))
    return folder


def reciting(text: str, folder: Path) -> Path:
    """A model that says `text` after every prompt and then ends its turn. No token may stand twice in `text`."""
    words: Sequence[int] = tokenizer()(text, add_special_tokens=False)["input_ids"]
    start = tokenizer()("<|im_start|>assistant\n", add_special_tokens=False)["input_ids"][-1]
    chain = [start, *words, tokenizer().eos_token_id]
    assert len(set(chain)) == len(chain) <= 64
    shape = {**_SHAPE, "hidden_size": 64, "num_hidden_layers": 1}
    config = LlamaConfig(**shape, vocab_size=len(tokenizer()), eos_token_id=chain[-1], tie_word_embeddings=False)
    model = Auto.from_config(config)
    with torch.no_grad():
        for parameter in model.model.layers.parameters():
            parameter.zero_()
        model.model.embed_tokens.weight.zero_()
        model.lm_head.weight.zero_()
        for place, (token, following) in enumerate(pairwise(chain)):
            model.model.embed_tokens.weight[token, place] = 1
            model.lm_head.weight[following, place] = 1
    return save(config, folder, model)


def reference(folder: Path | str, attention: str = "eager") -> Any:
    """The model as transformers itself runs it, in float32."""
    return Auto.from_pretrained(str(folder), dtype=torch.float32, attn_implementation=attention).eval()
