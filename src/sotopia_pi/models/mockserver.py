"""A chat-completions server without a model: for tests, benchmarks and rehearsing a run before it costs anything.

It answers every call with a valid action, or with whatever a JSON schema in the call demands, and misbehaves as often
as it is told to. It counts what it served and how much of each prompt a prefix cache would have known.

python -m sotopia_pi.models.mockserver --port 8099 --latency-ms 50 --fail 0.2
"""

from __future__ import annotations

import argparse
import asyncio
import random
from collections import Counter
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from email.utils import formatdate
from time import time
from typing import Any, Self

import orjson
from aiohttp import web

from sotopia_pi.models.fake import rating_reply
from sotopia_pi.models.mocktexts import PEER_JUDGE, PrefixCounter, action, follow, peer_rating
from sotopia_pi.models.protocol import JsonSchema

#: How calls fail by default: nothing of it stops a run.
FAULTS = (
    "429", "429-after", "500", "drop", "slow", "truncated", "schema", "refusal", "empty", "huge", "broken", "filtered",
    "thinking", "tools",
)  # fmt: skip
#: How they fail where no other call would fare better.
STOPS = ("no-money", "stream", "page", "firewall")
#: What the server says of a call's tokens.
USAGES = ("true", "none", "zeros", "texts", "floats", "parts", "negative", "huge", "no-reply")
#: Characters of an enormous reply.
HUGE = 4_000_000


@dataclass(frozen=True, slots=True)
class Behaviour:
    """How the server behaves. `fail` of the calls meet one of `faults`; `structured` is what it can be asked for.

    `retry_after` and `slow` are seconds, `latency` seconds per reply. Calls that name one of `unsupported` in their
    body get a 400, and so do those that name all of `exclusive`. With a `key`, calls without it get a 401. `dead`
    closes every connection unanswered. `usage` is one of `USAGES`.
    """

    latency: float = 0.0
    fail: float = 0.0
    faults: tuple[str, ...] = FAULTS
    seed: int = 0
    retry_after: float = 0.05
    slow: float = 0.5
    structured: str = "schema"
    unsupported: tuple[str, ...] = ()
    exclusive: tuple[str, ...] = ()
    usage: str = "true"
    key: str | None = None
    conversation: str | None = None
    model: str | None = None
    dead: bool = False


@dataclass(slots=True)
class Served:
    """What was served: calls in all, calls by outcome ("ok" or the fault), and the most at once."""

    calls: int = 0
    busy: int = 0
    most_at_once: int = 0
    outcomes: Counter[str] = field(default_factory=Counter)


