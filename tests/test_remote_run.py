"""Whole runs with a model behind a server: one that fails often, one that dies, a budget, a kill; keys stay secret."""

from __future__ import annotations

import html
import json
import signal
import sqlite3
from collections.abc import Sequence
from contextlib import closing
from pathlib import Path

import pytest
from serving import completion, scripted, serving, spelled
from support import settings, start, stored, wait_until

from sotopia_pi.cli.main import main
from sotopia_pi.models.mockserver import MockServer

EXIT_SERVICE, EXIT_BUDGET = 5, 7
SECRET = "sk-do-not-tell-0123456789"
PRICES = '["mock"]\ninput = 100.0\noutput = 100.0\n'


def light(server: MockServer | str, *more: str, repeats: int = 2, concurrency: int = 8) -> list[str]:
    """`--set`s of a run whose policy and expert are behind `server`: 2 × 2 × 2 × `repeats` episodes."""
    url = server if isinstance(server, str) else server.url
    return settings(
        f'models.policy="openai:mock@{url}"',
        f'models.expert="openai:mock@{url}"',
        "rounds=[]",
        "world.train={}",
        "world.test={price=2}",
        f"evaluation.repeats={repeats}",
        f"runtime.concurrency={concurrency}",
        *more,
    )


def run(out: Path, options: Sequence[str], *more: str) -> int:
    return main(["run", "--quiet", "--out", str(out), *options, *more])


def failed(out: Path) -> int:
    return stored(out, "select count(*) from episodes where failure is not null")


def spending(out: Path) -> dict[str, dict[str, float]]:
    return dict(json.loads((out / "report.json").read_text(encoding="utf-8"))["run"]["spending"])


def test_costs_are_stored_per_turn_and_summed_in_the_report(tmp_path: Path) -> None:
    prices = tmp_path / "prices.toml"
    prices.write_text(PRICES, encoding="utf-8")
    with serving() as server:
        options = light(server, f'endpoint.prices="{prices}"')
        assert run(tmp_path / "run", options) == 0
        calls = server.served.calls
    spent = spending(tmp_path / "run")["mock"]
    sums = "select sum({}) from turns".format
    with closing(sqlite3.connect(tmp_path / "run" / "run.db")) as connection:
        cost, prompt, cached = connection.execute(
            "select sum(cost), sum(prompt_tokens), sum(cached_tokens) from turns"
        ).fetchone()
        assert connection.execute(sums("cost is null")).fetchone()[0] == 0
    assert spent["calls"] == calls and spent["unpriced"] == 0
    assert (spent["prompt"], spent["cached"]) == (prompt, cached) and cached > 0
    assert spent["cost"] == pytest.approx(cost) and cost > 0


