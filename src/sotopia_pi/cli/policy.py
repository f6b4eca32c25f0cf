"""`sotopia-pi policy show | merge | push`: what a policy was made of, its whole weights, and giving it to others."""

from __future__ import annotations

import argparse
import json
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

from sotopia_pi.cli.console import print_json
from sotopia_pi.printable import flat

if TYPE_CHECKING:
    from sotopia_pi.training.lineage import Lineage

_TYPES = ("auto", "float32", "bfloat16", "float16")


def add(verbs: Any) -> None:
    """Adds the verb to the command line."""
    text = "show what a policy was made of, merge it into its base, upload it"
    what = verbs.add_parser("policy", help=text, description=text[0].upper() + text[1:] + ".").add_subparsers(
        title="what", dest="what", required=True, metavar="WHAT"
    )
    shown = what.add_parser("show", help="base, parents, examples, hyper-parameters, versions, loss")
    shown.add_argument("--examples", action="store_true", help="each example's episode and role")
    shown.add_argument("--json", action="store_true", help="as one JSON object")
    merged = what.add_parser("merge", help="write whole weights that transformers and vLLM load")
    merged.add_argument("--out", type=Path, required=True, metavar="DIR", help="the new folder")
    merged.add_argument("--dtype", choices=_TYPES, default="auto", help="how weights are stored (default: as the base)")
    merged.add_argument("--base", metavar="SPEC", help="the base, if it is not where the policy says")
    pushed = what.add_parser("push", help="upload it to the Hugging Face hub, with the token in HF_TOKEN")
    pushed.add_argument("--private", action="store_true", help="make a new repository private")
    for verb, main in ((shown, show), (merged, merge), (pushed, push)):
        add_policy(verb)
        verb.add_argument("--quiet", action="store_true", help="print nothing but errors")
        verb.set_defaults(main=main)
    pushed.add_argument("repo", metavar="REPO", help="the repository, as NAMESPACE/NAME")


def add_policy(verb: argparse.ArgumentParser) -> None:
    """Adds the argument that names a policy."""
    verb.add_argument("policy", type=Path, metavar="POLICY", help="a policy's folder, or a run directory with --round")
    verb.add_argument("--round", metavar="NAME", help="the policy of this round of the run directory POLICY")


def policy_folder(given: argparse.Namespace) -> Path:
    """The folder of the policy that is named. ModelError when there is none."""
    from sotopia_pi.errors import ModelError
    from sotopia_pi.files import check_plain, within

    folder: Path = given.policy if given.round is None else within(given.policy, "policies", given.round)
    if not folder.is_dir():
        raise ModelError(f"There is no policy folder {folder}; name one, such as RUN/policies/NAME.")
    for path in folder.iterdir():
        check_plain(path.resolve())  # the hub's cache is made of links, and a pipe would never end
    return folder


def show(given: argparse.Namespace) -> None:
    """Prints where a policy comes from."""
    from sotopia_pi.training.lineage import parents, read_examples, read_lineage

    folder = policy_folder(given)
    lineage = read_lineage(folder)
    chain = [lineage.name, *(name for name, _ in parents(folder)), lineage.base]
    examples = [{"episode": episode, "role": role} for episode, role in read_examples(folder)] if given.examples else []
    if given.json:
        facts = {**lineage.model_dump(mode="json"), "folder": str(folder), "chain": chain}
        print_json({**facts, **({"examples": examples} if given.examples else {})})
        return
    for line in _shown(lineage, chain):
        print(flat(line))
    for item in examples:
        print(flat(f"  {item['episode']}  role {item['role']}"))


def _shown(lineage: Lineage, chain: list[str]) -> Iterator[str]:
    yield f"policy     {lineage.name}" + (f", of the run {lineage.run}" if lineage.run else "")
    yield f"base       {lineage.base}"
    yield f"chain      {' ← '.join(chain)}"
    made = ", ".join(part for part in (lineage.method, lineage.update, lineage.tune) if part)
    yield f"made by    {made}{', merged into the base' if lineage.merged else ''}"
    cut = f", {lineage.cut} cut short, {lineage.dropped} dropped" if lineage.cut or lineage.dropped else ""
    yield f"examples   {lineage.sequences} sequences{cut}"
    yield f"tokens     {lineage.tokens} per epoch, {lineage.trained_tokens} of them trained"
    if losses := lineage.losses:
        yield f"loss       {losses[0]:.4f} → {losses[-1]:.4f}, {len(losses)} recorded updates"
    for title, values in (("settings", lineage.settings), ("versions", lineage.versions)):
        for at, (key, value) in enumerate(values.items()):
            yield f"{'' if at else title:10} {key} = {value if isinstance(value, str) else json.dumps(value)}"


def merge(given: argparse.Namespace) -> None:
    """Writes whole weights."""
    from sotopia_pi.training.merge import merge as merge_policy

    folder = policy_folder(given)
    merge_policy(folder, given.out, given.dtype, given.base)
    if not given.quiet:
        print(f"merged     {folder} → {given.out}")


def push(given: argparse.Namespace) -> None:
    """Uploads a policy."""
    from sotopia_pi.training.push import push as push_policy

    address = push_policy(policy_folder(given), given.repo, given.private)
    if not given.quiet:
        print(f"pushed     {address}")
