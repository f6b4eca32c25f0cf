"""The client against a server that behaves and misbehaves: retries, limits, formats, several servers, errors."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest
from serving import HELLO, SAMPLING, Clock, ask, client, serving

from sotopia_pi.episodes.records import action_schema, parse_action
from sotopia_pi.errors import ModelError, ServiceError
from sotopia_pi.models.mockserver import MockServer
from sotopia_pi.models.protocol import Completion, Message
from sotopia_pi.models.remote.client import RemoteModel
from sotopia_pi.models.remote.ledger import Ledger
from sotopia_pi.models.remote.prices import Price


def ask_many(model: RemoteModel, count: int) -> list[Completion]:
    async def many() -> list[Completion]:
        calls = (model.complete(HELLO, SAMPLING, i, f"c{i}", schema=action_schema()) for i in range(count))
        return await asyncio.gather(*calls)

    return asyncio.run(many())


def test_a_reply_with_its_tokens_and_cost() -> None:
    with serving() as server:
        model = client(server, price=Price(input=2.0, output=10.0, cached=1.0))
        first = ask(model)
        again = ask(
            model, [*HELLO, Message(role="assistant", content=first.text), Message(role="user", content="Go on.")]
        )
    assert parse_action(first.text)
    assert first.cached_tokens == 0 and again.cached_tokens == first.prompt_tokens
    new = again.prompt_tokens - again.cached_tokens
    assert again.cost == pytest.approx((2 * new + again.cached_tokens + 10 * again.completion_tokens) / 1e6)
    assert server.bodies is not None
    body = server.bodies[0]
    assert (body["model"], body["temperature"], body["top_p"], body["max_tokens"]) == ("mock", 0.7, 0.9, 50)
    assert body["messages"] == HELLO and 0 <= body["seed"] < 2**31
    assert body["response_format"]["json_schema"]["schema"] == action_schema().schema


def test_without_a_price_the_cost_is_not_known() -> None:
    with serving() as server:
        assert ask(client(server)).cost is None


def test_one_client_works_in_one_event_loop_after_another() -> None:
    with serving() as server:
        model = client(server)
        assert ask(model).text == ask(model).text


@pytest.mark.parametrize("fault", ["429", "429-after", "500", "drop", "slow", "truncated", "huge", "broken"])
def test_what_may_pass_is_tried_again(fault: str) -> None:
    with serving(fail=0.5, faults=(fault,), retry_after=0.0, slow=0.01) as server:
        replies = ask_many(client(server, attempts=40), 30)
    assert all(parse_action(reply.text) for reply in replies)
    assert server.served.outcomes[fault] > 5
    assert server.served.outcomes["ok"] + server.served.outcomes["slow"] == 30


@pytest.mark.parametrize(("fault", "text"), [("refusal", "I cannot help"), ("empty", ""), ("schema", "shout")])
def test_what_a_model_says_is_a_reply(fault: str, text: str) -> None:
    with serving(fail=1.0, faults=(fault,)) as server:
        assert text in ask(client(server)).text
    assert server.served.calls == 1


def test_a_reply_that_never_ends_in_time_is_given_up() -> None:
    with serving(latency=30.0) as server, pytest.raises(ServiceError, match=r"did not answer within 0.05 seconds"):
        ask(client(server, timeout=0.05, attempts=2))


def test_retry_after_is_honoured() -> None:
    clock = Clock()
    with serving(fail=0.6, faults=("429-after",), retry_after=7.0, seed=5) as server:
        model = client(server, clock=clock)
        for _ in range(10):
            ask(model)
    waits = [wait for wait in clock.slept if wait >= 7.0]
    assert waits and all(wait < 8.0 for wait in waits)  # a date that is now asks for no wait, 7 seconds for 7


def test_a_server_that_wants_to_be_left_alone_for_long_stops_the_run() -> None:
    with (
        serving(fail=1.0, faults=("429-after",), retry_after=4000.0) as server,
        pytest.raises(ServiceError, match="left alone for 4000 seconds"),
    ):
        ask(client(server, clock=Clock()))


def test_a_server_that_is_not_there_stops_the_run_soon() -> None:
    with serving() as server:
        url = server.url
    model = client(url, clock=Clock())
    with pytest.raises(ServiceError, match=r"cannot be reached .*; check that the server is running at http"):
        ask(model)


def test_a_server_that_dies_stops_the_run_after_every_attempt() -> None:
    with serving() as server:
        model = client(server, clock=Clock(), attempts=6)
        ask(model)
    with pytest.raises(ServiceError, match=r"gives no answer: .*cannot be reached.*6 attempts"):
        ask(model)


def test_one_call_that_keeps_failing_while_others_are_answered_is_given_up_alone() -> None:
    async def both(model: RemoteModel) -> list[Any]:
        hopeless = [Message(role="user", content="fail")]
        calls = [model.complete(HELLO, SAMPLING, i) for i in range(20)]
        return await asyncio.gather(model.complete(hopeless, SAMPLING, 0), *calls, return_exceptions=True)

    with serving() as server:
        plain = server._answer

        def answer(body: dict[str, Any], cached: tuple[int, int]) -> Any:
            from sotopia_pi.models.mockserver import _error

            return _error(503, "no") if body["messages"][0]["content"] == "fail" else plain(body, cached)

        server._answer = answer  # type: ignore[method-assign]
        failed, *others = asyncio.run(both(client(server, attempts=3)))
    assert isinstance(failed, ModelError) and "given up after 3 attempts" in str(failed)
    assert all(isinstance(other, Completion) for other in others)


@pytest.mark.parametrize(
    ("structured", "formats"),
    [
        ("schema", ["json_schema"]),
        ("object", ["json_schema", "json_object"]),
        ("none", ["json_schema", "json_object", None]),
    ],
)
def test_the_format_a_server_has_is_found_out_in_two_calls(structured: str, formats: list[str | None]) -> None:
    with serving(structured=structured) as server:
        model = client(server)
        for _ in range(3):
            assert parse_action(ask(model).text)
        assert server.bodies is not None
        asked = [(body.get("response_format") or {}).get("type") for body in server.bodies]
    assert asked == [*formats, *formats, formats[-1]]


def test_parameters_that_a_model_refuses_are_left_out_or_renamed() -> None:
    with serving(unsupported=("temperature", "max_tokens", "seed")) as server:
        ledger = Ledger()
        model = client(server, ledger=ledger)
        for _ in range(4):
            ask(model)
        assert server.bodies is not None
        last = server.bodies[-1]
    assert not {"temperature", "max_tokens", "seed"} & set(last)
    assert last["max_completion_tokens"] == 50 and last["top_p"] == 0.9
    assert len(server.bodies) == 4 + 4 + 1 + 1
    assert ledger.not_sent() == {"mock": ["seed in 4 of 4 calls", "temperature in 4 of 4 calls"]}


def test_a_refused_call_fails_alone_and_a_server_that_refuses_all_stops_the_run() -> None:
    with serving(unsupported=("model",)) as server:
        model = client(server)
        for _ in range(2):
            with pytest.raises(ModelError, match="refused a call: Unsupported parameter: 'model'"):
                ask(model, schema=None)
        with pytest.raises(ServiceError, match="refuses every call for 'mock'"):
            ask(model, schema=None)


def test_a_wrong_key_and_a_wrong_model_stop_the_run_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("OPENAI_API_KEY", raising=False)
    with serving(key="secret-of-the-server") as server:
        with pytest.raises(
            ServiceError, match="wants a key; put it into the environment variable SOTOPIA_PI_KEY_127_0_0_1"
        ):
            ask(client(server))
        monkeypatch.setenv("OPENAI_API_KEY", "another-secret")
        with pytest.raises(ServiceError, match="refuses the key in the environment variable") as error:
            ask(client(server))
        assert "another-secret" not in repr(error.value) and "another-secret" not in str(error.value.__cause__)
        monkeypatch.setenv("MY_KEY", "secret-of-the-server")
        assert ask(client(server, key="MY_KEY")).text
        assert ask(client(server, hosts={"127.0.0.1": {"key": "MY_KEY"}})).text
    assert server.served.calls == 4
    with serving(model="big") as server, pytest.raises(ServiceError, match="has no model 'small'"):
        ask(client(server, model="small"))


def test_several_servers_share_the_load_and_a_conversation_stays_with_one() -> None:
    async def talk(model: RemoteModel) -> None:
        async def conversation(number: int) -> None:
            for turn in range(4):
                await model.complete([Message(role="user", content=f"{number} {turn}")], SAMPLING, 0, f"c{number}")
            await model.release(f"c{number}")

        await asyncio.gather(*(conversation(number) for number in range(30)))

    with serving(latency=0.005) as one, serving(latency=0.005) as two, serving(latency=0.005) as three:
        asyncio.run(talk(client(one, two, three)))
        servers = (one, two, three)
        heard = [{body["messages"][0]["content"].split()[0] for body in server.bodies or []} for server in servers]
    assert [server.served.calls for server in servers] == [40, 40, 40]
    assert not heard[0] & heard[1] and not heard[1] & heard[2] and not heard[0] & heard[2]


def test_a_dead_server_among_several_is_dropped_and_found_again() -> None:
    clock = Clock()
    with serving() as alive, serving() as dying:
        model = client(alive, dying, clock=clock)
        ask_many(model, 20)
        port, before = dying._port, alive.served.calls
        assert 0 < before < 20
    with serving(port) as alive_again_elsewhere:  # one URL is dead now, the other one lives
        assert alive_again_elsewhere.url == dying.url
    with serving(alive._port) as alive:
        for number in range(40):
            asyncio.run(model.complete(HELLO, SAMPLING, 0, f"d{number}"))
        assert alive.served.calls == 40
        with serving(port) as back:
            clock.now += 100.0
            ask_many(model, 20)
            assert back.served.calls > 0


def test_no_more_calls_at_once_than_allowed() -> None:
    with serving(latency=0.002) as server:
        assert len(ask_many(client(server, concurrency=3), 30)) == 30
    assert server.served.most_at_once == 3


def test_requests_and_tokens_per_minute_are_kept() -> None:
    for settings in ({"requests_per_minute": 60}, {"tokens_per_minute": 60 * 180}):
        clock = Clock()
        with serving() as server:
            model = client(server, clock=clock, **settings)  # type: ignore[arg-type]
            for _ in range(20):
                ask(model)
        assert clock.now - 1000.0 >= (19 if "requests_per_minute" in settings else 3)
        assert server.served.calls == 20


def test_a_server_that_redirects_is_not_followed() -> None:
    with serving() as server:

        async def elsewhere(request: Any) -> Any:
            from aiohttp import web

            return web.Response(status=307, headers={"Location": "http://127.0.0.1:1/v1/chat/completions"})

        server._chat = elsewhere  # type: ignore[method-assign]
        with pytest.raises(ServiceError, match="leads elsewhere"):
            ask(client(server))


def test_a_reply_larger_than_allowed_is_not_read_to_its_end() -> None:
    with serving(fail=1.0, faults=("huge",)) as server, pytest.raises(ServiceError, match="more than 2000 bytes"):
        ask(client(server, reply_bytes=2000, attempts=2))


def test_mock_counts_the_prefix_of_the_same_conversation(monkeypatch: pytest.MonkeyPatch) -> None:
    server = MockServer()
    chat = [{"role": "system", "content": "x" * 100}, {"role": "user", "content": "a"}]
    assert server.prefixes.count(chat) == (101, 0)
    assert server.prefixes.count([*chat, {"role": "user", "content": "bb"}]) == (103, 101)
    assert server.prefixes.count([{"role": "system", "content": "y" * 100}]) == (100, 0)
    assert server.facts()["prompt_characters"] == 304 and server.facts()["new_characters"] == 203
