"""What servers send under status 200 and beside it: how a reply ended, failures, tokens that cannot be, their words."""

from __future__ import annotations

import asyncio
import json
import socket
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from types import SimpleNamespace
from typing import Any

import pytest
from serving import HELLO, SAMPLING, Clock, ask, client, completion, scripted, serving

from sotopia_pi.config import EndpointConfig
from sotopia_pi.errors import BudgetError, ConfigError, ServiceError
from sotopia_pi.models.mockserver import USAGES
from sotopia_pi.models.remote.client import RemoteModel
from sotopia_pi.models.remote.ledger import Ledger
from sotopia_pi.models.remote.prices import Price
from sotopia_pi.models.remote.spec import parse_litellm
from sotopia_pi.models.remote.through_litellm import LitellmTransport

PRICE = Price(input=100.0, output=100.0)


# How a reply ended


@pytest.mark.parametrize(
    ("reason", "finish"),
    [
        (None, "stop"), ("stop", "stop"), ("end_turn", "stop"), ("eos", "stop"), ("", "stop"), (5, "stop"),
        ("length", "length"), ("max_tokens", "length"), ("MAX_TOKENS", "length"), ("model_length", "length"),
        ("max_output_tokens", "length"), ("model_context_window_exceeded", "length"),
        ("content_filter", "filtered"), ("SAFETY", "filtered"), ("FinishReason.RECITATION", "filtered"),
        ("blocklist", "filtered"), ("refusal", "filtered"), ("sensitive", "filtered"), ("content-filter", "filtered"),
        ("tool_calls", "tools"), ("function_call", "tools"), ("tool_use", "tools"),
        ("MALFORMED_FUNCTION_CALL", "tools"),
    ],
)  # fmt: skip
def test_how_a_reply_ended(reason: Any, finish: str) -> None:
    with scripted(completion("Hello.", reason)) as server:
        reply = ask(client(server))
    assert (reply.text, reply.finish) == ("Hello.", finish)


@pytest.mark.parametrize(
    ("message", "text", "finish"),
    [
        ({"content": None, "reasoning_content": "I might leave."}, "", "length"),
        ({"content": None, "reasoning": "I might leave."}, "", "length"),
        ({"content": "Yes.", "reasoning_content": "No."}, "Yes.", "length"),
        ({"content": [{"type": "thinking", "thinking": "No."}, {"type": "text", "text": "Yes."}]}, "Yes.", "length"),
        ({"content": [{"type": "reasoning", "text": "No."}, "Yes", {"text": "."}, 5, None]}, "Yes.", "length"),
        ({"content": None, "tool_calls": [{"function": {"name": "say"}}]}, "", "tools"),
        ({"content": "", "function_call": {"name": "say"}}, "", "tools"),
        ({"content": None, "refusal": "I cannot."}, "I cannot.", "length"),
    ],
)
def test_thoughts_and_tools_are_no_text(message: dict[str, Any], text: str, finish: str) -> None:
    with scripted(completion(finish="length", **message)) as server:
        reply = ask(client(server))
    assert (reply.text, reply.finish) == (text, finish)


@pytest.mark.parametrize(("fault", "finish"), [("thinking", "length"), ("filtered", "filtered"), ("tools", "tools")])
def test_the_mock_server_ends_replies_so_too(fault: str, finish: str) -> None:
    with serving(fail=1.0, faults=(fault,)) as server:
        reply = ask(client(server))
    assert (reply.text, reply.finish) == ("", finish)


# Failures under status 200

BROKEN = completion(None, "error")
BROKEN["choices"][0]["error"] = {"code": 502, "message": "upstream broke"}


@pytest.mark.parametrize(
    ("body", "words"),
    [
        (BROKEN, "answered 502: upstream broke"),
        (completion("Half a", "network_error"), "answered 502: the reply ended with 'network_error'"),
        (completion(None, "insufficient_system_resource"), "answered 502: the reply ended with"),
        ({**completion("Whole."), "error": {"message": "overloaded", "code": 529}}, "answered 529: overloaded"),
        ({"error": "the backend is gone"}, "answered 502: the backend is gone"),
        ({"error": {"message": "slow down", "code": "rate_limit_exceeded"}}, "answered 429: slow down"),
        ({"error_code": 18, "error_msg": "Open api qps request limit reached"}, "answered 502: Open api qps request"),
        ({"choices": None, "base_resp": {"status_code": 1000, "status_msg": "unknown"}}, "answered 502: unknown"),
        (
            {"choices": [], "detail": [{"loc": ["body", "model"], "msg": "missing"}]},
            "answered 502: body.model: missing",
        ),
    ],
)
def test_a_failure_under_status_200_is_tried_again_as_its_status_would_be(body: Any, words: str) -> None:
    with scripted(body, body, None) as server:
        model = client(server, clock=Clock())
        assert ask(model).text
    assert len(server.bodies or ()) == 3
    with scripted(body) as server, pytest.raises(ServiceError) as error:
        ask(client(server, clock=Clock(), attempts=2, give_up=5))
    assert words in str(error.value)


