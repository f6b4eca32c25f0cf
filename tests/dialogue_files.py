"""Small files in the shapes of the published dialogue data sets; every sentence is ours."""

from __future__ import annotations

import csv
import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

#: Numbers that only one role may know, and that no sentence says: per format, role 0's and role 1's.
TRANSCRIPT = {
    "id": "t1",
    "scenario": "Two flatmates have one parking space for the weekend.",
    "relationship": "friend",
    "roles": [
        {
            "name": "Ada Moss",
            "goal": "Get the space on Saturday, for the trailer.",
            "secret": "Has sold her own space.",
        },
        {
            "name": "Bo Lind",
            "goal": "Get the space on Sunday, for his aunt.",
            "profile": {"age": 52, "occupation": "cook"},
        },
    ],
    "turns": [
        {"role": 0, "text": "May I have the space this weekend?"},
        {"role": "Bo Lind", "text": "I need it on one of the days."},
        {"role": 1, "action": "looks at the calendar", "type": "non-verbal communication"},
        {"role": 0, "text": "Then Saturday is mine."},
        {"role": 0, "text": "And the other day yours."},
        {"role": 1, "type": "leave"},
    ],
    "scores": [{"goal": 9, "relationship": 2}, {"goal": 8}],
}

_DIALOGUE = (
    "YOU: may i have the hats and a book ? <eos> THEM: then the rest is mine . <eos> YOU: fine by me <eos> "
    "THEM: <selection>"
)
_TURNED = _DIALOGUE.replace("YOU", "US").replace("THEM", "YOU").replace("US", "THEM")
DEALS = [
    f"<input> 2 1 2 4 1 0 </input> <dialogue> {_DIALOGUE} </dialogue> "
    "<output> item0=1 item1=2 item2=0 item0=1 item1=0 item2=1 </output> <partner_input> 2 3 2 0 1 4 </partner_input>",
    f"<input> 2 3 2 0 1 4 </input> <dialogue> {_TURNED} </dialogue> "
    "<output> item0=1 item1=0 item2=1 item0=1 item1=2 item2=0 </output> <partner_input> 2 1 2 4 1 0 </partner_input>",
    "<input> 1 4 4 1 1 2 </input> <dialogue> THEM: all for me <eos> YOU: no way <eos> THEM: <selection> </dialogue> "
    f"<output> {'<no_agreement> ' * 6}</output> <partner_input> 1 6 4 1 1 0 </partner_input>",
]


def bargain(number: int = 1, accepted: bool = True, **changes: Any) -> dict[str, Any]:
    """A dialogue as in CraigslistBargain: the buyer aims for $613 and the seller for $877; $701 is agreed."""
    item = {
        "Title": "Canoe",
        "Description": ["Green.", "One paddle."],
        "Price": 877.0,
        "Category": "boats",
        "Images": [],
    }
    events = [
        {"agent": 1, "time": "1", "action": "message", "data": "Is the canoe dry?", "start_time": "0", "metadata": {}},
        {"agent": 0, "time": "2", "action": "message", "data": "Dry as a bone."},
        {"agent": 0, "time": "3", "action": "message", "data": "Make me an offer."},
        {"agent": 1, "time": "4", "action": "offer", "data": {"price": 701.0, "sides": ""}},
        {"agent": 0, "time": "5", "action": "accept" if accepted else "reject", "data": None},
    ]
    return {
        "uuid": f"C_{number}",
        "scenario_uuid": "S_1",
        "agents": {"0": "human", "1": "human"},
        "agents_info": {"worker": "W123"},
        "scenario": {
            "uuid": "S_1",
            "category": "boats",
            "kbs": [
                {"personal": {"Role": "seller", "Target": 877.0, "Bottomline": None}, "item": item},
                {"personal": {"Role": "buyer", "Target": 613.0, "Bottomline": None}, "item": item},
            ],
        },
        "events": events,
        "outcome": {"reward": int(accepted), "offer": {"price": 701.0, "sides": ""} if accepted else None},
        **changes,
    }


def camp(number: int = 1, **changes: Any) -> dict[str, Any]:
    """A dialogue as in CaSiNo: agent 2 begins; 21 points for it and 20 for agent 1."""
    deal = {
        "issue2youget": {"Food": "3", "Water": "0", "Firewood": "2"},
        "issue2theyget": {"Food": "0", "Water": "3", "Firewood": "1"},
    }
    person = {"demographics": {"age": 77, "gender": "female"}, "personality": {"svo": "proself"}}
    reasons = {"High": "my cousin Zenobia", "Medium": "b", "Low": "c"}

    def participant(worth: dict[str, str], points: int) -> dict[str, Any]:
        return {
            "value2issue": worth,
            "value2reason": reasons,
            "outcomes": {"points_scored": points, "satisfaction": "Undecided", "opponent_likeness": "Undecided"},
            **person,
        }

    return {
        "dialogue_id": number,
        "chat_logs": [
            {"text": "Hello! What are you short of?", "task_data": {}, "id": "mturk_agent_2"},
            {"text": "Something to drink, mostly.", "task_data": {}, "id": "mturk_agent_1"},
            {"text": "Submit-Deal", "task_data": deal, "id": "mturk_agent_2"},
            {"text": "Accept-Deal", "task_data": {"data": "accept_deal"}, "id": "mturk_agent_1"},
        ],
        "participant_info": {
            "mturk_agent_1": participant({"High": "Water", "Medium": "Food", "Low": "Firewood"}, 18),
            "mturk_agent_2": participant({"High": "Food", "Medium": "Water", "Low": "Firewood"}, 21),
        },
        "annotations": [],
        **changes,
    }


MESSAGES = [
    (0, 0, "Do you know the charity?", "d1"),
    (0, 1, "By name, only.", "d1"),
    (1, 0, "It helps, quietly.", "d1"),
    (1, 0, "Would you give a little?", "d1"),
    (1, 1, "Half a dollar, yes.", "d1"),
    (0, 0, "Good evening.", "d2"),
    (0, 1, "And to you.", "d2"),
]


def write_json(path: Path, value: Any) -> Path:
    path.write_text(json.dumps(value), encoding="utf-8")
    return path


def write_rows(path: Path, header: Sequence[str], rows: Sequence[Sequence[Any]]) -> Path:
    with path.open("w", encoding="utf-8", newline="") as file:
        writer = csv.writer(file)
        writer.writerow(header)
        writer.writerows(rows)
    return path


def files(folder: Path, kind: str) -> list[Path]:
    """The files of a format, with a few dialogues in them."""
    if kind == "transcript":
        path = folder / "talks.jsonl"
        path.write_text(json.dumps(TRANSCRIPT) + "\n", encoding="utf-8")
        return [path]
    if kind == "dealornodeal":
        path = folder / "train.txt"
        path.write_text("\n".join(DEALS) + "\n", encoding="utf-8")
        return [path]
    if kind == "craigslist":
        return [write_json(folder / "train.json", [bargain(1), bargain(2, accepted=False)])]
    if kind == "casino":
        return [write_json(folder / "casino.json", [camp()])]
    rows = [(n, text, turn, who, id) for n, (turn, who, text, id) in enumerate(MESSAGES)]
    dialogues = write_rows(folder / "full_dialog.csv", ("", "Unit", "Turn", "B4", "B2"), rows)
    people = [("d1", "u1", 0, 0, 77, "Female"), ("d1", "u2", 1, 0.5, 77, "Male"), ("d2", "u3", 0, 1, 77, "Male")]
    info = write_rows(folder / "full_info.csv", ("B2", "B3", "B4", "B6", "age.x", "sex.x"), people)
    return [dialogues, info]
