"""Limits, waits, specs, prices and the ledger: rules that hold for all inputs, and time that nobody waits for."""

from __future__ import annotations

import asyncio
from datetime import UTC, datetime
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from serving import Clock

from sotopia_pi.errors import BudgetError, ConfigError
from sotopia_pi.models.remote.keys import api_key, may_be_sent
from sotopia_pi.models.remote.ledger import Ledger
from sotopia_pi.models.remote.limits import Pace, Window
from sotopia_pi.models.remote.prices import Price, load_prices, price_of
from sotopia_pi.models.remote.retries import Backoff, retry_after
from sotopia_pi.models.remote.spec import key_variable, parse_spec


@given(st.integers(1, 300), st.lists(st.floats(0, 30), min_size=1, max_size=60))
def test_a_pace_is_never_exceeded_in_any_minute(per_minute: int, gaps: list[float]) -> None:
    clock = Clock()
    pace = Pace(per_minute, clock)
    begun = []
    for gap in gaps * 3:
        clock.now += gap
        begun.append(clock.now + pace.take())
    for start in begun:
        assert sum(start <= time < start + 59.999 for time in begun) <= per_minute


def test_a_pace_takes_corrections_and_none_is_no_limit() -> None:
    clock = Clock()
    pace = Pace(60, clock)
    assert pace.take(30) == 0
    assert pace.take() == 30
    pace.settle(30, 10)
    assert pace.take() == pytest.approx(11)
    assert [Pace(0, clock).take(10**9) for _ in range(3)] == [0, 0, 0]


def test_a_window_shrinks_once_for_a_crowd_of_refusals_and_grows_again() -> None:
    async def story() -> list[int]:
        window = Window(64)
        for _ in range(64):
            await window.enter()
        sizes = []
        for _ in range(64):
            window.leave()
            window.refused()
        sizes.append(window.size)
        for _ in range(200):
            window.succeeded()
        sizes.append(window.size)
        for _ in range(5000):
            window.succeeded()
        return [*sizes, window.size]

    crowd, later, last = asyncio.run(story())
    assert 16 <= crowd < 64 and crowd < later <= 64 and last == 64


def test_rare_refusals_do_not_shrink_a_window() -> None:
    window = Window(64)
    for number in range(1000):
        window.refused() if number % 20 == 0 else window.succeeded()
    assert window.size == 64


def test_a_window_lets_in_as_many_as_it_has_places_in_order_even_when_some_leave_the_queue() -> None:
    async def story() -> list[int]:
        window, done = Window(2), []

        async def visit(number: int) -> None:
            await window.enter()
            await asyncio.sleep(0)
            done.append(number)
            window.leave()

        visits = [asyncio.ensure_future(visit(number)) for number in range(6)]
        await asyncio.sleep(0)
        visits[3].cancel()
        await asyncio.gather(*visits, return_exceptions=True)
        return done

    assert asyncio.run(story()) == [0, 1, 2, 4, 5]


NOW = datetime(2026, 1, 1, 12, 0, 0, tzinfo=UTC)


@pytest.mark.parametrize(
    ("value", "seconds"),
    [
        (None, None), ("7", 7.0), (" 0.5 ", 0.5), ("-3", 0.0), ("Thu, 01 Jan 2026 12:00:30 GMT", 30.0),
        ("Thu, 01 Jan 2026 11:00:00 GMT", 0.0), ("soon", None), ("", None), ("inf", None), ("nan", None),
        ("Mon, 01 Jan 99999999999999999999 00:00:00 GMT", None), ("1e308", None), ("9" * 5000, None), ("\u00b2", None),
        ("Mon, 01 Jan 2024 00:00:00 +99999999999999999", None), ("Mon, 31 Feb 2024 00:00:00 GMT", None),
        ("Fri, 31 Dec 9999 23:59:59 GMT", None), ("Mon, 01 Jan 2024 00:00:00 -9999", None), ("31536000", 31536000.0),
    ],
)  # fmt: skip
def test_retry_after(value: str | None, seconds: float | None) -> None:
    assert retry_after(value, NOW) == seconds


