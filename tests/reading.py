"""A run directory to read in tests: every kind of outcome, two raters, and text that wants to be markup."""

from __future__ import annotations

from pathlib import Path

from support import CAST, PRICE, episode, price_task, turn

from sotopia_pi import config as configuration
from sotopia_pi.episodes.records import ActionType, StopReason, Usage
from sotopia_pi.ratings.records import DIMENSIONS, Rating
from sotopia_pi.rundir import CONFIG, DATABASE
from sotopia_pi.store import Store
from sotopia_pi.world.records import Relationship, Scenario, SocialTask

JUDGE = "judge:mock:1"
HOSTILE = (
    "<script>alert(1)</script> <img src=x onerror=alert(2)> [x](javascript:alert(3)) "
    "<a href='javascript:alert(4)'>go</a> \u202eesrever\u202c {{ 7 * 7 }} \u200b"
)
FLOOD = "w" * 1_000_000
STRANGERS, FRIENDS = price_task(), price_task(Relationship.FRIEND, number=1)
OPEN = SocialTask(
    scenario=Scenario(
        situation="Two neighbours meet at a fence. " + HOSTILE,
        goals=("Ask for the ladder.", "Keep the ladder."),
        kind="neighbours",
        source="test",
    ),
    characters=CAST,
)
LIMITS = [str(limit) for limit in PRICE.limits]


def run_directory(folder: Path) -> Path:
    """A run directory of six episodes: e1 and e2 evaluate bc and base, the others have one oddity each."""
    folder.mkdir()
    (folder / CONFIG).write_text(configuration.to_toml(configuration.load(None)), encoding="utf-8")
    usage = Usage(prompt=400, cached=380, completion=21, cost=0.002)
    talk = [
        turn(0, "", ActionType.NONE, valid=False, raw="I do not know JSON"),
        turn(1, "smiles", ActionType.NON_VERBAL),
        turn(0, "Eighteen for this lamp.", terms="$18", raw='Sure: {"action_type": "speak"}', usage=usage),
        turn(1, "Deal.", terms="$18", usage=usage),
    ]
    scores = dict.fromkeys(DIMENSIONS, 1.0) | {"goal": 6.0}
    reasons = {"goal": "The judge's reason.", "secret": "Kept."}

    def rated(key: str, goal: float) -> list[Rating]:
        outcome = {"deal": True, "terms": "$18", "within": True, "joint": 1.0}
        return [
            Rating(episode=key, role=0, rater="verifier", scores={"goal": goal}, outcome=outcome),
            Rating(episode=key, role=1, rater="verifier", scores={"goal": goal - 2}, outcome=outcome),
            Rating(episode=key, role=0, rater=JUDGE, scores=scores, reasons=reasons),
            Rating(episode=key, role=1, rater=JUDGE, failure="no readable reply"),
        ]

    bc, agreed = "evaluate/bc", StopReason.AGREED
    bad = [turn(0, HOSTILE), turn(1, FLOOD), turn(0, "bye", ActionType.LEAVE)]
    with Store.open(folder / DATABASE) as store:
        store.add_tasks("test", [STRANGERS, FRIENDS])
        store.add_tasks("train", [OPEN])
        entries = [
            (
                episode(STRANGERS, talk, "e1", stage=bc, players=("bc", "partner"), seconds=61.0, stop_reason=agreed),
                rated("e1", 8),
            ),
            (
                episode(FRIENDS, talk, "e2", stage="evaluate/base", players=("base", "partner"), stop_reason=agreed),
                rated("e2", 3),
            ),
            (episode(OPEN, bad, "e3", players=("bc", HOSTILE[:60])), []),
            (episode(FRIENDS, talk[2:3], "e4", stop_reason=None, failure=f"server down {HOSTILE}"), []),
            (episode(FRIENDS, [], "e5", players=("human:Kim", "base"), stage="play/1"), []),
            (
                episode(
                    STRANGERS,
                    [*talk[:3], turn(1, "No.")],
                    "e6",
                    stage=bc,
                    players=("partner", "bc"),
                    stop_reason="limit",
                ),
                [],
            ),
        ]
        store.add_episodes(entries)
        store.finish_stage("train/bc", {"curve": [{"step": 1, "loss": 2.0}, {"step": 2, "loss": 1.0}], "seconds": 3})
        share = {"top_score": 10.0, "share_at_top": 0.6, "n": 20}
        store.finish_stage("select/bc", {"candidates": 20, "selected": 8, "saturation": share})
    return folder
