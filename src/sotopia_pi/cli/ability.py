"""`sotopia-pi mmlu` and `sotopia-pi ability`: what policies can do in general, through lm-eval."""

from __future__ import annotations

import argparse
import json
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING, Any

from sotopia_pi.cli.console import print_json
from sotopia_pi.cli.numbers import whole

if TYPE_CHECKING:
    from sotopia_pi.evaluation.harness import Answers, Asked, Settings, Weights

#: The answer rules of `evaluation.mmlu`, without loading it.
RULES = ("first", "likelihood")
_FOLDER = "ability"
_WITHOUT = ("fake:", "scripted:")


def add(verbs: Any) -> None:
    """Adds the verbs to the command line."""
    text = "MMLU: what policies still know, beside their base (extra 'ability')"
    mmlu = verbs.add_parser("mmlu", help=text, description=text + ".")
    mmlu.add_argument("--data", type=Path, metavar="DIR", help="MMLU's CSV files (dev/, test/); default: from the hub")
    mmlu.add_argument(
        "--shots", type=whole(0), default=5, metavar="N", help="examples before each question (default: 5)"
    )
    help_ = "what the answer is: the first of A to D in what is written, or the likeliest letter (default: first)"
    mmlu.add_argument("--rule", choices=RULES, default=RULES[0], help=help_)
    mmlu.set_defaults(main=ask_mmlu)
    text = "any task of lm-eval by its name, beside the base (extra 'ability')"
    ability = verbs.add_parser("ability", help=text, description=text[0].upper() + text[1:] + ".")
    ability.add_argument("--tasks", required=True, metavar="NAME,…", help="names as `lm-eval ls tasks` gives them")
    ability.add_argument(
        "--shots", type=whole(0), metavar="N", help="examples before each question (default: the task's)"
    )
    ability.add_argument("--include", type=Path, metavar="DIR", help="a folder with tasks of your own")
    ability.set_defaults(main=ask_tasks)
    for verb in (mmlu, ability):
        verb.add_argument("target", metavar="RUN|POLICY|MODEL", help="a run directory, a policy's folder, or a model")
        help_ = "these policies of the run (default: all that are trained); the base is always asked"
        verb.add_argument("--policy", action="append", default=[], metavar="NAME", help=help_)
        verb.add_argument("--base", metavar="MODEL", help="the base, if it is not where the run or policy says")
        verb.add_argument("--limit", type=whole(1), metavar="N", help="the first N questions of each subject or task")
        verb.add_argument("--chat", action="store_true", help="ask in the model's chat template")
        verb.add_argument("--device", default="", metavar="DEVICE", help="cpu, cuda, cuda:1, … (default: a GPU if any)")
        verb.add_argument("--batch", type=whole(1), default=4, metavar="N", help="questions at a time (default: 4)")
        verb.add_argument("--python", default="", metavar="PATH", help="a Python that has lm-eval (default: this one)")
        verb.add_argument("--fresh", action="store_true", help="ask again what was asked before")
        verb.add_argument("--out", type=Path, metavar="FILE", help="write the result as JSON")
        verb.add_argument("--json", action="store_true", help="print the result as JSON")
        verb.add_argument("--quiet", action="store_true", help="print nothing but errors")


def ask_mmlu(given: argparse.Namespace) -> None:
    """MMLU for every policy."""
    from sotopia_pi.evaluation.ability import mmlu_lines, mmlu_summary
    from sotopia_pi.evaluation.harness import Asked
    from sotopia_pi.evaluation.mmlu import data_folder, write_tasks

    data = data_folder(given.data) if given.data else None
    with tempfile.TemporaryDirectory(prefix="sotopia-pi-mmlu-") as name:
        tasks = write_tasks(Path(name), data, given.rule, given.shots, given.limit)
        asked = Asked(tasks.names, None, tasks.limit, Path(name), tasks.mark)
        found = _ask(given, asked, local=data is not None)
    facts = {"rule": given.rule, "shots": given.shots, "limit": given.limit}
    summary = {"benchmark": "mmlu", **facts, **_versions(found), **mmlu_summary(found, tasks.metric)}
    _tell(given, summary, mmlu_lines(summary))


def ask_tasks(given: argparse.Namespace) -> None:
    """Other tasks for every policy."""
    from sotopia_pi.errors import ConfigError
    from sotopia_pi.evaluation.ability import tasks_lines, tasks_summary
    from sotopia_pi.evaluation.harness import Asked

    names = tuple(name.strip() for name in given.tasks.split(",") if name.strip())
    if not names or any(name.startswith("-") for name in names):
        raise ConfigError("--tasks needs names of lm-eval's tasks, separated by commas.")
    if given.include is not None and not given.include.is_dir():
        raise ConfigError(f"{given.include} is not a folder; give one with task files to --include.")
    found = _ask(given, Asked(names, given.shots, given.limit, given.include), local=False)
    summary = {"tasks": list(names), "shots": given.shots, "limit": given.limit}
    summary |= {**_versions(found), **tasks_summary(found)}
    _tell(given, summary, tasks_lines(summary))