@given(st.text(max_size=40) | st.from_regex(r"\w{3}, \d{1,30} \w{3} \d{1,30} \d\d:\d\d:\d\d [-+]?\w{1,30}"))
def test_any_header_is_a_wait_or_nothing(value: str) -> None:
    seconds = retry_after(value, NOW)
    assert seconds is None or 0 <= seconds <= 366 * 86_400


@given(st.integers(1, 2000), st.none() | st.floats(0, 1e6))
def test_waits_stay_within_their_ceiling_and_never_undercut_the_server(failures: int, asked: float | None) -> None:
    wait = Backoff(0.5, 30).wait(failures, asked)
    low, high = (0, min(30, 0.5 * 2 ** min(failures - 1, 30))) if asked is None else (asked, asked + 0.5)
    assert low <= wait <= high


@pytest.mark.parametrize(
    ("spec", "model", "urls"),
    [
        ("openai:gpt-4o", "gpt-4o", ["https://api.openai.com/v1"]),
        ("openai:org/m:free@http://h:8000", "org/m:free", ["http://h:8000/v1"]),
        ("openai:@cf/meta/m@https://h/x/v1/", "@cf/meta/m", ["https://h/x/v1"]),
        ("openai:m@http://a/v1/chat/completions, http://b:1/v1,http://b:1/v1", "m", ["http://a/v1", "http://b:1/v1"]),
        ("openai:m@http://[::1]:8000/v1", "m", ["http://[::1]:8000/v1"]),
        ("openai:m@http://H_1.example:1/v1", "m", ["http://h_1.example:1/v1"]),
        ("openai:m@http://m\u00fcnchen.example", "m", ["http://xn--mnchen-3ya.example/v1"]),
        ("openai:m@https://x.openai.azure.com/openai/v1", "m", ["https://x.openai.azure.com/openai/v1"]),
    ],
)
def test_specs(spec: str, model: str, urls: list[str]) -> None:
    parsed = parse_spec(spec)
    assert (parsed.model, list(parsed.urls)) == (model, urls)


@pytest.mark.parametrize(
    "spec",
    [
        "openai:", "openai:m@localhost:8000", "openai:m@ftp://h", "openai:m@https://", "openai:m@http://h:99999",
        "openai:m@http://user:hunter2@h/v1", "openai:m@http://hunter2@h/v1", "openai:m@http://h/v1?key=hunter2",
        "openai:m@http://h/v1#hunter2", "openai:m@http://h:0/v1", "openai:m@http://h:/v1", "openai:m@http://h:hunter2",
        "openai:m@http://h:-1/v1", "openai:m@http://a b/v1", "openai:m@http://../v1", f"openai:m@http://{'a' * 64}.com",
        "openai:m@https://x.openai.azure.com/openai/deployments/m?api-version=hunter2", "openai:m@http://h\0/v1",
    ],
)  # fmt: skip
def test_specs_that_are_refused_without_repeating_secrets(spec: str) -> None:
    with pytest.raises(ConfigError) as error:
        parse_spec(spec)
    assert "hunter2" not in str(error.value) and str(error.value).endswith(".")


@pytest.mark.parametrize(
    ("url", "advice"),
    [
        (
            "https://x.openai.azure.com/openai/deployments/m?api-version=1",
            "https://x.openai.azure.com/openai/v1, or use",
        ),
        ("https://x.openai.azure.com/openai/deployments/m", "litellm:azure/DEPLOYMENT"),
        ("https://gateway.example/v1?api-version=2024-10-21", "without api-version"),
        ("http://h:99999/v1", "a number from 1 to 65535"),
        ("http://h:port/v1", "a number from 1 to 65535"),
        ("https://h/v1?key=hunter2", "SOTOPIA_PI_KEY_H"),
        ("https://ada:hunter2@h/v1", "user name or a password"),
    ],
)
def test_a_url_that_is_refused_is_told_what_to_write(url: str, advice: str) -> None:
    with pytest.raises(ConfigError, match=advice):
        parse_spec(f"openai:m@{url}")


