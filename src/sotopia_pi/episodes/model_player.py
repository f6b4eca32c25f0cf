"""The agent that asks a model: renders the view, reads the reply, asks once more when the reply is malformed."""

from __future__ import annotations

from sotopia_pi.episodes.agents import Reply
from sotopia_pi.episodes.records import NOTHING, ActionError, Usage, action_schema, parse_action
from sotopia_pi.episodes.views import Layout, Rendering, View, declaring
from sotopia_pi.models.answers import shown_again
from sotopia_pi.models.protocol import ChatModel, Completion, Message, Sampling
from sotopia_pi.prompts import Prompts, default_prompts
from sotopia_pi.records import derive_seed


class ModelPlayer:
    """A named policy: a model and how it is sampled."""

    def __init__(
        self,
        name: str,
        model: ChatModel,
        sampling: Sampling,
        layout: Layout = "chat",
        prompts: Prompts | None = None,
    ) -> None:
        self.name = name
        self.model = model
        self.sampling = sampling
        self.layout: Layout = layout
        self.prompts = prompts or default_prompts()

    def seat(self, role: int, seed: int) -> ModelAgent:
        """An agent whose every reply is drawn with a seed derived from `seed` and the turn."""
        return ModelAgent(self, f"{self.name}/{role}/{seed}", seed)


class ModelAgent:
    """One role of one episode, played by a model."""

    def __init__(self, player: ModelPlayer, conversation: str, seed: int) -> None:
        self._player = player
        self._conversation = conversation
        self._seed = seed
        self._rendering = Rendering(player.layout, player.prompts)

    async def act(self, view: View) -> Reply:
        """The model's action. A reply that is malformed twice is an invalid turn: it does nothing and is kept."""
        chat, declare = self._rendering.messages(view), declaring(view)
        first = await self._ask(chat, view, attempt=0)
        usage = _usage(first)
        try:
            return Reply(parse_action(first.text, first.finish, declare), raw=first.text, usage=usage)
        except ActionError as error:
            complaint = self._player.prompts.fill("reask", error=error)
        shown = shown_again(first.text)
        chat += [Message(role="assistant", content=shown), Message(role="user", content=complaint)]
        second = await self._ask(chat, view, attempt=1)
        usage += _usage(second)
        try:
            action = parse_action(second.text, second.finish, declare)
            return Reply(action, raw=second.text, reasked=True, usage=usage)
        except ActionError as error:
            return Reply(NOTHING, second.text, valid=False, reasked=True, usage=usage, cause=error.cause)

    async def close(self) -> None:
        """Lets the model forget the conversation."""
        await self._player.model.release(self._conversation)

    async def _ask(self, chat: list[Message], view: View, attempt: int) -> Completion:
        seed = derive_seed(self._seed, view.turn_number, attempt)
        model, sampling = self._player.model, self._player.sampling
        return await model.complete(chat, sampling, seed, self._conversation, schema=action_schema(view.kind))


def _usage(completion: Completion) -> Usage:
    return Usage(
        prompt=completion.prompt_tokens,
        cached=completion.cached_tokens,
        completion=completion.completion_tokens,
        cost=completion.cost,
    )
