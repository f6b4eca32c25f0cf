"""`sotopia-pi serve`: an OpenAI-compatible server for a policy, by vLLM where it is installed, else the local model."""

from __future__ import annotations

import argparse
import shlex
from contextlib import suppress
from pathlib import Path
from typing import Any

from sotopia_pi.cli.numbers import whole
from sotopia_pi.cli.policy import add_policy, policy_folder

BACKENDS = ("auto", "local", "vllm")


def add(verbs: Any) -> None:
    """Adds the verb to the command line."""
    text = "serve a policy behind OpenAI's chat-completions protocol"
    verb = verbs.add_parser("serve", help=text, description=text[0].upper() + text[1:] + ".")
    add_policy(verb)
    verb.add_argument("--host", default="127.0.0.1", help="where to listen (default: %(default)s, this machine only)")
    verb.add_argument(
        "--port", type=whole(0, 65535), default=8000, help="the port (default: %(default)s; 0, local: any free one)"
    )
    help_ = "vllm, local, or auto: vLLM where it is installed (default: %(default)s)"
    verb.add_argument("--backend", choices=BACKENDS, default="auto", help=help_)
    verb.add_argument("--name", metavar="NAME", help="what the policy is called (default: its folder's name)")
    verb.add_argument("--base", metavar="SPEC", help="the base, if it is not where the policy says")
    verb.add_argument("--with-base", action="store_true", help="offer the base too (vLLM always does)")
    verb.add_argument("--max-context", type=whole(), metavar="N", help="tokens of a conversation (default: local 4096)")
    verb.add_argument(
        "--slots", type=whole(), default=16, metavar="N", help="local: conversations at once (default: 16)"
    )
    verb.add_argument("--vllm-args", default="", metavar="'…'", help="more options for vLLM, as in --vllm-args='…'")
    verb.add_argument("--quiet", action="store_true", help="print nothing but errors")
    verb.set_defaults(main=main)


def main(given: argparse.Namespace) -> None:
    """Serves until it is interrupted; with vLLM, this process becomes vLLM."""
    from sotopia_pi.errors import ConfigError, ModelError
    from sotopia_pi.models.fitting import holds_whole_weights
    from sotopia_pi.models.serving.listening import serve_key
    from sotopia_pi.models.serving.vllm import find_vllm

    if given.slots < 1 or (given.max_context is not None and given.max_context < 256):
        raise ConfigError("--slots must be at least 1 and --max-context at least 256.")
    folder = policy_folder(given)
    whole = holds_whole_weights(folder)
    key = serve_key(given.host)
    program = None if given.backend == "local" else find_vllm()
    if given.backend == "vllm" and program is None:
        raise ModelError("vLLM is not installed here: install it, or serve with --backend local.")
    base = None if whole else given.base or _base(folder)
    with suppress(KeyboardInterrupt):
        if program is not None:
            _with_vllm(given, program, folder, base, key)
        else:
            _locally(given, folder, base, key)


def _base(folder: Path) -> str:
    """The base that a policy's adapter belongs to, by its lineage, else by the adapter's own config."""
    from sotopia_pi.errors import ModelError
    from sotopia_pi.models.fitting import trained_on
    from sotopia_pi.models.weights import base_of
    from sotopia_pi.training.lineage import LINEAGE, read_lineage

    base = read_lineage(folder).base if (folder / LINEAGE).is_file() else trained_on(folder)
    if not base:
        raise ModelError(f"{folder} does not say which base it belongs to; give --base.")
    return base_of(folder, base)


def _names(given: argparse.Namespace, folder: Path, base: str | None) -> tuple[str, str]:
    """What policy and base are called; the base by its folder's or hub name."""
    from sotopia_pi.models.weights import at_home

    name = given.name or folder.resolve().name
    known = "" if base is None else Path(base).name if at_home(base).is_dir() else base
    return name, f"{known}-base" if known == name else known


def _with_vllm(given: argparse.Namespace, program: str, folder: Path, base: str | None, key: str | None) -> None:
    from sotopia_pi.errors import ConfigError
    from sotopia_pi.models.serving.vllm import adapter_command, become, whole_command
    from sotopia_pi.models.weights import resolve

    try:
        more = shlex.split(given.vllm_args)
    except ValueError as error:
        raise ConfigError(f"--vllm-args cannot be read ({error}); check its quotes.") from None
    if given.max_context is not None:
        more = ["--max-model-len", str(given.max_context), *more]
    name, base_name = _names(given, folder, base)
    if base is None:
        command = whole_command(program, folder, name, given.host, given.port, more)
    else:
        command = adapter_command(program, resolve(base), base_name, folder, name, given.host, given.port, more)
    if not given.quiet:
        print(f"starting   {shlex.join(command)}", flush=True)
    become(command, key)


def _locally(given: argparse.Namespace, folder: Path, base: str | None, key: str | None) -> None:
    import asyncio

    from sotopia_pi.models.local import LocalModel
    from sotopia_pi.models.serving.app import application
    from sotopia_pi.models.serving.listening import bound, until_stopped, url

    listening = bound(given.host, given.port)
    name, base_name = _names(given, folder, base)
    options = {"slots": given.slots, "max_context": given.max_context or 4096}
    models = {}
    try:
        weights, adapter = (str(folder), None) if base is None else (base, folder)
        models[name] = LocalModel(weights, adapter, name, **options)
        if given.with_base and base is not None:
            models[base_name] = LocalModel(base, None, base_name, **options)
        address = url(given.host, listening.getsockname()[1])

        def ready() -> None:
            if not given.quiet:
                offered = ", ".join(f"openai:{name}@{address}" for name in models)
                print(f"serving    {offered}\n           Ctrl-C stops it", flush=True)

        asyncio.run(until_stopped(application(models, key), listening, ready))
    finally:
        for model in models.values():
            model.close()
        listening.close()
