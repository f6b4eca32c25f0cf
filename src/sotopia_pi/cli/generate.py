"""`sotopia-pi generate`: social tasks of one's own from inspirational prompts, through any model."""

from __future__ import annotations

import argparse
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

from sotopia_pi.cli.numbers import decimal, seed, whole
from sotopia_pi.cli.run import add_budget

if TYPE_CHECKING:
    from sotopia_pi.models.protocol import ChatModel
    from sotopia_pi.world.generation import BadRows, Cast, Journal, Outcome, Prompt, Writer
    from sotopia_pi.world.overlap import OverlapIndex
    from sotopia_pi.world.records import Scenario

#: Written here again, so that `--help` loads nothing.
FORMATS = ("social-chemistry", "social-iqa", "normbank", "text")


def add(verbs: Any) -> None:
    """Adds the verb to the command line."""
    verb = verbs.add_parser(
        "generate",
        help="write social tasks from inspirational prompts with a model",
        description="Asks a model for scenarios, checks them, keeps them apart from the evaluation, and casts them. "
        "Run the same command again to continue a generation that was stopped.",
    )
    option = verb.add_argument
    option("--model", required=True, metavar="SPEC", help="who writes, e.g. openai:MODEL@URL, a folder, or fake:")
    option("--count", type=whole(1), required=True, metavar="N", help="how many scenarios")
    option("--out", type=Path, required=True, metavar="FILE.jsonl", help="where the tasks go; a report goes beside it")
    option("--prompts", nargs="+", default=["builtin"], metavar="FILE", help="files of prompts, or builtin (default)")
    option("--format", choices=FORMATS, help="what the files are (default: told from their first line)")
    option("--exclude", nargs="+", default=[], metavar="FILE", help="files of prompts that must not be used")
    option("--ledger", type=Path, metavar="FILE", help="the used prompts (default: used-prompts.db beside --out)")
    option("--against", nargs="+", default=["starter:test"], metavar="SOURCE", help="evaluation tasks or scenarios")
    option("--embeddings", action="store_true", help="compare with them by meaning too (extra `overlap`)")
    option(
        "--seed", type=seed, default=1, metavar="S", help="decides which prompts, examples and characters (default 1)"
    )
    option("--castings", type=whole(1), default=1, metavar="N", help="pairs of characters per scenario (default 1)")
    option("--examples", type=whole(), default=1, metavar="N", help="examples shown per prompt (default 1)")
    option("--examples-from", metavar="FILE", help="scenarios to take them from (default: the starter world's)")
    option("--characters", type=Path, metavar="FILE", help="characters of your own")
    option("--ties", type=Path, metavar="FILE", help="who of them knows whom")
    option("--texts", type=Path, metavar="DIR", help="a folder of prompt texts of your own (generation/*.txt)")
    option("--temperature", type=decimal(0, 100), default=0.5, help="how freely it writes (default 0.5)")
    option("--max-tokens", type=whole(1), default=700, metavar="N", help="tokens of a reply at most (default 700)")
    option("--concurrency", type=whole(1), default=16, metavar="N", help="prompts asked at once (default 16)")
    option("--config", type=Path, metavar="CONFIG.toml", help="take [endpoint] and [runtime] from a config")
    add_budget(verb)
    option("--quiet", action="store_true", help="print nothing but errors")
    verb.set_defaults(main=main)


def main(given: argparse.Namespace) -> None:
    """Generates, or continues a generation."""
    import asyncio

    from tqdm import tqdm

    from sotopia_pi.errors import ModelError
    from sotopia_pi.world import generation

    people, examples, texts = _people(given), _examples(given), _texts(given)
    index = _index(given, examples)
    settings = _settings(given, people, examples, texts.version)
    bad, outcome = generation.BadRows(), generation.Outcome()
    with (
        generation.Ledger(given.ledger or given.out.with_name("used-prompts.db")) as ledger,
        generation.Journal(_beside(given.out, "journal.jsonl"), settings) as journal,
        tqdm(total=given.count, desc="generate", unit="scenario", disable=given.quiet) as bar,
        _opened(given, _spent(journal)) as model,
    ):
        prompts = _prompts(given, ledger.others(journal.generation), bad)

        def tell(now: Outcome) -> None:
            bar.update(len(now.accepted) - bar.n)

        work = generation.Generation(prompts, given.count, index, journal, ledger, tell, outcome)
        try:
            asyncio.run(work.run(_writer(given, model, people, examples, texts), given.concurrency))
        finally:
            facts = {"model": given.model, "count": given.count, "seed": given.seed, "prompts": given.prompts}
            generation.write_report(_beside(given.out, "report.json"), facts, outcome, bad)
    if not outcome.accepted and outcome.failed:
        raise ModelError(f"No prompt could be asked: {next(iter(outcome.failed.values()))}")
    _finish(given, outcome, people, bad, len(prompts))


def _beside(out: Path, ending: str) -> Path:
    return out.with_name(f"{out.name.removesuffix('.jsonl')}.{ending}")


