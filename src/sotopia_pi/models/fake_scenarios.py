"""A model without weights that writes scenarios, for tests and for trying out task generation.

What it writes depends on the note it is given and the seed, and on nothing else. On request it misbehaves as models
do: on every so many notes its first reply breaks a rule, and on half of those the second one too.
"""

from __future__ import annotations

import hashlib
import json
import random
from collections.abc import Callable, Sequence
from typing import Any

from sotopia_pi.models.fake import Answer, FakeModel
from sotopia_pi.models.protocol import Message

_PLACES = (
    "bus depot|harbour office|roof terrace|empty classroom|tool shed|market hall|boat landing|"
    "village library|night train|community kitchen|quiet chapel|sports pavilion|flooded cellar|"
    "windy car park|puppet theatre|apple orchard|waiting room|radio studio|print shop|ice rink|"
    "observatory dome|hotel lobby|bicycle workshop"
)
_LOOKS = (
    "amber|battered|checked|dusty|enormous|faded|gilded|heavy|ivory|jagged|knitted|lacquered|mossy|narrow|"
    "oval|patched|quilted|rusty|striped|tiny|upturned|varnished|wooden|yellow|zigzag|borrowed|cracked|"
    "dented|folded|glazed|hollow|polished|rented|salvaged|tangled|unpaid|wrapped|painted|missing|spare"
)
_THINGS = (
    "accordion|anchor|barometer|basket|blanket|bracelet|cabinet|candle|canoe|carpet|compass|contract|"
    "curtain|desk|drum|easel|engine|fence|fountain|garden|hammock|harp|invoice|kettle|ladder|lantern|"
    "ledger|letter|loom|mirror|mosaic|notebook|oar|oven|parcel|pendulum|piano|portrait|quilt|raft|recipe|"
    "rocket|saddle|sculpture|shelf|sledge|stove|suitcase|tapestry|telescope|tent|ticket|trunk|tunnel|"
    "umbrella|vase|violin|wagon|wardrobe|workbench"
)
_PAIRS = (
    ("Two strangers", 0),
    ("Two people who know each other by name", 1),
    ("Two acquaintances", 2),
    ("Two friends", 3),
    ("A couple", 4),
    ("Two relatives", 5),
)


def scenario_model(every: int = 0, name: str = "fake", reachable: bool = True) -> FakeModel:
    """A model that writes valid scenarios; with `every` it misbehaves on one note in so many."""
    return FakeModel(scenario_answer(every), name=name, reachable=reachable)


def scenario_answer(every: int = 0, ways: Sequence[str] = ()) -> Answer:
    """The answers of `scenario_model`; `ways` are the names in `MISBEHAVIOURS` to draw from (none: all of them)."""

    def answer(messages: Sequence[Message], seed: int) -> str:
        note = messages[1]["content"] if len(messages) > 1 else ""
        row = _scenario(random.Random(f"{note}/{seed}"))
        luck = int.from_bytes(hashlib.sha256(note.encode()).digest()[:8], "big")
        asked_again = len(messages) > 2
        if not every or luck % every or (asked_again and luck // every % 2):
            return json.dumps(row)
        chosen = ways or tuple(MISBEHAVIOURS)
        return MISBEHAVIOURS[chosen[luck // every // 2 % len(chosen)]](row)

    return answer


def _scenario(drawn: random.Random) -> dict[str, Any]:
    looks, things = (drawn.sample(words.split("|"), 9) for words in (_LOOKS, _THINGS))
    a, b, c, d, e, f, g, h, i = (f"{look} {thing}" for look, thing in zip(looks, things, strict=True))
    who, level = drawn.choice(_PAIRS)
    return {
        "situation": f"{who} at the {drawn.choice(_PLACES.split('|'))} talk about the {a}, the {b} and the {c}.",
        "goals": [
            f"Get the {a} today, offer the {d}, and hide the {e} and the {f}.",
            f"Keep the {a}, ask for the {g}, and give up the {h} or the {i} at most.",
        ],
        "relationship": level,
        "ages": [[18, 120], [18, 120]],
        "occupations": [[], []],
    }


def _changed(**fields: Any) -> Callable[[dict[str, Any]], str]:
    return lambda row: json.dumps({**row, **fields})


#: How a reply can be wrong, by name.
MISBEHAVIOURS: dict[str, Callable[[dict[str, Any]], str]] = {
    "prose": lambda row: "I would rather not write that.",
    "empty": lambda row: "",
    "truncated": lambda row: json.dumps(row)[:-40],
    "broken": lambda row: json.dumps(row).replace(":", "=", 3),
    "a list": lambda row: json.dumps([1, 2, 3]),
    "nested": lambda row: '{"a":' * 3_000 + "1" + "}" * 3_000,
    "one goal": lambda row: json.dumps({**row, "goals": row["goals"][:1]}),
    "empty goal": lambda row: json.dumps({**row, "goals": [row["goals"][0], "  "]}),
    "same goals": lambda row: json.dumps({**row, "goals": row["goals"][:1] * 2}),
    "gender": lambda row: json.dumps({**row, "goals": [f"{row['goals'][0]} She must not know.", row["goals"][1]]}),
    "name": lambda row: json.dumps({**row, "situation": f"{row['situation']} It belongs to Maria."}),
    "minors": _changed(ages=[[9, 17], [18, 120]]),
    "private goal": lambda row: json.dumps({**row, "situation": f"{row['situation']} {row['goals'][0]}"}),
    "long": lambda row: json.dumps({**row, "situation": row["situation"] * 50}),
    "relationship": _changed(relationship=9),
    "occupation": _changed(occupations=[["dragon tamer"], []]),
    "types": _changed(situation=7, goals={"0": "a"}),
    "markup": lambda row: json.dumps({**row, "situation": f"{row['situation']} [insert reason]"}),
    "surrogate": lambda row: json.dumps({**row, "situation": f"{row['situation']} \ud800"}),
}
