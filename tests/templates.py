"""Tokenizers of bytes with any added tokens and chat template, made in memory, and folders of models that use them."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from tokenizers import AddedToken, Tokenizer, decoders, models, pre_tokenizers
from transformers import LlamaConfig, PreTrainedTokenizerFast

#: ChatML, as many models have it.
CHATML = (
    "{% for m in messages %}<|im_start|>{{ m['role'] }}\n{{ m['content'] }}<|im_end|>\n{% endfor %}"
    "{% if add_generation_prompt %}<|im_start|>assistant\n{% endif %}"
)
#: One that rewrites: only the last reply has the thoughts that it was asked for with.
REWRITES = CHATML.replace(
    "{{ m['content'] }}",
    "{% if loop.last and m['role'] == 'assistant' %}<think></think>{% endif %}{{ m['content'] }}",
).replace("assistant\n{% endif %}", "assistant\n<think></think>{% endif %}")
START, END = "<|im_start|>", "<|im_end|>"


def special(text: str, **flags: bool) -> AddedToken:
    return AddedToken(text, **{"special": True, "normalized": False, **flags})


def tokenizer(template: str = CHATML, added: Sequence[AddedToken] = (), normalizer: Any = None) -> Any:
    """A tokenizer whose every byte is a token, with ChatML's marks and the tokens `added`."""
    letters = {letter: number for number, letter in enumerate(sorted(pre_tokenizers.ByteLevel.alphabet()))}
    backend = Tokenizer(models.BPE(vocab=letters, merges=[]))
    backend.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    backend.decoder = decoders.ByteLevel()
    if normalizer is not None:
        backend.normalizer = normalizer
    backend.add_tokens([special(START), special(END), *added])
    made = PreTrainedTokenizerFast(tokenizer_object=backend, eos_token=END)
    made.chat_template = template
    return made


def model_folder(folder: Path, template: str, **config: Any) -> Path:
    """What of a model can be looked at without its weights: its config and its tokenizer."""
    made = tokenizer(template)
    made.save_pretrained(str(folder))
    shape = {"hidden_size": 32, "intermediate_size": 64, "num_hidden_layers": 3, "num_attention_heads": 4}
    LlamaConfig(**{**shape, "vocab_size": len(made), "eos_token_id": made.eos_token_id, **config}).save_pretrained(
        str(folder)
    )
    return folder
