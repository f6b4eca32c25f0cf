"""The preference update: it compares what the policy would say turn by turn, and its reference is the parent."""

from __future__ import annotations

import json
import math
import sys
from pathlib import Path
from typing import Any

import pytest
from support import episode, price_task, stored, turn

from sotopia_pi.config import TrainingConfig
from sotopia_pi.episodes.records import ActionType, Episode
from sotopia_pi.episodes.views import messages, view
from sotopia_pi.errors import TrainingError
from sotopia_pi.models.chat import encode_chat
from sotopia_pi.training.dpo import check_possible, prefer
from sotopia_pi.training.preferences import Pair, PairTokens, Rated, encode, pairs, sides

pytest.importorskip("torch", reason="training needs the extra 'local'")
pytest.importorskip("peft", reason="training needs the extra 'local'")
pytest.importorskip("trl", reason="the preference update needs the extra 'preference'")
import tiny
import torch
from transformers.utils import logging

from sotopia_pi.cli.main import main
from sotopia_pi.config import parse, to_toml
from sotopia_pi.models.packing import use_packed_attention
from sotopia_pi.models.weights import load_model
from sotopia_pi.store import Store
from sotopia_pi.training.lineage import read_examples, read_lineage
from sotopia_pi.training.pairtrainer import PairTrainer, arguments

pytestmark = [pytest.mark.weights, pytest.mark.usefixtures("weights")]

SETTINGS = TrainingConfig(
    epochs=1, learning_rate=3e-3, batch=4, micro_batch=2, lora_rank=4, lora_alpha=8, schedule="constant", warmup=0.0
)
TASK = price_task()


def talks(say: str) -> list[Episode]:
    """Episodes that begin alike or not, with an invalid turn in one."""
    first, second = turn(0, "It is nineteen dollars."), turn(1, "Twelve is all I have.")
    silent = turn(0, "", ActionType.NONE, raw="no JSON", valid=False)
    return [
        episode(TASK, [first, second, turn(0, f"Eighteen, {say}."), turn(1, "Deal."), turn(0, "Bye.")], f"{say}0"),
        episode(TASK, [first, second, turn(0, "I give up."), turn(1, "Ten."), turn(0, "Fine, ten.")], f"{say}1"),
        episode(TASK, [first, turn(1, "Five!"), silent, turn(1, "Six!"), turn(0, "No."), turn(1, "Hm.")], f"{say}2"),
    ]


EPISODES = {item.key: item for item in talks("please")}
#: The first episode is preferred to the others; each role gives one action pair and one episode pair.
PAIRS = pairs(
    [Rated(e, role, 8.0 if n == 0 else 1.0, n == 0) for n, e in enumerate(EPISODES.values()) for role in (0, 1)], 1
)


def encoded(pair: Pair) -> PairTokens:
    made = encode(tiny.tokenizer(), *sides(TASK, pair, EPISODES[pair.preferred], EPISODES[pair.rejected]), 2048)
    assert made is not None
    return made


@pytest.fixture(scope="module")
def items() -> list[PairTokens]:
    assert [pair.kind for pair in PAIRS] == ["action", "episode", "action", "episode"]
    assert [pair.role for pair in PAIRS] == [0, 0, 1, 1]
    return [encoded(pair) for pair in PAIRS]


