"""CraigslistBargain (He et al. 2018, arXiv 1808.09637): `train.json` and the like, a JSON list of dialogues.

Each agent has a role (buyer, seller) and a target price; the listing is seen by both. Where a file also gives each side
a limit (`Bottomline`), the task is a bargain (environments/price.py), and offering and accepting are turns with terms.
The published files give none, so their tasks are open: a bargain tells a role its limit, and the only number to take
for it would be the partner's private target. What was agreed is then what the data say, with GOAL = 10 x own share of
the room between both targets and FIN = 5 x the same, clamped. Where the data have no price (they write -1), none is
told: a listing without one, a goal without an aim, which is not rated.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from pydantic import ValidationError

from sotopia_pi.environments import environment
from sotopia_pi.environments.price import PriceCheck
from sotopia_pi.episodes.records import ActionType
from sotopia_pi.interop.dialogues.listing import read_list
from sotopia_pi.interop.dialogues.records import (
    Dialogue,
    Found,
    Score,
    Talk,
    cast,
    finding,
    is_told,
    mapping,
    missing,
    money,
    price,
    sequence,
)
from sotopia_pi.interop.problems import RecordError
from sotopia_pi.interop.profiles import validated
from sotopia_pi.world.records import Scenario

#: Events of the chat program that are nobody's turn.
_IGNORED = ("join", "typing", "eval", "select")
_LONGEST = 800


def find(paths: Sequence[Path]) -> Iterator[Found]:
    """The dialogues of the files, by their place in the list."""
    return finding(paths, read_list, "uuid")


@dataclass(frozen=True, slots=True)
class _Side:
    """What the data tell of an agent."""

    sells: bool
    target: float | None
    limit: float | None

    @property
    def part(self) -> str:
        return "seller" if self.sells else "buyer"


@dataclass(frozen=True, slots=True)
class _Event:
    """What an agent does, at a place in the list (from 1)."""

    place: int
    agent: int
    action: Any
    data: Any


def read(value: Any) -> Dialogue:
    """The dialogue of a found record. RecordError says why there is none."""
    kbs = sequence(mapping(value.get("scenario"), "'scenario'").get("kbs"), "'kbs'")
    if len(kbs) != 2:
        raise RecordError(f"there are {len(kbs)} agents and not two")
    agents = [_side(kb) for kb in kbs]
    if agents[0].sells == agents[1].sells:
        raise RecordError("the two are not a buyer and a seller")
    events = list(_events(value))
    order = (1, 0) if events and events[0].agent == 1 else (0, 1)
    sides = [agents[agent] for agent in order]
    item = mapping(kbs[0].get("item"), "'item'")
    listed = price(item.get("Price"), "the listed price")
    situation = _situation(item, listed)
    check = _check(item, sides, listed)
    env = environment("price")
    goals = [_goal(side) for side in sides] if check is None else [env.goal(check.side(role)) for role in (0, 1)]
    scenario = validated(
        Scenario,
        {
            "situation": situation,
            "goals": tuple(goals),
            "kind": "bargain" if check is None else check.kind,
            "source": "craigslist",
            "check": check,
        },
    )
    talk, accepted, offered = _talk(events, order, check)
    task = cast(scenario, [side.part for side in sides])
    prices = {**{side.part: side.target for side in sides}, "listing": listed}
    without = " and the ".join(name for name, told in prices.items() if told is None)
    note = f"there is no price for the {without}, so none is told" if without else ""
    if check is not None:
        return Dialogue(task, talk.done(), note=note)
    deal, agreed = _agreed(value, accepted, offered)
    outcome = {"deal": deal} if agreed is None else {"deal": True, "price": agreed}
    return Dialogue(task, talk.done(), _scores(sides, deal, agreed), outcome, note=note)


def _side(kb: Any) -> _Side:
    personal = mapping(mapping(kb, "an agent").get("personal"), "'personal'")
    role = str(personal.get("Role", "")).lower()
    if role not in ("buyer", "seller"):
        raise RecordError(f"the role {role[:40]!r} is neither buyer nor seller")
    target = price(personal.get("Target"), f"the target of the {role}")
    return _Side(role == "seller", target, price(personal.get("Bottomline"), f"the limit of the {role}"))


def _check(item: dict[str, Any], sides: Sequence[_Side], listed: float | None) -> PriceCheck | None:
    """The bargain, where the data give all of it and it has room for a deal."""
    try:
        return PriceCheck.model_validate(
            {
                "item": str(item.get("Title")).strip(),
                "seller": 0 if sides[0].sells else 1,
                "limits": tuple(side.limit for side in sides),
                "targets": tuple(side.target for side in sides),
                "listed": listed,
            }
        )
    except ValidationError:
        return None


def _situation(item: dict[str, Any], listed: float | None) -> str:
    title, description = item.get("Title"), item.get("Description")
    if not is_told(title):
        raise RecordError("the item has no title")
    lines = description if isinstance(description, list) else [description]
    told = " ".join(line.strip() for line in lines if is_told(line))
    told = told if len(told) <= _LONGEST else told[: _LONGEST - 1] + "…"
    at = "" if listed is None else f", listed at {money(listed)}"
    return f"An offer on a site for used things{at}: {title.strip()}. {told}".strip()


def _goal(side: _Side) -> str:
    what = "Sell it for as much as you can get" if side.sells else "Buy it for as little as you can"
    aim = "" if side.target is None else f" Aim for {money(side.target)}. The other does not know your aim."
    return f"{what}.{aim}"


def _events(value: dict[str, Any]) -> Iterator[_Event]:
    """What the agents do, without what is nobody's turn and messages without words."""
    for place, entry in enumerate(sequence(value.get("events"), "'events'"), 1):
        event = mapping(entry, f"event {place}")
        agent, action, data = event.get("agent"), event.get("action"), event.get("data")
        if action in _IGNORED:
            continue
        if agent not in (0, 1) or isinstance(agent, bool):
            raise RecordError(f"event {place} is of no agent")
        if action != "message" or (isinstance(data, str) and data.strip()):
            yield _Event(place, agent, action, data)