def _versions(found: dict[str, Answers]) -> dict[str, Any]:
    return {"versions": next(iter(found.values())).versions}


def _ask(given: argparse.Namespace, asked: Asked, local: bool) -> dict[str, Answers]:
    """The answers of the base and of every policy, kept in the run's folder, or the user's cache without a run."""
    from sotopia_pi.evaluation.harness import Settings, answers
    from sotopia_pi.files import within
    from sotopia_pi.models.weights import cache_folder
    from sotopia_pi.rundir import is_run

    models = _models(given)
    target = Path(given.target)
    kept = within(target, _FOLDER) if is_run(target) else cache_folder() / _FOLDER
    python = str(Path(given.python).absolute()) if "/" in given.python else given.python
    found = {}
    for one in models:
        offline = local and Path(one.model).is_dir()
        settings: Settings = Settings(python, given.device, given.batch, given.chat, offline)
        if not (given.quiet or given.json):
            print(f"ability    {one.name}: {len(asked.tasks)} tasks of lm-eval", flush=True)
        found[one.name] = answers(one, asked, settings, kept, given.fresh)
    return found


def _models(given: argparse.Namespace) -> list[Weights]:
    """The base and the policies to ask."""
    from sotopia_pi.errors import ConfigError
    from sotopia_pi.evaluation.harness import Weights
    from sotopia_pi.models.fitting import ADAPTER_CONFIG
    from sotopia_pi.rundir import is_run
    from sotopia_pi.training.lineage import LINEAGE, read_lineage

    target = Path(given.target)
    if is_run(target):
        return _of_run(given, target)
    if given.policy:
        raise ConfigError(f"--policy names policies of a run, and {target} is none; give a run directory.")
    if (target / LINEAGE).is_file():
        lineage = read_lineage(target)
        name = lineage.name if lineage.name != "base" else target.name
        return [*_base(given.base or lineage.base), _policy(name, target, given.base or lineage.base)]
    if (target / ADAPTER_CONFIG).is_file():
        if not given.base:
            raise ConfigError(f"{target} is an adapter that does not say of what; give its base with --base.")
        return [*_base(given.base), _policy(target.name, target, given.base)]
    own = _base(given.target)[0]
    return [*_base(given.base), Weights(own.model, own.model)] if given.base else [own]


def _of_run(given: argparse.Namespace, folder: Path) -> list[Weights]:
    from sotopia_pi.config import BASE
    from sotopia_pi.errors import ConfigError
    from sotopia_pi.rundir import Run

    with Run.reading(folder, quiet=True) as run:
        spec = given.base or run.config.models.policy
        known = [item.name for item in run.config.rounds]
        wrong = [name for name in given.policy if name not in (BASE, *known)]
        if wrong:
            raise ConfigError(f"The run has no policy {wrong[0]!r}; its policies are: {', '.join([BASE, *known])}.")
        trained = [name for name in known if run.store.stage(f"train/{name}") is not None]
        names = [name for name in dict.fromkeys(given.policy or trained) if name != BASE]
        folders = [(name, run.policy_folder(name)) for name in names]
    return [*_base(spec), *(_policy(name, path, spec) for name, path in folders if path is not None)]


def _base(spec: str) -> list[Weights]:
    """A model without an adapter. ModelError where its weights are not to be had."""
    from sotopia_pi.config import BASE
    from sotopia_pi.errors import ModelError
    from sotopia_pi.evaluation.harness import Weights
    from sotopia_pi.models.remote.spec import is_remote
    from sotopia_pi.models.weights import resolve

    if is_remote(spec) or spec.startswith(_WITHOUT):
        raise ModelError(f"lm-eval needs the weights of {spec}; name them with --base, as a folder or on the hub.")
    return [Weights(BASE, str(_absolute(resolve(spec))))]


def _policy(name: str, folder: Path, base: str) -> Weights:
    from sotopia_pi.evaluation.harness import Weights
    from sotopia_pi.models.fitting import holds_whole_weights
    from sotopia_pi.models.weights import base_of, resolve

    if holds_whole_weights(folder):
        return Weights(name, str(folder.resolve()))
    return Weights(name, _absolute(resolve(base_of(folder, base))), folder.resolve())


def _absolute(model: str) -> str:
    return str(Path(model).resolve()) if Path(model).is_dir() else model


def _tell(given: argparse.Namespace, summary: dict[str, Any], lines: list[str]) -> None:
    from sotopia_pi.interop.files import new_file

    if given.out:
        with new_file(given.out) as scratch:
            scratch.write_text(json.dumps(summary, indent=1, ensure_ascii=False) + "\n", encoding="utf-8")
    if given.json:
        print_json(summary)
    elif not given.quiet:
        print("\n".join(lines))