@pytest.fixture(scope="module")
def folders(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    names = ("llama", "mistral", "gemma")
    return {name: tiny.save(tiny.CONFIGS[name], tmp_path_factory.mktemp(name)) for name in names}


@pytest.fixture(scope="module")
def parent(folders: dict[str, Path], items: list[PairTokens], tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A policy of the tiny Llama that is well away from it."""
    folder = tmp_path_factory.mktemp("policies") / "dpo"
    prefer(str(folders["llama"]), None, items, folder, SETTINGS.model_copy(update={"epochs": 4}), seed=5)
    return folder


def plain(model: Any, ids: list[int], start: int) -> float:
    """The log-probability of `ids[start:]` after those before, by transformers alone."""
    with torch.no_grad():
        logs = torch.log_softmax(model(input_ids=torch.tensor([ids]), use_cache=False).logits[0].float(), dim=-1)
    return float(sum(logs[at - 1, ids[at]] for at in range(start, len(ids))))


def turn_by_turn(model: Any, pair: Pair, key: str) -> float:
    """What the model gives to each action that counts, asked with the view before it, as when it plays."""
    total = 0.0
    turns = EPISODES[key].turns
    for at, past in enumerate(turns):
        if (
            past.role == pair.role
            and past.valid
            and (at == pair.shared if pair.kind == "action" else at >= pair.shared)
        ):
            chat = messages(view(TASK, pair.role, turns[:at]))
            prompt = encode_chat(tiny.tokenizer(), chat, prompt=True).ids
            said = tiny.tokenizer()(past.action.to_json() + "<|im_end|>", add_special_tokens=False)["input_ids"]
            total += plain(model, prompt + said, len(prompt))
    return total


def whole(model: Any, items: list[PairTokens]) -> list[tuple[float, float]]:
    """Both sides' log-probabilities of what counts, each sequence by itself."""

    def of(ids: list[int], targets: list[int]) -> float:
        with torch.no_grad():
            logs = torch.log_softmax(model(input_ids=torch.tensor([ids])).logits[0].float(), dim=-1)
        return float(sum(logs[at - 1, ids[at]] for at in targets))

    return [tuple(of(side.ids, side.targets) for side in (i.preferred, i.rejected)) for i in items]  # type: ignore[misc]


# What is compared


@pytest.mark.parametrize("name", ["llama", "mistral", "gemma"])
def test_log_probabilities_are_those_of_playing_turn_by_turn(
    name: str, folders: dict[str, Path], items: list[PairTokens], tmp_path: Path
) -> None:
    model = tiny.reference(folders[name])
    use_packed_attention(model)
    trainer = PairTrainer(
        model, tiny.tokenizer(), items, arguments(SETTINGS.model_copy(update={"tune": "full"}), str(tmp_path), 1), None
    )
    plainly = tiny.reference(folders[name], "sdpa")
    assert len(trainer.references) == len(PAIRS)
    for pair, both in zip(PAIRS, trainer.references, strict=True):
        expected = [turn_by_turn(plainly, pair, key) for key in (pair.preferred, pair.rejected)]
        assert min(map(abs, expected)) > 10
        assert both == pytest.approx(expected, rel=1e-5, abs=1e-3)


def test_the_prompt_is_shared_and_only_what_differs_counts(items: list[PairTokens]) -> None:
    for pair, item in zip(PAIRS, items, strict=True):
        for side, key in ((item.preferred, pair.preferred), (item.rejected, pair.rejected)):
            said = tiny.tokenizer().decode([side.ids[at] for at in side.targets])
            own = [
                past.action.to_json() + "<|im_end|>"
                for past in EPISODES[key].turns[pair.shared :]
                if past.role == pair.role and past.valid
            ]
            assert said == "".join(own[:1] if pair.kind == "action" else own)
        start = min(item.preferred.targets[0], item.rejected.targets[0])
        if pair.kind == "action":
            assert item.preferred.ids[:start] == item.rejected.ids[:start]


def test_cutoff_drops_whole_actions_and_pairs_without_any() -> None:
    pair = PAIRS[1]
    both = sides(TASK, pair, EPISODES[pair.preferred], EPISODES[pair.rejected])
    full = encode(tiny.tokenizer(), *both, 2048)
    assert full is not None
    cut = encode(tiny.tokenizer(), *both, len(full.preferred.ids) - 1)
    assert cut is not None
    assert cut.preferred.ids == full.preferred.ids[: len(cut.preferred.ids)]
    assert 0 < len(cut.preferred.targets) < len(full.preferred.targets)
    assert encode(tiny.tokenizer(), *both, full.preferred.targets[0]) is None


# The update


@pytest.mark.parametrize(("of", "micro"), [("base", 2), ("adapter", 1)])
def test_the_reference_is_the_parent(
    of: str, micro: int, folders: dict[str, Path], items: list[PairTokens], parent: Path, tmp_path: Path
) -> None:
    """Before the first update policy and reference are the same, so the loss is ln 2 and every reward is 0."""
    base, from_ = str(folders["llama"]), parent if of == "adapter" else None
    settings = SETTINGS.model_copy(update={"batch": 4, "micro_batch": micro, "lora_dropout": 0.5})
    curve = prefer(base, from_, items, tmp_path / "x", settings, seed=3)
    assert curve[0]["loss"] == pytest.approx(math.log(2), abs=2e-5)
    for name in ("margin", "reward_preferred", "reward_rejected"):
        assert curve[0][name] == pytest.approx(0, abs=1e-4)
    apart = zip(whole(load_model(base), items), whole(load_model(base, parent), items), strict=True)
    assert all(abs(a - b) > 1 for before, after in apart for a, b in zip(before, after, strict=True))


@pytest.mark.slow
def test_loss_and_rewards_are_the_papers(
    folders: dict[str, Path], items: list[PairTokens], parent: Path, tmp_path: Path
) -> None:
    """After one update: -log sigmoid(beta (log-ratio preferred - log-ratio rejected)), from plain log-probabilities."""
    base, beta = str(folders["llama"]), SETTINGS.dpo_beta
    settings = SETTINGS.model_copy(update={"batch": 4, "epochs": 2})
    curve = prefer(base, parent, items, tmp_path / "two", settings, seed=3)
    prefer(base, parent, items, tmp_path / "one", settings.model_copy(update={"epochs": 1}), seed=3)
    before, after = (whole(load_model(base, folder), items) for folder in (parent, tmp_path / "one"))
    rewards = [[beta * (n - o) for n, o in zip(new, old, strict=True)] for new, old in zip(after, before, strict=True)]
    losses = [-math.log(1 / (1 + math.exp(bad - good))) for good, bad in rewards]
    assert curve[1]["loss"] == pytest.approx(sum(losses) / 4, rel=1e-3)
    assert curve[1]["reward_preferred"] == pytest.approx(sum(good for good, _ in rewards) / 4, rel=1e-2, abs=1e-3)
    assert curve[1]["reward_rejected"] == pytest.approx(sum(bad for _, bad in rewards) / 4, rel=1e-2, abs=1e-3)
    assert curve[1]["accuracy"] == sum(good > bad for good, bad in rewards) / 4
    assert curve[1]["margin"] > 0.01


@pytest.mark.slow
def test_however_an_update_is_cut_it_is_the_same(
    folders: dict[str, Path], items: list[PairTokens], tmp_path: Path
) -> None:
    base, curves = str(folders["llama"]), []
    for micro, checkpointing in ((1, False), (4, False), (2, True)):
        settings = SETTINGS.model_copy(update={"batch": 4, "micro_batch": micro, "epochs": 2})
        curves.append(prefer(base, None, items, tmp_path / "x", settings, 2, checkpointing=checkpointing))
    for curve in curves:
        assert [point["step"] for point in curve] == [1, 2]
        assert [point["loss"] for point in curve] == pytest.approx([point["loss"] for point in curves[0]], rel=1e-3)
        assert curve[1]["loss"] < curve[0]["loss"]


@pytest.mark.slow
def test_the_update_is_reproducible(
    folders: dict[str, Path],
    items: list[PairTokens],
    tmp_path: Path,
    capfd: pytest.CaptureFixture[str],
    caplog: pytest.LogCaptureFixture,
) -> None:
    settings = SETTINGS.model_copy(update={"batch": 2, "epochs": 2})
    logging.enable_propagation()
    try:
        curves = [prefer(str(folders["llama"]), None, items, tmp_path / "x", settings, seed) for seed in (5, 5, 6)]
    finally:
        logging.disable_propagation()
    assert capfd.readouterr() == ("", "")
    assert not [record.getMessage() for record in caplog.records if record.levelname != "INFO"]
    assert curves[0] == curves[1] != curves[2]
    assert sorted(path.name for path in tmp_path.iterdir()) == ["x"]
    held = sorted(path.name for path in (tmp_path / "x").iterdir())
    assert "adapter_model.safetensors" in held
    assert "ref" not in held
    prefer(str(folders["llama"]), None, items, tmp_path / "x", settings, 5, quiet=False)
    assert "train x: reference" in (shown := capfd.readouterr().err)
    assert "margin=" in shown


@pytest.mark.slow
def test_a_small_model_learns_to_prefer(weights: str, tmp_path: Path) -> None:
    items = [encoded(pair) for pair in PAIRS[:2]]
    settings = SETTINGS.model_copy(update={"batch": 2, "epochs": 2, "learning_rate": 2e-3, "lora_layers": 4})
    curve = prefer(weights, None, items, tmp_path / "dpo", settings, seed=1)
    before, after = whole(load_model(weights), items), whole(load_model(weights, tmp_path / "dpo"), items)
    for (good, bad), (better, worse) in zip(before, after, strict=True):
        assert better - worse > good - bad + 1
    assert curve[0]["loss"] == pytest.approx(math.log(2), abs=1e-4)
    assert curve[-1]["loss"] < 0.65
    assert curve[-1]["accuracy"] == 1


# What goes wrong


def test_without_trl_the_sentence_says_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    check_possible(SETTINGS)
    monkeypatch.setitem(sys.modules, "trl", None)
    with pytest.raises(TrainingError, match=r"needs TRL.*pip install 'sotopia-pi\[preference\]'"):
        check_possible(SETTINGS)


@pytest.mark.parametrize(
    ("settings", "complaint"),
    [
        ({"learning_rate": 1e30, "epochs": 4}, "The loss became (nan|inf) at update .* Lower training.learning_rate"),
        ({"lora_targets": ("no_such_proj",)}, "training.lora_targets does not fit the model"),
        ({"tune": "full"}, 'trains adapters; set tune = "lora"'),
    ],
)
def test_an_update_that_fails_writes_nothing(
    settings: dict[str, Any], complaint: str, folders: dict[str, Path], items: list[PairTokens], tmp_path: Path
) -> None:
    with pytest.raises(TrainingError, match=complaint):
        prefer(str(folders["llama"]), None, items, tmp_path / "x", SETTINGS.model_copy(update=settings), seed=1)
    assert list(tmp_path.iterdir()) == []


def test_no_pairs(tmp_path: Path) -> None:
    with pytest.raises(TrainingError, match="no preference pairs to train on"):
        prefer("never loaded", None, [], tmp_path / "x", SETTINGS, seed=1)


# In a run

FIRST = {"name": "dpo", "method": "bc", "update": "dpo", "repeats": 4, "select": {"rule": "top_k", "k": 1}}
SECOND = {**FIRST, "name": "dpo2", "parent": "dpo", "replay": ["dpo"]}
CONFIG = {
    "seed": 4,
    "max_turns": 8,
    "world": {"train": {"division": 3}, "test": {"price": 1}},
    "sampling": {"max_tokens": 16},
    "training": {"epochs": 1, "learning_rate": 1e-3, "batch": 2, "micro_batch": 2, "dpo_margin": 0.5},
    "rounds": [FIRST, SECOND],
}


def begun(folder: Path, model: Path, *overrides: str) -> list[str]:
    """The arguments of a run on a tiny model whose rounds prefer."""
    config = folder / "dpo.toml"
    config.write_text(to_toml(parse({**CONFIG, "models": {"policy": str(model)}}, "test")), encoding="utf-8")
    given = [part for value in overrides for part in ("--set", value)]
    return [str(config), "--out", str(folder / "run"), "--quiet", *given]


@pytest.mark.slow
def test_a_round_prefers(folders: dict[str, Path], tmp_path: Path) -> None:
    arguments_, out = begun(tmp_path, folders["llama"]), tmp_path / "run"
    assert main(["run", *arguments_]) == 0
    report = json.loads((out / "report.json").read_text(encoding="utf-8"))
    assert [row["policy"] for row in report["evaluations"]] == ["base", "dpo", "dpo2", "expert"]
    assert [(item["update"], item["pairs"] > 0) for item in report["rounds"]] == [("dpo", True)] * 2
    for name in ("dpo", "dpo2"):
        folder = out / "policies" / name
        made = read_lineage(folder)
        assert (made.update, made.parent) == ("dpo", "base" if name == "dpo" else "dpo")
        assert made.curve[0]["loss"] == pytest.approx(math.log(2), abs=1e-4)
        assert [point["loss"] for point in made.curve] == [point["loss"] for point in report["curves"][name]]
        lines = [json.loads(line) for line in (folder / "pairs.jsonl").read_text(encoding="utf-8").splitlines()]
        assert len(list(read_examples(folder))) == made.sequences == 2 * len(lines) >= 4
        assert all(line["margin"] >= 0.5 and line["preferred"] != line["rejected"] for line in lines)
        with Store.open(out / "run.db") as store:
            selected = {pair for of in {"dpo", name} for pair in store.selection(of)}
        assert {(line["preferred"], line["role"]) for line in lines} <= selected
        assert not {(line["rejected"], line["role"]) for line in lines} & selected
    written = {path: path.stat().st_mtime_ns for path in (out / "policies").rglob("*")}
    assert main(["run", *arguments_]) == 0
    assert {path: path.stat().st_mtime_ns for path in (out / "policies").rglob("*")} == written


def test_a_round_without_pairs_says_what_to_do(
    folders: dict[str, Path], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    arguments_ = begun(tmp_path, folders["llama"], "training.dpo_margin=11")
    assert main(["run", *arguments_]) == TrainingError.exit_code
    said = capsys.readouterr().err
    assert "Round 'dpo' has no preference pairs" in said
    assert "at least 11 below it in GOAL" in said
    assert not list((tmp_path / "run").glob("policies/*"))


def test_a_run_asks_for_what_it_needs_before_it_plays(
    folders: dict[str, Path], tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    arguments_ = begun(tmp_path, folders["llama"])
    assert main(["run", *arguments_, "--set", "training.tune=full"]) == TrainingError.exit_code
    assert 'set tune = "lora"' in capsys.readouterr().err
    monkeypatch.setitem(sys.modules, "trl", None)
    assert main(["run", *arguments_]) == TrainingError.exit_code
    assert "pip install 'sotopia-pi[preference]'" in capsys.readouterr().err
    assert stored(tmp_path / "run") == 0
