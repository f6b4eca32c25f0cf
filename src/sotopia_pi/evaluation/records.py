"""What an evaluation hands to statistics and report: one row per evaluated role of one episode."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field


@dataclass(frozen=True, slots=True)
class Declared:
    """What a role declared in one episode of a verified task, and what came of it.

    `proposals` were valid, `named` of them name their terms; `invalid` counts by cause. `beyond` and `one_sided` are
    None without an agreement.
    """

    proposals: int
    named: int
    invalid: Mapping[str, int] = field(default_factory=dict)
    beyond: bool | None = None
    one_sided: bool | None = None
    joint: float = 0.0


@dataclass(frozen=True, slots=True)
class Result:
    """How `policy` did in one role of one evaluation episode against `partner`.

    `tasks` names the task set ("test", "transfer"), `kind` the scenario's kind. A row has either scores or a
    `failure` (the episode failed, or its rating did; the text says which and why). `deal` is None where the kind
    knows no deal. `words` counts what the policy said, `actions` its turns, `invalid` those of its turns that were
    not a readable action, `turns` the whole episode's turns. `rater` gave the scores; all rows of a task set have the
    same. `declared` is what was declared in terms, where the verifier is the rater. A row that is not `main` shows what
    another rater says of an episode that has a main row.
    """

    policy: str
    partner: str
    tasks: str
    kind: str
    scenario_id: str
    task_id: str
    role: int
    repeat: int = 0
    episode: str = ""
    scores: dict[str, float] = field(default_factory=dict)
    failure: str | None = None
    deal: bool | None = None
    actions: int = 0
    invalid: int = 0
    turns: int = 0
    words: int = 0
    stop_reason: str | None = None
    rater: str = "verifier"
    declared: Declared | None = None
    main: bool = True

    @property
    def goal(self) -> float | None:
        """The GOAL score, None where there is none."""
        return self.scores.get("goal")
