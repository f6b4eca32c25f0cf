"""A policy's folder on the Hugging Face hub.

Only the files that a policy consists of are sent, weights only as safetensors. Paths of this machine in the small JSON
files are replaced by the last part of their names; the files in the folder stay as they are. The token comes from
HF_TOKEN and from nowhere else.
"""

from __future__ import annotations

import json
import os
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from sotopia_pi.errors import ConfigError, ModelError
from sotopia_pi.files import check_plain
from sotopia_pi.models.fitting import ADAPTER, ADAPTER_CONFIG
from sotopia_pi.models.weights import public_name
from sotopia_pi.training.card import CARD, card
from sotopia_pi.training.lineage import EXAMPLES, LINEAGE, read_lineage

TOKEN = "HF_TOKEN"
_TOLD = (LINEAGE, ADAPTER_CONFIG, "config.json", "tokenizer_config.json")
_AS_THEY_ARE = re.compile(
    rf"{re.escape(ADAPTER)}|{re.escape(EXAMPLES)}|model(-\d+-of-\d+)?\.safetensors|model\.safetensors\.index\.json"
    r"|generation_config\.json|tokenizer\.(json|model)|special_tokens_map\.json|added_tokens\.json|vocab\.(json|txt)"
    r"|merges\.txt|chat_template\.(jinja|json)|metrics\.jsonl"
)
_PATH = re.compile(r"(/|~|[A-Za-z]:[\\/]).+[^/\\]", re.DOTALL)


def push(folder: Path, repo: str, private: bool = False) -> str:
    """Uploads the policy in `folder` to a hub repository, made if there is none; returns its address.

    ModelError when there is no policy, ConfigError when the repository or the token is none, or the hub refuses.
    """
    files = dict(pushed(folder))
    token = os.environ.get(TOKEN, "").strip()
    if not token:
        raise ConfigError(f"Uploading needs a token of the Hugging Face hub; put one into the variable {TOKEN}.")
    try:
        import huggingface_hub as hub
        from huggingface_hub.utils.tqdm import disable_progress_bars
    except ImportError:
        raise ModelError(
            "Uploading needs huggingface_hub, which is not installed: pip install 'sotopia-pi[local]'."
        ) from None
    place = os.environ.get("HF_ENDPOINT") or "https://huggingface.co"
    operations = [
        hub.CommitOperationAdd(name, content if isinstance(content, bytes) else str(content))
        for name, content in files.items()
    ]
    api = hub.HfApi(endpoint=place, token=token)
    unreachable: type[Exception] = vars(hub.errors)["HTTPError"]  # that of the HTTP library it uses
    disable_progress_bars()
    try:
        made = api.create_repo(repo, private=private or None, exist_ok=True)
        api.create_commit(made.repo_id, operations, commit_message="Upload a policy of sotopia-pi")
    except (OSError, ValueError, KeyError, RuntimeError, unreachable) as error:
        raise ConfigError(_refusal(error, repo, place).replace(token, "***")) from None
    return str(made)


def pushed(folder: Path) -> Iterator[tuple[str, bytes | Path]]:
    """What is uploaded: each file's name, with its content or where it is.

    ModelError when there is no policy, StoreError when one of its files is a link.
    """
    for path in folder.iterdir():
        check_plain(path)  # a link might lead to any file of the user's
    lineage = read_lineage(folder)
    yield CARD, card(folder).encode("utf-8")
    for path in sorted(folder.iterdir()):
        if not path.is_file():
            continue
        if path.name in _TOLD:
            try:
                value = json.loads(path.read_text(encoding="utf-8"))
            except (OSError, ValueError) as error:
                raise ModelError(f"{path} cannot be read ({error}); restore the file.") from None
            if path.name == ADAPTER_CONFIG and isinstance(value, dict):
                value["base_model_name_or_path"] = public_name(lineage.base)
            if path.name == LINEAGE and isinstance(value, dict):
                value["base"] = public_name(lineage.base)
            yield path.name, (json.dumps(_without_paths(value), indent=1, ensure_ascii=False) + "\n").encode("utf-8")
        elif _AS_THEY_ARE.fullmatch(path.name):
            yield path.name, path


def _without_paths(value: Any) -> Any:
    if isinstance(value, dict):
        return {key: _without_paths(item) for key, item in value.items()}
    if isinstance(value, list):
        return [_without_paths(item) for item in value]
    if isinstance(value, str) and _PATH.fullmatch(value):
        return re.split(r"[/\\]", value)[-1]
    return value


def _refusal(error: Exception, repo: str, place: str) -> str:
    """One sentence about what the hub or the way to it objected to."""
    status = getattr(getattr(error, "response", None), "status_code", None)
    if status == 401:
        return f"{place} refuses the token in {TOKEN} (401); make one that may write at {place}/settings/tokens."
    if status in (403, 404):
        return f"{place} does not let this token write to {repo!r} ({status}); check the name before the slash."
    first = next(iter(str(error).strip().splitlines()), "") or type(error).__name__
    if status is not None:
        return f"{place} refused the upload to {repo!r} ({status}): {first}"
    if type(error).__name__ == "HFValidationError":
        return f"{repo!r} cannot be the name of a repository; write NAMESPACE/NAME."
    if type(error).__name__ == "OfflineModeIsEnabled":
        return "HF_HUB_OFFLINE is set, so nothing can be uploaded; unset it."
    return f"The upload to {place} failed ({first}); check the network and run the same command again."
