"""CaSiNo (Chawla et al. 2021, arXiv 2103.15721): `casino.json` and its splits, a JSON list of dialogues.

Two campers divide three packages each of food, water and firewood. What a role needs most is worth 5 points a package,
then 4, then 3. The task is a division (environments/division.py) whose values are 10 x points / 36, because everything
together is worth 36 points; proposing and accepting a deal are turns with terms. The ratings are the data's own: GOAL =
10 x points / 36, FIN = GOAL / 2, and whoever walks away has 5 points, for which our division gives 0. Points are
counted from the deal that was accepted and must be those that the data give. Demographics, personality, satisfaction
and the players' own reasons are not read.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from sotopia_pi.environments import FIN, GOAL, environment
from sotopia_pi.environments.division import DivisionCheck, Share
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
    missing,
    number,
    sequence,
)
from sotopia_pi.interop.problems import RecordError
from sotopia_pi.interop.profiles import validated
from sotopia_pi.world.records import Scenario

_ITEMS = ("Food", "Water", "Firewood")
_COUNT = 3
_POINTS = {"High": 5, "Medium": 4, "Low": 3}
_ALL = _COUNT * sum(_POINTS.values())
_WALKED = 5
_THINGS = {item: f"{item.lower()} package" for item in _ITEMS}
_SITUATION = "You are neighbours on a campsite and share what is left in the store for your trips."

Points = dict[str, int]


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
    check = _check(worth)
    scenario = Scenario(
        situation=f"{_SITUATION} {environment(check.kind).situation(check)}",
        goals=tuple(_goal(side) for side in worth),
        kind=check.kind,
        source="casino",
        check=check,
    )
    talk, deal, ended = _talk(logs, agents, check)
    scores = _scores([info[agent] for agent in agents], worth, check, deal) if ended else (_NO_END, _NO_END)
    return Dialogue(cast(scenario, ("camper", "camper")), talk.done(), scores)


def _worth(participant: dict[str, Any]) -> Points:
    """What a package of each item is worth to a participant, in points."""
    issues = mapping(participant.get("value2issue"), "'value2issue'")
    found = {issues[level]: points for level, points in _POINTS.items() if isinstance(issues.get(level), str)}
    if set(found) != set(_ITEMS):
        raise RecordError(f"'value2issue' does not rank {', '.join(_ITEMS)}")
    return found


def _check(worth: Sequence[Points]) -> DivisionCheck:
    """The division: everything is worth 10 to each, so a point is worth 10 / 36."""
    values = [{_THINGS[item]: 10 * side[item] / _ALL for item in _ITEMS} for side in worth]
    return validated(DivisionCheck, {"counts": dict.fromkeys(_THINGS.values(), _COUNT), "values": values})


def _goal(worth: Points) -> str:
    told = ", ".join(f"{item.lower()} {points}" for item, points in worth.items())
    return f"Get as many points as you can. To you a package is worth: {told}."


def _talk(logs: Sequence[dict[str, Any]], agents: Sequence[str], check: DivisionCheck) -> tuple[Talk, Any, bool]:
    """The turns, what was accepted in terms of the division, and whether somebody accepted it or walked away."""
    env, talk, deal, ended = environment(check.kind), Talk(check), None, False
    for place, log in enumerate(logs, 1):
        if log.get("id") not in agents:
            raise RecordError(f"message {place} is of none of the participants")
        role, text = agents.index(log["id"]), log.get("text")
        match text:
            case "Submit-Deal":
                side = check.side(role)
                terms = side.mine(_own_share(log.get("task_data"), place))
                talk.offer(role, f"proposes a deal: {env.words(side, terms)}", terms)
            case "Accept-Deal":
                deal = talk.accept(role, "accepts the deal")
                ended = deal is not None
            case "Reject-Deal":
                talk.reject(role, "rejects the deal")
            case "Walk-Away":
                deal, ended = None, True
                talk.act(role, "", ActionType.LEAVE)
            case str():
                talk.say(role, text)
            case _:
                raise RecordError(f"message {place} has no text")
    return talk, deal, ended


def _own_share(data: Any, place: int) -> Share:
    """What the one who proposes a deal would get."""
    data = mapping(data, f"the deal of message {place}")
    shares = []
    for key in ("issue2youget", "issue2theyget"):
        given = mapping(data.get(key), f"{key!r} of message {place}")
        counts = [number(given.get(item), f"{item} in message {place}") for item in _ITEMS]
        if any(not count.is_integer() for count in counts):
            raise RecordError(f"the deal of message {place} has parts of packages")
        shares.append(tuple(int(count) for count in counts))
    own, other = shares
    if any(mine + theirs != _COUNT or min(mine, theirs) < 0 for mine, theirs in zip(own, other, strict=True)):
        raise RecordError(f"the deal of message {place} is not {_COUNT} packages of each")
    return own


_NO_END = missing("how it ended, because nobody accepts a deal or walks away")


def _scores(
    info: Sequence[dict[str, Any]], worth: Sequence[Points], check: DivisionCheck, deal: Share | None
) -> tuple[Score, ...]:
    """The points of an accepted deal, or of walking away without one."""
    made = []
    for role, one in enumerate(info):
        own = _WALKED
        if deal is not None:
            mine = check.side(role).mine(deal)
            own = sum(worth[role][item] * count for item, count in zip(_ITEMS, mine, strict=True))
        outcomes = one.get("outcomes")
        given = amount(outcomes.get("points_scored") if isinstance(outcomes, dict) else None, "'points_scored'")
        if given is not None and given != own:
            no = missing(f"points that fit how it ended; role {role} has {given:g} there, and {own} by the deal")
            return no, no
        how = "Somebody walked away" if deal is None else "A deal was accepted"
        made.append(Score({GOAL: 10 * own / _ALL, FIN: 5 * own / _ALL}, f"{how}: {own} of {_ALL} points."))
    return tuple(made)