@given(st.text(max_size=60))
def test_any_text_is_a_spec_or_a_config_error(text: str) -> None:
    try:
        parsed = parse_spec(f"openai:{text}")
    except ConfigError:
        return
    assert parsed.model and parsed.urls


def test_openais_key_goes_to_openai_and_this_machine_only() -> None:
    keys = {"OPENAI_API_KEY": "sk-1", "SOTOPIA_PI_KEY_API_EXAMPLE_COM": "sk-2", "OTHER_KEY": "sk-3", "MY_KEY": "a b"}
    assert api_key("https://api.openai.com/v1", None, keys) == "sk-1"
    assert api_key("http://127.0.0.1:8000/v1", None, keys) == api_key("http://[::1]/v1", None, keys) == "sk-1"
    for stranger in ("api.openai.com.evil.example", "other.example", "127.0.0.1.evil.example", "127.evil.example"):
        assert api_key(f"https://{stranger}/v1", None, keys) is None
    assert api_key("https://api.example.com/v1", None, keys) == "sk-2"
    assert api_key("https://api-example.com/v1", None, keys) is None
    assert api_key("https://other.example/v1", "OTHER_KEY", keys) == "sk-3"
    assert api_key("https://api.example.com/v1", "AWS_SECRET_ACCESS_KEY", keys) == "sk-2"  # the host's own comes first
    assert key_variable("https://api.example.com:8443/v1") == "SOTOPIA_PI_KEY_API_EXAMPLE_COM"
    with pytest.raises(ConfigError, match="MY_KEY holds something that is not a key"):
        api_key("https://other.example/v1", "MY_KEY", keys)


@pytest.mark.parametrize(
    ("name", "url"),
    [
        ("EXAMPLE_KEY", "https://api.example.com/v1"),
        ("MY_KEY", "https://anything.example/v1"),
        ("JUDGE_API_TOKEN", "https://anything.example/v1"),
        ("LAB_KEY", "http://127.0.0.1:8000/v1"),
        ("OPENAI_API_KEY", "https://api.openai.com/v1"),
        ("OPENAI_API_KEY", "http://localhost:8000/v1"),
        ("OPENAI_API_KEY_2", "https://eu.api.openai.com/v1"),
        ("AZURE_OPENAI_API_KEY", "https://x.openai.azure.com/openai/v1"),
        ("HF_TOKEN", "https://router.huggingface.co/v1"),
        ("GITHUB_TOKEN", "https://models.github.ai/inference"),
        ("AWS_BEARER_TOKEN_BEDROCK", "https://bedrock-runtime.us-west-2.amazonaws.com/openai/v1"),
        ("GROQ_API_KEY", "https://api.groq.com/openai/v1"),
        ("XAI_API_KEY", "https://api.x.ai/v1"),
        ("SOTOPIA_PI_KEY_API_EXAMPLE_COM", "https://api.example.com/v1"),
    ],
)
def test_a_config_may_name_the_key_of_its_host(name: str, url: str) -> None:
    assert may_be_sent(name, url)
    assert api_key(url, name, {name: "sk-1"}) == "sk-1"


@pytest.mark.parametrize(
    "name",
    [
        "AWS_SECRET_ACCESS_KEY", "AWS_SESSION_TOKEN", "GITHUB_TOKEN", "GH_TOKEN", "HF_TOKEN", "ANTHROPIC_API_KEY",
        "SLACK_BOT_TOKEN", "STRIPE_API_KEY", "NPM_TOKEN", "DATABASE_URL", "HOME", "PATH", "PGPASSWORD", "SECRET_KEY",
        "SSH_PRIVATE_KEY", "SOTOPIA_PI_SERVE_KEY", "SOTOPIA_PI_KEY_API_OPENAI_COM", "KEYRING", "MONKEY", "AWS_KEY",
        "GOOGLE_APPLICATION_CREDENTIALS", "CI_JOB_TOKEN",
    ],
)  # fmt: skip
def test_a_config_cannot_send_other_variables_to_its_host(name: str) -> None:
    for host in ("https://stranger.example", "http://127.0.0.1:8000", "https://amazonaws.com.stranger.example"):
        with pytest.raises(ConfigError, match=rf'If it is: export SOTOPIA_PI_KEY_\w+="\${name}"'):
            api_key(f"{host}/v1", name, {name: "sk-1"})


