"""Task generation: what is accepted depends on seed and prompts only, nothing is asked or used twice, a kill costs
nothing that was answered."""

from __future__ import annotations

import asyncio
import json
import signal
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from support import character, start, wait_until

from sotopia_pi.cli.main import main
from sotopia_pi.config import load
from sotopia_pi.errors import BudgetError, ConfigError, ModelError, SotopiaError, WorldError
from sotopia_pi.models.fake import FakeModel
from sotopia_pi.models.fake_scenarios import scenario_answer, scenario_model
from sotopia_pi.models.protocol import Message, Sampling
from sotopia_pi.prompts import Prompts, default_prompts
from sotopia_pi.world import load_tasks, starter_world
from sotopia_pi.world.generation import (
    Cast,
    Generation,
    Journal,
    Ledger,
    Outcome,
    Prompt,
    Writer,
    builtin_prompts,
    cast_all,
    draw,
)
from sotopia_pi.world.generation.drafts import example
from sotopia_pi.world.overlap import OverlapIndex, text_of

WORLD = starter_world()
PEOPLE = Cast(WORLD.characters, WORLD.ties)
PROMPTS = draw([builtin_prompts()], 1, lambda prompt: True, most=1_000)
SETTINGS = {"seed": 1}


def generate(
    folder: Path,
    model: FakeModel,
    count: int,
    concurrency: int = 8,
    prompts: Sequence[Prompt] = PROMPTS,
    index: OverlapIndex | None = None,
    name: str = "tasks",
) -> Outcome:
    """Generates into `folder`, continuing what is there."""
    writer = Writer(model, Sampling(), 1, WORLD.scenarios["train"], 1, PEOPLE, Prompts(part="generation"))
    with Ledger(folder / "used.db") as ledger, Journal(folder / f"{name}.journal.jsonl", SETTINGS) as journal:
        work = Generation(prompts, count, index or OverlapIndex(), journal, ledger)
        return asyncio.run(work.run(writer, concurrency))


def made(outcome: Outcome) -> list[str]:
    return [attempt.scenario.id for attempt in outcome.accepted if attempt.scenario]


def used(folder: Path, generation: str = "") -> set[str]:
    with Ledger(folder / "used.db") as ledger:
        return ledger.others(generation)


# What is accepted


def test_every_prompt_gives_a_scenario_that_can_be_cast(tmp_path: Path) -> None:
    model = scenario_model()
    outcome = generate(tmp_path, model, 40)
    assert len(outcome.accepted) == 40 and not outcome.failed
    assert len(model.asked) == 40 + len(outcome.rejected)  # nothing is asked that could not be needed
    assert len(model.released) == len(model.asked)
    tasks = cast_all(outcome, PEOPLE, seed=1, castings=3)
    assert len(tasks) == 120 and len({task.id for task in tasks}) == 120
    kinds = {prompt.id: prompt.kind for prompt in PROMPTS}
    for attempt in outcome.accepted:
        assert attempt.scenario is not None
        assert attempt.scenario.kind == kinds[attempt.prompt.id]
        assert attempt.scenario.source == f"generated from builtin {attempt.prompt.id}"


def test_the_question_has_the_note_an_example_and_the_occupations(tmp_path: Path) -> None:
    model = scenario_model()
    generate(tmp_path, model, 3, prompts=PROMPTS[:3], concurrency=1)
    shown = {example(scenario) for scenario in WORLD.scenarios["train"]}
    for prompt, (system, ask) in zip(PROMPTS, model.asked, strict=False):
        assert f"Note: {prompt.text}" in ask["content"]
        assert sum(text in ask["content"] for text in shown) == 1
        assert "baker" in system["content"] and "$" not in system["content"]
    assert len({next(text for text in shown if text in ask["content"]) for _, ask in model.asked}) > 1


def test_a_note_with_placeholders_is_not_expanded(tmp_path: Path) -> None:
    note = Prompt(text="$examples ${prompt} $$ {x}", kind="k", source="s", about="x")
    model = scenario_model()
    generate(tmp_path, model, 1, prompts=[note])
    assert "Note: $examples ${prompt} $$ {x}" in model.asked[0][1]["content"]


def test_the_outcome_is_the_same_at_any_concurrency(tmp_path: Path) -> None:
    outcomes = []
    for concurrency in (1, 5, 64):
        folder = tmp_path / str(concurrency)
        outcomes.append(generate(folder, scenario_model(every=3), 50, concurrency))
    assert made(outcomes[0]) == made(outcomes[1]) == made(outcomes[2])
    assert [r.attempt for r in outcomes[0].rejected] == [r.attempt for r in outcomes[2].rejected]


