"""Serving a policy with vLLM: finding it, and the command that starts it.

The flags are those of vLLM 0.32 (`vllm serve --help=LoRAConfig`).
"""

from __future__ import annotations

import os
import shutil
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import NoReturn

from sotopia_pi.errors import ModelError
from sotopia_pi.models.lora import adapter_config

#: The ranks that `--max-lora-rank` takes.
_RANKS = (1, 8, 16, 32, 64, 128, 256, 320, 512)


def find_vllm() -> str | None:
    """vLLM's executable: beside this Python, else on the PATH; None when there is none."""
    own = Path(sys.executable).parent / "vllm"
    return str(own) if os.access(own, os.X_OK) and own.is_file() else shutil.which("vllm")


def adapter_command(
    program: str, base: str, base_name: str, folder: Path, name: str, host: str, port: int, more: Sequence[str] = ()
) -> list[str]:
    """The command that serves the adapter in `folder` as `name` beside its base as `base_name`. ModelError."""
    return [
        *_begin(program, base, base_name, host, port),
        "--enable-lora",
        "--max-lora-rank",
        str(_rank(folder)),
        "--lora-modules",
        f"{name}={folder.resolve()}",
        *more,
    ]


def whole_command(program: str, folder: Path, name: str, host: str, port: int, more: Sequence[str] = ()) -> list[str]:
    """The command that serves whole weights as `name`."""
    return [*_begin(program, str(folder), name, host, port), *more]


def become(command: Sequence[str], key: str | None) -> NoReturn:
    """Replaces this process by a server, which then gets all signals and decides the exit code. ModelError.

    The key goes along in the environment, because everybody on the machine can read a command line.
    """
    environment = {**os.environ, "VLLM_API_KEY": key} if key else dict(os.environ)
    sys.stdout.flush()
    sys.stderr.flush()
    try:
        os.execve(command[0], list(command), environment)
    except OSError as error:
        raise ModelError(
            f"{command[0]} cannot be started ({error.strerror}); install vLLM again or add --backend local."
        ) from None


def _begin(program: str, model: str, name: str, host: str, port: int) -> list[str]:
    listen = ["--host", host, "--port", str(port)]
    # Without it vLLM never says how much of a prompt it had cached.
    return [program, "serve", model, "--served-model-name", name, *listen, "--enable-prompt-tokens-details"]


def _rank(folder: Path) -> int:
    """The smallest rank that vLLM can be told which holds all of the adapter's."""
    config = adapter_config(folder)
    patterns = config.get("rank_pattern")
    ranks = [config.get("r"), *(patterns.values() if isinstance(patterns, dict) else ())]
    most = max((rank for rank in ranks if isinstance(rank, int)), default=0)
    fitting = [rank for rank in _RANKS if rank >= most > 0]
    if not fitting:
        raise ModelError(f"vLLM serves adapters of rank 1 to {_RANKS[-1]}, and that in {folder} has {most or 'none'}.")
    return fitting[0]