@pytest.mark.parametrize("name", ["OPENAI_API_KEY", "ACME_INTERNAL_TOKEN", "LAB_KEY", "MY_OPENAI_KEY", "PAYROLL_KEY"])
def test_a_key_of_somebody_else_does_not_go_to_another_machine(name: str) -> None:
    assert not may_be_sent(name, "https://stranger.example/v1")


def test_prices(tmp_path: Path) -> None:
    own = tmp_path / "prices.toml"
    own.write_text('["my-model"]\ninput = 1\noutput = 2\n["gpt-4o"]\ninput = 9\noutput = 9\n', encoding="utf-8")
    table = load_prices(own)
    assert price_of("my-model", table) == price_of("hosted/my-model-2026-01-31", table) == Price(1, 2)
    assert price_of("gpt-4o-2024-08-06", table) == Price(9, 9)
    assert price_of("gpt-4o-mini", table) == load_prices()["gpt-4o-mini"]
    assert price_of("gpt-4o-audio", table) is None
    assert Price(2.0, 10.0, 1.0).cost(1_000_000, 500_000, 100_000) == pytest.approx(2.5)
    for text in ("x =", '["m"]\ninput = 1', '["m"]\ninput = -1\noutput = 1', "m = 3", '["m"]\ninput = "1"\noutput = 1'):
        own.write_text(text, encoding="utf-8")
        with pytest.raises(ConfigError, match=r"prices.toml"):
            load_prices(own)


@given(st.lists(st.tuples(st.floats(0.01, 2), st.floats(0, 1)), max_size=40), st.floats(0.5, 10))
def test_a_budget_is_never_exceeded(calls: list[tuple[float, float]], budget: float) -> None:
    """Each call costs a part of the most it can cost; many are under way at once."""
    ledger = Ledger(budget)
    refused = []

    async def call(most: float, part: float) -> None:
        try:
            reserved = await ledger.reserve(most)
        except BudgetError:
            refused.append(most)
            return
        await asyncio.sleep(0)
        ledger.settle(reserved, "m", (1, 0, 1), most * part)
        assert ledger.total <= budget + 1e-9

    async def all_at_once() -> None:
        await asyncio.gather(*(call(*item) for item in calls))

    asyncio.run(all_at_once())
    assert ledger.total <= budget + 1e-9
    assert all(ledger.total + most > budget for most in refused)


def test_a_budget_is_refused_though_the_sum_of_what_was_reserved_leaves_a_residue() -> None:
    """0.1 + 0.2 - 0.1 - 0.2 is more than 0; a call that waits for that to be given back would wait for ever."""
    ledger = Ledger(0.35)

    async def three() -> None:
        first, second = await ledger.reserve(0.1), await ledger.reserve(0.2)
        third = asyncio.ensure_future(ledger.reserve(0.3))
        await asyncio.sleep(0)
        ledger.settle(first, "m", (1, 0, 1), 0.1)
        ledger.settle(second, "m", (1, 0, 1), 0.2)
        await asyncio.wait_for(third, 30)

    with pytest.raises(BudgetError):
        asyncio.run(three())


def test_a_ledger_goes_on_where_it_was_and_says_what_it_does_not_know() -> None:
    async def spend(ledger: Ledger, cost: float | None) -> None:
        ledger.settle(await ledger.reserve(0.5), "m", (10, 5, 2), cost)

    ledger = Ledger(2.0)
    asyncio.run(spend(ledger, 0.25))
    asyncio.run(spend(ledger, None))  # counts with what was reserved
    again = Ledger(2.0, ledger.facts())
    assert again.total == pytest.approx(0.75)
    assert "2 calls; no price is known for m" in str(again)
    with pytest.raises(BudgetError, match=r"budget of \$0.70"):
        asyncio.run(spend(Ledger(0.7, ledger.facts()), 0.1))
