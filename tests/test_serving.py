"""The server of a policy: OpenAI's protocol with its errors, the cache across requests, keys, and who may use it."""

from __future__ import annotations

import asyncio
import json
import socket
import threading
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any
from urllib.error import HTTPError
from urllib.request import Request, urlopen

import pytest
from hypothesis import given
from hypothesis import settings as explored
from hypothesis import strategies as st
from serving import HELLO, JSON, body, post, said
from support import price_task, settings, stored

from sotopia_pi.cli.main import main
from sotopia_pi.episodes.records import action_schema, parse_action
from sotopia_pi.episodes.views import messages, view
from sotopia_pi.errors import ModelError, ServiceError
from sotopia_pi.models.protocol import Completion, Message, Sampling
from sotopia_pi.models.remote.opening import Remotes
from sotopia_pi.models.serving.requests import Asked, BadRequest, read_request

pytest.importorskip("torch", reason="serving local models needs the extra 'local'")
pytest.importorskip("peft", reason="serving local models needs the extra 'local'")
import policies
import tiny
from hub import serving_app
from policies import ACTION, REST

from sotopia_pi.models import local
from sotopia_pi.models.local import LocalModel
from sotopia_pi.models.serving.app import application

pytestmark = [pytest.mark.weights, pytest.mark.usefixtures("weights")]


