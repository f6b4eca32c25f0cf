"""A config is checked before any work starts, names what is wrong, and reads back as it was written."""

from __future__ import annotations

import inspect
import re
import tomllib
from pathlib import Path
from typing import get_args

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pydantic import BaseModel

from sotopia_pi.config import Config, RoundConfig, TrainingConfig, differences, load, parse, to_toml
from sotopia_pi.config.section import WIDEST
from sotopia_pi.errors import ConfigError
from sotopia_pi.training.selection import RULES

ROOT = Path(__file__).parent.parent
BC = {"name": "bc", "method": "bc"}
TAKEN = ("base", "expert", "partner")
SR = {"name": "bc+sr", "method": "sr", "parent": "bc"}


@pytest.mark.parametrize(
    ("values", "complaint"),
    [
        ({"sede": 1}, "sede is not a setting"),
        ({"training": {"epoch": 1}}, "training.epoch is not a setting"),
        ({"rounds": [BC, {**SR, "selekt": {}}]}, "rounds.1.selekt is not a setting"),
        ({"rounds": [BC, {**SR, "train": {"epoch": 1}}]}, "rounds.1.train.epoch is not a setting"),
        ({"rounds": [{**BC, "sampling": {"temp": 1}}]}, "rounds.0.sampling.temp is not a setting"),
        ({"evaluation": {"sampling": {"top_p": 2}}}, "evaluation.sampling.top_p: Input should be less"),
        ({"rounds": [{**BC, "train": {"batch": 3}}]}, "rounds.0.train: batch (3) must be a multiple of"),
        ({"training": {"micro_batch": 3}}, "training: batch (8) must be a multiple of micro_batch (3)"),
        ({"world": {"test": {"price": -1}}}, "world.test.price: Input should be greater than or equal to 0"),
        ({"seed": "one"}, "seed: Input should be a valid integer"),
        ({"sampling": {"temperature": float("inf")}}, "sampling.temperature is inf; give a finite number"),
        ({"rounds": [{**BC, "method": "dpo"}]}, "rounds.0.method: Input should be 'bc' or 'sr'"),
        ({"rounds": [{**BC, "name": "../bc"}]}, "rounds.0.name: String should match"),
        ({"rounds": [SR, BC]}, "round 'bc+sr' refers to 'bc', which is no earlier round"),
        ({"rounds": [{**SR, "parent": "bc+sr"}]}, "refers to 'bc+sr', which is no earlier round"),
        ({"rounds": [BC, {**SR, "replay": ["base"]}]}, "refers to 'base', which is no earlier round"),
        ({"rounds": [BC, BC]}, "two players named 'bc'"),
        *(({"rounds": [{**BC, "name": name}]}, f"two players named '{name}'") for name in TAKEN),
    ],
)  # fmt: skip
def test_wrong_settings_are_named(values: dict[str, object], complaint: str) -> None:
    with pytest.raises(ConfigError) as caught:
        parse(values, "my.toml")
    assert str(caught.value).startswith("my.toml: ")
    assert complaint in str(caught.value)
    assert "\n" not in str(caught.value)


def test_every_wrong_setting_is_named_at_once() -> None:
    with pytest.raises(ConfigError) as caught:
        parse({"sede": 1, "training": {"epoch": 1}}, "my.toml")
    assert "sede is" in str(caught.value)
    assert "training.epoch is" in str(caught.value)


def test_set_takes_types_lists_and_texts() -> None:
    config = load(
        None,
        [
            "training.epochs=3",
            "rounds.0.repeats=2",
            'rounds.1.select={rule="threshold", at_least=6}',
            "world.train={price=1, favour=2}",
            "world.test.meeting=4",
            "models.policy=/models/my model",
            "models.partner=scripted:partner",
            'training.lora_targets=["q_proj", "v_proj"]',
            "evaluation.sampling.temperature=0",
            " seed = 5",
        ],
    )
    assert (config.training.epochs, config.rounds[0].repeats, config.seed) == (3, 2, 5)
    assert config.rounds[1].select == {"rule": "threshold", "at_least": 6}
    assert config.world.train == {"price": 1, "favour": 2}
    assert config.world.test["meeting"] == 4
    assert config.models.policy == "/models/my model"
    assert config.training.lora_targets == ("q_proj", "v_proj")
    assert config.evaluation_sampling().temperature == 0