def _finish(given: argparse.Namespace, outcome: Outcome, people: Cast, bad: BadRows, drawn: int) -> None:
    """Writes the tasks and says what came of it. WorldError when there were not enough prompts."""
    from sotopia_pi.errors import WorldError
    from sotopia_pi.world import generation

    tasks = generation.cast_all(outcome, people, given.seed, given.castings)
    if tasks:
        generation.write_tasks(given.out, tasks)
    report = _beside(given.out, "report.json")
    if not given.quiet:
        why = ", ".join(f"{count} {rule}" for rule, count in outcome.rules.items())
        print(f"generate   {len(outcome.accepted)} scenarios, {len(outcome.rejected)} rejected{why and f' ({why})'}")
        if outcome.failed or bad.count:
            print(f"           {len(outcome.failed)} prompts unanswered, {bad.count} rows unreadable; see the report")
        print(f"           {len(tasks)} tasks in {given.out}, report in {report}")
    if len(outcome.accepted) < given.count:
        raise WorldError(
            f"Only {len(outcome.accepted)} of {given.count} scenarios: all {drawn} prompts that were left are used up; "
            f"see {report}, and run the same command with more --prompts."
        )


def _people(given: argparse.Namespace) -> Cast:
    from sotopia_pi.world import load_characters, load_ties, starter_world
    from sotopia_pi.world.generation import Cast

    starter = starter_world()
    characters = load_characters(given.characters) if given.characters else starter.characters
    if given.ties:
        return Cast(characters, load_ties(given.ties, characters))
    return Cast(characters, () if given.characters else starter.ties)


def _examples(given: argparse.Namespace) -> tuple[Scenario, ...]:
    from sotopia_pi.world import load_scenarios, starter_world

    return load_scenarios(given.examples_from) if given.examples_from else starter_world().scenarios["train"]


def _texts(given: argparse.Namespace) -> Any:
    from sotopia_pi.prompts import Prompts

    return Prompts(given.texts, "generation")


def _index(given: argparse.Namespace, examples: tuple[Scenario, ...]) -> OverlapIndex:
    """What the scenarios must not resemble: the evaluation's, and the examples they are written after."""
    from sotopia_pi.world.overlap import OverlapIndex, text_of
    from sotopia_pi.world.overlap_files import read_texts

    held_out = [text for source in given.against for text in read_texts(source)]
    shown = [text_of(scenario, f"example {number}") for number, scenario in enumerate(examples, 1)]
    embed = None
    if given.embeddings:
        from sotopia_pi.models.embedding import Embedder

        embed = Embedder()
    return OverlapIndex([*held_out, *shown], embed=embed)


def _settings(given: argparse.Namespace, people: Cast, examples: tuple[Scenario, ...], texts: str) -> dict[str, Any]:
    """What decides the scenarios, besides the prompts; a continued generation must agree."""
    from sotopia_pi.records import content_hash

    return {
        "model": given.model,
        "seed": given.seed,
        "examples": given.examples,
        "temperature": given.temperature,
        "max_tokens": given.max_tokens,
        "texts": texts,
        "example scenarios": content_hash([scenario.id for scenario in examples]),
        "characters": content_hash([[c.id for c in people.characters], [t.model_dump() for t in people.ties]]),
    }


def _prompts(given: argparse.Namespace, used: set[str], bad: BadRows) -> list[Prompt]:
    """The prompts in the order in which they are tried."""
    from sotopia_pi.errors import WorldError
    from sotopia_pi.world.generation import draw, read_prompts

    for source in given.exclude:
        used |= {prompt.id for prompt in read_prompts(source, None, bad)}
    sources = [read_prompts(source, given.format, bad) for source in given.prompts]
    found = draw(sources, given.seed, lambda prompt: prompt not in used, most=max(1_000, 10 * given.count))
    if not found:
        names = ", ".join(given.prompts)
        raise WorldError(
            f"No prompt is left in {names}: {len(used)} are used or excluded and {bad.count} rows could not be read; "
            "give other --prompts, or another --ledger to use prompts again."
        )
    return found


def _writer(given: argparse.Namespace, model: ChatModel, people: Cast, examples: Any, texts: Any) -> Writer:
    from sotopia_pi.models.protocol import Sampling
    from sotopia_pi.world.generation import Writer

    sampling = Sampling(given.temperature, 1.0, given.max_tokens)
    return Writer(model, sampling, given.seed, examples, given.examples, people, texts)


def _spent(journal: Journal) -> float:
    """US dollars that the generation has cost so far."""
    return sum(attempt.cost or 0.0 for attempt in journal.attempts.values())


@contextmanager
def _opened(given: argparse.Namespace, spent: float) -> Iterator[ChatModel]:
    """The model that writes. ConfigError for a script, which cannot."""
    from sotopia_pi.config import Config, SamplingConfig, load
    from sotopia_pi.episodes.model_player import ModelPlayer
    from sotopia_pi.episodes.players import FAKE, opened
    from sotopia_pi.errors import ConfigError
    from sotopia_pi.models.fake_scenarios import scenario_model
    from sotopia_pi.models.remote.ledger import Ledger
    from sotopia_pi.models.remote.opening import Remotes
    from sotopia_pi.prompts import default_prompts

    spec: str = given.model
    if spec.startswith(FAKE):
        what = spec.removeprefix(FAKE)
        yield scenario_model(every=3 if what == "invalid" else 0, reachable=what != "unreachable")
        return
    config = load(given.config) if given.config else Config()
    remotes = Remotes(config.endpoint, Ledger(given.budget, {spec: {"cost": spent}}))
    with opened("generator", spec, SamplingConfig(), config.runtime, default_prompts(), remotes=remotes) as player:
        if not isinstance(player, ModelPlayer):
            raise ConfigError(f"{spec} cannot write scenarios; give a model, such as openai:MODEL@URL.")
        yield player.model