def test_a_broken_rule_is_named_once_and_then_counted(tmp_path: Path) -> None:
    model = FakeModel(scenario_answer(every=1, ways=("gender",)))
    outcome = generate(tmp_path, model, 5, prompts=PROMPTS[:12])
    twice = [asked for asked in model.asked if len(asked) > 2]
    assert len(twice) * 2 == len(model.asked)
    assert all('"She" says a gender' in asked[3]["content"] for asked in twice)
    assert len(outcome.accepted) + len(outcome.rejected) == len(twice)
    assert outcome.rules == {"gender": len(outcome.rejected)} and outcome.rejected
    for attempt in outcome.accepted:
        assert len(attempt.replies) == 2 and len(attempt.violations) == 1 and attempt.prompt_tokens > 0
    for rejection in outcome.rejected:
        assert len(rejection.attempt.violations) == 2 and "They" not in rejection.why and rejection.why


def test_near_duplicates_are_refused_with_the_pair(tmp_path: Path) -> None:
    held_out = WORLD.scenarios["test"][0]
    copy = held_out.model_copy(update={"situation": f"{held_out.situation} It is already late."})
    model = FakeModel(lambda messages, seed: example(copy))
    index = OverlapIndex([text_of(scenario, f"test {n}") for n, scenario in enumerate(WORLD.scenarios["test"])])
    outcome = generate(tmp_path, model, 2, prompts=PROMPTS[:3], index=index)
    assert not outcome.accepted and outcome.rules == {"overlap": 3}
    assert "test 0" in outcome.rejected[0].why and held_out.situation[:40] in outcome.rejected[0].why
    own = generate(tmp_path / "b", model, 2, prompts=PROMPTS[:3])
    assert len(own.accepted) == 1 and own.rules == {"overlap": 2}  # nor one like another


# Nothing twice


def test_no_prompt_is_used_twice_across_generations(tmp_path: Path) -> None:
    first = generate(tmp_path, scenario_model(), 20, name="first")
    second = generate(tmp_path, scenario_model(), 20, name="second")
    prompts = [{attempt.prompt.id for attempt in outcome.accepted} for outcome in (first, second)]
    assert not prompts[0] & prompts[1]
    assert prompts[0] | prompts[1] <= used(tmp_path)
    assert made(generate(tmp_path, scenario_model(), 20, name="first")) == made(first)


def test_more_may_be_asked_for_later(tmp_path: Path) -> None:
    first = generate(tmp_path, scenario_model(every=4), 10)
    model = scenario_model(every=4)
    more = generate(tmp_path, model, 25)
    assert made(more)[:10] == made(first)
    assert len(model.asked) < 30
    assert made(more) == made(generate(tmp_path / "other", scenario_model(every=4), 25))
    quiet = scenario_model(every=4)
    assert made(generate(tmp_path, quiet, 25)) == made(more) and not quiet.asked


@given(cut=st.floats(0, 1))
@settings(max_examples=8)
def test_a_generation_cut_anywhere_continues_to_the_same_end(
    tmp_path_factory: pytest.TempPathFactory, cut: float
) -> None:
    folder = tmp_path_factory.mktemp("cut")
    expected = generate(folder, scenario_model(every=3), 12, concurrency=4)
    path = folder / "tasks.journal.jsonl"
    content = path.read_bytes()
    path.write_bytes(content[: int(len(content) * cut)])
    (folder / "used.db").unlink()
    model = scenario_model(every=3)
    assert made(generate(folder, model, 12, concurrency=4)) == made(expected)
    lines = content[: int(len(content) * cut)].count(b"\n")
    notes = {asked[1]["content"] for asked in model.asked}
    assert len(notes) == len(expected.accepted) + len(expected.rejected) - max(0, lines - 1)


def test_a_journal_of_something_else_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "tasks.journal.jsonl"
    with Journal(path, {"seed": 1, "model": "a"}):
        pass
    with pytest.raises(ConfigError, match=r"seed: 1 → 2.*another --out"):
        Journal(path, {"seed": 2, "model": "a"})
    path.write_text(path.read_text(encoding="utf-8") + '{"x": 1}\n', encoding="utf-8")
    with pytest.raises(WorldError, match="line 2 is not what a generation wrote"):
        Journal(path, {"seed": 1, "model": "a"})
    with pytest.raises(WorldError, match="cannot be used"):
        Ledger(path)


# Models that do not answer


class Shaky(FakeModel):
    """Cannot be reached at some calls."""

    def __init__(self, down: Callable[[int], bool], error: SotopiaError | None = None) -> None:
        super().__init__(scenario_answer())
        self._down, self._error, self.calls = down, error or ModelError("No answer."), 0

    async def complete(self, messages: Sequence[Message], *given: Any, **named: Any) -> Any:
        """Fails, or answers."""
        self.calls += 1
        if self._down(self.calls):
            raise self._error
        return await super().complete(messages, *given, **named)