class MockServer:
    """The server; `async with MockServer(behaviour) as server` serves at `server.url` until the block ends."""

    def __init__(self, behaviour: Behaviour | None = None, port: int = 0) -> None:
        """Port 0 takes a free one."""
        self.behaviour = behaviour or Behaviour()
        self.served = Served()
        self.prefixes = PrefixCounter(self.behaviour.conversation)
        self.bodies: list[dict[str, Any]] | None = None
        self._port = port
        self._dice = random.Random(self.behaviour.seed)
        self._runner: web.ServerRunner | None = None

    @property
    def url(self) -> str:
        """The base URL."""
        return f"http://127.0.0.1:{self._port}/v1"

    async def __aenter__(self) -> Self:
        """Begins to serve."""
        self._runner = web.ServerRunner(web.Server(self._handle, access_log=None), shutdown_timeout=0.2)
        await self._runner.setup()
        site = web.TCPSite(self._runner, "127.0.0.1", self._port, backlog=2048)
        await site.start()
        self._port = self._runner.addresses[0][1]
        return self

    async def __aexit__(self, *_: object) -> None:
        """Closes every connection."""
        if self._runner is not None:
            await self._runner.cleanup()

    def facts(self) -> dict[str, Any]:
        """What `GET /stats` shows."""
        return {
            "calls": self.served.calls,
            "most_at_once": self.served.most_at_once,
            "outcomes": dict(self.served.outcomes),
            **self.prefixes.facts(),
        }

    async def _handle(self, request: web.BaseRequest) -> web.StreamResponse:
        if request.path == "/stats":
            return _json(self.facts())
        if request.path == "/v1/models":
            return _json({"object": "list", "data": [{"id": self.behaviour.model or "mock", "object": "model"}]})
        if request.path != "/v1/chat/completions":
            return _error(404, "there is nothing here")
        self.served.calls += 1
        self.served.busy += 1
        self.served.most_at_once = max(self.served.most_at_once, self.served.busy)
        try:
            return await self._chat(request)
        finally:
            self.served.busy -= 1

    async def _chat(self, request: web.BaseRequest) -> web.StreamResponse:
        behaviour = self.behaviour
        sent = await request.read()
        if behaviour.dead:
            return self._dropped(request, "dead")
        if behaviour.key is not None and request.headers.get("Authorization") != f"Bearer {behaviour.key}":
            return self._counted("401", _error(401, f"wrong key: {request.headers.get('Authorization')}"))
        body = orjson.loads(sent)
        if self.bodies is not None:
            self.bodies.append(body)
        if behaviour.model is not None and body.get("model") != behaviour.model:
            return self._counted("404", _error(404, f"the model {body.get('model')!r} does not exist"))
        refused = self._unsupported(body)
        if refused:
            return self._counted("400", _error(400, refused))
        fault = self._dice.choice(behaviour.faults) if self._dice.random() < behaviour.fail else ""
        cached = self.prefixes.count(body["messages"])
        if behaviour.latency:
            await asyncio.sleep(behaviour.latency)
        return await self._misbehave(request, fault, body, cached) if fault else self._answer(body, cached)

    def _answer(self, body: dict[str, Any], cached: tuple[int, int]) -> web.StreamResponse:
        sent = _completion(body, _choice(_text(body)), _usage(self.behaviour.usage, _text(body), cached))
        return self._counted("ok", web.Response(body=sent, content_type=_JSON))

    def _unsupported(self, body: dict[str, Any]) -> str:
        wanted = (body.get("response_format") or {}).get("type", "text")
        can = {"schema": ("json_schema", "json_object", "text"), "object": ("json_object", "text")}
        if wanted not in can.get(self.behaviour.structured, ("text",)):
            return f"response_format of type {wanted} is not supported"
        for name in self.behaviour.unsupported:
            if name in body:
                return f"Unsupported parameter: '{name}' is not supported with this model."
        if self.behaviour.exclusive and set(self.behaviour.exclusive) <= body.keys():
            return f"Give {' or '.join(self.behaviour.exclusive)}, not both."
        return ""

    async def _misbehave(
        self, request: web.BaseRequest, fault: str, body: dict[str, Any], cached: tuple[int, int]
    ) -> web.StreamResponse:
        match fault:
            case "drop":
                return self._dropped(request, fault)
            case "429":
                return self._counted(fault, _error(429, "too many requests"))
            case "429-after":
                seconds, date = f"{self.behaviour.retry_after:g}", formatdate(time(), usegmt=True)
                headers = {"Retry-After": self._dice.choice((seconds, date))}
                return self._counted(fault, _error(429, "too many requests", headers))
            case "500":
                return self._counted(fault, _error(500, "something broke"))
            case "slow":
                return await self._slowly(request, _completion(body, _choice(_text(body)), _usage("true", "", cached)))
        return self._counted(fault, _odd(fault, body, cached))

    async def _slowly(self, request: web.BaseRequest, sent: bytes) -> web.StreamResponse:
        """A reply in ten pieces with pauses between them."""
        response = web.StreamResponse(headers={"Content-Type": _JSON, "Content-Length": str(len(sent))})
        await response.prepare(request)
        step = -(-len(sent) // 10)
        for start in range(0, len(sent), step):
            await response.write(sent[start : start + step])
            await asyncio.sleep(self.behaviour.slow / 10)
        await response.write_eof()
        return self._counted("slow", response)

    def _dropped(self, request: web.BaseRequest, outcome: str) -> web.StreamResponse:
        if request.transport is not None:
            request.transport.abort()
        return self._counted(outcome, web.Response())

    def _counted(self, outcome: str, response: web.StreamResponse) -> web.StreamResponse:
        self.served.outcomes[outcome] += 1
        return response


_JSON = "application/json"


def _choice(content: str | None, finish: str = "stop", message: Any = None, **more: Any) -> dict[str, Any]:
    message = {"role": "assistant", "content": content, "refusal": None} | (message or {})
    return {"index": 0, "message": message, "finish_reason": finish, **more}


#: The choice of a completion that misbehaves, by fault.
_CHOICES = {
    "schema": _choice('{"action_type": "shout", "words": 3}'),
    "refusal": _choice(None, message={"refusal": "I cannot help with that."}),
    "empty": _choice(""),
    "huge": _choice("x" * HUGE),
    "broken": _choice(None, "error", error={"code": 502, "message": "the provider broke"}),
    "filtered": _choice("", "content_filter"),
    "thinking": _choice(None, "length", {"reasoning_content": 'Perhaps {"action_type": "leave", "argument": ""}?'}),
    "tools": _choice(
        None,
        "tool_calls",
        {"tool_calls": [{"id": "1", "type": "function", "function": {"name": "say", "arguments": "{}"}}]},
    ),
}


def _json(value: Any) -> web.Response:
    return web.Response(body=orjson.dumps(value), content_type=_JSON)


def _error(status: int, said: str, headers: dict[str, str] | None = None) -> web.Response:
    return web.Response(status=status, body=orjson.dumps(_fault(said)), content_type=_JSON, headers=headers)


def _fault(said: str, code: str | None = None) -> dict[str, Any]:
    return {"error": {"message": said, "type": "mock", "code": code}}


def _stream(body: dict[str, Any]) -> str:
    piece = orjson.dumps({"choices": [{"index": 0, "delta": {"content": _text(body)}}]}).decode()
    return f"data: {piece}\n\ndata: [DONE]\n\n"


def _text(body: dict[str, Any]) -> str:
    schema = ((body.get("response_format") or {}).get("json_schema") or {}).get("schema")
    last = str(body["messages"][-1]["content"])
    if schema is not None and "action_type" not in schema.get("properties", {}):
        if "token" in schema.get("properties", {}):  # a case file of our judge, whose last line is to be copied
            return rating_reply(body["messages"], int(body.get("seed", 0)), JsonSchema("rating", schema))
        return orjson.dumps(follow(schema)).decode()
    if schema is None and (found := PEER_JUDGE.search(last)):
        return peer_rating(found["agents"])
    return action(last)


def _completion(body: dict[str, Any], choice: dict[str, Any], usage: dict[str, Any] | None) -> bytes:
    head = {"id": "mock", "object": "chat.completion", "created": 0, "model": body.get("model")}
    return orjson.dumps({**head, "choices": [choice], **({} if usage is None else {"usage": usage})})


def _odd(fault: str, body: dict[str, Any], cached: tuple[int, int]) -> web.Response:
    """A reply that is whole and odd."""
    match fault:
        case "stream":
            return web.Response(text=_stream(body), content_type="text/event-stream")
        case "page":
            return web.Response(text="<html><title>Log in to the network</title></html>", content_type="text/html")
        case "firewall":
            page = "<html><title>Blocked by the firewall</title></html>"
            return web.Response(status=403, text=page, content_type="text/html")
        case "no-money":
            return _json(_fault("You have used up your credits.", "insufficient_quota"))
    choice = _CHOICES.get(fault) or _choice(_text(body))
    sent = _completion(body, choice, _usage("true", str(choice["message"]["content"] or ""), cached))
    return web.Response(body=sent[:-40] if fault == "truncated" else sent, content_type=_JSON)


def _usage(kind: str, text: str, cached: tuple[int, int]) -> dict[str, Any] | None:
    """What is said of the tokens of a reply to a prompt of so many characters, of which so many were known."""
    prompt, completion = cached[0] // 4, len(text) // 4
    counts: dict[str, tuple[Any, Any]] = {
        "zeros": (0, 0),
        "texts": (str(prompt), str(completion)),
        "floats": (float(prompt), float(completion)),
        "parts": (prompt + 0.5, completion + 0.5),
        "negative": (-prompt, -completion),
        "huge": (10**18, 10**18),
        "no-reply": (prompt, 0),
    }
    if kind == "none":
        return None
    said, written = counts.get(kind, (prompt, completion))
    total, details = {"total_tokens": prompt + completion}, {"cached_tokens": cached[1] // 4}
    return {"prompt_tokens": said, "completion_tokens": written, **total, "prompt_tokens_details": details}


def _parser() -> argparse.ArgumentParser:
    name = "python -m sotopia_pi.models.mockserver"
    parser = argparse.ArgumentParser(prog=name, description="A chat-completions server without a model.")
    parser.add_argument("--port", type=int, default=8099, help="port on this machine (0: any free one)")
    parser.add_argument("--latency-ms", type=float, default=50, help="milliseconds before each reply")
    parser.add_argument("--fail", type=float, default=0, help="share of calls that fail, 0 to 1")
    parser.add_argument("--faults", default=",".join(FAULTS), help="how they fail (default: %(default)s)")
    parser.add_argument("--usage", choices=USAGES, default="true", help="what it says of a call's tokens")
    parser.add_argument("--slow", type=float, default=0.5, help="seconds that a slow reply takes")
    parser.add_argument("--structured", choices=("schema", "object", "none"), default="schema", help="what it supports")
    parser.add_argument("--conversation", metavar="REGEX", help="what names a conversation in a prompt")
    parser.add_argument("--seed", type=int, default=0, help="which calls fail")
    return parser


async def _serve(behaviour: Behaviour, port: int) -> None:
    async with MockServer(behaviour, port) as server:
        print(server.url, flush=True)
        await asyncio.Event().wait()


def main(arguments: Sequence[str] | None = None) -> None:
    """Serves until it is interrupted; prints its URL first."""
    parser = _parser()
    given = parser.parse_args(arguments)
    faults = tuple(given.faults.split(","))
    if unknown := [name for name in faults if name not in FAULTS + STOPS]:
        parser.error(f"unknown faults {', '.join(unknown)}; there are {', '.join(FAULTS + STOPS)}")
    behaviour = Behaviour(
        latency=given.latency_ms / 1000,
        fail=given.fail,
        faults=faults,
        slow=given.slow,
        usage=given.usage,
        structured=given.structured,
        conversation=given.conversation,
        seed=given.seed,
    )
    with suppress(KeyboardInterrupt):
        asyncio.run(_serve(behaviour, given.port))


if __name__ == "__main__":
    main()