@pytest.mark.parametrize(
    ("answer", "words"),
    [
        ({"error": {"message": "You exceeded your quota.", "code": "insufficient_quota"}}, "no money left .*exceeded"),
        ({"error": {"message": "Insufficient Balance", "code": 402}}, "no money left .*Insufficient Balance"),
        ({"base_resp": {"status_code": 1008, "status_msg": "insufficient balance"}}, "no money left .*balance"),
        ((429, {"error": {"code": "1113", "message": "Your account is in arrears"}}), "no money left .*arrears"),
        ({"error": {"code": 429, "message": "The free quota of today is used up."}}, "no more for now .*is used up"),
        ({"error": {"code": 401, "message": "No auth"}}, "wants a key"),
        ({"error": {"code": "model_not_found", "message": "no endpoints"}}, "has no model 'mock'.*no endpoints"),
    ],
)
def test_what_waiting_does_not_cure_stops_the_run_with_the_servers_words(
    answer: Any, words: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("OPENAI_API_KEY", raising=False)
    with scripted(answer) as server, pytest.raises(ServiceError, match=words):
        ask(client(server))
    assert len(server.bodies or ()) == 1


def test_an_error_that_says_that_there_is_none_is_none() -> None:
    for error in (None, {}, "", {"code": 0, "message": ""}, {"code": "200", "message": None}):
        with scripted({**completion("Hello."), "error": error}) as server:
            assert ask(client(server)).text == "Hello."


def test_a_moderated_call_is_a_filtered_reply() -> None:
    said = (
        403,
        {"error": {"code": 403, "message": "Your input was flagged", "metadata": {"flagged_input": "no money"}}},
    )
    with scripted(None, said) as server:
        model = client(server)
        ask(model)
        assert ask(model).finish == "filtered"


# Tokens


@pytest.mark.parametrize("usage", USAGES)
def test_tokens_that_cannot_be_count_as_not_reported(usage: str) -> None:
    ledger = Ledger()
    with serving(usage=usage) as server:
        reply = ask(client(server, ledger=ledger, price=PRICE))
    counted = usage in ("true", "floats")
    assert (reply.cost is not None) is counted and (reply.prompt_tokens > 0) is counted
    facts = ledger.facts()["mock"]
    assert (facts["calls"], facts["unpriced"], facts["uncounted"]) == (1, not counted, not counted)
    assert ("1 calls of mock came without a usable number of tokens" in str(ledger)) is not counted


@pytest.mark.parametrize(
    "usage",
    [
        [1, 2], {"prompt_tokens": True, "completion_tokens": True}, {"prompt_tokens": 10},
        {"prompt_tokens": None, "completion_tokens": 5}, {"prompt_tokens": 10.0, "completion_tokens": 4.5},
    ],
)  # fmt: skip
def test_other_tokens_that_cannot_be(usage: Any) -> None:
    with scripted(completion("Hello.", usage=usage)) as server:
        assert ask(client(server, price=PRICE)).cost is None


def test_cached_tokens_beyond_the_prompt_are_none() -> None:
    usage = {"prompt_tokens": 10, "completion_tokens": 0, "prompt_tokens_details": {"cached_tokens": 11}}
    with scripted(completion("", usage=usage)) as server:
        reply = ask(client(server, price=Price(1.0, 1.0, 0.0)))
    assert (reply.prompt_tokens, reply.cached_tokens, reply.cost) == (10, 0, 1e-5)


@pytest.mark.parametrize("usage", ["none", "zeros", "texts", "huge"])
def test_a_budget_counts_what_is_not_reported_with_the_most_it_can_cost(usage: str) -> None:
    ledger = Ledger(0.5)
    with serving(usage=usage) as server:
        model = client(server, ledger=ledger, price=PRICE)
        with pytest.raises(BudgetError):
            for _ in range(100):
                ask(model)
    assert 0 < server.served.calls < 20 and ledger.total <= 0.5


# Words


@pytest.mark.parametrize(
    ("answer", "words"),
    [
        ((500, {"error": {"message": "out of memory"}}), "answered 500: out of memory"),
        ((503, '<html><title>503 &amp; gone</title></html>'), r'answered 503: an HTML page \("503 & gone"\)'),
        ((502, "upstream\x1b[31m died\n"), r"answered 502: upstream \[31m died"),
        ((503, [{"error": {"code": 503, "message": "The model is overloaded."}}]), "503: The model is overloaded"),
        ((429, {"error": {"message": "Provider returned error", "metadata": {"raw": "busy"}}}), "429: .*error: busy"),
        ((404, {"error": {"message": "try gpt-9"}}), "has no model 'mock'.*try gpt-9"),
        ((402, {"message": "top up"}), r"paid first \(402\): top up"),
        ((307, "", {"Location": "https://m.example/v1/chat/completions?x=y"}), "leads to, https://m.example/v1"),
        ((200, "", {"Content-Encoding": "deflate"}), "packed by deflate"),
        ((403, "<html><title>Blocked</title></html>"), r'forbidden \(403\): an HTML page \("Blocked"\).*a firewall'),
        ((403, ""), r"forbidden \(403\): without a word.*a firewall"),
        ((403, "Access denied by policy 7"), "Access denied by policy 7.*a firewall"),
        ((403, {"error": {"message": "unsupported country"}}), r"forbids the call \(403\): unsupported country"),
        ((403, {"error": {"message": "Invalid API key"}}), r"wants a key; .*\(403\): Invalid API key"),
        ((401, {"error": {"message": "no bearer"}}), r"wants a key; .*\(401\): no bearer"),
        ((400, "<html><title>400 The plain HTTP request was sent to HTTPS port</title></html>"), "write https://127"),
    ],
)  # fmt: skip
def test_messages_hold_what_the_server_said(answer: Any, words: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("OPENAI_API_KEY", raising=False)
    with scripted(answer) as server, pytest.raises(ServiceError, match=words):
        ask(client(server, clock=Clock(), attempts=2, give_up=5))


@pytest.mark.parametrize(
    ("answer", "words"),
    [
        ((200, 'data: {"choices": []}\n\n', {"Content-Type": "text/event-stream"}), "streams its reply .text/event"),
        ((200, 'data: {"choices": []}\n\n'), "streams its reply"),
        ((200, '{"a": 1}\n{"b": 2}\n', {"Content-Type": "application/x-ndjson"}), "streams its reply .application/x"),
        ((200, "<html><title>Log in to the network</title></html>"), 'an HTML page ."Log in to the network".'),
        ((200, "<!DOCTYPE html><body>Hi"), "an HTML page without a title"),
        ((200, "all is well"), "not JSON but text/plain: 'all is well'"),
        ((200, ""), "without a body"),
        ((200, '{"choices": [{"mess'), "not complete JSON"),
        ((200, {"choices": {}}), "not a chat completion"),
    ],
)  # fmt: skip
def test_what_is_no_completion_is_called_what_it_is(answer: Any, words: str) -> None:
    with scripted(answer) as server, pytest.raises(ServiceError, match=words):
        ask(client(server, clock=Clock(), attempts=4))


@pytest.mark.parametrize("fault", ["stream", "page", "firewall", "no-money"])
def test_the_mock_server_stops_runs_so_too(fault: str) -> None:
    with serving(fail=1.0, faults=(fault,)) as server, pytest.raises(ServiceError):
        ask(client(server, clock=Clock()))
    assert server.served.calls <= 3


# Connections


@contextmanager
def saying(answer: bytes) -> Iterator[int]:
    """The port of a server that says the same bytes to everybody."""
    with socket.create_server(("127.0.0.1", 0)) as listening:

        def serve() -> None:
            while True:
                try:
                    connection = listening.accept()[0]
                except OSError:
                    return
                with connection:
                    connection.recv(65536)
                    connection.sendall(answer)

        thread = threading.Thread(target=serve, daemon=True)
        thread.start()
        yield listening.getsockname()[1]
        listening.shutdown(socket.SHUT_RDWR)
    thread.join()


def test_https_to_a_server_of_plain_http_is_no_bad_certificate() -> None:
    with serving() as server, pytest.raises(ServiceError, match="speaks plain http and no https; write http://127"):
        ask(client(server.url.replace("http://", "https://")))


@pytest.mark.parametrize(
    ("answer", "words"),
    [
        (b"\x15\x03\x03\x00\x02\x02\x46", "speaks https and no plain http; write https://127"),
        (b"", "broke the connection off .servers that want https in the URL do so."),
        (b"SSH-2.0-OpenSSH_9.2\r\n", "what is no reply of a web server .*SSH-2.0-OpenSSH"),
    ],
)
def test_http_to_what_is_no_server_of_plain_http(answer: bytes, words: str) -> None:
    with saying(answer) as port, pytest.raises(ServiceError, match=words):
        ask(client(f"http://127.0.0.1:{port}/v1", clock=Clock(), attempts=2))


@pytest.mark.parametrize(
    ("answer", "words"),
    [
        ((403, "<html><title>Not allowed here</title></html>"), r"\(through the proxy 127.0.0.1:\d+\): an HTML page"),
        ((502, "cannot resolve"), r"answered 502 \(through the proxy 127.0.0.1:\d+\): cannot resolve"),
        ((407, "who are you"), r"The proxy 127.0.0.1:\d+ wants a user name and a password \(407\)"),
    ],
)
def test_a_proxy_is_named_without_its_password(answer: Any, words: str, monkeypatch: pytest.MonkeyPatch) -> None:
    with scripted(answer) as server:
        monkeypatch.setenv("http_proxy", f"http://ada:hunter2@127.0.0.1:{server._port}")
        with pytest.raises(ServiceError, match=words) as error:
            ask(client("http://models.example/v1", clock=Clock(), attempts=2))
    assert "hunter2" not in str(error.value)


def test_a_proxy_that_does_not_connect_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    with serving() as server:  # which knows no CONNECT
        monkeypatch.setenv("https_proxy", f"127.0.0.1:{server._port}")
        with pytest.raises(ServiceError, match=r"The proxy 127.0.0.1:\d+ lets nobody through to models.example \(404"):
            ask(client("https://models.example/v1"))
    with pytest.raises(ServiceError, match=r"the proxy 127.0.0.1:\d+ cannot be reached \(Connection refused\)"):
        ask(client("https://models.example/v1", clock=Clock()))


@pytest.mark.parametrize("proxy", ["http://h:99999", "socks5://127.0.0.1:1080", "http://", "http://h:x"])
def test_what_is_no_proxy_is_refused_before_anything_is_asked(proxy: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("http_proxy", proxy)
    with pytest.raises(ConfigError, match="HTTP_PROXY is not of the form http://HOST:PORT"):
        client("http://models.example/v1")


def test_a_server_that_answered_before_is_given_its_attempts() -> None:
    page = (200, "<html><title>Maintenance</title></html>")
    with scripted(None, *[page] * 5, None) as server:
        model = client(server, clock=Clock(), attempts=10)

        async def twice() -> None:
            for _ in range(2):
                assert (await model.complete(HELLO, SAMPLING, 1)).text

        asyncio.run(twice())


def test_litellm_is_read_in_the_same_way(monkeypatch: pytest.MonkeyPatch) -> None:
    """What litellm raises and returns, by a stand-in: a parameter that a provider does not have, a wait, an ending."""
    monkeypatch.setenv("PROVIDER_API_KEY", "sk-Provider-0123456789")
    asked: list[dict[str, Any]] = []

    class Said(Exception):
        def __init__(self, words: str, status: int, **headers: str) -> None:
            super().__init__(words)
            self.status_code, self.response = status, SimpleNamespace(headers=headers)

    async def acompletion(**body: Any) -> Any:
        asked.append(body)
        if "seed" in body:
            raise Said("p does not support parameters: ['seed'], for model=m. sk-Provider-0123456789", 400)
        if len(asked) == 2:
            raise Said("slow down", 429, **{"retry-after": "7"})
        sent = completion("It is sk-Provider-0123456789.", "max_tokens", reasoning_content="No.")
        return SimpleNamespace(model_dump_json=lambda: json.dumps(sent))

    names = dict.fromkeys(("AuthenticationError", "Timeout", "APIConnectionError"), type("Other", (Exception,), {}))
    stand_in = SimpleNamespace(acompletion=acompletion, exceptions=SimpleNamespace(OpenAIError=Said, **names))
    monkeypatch.setitem(sys.modules, "litellm", stand_in)
    ledger, clock = Ledger(), Clock()
    transport = LitellmTransport(5.0, 10_000)
    model = RemoteModel(parse_litellm("litellm:p/m"), EndpointConfig(), ledger, clock=clock, transport=transport)
    reply = ask(model)
    assert (reply.text, reply.finish) == ("It is ***.", "length")
    assert stand_in.drop_params is False and ledger.not_sent() == {"p/m": ["seed in 1 of 1 calls"]}
    assert any(7 <= wait < 8 for wait in clock.slept)
