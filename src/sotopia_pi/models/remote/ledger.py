"""What a run has paid and may still pay.

Every call reserves the most it can cost before it is sent and settles what it did cost, so the budget cannot be
exceeded by calls in flight. Episodes enter one by one while the budget has room for them and for those being played:
when it has not, those being played are finished and stored before the run stops.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import asdict, dataclass, field
from typing import Any

from sotopia_pi.errors import BudgetError

#: Episodes that are played at once before anything is known about what one costs.
_SCOUTS = 4
#: How much dearer than the mean an episode may be without coming as a surprise.
_MARGIN = 1.5


@dataclass(slots=True)
class Spending:
    """Calls of one model, their tokens, and US dollars; `unpriced` calls are those whose cost is not known.

    `uncounted` are those of them whose tokens the server did not report, or not in a way that can be right;
    `not_sent` is how many calls went without something that the config asks for, by its name.
    """

    calls: int = 0
    prompt: int = 0
    cached: int = 0
    completion: int = 0
    cost: float = 0.0
    unpriced: int = 0
    uncounted: int = 0
    not_sent: dict[str, int] = field(default_factory=dict)


class Ledger:
    """Spending by model, within a budget in US dollars if there is one."""

    def __init__(self, budget: float | None = None, spent: Mapping[str, Mapping[str, Any]] | None = None) -> None:
        """`spent` is what `facts` gave when the run was last closed."""
        self.budget = budget
        self._models = {
            name: Spending(**{**values, "not_sent": dict(values.get("not_sent", {}))})
            for name, values in (spent or {}).items()
        }
        self._before = self.total
        self._reserved = 0.0
        self._reservations = 0
        self._playing = 0
        self._played = 0
        self._changed: asyncio.Event | None = None

    @property
    def total(self) -> float:
        """US dollars spent so far, as far as prices are known."""
        return sum(spending.cost for spending in self._models.values())

    def facts(self) -> dict[str, dict[str, Any]]:
        """What each model cost, JSON-able."""
        return {name: asdict(spending) for name, spending in self._models.items()}

    def not_sent(self) -> dict[str, list[str]]:
        """What calls went without although the config asks for it, by model, in words; nothing for other models."""
        return {
            name: [f"{what} in {count} of {spending.calls} calls" for what, count in sorted(spending.not_sent.items())]
            for name, spending in self._models.items()
            if spending.not_sent
        }

    def __str__(self) -> str:
        """The sums in a line."""
        calls = sum(spending.calls for spending in self._models.values())
        unknown = [name for name, spending in self._models.items() if spending.unpriced > spending.uncounted]
        note = f"; no price is known for {', '.join(unknown)}" if unknown else ""
        for name, spending in self._models.items():
            if spending.uncounted:
                note += f"; {spending.uncounted} calls of {name} came without a usable number of tokens"
        return f"${self.total:.4f} for {calls} calls{note}"

    async def reserve(self, most: float) -> float:
        """Waits until the budget has room for a call that costs `most` at most. BudgetError when it never will."""
        if self.budget is None:
            return 0.0
        while self.total + self._reserved + most > self.budget:
            if not self._reservations:
                raise self._spent()
            await self._change()
        if most:
            self._reserved += most
            self._reservations += 1
        return most

    def settle(
        self, reserved: float, model: str, tokens: tuple[int, int, int], cost: float | None, counted: bool = True
    ) -> None:
        """Enters a call that was answered: prompt, cached and reply tokens, and its cost, None where not known.

        A cost that is not known counts with what was reserved for it. `counted` is False where nobody knows the tokens.
        """
        spending = self._models.setdefault(model, Spending())
        spending.calls += 1
        spending.prompt += tokens[0]
        spending.cached += tokens[1]
        spending.completion += tokens[2]
        spending.cost += reserved if cost is None else cost
        spending.unpriced += cost is None
        spending.uncounted += not counted
        self.give_back(reserved)

    def went_without(self, model: str, missing: Sequence[str]) -> None:
        """Enters what a call that was answered did not send although the config asks for it."""
        if missing:
            counts = self._models.setdefault(model, Spending()).not_sent
            counts.update({what: counts.get(what, 0) + 1 for what in missing})

    def give_back(self, reserved: float) -> None:
        """Ends the reservation of a call."""
        if reserved:
            self._reservations -= 1
            # The sum of floats leaves a residue; with nothing reserved it is exactly nothing.
            self._reserved = max(0.0, self._reserved - reserved) if self._reservations else 0.0
            self._wake()

    @asynccontextmanager
    async def episode(self) -> AsyncIterator[None]:
        """Plays within the budget: waits for room for one more episode. BudgetError when there will be none."""
        while not self._has_room():
            if not self._playing:
                raise self._spent()
            await self._change()
        self._playing += 1
        try:
            yield
            self._played += 1
        finally:
            self._playing -= 1
            self._wake()

    def _has_room(self) -> bool:
        if self.budget is None:
            return True
        if not self._played:
            return self._playing < _SCOUTS and self.total < self.budget
        each = _MARGIN * (self.total - self._before) / self._played
        return self.total + each * (self._playing + 1) <= self.budget

    def _spent(self) -> BudgetError:
        return BudgetError(
            f"The budget of ${self.budget:.2f} has no room for more (this run has spent ${self.total:.4f}); what was "
            "played is kept. Give a higher --budget to go on."
        )

    async def _change(self) -> None:
        if self._changed is None:
            self._changed = asyncio.Event()
        await self._changed.wait()

    def _wake(self) -> None:
        if self._changed is not None:
            self._changed.set()
            self._changed = None