@pytest.mark.parametrize(
    ("override", "complaint"),
    [
        ("training.epochs", "--set needs key=value, not 'training.epochs'"),
        ("=3", "--set needs key=value"),
        ("rounds.9.repeats=2", "--set rounds.9.repeats: there is no such place"),
        ("rounds.first.repeats=2", "there is no such place"),
        ("seed.x=1", "there is no such place"),
        ("seed.x.y=1", "there is no such place"),
        ("training=5", "training: Input should be"),
        ("training.epoch=5", "training.epoch is not a setting"),
        ("sampling.top_p=half", "sampling.top_p: Input should be a valid number"),
    ],
)
def test_set_refuses_what_is_no_setting(override: str, complaint: str) -> None:
    with pytest.raises(ConfigError, match=re.escape(complaint)):
        load(None, [override])


def test_files_that_are_no_config(tmp_path: Path) -> None:
    path = tmp_path / "my.toml"
    with pytest.raises(ConfigError, match=r"my\.toml cannot be read"):
        load(path)
    with pytest.raises(ConfigError, match="cannot be read"):
        load(tmp_path)
    path.write_bytes(b"name = \xff")
    with pytest.raises(ConfigError, match="cannot be read"):
        load(path)
    path.write_text("name = demo\n", encoding="utf-8")
    with pytest.raises(ConfigError, match=r"my\.toml is not valid TOML: .*line 1"):
        load(path)


def test_rounds_inherit_and_override() -> None:
    config = parse(
        {
            "training": {"epochs": 3, "batch": 4},
            "sampling": {"temperature": 0.5},
            "rounds": [{**BC, "train": {"epochs": 1}, "sampling": {"top_p": 0.9}}],
        },
        "test",
    )
    bc = config.round("bc")
    assert config.training_of(bc) == TrainingConfig(epochs=1, batch=4)
    assert (config.sampling_of(bc).temperature, config.sampling_of(bc).top_p) == (0.5, 0.9)
    with pytest.raises(ConfigError, match="no round 'sr'; the rounds are: bc"):
        config.round("sr")


@pytest.mark.parametrize(
    "path", [None, *sorted((ROOT / "examples").glob("*.toml"))], ids=lambda path: path and path.name
)
def test_bundled_configs_load(path: Path | None) -> None:
    config = load(path)
    assert {item.method for item in config.rounds} <= {"bc", "sr"}
    assert parse_back(config) == config


def parse_back(config: Config) -> Config:
    return parse(tomllib.loads(to_toml(config)), "written")


TEXT = st.text(max_size=12)
POSITIVE = st.floats(1e-9, 100)
WHOLE = st.integers(-WIDEST, WIDEST)
VALUES = TEXT | st.booleans() | WHOLE | st.floats(allow_nan=False, allow_infinity=False)
CONFIGS = st.builds(
    Config,
    seed=WHOLE,
    world=st.fixed_dictionaries(
        {"train": st.dictionaries(st.sampled_from(["price", "favour"]), st.integers(0, 99))},
        optional={"characters": TEXT, "train_tasks": TEXT},
    ),
    models=st.fixed_dictionaries({}, optional={"policy": TEXT, "prompts": TEXT}),
    training=st.fixed_dictionaries({"learning_rate": POSITIVE, "lora_targets": TEXT | st.lists(TEXT, max_size=3)}),
    rounds=st.just(())
    | st.tuples(
        st.builds(
            RoundConfig,
            name=st.from_regex(r"\A[a-z0-9][a-z0-9+._-]{3}\Z").filter(lambda name: name != "base"),
            method=st.sampled_from(["bc", "sr"]),
            select=st.dictionaries(TEXT, VALUES | st.lists(VALUES, max_size=2), max_size=3),
            train=st.fixed_dictionaries({}, optional={"epochs": POSITIVE}),
        )
    ),
)


@given(CONFIGS)
@settings(max_examples=60)
def test_written_config_reads_back(config: Config) -> None:
    assert parse_back(config) == config
    assert differences(parse_back(config), config) == []


