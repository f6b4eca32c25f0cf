"""The configs in examples/ work as they stand, and as whole runs when they are made small and a mock server answers."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from serving import serving
from support import settings, stored

from sotopia_pi.cli.main import main
from sotopia_pi.config import Config, load
from sotopia_pi.episodes.players import check_player
from sotopia_pi.models.remote.prices import load_prices, price_of
from sotopia_pi.models.remote.spec import OPENAI_URL, is_remote, on_this_machine, parse_spec
from sotopia_pi.models.weights import SMOLLM2
from sotopia_pi.pipeline import stage_of
from sotopia_pi.ratings.opening import check_judge

FOLDER = Path(__file__).parent.parent / "examples"
EXAMPLES = sorted(FOLDER.glob("*.toml"))
PAPER, CHEAP = FOLDER / "paper.toml", FOLDER / "cheap.toml"
EXIT_CONFIG, EXIT_SERVICE = 2, 5
each = pytest.mark.parametrize("path", EXAMPLES, ids=lambda path: path.name)


def specs(config: Config) -> dict[str, str]:
    """Every model spec of a config by its setting."""
    found = {f"models.{part}": getattr(config.models, part) for part in ("policy", "expert", "partner")}
    return found | ({"judge.model": config.judge.model} if config.judge else {})


def small(config: Config, url: str, *more: str) -> list[str]:
    """`--set`s that make a run of minutes, hours or days one of seconds, with every server at `url`."""
    values = ["max_turns=4", "runtime.concurrency=4", "evaluation.repeats=1", "sampling.max_tokens=24"]
    for key, spec in specs(config).items():
        if is_remote(spec):
            values.append(f'{key}="openai:{parse_spec(spec).model}@{url}"')
    for group in ("train", "test", "transfer"):
        kinds = list(getattr(config.world, group))[:1]
        values.append(f"world.{group}={{{', '.join(f'{kind}=1' for kind in kinds)}}}")
        if group != "transfer" and getattr(config.world, f"open_{group}"):
            values.append(f"world.open_{group}=1")
    for number, item in enumerate(config.rounds):
        values += [f"rounds.{number}.repeats=2", f"rounds.{number}.train.epochs=0.5", f"rounds.{number}.tasks=1"]
        if "at_least" in item.select:  # what so few turns cannot reach
            values.append(f"rounds.{number}.select.at_least=0")
        if item.update == "dpo":  # of two episodes that score the same nothing can be preferred
            values.append(f'rounds.{number}.update="sft"')
    return settings(*values, *more)


def test_the_set_ups_that_people_have_are_all_there() -> None:
    assert {"paper.toml", "cheap.toml", "all-local.toml"} <= {path.name for path in EXAMPLES}


@each
def test_every_model_is_known_and_hosted_ones_have_a_price(path: Path) -> None:
    config, table = load(path), load_prices()
    assert config.name == path.stem  # so that the run is in runs/ under the example's name
    for spec in specs(config).values():
        if not is_remote(spec):
            assert spec.startswith("scripted:") or spec == SMOLLM2
            continue
        check_player(spec)
        parsed = parse_spec(spec)
        for url in parsed.urls:
            assert on_this_machine(url) or (url == OPENAI_URL and price_of(parsed.model, table))
    if config.judge:
        check_judge(config.judge.model)


@each
def test_every_task_can_be_rated_and_played(path: Path, tmp_path: Path) -> None:
    config, out = load(path), tmp_path / "run"
    fake = [] if is_remote(config.models.policy) else settings('models.policy="fake:"')
    assert main(["tasks", str(out), "--quiet", "--config", str(path), *fake]) == 0
    world = config.world
    wanted = sum((*world.train.values(), *world.test.values(), *world.transfer.values()))
    assert stored(out, "select count(*) from tasks") == wanted + world.open_train + world.open_test


def test_hosted_policies_are_played_and_judged(tmp_path: Path) -> None:
    out = tmp_path / "run"
    with serving() as server:
        assert (
            main(["run", str(CHEAP), "--quiet", "--budget", "1", "--out", str(out), *small(load(CHEAP), server.url)])
            == 0
        )
    report = json.loads((out / "report.json").read_text(encoding="utf-8"))
    assert [(row["policy"], row["n"], row["n_failed"]) for row in report["evaluations"]] == [
        ("base", 2, 0), ("expert", 2, 0)
    ]  # fmt: skip
    spent = report["run"]["spending"]["gpt-4o-mini"]
    assert spent["unpriced"] == 0 and 0 < spent["cost"] < 1


def test_a_hosted_policy_is_collected_from_and_not_trained(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """What cheap.toml says about training: the round in its comments, and what to do with a provider's fine-tuning."""
    out, chats = tmp_path / "run", tmp_path / "chats.jsonl"
    text = CHEAP.read_text(encoding="utf-8")
    block = text[text.index("#   [[rounds]]") : text.index('name = "cheap"')]
    config = tmp_path / "cheap.toml"
    config.write_text(text + "\n" + block.replace("#   ", ""), encoding="utf-8")
    with serving() as server:
        options = small(load(config), server.url)
        assert main(["run", str(config), "--quiet", "--out", str(tmp_path / "other"), *options]) == EXIT_CONFIG
        assert "cannot be trained here" in capsys.readouterr().err and server.served.calls == 0
        assert main(["tasks", str(out), "--quiet", "--config", str(config), *options]) == 0
        assert main(["collect", str(out), "--quiet"]) == 0
        assert main(["select", str(out), "--quiet"]) == 0
        assert main(["export", str(out), "--quiet", "--format", "chat", "--out", str(chats)]) == 0
        assert main(["train", str(out), "--quiet"]) == EXIT_CONFIG
        said = capsys.readouterr().err
        evaluate = ["evaluate", str(out), "--quiet", "--tasks", "test", "--policy"]
        assert main([*evaluate, f"openai:ft:gpt-4o-mini:mine@{server.url}"]) == 0
    assert "models.weights" in said and "export --format chat" in said
    lines = [json.loads(line) for line in chats.read_text(encoding="utf-8").splitlines()]
    assert len(lines) == 2 and all(line["messages"][0]["role"] == "system" for line in lines)


