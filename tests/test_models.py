"""What every model keeps to, whatever is behind it: the fake, a server, and where they are installed local weights."""

from __future__ import annotations

import asyncio
import os
from collections.abc import Iterator

import pytest
from serving import HELLO, client, serving

from sotopia_pi.episodes.records import action_schema
from sotopia_pi.models.fake import FakeModel
from sotopia_pi.models.protocol import ChatModel, Completion, JsonSchema, Message, Sampling
from sotopia_pi.models.remote.opening import Remotes

SAMPLING = Sampling(temperature=0.0, max_tokens=8)
OTHER = JsonSchema("pair", {"type": "object", "properties": {"a": {"type": "integer"}}, "required": ["a"]})
#: A spec such as openai:NAME@http://127.0.0.1:8000/v1 of a real server to hold to the same rules.
REAL = "SOTOPIA_PI_TEST_SERVER"


@pytest.fixture(params=["fake", "server", pytest.param("local", marks=pytest.mark.weights), "real server"])
def model(request: pytest.FixtureRequest) -> Iterator[ChatModel]:
    if request.param == "fake":
        yield FakeModel()
    elif request.param == "server":
        with serving() as server:
            yield client(server)
    elif request.param == "real server":
        if REAL not in os.environ:
            pytest.skip(f"{REAL} names no server")
        yield Remotes().model(os.environ[REAL])
    else:
        weights = request.getfixturevalue("weights")
        from sotopia_pi.models.local import LocalModel

        local = LocalModel(weights, slots=8, max_context=512)
        yield local
        local.close()


class TestEveryModel:
    def ask(self, model: ChatModel, messages: list[Message], schema: JsonSchema | None = None) -> Completion:
        return asyncio.run(model.complete(messages, SAMPLING, 7, "c", schema=schema))

    def test_it_has_a_name_and_answers_with_text_and_tokens(self, model: ChatModel) -> None:
        reply = self.ask(model, HELLO, action_schema())
        assert model.name and isinstance(reply.text, str) and reply.text
        assert reply.prompt_tokens > 0 and reply.completion_tokens > 0
        assert 0 <= reply.cached_tokens <= reply.prompt_tokens
        assert reply.cost is None or reply.cost >= 0

    def test_a_conversation_grows_and_is_released(self, model: ChatModel) -> None:
        async def talk() -> list[Completion]:
            first = await model.complete(HELLO, SAMPLING, 1, "c", schema=action_schema())
            longer = [
                *HELLO,
                Message(role="assistant", content=first.text),
                Message(role="user", content="Turn 3. The other person: Good morning, how are you today?"),
            ]
            second = await model.complete(longer, SAMPLING, 2, "c", schema=action_schema())
            await model.release("c")
            await model.release("never heard of")
            return [first, second, await model.complete(longer, SAMPLING, 3, "c")]

        first, second, third = asyncio.run(talk())
        assert second.prompt_tokens > first.prompt_tokens
        assert third.prompt_tokens > first.prompt_tokens

    def test_many_may_ask_at_once(self, model: ChatModel) -> None:
        async def crowd() -> list[Completion]:
            calls = (model.complete(HELLO, SAMPLING, i, f"c{i}", schema=action_schema()) for i in range(6))
            return await asyncio.gather(*calls)

        assert len([reply.text for reply in asyncio.run(crowd())]) == 6

    def test_a_call_may_be_cancelled_and_the_model_answers_on(self, model: ChatModel) -> None:
        async def impatient() -> Completion:
            call = asyncio.ensure_future(model.complete(HELLO, SAMPLING, 1, "c"))
            await asyncio.sleep(0)
            call.cancel()
            await asyncio.gather(call, return_exceptions=True)
            return await model.complete(HELLO, SAMPLING, 2, "d")

        assert asyncio.run(impatient()).completion_tokens > 0

    def test_any_schema_is_taken(self, model: ChatModel) -> None:
        assert self.ask(model, HELLO, OTHER).text

    def test_messages_are_not_changed(self, model: ChatModel) -> None:
        before = [dict(message) for message in HELLO]
        self.ask(model, HELLO)
        assert [dict(message) for message in HELLO] == before
