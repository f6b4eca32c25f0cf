"""CraigslistBargain (He et al. 2018, arXiv 1808.09637): `train.json` and the like, a JSON list of dialogues.

Each agent has a role (buyer, seller) and a target price; the listing is seen by both. The files give no lowest and
highest price, so a side's limit is taken to be the other side's target: GOAL = 10 x own share of the room between both
targets, FIN = 5 x the same, clamped (ratings/scores.py, price). The scenario carries no check, because a check tells a
role its limit, and these limits are the partner's private target. Where the data have no price (they write -1), none is
told: a listing without one, a goal without an aim, which is not rated.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from pydantic import ValidationError

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
    money,
    price,
    sequence,
    undecided,
)
from sotopia_pi.interop.problems import RecordError
from sotopia_pi.interop.profiles import validated
from sotopia_pi.ratings.scores import price_scores
from sotopia_pi.world.checks import PriceCheck
from sotopia_pi.world.records import Scenario

#: Events of the chat program that are nobody's turn.
_IGNORED = ("join", "typing", "eval", "select")
_LONGEST = 800


def find(paths: Sequence[Path]) -> Iterator[Found]:
    """The dialogues of the files, by their place in the list."""
    return finding(paths, read_list, "uuid")


def read(value: Any) -> Dialogue:
    """The dialogue of a found record. RecordError says why there is none."""
    kbs = sequence(mapping(value.get("scenario"), "'scenario'").get("kbs"), "'kbs'")
    if len(kbs) != 2:
        raise RecordError(f"there are {len(kbs)} agents and not two")
    sides = [_side(kb) for kb in kbs]
    if {sells for sells, _ in sides} != {True, False}:
        raise RecordError("the two are not a buyer and a seller")
    turns, first, offered, closed = _talk(value)
    order = (0, 1) if first == 0 else (1, 0)
    sells, targets = [sides[agent][0] for agent in order], [sides[agent][1] for agent in order]
    item = mapping(kbs[0].get("item"), "'item'")
    listed = price(item.get("Price"), "the listed price")
    scenario = validated(
        Scenario,
        {
            "situation": _situation(item, listed),
            "goals": tuple(_goal(role, target) for role, target in zip(sells, targets, strict=True)),
            "kind": "bargain",
            "source": "craigslist",
        },
    )
    scores, outcome = _scores(value, 0 if sells[0] else 1, targets, listed, offered, closed)
    task = cast(scenario, ["seller" if one else "buyer" for one in sells])
    prices = {("seller" if one else "buyer"): target for one, target in zip(sells, targets, strict=True)}
    without = " and the ".join(name for name, told in {**prices, "listing": listed}.items() if told is None)
    note = f"there is no price for the {without}, so none is told" if without else ""
    return Dialogue(task, turns, scores, outcome, note=note)


def _side(kb: Any) -> tuple[bool, float | None]:
    """Whether an agent sells, and its target if it has one."""
    personal = mapping(mapping(kb, "an agent").get("personal"), "'personal'")
    role = str(personal.get("Role", "")).lower()
    if role not in ("buyer", "seller"):
        raise RecordError(f"the role {role[:40]!r} is neither buyer nor seller")
    return role == "seller", price(personal.get("Target"), f"the target of the {role}")


def _situation(item: dict[str, Any], listed: float | None) -> str:
    title, description = item.get("Title"), item.get("Description")
    if not is_told(title):
        raise RecordError("the item has no title")
    lines = description if isinstance(description, list) else [description]
    told = " ".join(line.strip() for line in lines if is_told(line))
    told = told if len(told) <= _LONGEST else told[: _LONGEST - 1] + "…"
    at = "" if listed is None else f", listed at {money(listed)}"
    return f"An offer on a site for used things{at}: {title.strip()}. {told}".strip()


def _goal(sells: bool, target: float | None) -> str:
    what = "Sell it for as much as you can get" if sells else "Buy it for as little as you can"
    return f"{what}." if target is None else f"{what}. Aim for {money(target)}. The other does not know your aim."


def _talk(value: dict[str, Any]) -> tuple[Any, int, float | None, bool]:
    """The turns, the agent who acts first (role 0), the last offer, and whether it was accepted."""
    talk, first, offer, closed = Talk(), -1, None, False
    for place, entry in enumerate(sequence(value.get("events"), "'events'"), 1):
        event = mapping(entry, f"event {place}")
        agent, action, data = event.get("agent"), event.get("action"), event.get("data")
        if action in _IGNORED:
            continue
        if agent not in (0, 1) or isinstance(agent, bool):
            raise RecordError(f"event {place} is of no agent")
        if first < 0 and not (action == "message" and not (isinstance(data, str) and data.strip())):
            first = agent
        role = agent if first <= 0 else 1 - agent
        match action:
            case "message":
                talk.say(role, data if isinstance(data, str) else "")
            case "offer":
                offer = price(mapping(data, f"the offer of event {place}").get("price"), f"the price of event {place}")
                talk.act(role, "makes a formal offer" + ("" if offer is None else f" of {money(offer)}"))
            case "accept":
                closed = True
                talk.act(role, "accepts the offer")
            case "reject":
                talk.act(role, "rejects the offer")
            case "quit" | "leave":
                talk.act(role, "", ActionType.LEAVE)
            case _:
                raise RecordError(f"event {place} is {str(action)[:40]!r}, which is no action of this data set")
    return talk.done(), first, offer, closed


def _scores(
    value: dict[str, Any],
    seller: int,
    targets: Sequence[float | None],
    listed: float | None,
    offered: float | None,
    closed: bool,
) -> tuple[tuple[Score, ...], dict[str, Any] | None]:
    agreed = None
    if closed:
        outcome = value.get("outcome")
        offer = outcome.get("offer") if isinstance(outcome, dict) else None
        told = price(offer.get("price") if isinstance(offer, dict) else None, "the price of the outcome")
        agreed = offered if told is None else told
        if agreed is None:
            return undecided("an offer was accepted, and its price is not there"), None
    if None in targets:
        return undecided("a side has no target price"), None
    try:
        check = PriceCheck.model_validate(
            {
                "item": "offer",
                "seller": seller,
                "limits": (targets[1], targets[0]),
                "targets": tuple(targets),
                "listed": listed or targets[0],
            }
        )
    except ValidationError:
        return undecided("the two targets leave no room between them"), None
    reason = "There is no deal." if agreed is None else f"{money(agreed)} was agreed."
    scores = tuple(Score(price_scores(check, role, agreed), reason) for role in (0, 1))
    return scores, {"deal": False} if agreed is None else {"deal": True, "price": agreed}