def _talk(events: Sequence[_Event], order: Sequence[int], check: PriceCheck | None) -> tuple[Talk, bool, float | None]:
    """The turns, whether something was accepted, and what was offered last."""
    talk, accepted, offered = Talk(check), False, None
    for event in events:
        role, place = order.index(event.agent), event.place
        match event.action:
            case "message":
                talk.say(role, event.data)
            case "offer":
                data = mapping(event.data, f"the offer of event {place}")
                offered = price(data.get("price"), f"the price of event {place}")
                talk.offer(role, "makes a formal offer" + ("" if offered is None else f" of {money(offered)}"), offered)
            case "accept":
                accepted = True
                talk.accept(role, "accepts the offer")
            case "reject":
                talk.reject(role, "rejects the offer")
            case "quit" | "leave":
                talk.act(role, "", ActionType.LEAVE)
            case _:
                action = str(event.action)[:40]
                raise RecordError(f"event {place} is {action!r}, which is no action of this data set")
    return talk, accepted, offered


def _agreed(value: dict[str, Any], accepted: bool, offered: float | None) -> tuple[bool, float | None]:
    """Whether there is a deal, and its price where the data tell it."""
    outcome = value.get("outcome")
    outcome = outcome if isinstance(outcome, dict) else {}
    if not accepted or outcome.get("reward") == 0:
        return False, None
    offer = outcome.get("offer")
    told = price(offer.get("price") if isinstance(offer, dict) else None, "the price of the outcome")
    return True, offered if told is None else told


def _scores(sides: Sequence[_Side], deal: bool, agreed: float | None) -> tuple[Score, ...]:
    """Scores of an open task: those of a bargain in which each side's limit is the other's target."""
    if deal and agreed is None:
        return (missing("the price of the offer that was accepted"),) * 2
    if sides[0].target is None or sides[1].target is None:
        return (missing("a target price for both"),) * 2
    targets, seller = (sides[0].target, sides[1].target), 0 if sides[0].sells else 1
    if targets[seller] <= targets[1 - seller]:
        return (missing("room between the two targets"),) * 2
    bargain = {"item": "offer", "seller": seller, "limits": targets[::-1], "targets": targets, "listed": max(targets)}
    check = validated(PriceCheck, bargain)
    reason = "There is no deal." if agreed is None else f"{money(agreed)} was agreed."
    return tuple(Score(scores, reason) for scores in environment("price").scores(check, agreed))
