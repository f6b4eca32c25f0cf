"""Import order is data order: a stage imports earlier stages and the base, and nothing heavy before it is needed."""

from __future__ import annotations

import ast
import subprocess
import sys
from collections.abc import Iterator
from functools import cache
from pathlib import Path

import pytest

import sotopia_pi

SOURCE = Path(sotopia_pi.__file__).parent
#: From the base to the command line; a module may import from its own layer and those before it.
LAYERS = (
    "base",
    "environments",
    "world",
    "episodes",
    "ratings",
    "training",
    "evaluation",
    "rundir",
    "judging",
    "auditing",
    "playing",
    "studies",
    "pipeline",
    "web",
    "benchmark",
    "cli",
)
#: What every layer may import.
BASE = (
    "", "__main__", "garbage", "errors", "files", "inputs", "printable", "redaction", "spreadsheets", "records",
    "config", "prompts", "models",
)  # fmt: skip
#: Which records the store may import besides the base, and who may import the store.
STORED = ("world.records", "episodes.records", "ratings.records", "studies.records")
HEAVY = ("torch", "transformers", "peft", "scipy", "sqlalchemy", "numpy")


@cache
def modules() -> list[tuple[str, ast.Module]]:
    found = []
    for path in sorted(SOURCE.rglob("*.py")):
        parts = path.relative_to(SOURCE).with_suffix("").parts
        name = ".".join(parts[:-1] if parts[-1] == "__init__" else parts)
        found.append((name, ast.parse(path.read_text(encoding="utf-8"))))
    return found


def imported(name: str, tree: ast.Module) -> Iterator[str]:
    """Modules of the package that `name` imports anywhere in its text, without the package's own name."""
    known = {module for module, _ in modules()}
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            found = [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{name} has a relative import"
            inner = (node.module or "").removeprefix("sotopia_pi").lstrip(".")
            names = [f"{inner}.{alias.name}".lstrip(".") for alias in node.names]
            found = [f"sotopia_pi.{n}" if n in known else node.module or "" for n in names]
        else:
            continue
        yield from (item.removeprefix("sotopia_pi").lstrip(".") for item in found if item.split(".")[0] == "sotopia_pi")


@cache
def arrows() -> list[tuple[str, str]]:
    return [(name, target) for name, tree in modules() for target in imported(name, tree)]


def layer(module: str) -> int | None:
    """The module's place in `LAYERS`; None for packages beside the flow."""
    top = module.split(".", maxsplit=1)[0]
    if top in BASE:
        return 0
    return LAYERS.index(top) if top in LAYERS else None


def test_the_walk_sees_the_imports() -> None:
    assert ("rundir", "store") in arrows()
    assert ("episodes.views", "models.protocol") in arrows()
    assert ("cli.run", "pipeline") in arrows()  # inside a function
    assert ("pipeline.reporting", "evaluation") in arrows()


def test_no_backward_arrow() -> None:
    backward = [
        f"{name} imports {target}"
        for name, target in arrows()
        if name != "__main__"
        and (own := layer(name)) is not None
        and (other := layer(target)) is not None
        and other > own
    ]
    assert not backward


def test_store_knows_only_records_and_only_the_run_knows_the_store() -> None:
    for name, target in arrows():
        if name.split(".")[0] == "store" and target.split(".")[0] != "store":
            assert target in STORED or layer(target) == 0, f"{name} imports {target}"
        elif target.split(".")[0] == "store" and name.split(".")[0] != "store":
            assert (layer(name) or len(LAYERS)) >= LAYERS.index("rundir"), f"{name} imports {target}"


def test_every_package_has_a_layer_or_is_known_to_stand_beside() -> None:
    beside = {name.split(".")[0] for name, _ in modules() if layer(name) is None}
    assert beside <= {"store", "interop"}


def loaded(code: str) -> set[str]:
    """The heavy packages that are loaded after running `code` in a fresh Python."""
    report = f"; import sys; print(*(name for name in {HEAVY} if name in sys.modules))"
    result = subprocess.run(
        [sys.executable, "-c", code + report], capture_output=True, text=True, check=True, timeout=60
    )
    return set(result.stdout.splitlines()[-1].split())


@pytest.mark.parametrize(
    "code",
    [
        "import sotopia_pi",
        "from sotopia_pi.cli.main import main\ntry: main(['--help'])\nexcept SystemExit: pass\npass",
        "from sotopia_pi.cli.main import main\ntry: main(['run', '--help'])\nexcept SystemExit: pass\npass",
    ],
    ids=["import", "help", "run --help"],
)
def test_nothing_heavy_is_loaded_early(code: str) -> None:
    assert loaded(code) == set()


@pytest.mark.parametrize(
    "module", ["training.sft", "training.selection", "episodes.players", "models.weights", "rundir"]
)
def test_modules_without_weights_need_no_torch(module: str) -> None:
    assert not loaded(f"import sotopia_pi.{module}") & {"torch", "transformers", "peft"}