def test_differences_name_settings_and_leave_runtime_out() -> None:
    values = {"world": {"train": {"price": 30, "division": 30}}, "rounds": [BC, {**SR, "select": {"k": 1}}]}
    stored = parse(values, "test")
    values |= {"world": {"train": {"price": 30}}, "rounds": [BC, {**SR, "select": {"k": 4}}]}
    given_ = parse({**values, "training": {"epochs": 7}, "runtime": {"slots": 2}}, "test")
    assert differences(stored, given_) == [
        "rounds.1.select.k: 1 → 4",
        "training.epochs: 2.0 → 7.0",
        "world.train.division: 30 → None",
    ]
    assert differences(load(None), load(None, ["runtime.slots=2", "runtime.threads=1"])) == []


def test_places_are_kept_in_full(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Another working folder gives the same model; names of the hub, servers and scripts stay as they are."""
    for folder in ("models/mine", "smollm2-135m", "prompts", "toxic"):
        (tmp_path / "a" / folder).mkdir(parents=True)
    (tmp_path / "a" / "tasks.json").touch()
    (tmp_path / "a" / "my.toml").write_text(
        """
        [world]
        train_tasks = "tasks.json"
        characters = "gone.json"
        [models]
        policy = "models/mine"
        expert = "./models/../models/mine"
        partner = "smollm2-135m"
        weights = "some/hub-name"
        prompts = "prompts"
        [judge]
        panel = ["models/mine", "openai:gpt@http://localhost/v1"]
        [safety]
        words = "toxic"
        [runtime]
        launch = "ddp"
        """,
        encoding="utf-8",
    )
    monkeypatch.chdir(tmp_path / "a")
    config = load(Path("my.toml"), ["world.ties=tasks.json"])
    mine = str(tmp_path / "a" / "models" / "mine")
    assert (config.models.policy, config.models.partner) == (mine, "smollm2-135m")
    assert Path(config.models.expert).is_absolute() and Path(config.models.expert).samefile(mine)
    assert (config.models.weights, config.world.characters) == ("some/hub-name", "gone.json")
    assert config.models.prompts == str(tmp_path / "a" / "prompts")
    assert config.judge is not None and config.judge.panel == (mine, "openai:gpt@http://localhost/v1")
    assert config.world.train_tasks == config.world.ties == str(tmp_path / "a" / "tasks.json")
    assert (config.safety.words, config.runtime.launch) == (str(tmp_path / "a" / "toxic"), "ddp")
    # A run that was started earlier has them as they were written.
    earlier, now = ({"models": {"policy": name}} for name in ("models/mine", mine))
    assert differences(parse(earlier, "earlier"), parse(now, "now")) == []
    monkeypatch.chdir(tmp_path)
    assert parse_back(config) == config


def sections(model: type[BaseModel]) -> dict[str, type[BaseModel]]:
    found = {}
    for name, field in model.model_fields.items():
        kinds = [RoundConfig] if name == "rounds" else [field.annotation, *get_args(field.annotation)]
        for kind in kinds:
            if isinstance(kind, type) and issubclass(kind, BaseModel):
                found[name] = kind
    return found


def test_every_setting_is_documented_with_its_default() -> None:
    text = (ROOT / "docs" / "configuration.md").read_text(encoding="utf-8")
    parts = dict(re.findall(r"^## `\[*(\w+)\]*`\n(.*?)(?=^## |\Z)", text, re.MULTILINE | re.DOTALL))
    parts["top"] = text.split("\n## ")[0]
    for name, model in {"top": Config, **sections(Config)}.items():
        rows = dict(re.findall(r"^\| `(\w+)` \| (.*?) \|", parts[name], re.MULTILINE))
        assert list(rows) == [field for field in model.model_fields if name != "top" or field not in sections(Config)]
        for field, default in rows.items():
            info = model.model_fields[field]
            if isinstance(info.default, int | float | str) and not isinstance(info.default, bool):
                assert default == f"`{info.default}`", field
            elif info.is_required():
                assert default == "required", field


def limits(model: type[BaseModel], name: str) -> dict[str, tuple[float, float]]:
    """The lowest and the highest value of every setting that is a number, by its key."""
    found = {}
    for field, info in model.model_fields.items():
        kinds = {info.annotation, *get_args(info.annotation)}
        if not kinds & {int, float} or bool in kinds:
            continue
        marks = {
            key: getattr(mark, key) for mark in info.metadata for key in ("ge", "gt", "le", "lt") if hasattr(mark, key)
        }
        low, high = marks.get("ge", marks.get("gt")), marks.get("le", marks.get("lt"))
        assert low is not None and high is not None, f"{name}.{field} has no bounds"
        found[f"{name}.{field}".removeprefix("top.")] = (low, high)
    return found


def test_every_number_has_bounds_that_are_documented() -> None:
    text = (ROOT / "docs" / "configuration.md").read_text(encoding="utf-8").split("## Bounds")[1].split("\n## ")[0]
    told = dict(re.findall(r"^\| `([\w.]+)` \| (.*?) \|$", text, re.MULTILINE))
    for name, model in {"top": Config, **sections(Config)}.items():
        for key, (low, high) in limits(model, name).items():
            assert told.pop(key) == f"{low:,} to {high:,}", key
    assert not told


@pytest.mark.parametrize(
    ("override", "complaint"),
    [
        (
            "runtime.concurrency=1000000000",
            "runtime.concurrency: Input should be less than or equal to 100000, not 1000000000",
        ),
        (
            "sampling.max_tokens=1000000000000",
            "sampling.max_tokens: Input should be less than or equal to 1000000, not",
        ),
        (
            "rounds.0.repeats=1000000000",
            "rounds.0.repeats: Input should be less than or equal to 10000, not 1000000000",
        ),
        ("evaluation.repeats=1000000000", "evaluation.repeats: Input should be less than or equal to 10000"),
        ("training.epochs=1e300", "training.epochs: Input should be less than or equal to 10000, not 1e+300"),
        ("world.test={price=1000000000}", "world.test.price: Input should be less than or equal to 100000"),
        ("rounds.0.train.lora_rank=100000000", "rounds.0.train.lora_rank: Input should be less than or equal to 65536"),
        ("evaluation.sampling={temperature=1e9}", "evaluation.sampling.temperature: Input should be less than"),
        ("rounds.0.select={k=2, at_least=nan}", "select.at_least is nan; give a finite number"),
        (f"seed={2**63}", "seed is no number of 64 bits"),
        (f"max_turns={'9' * 5000}", "max_turns has 5,000 characters; give at most 4,096"),
        (f"name={'a' * 300}", "name: String should have at most 100 characters"),
        (f"models.policy={'a' * 10_000}", "policy has 10,000 characters; give at most 4,096"),
        (f"rounds.0.replay={['x'] * 2_000}", "has more than 1,000 entries"),
        (f"rounds.0.select={'[' * 30 + ']' * 30}", "is nested more than 20 deep"),
    ],
)
def test_what_nobody_can_mean_is_refused_with_its_bound(override: str, complaint: str) -> None:
    with pytest.raises(ConfigError) as caught:
        load(None, [override])
    assert complaint in str(caught.value) and len(str(caught.value)) < 500


@pytest.mark.parametrize("setting", ["world.castings=10000", "rounds.0.repeats=10000"])
def test_more_episodes_than_can_be_kept_are_refused_before_anything_is_drawn(setting: str) -> None:
    with pytest.raises(ConfigError, match=r"are .* at most 10,000,000"):
        load(None, ["world.train={price=90000}", setting])


@pytest.mark.parametrize("text", ["a = " + "[" * 100_000, "seed = " + "9" * 5000, "a = {b = " * 5000])
def test_a_config_that_overflows_its_reader_is_no_config(text: str, tmp_path: Path) -> None:
    path = tmp_path / "my.toml"
    path.write_text(text, encoding="utf-8")
    with pytest.raises(ConfigError, match=r"my\.toml is not valid TOML"):
        load(path)


def test_every_selection_rule_is_documented_with_its_parameters() -> None:
    text = (ROOT / "docs" / "configuration.md").read_text(encoding="utf-8").split("## Selection rules")[1]
    rows = dict(re.findall(r"^\| `(\w+)` \| (.*?) \|", text, re.MULTILINE))
    for name, rule in RULES.items():
        parameters = list(inspect.signature(rule).parameters.values())[1:]
        assert rows.pop(name) == ", ".join(f"`{p.name} = {p.default}`" for p in parameters)
    assert not rows


def test_the_turn_layout_is_for_runs_that_train_nothing() -> None:
    assert parse({"sampling": {"layout": "turn"}}, "test").evaluation_sampling().layout == "turn"
    rounds = {"rounds": [{"name": "bc", "method": "bc"}]}
    for turn in ({"sampling": {"layout": "turn"}}, {"evaluation": {"sampling": {"layout": "turn"}}}):
        with pytest.raises(ConfigError, match="remove the rounds or the layout"):
            parse({**rounds, **turn}, "test")
