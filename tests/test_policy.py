"""A policy folder: its lineage shown, its card, whole weights from it, and adapters that do not fit or are no data."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from sotopia_pi.cli.main import main
from sotopia_pi.errors import ModelError
from sotopia_pi.models.protocol import Message

pytest.importorskip("torch", reason="policies need the extra 'local'")
pytest.importorskip("peft", reason="policies need the extra 'local'")
import policies
import tiny
import torch
from peft import LoraConfig, PeftModel, get_peft_model
from safetensors.torch import load_file, save_file
from transformers import AutoTokenizer, LlamaConfig

from sotopia_pi.models.fitting import check_adapter, quiet_peft
from sotopia_pi.models.weights import load_model, public_name
from sotopia_pi.training.card import card
from sotopia_pi.training.lineage import read_lineage

pytestmark = [pytest.mark.weights, pytest.mark.usefixtures("weights")]

IDS = torch.tensor([[5, 9, 200, 31, 7, 7, 1000, 12]])


@pytest.fixture(scope="module")
def base(tmp_path_factory: pytest.TempPathFactory) -> str:
    return str(tiny.save(tiny.CONFIGS["llama"], tmp_path_factory.mktemp("private home") / "tiny-llama"))


@pytest.fixture(scope="module")
def policy(base: str, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A policy `sr` that continues `bc`, both in one folder."""
    folder = tmp_path_factory.mktemp("run") / "policies"
    policies.policy(base, folder / "bc")
    return policies.policy(base, folder / "sr", "bc", method="sr")


def run(*arguments: str) -> int:
    return main(["policy", *arguments])


def says(capsys: pytest.CaptureFixture[str], code: int, *arguments: str) -> str:
    """Runs `policy`, which must end with `code` and one sentence; returns the sentence."""
    capsys.readouterr()
    assert main(["policy", *arguments]) == code
    printed = capsys.readouterr()
    assert printed.out == "" and printed.err.count("\n") == 1
    return printed.err


def logits(model: Any) -> torch.Tensor:
    with torch.no_grad():
        return model(input_ids=IDS.to(model.device), use_cache=False).logits.float()


# Shown


