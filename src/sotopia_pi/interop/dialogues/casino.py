"""CaSiNo (Chawla et al. 2021, arXiv 2103.15721): `casino.json` and its splits, a JSON list of dialogues.

Two campers divide three packages each of food, water and firewood. What a role needs most is worth 5 points a package,
then 4, then 3; who walks away has 5 points. GOAL = 10 x points / 36, where 36 is everything, and FIN = GOAL / 2. Points
are counted from the deal that was accepted and must be those that the data give. The scenario carries no check, because
our division gives nothing for walking away. Demographics, personality, satisfaction and the players' own reasons are
not read.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from sotopia_pi.environments import FIN, GOAL
from sotopia_pi.episodes.records import ActionType
from sotopia_pi.interop.dialogues.listing import read_list
from sotopia_pi.interop.dialogues.records import (
    Dialogue,
    Found,
    Score,
    Talk,
    amount,
    cast,
    finding,
    mapping,
    number,
    sequence,
    undecided,
)
from sotopia_pi.interop.problems import RecordError
from sotopia_pi.world.records import Scenario

_ITEMS = ("Food", "Water", "Firewood")
_COUNT = 3
_POINTS = {"High": 5, "Medium": 4, "Low": 3}
_ALL = _COUNT * sum(_POINTS.values())
_WALKED = 5
_SITUATION = (
    "Two neighbours on a campsite divide what is left in the store for their trips: 3 packages of food, 3 of water and "
    "3 of firewood. They talk, one proposes a deal, and the other accepts or rejects it. Who walks away without a deal "
    f"has {_WALKED} points."
)

Deal = dict[str, int]


def find(paths: Sequence[Path]) -> Iterator[Found]:
    """The dialogues of the files, by their place in the list."""
    return finding(paths, read_list, "dialogue_id")


def read(value: Any) -> Dialogue:
    """The dialogue of a found record. RecordError says why there is none."""
    info = mapping(value.get("participant_info"), "'participant_info'")
    logs = [mapping(log, f"message {n}") for n, log in enumerate(sequence(value.get("chat_logs"), "'chat_logs'"), 1)]
    if len(info) != 2 or not logs:
        raise RecordError("there are not two participants who write to each other")
    agents = sorted(info, key=lambda agent: bool(agent != logs[0].get("id")))
    if agents[0] != logs[0].get("id"):
        raise RecordError("message 1 is of none of the participants")
    worth = [_worth(mapping(info[agent], f"participant {agent}")) for agent in agents]
    scenario = Scenario(
        situation=_SITUATION, goals=tuple(_goal(side) for side in worth), kind="camping", source="casino"
    )
    talk, deal, ending = _talk(logs, agents)
    scores, outcome = _scores([info[agent] for agent in agents], worth, deal, ending)
    return Dialogue(cast(scenario, ("camper", "camper")), talk.done(), scores, outcome)


def _worth(participant: dict[str, Any]) -> Deal:
    """What a package of each item is worth to a participant, in points."""
    issues = mapping(participant.get("value2issue"), "'value2issue'")
    found = {issues[level]: points for level, points in _POINTS.items() if isinstance(issues.get(level), str)}
    if set(found) != set(_ITEMS):
        raise RecordError(f"'value2issue' does not rank {', '.join(_ITEMS)}")
    return found


def _goal(worth: Deal) -> str:
    told = ", ".join(f"{item.lower()} {points}" for item, points in worth.items())
    return f"Get as many points as you can. To you a package is worth: {told}."


def _talk(logs: Sequence[dict[str, Any]], agents: Sequence[str]) -> tuple[Talk, list[Deal] | None, str]:
    """The turns, the shares by role that were proposed last, and how it ended: accepted, left or nothing."""
    talk, deal, ending = Talk(), None, ""
    for place, log in enumerate(logs, 1):
        if log.get("id") not in agents:
            raise RecordError(f"message {place} is of none of the participants")
        role, text = agents.index(log["id"]), log.get("text")
        match text:
            case "Submit-Deal":
                own, other = _deal(log.get("task_data"), place)
                deal = [own, other] if role == 0 else [other, own]
                talk.act(role, f"proposes a deal: {_told(own)} for themselves, {_told(other)} for the other")
            case "Accept-Deal":
                ending = "accepted"
                talk.act(role, "accepts the deal")
            case "Reject-Deal":
                talk.act(role, "rejects the deal")
            case "Walk-Away":
                ending = "left"
                talk.act(role, "", ActionType.LEAVE)
            case str():
                talk.say(role, text)
            case _:
                raise RecordError(f"message {place} has no text")
    return talk, deal, ending


def _deal(data: Any, place: int) -> tuple[Deal, Deal]:
    data = mapping(data, f"the deal of message {place}")
    shares = []
    for key in ("issue2youget", "issue2theyget"):
        given = mapping(data.get(key), f"{key!r} of message {place}")
        counts = {item: number(given.get(item), f"{item} in message {place}") for item in _ITEMS}
        if any(not count.is_integer() for count in counts.values()):
            raise RecordError(f"the deal of message {place} has parts of packages")
        shares.append({item: int(count) for item, count in counts.items()})
    if any(shares[0][item] + shares[1][item] != _COUNT or min(s[item] for s in shares) < 0 for item in _ITEMS):
        raise RecordError(f"the deal of message {place} is not {_COUNT} packages of each")
    return shares[0], shares[1]


def _told(share: Deal) -> str:
    return ", ".join(f"{count} {item.lower()}" for item, count in share.items() if count) or "nothing"


def _scores(
    info: Sequence[dict[str, Any]], worth: Sequence[Deal], deal: list[Deal] | None, ending: str
) -> tuple[tuple[Score, ...], dict[str, Any] | None]:
    if not ending or (ending == "accepted" and deal is None):
        return undecided("nobody accepts a deal or walks away"), None
    shares = deal if ending == "accepted" else None
    points = [
        _WALKED if shares is None else sum(worth[role][item] * shares[role][item] for item in _ITEMS) for role in (0, 1)
    ]
    for role, one in enumerate(info):
        outcomes = one.get("outcomes")
        given = amount(outcomes.get("points_scored") if isinstance(outcomes, dict) else None, "'points_scored'")
        if given is not None and given != points[role]:
            return undecided(
                f"the data give role {role} {given:g} points and the end of the dialogue {points[role]}"
            ), None
    how = "A deal was accepted" if shares is not None else "Somebody walked away"
    made = tuple(
        Score({GOAL: 10 * own / _ALL, FIN: 5 * own / _ALL}, f"{how}: {own} of {_ALL} points.") for own in points
    )
    return made, {"deal": False} if shares is None else {"deal": True, "shares": shares}