def test_prompts_that_nobody_answered_are_counted_and_not_used(tmp_path: Path) -> None:
    outcome = generate(tmp_path, Shaky(lambda call: call % 4 == 0), 20, concurrency=1)
    assert len(outcome.accepted) == 20
    assert len(outcome.failed) >= 5 and set(outcome.failed.values()) == {"No answer."}
    assert not outcome.failed.keys() & used(tmp_path)
    model = scenario_model()
    again = generate(tmp_path, model, 20)
    assert made(again) == made(outcome) and not model.asked and again.failed == outcome.failed


def test_a_dead_model_stops_the_generation_and_it_can_be_continued(tmp_path: Path) -> None:
    with pytest.raises(ModelError, match=r"5 prompts in a row .* run the same command again"):
        generate(tmp_path, Shaky(lambda call: call > 7), 20, concurrency=1)
    assert len(used(tmp_path)) == 7
    assert made(generate(tmp_path, scenario_model(), 20)) == made(generate(tmp_path / "b", scenario_model(), 20))


def test_a_model_that_cannot_write_does_not_use_up_all_prompts(tmp_path: Path) -> None:
    for attempts in (30, 60):  # repeating the command goes on
        with pytest.raises(ModelError, match=r"30 prompts in a row gave nothing .* The last: There is no JSON object"):
            generate(tmp_path, FakeModel(lambda messages, seed: "No."), 100, concurrency=2)
        assert attempts <= len(used(tmp_path)) <= attempts + 8


def test_a_budget_stops_after_what_is_under_way(tmp_path: Path) -> None:
    model = Shaky(lambda call: call > 10, BudgetError("No room."))
    with pytest.raises(BudgetError):
        generate(tmp_path, model, 50, concurrency=4)
    journal = (tmp_path / "tasks.journal.jsonl").read_text(encoding="utf-8").splitlines()
    assert len(journal) == 1 + 10 and len(used(tmp_path)) == 10


def test_an_error_that_concerns_all_calls_stops_at_once(tmp_path: Path) -> None:
    model = Shaky(lambda call: call == 3, ConfigError("The key is refused."))
    with pytest.raises(ConfigError, match="The key is refused"):
        generate(tmp_path, model, 50, concurrency=4)
    assert model.calls <= 12
    journal = (tmp_path / "tasks.journal.jsonl").read_text(encoding="utf-8").splitlines()
    assert len(used(tmp_path)) == len(journal) - 1


def test_a_prompt_that_another_generation_took_meanwhile_is_left_out(tmp_path: Path) -> None:
    taken: list[str] = []

    def answer(messages: Sequence[Message], seed: int) -> str:
        if not taken:
            with Ledger(tmp_path / "used.db") as other:
                taken.extend(prompt.id for prompt in PROMPTS[10:20] if other.claim(prompt, "another"))
        return scenario_answer()(messages, seed)

    outcome = generate(tmp_path, FakeModel(answer), 15, concurrency=1)
    assert len(outcome.accepted) == 15 and taken
    assert not {attempt.prompt.id for attempt in outcome.accepted} & set(taken)


# The command line


def run(*arguments: str, out: Path, code: int = 0) -> Path:
    assert main(["generate", "--model", "fake:", "--quiet", "--out", str(out), *arguments]) == code
    return out