def test_lineage_is_shown(policy: Path, base: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert run("show", str(policy)) == 0
    printed = capsys.readouterr().out
    assert f"chain      sr ← bc ← {base}\n" in printed
    assert "examples   3 sequences\n" in printed
    assert "loss       3.2500 → 1.5000, 2 recorded updates\n" in printed
    assert f"torch = {torch.__version__}\n" in printed and "lora_rank = 4\n" in printed
    assert "e2" not in printed
    assert run("show", str(policy), "--examples") == 0
    assert "  e2  role 0\n" in capsys.readouterr().out


def test_lineage_as_json(policy: Path, base: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert run("show", str(policy.parent.parent), "--round", "sr", "--json", "--examples") == 0
    shown = json.loads(capsys.readouterr().out)
    assert shown["chain"] == ["sr", "bc", base] and shown["method"] == "sr" and shown["parent"] == "bc"
    assert shown["examples"] == [{"episode": episode, "role": role} for episode, role in policies.EXAMPLES]
    assert shown["curve"] == policies.CURVE


def test_a_reader_that_has_seen_enough_ends_it_quietly(policy: Path) -> None:
    command = [sys.executable, "-m", "sotopia_pi", "policy", "show", str(policy), "--json"]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE) as shown:
        assert shown.stdout is not None and shown.stderr is not None
        shown.stdout.close()  # as `head` does
        assert (shown.stderr.read(), shown.wait()) == (b"", 141)


def test_a_parent_that_is_not_here_ends_the_chain(
    policy: Path, base: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    lone, text = tmp_path / "sr", (policy / "policy.json").read_text(encoding="utf-8")
    lone.mkdir()
    (lone / "policy.json").write_text(text, encoding="utf-8")
    assert run("show", str(lone)) == 0
    assert f"chain      sr ← bc ← {base}\n" in capsys.readouterr().out
    (lone / "policy.json").write_text(text.replace('"bc"', '"../sr"'), encoding="utf-8")
    assert run("show", str(lone)) == 0
    assert "sr ← ../sr ←" in capsys.readouterr().out
    assert "examples.jsonl cannot be read" in says(capsys, 5, "show", str(lone), "--examples")


def test_folders_that_hold_no_policy(policy: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert "There is no policy folder" in says(capsys, 5, "show", str(tmp_path / "none"))
    assert "has no policy.json" in says(capsys, 5, "show", str(tmp_path))
    (tmp_path / "policy.json").write_text('{"name": 3}', encoding="utf-8")
    assert "cannot be read" in says(capsys, 5, "show", str(tmp_path))
    assert "is not a policy" in says(capsys, 5, "merge", str(tmp_path), "--out", str(tmp_path / "out"))
    assert [path.name for path in tmp_path.iterdir()] == ["policy.json"]


# The card


def test_the_card_says_what_the_policy_is_and_no_path(policy: Path, base: str) -> None:
    text = (policy / "README.md").read_text(encoding="utf-8")
    front = text.split("---\n")[1]
    assert 'base_model: "tiny-llama"\n' in front and 'library_name: "peft"\n' in front and "- lora\n" in front
    assert "license" not in front
    assert str(Path(base).parent) not in text and "private home" not in text
    for part in ("self-reinforcement", "`bc`", "3 sequences", "| lora_rank | 4 |", "3.2500", "1.5000", "| torch |"):
        assert part in text
    for part in ("PeftModel.from_pretrained", "sotopia-pi serve sr", "No licence is asserted"):
        assert part in text
    code = re.search(r"```python\n(.*?)```", text, re.DOTALL)
    assert code and compile(code[1], "card", "exec")


def test_the_card_of_a_strange_lineage_keeps_its_form(policy: Path, tmp_path: Path) -> None:
    lineage = read_lineage(policy)
    evil = {"name": 'x"\n---\nlicense: mit\n', "settings": {"a|b\n# c": "d\n\n# e"}}
    folder = tmp_path / "evil"
    folder.mkdir()
    (folder / "policy.json").write_text(lineage.model_copy(update=evil).model_dump_json(), encoding="utf-8")
    (folder / "adapter_model.safetensors").write_bytes(b"")
    text = card(folder)
    assert text.count("\n---\n") == 1 and "\nlicense" not in text and "\n# c" not in text and "\n# e" not in text


@pytest.mark.parametrize(
    ("name", "shown"),
    [
        ("smollm2-135m", "HuggingFaceTB/SmolLM2-135M-Instruct"),
        ("mistralai/Mistral-7B-Instruct-v0.1", "mistralai/Mistral-7B-Instruct-v0.1"),
        ("/home/ada/models/mine", "mine"),
        ("~/models/mine/", "mine"),
        ("./mine", "mine"),
        ("C:\\Users\\ada\\mine", "mine"),
    ],
)
def test_public_names(name: str, shown: str) -> None:
    assert public_name(name) == shown


# Merged


@pytest.mark.parametrize("architecture", ["llama", "qwen3", "gemma"])
def test_merged_weights_give_the_logits_of_base_and_adapter(architecture: str, tmp_path: Path) -> None:
    base = tiny.save(tiny.CONFIGS[architecture], tmp_path / "base")
    folder, out = policies.policy(str(base), tmp_path / "bc"), tmp_path / "merged"
    assert run("merge", str(folder), "--out", str(out), "--quiet") == 0
    with quiet_peft():
        adapted = PeftModel.from_pretrained(tiny.reference(base), str(folder)).eval()
    expected = logits(adapted)
    assert (expected - logits(tiny.reference(base))).abs().max() > 0.1
    torch.testing.assert_close(logits(tiny.reference(out)), expected, rtol=1e-4, atol=1e-4)


def test_a_merged_folder_is_whole(policy: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    out = tmp_path / "merged"
    assert run("merge", str(policy), "--out", str(out), "--dtype", "bfloat16") == 0
    assert str(out) in capsys.readouterr().out
    names = {path.name for path in out.iterdir()}
    assert {"config.json", "generation_config.json", "model.safetensors", "tokenizer.json", "policy.json"} <= names
    assert {"README.md", "examples.jsonl"} <= names and not any("adapter" in name for name in names)
    assert read_lineage(out).merged and read_lineage(out).parent == "bc"
    assert 'library_name: "transformers"' in (out / "README.md").read_text(encoding="utf-8")
    from transformers import AutoModelForCausalLM

    model = AutoModelForCausalLM.from_pretrained(str(out))
    assert model.dtype == torch.bfloat16
    chat = [Message(role="user", content="Hello")]
    assert AutoTokenizer.from_pretrained(str(out)).apply_chat_template(chat, tokenize=False).startswith("<|im_start|>")
    torch.testing.assert_close(logits(model), logits(load_model(str(out))), rtol=0.1, atol=0.5)
    assert [path.name for path in tmp_path.iterdir()] == ["merged"]
    assert "exists already" in says(capsys, 2, "merge", str(policy), "--out", str(out))
    assert "nothing to merge" in says(capsys, 2, "merge", str(out), "--out", str(tmp_path / "again"))


def test_a_base_that_moved_is_named(
    policy: Path, base: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    text = (policy / "policy.json").read_text(encoding="utf-8")
    moved = copied(policy, tmp_path / "moved", lambda folder: (folder / "policy.json").write_text(
        text.replace(json.dumps(base), '"/gone/away"'), encoding="utf-8"
    ))  # fmt: skip
    assert "There is no model folder /gone/away" in says(capsys, 5, "merge", str(moved), "--out", str(tmp_path / "m"))
    assert run("merge", str(moved), "--out", str(tmp_path / "m"), "--base", base, "--quiet") == 0
    assert (tmp_path / "m" / "model.safetensors").is_file()


# Adapters that do not fit, or are more than data


def copied(folder: Path, target: Path, change: Callable[[Path], object]) -> Path:
    """A copy of a policy, changed."""
    target.mkdir()
    for path in folder.iterdir():
        (target / path.name).write_bytes(path.read_bytes())
    change(target)
    return target


def configured(**values: Any) -> Callable[[Path], object]:
    def change(folder: Path) -> None:
        path = folder / "adapter_config.json"
        path.write_text(json.dumps(json.loads(path.read_text(encoding="utf-8")) | values), encoding="utf-8")

    return change


def test_an_adapter_of_another_shape_depth_or_architecture(policy: Path, base: str, tmp_path: Path) -> None:
    from transformers import GPT2Config

    shape = tiny.CONFIGS["llama"].to_dict()
    wide = tiny.save(LlamaConfig(**{**shape, "hidden_size": 64, "head_dim": None}), tmp_path / "wide")
    flat = tiny.save(LlamaConfig(**{**shape, "num_hidden_layers": 2}), tmp_path / "flat")
    deep = tiny.save(LlamaConfig(**{**shape, "num_hidden_layers": 4}), tmp_path / "deep")
    other = tiny.save(GPT2Config(n_embd=32, n_layer=2, n_head=2), tmp_path / "gpt2")
    for wrong, why in {
        wide: "its model.layers.0.self_attn.q_proj has 32 inputs and the base's has 64",
        flat: "it adapts model.layers.2.self_attn.q_proj, which that llama model does not have",
        deep: "it has no weights for the base's model.layers.3.self_attn.q_proj",
        other: "which that gpt2 model does not have",
    }.items():
        with pytest.raises(ModelError) as caught:
            load_model(str(wrong), policy)
        said = str(caught.value)
        assert f"The adapter in {policy} (trained on {base}) does not fit the base {wrong}: " in said
        assert why in said and "\n" not in said and said.endswith("give the base that it was trained on, or "
            "train a policy on this one.")  # fmt: skip


def test_an_adapter_of_other_modules(policy: Path, base: str, tmp_path: Path) -> None:
    changed = copied(policy, tmp_path / "other", configured(target_modules=["q_proj", "v_proj", "up_proj"]))
    with pytest.raises(ModelError, match=r"does not fit the base .*: it has no weights for the base's .*up_proj"):
        load_model(base, changed)
    changed = copied(policy, tmp_path / "none", configured(target_modules=["no_such_proj"]))
    with pytest.raises(ModelError, match=r"does not fit the base .*no_such_proj"):
        load_model(base, changed)
    changed = copied(policy, tmp_path / "rank", configured(r=7))
    with pytest.raises(ModelError, match="does not fit the base"):
        load_model(base, changed)


def test_continuing_an_adapter_that_does_not_fit(policy: Path, tmp_path: Path) -> None:
    from sotopia_pi.config import TrainingConfig
    from sotopia_pi.training.adapters import with_adapter

    other = tiny.save(tiny.CONFIGS["qwen3"], tmp_path / "qwen3")
    with pytest.raises(ModelError, match=f"does not fit the base {other}"):
        with_adapter(load_model(str(other)), policy, TrainingConfig())


def test_only_safetensors_are_loaded(policy: Path, base: str, tmp_path: Path) -> None:
    def pickle(folder: Path) -> None:
        (folder / "adapter_model.safetensors").unlink()
        torch.save({"base_model.model.model.layers.0.self_attn.q_proj.lora_A.weight": torch.ones(4, 32)},
            folder / "adapter_model.bin")  # fmt: skip

    folder = copied(policy, tmp_path / "pickled", pickle)
    with pytest.raises(ModelError, match=r"pickled weights \(adapter_model.bin\).*never loaded"):
        load_model(base, folder)
    with pytest.raises(ModelError, match=r"no adapter_model\.safetensors; train it first"):
        check_adapter(tmp_path)
    broken = copied(policy, tmp_path / "b", lambda made: (made / "adapter_model.safetensors").write_bytes(b"x" * 99))
    with pytest.raises(ModelError, match=r"adapter_model.safetensors cannot be read"):
        load_model(base, broken)


@pytest.mark.parametrize(
    ("change", "complaint"),
    [
        (lambda path: path.write_text("[" * 100_000, encoding="utf-8"), "nested too deeply"),
        (lambda path: path.write_text('{"r": ' * 100_000, encoding="utf-8"), "nested too deeply"),
        (lambda path: path.write_text('{"r": ' + "9" * 5000 + "}", encoding="utf-8"), "cannot be read"),
        (lambda path: path.write_text(" " * (17 << 20), encoding="utf-8"), "not a small text file"),
        (lambda path: (path.unlink(), os.mkfifo(path)), "not a small text file"),
        (lambda path: (path.unlink(), path.symlink_to("/dev/zero")), "not a small text file"),
    ],
    ids=["lists", "tables", "digits", "size", "fifo", "device"],
)
def test_configs_that_cannot_be_read(
    change: Callable[[Path], object], complaint: str, policy: Path, base: str, tmp_path: Path
) -> None:
    folder = copied(policy, tmp_path / "hostile", lambda made: change(made / "adapter_config.json"))
    with pytest.raises(ModelError, match=complaint):
        load_model(base, folder)


@pytest.mark.parametrize(
    ("values", "complaint"),
    [
        ({"target_modules": "("}, "target_modules: .*no pattern"),
        ({"exclude_modules": "(" * 5000}, "exclude_modules: .*no pattern"),
        ({"alora_invocation_tokens": [1, 2]}, r"more than plain LoRA \(alora_invocation_tokens\)"),
        ({"trainable_token_indices": [10**9]}, r"more than plain LoRA \(trainable_token_indices\)"),
        ({"layer_replication": [[0, 3]] * 3000}, r"more than plain LoRA \(layer_replication\)"),
        ({"target_parameters": ["mlp.up_proj.weight"]}, r"more than plain LoRA \(target_parameters\)"),
        ({"init_lora_weights": "pissa"}, r"more than plain LoRA \(init_lora_weights\)"),
        ({"rank_pattern": {"(a+)+$": 4}}, r"more than plain LoRA \(rank_pattern\)"),
        ({"alpha_pattern": {"(.*)*x": 4}}, r"more than plain LoRA \(alpha_pattern\)"),
        ({"use_some_later_kind": True}, r"more than plain LoRA \(use_some_later_kind\)"),
        ({"rank_pattern": {"q_proj": 10**6}}, "its model.layers.0.self_attn.q_proj has rank 4, .* says 1000000"),
        ({"r": 10**9}, r"\(r: "),
        ({"lora_alpha": float("nan")}, r"\(lora_alpha: "),
        ({"lora_alpha": 1e308}, "no finite numbers"),
        ({"modules_to_save": ["lm_head"]}, "no weights for the base's lm_head"),
        ({"target_modules": ["q_proj"]}, "has weights that its config does not name, for .*v_proj"),
    ],
)
def test_hostile_configs_are_refused(
    values: dict[str, Any], complaint: str, policy: Path, base: str, tmp_path: Path
) -> None:
    folder = copied(policy, tmp_path / "hostile", configured(**values))
    with pytest.raises(ModelError, match=complaint) as caught:
        load_model(base, folder)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    "values",
    [
        {"target_modules": "(([a-z_.0-9])+.)+[A-Z]([a-z])+$"},
        {"target_modules": r".*self_attn\.(q_proj|v_proj)"},
        {"target_modules": ["q_proj", "v_proj", *(f"m{number}" for number in range(100_000))]},
        {"exclude_modules": "(.*)*(.*)*x$"},
        {"layers_pattern": "(.*)*(.*)*x"},
    ],
)
def test_the_weights_say_what_is_adapted(values: dict[str, Any], policy: Path, base: str, tmp_path: Path) -> None:
    """No pattern is run, and names of modules that nobody has cost nothing."""
    folder = copied(policy, tmp_path / "slow", configured(**values))
    torch.testing.assert_close(logits(load_model(base, folder)), logits(load_model(base, policy)))


@pytest.mark.parametrize("value", ["nan", "inf"])
def test_weights_that_are_no_numbers_are_neither_played_nor_merged(
    value: str, policy: Path, base: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    def spoil(name: str) -> Callable[[Path], object]:
        def change(folder: Path) -> None:
            tensors = load_file(folder / name)
            tensors[sorted(tensors)[-1]].view(-1)[3] = float(value)
            save_file(tensors, folder / name, {"format": "pt"})

        return change

    folder = copied(policy, tmp_path / "adapter", spoil("adapter_model.safetensors"))
    with pytest.raises(ModelError, match=r"no finite numbers \(model.layers.2.self_attn.v_proj.lora_B.weight\)"):
        load_model(base, folder)
    assert "no finite numbers" in says(capsys, 5, "merge", str(folder), "--out", str(tmp_path / "merged"))
    assert not (tmp_path / "merged").exists()
    whole = copied(Path(base), tmp_path / "whole", spoil("model.safetensors"))
    with pytest.raises(ModelError, match="no finite numbers"):
        load_model(base, whole)


@pytest.mark.parametrize("name", ["lm_head", "embed_tokens", "head"])
def test_an_adapter_may_not_change_weights_that_are_used_twice(name: str, tmp_path: Path) -> None:
    """Imported adapters: what PEFT plays would not be what it merges. It takes `head` for `lm_head`."""
    tied = str(tiny.save(LlamaConfig(**tiny._SHAPE, tie_word_embeddings=True), tmp_path / "tied"))
    settings: dict[str, Any] = {"modules_to_save": [name]} if name == "head" else {}
    lora = LoraConfig(task_type="CAUSAL_LM", r=2, target_modules=["q_proj", *([] if settings else [name])], **settings)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        adapted = get_peft_model(load_model(tied), lora)
        adapted.save_pretrained(str(tmp_path / "adapter"))
    with pytest.raises(ModelError, match="whose weights the base uses in a second place"):
        load_model(tied, tmp_path / "adapter")


@pytest.mark.filterwarnings("ignore:Setting `save_embedding_layers`")
def test_untied_embeddings_are_played_as_they_were_trained(tmp_path: Path) -> None:
    from sotopia_pi.config import TrainingConfig
    from sotopia_pi.training.adapters import with_adapter, write_policy

    untied = str(tiny.save(LlamaConfig(**tiny._SHAPE, tie_word_embeddings=False), tmp_path / "untied"))
    settings = TrainingConfig(lora_targets=("q_proj", "embed_tokens", "lm_head"))
    trained = with_adapter(load_model(untied), None, settings)
    torch.manual_seed(1)
    for name, parameter in trained.named_parameters():
        if "lora_" in name:
            parameter.data = torch.randn_like(parameter)
    write_policy(trained, tmp_path / "bc", lambda _: None)
    again = with_adapter(load_model(untied), tmp_path / "bc", settings)
    expected = state(trained)
    assert expected and all(torch.equal(expected[name], value) for name, value in state(again).items())
    trained.eval().merge_adapter()
    want = {name: w for name, w in trained.named_parameters() if name.endswith("base_layer.weight")}
    played = dict(load_model(untied, tmp_path / "bc").named_parameters())
    for name, weight in want.items():
        plain = name.removeprefix("base_model.model.").replace(".base_layer", "")
        torch.testing.assert_close(played[plain], weight)


def state(model: Any) -> dict[str, torch.Tensor]:
    return {name: value for name, value in model.named_parameters() if "lora_" in name}


@pytest.mark.parametrize(("mask", "mode"), [(0o022, 0o644), (0o027, 0o640), (0o077, 0o600)])
def test_files_have_the_mode_that_new_files_have(mask: int, mode: int, policy: Path, base: str, tmp_path: Path) -> None:
    before = os.umask(mask)
    try:
        made = policies.policy(base, tmp_path / "bc")
        assert run("merge", str(made), "--out", str(tmp_path / "merged"), "--quiet") == 0
    finally:
        os.umask(before)
    for folder in (made, tmp_path / "merged"):
        files = {path.name: path.stat().st_mode & 0o777 for path in folder.iterdir()}
        assert set(files.values()) == {mode}
        assert any("model.safetensors" in name for name in files) and ".mode" not in files
        assert folder.stat().st_mode & 0o777 == mode | (mode & 0o444) >> 2


@pytest.mark.parametrize(
    ("values", "complaint"),
    [
        ({"auto_map": {"AutoModel": "evil.Evil"}}, "names code to run"),
        ({"megatron_config": {"a": 1}, "megatron_core": "evil"}, "names code to run"),
        ({"peft_type": "PROMPT_TUNING"}, "describes no LoRA adapter"),
    ],
)
def test_no_code_comes_with_an_adapter(
    values: dict[str, Any], complaint: str, policy: Path, base: str, tmp_path: Path
) -> None:
    folder = copied(policy, tmp_path / "evil", configured(**values))
    (folder / "evil.py").write_text(f"open({str(tmp_path / 'ran')!r}, 'w')\n", encoding="utf-8")
    with pytest.raises(ModelError, match=complaint):
        load_model(base, folder)
    assert not (tmp_path / "ran").exists()


@pytest.mark.parametrize("kind", ["llama", "nothing-known"])
def test_no_code_comes_with_whole_weights(kind: str, base: str, tmp_path: Path) -> None:
    """With `auto_map`, transformers would import the folder's modules if it were allowed to."""

    def evil(folder: Path) -> None:
        path = folder / "config.json"
        named = {"AutoConfig": "evil.Config", "AutoModelForCausalLM": "evil.Model"}
        values = {**json.loads(path.read_text(encoding="utf-8")), "auto_map": named, "model_type": kind}
        path.write_text(json.dumps(values), encoding="utf-8")
        (folder / "evil.py").write_text(f"open({str(tmp_path / 'ran')!r}, 'w')\n", encoding="utf-8")

    folder = copied(Path(base), tmp_path / "evil", evil)
    if kind == "llama":
        torch.testing.assert_close(logits(load_model(str(folder))), logits(load_model(base)))
    else:
        with pytest.raises(ModelError, match="could not be loaded"):
            load_model(str(folder))
    assert not (tmp_path / "ran").exists()


def test_help_loads_no_torch() -> None:
    code = "import sys\nfrom sotopia_pi.cli.main import main\ntry: main(['serve', '--help'])\nexcept SystemExit: pass\n"
    report = "print([name for name in ('torch', 'aiohttp', 'peft', 'huggingface_hub') if name in sys.modules])"
    done = subprocess.run([sys.executable, "-c", code + report], capture_output=True, text=True, check=True)
    assert done.stdout.splitlines()[-1] == "[]"