def test_a_cost_that_is_not_known_is_no_zero(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    with serving() as server:
        assert main(["run", "--out", str(tmp_path / "run"), *light(server)]) == 0
    assert "no price is known for mock" in capsys.readouterr().out
    query = "select count(*) from turns where cost is null"
    assert stored(tmp_path / "run", query) == spending(tmp_path / "run")["mock"]["calls"]
    assert stored(tmp_path / "run", "select sum(cost) from turns") == 0  # the scripted partner's


def test_every_planned_episode_completes_though_a_fifth_of_the_calls_fail(tmp_path: Path) -> None:
    with serving(fail=0.2, slow=0.01, retry_after=0.01) as server:
        assert run(tmp_path / "run", light(server, repeats=4)) == 0
        outcomes = server.served.outcomes
    assert stored(tmp_path / "run") == 32 and failed(tmp_path / "run") == 0
    assert sum(outcomes.values()) - outcomes["ok"] >= 10


def test_a_dead_endpoint_stops_the_run_with_one_message_and_it_resumes(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    with serving() as server:
        whole = light(server)
        assert run(tmp_path / "whole", whole) == 0
    out = tmp_path / "run"
    capsys.readouterr()
    assert run(out, whole) == EXIT_SERVICE
    said = capsys.readouterr().err.splitlines()
    assert len([line for line in said if line.startswith("sotopia-pi: ")]) == 1
    assert "cannot be reached" in said[-1] and "run the same command again to continue" in said[-1]
    assert stored(out) == 0
    with serving(server._port):
        assert run(out, whole) == 0
    assert keys(out) == keys(tmp_path / "whole") and failed(out) == 0


def keys(out: Path) -> list[str]:
    with closing(sqlite3.connect(out / "run.db")) as connection:
        return [row[0] for row in connection.execute("select key from episodes order by key")]


def test_an_endpoint_that_dies_half_way_loses_nothing(tmp_path: Path) -> None:
    out = tmp_path / "run"
    with serving(latency=0.002) as server:
        options = light(server, "endpoint.attempts=2", "endpoint.timeout=5", repeats=8, concurrency=4)
        process = start("run", "--quiet", "--out", str(out), *options)
        wait_until(lambda: stored(out) >= 10, process)
    _, errors = process.communicate(timeout=60)
    assert process.returncode == EXIT_SERVICE, errors
    kept = stored(out)
    assert 10 <= kept < 64 and failed(out) == 0
    with serving(server._port) as server:
        assert run(out, options) == 0
    assert stored(out) == 64 and failed(out) == 0


def test_a_killed_run_plays_again_only_what_was_in_flight(tmp_path: Path) -> None:
    out, concurrency = tmp_path / "run", 16
    with serving(latency=0.002) as server:
        options = light(server, repeats=25, concurrency=concurrency)
        process = start("run", "--quiet", "--out", str(out), *options)
        wait_until(lambda: stored(out) >= 60, process)
        process.send_signal(signal.SIGKILL)
        process.communicate()
        kept, before = keys(out), server.served.calls
        assert run(out, options) == 0
        again = server.served.calls - before
    assert stored(out) == 200 and set(kept) <= set(keys(out)) and failed(out) == 0
    needed = stored(out, "select count(*) from turns where prompt_tokens > 0")
    assert before + again - needed <= concurrency * 20  # what was paid twice was in flight
    assert spending(out)["mock"]["calls"] <= before + again


def test_a_budget_is_not_exceeded_and_a_higher_one_continues(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    prices, out = tmp_path / "prices.toml", tmp_path / "run"
    prices.write_text(PRICES, encoding="utf-8")
    with serving() as server:
        options = light(server, f'endpoint.prices="{prices}"')
        assert run(tmp_path / "whole", options) == 0
        price = spending(tmp_path / "whole")["mock"]["cost"]
        assert run(out, options, "--budget", str(price / 2)) == EXIT_BUDGET
        assert "Give a higher --budget to go on." in capsys.readouterr().err
        assert 0 < stored(out) < 16 and failed(out) == 0
        spent = stored(out, "select 1000000 * sum(cost) from turns") / 1e6
        assert 0 < spent <= price / 2
        assert run(out, options, "--budget", str(price / 2)) == EXIT_BUDGET
        assert main(["evaluate", str(out), "--quiet", "--budget", str(price * 2)]) == 0
        assert run(out, options) == 0
    assert keys(out) == keys(tmp_path / "whole")
    assert spending(out)["mock"]["cost"] <= 1.5 * price


def test_a_budget_needs_a_price(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    with serving() as server:
        assert run(tmp_path / "run", light(server), "--budget", "1") == 2
    assert "No price is known for 'mock'" in capsys.readouterr().err
    with pytest.raises(SystemExit):
        run(tmp_path / "run", [], "--budget", "-1")


def test_keys_are_nowhere_but_in_the_environment(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """A run that works, one that is refused with its key echoed, and a key that was put into the wrong places."""
    monkeypatch.setenv("OPENAI_API_KEY", SECRET)
    with serving(key=SECRET, fail=0.2, slow=0.01, retry_after=0.01) as server:
        assert main(["run", "--out", str(tmp_path / "works"), *light(server)]) == 0
        assert server.bodies and SECRET not in json.dumps(server.bodies)
    with serving(key="another") as server:
        assert main(["run", "--out", str(tmp_path / "refused"), *light(server)]) == EXIT_SERVICE
    for place in (
        f'models.policy="openai:mock@http://user:{SECRET}@127.0.0.1:1/v1"',
        f'models.policy="openai:mock@http://127.0.0.1:1/v1?key={SECRET}"',
        f'endpoint.key="{SECRET}"',
        f'endpoint.api_key="{SECRET}"',
        f'endpoint.hosts={{"127.0.0.1"={{key="{SECRET}"}}}}',
    ):
        assert main(["run", "--out", str(tmp_path / "misplaced"), *light(server), *settings(place)]) == 2
    printed = capsys.readouterr()
    texts = {"stdout": printed.out.encode(), "stderr": printed.err.encode()}
    texts |= {str(path): path.read_bytes() for path in tmp_path.rglob("*") if path.is_file()}
    assert any(name.endswith("run.db") for name in texts) and any(name.endswith("report.json") for name in texts)
    for form in (SECRET, SECRET[3:20]):
        assert [name for name, text in texts.items() if form.encode() in text] == []


def test_a_key_that_comes_back_in_any_form_is_stored_nowhere(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """One form a call: in a valid action, in a reply that is none, and in a refusal."""
    monkeypatch.setenv("OPENAI_API_KEY", SECRET)
    said = spelled(SECRET)
    actions = [completion(f'{{"action_type": "speak", "argument": "It is {form}."}}') for form in said]
    answers = [answer for form, action in zip(said, actions, strict=True) for answer in (action, completion(form))]
    refused = [(400, {"error": {"message": f"wrong key {form}", "code": form}}) for form in said]
    out = tmp_path / "run"
    with scripted(*answers, *refused, None) as server:
        assert run(out, light(server, "endpoint.attempts=2")) == 0
    assert stored(out, "select count(*) from turns where argument = 'It is ***.'") >= 4
    printed = capsys.readouterr()
    texts = {"stdout": printed.out, "stderr": printed.err}
    texts |= {str(path): path.read_bytes().decode("latin-1") for path in out.rglob("*") if path.is_file()}
    for form in (*said, SECRET):
        assert [name for name, text in texts.items() if form in text or form in html.unescape(text)] == []


def test_the_report_says_what_was_not_sent(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], caplog: pytest.LogCaptureFixture
) -> None:
    out = tmp_path / "run"
    with serving(unsupported=("temperature",), structured="object") as server:
        assert main(["run", "--out", str(out), *light(server, repeats=1)]) == 0
    calls = spending(out)["mock"]["calls"]
    told = [f"json_schema in {calls} of {calls} calls", f"temperature in {calls} of {calls} calls"]
    report = json.loads((out / "report.json").read_text(encoding="utf-8"))
    assert report["run"]["not_sent"] == {"mock": told}
    assert ", ".join(told) in (out / "report.html").read_text(encoding="utf-8")
    assert f"not sent   mock: {', '.join(told)}" in capsys.readouterr().out
    assert caplog.text.count("it was answered without json_schema, temperature") == 1


def test_a_strangers_config_cannot_send_any_variable(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", SECRET)
    with serving() as server:
        assert run(tmp_path / "run", light(server, 'endpoint.key="AWS_SECRET_ACCESS_KEY"')) == 2
        assert server.served.calls == 0
        assert 'export SOTOPIA_PI_KEY_127_0_0_1="$AWS_SECRET_ACCESS_KEY"' in capsys.readouterr().err
    monkeypatch.setenv("SOTOPIA_PI_KEY_127_0_0_1", SECRET)
    with serving(key=SECRET) as server:
        options = light(server, 'endpoint.key="AWS_SECRET_ACCESS_KEY"', repeats=1)
        assert run(tmp_path / "meant", options) == 0


@pytest.mark.parametrize(("layout", "roles"), [("chat", "system user assistant user"), ("turn", "system user")])
def test_a_layout_decides_what_the_server_is_sent(tmp_path: Path, layout: str, roles: str) -> None:
    with serving() as server:
        assert run(tmp_path / "run", light(server, f'sampling.layout="{layout}"', "max_turns=4", repeats=1)) == 0
        longest = max((body["messages"] for body in server.bodies or ()), key=len)
    assert " ".join(message["role"] for message in longest) == roles
