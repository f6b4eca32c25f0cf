"""A fixed check of every kind, and drawn ones."""

from __future__ import annotations

from random import Random
from typing import Any

from hypothesis import strategies as st

from sotopia_pi.environments import environment
from sotopia_pi.environments.division import DivisionCheck
from sotopia_pi.environments.favour import FavourCheck
from sotopia_pi.environments.friend import FriendCheck, Person
from sotopia_pi.environments.hiring import HiringCheck
from sotopia_pi.environments.meeting import MeetingCheck
from sotopia_pi.environments.price import PriceCheck

KINDS = ("division", "favour", "friend", "hiring", "meeting", "price")
SPLITS = ("train", "dev", "test")

PRICE = PriceCheck(item="guitar", seller=0, limits=(200, 300), targets=(290, 180), listed=290)
DIVISION = DivisionCheck(
    counts={"coin": 3, "pen": 1, "hat": 2},
    values=({"coin": 2, "pen": 4, "hat": 0}, {"coin": 0, "pen": 4, "hat": 3}),
)
MEETING = MeetingCheck(
    occasion="go swimming",
    what="time",
    options=("Monday 8:00", "Tuesday 15:00", "Friday 9:00"),
    values=(
        {"Monday 8:00": 10, "Tuesday 15:00": 6, "Friday 9:00": 0},
        {"Monday 8:00": 3, "Tuesday 15:00": 7, "Friday 9:00": 10},
    ),
)
HIRING = HiringCheck(
    job="clerk",
    employer=0,
    salaries=(36000, 38000, 40000, 42000, 44000),
    most_days=4,
    months=("June", "July", "August", "September"),
    weights=((6, 2, 2), (2, 6, 2)),
    late=(True, False),
    least=(2, 3),
)
FRIEND = FriendCheck(
    lists=(
        (Person("Mia", "bakery", "chess"), Person("Tom", "school", "tennis"), Person("Ada", "bank", "chess")),
        (Person("Mia", "bakery", "chess"), Person("Tom", "school", "hiking"), Person("Eva", "bank", "chess")),
    )
)
FAVOUR = FavourCheck(cause="the choir", asker=0, purposes=("robes", "a piano", "trips"), limits=(60, 30, 10), hope=80)
CHECKS: dict[str, Any] = {check.kind: check for check in (PRICE, DIVISION, MEETING, HIRING, FRIEND, FAVOUR)}


@st.composite
def drawn(draw: st.DrawFn) -> Any:
    """The environment and check of any kind, in any split."""
    env = environment(draw(st.sampled_from(KINDS)))
    split = draw(st.sampled_from(SPLITS))
    rng = Random(draw(st.integers(0, 10_000)))
    return env, env.draw(rng, split, rng.choice(env.entries(split)))