@pytest.fixture(scope="module")
def policy(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return policies.reciting(tmp_path_factory.mktemp("policies"))


@pytest.fixture(scope="module")
def server(policy: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """A server of the reciting policy `bc` and a random model `random`, its base URL."""
    folder = tiny.save(tiny.CONFIGS["llama"], tmp_path_factory.mktemp("llama"))
    base = str(policy.parent / "reciter")
    models = {
        "bc": LocalModel(base, policy, "bc", slots=4, max_context=1024),
        "random": LocalModel(str(folder), None, "random", slots=4, max_context=1024),
    }
    with serving_app(application(models), handler_cancellation=True) as address:
        yield f"{address}/v1"
    for model in models.values():
        model.close()


# Replies


def test_a_reply_has_openais_shape(server: str) -> None:
    status, reply = post(server, body(response_format=JSON, max_completion_tokens=40))
    assert status == 200 and reply["object"] == "chat.completion" and reply["model"] == "bc"
    (choice,) = reply["choices"]
    assert choice["message"] == {"role": "assistant", "content": ACTION, "refusal": None}
    assert choice["finish_reason"] == "stop"
    usage = reply["usage"]
    assert usage["total_tokens"] == usage["prompt_tokens"] + usage["completion_tokens"]
    assert 0 <= usage["prompt_tokens_details"]["cached_tokens"] < usage["prompt_tokens"]


def test_json_ends_with_its_object_and_text_as_the_model_ends_it(server: str) -> None:
    schema = {"type": "json_schema", "json_schema": {"name": "action", "schema": dict(action_schema().schema)}}
    assert said(server, response_format=schema) == said(server, response_format=JSON) == ACTION
    assert said(server) == said(server, response_format={"type": "text"}) == ACTION + REST
    status, reply = post(server, body(max_tokens=3))
    assert status == 200 and reply["choices"][0]["finish_reason"] == "length"
    assert (ACTION + REST).startswith(reply["choices"][0]["message"]["content"])
    assert reply["usage"]["completion_tokens"] == 3


def test_messages_may_come_in_parts_and_from_a_developer(server: str) -> None:
    parts = [{"type": "text", "text": "Turn 1. "}, {"type": "text", "text": "You begin."}]
    asked = [{"role": "developer", "content": "You are Ada."}, {"role": "user", "content": parts}]
    one, other = (post(server, body(messages=chat))[1] for chat in (HELLO, asked))
    assert one["usage"]["prompt_tokens"] == other["usage"]["prompt_tokens"]


def test_seeds_draw_equal_replies(server: str) -> None:
    def drawn(**fields: Any) -> str:
        return said(server, model="random", temperature=1.5, max_tokens=12, **fields)

    assert drawn(seed=5) == drawn(seed=5) != drawn(seed=6)
    assert drawn(seed=5, top_p=1e-5) == said(server, model="random", temperature=0, max_tokens=12)


def events(server: str, **fields: Any) -> list[Any]:
    request = Request(f"{server}/chat/completions", json.dumps(body(stream=True, **fields)).encode())
    with urlopen(request, timeout=60) as reply:
        assert reply.headers["Content-Type"] == "text/event-stream"
        lines = reply.read().decode("utf-8").split("\n\n")
    assert lines[-2:] == ["data: [DONE]", ""]
    return [json.loads(line.removeprefix("data: ")) for line in lines[:-2]]


@pytest.mark.parametrize(("form", "text"), [(None, ACTION + REST), (JSON, ACTION)])
def test_a_streamed_reply_is_the_reply_in_pieces(server: str, form: Any, text: str) -> None:
    found = events(server, response_format=form, stream_options={"include_usage": True})
    assert {event["object"] for event in found} == {"chat.completion.chunk"} and len({e["id"] for e in found}) == 1
    deltas = [event["choices"][0]["delta"] for event in found[:-1]]
    assert deltas[0] == {"role": "assistant", "content": ""}
    pieces = [delta["content"] for delta in deltas[1:-1]]
    assert "".join(pieces) == text and len(pieces) > 5 and not any("\ufffd" in piece for piece in pieces)
    assert found[-2]["choices"][0]["finish_reason"] == "stop" and found[-1]["choices"] == []
    assert found[-1]["usage"]["completion_tokens"] > 5
    assert "usage" not in events(server)[-1]


# What is refused


@pytest.mark.parametrize(
    ("change", "status", "complaint"),
    [
        ({"model": "nobody"}, 404, "'nobody' does not exist; this server has bc, random"),
        ({"model": None}, 400, "model must be text"),
        ({"messages": []}, 400, "messages must be a list"),
        ({"messages": ["hi"]}, 400, "messages[0] must be an object"),
        ({"messages": [{"role": "tool", "content": "x"}]}, 400, "messages[0].role must be one of"),
        ({"messages": [{"role": "user", "content": [{"type": "image_url"}]}]}, 400, "parts of type text"),
        ({"messages": [{"role": "user", "content": "word " * 1100}]}, 400, "maximum context length is 1024 tokens"),
        ({"messages": [{"role": "user", "content": "a" * 100_000}]}, 400, "maximum context length is 1024 tokens"),
        ({"messages": [{"role": "user", "content": ""}] * 1025}, 400, "1025 messages"),
        ({"max_tokens": 1024}, 400, "maximum context length is 1024 tokens"),
        ({"max_tokens": 0}, 400, "max_tokens must be a whole number"),
        ({"max_tokens": True}, 400, "max_tokens must be a whole number"),
        ({"temperature": "hot"}, 400, "temperature must be a number from 0 to 2"),
        ({"top_p": 0}, 400, "top_p must be a number"),
        ({"seed": 0.5}, 400, "seed must be a whole number"),
        ({"n": 2}, 400, "n is not supported"),
        ({"stop": ["x"]}, 400, "stop is not supported"),
        ({"tools": [{"type": "function"}]}, 400, "tools is not supported"),
        ({"stream": "yes"}, 400, "stream must be true or false"),
        ({"response_format": {"type": "xml"}}, 400, "response_format.type must be one of"),
    ],
)
def test_bad_requests_are_told_what_is_wrong(server: str, change: dict[str, Any], status: int, complaint: str) -> None:
    code, reply = post(server, body(**change))
    assert code == status and complaint in reply["error"]["message"], reply
    assert reply["error"]["type"] == "invalid_request_error" and set(reply["error"]) == {
        "message", "type", "param", "code",
    }  # fmt: skip


def test_bodies_that_are_no_requests(server: str) -> None:
    for sent in (b"", b"{", b"[]", b"null", b'{"model": "\xff"}'):
        status, reply = post(server, sent)
        assert status == 400 and "The body is not" in reply["error"]["message"]
    status, reply = post(server, b" " * (8 * 2**20 + 1))
    assert status == 413 and reply["error"]["type"] == "invalid_request_error"
    assert post(server, body(), path="/completions")[0] == 404


@given(
    st.recursive(
        st.none() | st.booleans() | st.floats() | st.integers() | st.text(max_size=8),
        lambda inner: (
            st.lists(inner, max_size=3)
            | st.dictionaries(st.sampled_from(["role", "content", "type", "model", "messages", "seed", "n"]), inner)
        ),
        max_leaves=12,
    )
)
@explored(max_examples=200)
def test_any_json_is_a_request_or_a_bad_one(value: Any) -> None:
    sent = json.dumps({"model": "bc", "messages": HELLO, **(value if isinstance(value, dict) else {"stream": value})})
    try:
        assert isinstance(read_request(sent.encode("utf-8", "surrogatepass"), 256), Asked)
    except BadRequest as error:
        assert str(error) and error.status == 400


def test_models_and_health(server: str) -> None:
    with urlopen(f"{server}/models", timeout=10) as reply:
        assert [item["id"] for item in json.loads(reply.read())["data"]] == ["bc", "random"]
    with urlopen(f"{server}/models/random", timeout=10) as reply:
        assert json.loads(reply.read())["max_model_len"] == 1024
    with urlopen(server.removesuffix("/v1") + "/health", timeout=10) as reply:
        assert json.loads(reply.read()) == {"status": "ok"}
    with pytest.raises(HTTPError) as caught:
        urlopen(f"{server}/models/nobody", timeout=10)
    caught.value.close()
    assert caught.value.code == 404


def test_a_model_that_stopped_is_told_of(policy: Path) -> None:
    model = LocalModel(str(policy.parent / "reciter"), policy, "bc", slots=1, max_context=256)
    with serving_app(application({"bc": model})) as address:
        model.close()
        status, reply = post(f"{address}/v1", body(max_tokens=9))
        assert status == 500 and reply["error"] == {
            "message": "The model bc is closed.", "type": "server_error", "param": None, "code": None,
        }  # fmt: skip
        with pytest.raises(HTTPError) as caught:
            urlopen(f"{address}/health", timeout=10)
        caught.value.close()
        assert caught.value.code == 503


# The cache


def grown(chat: Sequence[Message], reply: str, said: str) -> list[Message]:
    return [*chat, Message(role="assistant", content=reply), Message(role="user", content=said)]


def test_growing_conversations_keep_their_cache_across_requests(server: str) -> None:
    """Four conversations in turn, with the same long beginning, through our client; nobody names a conversation."""
    beginning = messages(view(price_task(), 0, []))[0]["content"]
    model = Remotes().model(f"openai:random@{server}")

    async def talk() -> list[list[Completion]]:
        chats: list[list[Message]] = [
            [Message(role="system", content=f"{beginning} {who}"), Message(role="user", content=f"Hello {who}, begin.")]
            for who in ("Ada", "Bo", "Cy", "Di")
        ]
        replies: list[list[Completion]] = [[] for _ in chats]
        for turn in range(3):
            for chat, got in zip(chats, replies, strict=True):
                got.append(await model.complete(chat, Sampling(0.0, 1.0, 8), 0, schema=action_schema()))
                chat[:] = grown(chat, got[-1].text, f"And then, in turn {turn}, what do you say to that?")
        return replies

    for first, second, third in asyncio.run(talk()):
        assert first.prompt_tokens <= second.cached_tokens < second.prompt_tokens
        assert second.prompt_tokens <= third.cached_tokens < third.prompt_tokens


def test_another_conversation_takes_the_longest_unused_place(policy: Path) -> None:
    model = LocalModel(str(policy.parent / "reciter"), policy, "bc", slots=2, max_context=512)

    async def ask(*who: str) -> list[int]:
        cached = []
        for name in who:
            chat = [Message(role="system", content=f"You are {name}, who sells lamps."), HELLO[1]]
            cached.append((await model.complete(chat, Sampling(0.0, 1.0, 2), 0)).cached_tokens)
        return cached

    first, second, again, third, lost, kept = asyncio.run(ask("Ada", "Bo", "Ada", "Cy", "Bo", "Ada"))
    model.close()
    assert again > max(first, second, third, lost)  # Cy took Bo's place, and Bo Ada's
    assert kept < again


# Clients


def test_the_openai_package_can_use_it(server: str) -> None:
    openai = pytest.importorskip("openai", reason="the openai package is in the extra 'dev'")
    chat: Any = HELLO
    with openai.OpenAI(base_url=server, api_key="unused", max_retries=0) as client:
        assert [model.id for model in client.models.list()] == ["bc", "random"]
        done = client.chat.completions.create(model="bc", messages=chat, temperature=0, response_format=JSON)
        assert done.choices[0].message.content == ACTION and done.usage.prompt_tokens_details.cached_tokens >= 0
        with client.chat.completions.create(model="bc", messages=chat, temperature=0, stream=True) as stream:
            pieces = [chunk.choices[0].delta.content or "" for chunk in stream]
        assert "".join(pieces) == ACTION + REST
        with pytest.raises(openai.NotFoundError, match="does not exist"):
            client.chat.completions.create(model="gpt", messages=chat)
        with pytest.raises(openai.BadRequestError) as caught:
            client.chat.completions.create(model="bc", messages=chat, max_tokens=5000)
        assert caught.value.code == "context_length_exceeded"


def test_our_client_can_use_it_and_hears_why_not(server: str) -> None:
    model = Remotes().model(f"openai:bc@{server}")
    reply = asyncio.run(model.complete(HELLO, Sampling(0.0, 1.0, 40), 0, schema=action_schema()))
    assert reply.text == ACTION and reply.prompt_tokens > 0
    with pytest.raises(ModelError, match="maximum context length is 1024 tokens"):
        asyncio.run(model.complete(HELLO, Sampling(0.0, 1.0, 2000), 0, schema=action_schema()))
    with pytest.raises(ServiceError, match="has no model 'gone'"):
        asyncio.run(Remotes().model(f"openai:gone@{server}").complete(HELLO, Sampling(), 0))


def test_many_may_ask_at_once(server: str) -> None:
    model = Remotes().model(f"openai:bc@{server}")

    async def crowd() -> list[Completion]:
        calls = (model.complete(HELLO, Sampling(0.0, 1.0, 40), i, schema=action_schema()) for i in range(24))
        return await asyncio.gather(*calls)

    assert {reply.text for reply in asyncio.run(crowd())} == {ACTION}


def test_a_served_policy_plays_the_next_round(server: str, policy: Path, tmp_path: Path) -> None:
    """Self-reinforcement by a policy behind its server: it is the next run's base, whose weights are here."""
    out = tmp_path / "next"
    assert parse_action(ACTION)
    shrunk = settings(
        f'models.policy="openai:bc@{server}"', f'models.weights="{policy.parent / "reciter"}"',
        'rounds=[{name="sr", method="sr", repeats=2}]', "world.train={price=2}", "world.test={price=1}",
        "sampling.max_tokens=48",
    )  # fmt: skip
    assert main(["tasks", str(out), "--quiet", *shrunk]) == 0
    assert main(["collect", str(out), "--round", "sr", "--quiet"]) == 0
    assert stored(out) == 4 and stored(out, "select count(*) from episodes where failure is not null") == 0
    assert stored(out, "select count(*) from turns where not valid") == 0
    assert stored(out, "select count(*) from turns") >= 4


@pytest.mark.parametrize("stream", [False, True])
def test_who_goes_away_stops_their_reply_and_not_the_server(
    stream: bool, policy: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    base = tiny.save(tiny.CONFIGS["llama"], tmp_path / "llama")
    model = LocalModel(str(base), None, "random", slots=1, max_context=1024)
    steps, begun, gone = [0], threading.Event(), threading.Event()
    draw = local.draw

    def counted(logits: Any, rows: Any) -> list[int]:
        steps[0] += 1
        begun.set()
        assert gone.wait(30)
        return draw(logits, rows)

    monkeypatch.setattr(local, "draw", counted)
    with serving_app(application({"random": model}), handler_cancellation=True) as address:
        host, port = address.removeprefix("http://").split(":")
        sent = json.dumps(body(model="random", max_tokens=900, stream=stream, temperature=2, seed=1))
        with socket.create_connection((host, int(port))) as client:
            head = f"POST /v1/chat/completions HTTP/1.1\r\nHost: x\r\nContent-Length: {len(sent)}\r\n\r\n"
            client.sendall(head.encode() + sent.encode())
            assert begun.wait(30)
        assert post(f"{address}/v1", {}, path="/models/none")[0] in (404, 405)  # the loop has seen the end by now
        gone.set()
        status, reply = post(f"{address}/v1", body(model="random", max_tokens=4))
    model.close()
    assert status == 200 and reply["usage"]["completion_tokens"] <= 4
    assert steps[0] < 200


# Keys


def test_with_a_key_only_who_sends_it_is_answered(policy: Path) -> None:
    model = LocalModel(str(policy.parent / "reciter"), policy, "bc", slots=1, max_context=256)
    with serving_app(application({"bc": model}, "right-key")) as address:
        for wrong in (None, "wrong", "right-key2", "right-ke", "rïght-key"):
            status, reply = post(f"{address}/v1", body(max_tokens=2), wrong)
            assert status == 401 and reply["error"]["code"] == "invalid_api_key"
            assert "right-key" not in json.dumps(reply)
        assert post(f"{address}/v1", body(max_tokens=2), "right-key")[0] == 200
        with urlopen(f"{address}/health", timeout=10) as reply:
            assert reply.status == 200
    model.close()