def test_generated_tasks_load_and_report_stands_beside(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    out = tmp_path / "new" / "tasks.jsonl"
    arguments = ["--model", "fake:invalid", "--count", "30", "--castings", "2", "--out", str(out)]
    assert main(["generate", *arguments]) == 0
    assert "30 scenarios" in capsys.readouterr().out
    tasks = load_tasks(out)
    assert len(tasks) == 60 and len({task.scenario.id for task in tasks}) == 30
    report = json.loads((tmp_path / "new" / "tasks.report.json").read_text(encoding="utf-8"))
    assert (report["accepted"], report["model"], report["unanswered"]) == (30, "fake:invalid", 0)
    assert report["rejected"] == len(report["rejections"]) == sum(report["rejected_by_rule"].values()) > 0
    assert report["asked_again"] >= report["rejected"] and report["usage"]["prompt_tokens"] > 0
    assert all(row["why"] and row["replies"] for row in report["rejections"])
    assert load(None, [f"world.train_tasks={out}"]).world.train_tasks == str(out)
    before = out.read_bytes()
    assert main(["generate", *arguments, "--quiet"]) == 0
    assert out.read_bytes() == before
    assert capsys.readouterr().out == ""
    assert main(["overlap", str(out), "starter", "--quiet"]) == 0


def test_the_seed_decides_and_the_ledger_is_shared(tmp_path: Path) -> None:
    one, two, three = (
        run("--count", "5", "--seed", seed, out=tmp_path / name / "t.jsonl").read_bytes()
        for name, seed in (("a", "1"), ("b", "1"), ("c", "2"))
    )
    assert one == two != three
    again = run("--count", "5", out=tmp_path / "a" / "more.jsonl")
    sources = [{task.scenario.source for task in load_tasks(path)} for path in (tmp_path / "a" / "t.jsonl", again)]
    assert len(sources[0]) == len(sources[1]) == 5 and not sources[0] & sources[1]


def test_files_of_prompts_and_exclusions(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    notes = tmp_path / "notes.txt"
    notes.write_bytes(b"Lending a drum\nSharing a tent\n\xff\nBorrowing a boat\n")
    (tmp_path / "not.txt").write_text("sharing A tent", encoding="utf-8")
    arguments = ["--prompts", str(notes), "--exclude", str(tmp_path / "not.txt"), "--count", "3"]
    run(*arguments, out=tmp_path / "t.jsonl", code=3)
    error = capsys.readouterr().err
    assert "Only 2 of 3 scenarios: all 2 prompts that were left are used up" in error and error.count("\n") == 1
    assert len(load_tasks(tmp_path / "t.jsonl")) == 2
    report = json.loads((tmp_path / "t.report.json").read_text(encoding="utf-8"))
    assert [(row["source"], row["line"]) for row in report["bad_row_list"]] == [("notes.txt", 3)]
    run(*arguments, out=tmp_path / "u.jsonl", code=3)
    assert "No prompt is left in" in capsys.readouterr().err
    run(*arguments[:2], "builtin", "--count", "4", out=tmp_path / "t.jsonl")
    assert len(load_tasks(tmp_path / "t.jsonl")) == 4


def test_characters_of_ones_own(tmp_path: Path) -> None:
    people = [character("Ada Moss"), character("Bo Lind"), character("Cy Pratt")]
    path = tmp_path / "people.json"
    path.write_text(json.dumps([person.model_dump(mode="json") for person in people]), encoding="utf-8")
    out = run("--characters", str(path), "--count", "4", out=tmp_path / "t.jsonl")
    names = {person.name for person in people}
    assert all({c.name for c in task.characters} < names for task in load_tasks(out))  # strangers, as no tie says else


@pytest.mark.parametrize(
    ("arguments", "code", "says"),
    [
        (["--model", "fake:unreachable", "--count", "9"], 5, "5 prompts in a row"),
        (["--model", "fake:unreachable", "--count", "1", "--prompts", "one.txt"], 5, "No prompt could be asked"),
        (["--model", "scripted:expert", "--count", "1"], 2, "cannot write scenarios"),
        (["--count", "1", "--against", "none.jsonl"], 3, "none.jsonl cannot be read"),
        (["--count", "1", "--prompts", "none.txt"], 3, "none.txt cannot be read"),
        (["--count", "1", "--texts", "none"], 2, "does not exist"),
    ],
)
def test_errors_are_one_sentence(
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
    arguments: list[str],
    code: int,
    says: str,
) -> None:
    monkeypatch.chdir(tmp_path)
    Path("one.txt").write_text("Lending a drum", encoding="utf-8")
    run(*arguments, out=tmp_path / "t.jsonl", code=code)
    error = capsys.readouterr().err
    assert says in error and error.startswith("sotopia-pi: ") and error.count("\n") == 1


def test_texts_of_ones_own_and_other_settings(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    run("--count", "2", out=tmp_path / "t.jsonl")
    folder = tmp_path / "texts" / "generation"
    folder.mkdir(parents=True)
    (folder / "ask.txt").write_text("Write about: $prompt", encoding="utf-8")
    run("--count", "2", "--texts", str(tmp_path / "texts"), out=tmp_path / "t.jsonl", code=2)
    assert "texts:" in capsys.readouterr().err
    run("--count", "2", "--texts", str(tmp_path / "texts"), out=tmp_path / "u.jsonl")
    assert Prompts(part="generation").version != default_prompts().version


def test_a_killed_generation_continues_where_it_was(tmp_path: Path) -> None:
    arguments = ["--count", "60", "--model", "fake:invalid", "--quiet"]
    whole = run(*arguments, out=tmp_path / "whole" / "t.jsonl")
    out = tmp_path / "killed" / "t.jsonl"
    process = start("generate", *arguments, "--out", str(out))
    journal = out.with_name("t.journal.jsonl")
    wait_until(lambda: journal.is_file() and journal.read_bytes().count(b"\n") > 20, process)
    process.send_signal(signal.SIGKILL)
    process.communicate(timeout=60)
    run(*arguments, out=out)
    assert out.read_bytes() == whole.read_bytes()
    notes = [json.loads(line)["prompt"]["text"] for line in journal.read_bytes().splitlines()[1:]]
    assert len(notes) == len(set(notes))