@pytest.mark.slow
@pytest.mark.weights
def test_the_papers_rounds_train_here_and_wait_for_the_server(
    weights: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    from tiny import CONFIGS, save

    out, here = tmp_path / "run", save(CONFIGS["mistral"], tmp_path / "mistral")
    config = load(PAPER)
    with serving(model="mistral-7b") as policy, serving() as rest:
        options = small(config, rest.url, f'models.policy="openai:mistral-7b@{policy.url}"', f'models.weights="{here}"')
        command = ["run", str(PAPER), "--quiet", "--out", str(out), *options]
        assert main(command) == EXIT_SERVICE
        said = capsys.readouterr().err
        assert "has no model 'bc'" in said and str(out / "policies" / "bc") in said
        assert sorted(path.name for path in (out / "policies").iterdir()) == ["bc", "sr"]
    with serving(policy._port) as policy, serving(rest._port):
        assert main(command) == 0
        assert {"bc", "sr", "bc+sr", "mistral-7b"} == {body["model"] for body in policy.bodies or ()}
    report = json.loads((out / "report.json").read_text(encoding="utf-8"))
    assert [row["policy"] for row in report["evaluations"]] == ["base", "bc", "sr", "bc+sr", "expert"]
    assert all(row["n"] == 2 and row["n_failed"] == 0 for row in report["evaluations"])
    lineage = json.loads((out / "policies" / "bc+sr" / "policy.json").read_text(encoding="utf-8"))
    assert (lineage["parent"], lineage["settings"]["lora_targets"]) == ("bc", ["q_proj", "v_proj"])


@pytest.mark.weights
@pytest.mark.parametrize(
    "path",
    [
        pytest.param(path, marks=[pytest.mark.slow] if path.name.startswith("offline") else [])
        for path in EXAMPLES
        if not is_remote(load(path).models.policy)
    ],
    ids=lambda path: path.name,
)
def test_local_policies_are_played_and_trained(path: Path, weights: str, tmp_path: Path) -> None:
    """On random weights: whatever they say is invalid and not trained on, so that every round imitates the expert."""
    from tiny import CONFIGS, save

    out, config = tmp_path / "run", load(path)
    changes = [f'models.policy="{save(CONFIGS["llama"], tmp_path / "llama")}"']
    changes += [f'rounds.{number}.method="bc"' for number in range(len(config.rounds))]
    with serving() as server:
        assert main(["run", str(path), "--quiet", "--out", str(out), *small(config, server.url, *changes)]) == 0
    for item in config.rounds:
        assert (out / "policies" / item.name / "adapter_model.safetensors").is_file()
        assert stored(out, f"select count(*) from episodes where stage = '{stage_of(item)}'") == 2
    report = json.loads((out / "report.json").read_text(encoding="utf-8"))
    assert [row["policy"] for row in report["evaluations"]][:1] == ["base"]
