"""A real vLLM server: structured output, its prefix cache under both layouts, and an adapter beside its base.

It runs where SOTOPIA_PI_TEST_VLLM names a server, as in openai:smollm2@http://127.0.0.1:8411/v1, and the adapter test
where SOTOPIA_PI_TEST_VLLM_LORA names an adapter that the same server offers. docs/endpoints.md says how to start one.
`pytest -s` prints the figures.
"""

from __future__ import annotations

import asyncio
import os
import re
from pathlib import Path
from typing import Literal
from urllib.request import urlopen
from uuid import uuid4

import pytest
from serving import HELLO
from support import episode, price_task, settings, stored, turn

from sotopia_pi.cli.main import main
from sotopia_pi.episodes.records import Episode, action_schema, parse_action
from sotopia_pi.episodes.views import Layout, messages, view
from sotopia_pi.models.protocol import Completion, Message, Sampling
from sotopia_pi.models.remote.opening import Remotes
from sotopia_pi.models.remote.spec import parse_spec
from sotopia_pi.world.records import SocialTask

SERVER, LORA = "SOTOPIA_PI_TEST_VLLM", "SOTOPIA_PI_TEST_VLLM_LORA"
pytestmark = pytest.mark.skipif(SERVER not in os.environ, reason=f"{SERVER} names no vLLM server")
Counter = Literal["queries", "hits"]


@pytest.fixture
def spec() -> str:
    return os.environ[SERVER]


def counted(spec: str, what: Counter) -> float:
    """Prompt tokens that the server has looked up in its prefix cache, or found there, since it started."""
    with urlopen(parse_spec(spec).urls[0].removesuffix("/v1") + "/metrics", timeout=30) as page:
        text = page.read().decode("utf-8")
    values = re.findall(rf"^vllm:prefix_cache_{what}_total{{.*}} (\S+)$", text, re.MULTILINE)
    assert values, "the server counts no prefix cache; is it vLLM?"
    return sum(map(float, values))


def played(number: int, turns: int = 16) -> tuple[SocialTask, Episode]:
    """An episode of long turns, the same at every call."""
    task = price_task(number=number)
    said = (
        "I have thought about it, and for lamp {} I could go as far as {} dollars if you carry it home yourself today."
    )
    lines = [turn(at % 2, said.format(number, 10 + at)) for at in range(turns)]
    return task, episode(task, lines, key=f"e{number}")


def replay(spec: str, layout: Layout, episodes: list[tuple[SocialTask, Episode]]) -> float:
    """The share of prompt tokens that the server found in its cache while every turn was asked for once more."""
    model, salt = Remotes().model(spec), uuid4().hex  # a beginning that no prompt in the cache has

    def prompts(task: SocialTask, item: Episode, role: int) -> list[list[Message]]:
        own = [at for at, done in enumerate(item.turns) if done.role == role]
        chats = [messages(view(task, role, item.turns[:at]), layout) for at in own]
        for chat in chats:
            chat[0] = Message(role="system", content=f"{salt} {item.key} {role}\n{chat[0]['content']}")
        return chats

    async def one(task: SocialTask, item: Episode, role: int) -> None:
        for chat in prompts(task, item, role):
            await model.complete(chat, Sampling(0.0, 1.0, 1), 0, f"{salt}/{item.key}/{role}")

    async def everyone() -> None:
        await asyncio.gather(*(one(task, item, role) for task, item in episodes for role in (0, 1)))

    before = counted(spec, "queries"), counted(spec, "hits")
    asyncio.run(everyone())
    model.close()
    return (counted(spec, "hits") - before[1]) / (counted(spec, "queries") - before[0])


def test_replies_keep_to_the_schema(spec: str) -> None:
    """Without a schema a small model that is drawn from at this temperature writes JSON seldom."""
    model = Remotes().model(spec)

    async def crowd() -> list[Completion]:
        sampling = Sampling(temperature=1.0, max_tokens=400)
        calls = (model.complete(HELLO, sampling, seed, f"c{seed}", schema=action_schema()) for seed in range(8))
        return await asyncio.gather(*calls)

    replies = asyncio.run(crowd())
    whole = [reply.text for reply in replies if reply.completion_tokens < 400]
    print(f"\n{len(whole)} of {len(replies)} replies ended by themselves")
    assert len(whole) >= len(replies) / 2 and all(parse_action(text) for text in whole)


def test_the_chat_layout_uses_the_prefix_cache_and_the_turn_layout_less(spec: str) -> None:
    episodes = [played(number) for number in range(2)]
    chat, turns = replay(spec, "chat", episodes), replay(spec, "turn", episodes)
    print(f"\nprefix-cache hits: chat {chat:.0%}, turn {turns:.0%}")
    assert chat > 0.5 and chat >= turns


@pytest.mark.skipif(LORA not in os.environ, reason=f"{LORA} names no adapter")
def test_an_adapter_plays_beside_its_base(spec: str, tmp_path: Path) -> None:
    urls = ",".join(parse_spec(spec).urls)
    adapter = f"openai:{os.environ[LORA]}@{urls}"

    def says(who: str) -> str:
        model = Remotes().model(who)
        return asyncio.run(model.complete(HELLO, Sampling(0.0, 1.0, 48), 0, schema=action_schema())).text

    assert says(adapter) != says(spec)
    shrunk = settings(
        f'models.policy="{spec}"', f'models.expert="{adapter}"', "rounds=[]", "world.train={}", "world.test={price=1}",
        "max_turns=6", "sampling.max_tokens=96",
    )  # fmt: skip
    assert main(["run", "--quiet", "--out", str(tmp_path / "run"), *shrunk]) == 0
    assert stored(tmp_path / "run") == 4
    assert stored(tmp_path / "run", "select count(*) from episodes where failure is not null") == 0
